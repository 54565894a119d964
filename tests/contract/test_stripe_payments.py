"""Tests of how Stripe's adapter shows a payment before its refund, splits refunds on Connect platforms, and checks our access."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from config.provider_accounts import StripeAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputeStatus,
    ListedPurchase,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Unknown,
)
from domain.purchases import Dispute
from tests.doubles.raw_server import UNREADABLE, raw_server, sends
from tests.doubles.stripe import API_KEY, Answer, FakeStripe, error_response, run_fake_stripe
from worker.providers.stripe.adapter import create_adapter

FIVE_EUROS = Money(500, "EUR")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BOTH_IDS = pytest.mark.parametrize("payment", ["ch_1", "pi_1"])


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with run_fake_stripe() as fake:
        yield fake


@pytest.fixture
def adapter(stripe: FakeStripe) -> PaymentProvider:
    return stripe.adapter()


def show(stripe: FakeStripe, payment: str = "ch_1", **charge: Any) -> PaymentStatus:
    """Return how the adapter shows a charge with these fields."""
    stripe.add_charge("ch_1", **({"payment_intent": "pi_1"} | charge))
    status = stripe.adapter().payment(payment)
    assert isinstance(status, PaymentStatus)
    return status


# Payments


@BOTH_IDS
def test_a_payment_is_shown_with_one_call(stripe: FakeStripe, payment: str) -> None:
    assert show(stripe, payment) == PaymentStatus(captured=FIVE_EUROS, method="credit_card", code="succeeded")
    assert len(stripe.calls) == 1


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        (4900, "usd", Money(4900, "USD")),
        (4900, "jpy", Money(4900, "JPY")),
        (4900, "isk", Money(49, "ISK")),
        (4900, "kwd", Money(4900, "KWD")),
        (49, "mga", Money(4900, "MGA")),
    ],
)
def test_a_payment_has_the_amount_and_the_currency_that_stripe_shows(
    stripe: FakeStripe, amount: int, currency: str, money: Money
) -> None:
    assert show(stripe, amount=amount, currency=currency).captured == money


@BOTH_IDS
@pytest.mark.parametrize(
    ("refunds", "sum_of_refunds"),
    [
        ([], 0),
        ([(100, "succeeded")], 100),
        ([(100, "succeeded"), (250, "pending")], 350),
        ([(100, "succeeded"), (250, "failed"), (50, "canceled")], 100),
        ([(500, "succeeded")], 500),
    ],
)
def test_the_refunds_of_a_payment_are_summed_without_failed_refunds(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str, refunds: list[tuple[int, str]], sum_of_refunds: int
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1")
    for amount, status in refunds:
        stripe.refund_by_hand("ch_1", amount, status)
    status_of_payment = adapter.payment(payment)
    assert isinstance(status_of_payment, PaymentStatus)
    assert (status_of_payment.captured, status_of_payment.refunded) == (FIVE_EUROS, sum_of_refunds)


NOT_CAPTURED: dict[str, tuple[dict[str, Any], str, str]] = {
    "authorised only": ({"captured": 0}, "requires_capture", "uncaptured"),
    "voided": ({"captured": 0, "intent": {"status": "canceled"}}, "canceled", "uncaptured"),
    "declined": ({"status": "failed", "fields": {"failure_code": "card_declined"}}, "card_declined", "card_declined"),
    "failed without a code": ({"status": "failed"}, "requires_payment_method", "failed"),
    "failed after days": (
        {"status": "failed", "captured": 500, "fields": {"failure_code": "debit_not_authorized"}},
        "debit_not_authorized",
        "debit_not_authorized",
    ),
    "with a new status": (
        {"status": "on_its_way", "captured": 0, "intent": {"status": "asleep"}},
        "asleep",
        "on_its_way",
    ),
}


@pytest.mark.parametrize(("charge", "code", "charge_code"), NOT_CAPTURED.values(), ids=NOT_CAPTURED.keys())
def test_a_payment_without_captured_money_says_why(
    stripe: FakeStripe, adapter: PaymentProvider, charge: dict[str, Any], code: str, charge_code: str
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", **charge)
    for payment, expected in (("pi_1", code), ("ch_1", charge_code)):
        status = adapter.payment(payment)
        assert isinstance(status, PaymentStatus)
        assert (status.captured, status.refunded, status.code) == (None, 0, expected)
        declined = adapter.refund(payment, FIVE_EUROS, key="key-1")
        assert declined == Declined(DeclineReason.NOT_CAPTURED, expected)
    assert stripe.refund_calls == []


@pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation", "requires_action", "canceled"])
def test_a_payment_intent_that_was_not_tried_captured_nothing(
    stripe: FakeStripe, adapter: PaymentProvider, status: str
) -> None:
    stripe.unpaid_intents["pi_1"] = status
    assert adapter.payment("pi_1") == PaymentStatus(captured=None, code=status)


@pytest.mark.parametrize("captured", [300, 499])
@pytest.mark.parametrize("is_final", [True, False])
def test_a_part_that_was_captured_counts(stripe: FakeStripe, captured: int, *, is_final: bool) -> None:
    """A payment may be captured in several parts. Only after the last part, the charge is `captured`."""
    status = show(stripe, captured=captured, fields={"captured": is_final})
    assert (status.captured, status.refunded) == (Money(captured, "EUR"), 0)


def test_a_bank_debit_on_its_way_is_captured(stripe: FakeStripe) -> None:
    status = show(stripe, "pi_1", status="pending")
    assert (status.captured, status.code) == (FIVE_EUROS, "processing")


METHODS = {
    "a card": ({"type": "card", "card": {"wallet": None}}, "credit_card"),
    "a card without details": ({"type": "card"}, "credit_card"),
    "a card in a terminal": ({"type": "card_present", "card_present": {}}, "credit_card"),
    "Apple Pay": ({"type": "card", "card": {"wallet": {"type": "apple_pay"}}}, "apple_pay"),
    "Apple Pay in a terminal": (
        {"type": "card_present", "card_present": {"wallet": {"type": "apple_pay"}}},
        "apple_pay",
    ),
    "Google Pay": ({"type": "card", "card": {"wallet": {"type": "google_pay"}}}, "google_pay"),
    "Samsung Pay": ({"type": "card", "card": {"wallet": {"type": "samsung_pay"}}}, "credit_card"),
    "a wallet that is a list": ({"type": "card", "card": {"wallet": {"type": ["apple_pay"]}}}, "credit_card"),
    "Link": ({"type": "link", "link": {}}, "link"),
    "a card from Link": ({"type": "card", "card": {"wallet": {"type": "link"}}}, "credit_card"),
    "SEPA": ({"type": "sepa_debit", "sepa_debit": {}}, "direct_debit"),
    "Bacs": ({"type": "bacs_debit", "bacs_debit": {}}, "direct_debit"),
    "ACH": ({"type": "us_bank_account", "us_bank_account": {}}, "direct_debit"),
    "Canada": ({"type": "acss_debit", "acss_debit": {}}, "direct_debit"),
    "Australia": ({"type": "au_becs_debit", "au_becs_debit": {}}, "direct_debit"),
    "a bank transfer": ({"type": "customer_balance", "customer_balance": {}}, "wire_transfer"),
    "Alipay": ({"type": "alipay", "alipay": {}}, "alipay"),
    "Amazon Pay": ({"type": "amazon_pay", "amazon_pay": {}}, "amazon_pay"),
    "PayPal": ({"type": "paypal", "paypal": {}}, "paypal"),
    "Klarna": ({"type": "klarna", "klarna": {}}, "klarna"),
    "a new method": ({"type": "moon_pay", "moon_pay": {}}, "moon_pay"),
    "no type": ({}, None),
    "no details": (None, None),
}


@pytest.mark.parametrize(("details", "method"), METHODS.values(), ids=METHODS.keys())
def test_a_payment_names_its_method(stripe: FakeStripe, details: Any, method: str | None) -> None:
    assert show(stripe, fields={"payment_method_details": details}).method == method


class AccountOfSellers(StripeAccount):
    """An account whose payments name their seller in the field `shop` of the metadata."""

    def seller_in(self, metadata: object) -> str | None:
        return metadata.get("shop") if isinstance(metadata, dict) else None


SELLERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "the charge": ({"fields": {"metadata": {"shop": "aurora"}}}, "aurora"),
    "the payment intent": ({"intent": {"metadata": {"shop": "aurora"}}}, "aurora"),
    "both": ({"fields": {"metadata": {"shop": "aurora"}}, "intent": {"metadata": {"shop": "borealis"}}}, "aurora"),
    "another field": ({"fields": {"metadata": {"Shop": "aurora"}}}, None),
    "nothing": ({}, None),
    "a blank text": ({"fields": {"metadata": {"shop": " "}}}, None),
    "no text": ({"fields": {"metadata": {"shop": 7}}}, None),
}


@pytest.mark.parametrize(("charge", "seller"), SELLERS.values(), ids=SELLERS.keys())
def test_the_metadata_names_the_seller(stripe: FakeStripe, charge: dict[str, Any], seller: str | None) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", **charge)
    account = AccountOfSellers.model_validate({"api_key": API_KEY, "api_base": stripe.url})
    adapter = create_adapter(account, provider_timeout_seconds=20, connections=1)
    status, purchase = adapter.payment("pi_1"), adapter.purchase("ch_1")
    assert isinstance(status, PaymentStatus)
    assert isinstance(purchase, ListedPurchase)
    assert (status.seller, purchase.seller) == (seller, seller)


@BOTH_IDS
@pytest.mark.parametrize(
    ("status", "dispute"),
    [
        ("needs_response", Dispute.OPEN),
        ("lost", Dispute.LOST),
        ("won", Dispute.WON),
        ("warning_needs_response", Dispute.INQUIRY),
    ],
)
def test_a_disputed_payment_shows_its_dispute(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str, status: str, dispute: Dispute
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1")
    stripe.dispute("ch_1", status)
    shown = adapter.payment(payment)
    assert isinstance(shown, PaymentStatus)
    assert shown.dispute == DisputeStatus(dispute, "dp_0")


def test_a_payment_whose_disputes_cannot_be_read_is_unknown(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_1")
    stripe.dispute("ch_1", "won")
    stripe.instead = [error_response(500, None)]
    assert adapter.payment("ch_1") == Unknown("Stripe answered 500.")


@pytest.mark.parametrize("payment", ["ch_nobody", "pi_nobody", "in_1", ""])
def test_a_payment_that_stripe_does_not_know_is_declined(adapter: PaymentProvider, payment: str) -> None:
    if payment:
        assert adapter.payment(payment) == Declined(DeclineReason.PERMANENT, "resource_missing")
    else:
        assert isinstance(adapter.payment(payment), Declined | Unknown)


@BOTH_IDS
def test_a_payment_of_the_other_mode_is_a_fault_of_our_key(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", livemode=True)
    unknown = Unknown(
        "Stripe has this payment in live mode, and our API key is for the other mode.", invalid_credentials=True
    )
    assert adapter.payment(payment) == unknown
    assert adapter.refund(payment, FIVE_EUROS, key="key-1") == unknown
    assert stripe.refund_calls == []


UNDECIDED = {
    "a server's error": error_response(500, None),
    "too many calls": error_response(429, "rate_limit"),
    "a wrong key": error_response(401, "api_key_expired"),
    "a missing permission": error_response(403, "more_permissions_required"),
    "a wrong request": error_response(400, "parameter_unknown"),
    "an approval": error_response(403, "approval_required"),
}


@BOTH_IDS
@pytest.mark.parametrize("answer", UNDECIDED.values(), ids=UNDECIDED.keys())
def test_a_payment_that_cannot_be_asked_for_is_unknown_and_not_refunded(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str, answer: Answer
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1")
    stripe.instead_of_payment = [answer] * 2
    assert isinstance(adapter.payment(payment), Unknown)
    assert isinstance(adapter.refund(payment, FIVE_EUROS, key="key-1"), Unknown)
    assert stripe.refund_calls == []


STRANGE_PAYMENTS: dict[str, dict[str, Any]] = {
    "a currency that is not in ISO 4217": {"currency": "bgn"},
    "no currency": {"currency": None},
    "no captured amount": {"amount_captured": None},
    "a captured amount that is a text": {"amount_captured": "500"},
    "a negative captured amount": {"amount_captured": -1},
    "no refunded amount": {"amount_refunded": None},
    "another type": {"object": "refund"},
}


@BOTH_IDS
@pytest.mark.parametrize("fields", STRANGE_PAYMENTS.values(), ids=STRANGE_PAYMENTS.keys())
def test_a_payment_that_cannot_be_read_is_unknown(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str, fields: dict[str, Any]
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", fields=fields)
    assert isinstance(adapter.payment(payment), Unknown)
    assert isinstance(adapter.purchase(payment), Unknown | Declined)
    assert isinstance(adapter.refund(payment, FIVE_EUROS, key="key-1"), Unknown)
    assert stripe.refund_calls == []


@pytest.mark.parametrize("response", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_response_is_no_payment(response: bytes) -> None:
    with raw_server(sends(response)) as url:
        account = StripeAccount.model_validate({"api_key": "rk_1", "api_base": url})
        adapter = create_adapter(account, provider_timeout_seconds=20, connections=2)
        assert isinstance(adapter.payment("ch_1"), Unknown)
        assert isinstance(adapter.purchase("pi_1"), Unknown)
        assert isinstance(adapter.purchases(LONG_AGO, None), Unknown)
        assert isinstance(adapter.list_disputes(LONG_AGO, None), Unknown)


# Connect


DESTINATIONS: dict[str, dict[str, Any]] = {
    "transfer_data": {"transfer_data": {"destination": "acct_1", "amount": None}},
    "transfer_data with a part of the amount": {"transfer_data": {"destination": "acct_1", "amount": 400}},
    "the old parameter destination": {"transfer": "tr_1", "transfer_data": {"destination": "acct_1"}},
    "a transfer only": {"transfer": "tr_1"},
}


@BOTH_IDS
@pytest.mark.parametrize("fields", DESTINATIONS.values(), ids=DESTINATIONS.keys())
def test_a_destination_charge_is_not_refunded_before_it_is_decided_who_pays(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str, fields: dict[str, Any]
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", fields=fields)
    declined = adapter.refund(payment, FIVE_EUROS, key="key-1")
    assert declined == Declined(DeclineReason.PERMANENT, "transfer_not_reversed")
    assert stripe.refund_calls == []


@BOTH_IDS
@pytest.mark.parametrize("reverse", [True, False])
def test_the_setting_decides_who_pays_the_refund_of_a_destination_charge(
    stripe: FakeStripe, payment: str, *, reverse: bool
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", fields={"transfer_data": {"destination": "acct_1"}})
    adapter = stripe.adapter(reverse_transfer=reverse)
    assert adapter.refund(payment, FIVE_EUROS, key="key-1") == Paid("re_0", FIVE_EUROS)
    assert ("transfer_reversal" in stripe.refunds[0]) is reverse
    assert adapter.refund(payment, FIVE_EUROS, key="key-1") == Paid("re_0", FIVE_EUROS)
    assert len(stripe.refunds) == 1


@pytest.mark.parametrize(
    "settings", [{}, {"reverse_transfer": True}, {"reverse_transfer": True, "refund_application_fee": True}]
)
def test_a_charge_without_a_transfer_and_without_a_fee_is_refunded_with_every_setting(
    stripe: FakeStripe, settings: dict[str, Any]
) -> None:
    stripe.add_charge("ch_1")
    assert stripe.adapter(**settings).refund("ch_1", FIVE_EUROS, key="key-1") == Paid("re_0", FIVE_EUROS)
    assert not {"reverse_transfer", "refund_application_fee"} & stripe.refund_calls[0].keys()


@pytest.mark.parametrize(("setting", "sent"), [(None, None), (True, "true"), (False, "false")])
def test_the_setting_decides_whether_the_application_fee_is_returned(
    stripe: FakeStripe, setting: bool | None, sent: str | None
) -> None:
    stripe.add_charge("ch_1", account="acct_1", fields={"application_fee": "fee_1"})
    adapter = stripe.adapter(connected_account="acct_1", refund_application_fee=setting)
    assert adapter.refund("ch_1", FIVE_EUROS, key="key-1") == Paid("re_0", FIVE_EUROS)
    assert stripe.refund_calls[0].get("refund_application_fee") == sent


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("1", True), (None, None)])
def test_the_settings_for_connect_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str | None, value: bool | None
) -> None:
    monkeypatch.setenv("MONEYBACK_STRIPE_API_KEY", "rk_test_1")
    for name in ("REVERSE_TRANSFER", "REFUND_APPLICATION_FEE"):
        monkeypatch.delenv(f"MONEYBACK_STRIPE_{name}", raising=False)
        if text:
            monkeypatch.setenv(f"MONEYBACK_STRIPE_{name}", text)
    account = StripeAccount()
    assert (account.reverse_transfer, account.refund_application_fee) == (value, value)
    assert account.connected_account is None


@BOTH_IDS
def test_a_direct_charge_is_found_and_refunded_only_in_its_connected_account(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", account="acct_1")
    missing = Declined(DeclineReason.PERMANENT, "resource_missing")
    assert adapter.payment(payment) == missing
    assert adapter.refund(payment, FIVE_EUROS, key="key-1") == missing
    assert stripe.adapter(connected_account="acct_2").payment(payment) == missing
    connected = stripe.adapter(connected_account="acct_1")
    stripe.headers.clear()
    assert isinstance(connected.payment(payment), PaymentStatus)
    assert connected.look_up(payment, key="key-1") == NotFound()
    assert connected.refund(payment, FIVE_EUROS, key="key-1") == Paid("re_0", FIVE_EUROS)
    assert connected.check_access() == {}
    assert {headers["stripe-account"] for headers in stripe.headers} == {"acct_1"}


# Access


def test_a_key_with_all_permissions_misses_no_right(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    assert adapter.check_access() == {}
    assert {(method, parameters["limit"]) for method, _, parameters in stripe.calls} == {("GET", "1")}


@pytest.mark.parametrize(
    ("permissions", "rights"),
    [
        ({"dispute_read"}, {AccessRight.READ_DISPUTES}),
        ({"charge_read"}, {AccessRight.READ_REFUNDS, AccessRight.READ_PAYMENTS}),
        ({"payment_intent_read"}, {AccessRight.READ_PAYMENTS}),
        ({"dispute_read", "payment_intent_read"}, {AccessRight.READ_DISPUTES, AccessRight.READ_PAYMENTS}),
    ],
)
def test_each_missing_right_is_named_with_stripes_permission(
    stripe: FakeStripe, adapter: PaymentProvider, permissions: set[str], rights: set[AccessRight]
) -> None:
    stripe.missing_permissions = permissions
    missing = adapter.check_access()
    assert missing.keys() == rights
    named = {f"Our API key at Stripe lacks the permission {permission}." for permission in permissions}
    assert set(missing.values()) == named


def test_a_wrong_key_has_no_right(stripe: FakeStripe) -> None:
    missing = stripe.adapter(api_key="rk_wrong").check_access()
    rights = (AccessRight.READ_REFUNDS, AccessRight.READ_DISPUTES, AccessRight.READ_PAYMENTS)
    assert missing == dict.fromkeys(rights, "Stripe refuses our credentials: 401.")


def test_a_call_without_a_permission_is_a_fault_of_our_key(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1")
    stripe.missing_permissions = {"payment_intent_read"}
    assert adapter.payment("pi_1") == Unknown(
        "Our API key at Stripe lacks the permission payment_intent_read.", invalid_credentials=True
    )
    assert isinstance(adapter.payment("ch_1"), PaymentStatus)
