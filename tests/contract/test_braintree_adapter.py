"""Tests of Braintree's adapter with faulty responses, and with a fake Braintree that follows Braintree's documentation.

In test names, "unknown" means that the adapter returns Unknown, because it cannot know what happened at the provider.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import import_module
from time import monotonic
from typing import Any

import pytest

from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    NotFound,
    Paid,
    PaymentProvider,
    Pending,
    RefundPage,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from tests.doubles.braintree import (
    Elements,
    FakeBraintree,
    account_of,
    adapter,
    error_response,
    parse_xml,
    xml_response,
)
from tests.doubles.faulty_server import (
    AFTER_CARRYING_OUT,
    Answer,
    ClientConnection,
    Fault,
    FaultyServer,
    HttpResponse,
    no_fault,
    reset_before,
    responds_with,
)
from tests.doubles.raw_server import UNREADABLE, raw_server, sends
from worker.providers.braintree.adapter import create_adapter
from worker.providers.braintree.codes import (
    CODES,
    DISPUTES,
    PAYMENT_STATUSES,
    REFUND_STATUSES,
    RETRIEVALS,
    UNDECIDED_CODES,
)

PRICE = Money(1999, "EUR")
KEY = "mb_2f1c"
SHORT_TIMEOUT = 1.5  # seconds; for calls whose response comes too late
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
VALIDATION = [code for code in CODES if code.startswith("91")]
PROCESSOR = [code for code in CODES if code[0] in "23"]
SETTLEMENT = [code for code in CODES if code[0] == "4"]


@pytest.fixture
def braintree() -> FakeBraintree:
    return FakeBraintree()


@pytest.fixture
def server(braintree: FakeBraintree) -> Iterator[FaultyServer]:
    with braintree.serve() as server:
        yield server


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server)


@pytest.fixture
def charge(braintree: FakeBraintree) -> str:
    return braintree.add_sale("dhpc9w")


def on_post(fault: Fault) -> Fault:
    """Return a fault that applies to POST requests only."""

    def only_on_post(connection: ClientConnection, answer: Answer) -> None:
        (fault if connection.method == "POST" else no_fault)(connection, answer)

    return only_on_post


def results_of_every_call(provider: PaymentProvider, charge: str) -> list[object]:
    return [
        provider.refund(charge, PRICE, key=KEY),
        provider.look_up(charge, key=KEY),
        provider.dispute(charge),
        provider.list_refunds(NOON, None),
        provider.refunds(charge),
        provider.payment(charge),
        provider.list_disputes(NOON, None),
        provider.refunded_charge(charge),
        provider.disputed_charge("d1"),
    ]


def test_a_refund_request_has_the_full_amount_and_our_key(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Pending("r1", PRICE)
    request = server.requests[-1]
    assert (request.method, request.path) == ("POST", f"/merchants/a_merchant/transactions/{charge}/refund")
    expected = {"amount": "19.99", "order_id": KEY, "api_request_key": KEY}
    assert parse_xml(request.body) == expected


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("500", Money(500, "JPY")),
        ("500.00", Money(500, "JPY")),
        ("0.05", Money(5, "EUR")),
        ("1.234", Money(1234, "KWD")),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(
    provider: PaymentProvider, braintree: FakeBraintree, value: str, amount: Money
) -> None:
    charge = braintree.add_sale("many", value, amount.currency)
    assert provider.refund(charge, amount, key=KEY) == Pending("r1", amount)
    braintree.transactions["r1"]["amount"] = value
    assert provider.look_up(charge, key=KEY) == Pending("r1", amount)


def test_two_calls_with_the_same_key_pay_once(provider: PaymentProvider, braintree: FakeBraintree, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(braintree.transactions) == 2


def test_many_callers_with_one_key_pay_once(provider: PaymentProvider, braintree: FakeBraintree, charge: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = {*pool.map(lambda _: provider.refund(charge, PRICE, key=KEY), range(30))}
    assert answers == {Pending("r1", PRICE)}
    assert len(braintree.transactions) == 2


def test_many_callers_do_not_mix_up_their_refunds(provider: PaymentProvider, braintree: FakeBraintree) -> None:
    charges = [braintree.add_sale(f"s{number}") for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        answers = [*pool.map(lambda charge: provider.refund(charge, PRICE, key=f"mb_{charge}"), charges)]
        found = [*pool.map(lambda charge: provider.look_up(charge, key=f"mb_{charge}"), charges)]
    assert {type(answer) for answer in answers} == {Pending}
    assert answers == found


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("transaction.Transaction", REFUND_STATUSES),
        ("transaction.Transaction", PAYMENT_STATUSES),
        ("dispute.Dispute", DISPUTES),
    ],
)
def test_every_status_in_the_sdk_is_known(name: str, known: dict[str, object]) -> None:
    module, _, class_name = name.partition(".")
    statuses = vars(getattr(import_module(f"braintree.{module}"), class_name).Status)
    assert {value for name, value in statuses.items() if not name.startswith("_")} == {*known}


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_refund_status_is_paid_pending_or_failed(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, status: str
) -> None:
    braintree.refund_in_control_panel(charge, status=status, order_id=KEY, processor_response_code=None)
    expected = {
        RefundStatus.PAID: Paid("r1", PRICE),
        RefundStatus.PENDING: Pending("r1", PRICE),
        RefundStatus.FAILED: Failed("r1", status, CODES.get(status, DeclineReason.PERMANENT)),
    }
    assert provider.look_up(charge, key=KEY) == expected[REFUND_STATUSES[status]]


def test_every_error_code_is_tested() -> None:
    assert {*VALIDATION, *PROCESSOR, *SETTLEMENT, "duplicate", "voided"} == {*CODES}


@pytest.mark.parametrize("code", VALIDATION)
def test_every_validation_error_has_a_decline_reason(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str
) -> None:
    server.fault = on_post(responds_with(error_response(code)))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES[code], code)
    server.fault = on_post(responds_with(error_response("99999", code)))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES[code], code)


@pytest.mark.parametrize(
    ("status", "field", "codes"),
    [
        ("processor_declined", "processor_response_code", PROCESSOR),
        ("settlement_declined", "processor_settlement_response_code", SETTLEMENT),
        ("gateway_rejected", "gateway_rejection_reason", ["duplicate"]),
    ],
)
def test_a_refund_that_the_processor_declined_is_failed_or_already_refunded(
    provider: PaymentProvider, braintree: FakeBraintree, status: str, field: str, codes: list[str]
) -> None:
    for code in codes:
        charge = braintree.add_sale(f"s{code}")
        braintree.new_refund_fields = {"status": status, field: code}
        answer = provider.refund(charge, PRICE, key=f"mb_{code}")
        [refund] = braintree.transactions[charge]["refund_ids"]
        failed = Failed(refund, code, CODES[code])
        expected = Declined(CODES[code], code) if CODES[code] is DeclineReason.ALREADY_REFUNDED else failed
        assert answer == expected
        assert provider.look_up(charge, key=f"mb_{code}") == failed


def test_an_undocumented_error_code_is_a_permanent_decline(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = on_post(responds_with(error_response("91599")))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "91599")


@pytest.mark.parametrize("code", UNDECIDED_CODES)
def test_a_response_with_an_error_about_our_key_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str
) -> None:
    server.fault = on_post(responds_with(error_response("91506", code)))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.replayed == (code == "915234")


def test_a_sale_that_is_not_settled_is_not_yet_refundable(provider: PaymentProvider, braintree: FakeBraintree) -> None:
    charge = braintree.add_sale("young", status="submitted_for_settlement")
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.NOT_YET_REFUNDABLE, "91506")
    assert provider.look_up(charge, key=KEY) == NotFound()
    assert braintree.transactions[charge]["status"] == "submitted_for_settlement"


def test_an_external_refund_prevents_our_refund_and_is_found(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    part = braintree.refund_in_control_panel(charge, amount="5.00")
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.ALREADY_REFUNDED, "91521")
    assert provider.look_up(charge, key=KEY) == ExternalRefund(part["id"], Money(500, "EUR"))
    braintree.refund_in_control_panel(charge, amount="14.99")
    assert provider.refund(charge, PRICE, key="mb_other") == Declined(DeclineReason.ALREADY_REFUNDED, "91512")


def test_a_charge_in_another_currency_is_not_refunded(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer
) -> None:
    charge = braintree.add_sale("dollars", "19.99", "USD")
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "currency USD")
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("charge", ["", "a/refund", "../a", "a?x=1", "é", "x" * 61, "a\n"])
def test_an_invalid_transaction_id_is_not_sent(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "not_found")
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    assert isinstance(provider.dispute(charge), Unknown)
    assert server.requests == []


def test_a_nonexistent_charge_is_declined(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    assert provider.refund("nobody", PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "not_found")
    assert isinstance(provider.look_up("nobody", key=KEY), Unknown)
    assert isinstance(provider.dispute("nobody"), Unknown)
    server.fault = on_post(responds_with(HttpResponse(404)))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "not_found")


@pytest.mark.parametrize("fault", AFTER_CARRYING_OUT)
def test_a_fault_after_the_refund_is_unknown_and_the_lookup_finds_the_refund(
    server: FaultyServer, braintree: FakeBraintree, charge: str, fault: Fault
) -> None:
    server.fault = on_post(fault)
    began = monotonic()
    assert isinstance(adapter(server, seconds=SHORT_TIMEOUT).refund(charge, PRICE, key=KEY), Unknown)
    assert monotonic() - began < SHORT_TIMEOUT + 5
    server.fault = no_fault
    assert adapter(server).look_up(charge, key=KEY) == Pending("r1", PRICE)
    assert adapter(server).refund(charge, PRICE, key=KEY) == Pending("r1", PRICE)
    assert len(braintree.transactions) == 2


def test_a_fault_before_the_refund_is_unknown_and_the_lookup_finds_nothing(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = on_post(reset_before)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = no_fault
    assert provider.look_up(charge, key=KEY) == NotFound()
    assert provider.refund(charge, PRICE, key=KEY) == Pending("r1", PRICE)


def test_an_unavailable_server_is_unknown(braintree: FakeBraintree, charge: str) -> None:
    with braintree.serve() as server:
        provider = adapter(server, seconds=SHORT_TIMEOUT)
    for answer in results_of_every_call(provider, charge):
        assert isinstance(answer, Unknown)
        assert answer.why.startswith("The connection to Braintree failed")


def test_a_nonexistent_host_and_a_server_without_tls_are_unknown(server: FaultyServer) -> None:
    for base in ("https://braintree.invalid", server.url.replace("http:", "https:")):
        for answer in results_of_every_call(
            create_adapter(account_of(base), provider_timeout_seconds=SHORT_TIMEOUT, connections=1), "dhpc9w"
        ):
            assert isinstance(answer, Unknown)
    assert server.requests == []


@pytest.mark.parametrize("response", UNREADABLE)
def test_an_unreadable_response_is_unknown(response: str) -> None:
    with raw_server(sends(UNREADABLE[response])) as url:
        for answer in results_of_every_call(
            create_adapter(account_of(url), provider_timeout_seconds=2.0, connections=1), "dhpc9w"
        ):
            assert isinstance(answer, Unknown)


@pytest.mark.parametrize(
    "document",
    [
        b"<transaction/>",
        b"<transaction><id>dhpc9w</id></transaction>",
        b"<transaction type='array'><id>dhpc9w</id></transaction>",
        b"<transaction><id>dhpc9w</id><amount>much</amount></transaction>",
        b"<api-error-response/>",
        b"<api-error-response><errors/><message>No</message></api-error-response>",
        b"<api-error-response><errors>no</errors><message>No</message></api-error-response>",
        b"<api-error-response><errors><errors>no</errors></errors><message>No</message></api-error-response>",
        b'<api-error-response><errors><a><errors type="array"><e><b/></e></errors></a></errors><message/></api-error-response>',
        b"<search-results/>",
        b"<search-results><ids>dhpc9w</ids><page-size>x</page-size></search-results>",
        b"<a>" * 5000 + b"</a>" * 5000,
        b'<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "' + b"&b;" * 50 + b'">]><transaction>&c;</transaction>',
    ],
)
def test_xml_without_the_expected_elements_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, document: bytes
) -> None:
    for status in (200, 422):
        server.fault = responds_with(HttpResponse(status, document))
        for answer in results_of_every_call(provider, charge):
            assert isinstance(answer, Unknown)
        server.fault = on_post(server.fault)
        assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 408, 409, 425, 426, 429, 500, 502, 503, 504])
def test_an_http_status_without_a_clear_outcome_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    server.fault = responds_with(HttpResponse(status))
    for answer in results_of_every_call(provider, charge):
        assert isinstance(answer, Unknown)
    server.fault = on_post(server.fault)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


def test_the_retry_after_header_is_returned(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    server.fault = on_post(responds_with(HttpResponse(429, headers={"Retry-After": "7"})))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.retry_after == 7


def test_refused_credentials_are_reported(server: FaultyServer, charge: str) -> None:
    answer = adapter(server, private="another").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("Braintree refuses our credentials: 401.", invalid_credentials=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"refunded_transaction_id": "another"},
        {"refunded_transaction_id": None},
        {"amount": "19.98"},
        {"amount": "19.999"},
        {"amount": "-19.99"},
        {"amount": "NaN"},
        {"amount": "sNaN"},
        {"amount": "Infinity"},
        {"amount": None},
        {"currency_iso_code": "USD"},
        {"currency_iso_code": "???"},
        {"currency_iso_code": ["EUR"]},
        {"order_id": None},
        {"order_id": "mb_another"},
        {"type": "sale"},
        {"status": "unknown_status"},
        {"status": ["settled"]},
        {"id": "x" * 101},
        {"id": None},
        {"created_at": "yesterday"},
        {"created_at": None},
    ],
)
def test_a_refund_with_a_wrong_or_invalid_field_is_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str, wrong: dict[str, Any]
) -> None:
    row = braintree.refund_in_control_panel(charge, order_id=KEY) | wrong
    server.fault = on_post(responds_with(xml_response(201, transaction=row)))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = on_post(responds_with(error_response(transaction=row | {"status": "processor_declined"} | wrong)))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = no_fault
    braintree.transactions["r1"] = row
    assert provider.look_up(charge, key=KEY) != Paid("r1", PRICE)


def test_the_lookup_returns_not_found_only_if_braintree_lists_all_refund_ids(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    sale = braintree.transactions[charge]
    assert provider.look_up(charge, key=KEY) == NotFound()
    for ids in (None, "r1", ["gone"], [None], [f"r{number}" for number in range(21)]):
        sale["refund_ids"] = ids
        assert isinstance(provider.look_up(charge, key=KEY), Unknown), ids
    del sale["refund_ids"]
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)


def test_a_response_about_another_transaction_is_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    braintree.transactions[charge]["id"] = "another"
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert len(braintree.transactions) == 1


def test_if_a_fault_follows_the_first_call_the_result_is_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str
) -> None:
    braintree.refund_in_control_panel(charge, order_id=KEY)

    def reset_after_first_call(connection: ClientConnection, answer: Answer) -> None:
        (reset_before if server.requests else no_fault)(connection, answer)

    server.fault = reset_after_first_call
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    server.requests.clear()
    assert isinstance(provider.list_refunds(NOON, None), Unknown)


def test_the_lookup_prefers_our_refund_and_then_a_paid_refund(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    braintree.refund_in_control_panel(charge, status="voided")
    assert provider.look_up(charge, key=KEY) == NotFound()
    braintree.refund_in_control_panel(charge, status="failed", order_id=KEY)
    external = braintree.refund_in_control_panel(charge)
    assert provider.look_up(charge, key=KEY) == Failed("r2", "failed")
    braintree.refund_in_control_panel(charge, order_id=KEY)
    assert provider.look_up(charge, key=KEY) == Paid("r4", PRICE)
    assert provider.look_up(charge, key="mb_another") == ExternalRefund(external["id"], PRICE)


def test_the_lookup_finds_the_external_refund_that_made_our_refund_fail(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    braintree.new_refund_fields = {"status": "settlement_declined", "processor_settlement_response_code": "4004"}
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.ALREADY_REFUNDED, "4004")
    assert provider.look_up(charge, key=KEY) == Failed("r1", "4004", DeclineReason.ALREADY_REFUNDED)
    external = braintree.refund_in_control_panel(charge)
    assert provider.look_up(charge, key=KEY) == ExternalRefund(external["id"], PRICE)


@pytest.mark.parametrize("status", DISPUTES)
def test_the_status_of_the_newest_dispute_is_returned(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, status: str
) -> None:
    assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)
    older = {"id": "d1", "status": "won", "received_date": "2026-10-01"}
    braintree.transactions[charge]["disputes"] = [older, {**older, "id": "d2", "received_date": "2026-10-02"}]
    assert provider.dispute(charge) == DisputeStatus(Dispute.WON, "d2")
    braintree.transactions[charge]["disputes"] += [
        {**older, "id": "d3", "status": status, "received_date": "2026-10-03"}
    ]
    assert provider.dispute(charge) == DisputeStatus(DISPUTES[status], "d3")


@pytest.mark.parametrize(
    "disputes", [None, "d1", [{"id": "d1"}], [{"id": "", "status": "won", "received_date": "2026-10-01"}]]
)
def test_unreadable_disputes_are_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, disputes: object
) -> None:
    braintree.transactions[charge]["disputes"] = disputes
    assert isinstance(provider.dispute(charge), Unknown)
    del braintree.transactions[charge]["disputes"]
    assert isinstance(provider.dispute(charge), Unknown)


def test_the_refunds_since_an_instant_are_listed_page_by_page(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str
) -> None:
    for minute in range(-3, 60):
        created_at = NOON + timedelta(minutes=minute)
        braintree.refund_in_control_panel(charge, created_at=created_at, order_id=f"mb_{minute}")
    detached = braintree.refund_in_control_panel(
        charge, created_at=NOON + timedelta(hours=2), refunded_transaction_id=None
    )
    first = provider.list_refunds(NOON, None)
    assert isinstance(first, RefundPage)
    assert len(first.refunds) == 49
    assert detached["id"] not in {refund.refund_id for refund in first.refunds}
    newest = ListedRefund("r63", charge, PRICE, RefundStatus.PAID, NOON + timedelta(minutes=59), "mb_59")
    assert first.refunds[0] == newest
    second = provider.list_refunds(NOON, first.next_cursor)
    assert isinstance(second, RefundPage)
    assert [refund.key for refund in second.refunds] == [f"mb_{minute}" for minute in range(10, -1, -1)]
    assert second.next_cursor is None
    assert b'<min type="datetime">2026-11-22T12:00:00Z</min>' in server.requests[0].body


def test_an_empty_list_is_an_empty_page(provider: PaymentProvider, charge: str) -> None:
    assert charge
    assert provider.list_refunds(NOON, None) == RefundPage([])


def test_an_incomplete_list_is_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str
) -> None:
    row = braintree.refund_in_control_panel(charge)
    assert isinstance(provider.list_refunds(NOON, "gone"), Unknown)
    answers: list[dict[str, object]] = [
        {"search_results": {"page_size": 50, "ids": ["r1"] * 20_000}},
        {"search_results": {"page_size": 50, "ids": [None]}},
        {"credit_card_transactions": {"transaction": Elements([row])}},
    ]
    for answer in answers:
        server.fault = responds_with(xml_response(200, **answer))
        assert isinstance(provider.list_refunds(NOON, None), Unknown)
    server.fault = responds_with(HttpResponse(404))
    assert isinstance(provider.list_refunds(NOON, None), Unknown)
    server.fault = no_fault
    other_details = responds_with(
        xml_response(200, credit_card_transactions={"transaction": Elements([row | {"id": "another"}])})
    )

    def details_of_another_transaction(connection: ClientConnection, answer: Answer) -> None:
        (other_details if len(server.requests) > 1 else no_fault)(connection, answer)  # the first call lists the ids

    server.requests.clear()
    server.fault = details_of_another_transaction
    assert isinstance(provider.list_refunds(NOON, None), Unknown)


UNREADABLE_FIELDS: list[dict[str, object]] = [
    {"status": "a_later_status"},
    {"status": None},
    {"currency_iso_code": "XXX"},
    {"amount": "19.999"},
    {"refunded_transaction_id": "x" * 101},
]


@pytest.mark.parametrize("fields", UNREADABLE_FIELDS)
@pytest.mark.parametrize("order_id", [None, "another_system", "4711"])
def test_an_unreadable_refund_of_another_system_is_left_out_of_the_list_and_counted(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, fields: dict[str, object], order_id: str | None
) -> None:
    braintree.refund_in_control_panel(charge, order_id=order_id).update(fields)
    braintree.refund_in_control_panel(charge, order_id=KEY)
    page = provider.list_refunds(NOON, None)
    assert isinstance(page, RefundPage)
    assert ([refund.refund_id for refund in page.refunds], page.skipped) == (["r2"], 1)


@pytest.mark.parametrize("fields", UNREADABLE_FIELDS)
def test_a_list_with_an_unreadable_refund_of_ours_is_unknown(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, fields: dict[str, object]
) -> None:
    braintree.refund_in_control_panel(charge, order_id=KEY).update(fields)
    assert isinstance(provider.list_refunds(NOON, None), Unknown)


@pytest.mark.parametrize("fields", UNREADABLE_FIELDS)
def test_an_unreadable_refund_of_the_sale_hides_no_other_refund_but_may_have_taken_the_money(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, fields: dict[str, object]
) -> None:
    strange = braintree.refund_in_control_panel(charge, amount="5.00", order_id="another_system")
    strange.update(fields)
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    external = braintree.refund_in_control_panel(charge, amount="1.00")
    assert provider.look_up(charge, key=KEY) == ExternalRefund(external["id"], Money(100, "EUR"))
    braintree.refund_in_control_panel(charge, order_id=KEY)
    assert provider.look_up(charge, key=KEY) == Paid("r3", PRICE)
    strange["order_id"] = KEY
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)


def test_all_refunds_of_a_sale_are_shown(provider: PaymentProvider, braintree: FakeBraintree, charge: str) -> None:
    provider.refund(charge, Money(500, "EUR"), key=KEY)
    braintree.refund_in_control_panel(charge, amount="4.00")
    braintree.refund_in_control_panel(charge, amount="3.00", status="voided")
    refunds = provider.refunds(charge)
    assert not isinstance(refunds, Unknown)
    assert [(refund.amount.minor, refund.status, refund.key) for refund in refunds] == [
        (500, RefundStatus.PENDING, KEY),
        (400, RefundStatus.PAID, None),
        (300, RefundStatus.FAILED, None),
    ]
    assert provider.refunds(braintree.add_sale("other")) == []
    assert isinstance(provider.refunds("nobody"), Unknown)


@pytest.mark.parametrize("fields", UNREADABLE_FIELDS)
def test_the_refunds_of_a_sale_are_unknown_if_one_cannot_be_read(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, fields: dict[str, object]
) -> None:
    braintree.refund_in_control_panel(charge)
    braintree.refund_in_control_panel(charge).update(fields)
    assert isinstance(provider.refunds(charge), Unknown)


def test_a_refund_that_the_seller_voided_was_cancelled(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    braintree.transactions["r1"]["status"] = "voided"
    assert provider.look_up(charge, key=KEY) == Failed("r1", "voided", DeclineReason.CANCELLED)
    shown = provider.refunds(charge)
    assert not isinstance(shown, Unknown)
    assert [entry.failure for entry in shown] == [DeclineReason.CANCELLED]


NEVER_CAPTURED = [status for status, is_captured in PAYMENT_STATUSES.items() if not is_captured]


@pytest.mark.parametrize("status", NEVER_CAPTURED)
def test_a_sale_that_captured_nothing_is_declined_before_the_refund(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, status: str
) -> None:
    charge = braintree.add_sale("never", status=status)
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.NOT_CAPTURED, status)
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("status", ["submitted_for_settlement", "settlement_pending", "settlement_confirmed"])
def test_a_sale_that_will_be_settled_is_refunded_later(
    provider: PaymentProvider, braintree: FakeBraintree, status: str
) -> None:
    charge = braintree.add_sale("young", status=status)
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.NOT_YET_REFUNDABLE, "91506")
    braintree.transactions[charge]["status"] = "settled"
    assert provider.refund(charge, PRICE, key="mb_later") == Pending("r1", PRICE)


@pytest.mark.parametrize("status", RETRIEVALS)
def test_a_retrieval_does_not_stop_the_adapter(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, status: str
) -> None:
    """The worker decides about an inquiry by the seller's policy."""
    braintree.add_dispute(charge, status, kind="retrieval")
    assert provider.refund(charge, PRICE, key=KEY) == Pending("r1", PRICE)


@pytest.mark.parametrize("retrieval", ["expired", "accepted", "auto_accepted", "lost", "won"])
@pytest.mark.parametrize("chargeback", ["open", "under_review", "lost", "accepted"])
def test_no_refund_is_sent_beside_a_chargeback_that_follows_a_retrieval(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str, retrieval: str, chargeback: str
) -> None:
    braintree.add_dispute(charge, retrieval, kind="retrieval")
    braintree.add_dispute(charge, chargeback)
    assert provider.refund(charge, PRICE, key=KEY) == Declined(
        DeclineReason.DISPUTED, f"dispute {DISPUTES[chargeback]}"
    )


@pytest.mark.parametrize("status", DISPUTES)
@pytest.mark.parametrize("kind", ["chargeback", "pre_arbitration"])
def test_no_refund_is_sent_beside_a_dispute_in_which_the_bank_took_the_money(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str, status: str, kind: str
) -> None:
    braintree.add_dispute(charge, status, kind=kind)
    answer = provider.refund(charge, PRICE, key=KEY)
    if DISPUTES[status] is Dispute.WON:
        assert answer == Pending("r1", PRICE)
    else:
        assert answer == Declined(DeclineReason.DISPUTED, f"dispute {DISPUTES[status]}")
        assert [request.method for request in server.requests] == ["GET"]


def test_no_refund_is_sent_if_the_disputes_cannot_be_read(
    provider: PaymentProvider, braintree: FakeBraintree, server: FaultyServer, charge: str
) -> None:
    for disputes in (None, [{"id": "d1"}], [{"id": "d1", "status": "a_later_status", "received_date": "2026-11-01"}]):
        braintree.transactions[charge]["disputes"] = disputes
        assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
        assert isinstance(provider.payment(charge), Unknown)
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize("code", ["915231", "91538", "91559"])
def test_a_fault_of_the_account_waits_until_the_account_is_corrected(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str
) -> None:
    server.fault = on_post(responds_with(error_response(code)))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.INVALID_CREDENTIALS, code)


def test_an_account_without_idempotency_keys_pays_nothing_until_it_has_keys(
    provider: PaymentProvider, braintree: FakeBraintree, charge: str
) -> None:
    braintree.has_idempotency_keys = False
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.INVALID_CREDENTIALS, "915231")
    braintree.has_idempotency_keys = True
    assert provider.refund(charge, PRICE, key="mb_later") == Pending("r1", PRICE)


def test_the_default_url_is_braintrees_url() -> None:
    account = account_of("http://127.0.0.1:1").model_copy(update={"api_base": None})
    provider: Any = create_adapter(account, provider_timeout_seconds=1.0, connections=1)
    config = provider._client._gateway.config
    assert config.base_url() == "https://api.sandbox.braintreegateway.com:443"
    assert re.search(r"\.crt$", config.environment.ssl_certificate)


def test_the_capabilities_match_braintrees_documents(provider: PaymentProvider) -> None:
    capabilities = provider.capabilities
    assert capabilities.route("paypal").window == capabilities.route("venmo").window == timedelta(days=180)
    assert capabilities.route("credit_card").window is None
    assert not any(capabilities.route(method).synchronous for method in ("paypal", "credit_card"))
    assert not capabilities.rejects_over_refund
