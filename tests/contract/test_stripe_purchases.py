"""Tests of how Stripe's adapter lists payments as purchases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.money import Money
from domain.providers import Declined, DeclineReason, ListedPurchase, PaymentProvider, PurchasePage, Unknown
from domain.purchases import Dispute
from tests.doubles.stripe import FakeStripe, error_response, run_fake_stripe

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BOTH_IDS = pytest.mark.parametrize("payment", ["ch_1", "pi_1"])
AN_INVOICE: dict[str, Any] = {
    "id": "in_1",
    "number": "A-0001",
    "billing_reason": "subscription_create",
    "total": 500,
    "tax": 80,
    "metadata": {"from_invoice": "2"},
    "subscription_details": {"metadata": {"from_subscription": "1"}},
    "lines": {"data": [{"description": "1 × Pro"}, {"description": None}, {"description": "2 × Seats"}]},
}


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with run_fake_stripe() as fake:
        yield fake


@pytest.fixture
def adapter(stripe: FakeStripe) -> PaymentProvider:
    return stripe.adapter()


def read(stripe: FakeStripe, payment: str = "ch_1", **charge: Any) -> ListedPurchase:
    """Return a charge with these fields as a purchase. The list and both ids of the payment give the same purchase."""
    stripe.add_charge("ch_1", **({"payment_intent": "pi_1"} | charge))
    adapter = stripe.adapter()
    purchase = adapter.purchase(payment)
    assert isinstance(purchase, ListedPurchase)
    assert adapter.purchases(LONG_AGO, None) == PurchasePage([purchase])
    return purchase


def fields(**values: Any) -> dict[str, Any]:
    return {"fields": values}


@BOTH_IDS
def test_a_charge_is_a_purchase_with_all_that_stripe_knows(stripe: FakeStripe, payment: str) -> None:
    stripe.refunds.append(
        {"id": "re_0", "charge": "ch_1", "payment_intent": "pi_1", "amount": 100, "status": "succeeded", "created": 1}
    )
    purchase = read(
        stripe,
        payment,
        intent={"metadata": {"order": "1001", "shared": "intent"}},
        fields={
            "created": 1_790_000_000,
            "billing_details": {"email": "ada@example.com"},
            "receipt_number": "1234-5678",
            "description": "Subscription update",
            "invoice": AN_INVOICE | {"billing_reason": "subscription_cycle"},
            "metadata": {"cart": "7", "shared": "charge"},
        },
    )
    assert purchase == ListedPurchase(
        charge="pi_1",
        other_ids=("ch_1",),
        amount=Money(500, "EUR"),
        email="ada@example.com",
        references={
            "receipt_number": "1234-5678",
            "invoice_number": "A-0001",
            "metadata.from_subscription": "1",
            "metadata.from_invoice": "2",
            "metadata.order": "1001",
            "metadata.shared": "charge",
            "metadata.cart": "7",
        },
        product="1 × Pro, 2 × Seats",
        method="credit_card",
        purchased_at=datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
        tax=80,
        refunded=100,
        instrument="card_1",
        renewal=True,
    )
    assert "ada@example.com" not in repr(purchase)


def test_a_charge_without_a_payment_intent_has_one_id(stripe: FakeStripe) -> None:
    purchase = read(stripe, payment_intent=None)
    assert (purchase.charge, purchase.other_ids) == ("ch_1", ())


EMAILS: dict[str, tuple[dict[str, Any], str | None]] = {
    "entered at the payment": (
        {
            "billing_details": {"email": "a@x.de"},
            "receipt_email": "b@x.de",
            "customer": {"id": "cus_1", "email": "c@x.de"},
        },
        "a@x.de",
    ),
    "for the receipt": (
        {"billing_details": {"email": None}, "receipt_email": "b@x.de", "customer": {"id": "cus_1", "email": "c@x.de"}},
        "b@x.de",
    ),
    "of the customer": ({"billing_details": None, "customer": {"id": "cus_1", "email": "c@x.de"}}, "c@x.de"),
    "of a deleted customer": ({"customer": {"id": "cus_1", "deleted": True}}, None),
    "blank": ({"billing_details": {"email": " "}, "receipt_email": ""}, None),
    "not there": ({}, None),
}


@pytest.mark.parametrize(("charge", "email"), EMAILS.values(), ids=EMAILS.keys())
def test_the_most_specific_address_of_the_customer_is_taken(
    stripe: FakeStripe, charge: dict[str, Any], email: str | None
) -> None:
    assert read(stripe, fields=charge).email == email


PRODUCTS: dict[str, tuple[dict[str, Any], str]] = {
    "the invoice": ({"invoice": AN_INVOICE, "description": "Subscription creation"}, "1 × Pro, 2 × Seats"),
    "the description": ({"description": "A poster", "calculated_statement_descriptor": "AURORA"}, "A poster"),
    "the description beside an empty invoice": (
        {"invoice": AN_INVOICE | {"lines": {"data": []}}, "description": "A poster"},
        "A poster",
    ),
    "the bank statement": ({"description": None, "calculated_statement_descriptor": "AURORA"}, "AURORA"),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize(("charge", "product"), PRODUCTS.values(), ids=PRODUCTS.keys())
def test_the_product_is_named_as_precisely_as_possible(
    stripe: FakeStripe, charge: dict[str, Any], product: str
) -> None:
    assert read(stripe, fields=charge).product == product


@pytest.mark.parametrize(
    ("invoice", "tax"),
    [({}, 80), ({"tax": 0}, 0), ({"tax": None}, None), ({"total": 900}, None), ({"total": None}, None)],
)
def test_the_tax_is_known_if_the_payment_paid_the_whole_invoice(
    stripe: FakeStripe, invoice: dict[str, Any], tax: int | None
) -> None:
    assert read(stripe, fields={"invoice": AN_INVOICE | invoice}).tax == tax


@pytest.mark.parametrize(
    ("reason", "renewal"),
    [("subscription_cycle", True), ("subscription_create", False), ("subscription_update", False), ("manual", False)],
)
def test_only_the_next_period_of_a_subscription_is_a_renewal(stripe: FakeStripe, reason: str, *, renewal: bool) -> None:
    assert read(stripe, fields={"invoice": AN_INVOICE | {"billing_reason": reason}}).renewal is renewal


INSTRUMENTS: dict[str, tuple[Any, str | None]] = {
    "a card": ({"type": "card", "card": {"fingerprint": "f1"}}, "f1"),
    "a bank account": ({"type": "sepa_debit", "sepa_debit": {"fingerprint": "f2"}}, "f2"),
    "Alipay": ({"type": "alipay", "alipay": {"fingerprint": "f3"}}, "f3"),
    "PayPal": ({"type": "paypal", "paypal": {"payer_email": "ada@example.com"}}, None),
    "no details": (None, None),
}


@pytest.mark.parametrize(("details", "instrument"), INSTRUMENTS.values(), ids=INSTRUMENTS.keys())
def test_the_instrument_is_the_fingerprint(stripe: FakeStripe, details: Any, instrument: str | None) -> None:
    assert read(stripe, fields={"payment_method_details": details}).instrument == instrument


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [(4900, "jpy", Money(4900, "JPY")), (4900, "isk", Money(49, "ISK")), (4900, "kwd", Money(4900, "KWD"))],
)
def test_amounts_are_converted_from_stripes_units(stripe: FakeStripe, amount: int, currency: str, money: Money) -> None:
    invoice = AN_INVOICE | {"total": amount, "tax": 400}
    purchase = read(stripe, amount=amount, currency=currency, fields={"invoice": invoice})
    assert (purchase.amount, purchase.tax) == (money, 4 if currency == "isk" else 400)


def test_the_captured_part_is_the_amount_of_the_purchase(stripe: FakeStripe) -> None:
    assert read(stripe, captured=300).amount == Money(300, "EUR")


@pytest.mark.parametrize(
    ("status", "dispute"),
    [
        ("needs_response", Dispute.OPEN),
        ("lost", Dispute.LOST),
        ("won", Dispute.WON),
        ("warning_under_review", Dispute.INQUIRY),
    ],
)
def test_a_purchase_has_the_status_of_its_dispute(stripe: FakeStripe, status: str, dispute: Dispute) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1")
    stripe.dispute("ch_1", status)
    assert read(stripe).dispute is dispute


def test_a_page_is_unknown_if_a_dispute_cannot_be_read(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_1")
    stripe.dispute("ch_1", "won")
    stripe.disputes[0] |= {"status": None}
    assert isinstance(adapter.purchases(LONG_AGO, None), Unknown)
    assert isinstance(adapter.purchase("ch_1"), Unknown)


NO_PURCHASES: dict[str, tuple[dict[str, Any], str]] = {
    "authorised only": ({"captured": 0}, "requires_capture"),
    "declined": ({"status": "failed", "fields": {"failure_code": "card_declined"}}, "card_declined"),
    "voided": ({"captured": 0, "intent": {"status": "canceled"}}, "canceled"),
    "a bank debit on its way": ({"status": "pending"}, "processing"),
}


@BOTH_IDS
@pytest.mark.parametrize(("charge", "code"), NO_PURCHASES.values(), ids=NO_PURCHASES.keys())
def test_a_payment_that_brought_no_money_is_no_purchase(
    stripe: FakeStripe, adapter: PaymentProvider, payment: str, charge: dict[str, Any], code: str
) -> None:
    stripe.add_charge("ch_1", payment_intent="pi_1", **charge)
    assert adapter.purchase(payment) == Declined(DeclineReason.NOT_CAPTURED, code)
    assert adapter.purchases(LONG_AGO, None) == PurchasePage([], skipped=1)


@pytest.mark.parametrize(
    "strange",
    [
        {"currency": "bgn"},
        {"amount_captured": "500"},
        {"created": None},
        {"created": 10**30},
        {"payment_intent": {"id": ["pi_1"]}},
        {"invoice": AN_INVOICE | {"tax": "much"}},
        {"object": "refund"},
    ],
)
def test_a_charge_that_cannot_be_read_is_skipped(
    stripe: FakeStripe, adapter: PaymentProvider, strange: dict[str, Any]
) -> None:
    stripe.add_charge("ch_2")
    stripe.add_charge("ch_1", fields=strange)
    page = adapter.purchases(LONG_AGO, None)
    assert isinstance(page, PurchasePage)
    assert [purchase.charge for purchase in page.purchases] == ["ch_2"]
    assert page.skipped == 1


@pytest.mark.parametrize("payment", ["ch_nobody", "pi_nobody"])
def test_a_payment_that_stripe_does_not_know_is_no_purchase(adapter: PaymentProvider, payment: str) -> None:
    assert adapter.purchase(payment) == Declined(DeclineReason.PERMANENT, "resource_missing")


def test_the_purchases_since_an_instant_are_listed_page_by_page(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_old")
    since = datetime.fromtimestamp(stripe.clock + 1, UTC)
    for number in range(60):
        stripe.add_charge(f"ch_{number}", status="failed" if number % 10 == 0 else "succeeded")
    found, skipped, cursor = [], 0, None
    for _ in range(3):
        page = adapter.purchases(since, cursor)
        assert isinstance(page, PurchasePage)
        found += [purchase.charge for purchase in page.purchases]
        skipped, cursor = skipped + page.skipped, page.next_cursor
    assert found == [f"ch_{number}" for number in reversed(range(60)) if number % 10]
    assert (skipped, cursor) == (6, None)


@pytest.mark.parametrize("permission", ["charge_read", "customer_read", "invoice_read", "payment_intent_read"])
def test_a_missing_permission_for_purchases_is_named(
    stripe: FakeStripe, adapter: PaymentProvider, permission: str
) -> None:
    stripe.missing_permissions = {permission}
    assert adapter.purchases(LONG_AGO, None) == Unknown(
        f"Our API key at Stripe lacks the permission {permission}.", invalid_credentials=True
    )


@pytest.mark.parametrize("answer", [error_response(500, None), error_response(429, None, Retry_After="7")])
def test_a_page_that_cannot_be_read_is_unknown(stripe: FakeStripe, adapter: PaymentProvider, answer: Any) -> None:
    stripe.instead = [answer]
    assert isinstance(adapter.purchases(LONG_AGO, None), Unknown)


def test_purchases_of_a_connected_account_are_listed(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_1", account="acct_1")
    assert adapter.purchases(LONG_AGO, None) == PurchasePage([])
    page = stripe.adapter(connected_account="acct_1").purchases(LONG_AGO, None)
    assert isinstance(page, PurchasePage)
    assert [purchase.charge for purchase in page.purchases] == ["ch_1"]
