"""Mollie's payments as the adapter shows them: before a refund, after a webhook, and as purchases."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ListedDispute,
    ListedPurchase,
    PaymentProvider,
    PaymentStatus,
    PurchasePage,
    Unknown,
)
from domain.purchases import Dispute
from tests.doubles.faulty_server import FaultyServer, HttpResponse, responds_with
from tests.doubles.mollie import FakeMollie, adapter
from worker.providers.mollie.codes import PAYMENT_STATUSES, REFUND_STATUSES
from worker.providers.mollie.payments import Payment, parse_payment
from worker.providers.mollie.purchases import parse_purchase

PRICE = Money(1999, "EUR")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def mollie() -> FakeMollie:
    return FakeMollie()


@pytest.fixture
def server(mollie: FakeMollie) -> Iterator[FaultyServer]:
    with mollie.serve() as server:
        yield server


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server, seller_metadata="shop")


@pytest.fixture
def charge(mollie: FakeMollie) -> str:
    return mollie.add_payment("tr_7UhSN1zuXS")


def test_a_payment_is_shown_with_its_refunds_and_chargebacks_by_one_call(
    provider: PaymentProvider, server: FaultyServer, mollie: FakeMollie
) -> None:
    charge = mollie.add_payment("tr_1", "49.00", metadata={"shop": "aurora"}, method="directdebit")
    mollie.refund_in_dashboard(charge, "10.00")
    chargeback = mollie.add_chargeback(charge, NOON)
    assert provider.payment(charge) == PaymentStatus(
        captured=Money(4900, "EUR"),
        refunded=1000,
        dispute=DisputeStatus(Dispute.LOST, chargeback),
        method="direct_debit",
        seller="aurora",
        code="paid",
    )
    [request] = server.requests
    assert (request.path, dict(request.query)) == (f"/v2/payments/{charge}", {"embed": "refunds,chargebacks"})
    assert provider.capabilities.shows_payments


@pytest.mark.parametrize("status", PAYMENT_STATUSES)
def test_only_a_paid_payment_is_captured(provider: PaymentProvider, mollie: FakeMollie, status: str) -> None:
    charge = mollie.add_payment("tr_1", status=status)
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.captured == (PRICE if status == "paid" else None)
    assert payment.code == status
    purchase = provider.purchase(charge)
    assert isinstance(purchase, ListedPurchase) or purchase == Declined(DeclineReason.NOT_CAPTURED, status)


@pytest.mark.parametrize(
    ("captured", "amount"),
    [
        ({"value": "12.50", "currency": "EUR"}, Money(1250, "EUR")),
        ({"value": "19.99", "currency": "EUR"}, PRICE),
        (None, PRICE),
    ],
)
def test_only_the_captured_part_of_a_reservation_was_paid(
    provider: PaymentProvider, mollie: FakeMollie, captured: dict[str, str] | None, amount: Money
) -> None:
    payment = provider.payment(mollie.add_payment("tr_1", amountCaptured=captured))
    assert isinstance(payment, PaymentStatus)
    assert payment.captured == amount


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_refunds_that_wait_count_and_refunds_that_failed_do_not(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, status: str
) -> None:
    mollie.refund_in_dashboard(charge, "5.00", status=status)
    mollie.refund_in_dashboard(charge, "1.50", status="refunded")
    mollie.payments[charge]["amountRefunded"] = {"value": "1.50", "currency": "EUR"}
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.refunded == (150 if status in {"failed", "canceled"} else 650)


@pytest.mark.parametrize("fields", [{"status": "a_later_status"}, {"createdAt": None}, {"id": None}, {"metadata": 7}])
def test_a_refund_of_the_payment_with_a_strange_field_counts(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, fields: dict[str, object]
) -> None:
    mollie.refund_in_dashboard(charge, "5.00", **fields)
    mollie.payments[charge]["amountRefunded"] = None
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.refunded == 500


def test_a_sum_of_refunds_without_embedded_refunds_counts(provider: PaymentProvider, mollie: FakeMollie) -> None:
    charge = mollie.add_payment("tr_1", amountRefunded={"value": "7.00", "currency": "EUR"})
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.refunded == 700


@pytest.mark.parametrize(
    ("chargebacks", "expected"),
    [
        ([], Dispute.NONE),
        ([(0, False)], Dispute.LOST),
        ([(0, True)], Dispute.WON),
        ([(0, False), (1, True)], Dispute.LOST),
        ([(0, True), (1, True)], Dispute.WON),
    ],
)
def test_a_chargeback_is_lost_until_it_is_reversed(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, chargebacks: list[tuple[int, bool]], expected: Dispute
) -> None:
    for days, is_reversed in chargebacks:
        mollie.add_chargeback(charge, NOON + days * DAY, reversed_at=NOON + 9 * DAY if is_reversed else None)
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.dispute.dispute is expected
    assert provider.dispute(charge) == payment.dispute


def test_an_amount_that_was_charged_back_is_lost_even_if_no_chargeback_is_shown(
    provider: PaymentProvider, mollie: FakeMollie
) -> None:
    charge = mollie.add_payment("tr_1", amountChargedBack={"value": "19.99", "currency": "EUR"})
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.dispute == DisputeStatus(Dispute.LOST)


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        ({"method": "creditcard"}, "credit_card"),
        ({"method": "creditcard", "details": {"wallet": "applepay"}}, "apple_pay"),
        ({"method": "creditcard", "details": {"wallet": "googlepay"}}, "google_pay"),
        ({"method": "creditcard", "details": {"wallet": None}}, "credit_card"),
        ({"method": "creditcard", "details": None}, "credit_card"),
        ({"method": "paypal"}, "paypal"),
        ({"method": "bacs"}, "direct_debit"),
        ({"method": "banktransfer"}, "wire_transfer"),
        ({"method": "ideal"}, "ideal"),
        ({"method": None}, None),
    ],
)
def test_the_method_has_moneybacks_word_or_mollies(
    provider: PaymentProvider, mollie: FakeMollie, fields: dict[str, Any], method: str | None
) -> None:
    payment = provider.payment(mollie.add_payment("tr_1", **fields))
    assert isinstance(payment, PaymentStatus)
    assert payment.method == method


@pytest.mark.parametrize(
    "metadata", [None, "aurora", ["aurora"], 7, {}, {"shop": ""}, {"shop": 7}, {"other": "aurora"}]
)
def test_metadata_without_a_seller_names_no_seller(
    provider: PaymentProvider, mollie: FakeMollie, metadata: object
) -> None:
    payment = provider.payment(mollie.add_payment("tr_1", metadata=metadata))
    assert isinstance(payment, PaymentStatus)
    assert payment.seller is None


def test_an_unknown_payment_is_declined(provider: PaymentProvider, server: FaultyServer) -> None:
    assert provider.payment("tr_nobody") == provider.purchase("tr_nobody") == Declined(DeclineReason.PERMANENT, "404")
    server.requests.clear()
    for invalid in ("", "re_1", "../tr_1", "tr_1?x=1", "tr_é"):
        assert provider.payment(invalid) == Declined(DeclineReason.PERMANENT, "not a payment's id")
    assert server.requests == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "tr_another"},
        {"id": None},
        {"status": "a_later_status"},
        {"status": ["paid"]},
        {"amount": None},
        {"amount": {"value": "19.999", "currency": "EUR"}},
        {"amountRefunded": {"value": 1, "currency": "EUR"}},
        {"amountCaptured": "19.99"},
        {"_embedded": [1]},
        {"_embedded": {"refunds": [None]}},
        {"_embedded": {"refunds": [{"status": "paid"}]}},
        {"_embedded": {"chargebacks": [{"id": "chb_1"}]}},
        {"_embedded": {"chargebacks": [{"id": "chb_1", "paymentId": "tr_x", "createdAt": "2026-11-22T12:00:00Z"}]}},
        {"details": [1]},
    ],
)
def test_a_payment_that_cannot_be_read_is_unknown(
    provider: PaymentProvider, server: FaultyServer, mollie: FakeMollie, charge: str, wrong: dict[str, Any]
) -> None:
    body = json.dumps(mollie.payments[charge] | wrong).encode()
    server.fault = responds_with(HttpResponse(200, body))
    assert isinstance(provider.payment(charge), Unknown)
    assert isinstance(provider.purchase(charge), Unknown)


def test_the_chargebacks_since_an_instant_are_listed_page_by_page(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    mollie.page = 2
    names = [
        mollie.add_chargeback(charge, NOON + hour * timedelta(hours=1), reversed_at=NOON if hour == 1 else None)
        for hour in range(-3, 2)
    ]
    mollie.chargebacks[3]["createdAt"] = None
    first = provider.list_disputes(NOON - timedelta(hours=1), None)
    assert isinstance(first, DisputePage)
    assert first.disputes == [ListedDispute(charge, DisputeStatus(Dispute.WON, names[4]))]
    assert first.skipped == 1
    second = provider.list_disputes(NOON - timedelta(hours=1), first.next_cursor)
    assert second == DisputePage([ListedDispute(charge, DisputeStatus(Dispute.LOST, names[2]))])
    assert provider.capabilities.lists_disputes


@pytest.mark.parametrize("wrong", [{"paymentId": None}, {"id": ""}, {"createdAt": "never"}, {"paymentId": "x" * 101}])
def test_a_chargeback_that_cannot_be_read_is_left_out_of_the_list_and_counted(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, wrong: dict[str, object]
) -> None:
    name = mollie.add_chargeback(charge, NOON)
    mollie.add_chargeback(charge, NOON)
    mollie.chargebacks[1] |= wrong
    page = provider.list_disputes(NOON, None)
    assert page == DisputePage([ListedDispute(charge, DisputeStatus(Dispute.LOST, name))], skipped=1)


def test_a_payment_is_a_purchase_with_everything_that_mollie_knows(
    provider: PaymentProvider, mollie: FakeMollie
) -> None:
    line = {"type": "digital", "description": "Engine", "vatAmount": {"value": "2.00", "currency": "EUR"}}
    fee = line | {"type": "shipping_fee", "description": "Post", "vatAmount": {"value": "0.50", "currency": "EUR"}}
    charge = mollie.add_payment(
        "tr_1",
        description="Invoice 2026-17",
        orderId="ord_5B8cwPMGnU",
        billingAddress={"email": " ada@example.org "},
        metadata={"order_id": 1001, "invoice": "A-7", "email": "other@example.org", "shop": "aurora", "paid": True},
        lines=[line, fee, line | {"description": "Manual"}],
        details={"cardFingerprint": "fp_1", "consumerAccount": "NL91ABNA0417164300"},
        createdAt=(NOON - DAY).isoformat(),
        sequenceType="recurring",
    )
    mollie.refund_in_dashboard(charge, "5.00")
    expected = ListedPurchase(
        charge=charge,
        amount=PRICE,
        email="ada@example.org",
        references={
            "description": "Invoice 2026-17",
            "orderId": "ord_5B8cwPMGnU",
            "metadata.order_id": "1001",
            "metadata.invoice": "A-7",
            "metadata.shop": "aurora",
        },
        product="Engine, Manual",
        method="credit_card",
        purchased_at=NOON,
        tax=450,
        refunded=500,
        dispute=Dispute.NONE,
        instrument="fp_1",
        renewal=True,
        seller="aurora",
    )
    assert provider.purchase(charge) == expected
    assert provider.purchases(NOON, None) == PurchasePage([expected])
    assert provider.capabilities.lists_purchases
    assert "ada@" not in repr(expected)


@pytest.mark.parametrize(
    ("fields", "email"),
    [
        ({"billingAddress": {"email": "a@example.org"}, "metadata": {"email": "b@example.org"}}, "a@example.org"),
        ({"billingAddress": {"email": ""}, "metadata": {"email": "b@example.org"}}, "b@example.org"),
        ({"billingAddress": {}, "shippingAddress": {"email": "c@example.org"}}, "c@example.org"),
        ({"metadata": "d@example.org"}, None),
        ({"metadata": {"email": "nobody"}}, None),
        ({"metadata": {"email": 7}}, None),
        ({"details": {"consumerAccount": "paypal@example.org"}}, None),
        ({}, None),
    ],
)
def test_the_address_of_the_order_is_the_customers_address(
    provider: PaymentProvider, mollie: FakeMollie, fields: dict[str, Any], email: str | None
) -> None:
    purchase = provider.purchase(mollie.add_payment("tr_1", **fields))
    assert isinstance(purchase, ListedPurchase)
    assert purchase.email == email


@pytest.mark.parametrize(
    ("metadata", "references"),
    [
        (None, {}),
        ("4711", {"metadata": "4711"}),
        ({"order": "4711", "nested": {"a": 1}, "empty": " ", "rate": 0.19}, {"metadata.order": "4711"}),
        (["4711"], {}),
        ({"text": "x" * 101}, {}),
    ],
)
def test_every_short_text_of_the_metadata_may_be_the_reference(
    provider: PaymentProvider, mollie: FakeMollie, metadata: object, references: dict[str, str]
) -> None:
    purchase = provider.purchase(mollie.add_payment("tr_1", metadata=metadata, description="Two licences"))
    assert isinstance(purchase, ListedPurchase)
    assert purchase.references == {"description": "Two licences", **references}
    assert purchase.product == "Two licences"


def test_payments_are_listed_by_the_instant_of_the_payment(provider: PaymentProvider, mollie: FakeMollie) -> None:
    """A bank transfer is created days before it is paid, so older payments are read, too."""
    mollie.page = 2
    for name in ("tr_more_ancient", "tr_ancient"):
        mollie.add_payment(name, createdAt=(NOON - 30 * DAY).isoformat(), paidAt=(NOON - 30 * DAY).isoformat())
    mollie.add_payment("tr_transfer", createdAt=(NOON - 12 * DAY).isoformat(), method="banktransfer")
    mollie.add_payment("tr_old", createdAt=(NOON - 9 * DAY).isoformat(), paidAt=(NOON - 8 * DAY).isoformat())
    mollie.add_payment("tr_open", status="open", paidAt=None)
    mollie.add_payment("tr_strange", amount=None)
    mollie.add_payment("tr_new")
    pages: list[PurchasePage] = []
    cursor = None
    while not pages or cursor:
        page = provider.purchases(NOON - DAY, cursor)
        assert isinstance(page, PurchasePage)
        pages.append(page)
        cursor = page.next_cursor
    assert [purchase.charge for page in pages for purchase in page.purchases] == ["tr_new", "tr_transfer"]
    assert len(pages) == 3
    assert sum(page.skipped for page in pages) == 2


def test_a_refund_and_a_chargeback_are_found_by_their_own_id(
    provider: PaymentProvider, mollie: FakeMollie, server: FaultyServer
) -> None:
    charges = [mollie.add_payment(f"tr_{number}") for number in range(3)]
    refunds = [mollie.refund_in_dashboard(charge, "1.00")["id"] for charge in charges]
    chargebacks = [mollie.add_chargeback(charge, NOON) for charge in charges]
    mollie.disputes["dsp_1"] = {"resource": "dispute", "id": "dsp_1", "paymentId": charges[1], "status": "open"}
    assert [provider.refunded_charge(refund) for refund in refunds] == charges
    assert [provider.disputed_charge(chargeback) for chargeback in chargebacks] == charges
    assert provider.disputed_charge("dsp_1") == charges[1]
    assert len(server.requests) == 7
    assert provider.capabilities.finds_charges


def test_an_id_that_mollie_does_not_know_is_declined_and_an_invalid_id_is_not_sent(
    provider: PaymentProvider, server: FaultyServer
) -> None:
    unknown = Declined(DeclineReason.PERMANENT, "404")
    assert provider.refunded_charge("re_1") == provider.disputed_charge("chb_1") == unknown
    assert provider.disputed_charge("dsp_1") == unknown
    server.requests.clear()
    for invalid in ("", "chb_", "chb_1/../x", "../chb_1", "dsp_é", "re_1&limit=9"):
        assert isinstance(provider.refunded_charge(invalid), Declined)
        assert isinstance(provider.disputed_charge(invalid), Declined)
    assert server.requests == []


@pytest.mark.parametrize(
    "row", [{"id": "chb_another", "paymentId": "tr_1"}, {"id": "chb_1", "paymentId": None}, {"id": "chb_1"}, None]
)
def test_a_reply_about_another_chargeback_names_no_payment(
    provider: PaymentProvider, server: FaultyServer, row: dict[str, object] | None
) -> None:
    document = {"count": 1, "_embedded": {"chargebacks": [row]}, "_links": {}}
    server.fault = responds_with(HttpResponse(200, json.dumps(document).encode()))
    assert isinstance(provider.disputed_charge("chb_1"), Unknown)


def test_every_missing_right_is_named(provider: PaymentProvider, mollie: FakeMollie, server: FaultyServer) -> None:
    assert provider.check_access() == {}
    assert {request.method for request in server.requests} == {"GET"}
    assert {request.query["limit"] for request in server.requests} == {"1"}
    mollie.refused_lists = {"chargebacks"}
    assert provider.check_access() == {AccessRight.READ_DISPUTES: "Mollie refuses our credentials: 403."}
    assert {*adapter(server, api_key="live_other").check_access()} == {
        AccessRight.READ_REFUNDS,
        AccessRight.READ_DISPUTES,
        AccessRight.READ_PAYMENTS,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["email", "wallet", "value", "currency", "x"]), inner)
    ),
    max_leaves=8,
)
FIELDS = [
    *(
        "id",
        "status",
        "amount",
        "amountCaptured",
        "amountRefunded",
        "amountChargedBack",
        "method",
        "details",
        "metadata",
    ),
    *("billingAddress", "lines", "description", "orderId", "paidAt", "createdAt", "sequenceType", "_embedded"),
]


@settings(deadline=None)
@given(changes=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_a_payment_with_random_fields_is_parsed_or_unreadable(changes: dict[str, Any]) -> None:
    mollie = FakeMollie()
    mollie.add_payment("tr_1")
    payment = parse_payment(mollie.payments["tr_1"] | changes)
    assert payment is None or isinstance(payment, Payment)
    if payment:
        purchase = parse_purchase(payment, seller=None)
        assert purchase is None or isinstance(purchase, ListedPurchase)
