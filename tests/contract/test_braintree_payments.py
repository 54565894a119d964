"""Braintree's sales and disputes as the adapter shows them: before a refund, after a webhook, and in lists."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ListedDispute,
    PaymentProvider,
    PaymentStatus,
    Unknown,
)
from domain.purchases import Dispute
from tests.doubles.braintree import FakeBraintree, adapter, xml_response
from tests.doubles.faulty_server import FaultyServer, HttpResponse, responds_with
from worker.providers.braintree.codes import DISPUTES, PAYMENT_STATUSES, REFUND_STATUSES

PRICE = Money(1999, "EUR")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOT_FOUND = Declined(DeclineReason.PERMANENT, "not_found")


@pytest.fixture
def braintree() -> FakeBraintree:
    return FakeBraintree()


@pytest.fixture
def server(braintree: FakeBraintree) -> Iterator[FaultyServer]:
    with braintree.serve() as server:
        yield server


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server, seller_metadata="shop")


@pytest.fixture
def charge(braintree: FakeBraintree) -> str:
    return braintree.add_sale("dhpc9w")


def test_a_sale_is_shown_with_its_refunds_and_disputes(
    provider: PaymentProvider, server: FaultyServer, braintree: FakeBraintree
) -> None:
    charge = braintree.add_sale(
        "s1", "49.00", payment_instrument_type="apple_pay_card", custom_fields={"shop": "aurora"}
    )
    braintree.refund_in_control_panel(charge, amount="10.00")
    braintree.refund_in_control_panel(charge, amount="5.00", status="submitted_for_settlement")
    dispute = braintree.add_dispute(charge)
    assert provider.payment(charge) == PaymentStatus(
        captured=Money(4900, "EUR"),
        refunded=1500,
        dispute=DisputeStatus(Dispute.OPEN, dispute),
        method="apple_pay",
        seller="aurora",
        code="settled",
    )
    assert [request.method for request in server.requests] == ["GET"] * 3
    assert provider.capabilities.shows_payments


def test_a_sale_without_refunds_is_shown_by_one_call(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    assert isinstance(provider.payment(charge), PaymentStatus)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", PAYMENT_STATUSES)
def test_a_sale_is_captured_from_its_submission_for_settlement(
    provider: PaymentProvider, braintree: FakeBraintree, status: str
) -> None:
    payment = provider.payment(braintree.add_sale("s1", status=status))
    assert isinstance(payment, PaymentStatus)
    assert payment.captured == (PRICE if status.startswith(("settl", "submitted")) and status not in FAILED else None)
    assert payment.code == status


FAILED = {"settlement_declined", "settlement_failed"}


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_refunds_that_are_not_settled_count_and_refunds_that_failed_do_not(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, status: str
) -> None:
    braintree.refund_in_control_panel(charge, amount="5.00", status=status)
    braintree.refund_in_control_panel(charge, amount="1.50")
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.refunded == (150 if REFUND_STATUSES[status].value == "failed" else 650)


@pytest.mark.parametrize("fields", [{"status": "a_later_status"}, {"created_at": None}, {"order_id": ["x"]}])
def test_a_refund_of_the_sale_with_a_strange_field_counts(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, fields: dict[str, object]
) -> None:
    braintree.refund_in_control_panel(charge, amount="5.00").update(fields)
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.refunded == 500


@pytest.mark.parametrize(
    ("instrument", "method"),
    [
        ("credit_card", "credit_card"),
        ("paypal_account", "paypal"),
        ("android_pay_card", "google_pay"),
        ("sepa_debit_account", "direct_debit"),
        ("us_bank_account", "direct_debit"),
        ("venmo_account", "venmo"),
        ("local_payment", "local_payment"),
        (None, None),
    ],
)
def test_the_method_has_moneybacks_word_or_braintrees(
    provider: PaymentProvider, braintree: FakeBraintree, instrument: str | None, method: str | None
) -> None:
    payment = provider.payment(braintree.add_sale("s1", payment_instrument_type=instrument))
    assert isinstance(payment, PaymentStatus)
    assert payment.method == method


@pytest.mark.parametrize("custom_fields", ["", None, {"other": "aurora"}, {"shop": None}, ["aurora"]])
def test_custom_fields_without_a_seller_name_no_seller(
    provider: PaymentProvider, braintree: FakeBraintree, custom_fields: object
) -> None:
    payment = provider.payment(braintree.add_sale("s1", custom_fields=custom_fields))
    assert isinstance(payment, PaymentStatus)
    assert payment.seller is None


def test_a_refund_is_no_payment(provider: PaymentProvider, braintree: FakeBraintree, charge: str) -> None:
    payment = provider.payment(braintree.refund_in_control_panel(charge)["id"])
    assert isinstance(payment, PaymentStatus)
    assert (payment.captured, payment.code) == (None, "credit")


def test_an_unknown_sale_is_declined(provider: PaymentProvider, server: FaultyServer) -> None:
    assert provider.payment("nobody") == NOT_FOUND
    server.requests.clear()
    for invalid in ("", "a/refund", "../a", "é"):
        assert provider.payment(invalid) == NOT_FOUND
    assert server.requests == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "another"},
        {"status": "a_later_status"},
        {"status": None},
        {"amount": "19.999"},
        {"amount": "NaN"},
        {"currency_iso_code": "XXX"},
        {"refund_ids": None},
        {"refund_ids": ["gone"]},
        {"disputes": None},
        {"disputes": [{"id": "d1", "received_date": "2026-11-01", "status": "a_later_status"}]},
    ],
)
def test_a_sale_that_cannot_be_read_is_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, wrong: dict[str, object]
) -> None:
    braintree.transactions[charge] |= wrong
    assert isinstance(provider.payment(charge), Unknown)


@pytest.mark.parametrize("status", DISPUTES)
def test_a_retrieval_is_an_inquiry_until_it_ends(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, status: str
) -> None:
    braintree.add_dispute(charge, status, kind="retrieval", reply_by_date=date(2026, 12, 1))
    expected = Dispute.INQUIRY if status in {"open", "disputed", "under_review"} else Dispute.WON
    dispute = provider.dispute(charge)
    assert isinstance(dispute, DisputeStatus)
    assert dispute == DisputeStatus(expected, "d1")
    assert dispute.respond_by
    assert dispute.respond_by.date() == date(2026, 12, 1)


@pytest.mark.parametrize(
    ("disputes", "expected"),
    [
        ([("retrieval", "open"), ("chargeback", "open")], Dispute.OPEN),
        ([("retrieval", "open"), ("chargeback", "lost")], Dispute.LOST),
        ([("retrieval", "disputed"), ("chargeback", "won")], Dispute.INQUIRY),
        ([("retrieval", "expired"), ("chargeback", "open")], Dispute.OPEN),
        ([("retrieval", "accepted"), ("chargeback", "lost")], Dispute.LOST),
        ([("retrieval", "lost"), ("chargeback", "won")], Dispute.WON),
        ([("chargeback", "won"), ("pre_arbitration", "open")], Dispute.OPEN),
        ([("chargeback", "won"), ("pre_arbitration", "won")], Dispute.WON),
    ],
)
def test_the_worst_of_several_disputes_decides(
    provider: PaymentProvider,
    braintree: FakeBraintree,
    charge: str,
    disputes: list[tuple[str, str]],
    expected: Dispute,
) -> None:
    for kind, status in disputes:
        braintree.add_dispute(charge, status, kind=kind)
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.dispute.dispute is expected


def test_the_disputes_since_a_day_are_listed_page_by_page(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    braintree.dispute_page_size = 2
    other = braintree.add_sale("other")
    braintree.add_dispute(charge, received_date=(NOON - 9 * DAY).date())
    names = [braintree.add_dispute(name, status) for name in (charge, other) for status in ("open", "lost")]
    braintree.add_dispute(other, "a_later_status")
    pages: list[DisputePage] = []
    cursor = None
    while not pages or cursor:
        page = provider.list_disputes(NOON - DAY, cursor)
        assert isinstance(page, DisputePage)
        pages.append(page)
        cursor = page.next_cursor
    assert [dispute for page in pages for dispute in page.disputes] == [
        ListedDispute(charge, DisputeStatus(Dispute.OPEN, names[0])),
        ListedDispute(charge, DisputeStatus(Dispute.LOST, names[1])),
        ListedDispute(other, DisputeStatus(Dispute.OPEN, names[2])),
        ListedDispute(other, DisputeStatus(Dispute.LOST, names[3])),
    ]
    assert [page.skipped for page in pages] == [0, 0, 1]
    assert provider.capabilities.lists_disputes


@pytest.mark.parametrize("wrong", [{"id": ""}, {"status": None}, {"transaction": None}, {"transaction": {"id": ""}}])
def test_a_dispute_that_cannot_be_read_is_left_out_of_the_list_and_counted(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, wrong: dict[str, object]
) -> None:
    name = braintree.add_dispute(charge)
    braintree.add_dispute(charge)
    braintree.transactions[charge]["disputes"][1] |= wrong
    expected = ListedDispute(charge, DisputeStatus(Dispute.OPEN, name))
    assert provider.list_disputes(NOON, None) == DisputePage([expected], skipped=1)


def test_without_disputes_the_list_is_empty(provider: PaymentProvider, charge: str) -> None:
    assert charge
    assert provider.list_disputes(NOON, None) == DisputePage([])


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(404),
        xml_response(200, disputes="none"),
        xml_response(200, disputes={"page_size": 50}),
        xml_response(200, disputes={"page_size": 50, "total_items": 1, "dispute": "d1"}),
        xml_response(200, search_results={"page_size": 50, "ids": []}),
    ],
)
def test_a_list_of_disputes_that_cannot_be_read_is_unknown(
    provider: PaymentProvider, server: FaultyServer, response: HttpResponse
) -> None:
    server.fault = responds_with(response)
    assert isinstance(provider.list_disputes(NOON, None), Unknown)


def test_a_refund_and_a_dispute_are_found_by_their_own_id(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str
) -> None:
    other = braintree.add_sale("other")
    refunds = [braintree.refund_in_control_panel(name)["id"] for name in (charge, other)]
    disputes = [braintree.add_dispute(name) for name in (charge, other)]
    assert [provider.refunded_charge(refund) for refund in refunds] == [charge, other]
    assert [provider.disputed_charge(dispute) for dispute in disputes] == [charge, other]
    assert len(server.requests) == 4
    assert provider.capabilities.finds_charges


def test_an_id_that_braintree_does_not_know_is_declined_and_an_invalid_id_is_not_sent(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    assert provider.refunded_charge("nobody") == provider.disputed_charge("nobody") == NOT_FOUND
    assert provider.refunded_charge(charge) == Declined(DeclineReason.PERMANENT, "not_a_refund")
    server.requests.clear()
    for invalid in ("", "d1/accept", "../d1", "é"):
        assert provider.refunded_charge(invalid) == provider.disputed_charge(invalid) == NOT_FOUND
    assert server.requests == []


@pytest.mark.parametrize("dispute", [{"id": "another", "transaction": {"id": "s1"}}, {"id": "d1"}, {"transaction": {}}])
def test_a_reply_about_another_dispute_names_no_payment(
    provider: PaymentProvider, server: FaultyServer, dispute: dict[str, object]
) -> None:
    server.fault = responds_with(xml_response(200, dispute=dispute))
    assert isinstance(provider.disputed_charge("d1"), Unknown)


def test_every_missing_right_is_named(provider: PaymentProvider, braintree: FakeBraintree, charge: str) -> None:
    assert charge
    assert provider.check_access() == {}
    braintree.refused_paths = ("/disputes",)
    assert provider.check_access() == {AccessRight.READ_DISPUTES: "Braintree refuses our credentials: 403."}
    braintree.refused_paths = ("/",)
    assert {*provider.check_access()} == {*AccessRight}


def test_an_account_without_idempotency_keys_is_named(provider: PaymentProvider, braintree: FakeBraintree) -> None:
    braintree.has_idempotency_keys = False
    missing = provider.check_access()
    assert {*missing} == {AccessRight.IDEMPOTENCY_KEYS}
    assert "915231" in missing[AccessRight.IDEMPOTENCY_KEYS]
    assert braintree.transactions == {}


def test_a_sale_that_braintree_does_not_refuse_shows_no_right(
    provider: PaymentProvider, server: FaultyServer, braintree: FakeBraintree, charge: str
) -> None:
    server.fault = responds_with(xml_response(201, transaction=braintree.transactions[charge]))
    assert AccessRight.IDEMPOTENCY_KEYS in provider.check_access()
