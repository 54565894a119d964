"""Tests of Stripe's adapter: with a fake Stripe in a thread, with network faults, and with unusable responses."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.provider_accounts import StripeAccount
from domain.money import CURRENCIES, Money, UnknownMoneyError
from domain.providers import (
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedRefund,
    NotFound,
    Paid,
    PaymentProvider,
    Pending,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
    WaitingForApproval,
    refund_window,
)
from domain.purchases import Dispute
from tests.doubles.raw_server import SLOW_RESPONSES, UNREADABLE, Flood, drips, http_response, raw_server, resets, sends
from tests.doubles.stripe import ERROR_MESSAGE, OVER_REFUND, Answer, FakeStripe, error_response, run_fake_stripe
from worker.providers.http_client import CREDENTIALS_REFUSED
from worker.providers.stripe.adapter import create_adapter
from worker.providers.stripe.amounts import UNITS, parse_amount
from worker.providers.stripe.codes import (
    ACCOUNT_CODES,
    CODES,
    DISPUTES,
    REFUND_STATUSES,
    UNDECIDED_CODES,
    UNDECIDED_STATUSES,
)

TEST_TIMEOUT = 20.0  # seconds; a test waits this long only if it fails
SHORT_TIMEOUT = 0.4  # seconds; for calls whose response comes too late
FIVE_EUROS = Money(500, "EUR")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with run_fake_stripe() as fake:
        fake.add_charge("ch_1", payment_intent="pi_1")
        yield fake


@pytest.fixture
def adapter(stripe: FakeStripe) -> PaymentProvider:
    return stripe.adapter()


def refund(adapter: PaymentProvider, charge: str = "ch_1", key: str = "key-1") -> RefundResult:
    return adapter.refund(charge, FIVE_EUROS, key=key)


# Refunds


@pytest.mark.parametrize("payment", ["ch_1", "pi_1"])
def test_a_payment_is_refunded_by_its_charge_or_its_payment_intent(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str
) -> None:
    paid = refund(adapter, payment)
    assert paid == Paid("re_0", FIVE_EUROS)
    assert adapter.look_up(payment, key="key-1") == paid
    field = "payment_intent" if payment == "pi_1" else "charge"
    metadata = {"metadata[moneyback_key]": "key-1", "metadata[moneyback_charge]": payment}
    parameters = {field: payment, "amount": "500"} | metadata
    assert stripe.refund_calls == [parameters]


def test_two_calls_with_the_same_key_pay_once(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    assert refund(adapter) == refund(adapter) == Paid("re_0", FIVE_EUROS)
    assert len(stripe.refunds) == 1


def test_a_second_refund_of_a_charge_with_another_key_is_declined(adapter: PaymentProvider) -> None:
    refund(adapter)
    assert refund(adapter, key="key-2") == Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")


def test_a_refund_with_the_key_of_another_refund_is_unknown(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund(adapter)
    other = refund(adapter, stripe.add_charge("ch_2"))
    assert isinstance(other, Unknown), "The first refund with this key may have been paid."


OVER_REFUNDS = {
    "without a code": error_response(400, None, message=OVER_REFUND, param="amount"),
    "without a code and a parameter": error_response(400, None, message=OVER_REFUND),
    "without a code and in other words": error_response(400, None, param="amount"),
    "with the status 402": error_response(402, None, message=OVER_REFUND),
    "with a code": error_response(400, "amount_too_large", message=OVER_REFUND, param="amount"),
}


@pytest.mark.parametrize("answer", OVER_REFUNDS.values(), ids=OVER_REFUNDS.keys())
def test_a_refund_above_the_remaining_amount_must_be_looked_up(
    stripe: FakeStripe, adapter: PaymentProvider, answer: Answer
) -> None:
    stripe.instead = [answer]
    declined = refund(adapter)
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.ALREADY_REFUNDED


def test_after_a_refund_by_hand_our_refund_of_the_whole_charge_shows_the_other_refund(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    refund_id = stripe.refund_by_hand("ch_1", 100)
    assert refund(adapter) == Declined(DeclineReason.ALREADY_REFUNDED, "invalid_request_error")
    assert adapter.look_up("ch_1", key="key-1") == ExternalRefund(refund_id, Money(100, "EUR"))


@pytest.mark.parametrize(
    "answer", [error_response(409, None, message=OVER_REFUND), error_response(429, None, param="amount")]
)
def test_a_refund_above_the_remaining_amount_with_an_undecided_status_is_unknown(
    stripe: FakeStripe, adapter: PaymentProvider, answer: Answer
) -> None:
    stripe.instead = [answer]
    assert isinstance(refund(adapter), Unknown)


def test_another_error_without_a_code_is_a_permanent_decline(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.instead = [error_response(400, None, param="charge")]
    assert refund(adapter) == Declined(DeclineReason.PERMANENT, "invalid_request_error")


@pytest.mark.parametrize(
    ("currency", "paid"),
    [("usd", Money(500, "USD")), ("gbp", Money(500, "GBP")), ("jpy", Money(500, "JPY")), ("isk", Money(5, "ISK"))],
)
def test_a_refund_in_another_currency_is_reported_as_it_was_paid(
    stripe: FakeStripe, adapter: PaymentProvider, currency: str, paid: Money
) -> None:
    stripe.charges["ch_1"].currency = currency
    assert refund(adapter) == Paid("re_0", paid)


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"amount": 499}, Paid("re_1", Money(499, "EUR"))),
        ({"amount": 50_000}, Paid("re_1", Money(50_000, "EUR"))),
        ({"amount": 1, "status": "pending"}, Pending("re_1", Money(1, "EUR"))),
        ({"currency": "usd", "status": "failed"}, Failed("re_1", "failed")),
    ],
)
def test_a_refund_of_another_amount_is_reported_as_it_was_paid(
    stripe: FakeStripe, adapter: PaymentProvider, change: dict[str, Any], result: RefundResult
) -> None:
    stripe.instead = [(200, A_REFUND | change, {})]
    assert refund(adapter) == result


# Approvals


@pytest.mark.parametrize("status", [400, 402, 403, 409, 429])
def test_a_refund_waits_for_its_approval_whatever_the_http_status_is(
    stripe: FakeStripe, adapter: PaymentProvider, status: int
) -> None:
    stripe.approval_error = error_response(status, "approval_required")
    assert refund(adapter) == WaitingForApproval("approval_required")
    assert refund(adapter) == WaitingForApproval("approval_required")
    assert len(stripe.approval_requests) == 1
    assert adapter.look_up("ch_1", key="key-1") == NotFound()
    refund_id = stripe.approve()
    assert adapter.look_up("ch_1", key="key-1") == Paid(refund_id, FIVE_EUROS)


def test_an_approval_that_is_only_the_type_of_the_error_is_recognised(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    stripe.approval_error = error_response(403, None, "approval_required")
    assert refund(adapter) == WaitingForApproval("approval_required")


def test_an_approval_in_a_server_error_is_unknown(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.approval_error = error_response(500, "approval_required")
    assert refund(adapter) == Unknown("Stripe answered 500.")


def test_an_unknown_charge_is_declined(adapter: PaymentProvider) -> None:
    assert refund(adapter, "ch_nobody") == Declined(DeclineReason.PERMANENT, "resource_missing")


def test_fifty_callers_with_one_key_pay_once(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    answers = _call_in_parallel(lambda _: refund(adapter))
    assert set(answers) == {Paid("re_0", FIVE_EUROS)}
    assert len(stripe.refunds) == 1


def test_fifty_callers_with_fifty_keys_pay_once(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    answers = _call_in_parallel(lambda number: refund(adapter, key=f"key-{number}"))
    assert sorted(type(answer).__name__ for answer in answers) == ["Declined"] * 49 + ["Paid"]
    assert len(stripe.refunds) == 1


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_has_its_decline_reason(stripe: FakeStripe, adapter: PaymentProvider, code: str) -> None:
    stripe.charges["ch_1"].refund_error = (400, code)
    assert refund(adapter) == Declined(CODES[code], code)


@pytest.mark.parametrize("status", [400, 402, 404, 422])
def test_an_unknown_error_code_is_a_permanent_decline(
    stripe: FakeStripe, adapter: PaymentProvider, status: int
) -> None:
    stripe.charges["ch_1"].refund_error = (status, "moon_phase")
    assert refund(adapter) == Declined(DeclineReason.PERMANENT, "moon_phase")


@pytest.mark.parametrize("status", [*sorted(UNDECIDED_STATUSES), 500, 502, 503, 504])
def test_a_refund_is_unknown_if_the_http_status_does_not_decide_it(
    stripe: FakeStripe, adapter: PaymentProvider, status: int
) -> None:
    stripe.instead = [error_response(status, "charge_already_refunded")]
    assert refund(adapter) == Unknown(f"Stripe answered {status}.")
    assert len(stripe.refund_calls) == 1, "The SDK called again by itself."


@pytest.mark.parametrize("code", sorted(UNDECIDED_CODES))
def test_a_refund_is_unknown_if_the_error_code_does_not_decide_it(
    stripe: FakeStripe, adapter: PaymentProvider, code: str
) -> None:
    stripe.instead = [error_response(400, code)]
    assert refund(adapter) == Unknown("Stripe answered 400.")


@pytest.mark.parametrize("status", [429, 503])
def test_the_retry_after_header_is_returned(stripe: FakeStripe, adapter: PaymentProvider, status: int) -> None:
    stripe.instead = [error_response(status, None, "api_error", Retry_After="17", Stripe_Should_Retry="true")]
    assert refund(adapter) == Unknown(f"Stripe answered {status}.", retry_after=17)
    assert len(stripe.refund_calls) == 1, "The SDK called again by itself."


def test_a_replayed_error_is_recognised(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.instead = [
        error_response(500, None, "api_error"),
        error_response(500, None, "api_error", Idempotent_Replayed="true"),
    ]
    assert refund(adapter) == Unknown("Stripe answered 500.")
    assert refund(adapter) == Unknown("Stripe answered 500.", replayed=True)


@pytest.mark.parametrize("status", sorted(CREDENTIALS_REFUSED))
def test_refused_credentials_are_reported(stripe: FakeStripe, adapter: PaymentProvider, status: int) -> None:
    stripe.instead = [error_response(status, "charge_already_refunded")]
    assert refund(adapter) == Unknown(f"Stripe refuses our credentials: {status}.", invalid_credentials=True)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
@pytest.mark.parametrize("code", sorted(ACCOUNT_CODES))
def test_a_fault_of_our_account_is_reported_whatever_the_http_status_is(
    stripe: FakeStripe, adapter: PaymentProvider, code: str, status: int
) -> None:
    stripe.instead = [error_response(status, code)]
    unknown = refund(adapter)
    assert isinstance(unknown, Unknown)
    assert unknown.invalid_credentials


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("modes", [("test", "live"), ("live", "test")])
def test_a_payment_that_exists_in_the_other_mode_is_a_fault_of_our_key(
    stripe: FakeStripe, adapter: PaymentProvider, modes: tuple[str, str], status: int
) -> None:
    message = (
        "No such charge: 'ch_1'; a similar object exists in {} mode, but a {} mode key was used to make this request."
    )
    stripe.instead = [error_response(status, "resource_missing", message=message.format(*modes))]
    assert refund(adapter) == Unknown(
        f"Stripe has this payment in {modes[0]} mode, and our API key is for the other mode.", invalid_credentials=True
    )


@pytest.mark.parametrize("code", ["api_key_expired", "more_permissions_required", "account_invalid"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_servers_error_is_no_fault_of_our_account(
    stripe: FakeStripe, adapter: PaymentProvider, status: int, code: str
) -> None:
    """A fault of our account proves that nothing was done. After a server's error, the refund may have been made."""
    stripe.instead = [error_response(status, code, message="a similar object exists in test mode")]
    assert refund(adapter) == Unknown(f"Stripe answered {status}.")


def test_a_wrong_api_key_refunds_nothing(stripe: FakeStripe) -> None:
    unknown = refund(stripe.adapter(api_key="rk_wrong"))
    assert unknown == Unknown("Stripe refuses our credentials: 401.", invalid_credentials=True)
    assert stripe.refunds == []


def test_an_error_after_paying_is_unknown_and_the_lookup_finds_the_refund(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    stripe.after = [error_response(500, None, "api_error")]
    assert isinstance(refund(adapter), Unknown)
    assert adapter.look_up("ch_1", key="key-1") == Paid("re_0", FIVE_EUROS)
    assert refund(adapter) == Paid("re_0", FIVE_EUROS)


REFUND_RESULTS = {
    "succeeded": Paid("re_0", FIVE_EUROS),
    "pending": Pending("re_0", FIVE_EUROS),
    "requires_action": Pending("re_0", FIVE_EUROS, customer_must_act=True),
    "failed": Failed("re_0", "failed", DeclineReason.PERMANENT),
    "canceled": Failed("re_0", "canceled", DeclineReason.CANCELLED),
}


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_refund_status_has_its_result(stripe: FakeStripe, adapter: PaymentProvider, status: str) -> None:
    stripe.charges["ch_1"].refund_status = status
    expected = REFUND_RESULTS[status]
    assert refund(adapter) == expected
    assert adapter.look_up("ch_1", key="key-1") == expected


FAILURES = {
    ("failed", "lost_or_stolen_card"): DeclineReason.PERMANENT,
    ("failed", "expired_or_canceled_card"): DeclineReason.PERMANENT,
    ("failed", "charge_for_pending_refund_disputed"): DeclineReason.DISPUTED,
    ("canceled", "charge_for_pending_refund_disputed"): DeclineReason.DISPUTED,
    ("failed", "insufficient_funds"): DeclineReason.INSUFFICIENT_BALANCE,
    ("failed", "declined"): DeclineReason.PERMANENT,
    ("failed", "merchant_request"): DeclineReason.CANCELLED,
    ("canceled", "merchant_request"): DeclineReason.CANCELLED,
    ("failed", "unknown"): DeclineReason.PERMANENT,
    ("canceled", "unknown"): DeclineReason.CANCELLED,
    ("failed", "moon_phase"): DeclineReason.PERMANENT,
    ("canceled", "moon_phase"): DeclineReason.CANCELLED,
}


@pytest.mark.parametrize(("refund_status", "reason"), FAILURES)
def test_a_failed_refund_has_its_failure_reason(
    stripe: FakeStripe, adapter: PaymentProvider, refund_status: str, reason: str
) -> None:
    charge = stripe.charges["ch_1"]
    stripe.charges["ch_1"] = replace(charge, refund_status=refund_status, failure_reason=reason)
    assert refund(adapter) == Failed("re_0", reason, FAILURES[refund_status, reason])
    shown, page = adapter.refunds("ch_1"), adapter.list_refunds(datetime.now(UTC) - timedelta(days=1), None)
    assert not isinstance(shown, Unknown)
    assert isinstance(page, RefundPage)
    assert {entry.failure for entry in (*shown, *page.refunds)} == {FAILURES[refund_status, reason]}


def test_a_refund_that_waits_for_the_balance_is_pending(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.charges["ch_1"] = replace(
        stripe.charges["ch_1"], refund_status="pending", pending_reason="insufficient_funds"
    )
    assert refund(adapter) == Pending("re_0", FIVE_EUROS, insufficient_balance=True)


def test_the_sdk_sends_no_telemetry(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund(adapter)
    refund(adapter)
    assert [headers.get("idempotency-key") for headers in stripe.headers] == [None, "key-1"] * 2
    assert all("x-stripe-client-telemetry" not in headers for headers in stripe.headers)


def test_error_messages_of_stripe_are_not_logged(
    stripe: FakeStripe, adapter: PaymentProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    stripe.charges["ch_1"].refund_error = (400, "charge_disputed")
    assert isinstance(refund(adapter), Declined)
    assert ERROR_MESSAGE not in caplog.text


# Amounts


@pytest.mark.parametrize(
    ("amount", "stripe_units"),
    [
        (Money(500, "EUR"), 500),
        (Money(500, "JPY"), 500),
        (Money(5120, "KWD"), 5120),
        (Money(5, "ISK"), 500),
        (Money(5, "UGX"), 500),
        (Money(500, "MGA"), 5),
    ],
)
def test_an_amount_is_sent_in_stripes_units(stripe: FakeStripe, amount: Money, stripe_units: int) -> None:
    charge = stripe.add_charge("ch_2", stripe_units, currency=amount.currency.lower())
    assert stripe.adapter().refund(charge, amount, key="key-2") == Paid("re_0", amount)
    assert stripe.refund_calls[-1]["amount"] == str(stripe_units)


def test_a_fraction_that_stripe_does_not_support_is_not_sent(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    declined = adapter.refund("ch_1", Money(550, "MGA"), key="key-1")
    assert declined == Declined(DeclineReason.PERMANENT, "amount_not_in_whole_units")
    assert stripe.calls == []


@given(minor=st.integers(1, 10**12), currency=st.sampled_from(sorted(CURRENCIES)))
def test_an_amount_converted_to_stripes_units_and_back_is_the_same(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    if currency == "MGA":  # Stripe does not support fifths of an ariary
        money = Money(minor * 100, currency)
    assert parse_amount(UNITS.to_provider(money), currency.lower()) == money


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(0, "eur"), (-1, "eur"), (True, "eur"), (5.0, "eur"), ("5", "eur"), (5, "xxx"), (5, None), (501, "isk")],
)
def test_an_invalid_amount_is_refused(amount: object, currency: object) -> None:
    with pytest.raises(UnknownMoneyError):
        parse_amount(amount, currency)


# Lookups


def test_the_lookup_of_a_charge_without_refunds_finds_nothing(adapter: PaymentProvider) -> None:
    assert adapter.look_up("ch_1", key="key-1") == NotFound()


def test_an_external_refund_is_found(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund_id = stripe.refund_by_hand("ch_1", 200)
    assert adapter.look_up("ch_1", key="key-1") == ExternalRefund(refund_id, Money(200, "EUR"))


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_failed_external_refund_is_ignored(stripe: FakeStripe, adapter: PaymentProvider, status: str) -> None:
    stripe.refund_by_hand("ch_1", 500, status)
    assert adapter.look_up("ch_1", key="key-1") == NotFound()


def test_our_paid_refund_is_found_despite_external_and_failed_refunds(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    stripe.refund_by_hand("ch_1", 100)
    own_refund_id = stripe.refund_by_hand("ch_1", 300, moneyback_key="key-1")
    stripe.refund_by_hand("ch_1", 300, "failed", moneyback_key="key-1")
    assert adapter.look_up("ch_1", key="key-1") == Paid(own_refund_id, Money(300, "EUR"))


def test_our_refund_is_found_on_the_last_page(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    own_refund_id = stripe.refund_by_hand("ch_1", 1, moneyback_key="key-1")
    for _ in range(250):
        stripe.refund_by_hand("ch_1", 1, "failed")
    assert adapter.look_up("ch_1", key="key-1") == Paid(own_refund_id, Money(1, "EUR"))
    assert len(stripe.calls) == 3


STRANGE_REFUNDS: dict[str, dict[str, Any]] = {
    "without a status": {"status": None},
    "with a new status": {"status": "on_its_way"},
    "in a currency that is not in ISO 4217": {"currency": "bgn"},
    "without a currency": {"currency": None},
    "without an amount": {"amount": None},
    "without an id": {"id": None},
    "without a time": {"created": None},
    "of another type": {"object": "credit"},
}


@pytest.mark.parametrize("fields", STRANGE_REFUNDS.values(), ids=STRANGE_REFUNDS.keys())
def test_a_charge_with_a_refund_that_cannot_be_read_is_not_a_charge_without_refunds(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    stripe.refund_by_hand("ch_1", 500)
    stripe.refunds[0] |= fields
    assert isinstance(adapter.look_up("ch_1", key="key-1"), Unknown)


@pytest.mark.parametrize("fields", STRANGE_REFUNDS.values(), ids=STRANGE_REFUNDS.keys())
def test_our_refund_is_found_beside_an_external_refund_that_cannot_be_read(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    own_refund_id = stripe.refund_by_hand("ch_1", 300, moneyback_key="key-1")
    stripe.refund_by_hand("ch_1", 100)
    stripe.refunds[0] |= fields
    assert adapter.look_up("ch_1", key="key-1") == Paid(own_refund_id, Money(300, "EUR"))


@pytest.mark.parametrize("fields", STRANGE_REFUNDS.values(), ids=STRANGE_REFUNDS.keys())
def test_a_refund_of_moneyback_that_cannot_be_read_makes_the_lookup_unknown(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    stripe.refund_by_hand("ch_1", 300, "failed", moneyback_key="key-1")
    stripe.refund_by_hand("ch_1", 300, moneyback_key="key-1")
    stripe.refunds[0] |= fields
    assert isinstance(adapter.look_up("ch_1", key="key-1"), Unknown)


def test_reading_an_endless_list_stops(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    row = {"id": "re_9", "charge": "ch_1"}
    stripe.instead = [(200, {"object": "list", "data": [row], "has_more": True}, {}) for _ in range(50)]
    assert adapter.look_up("ch_1", key="key-1") == Unknown("Stripe's list has more pages than can be read.")
    assert len(stripe.calls) == 10


@pytest.mark.parametrize(
    "answer", [error_response(404, "resource_missing"), error_response(500, None), error_response(401, None)]
)
def test_a_failed_lookup_is_unknown(stripe: FakeStripe, adapter: PaymentProvider, answer: Any) -> None:
    stripe.instead = [answer] * 3
    assert isinstance(adapter.look_up("ch_1", key="key-1"), Unknown)
    assert isinstance(adapter.dispute("ch_1"), Unknown)
    assert isinstance(adapter.list_refunds(LONG_AGO, None), Unknown)


# Disputes


def test_a_charge_without_a_dispute_has_the_dispute_status_none(adapter: PaymentProvider) -> None:
    assert adapter.dispute("ch_1") == DisputeStatus(Dispute.NONE)


@pytest.mark.parametrize("payment", ["ch_1", "pi_1"])
@pytest.mark.parametrize("status", DISPUTES)
def test_every_dispute_status_has_its_result(
    stripe: FakeStripe, adapter: PaymentProvider, status: str, payment: str
) -> None:
    stripe.dispute("ch_1", status)
    stripe.add_charge("ch_2", payment_intent="pi_2")
    stripe.dispute("ch_2", "lost")
    assert adapter.dispute(payment) == DisputeStatus(DISPUTES[status], "dp_0")


DECISIVE_DISPUTES = {
    "lost, then won": (["lost", "won"], DisputeStatus(Dispute.LOST, "dp_0")),
    "won, then open": (["won", "needs_response"], DisputeStatus(Dispute.OPEN, "dp_1")),
    "open, then lost": (["under_review", "lost"], DisputeStatus(Dispute.OPEN, "dp_0")),
    "lost twice": (["lost", "lost"], DisputeStatus(Dispute.LOST, "dp_1")),
}


@pytest.mark.parametrize(("statuses", "expected"), DECISIVE_DISPUTES.values(), ids=DECISIVE_DISPUTES.keys())
def test_one_of_several_disputes_decides_the_dispute_status(
    stripe: FakeStripe, adapter: PaymentProvider, statuses: list[str], expected: DisputeStatus
) -> None:
    for status in statuses:
        stripe.dispute("ch_1", status)
    assert adapter.dispute("ch_1") == expected


@pytest.mark.parametrize("status", ["asleep", "pre_arbitration", "arbitration_needs_response", "accepted"])
def test_a_dispute_with_a_new_status_is_open(stripe: FakeStripe, adapter: PaymentProvider, status: str) -> None:
    stripe.dispute("ch_1", status)
    assert adapter.dispute("ch_1") == DisputeStatus(Dispute.OPEN, "dp_0")


@pytest.mark.parametrize("fields", [{"status": None}, {"status": 7}, {"status": ""}, {"id": None}, {"id": ["dp_0"]}])
def test_a_charge_with_a_dispute_that_cannot_be_read_is_not_a_charge_without_disputes(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    stripe.dispute("ch_1", "won")
    stripe.dispute("ch_1", "needs_response")
    stripe.disputes[0] |= fields
    assert isinstance(adapter.dispute("ch_1"), Unknown)


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_under_review"])
def test_an_inquiry_is_no_dispute(stripe: FakeStripe, adapter: PaymentProvider, status: str) -> None:
    stripe.dispute("ch_1", status)
    assert adapter.dispute("ch_1") == DisputeStatus(Dispute.INQUIRY, "dp_0")


def test_an_inquiry_that_became_a_dispute_is_open(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.dispute("ch_1", "needs_response")
    stripe.dispute("ch_1", "warning_needs_response")
    assert adapter.dispute("ch_1") == DisputeStatus(Dispute.OPEN, "dp_0")


@pytest.mark.parametrize(
    ("status", "due_by", "respond_by"),
    [
        ("warning_needs_response", 1_790_000_000, datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ("needs_response", 1_790_000_000, datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ("appeal_needs_response", 1_790_000_000, datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ("warning_under_review", 1_790_000_000, None),
        ("lost", 1_790_000_000, None),
        ("warning_needs_response", 0, None),
        ("warning_needs_response", None, None),
        ("warning_needs_response", "soon", None),
        ("warning_needs_response", 10**30, None),
    ],
)
def test_a_dispute_has_a_deadline_while_stripe_waits_for_a_response(
    stripe: FakeStripe, adapter: PaymentProvider, status: str, due_by: Any, respond_by: datetime | None
) -> None:
    stripe.dispute("ch_1", status, due_by)
    dispute = adapter.dispute("ch_1")
    assert isinstance(dispute, DisputeStatus)
    assert dispute.respond_by == respond_by


def test_the_disputes_since_an_instant_are_listed_page_by_page(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    """The date of the dispute counts, and not the date of the payment. Each id of the payment has an entry."""
    stripe.dispute("ch_1", "lost")
    since = datetime.fromtimestamp(stripe.clock + 1, UTC)
    stripe.dispute("ch_1", "warning_needs_response", 1_790_000_000)
    for _ in range(100):
        stripe.dispute("ch_1", "won")
    first = adapter.list_disputes(since, None)
    assert isinstance(first, DisputePage)
    assert (len(first.disputes), first.skipped) == (200, 0)
    inquiry = DisputeStatus(Dispute.INQUIRY, "dp_1")
    assert adapter.list_disputes(since, first.next_cursor) == DisputePage(
        [ListedDispute("ch_1", inquiry), ListedDispute("pi_1", inquiry)]
    )
    assert adapter.list_disputes(since + timedelta(days=1), None) == DisputePage([])


STRANGE_DISPUTES: dict[str, dict[str, Any]] = {
    "without a status": {"status": None},
    "without a payment": {"charge": None, "payment_intent": None},
    "with an expanded charge": {"charge": {"id": "ch_1"}},
    "with a list as its id": {"id": ["dp_1"]},
}


@pytest.mark.parametrize("fields", STRANGE_DISPUTES.values(), ids=STRANGE_DISPUTES.keys())
def test_a_listed_dispute_that_cannot_be_read_is_skipped(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    stripe.add_charge("ch_2")
    stripe.dispute("ch_2", "lost")
    stripe.dispute("ch_1", "lost")
    stripe.disputes[0] |= fields
    lost = DisputeStatus(Dispute.LOST, "dp_0")
    assert adapter.list_disputes(LONG_AGO, None) == DisputePage([ListedDispute("ch_2", lost)], skipped=1)


# The list of refunds


def test_the_refunds_since_an_instant_are_listed_page_by_page(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_2", 10_000)
    stripe.refund_by_hand("ch_2", 1)
    since = datetime.fromtimestamp(stripe.clock + 1, UTC)
    stripe.charges["ch_2"].refund_status = "pending"
    assert adapter.refund("ch_2", FIVE_EUROS, key="key-2") == Pending("re_1", FIVE_EUROS)
    for _ in range(150):
        stripe.refund_by_hand("ch_2", 1, "failed")
    first = adapter.list_refunds(since, None)
    assert isinstance(first, RefundPage)
    second = adapter.list_refunds(since, first.next_cursor)
    assert isinstance(second, RefundPage)
    assert (len(first.refunds), len(second.refunds), second.next_cursor) == (100, 51, None)
    assert second.refunds[-1] == ListedRefund("re_1", "ch_2", FIVE_EUROS, RefundStatus.PENDING, since, "key-2")
    assert adapter.list_refunds(since + timedelta(days=1), None) == RefundPage([])


@pytest.mark.parametrize("payment", ["ch_1", "pi_1"])
def test_our_refund_is_listed_with_the_payment_id_that_we_sent(adapter: PaymentProvider, payment: str) -> None:
    refund(adapter, payment)
    page = adapter.list_refunds(LONG_AGO, None)
    assert isinstance(page, RefundPage)
    assert [(listed.charge, listed.key) for listed in page.refunds] == [(payment, "key-1")]


def test_an_external_refund_is_listed_once_with_each_of_its_payment_ids(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    refund_id = stripe.refund_by_hand("ch_1", 500, moneyback_charge="ch_of_another")
    page = adapter.list_refunds(LONG_AGO, None)
    assert isinstance(page, RefundPage)
    assert [(listed.refund_id, listed.charge, listed.key) for listed in page.refunds] == [
        (refund_id, "ch_1", None),
        (refund_id, "pi_1", None),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        *STRANGE_REFUNDS.values(),
        {"charge": None, "payment_intent": None},
        {"charge": {"id": "ch_1"}},
        {"metadata": None, "status": None},
    ],
)
def test_a_listed_refund_of_another_system_that_cannot_be_read_is_skipped(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    stripe.refund_by_hand("ch_1", 100, moneyback_key="key-1", moneyback_charge="ch_1")
    stripe.refund_by_hand("ch_1", 200)
    stripe.refunds[0] |= fields
    page = adapter.list_refunds(LONG_AGO, None)
    assert isinstance(page, RefundPage)
    assert [listed.key for listed in page.refunds] == ["key-1"]
    assert page.skipped == 1


@pytest.mark.parametrize("fields", STRANGE_REFUNDS.values(), ids=STRANGE_REFUNDS.keys())
def test_a_listed_refund_of_moneyback_that_cannot_be_read_makes_the_page_unknown(
    stripe: FakeStripe, adapter: PaymentProvider, fields: dict[str, Any]
) -> None:
    stripe.refund_by_hand("ch_1", 200)
    stripe.refund_by_hand("ch_1", 100, moneyback_key="key-1")
    stripe.refunds[0] |= fields
    assert isinstance(adapter.list_refunds(LONG_AGO, None), Unknown)


def test_the_pages_continue_after_a_skipped_refund(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    for _ in range(150):
        stripe.refund_by_hand("ch_1", 1, "failed")
    stripe.refunds[99] |= {"charge": None, "payment_intent": None}
    first = adapter.list_refunds(LONG_AGO, None)
    assert isinstance(first, RefundPage)
    second = adapter.list_refunds(LONG_AGO, first.next_cursor)
    assert isinstance(second, RefundPage)
    assert (first.skipped, second.skipped) == (1, 0)
    assert len({listed.refund_id for listed in [*first.refunds, *second.refunds]}) == 149


# Capabilities


def test_the_capabilities_match_stripes_documentation(adapter: PaymentProvider) -> None:
    capabilities = adapter.capabilities
    assert capabilities.idempotency_key_ttl == timedelta(hours=24)
    assert capabilities.rejects_over_refund
    assert capabilities.lists_refunds
    assert capabilities.lists_disputes
    assert capabilities.lists_purchases
    assert capabilities.shows_payments
    windows = {
        method: refund_window(capabilities, "stripe", method) for method in ("credit_card", "amazon_pay", "alipay")
    }
    assert windows == {"credit_card": None, "amazon_pay": timedelta(days=90), "alipay": timedelta(days=90)}


# Network faults and unusable responses


def adapter_for(url: str, seconds: float = TEST_TIMEOUT) -> PaymentProvider:
    return create_adapter(
        StripeAccount.model_validate({"api_key": "rk_1", "api_base": url}),
        provider_timeout_seconds=seconds,
        connections=2,
    )


A_CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "payment_intent": None,
    "amount": 500,
    "amount_captured": 500,
    "amount_refunded": 0,
    "currency": "eur",
    "status": "succeeded",
}


def after_payment(respond: Callable[[socket.socket], object]) -> Callable[[socket.socket], object]:
    """Return a handler that shows the payment at the first call, and then calls `respond`."""
    responses = chain([sends(http_response(200, A_CHARGE))], repeat(respond))

    def respond_next(connection: socket.socket) -> None:
        next(responses)(connection)

    return respond_next


A_REFUND = {
    "id": "re_1",
    "object": "refund",
    "charge": "ch_1",
    "payment_intent": None,
    "amount": 500,
    "currency": "eur",
    "status": "succeeded",
    "metadata": {"moneyback_key": "key-1"},
    "created": 1_790_000_000,
}


def test_a_valid_response_is_paid() -> None:
    """This response has no fault. Each response of `test_an_unusable_response_is_unknown` has one fault."""
    with raw_server(after_payment(sends(http_response(200, A_REFUND)))) as url:
        assert refund(adapter_for(url)) == Paid("re_1", FIVE_EUROS)


@pytest.mark.parametrize("response", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_payment_that_cannot_be_read_is_not_refunded(response: bytes) -> None:
    connections = []

    def count_and_send(connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(response)

    with raw_server(count_and_send) as url:
        assert isinstance(refund(adapter_for(url)), Unknown)
    assert len(connections) == 1


UNUSABLE = UNREADABLE | {
    "the Boolean value true as the amount": http_response(200, A_REFUND | {"amount": True}),
    "an unknown currency": http_response(200, A_REFUND | {"currency": "bgn"}),
    "a list of currencies": http_response(200, A_REFUND | {"currency": ["eur"]}),
    "another charge": http_response(200, A_REFUND | {"charge": "ch_2"}),
    "no charge": http_response(200, A_REFUND | {"charge": None}),
    "an expanded charge": http_response(200, A_REFUND | {"charge": {"id": "ch_1"}}),
    "another key": http_response(200, A_REFUND | {"metadata": {"moneyback_key": "key-2"}}),
    "no key": http_response(200, A_REFUND | {"metadata": {}}),
    "no metadata": http_response(200, A_REFUND | {"metadata": None}),
    "metadata that is a list": http_response(200, A_REFUND | {"metadata": [1]}),
    "a new status": http_response(200, A_REFUND | {"status": "on_its_way"}),
    "no status": http_response(200, A_REFUND | {"status": None}),
    "a list of statuses": http_response(200, A_REFUND | {"status": ["succeeded"]}),
    "no id": http_response(200, A_REFUND | {"id": None}),
    "an empty id": http_response(200, A_REFUND | {"id": ""}),
    "a very long id": http_response(200, A_REFUND | {"id": "x" * 10_000}),
    "an object type that is a list": http_response(200, A_REFUND | {"object": ["refund"]}),
    "a list of refunds": http_response(200, {"object": "list", "data": [A_REFUND], "has_more": False}),
    "half a body": http_response(200, A_REFUND)[:-20],
    "an error that is a list": http_response(400, {"error": ["charge_already_refunded"]}),
    "an error code that is a list": http_response(400, {"error": {"code": ["charge_already_refunded"], "type": 7}}),
    "an error of another protocol": http_response(400, {"error": "invalid_client"}),
}


@pytest.mark.parametrize("response", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_response_is_unknown(response: bytes) -> None:
    with raw_server(after_payment(sends(response))) as url:
        unknown = refund(adapter_for(url))
    assert isinstance(unknown, Unknown)
    assert unknown.why.endswith(".")
    assert "rk_1" not in unknown.why


UNUSABLE_LISTS = UNREADABLE | {
    "a refund": http_response(200, A_REFUND),
    "no rows": http_response(200, {"object": "list", "data": {}, "has_more": False}),
    "no has_more field": http_response(200, {"object": "list", "data": []}),
    "more rows, but no id to start after": http_response(200, {"object": "list", "data": [], "has_more": True}),
    "more rows, but the last row has no id": http_response(200, {"object": "list", "data": [{}], "has_more": True}),
    "a refund with an unknown status": http_response(
        200, {"object": "list", "data": [A_REFUND | {"status": "asleep"}], "has_more": False}
    ),
    "a refund without a time": http_response(
        200, {"object": "list", "data": [A_REFUND | {"created": None}], "has_more": False}
    ),
}


@pytest.mark.parametrize("response", UNUSABLE_LISTS.values(), ids=UNUSABLE_LISTS.keys())
def test_an_unusable_list_is_unknown(response: bytes) -> None:
    with raw_server(sends(response)) as url:
        assert isinstance(adapter_for(url).look_up("ch_1", key="key-1"), Unknown)
        assert isinstance(adapter_for(url).list_refunds(LONG_AGO, None), Unknown)
        assert isinstance(adapter_for(url).dispute("ch_1"), Unknown)


def test_a_row_that_is_no_object_is_skipped_only_in_the_list_of_all_refunds() -> None:
    with raw_server(sends(http_response(200, {"object": "list", "data": [7, None], "has_more": False}))) as url:
        assert adapter_for(url).list_refunds(LONG_AGO, None) == RefundPage([], skipped=2)
        assert adapter_for(url).list_disputes(LONG_AGO, None) == DisputePage([], skipped=2)
        assert isinstance(adapter_for(url).look_up("ch_1", key="key-1"), Unknown)
        assert isinstance(adapter_for(url).dispute("ch_1"), Unknown)


def test_a_list_with_a_refund_of_another_charge_is_unknown() -> None:
    rows = {"object": "list", "data": [A_REFUND | {"charge": "ch_2"}], "has_more": False}
    with raw_server(sends(http_response(200, rows))) as url:
        assert isinstance(adapter_for(url).look_up("ch_1", key="key-1"), Unknown)


def test_a_reset_connection_is_unknown_and_not_retried() -> None:
    calls = []

    def count_and_reset(connection: socket.socket) -> None:
        calls.append(connection)
        resets(connection)

    with raw_server(after_payment(count_and_reset)) as url:
        assert refund(adapter_for(url)) == Unknown("The connection to Stripe failed: ConnectionError.")
    assert len(calls) == 1


def test_a_lookup_has_one_deadline_for_all_its_pages() -> None:
    page = http_response(200, {"object": "list", "data": [A_REFUND], "has_more": True})
    with raw_server(drips(page, SHORT_TIMEOUT * 0.4 / len(page))) as url:
        assert adapter_for(url, SHORT_TIMEOUT).look_up("ch_1", key="key-1") == Unknown("Stripe did not answer in time.")


def test_a_refused_connection_is_unknown() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        unknown = refund(adapter_for(f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert unknown == Unknown("The connection to Stripe failed: ConnectionError.")


def test_a_refund_at_a_server_without_tls_is_unknown() -> None:
    """The URL is an https URL, but the server uses no TLS. So the handshake fails."""
    with raw_server(sends(http_response(200, A_REFUND))) as url:
        unknown = refund(adapter_for(url.replace("http://", "https://")))
    assert unknown == Unknown("The connection to Stripe failed: SSLError.")


def test_reading_a_very_large_response_stops() -> None:
    flood = Flood()
    with raw_server(after_payment(flood)) as url:
        assert isinstance(refund(adapter_for(url)), Unknown)
    assert flood.sent < 100_000_000


@pytest.mark.parametrize("response", SLOW_RESPONSES.values(), ids=SLOW_RESPONSES.keys())
def test_reading_a_slow_response_stops_at_the_deadline(response: bytes) -> None:
    with raw_server(after_payment(drips(response, SHORT_TIMEOUT / 10))) as url:
        assert refund(adapter_for(url, SHORT_TIMEOUT)) == Unknown("Stripe did not answer in time.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*A_REFUND, "error", "code", "type", "data", "has_more"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(
    response=st.binary(max_size=200) | st.builds(http_response, st.sampled_from([200, 202, 400, 404, 409, 500]), JSON)
)
def test_a_random_response_is_never_paid(response: bytes) -> None:
    with raw_server(after_payment(sends(response))) as url:
        assert isinstance(refund(adapter_for(url, 5)), Unknown | Declined | WaitingForApproval)
        assert isinstance(adapter_for(url, 5).look_up("ch_1", key="key-1"), Unknown | NotFound)
        assert isinstance(adapter_for(url, 5).dispute("ch_1"), Unknown | DisputeStatus)


def _call_in_parallel(call: Callable[[int], RefundResult]) -> list[RefundResult]:
    barrier = Barrier(50)

    def wait_and_call(number: int) -> RefundResult:
        barrier.wait(TEST_TIMEOUT)
        return call(number)

    with ThreadPoolExecutor(50) as threads:
        return list(threads.map(wait_and_call, range(50)))
