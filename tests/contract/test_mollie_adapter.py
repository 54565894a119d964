"""Mollie's adapter is tested with a fake Mollie, which behaves as Mollie's documents describe, and with faulty responses.

In test names, "unknown" means that the adapter returns Unknown, because it cannot know what happened at the provider.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr

from config.provider_accounts import MollieAccount
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
from tests.doubles.faulty_server import (
    AFTER_CARRYING_OUT,
    Fault,
    FaultyServer,
    HttpResponse,
    no_fault,
    reset_before,
    responds_with,
)
from tests.doubles.mollie import FakeMollie, adapter, error_response
from tests.doubles.raw_server import UNREADABLE, raw_server, sends
from worker.providers.mollie.adapter import create_adapter
from worker.providers.mollie.client import MollieKeyError
from worker.providers.mollie.codes import CODES, FAILURE_REASONS, INSUFFICIENT_BALANCE, REFUND_STATUSES

PRICE = Money(1999, "EUR")
KEY = "mb_2f1c"
SHORT_TIMEOUT = 1.5  # seconds; for calls whose response comes too late
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def mollie() -> FakeMollie:
    return FakeMollie()


@pytest.fixture
def server(mollie: FakeMollie) -> Iterator[FaultyServer]:
    with mollie.serve() as server:
        yield server


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server)


@pytest.fixture
def charge(mollie: FakeMollie) -> str:
    return mollie.add_payment("tr_7UhSN1zuXS")


def test_a_refund_request_has_the_full_amount_and_our_key(
    provider: PaymentProvider, server: FaultyServer, charge: str, mollie: FakeMollie
) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Pending("re_0", PRICE)
    [request] = server.requests
    assert (request.method, request.path) == ("POST", f"/v2/payments/{charge}/refunds")
    assert request.headers["idempotency-key"] == KEY
    assert request.headers["user-agent"] == "Moneyback"
    assert "x-mollie-client-info" not in request.headers  # Mollie's SDK sends the name of this machine in this header
    assert json.loads(request.body) == {
        "amount": {"currency": "EUR", "value": "19.99"},
        "description": f"Refund of {charge}",
        "metadata": {"moneyback_key": KEY},
    }
    assert len(mollie.refunds) == 1


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("500", Money(500, "JPY")),
        ("0.05", Money(5, "EUR")),
        ("1.234", Money(1234, "KWD")),
        ("12000", Money(12000, "ISK")),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(
    provider: PaymentProvider, mollie: FakeMollie, value: str, amount: Money
) -> None:
    charge = mollie.add_payment("tr_many", value, amount.currency)
    assert provider.refund(charge, amount, key=KEY) == Pending("re_0", amount)
    assert mollie.refunds[0]["amount"] == {"currency": amount.currency, "value": value}
    assert provider.look_up(charge, key=KEY) == Pending("re_0", amount)


def test_two_calls_with_the_same_key_pay_once(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(mollie.refunds) == 1


def test_many_callers_with_one_key_pay_once(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = {*pool.map(lambda _: provider.refund(charge, PRICE, key=KEY), range(30))}
    assert answers == {Pending("re_0", PRICE)}
    assert len(mollie.refunds) == 1


def test_many_callers_do_not_mix_up_their_refunds(provider: PaymentProvider, mollie: FakeMollie) -> None:
    charges = [mollie.add_payment(f"tr_{number}") for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        answers = [*pool.map(lambda charge: provider.refund(charge, PRICE, key=f"mb_{charge}"), charges)]
        found = [*pool.map(lambda charge: provider.look_up(charge, key=f"mb_{charge}"), charges)]
    assert {type(answer) for answer in answers} == {Pending}
    assert answers == found


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_refund_status_is_paid_pending_or_failed(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, status: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds[0]["status"] = status
    expected = {
        RefundStatus.PAID: Paid("re_0", PRICE),
        RefundStatus.PENDING: Pending("re_0", PRICE, insufficient_balance=status == INSUFFICIENT_BALANCE),
        RefundStatus.FAILED: Failed("re_0", status, FAILURE_REASONS.get(status, DeclineReason.PERMANENT)),
    }
    assert provider.look_up(charge, key=KEY) == expected[REFUND_STATUSES[status]]


def test_a_refund_that_fails_immediately_is_failed(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = responds_with(HttpResponse(201, json.dumps(a_refund(charge, status="failed")).encode()))
    assert provider.refund(charge, PRICE, key=KEY) == Failed("re_9", "failed")


@pytest.mark.parametrize("detail", CODES)
def test_every_error_detail_has_a_decline_reason(
    provider: PaymentProvider, server: FaultyServer, charge: str, detail: str
) -> None:
    for status, sentence in ((409, detail), (422, f"{detail}.")):
        server.fault = responds_with(error_response(status, sentence))
        assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES[detail], detail)


def test_an_external_refund_prevents_our_refund_and_is_found(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    refund_by_hand(mollie, charge)
    first = provider.refund(charge, PRICE, key=KEY)
    mollie.now += timedelta(hours=2)
    later = provider.refund(charge, PRICE, key="mb_later")
    for answer in (first, later):
        assert isinstance(answer, Declined)
        assert answer.reason is DeclineReason.ALREADY_REFUNDED
    assert provider.look_up(charge, key=KEY) == ExternalRefund("re_hand", PRICE)


def test_an_unlisted_error_is_a_permanent_decline(provider: PaymentProvider, mollie: FakeMollie) -> None:
    dollars = mollie.add_payment("tr_dollars", "19.99", "USD")
    assert provider.refund(dollars, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "422 amount.currency")
    assert provider.refund("tr_nobody", PRICE, key="mb_other") == Declined(DeclineReason.PERMANENT, "404")


@pytest.mark.parametrize("status", ["open", "authorized", "canceled", "expired"])
def test_a_payment_that_is_not_paid_is_not_refunded(provider: PaymentProvider, mollie: FakeMollie, status: str) -> None:
    charge = mollie.add_payment("tr_unpaid", status=status)
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "422")
    assert mollie.refunds == []


@pytest.mark.parametrize("charge", ["", "re_1", "tr_", "tr_1/refunds", "../tr_1", "tr_1?x=1", "tr_é", "tr_" + "x" * 99])
def test_an_invalid_payment_id_is_not_sent(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "not a payment's id")
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    assert isinstance(provider.dispute(charge), Unknown)
    assert server.requests == []


@pytest.mark.parametrize("fault", AFTER_CARRYING_OUT)
def test_a_fault_after_the_refund_is_unknown_and_the_lookup_finds_the_refund(
    server: FaultyServer, mollie: FakeMollie, charge: str, fault: Fault
) -> None:
    server.fault = fault
    began = monotonic()
    answer = adapter(server, seconds=SHORT_TIMEOUT).refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert monotonic() - began < SHORT_TIMEOUT + 5
    server.fault = no_fault
    assert adapter(server).look_up(charge, key=KEY) == Pending("re_0", PRICE)
    assert adapter(server).refund(charge, PRICE, key=KEY) == Pending("re_0", PRICE)
    assert len(mollie.refunds) == 1


def test_a_fault_before_the_refund_is_unknown_and_the_lookup_finds_nothing(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = reset_before
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = no_fault
    assert provider.look_up(charge, key=KEY) == NotFound()
    assert provider.refund(charge, PRICE, key=KEY) == Pending("re_0", PRICE)


def test_an_unavailable_server_is_unknown(mollie: FakeMollie, charge: str) -> None:
    with mollie.serve() as server:
        provider = adapter(server, seconds=SHORT_TIMEOUT)
    for answer in results_of_every_call(provider, charge):
        assert isinstance(answer, Unknown)
        assert answer.why.startswith("The connection to Mollie failed")


def test_a_host_that_does_not_exist_and_a_server_without_tls_are_unknown(server: FaultyServer) -> None:
    for base in ("https://mollie.invalid", server.url.replace("http:", "https:")):
        account = MollieAccount(api_key=SecretStr("test_x"), api_base=base)
        for answer in results_of_every_call(
            create_adapter(account, provider_timeout_seconds=SHORT_TIMEOUT, connections=1), "tr_1"
        ):
            assert isinstance(answer, Unknown)
    assert server.requests == []


@pytest.mark.parametrize("response", UNREADABLE)
def test_an_unreadable_response_is_unknown(response: str) -> None:
    with raw_server(sends(UNREADABLE[response])) as url:
        account = MollieAccount(api_key=SecretStr("test_x"), api_base=url)
        for answer in results_of_every_call(
            create_adapter(account, provider_timeout_seconds=2.0, connections=1), "tr_1"
        ):
            assert isinstance(answer, Unknown)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504])
def test_an_http_status_without_a_clear_outcome_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    server.fault = responds_with(error_response(status, "Whatever"))
    for answer in results_of_every_call(provider, charge):
        assert isinstance(answer, Unknown)


def test_the_retry_after_header_is_returned(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    server.fault = responds_with(HttpResponse(429, error_response(429, "Too many").body, {"Retry-After": "7"}))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.retry_after == 7


def test_a_replayed_error_is_recognised(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    server.fault = responds_with(HttpResponse(500, b"{}", {"Idempotent-Replayed": "true"}))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.replayed


def test_refused_credentials_are_reported(server: FaultyServer, charge: str) -> None:
    answer = adapter(server, api_key="live_another").refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.why == "Mollie refuses our credentials: 401."
    assert answer.invalid_credentials


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_without_rights_is_the_accounts_fault(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    server.fault = responds_with(error_response(status, "The API key has expired"))
    for answer in results_of_every_call(provider, charge):
        assert isinstance(answer, Unknown)
        assert answer.invalid_credentials


def test_a_test_key_for_a_live_payment_is_the_accounts_fault(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    mollie.payments_of_other_mode.add(charge)
    answers = (
        provider.refund(charge, PRICE, key=KEY),
        provider.look_up(charge, key=KEY),
        provider.dispute(charge),
        provider.payment(charge),
        provider.purchase(charge),
    )
    for answer in answers:
        assert isinstance(answer, Unknown)
        assert answer.invalid_credentials


def test_the_error_about_an_invalid_api_key_does_not_contain_the_key(server: FaultyServer) -> None:
    with pytest.raises(MollieKeyError) as error:
        adapter(server, api_key="sk_secret")
    assert "sk_secret" not in str(error.value)
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"paymentId": "tr_another"},
        {"amount": {"currency": "EUR", "value": "19.98"}},
        {"amount": {"currency": "USD", "value": "19.99"}},
        {"amount": {"currency": "EUR", "value": 19.99}},
        {"amount": {"currency": "EUR", "value": "-19.99"}},
        {"amount": {"currency": ["EUR"], "value": "19.99"}},
        {"amount": None},
        {"metadata": None},
        {"metadata": {"moneyback_key": "mb_another"}},
        {"metadata": "mb_2f1c"},
        {"status": "unknown_status"},
        {"status": []},
        {"id": ""},
        {"id": "x" * 101},
        {"id": "re_\n"},
        {"id": 7},
        {"createdAt": "yesterday"},
        {"createdAt": "2026-11-22T12:00:00"},
        {"createdAt": None},
    ],
)
def test_an_invalid_response_or_one_about_another_refund_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: dict[str, Any]
) -> None:
    server.fault = responds_with(HttpResponse(201, json.dumps(a_refund(charge) | wrong).encode()))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = responds_with(a_list("refunds", [a_refund(charge) | wrong]))
    assert provider.look_up(charge, key=KEY) != Pending("re_9", PRICE)


def test_the_lookup_returns_not_found_only_if_the_list_is_complete_and_empty(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    assert provider.look_up(charge, key=KEY) == NotFound()
    incomplete_lists: list[dict[str, Any]] = [
        {},
        {"count": 1, "_embedded": {"refunds": []}, "_links": {}},
        {"count": 0, "_embedded": {"refunds": []}},
        {"count": 0, "_embedded": {}, "_links": {}},
        {"count": 0, "_embedded": {"refunds": {}}, "_links": {}},
        {"count": 0, "_embedded": {"refunds": []}, "_links": {"next": {"href": "https://api.mollie.com/v2/refunds"}}},
        {"count": 0, "_embedded": {"refunds": []}, "_links": {"next": {"href": 7}}},
        {"count": 1, "_embedded": {"refunds": [{}]}, "_links": {}},
        {"count": 1, "_embedded": {"refunds": [None]}, "_links": {}},
    ]
    for incomplete in incomplete_lists:
        server.fault = responds_with(HttpResponse(200, json.dumps(incomplete).encode()))
        assert isinstance(provider.look_up(charge, key=KEY), Unknown), incomplete
    server.fault = responds_with(error_response(404, f"No payment exists with token {charge}."))
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)


def test_a_failed_external_refund_is_ignored(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    refund_by_hand(mollie, charge, status="failed")
    assert provider.look_up(charge, key=KEY) == NotFound()


def test_the_lookup_chooses_one_of_several_refunds(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    """The lookup returns Moneyback's refund instead of an external refund, and a paid refund instead of a failed refund."""
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds[0]["status"] = "failed"
    refund_by_hand(mollie, charge)
    assert provider.look_up(charge, key=KEY) == Failed("re_0", "failed")
    mollie.refunds.insert(0, a_refund(charge, status="refunded"))
    assert provider.look_up(charge, key=KEY) == Paid("re_9", PRICE)


def test_our_refund_is_found_on_the_last_page(
    provider: PaymentProvider, server: FaultyServer, mollie: FakeMollie, charge: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds += [a_refund(charge, id=f"re_more{number}", metadata=None) for number in range(5)]
    mollie.page = 2
    assert provider.look_up(charge, key=KEY) == Pending("re_0", PRICE)
    assert [request.query.get("from") for request in server.requests[1:]] == [None, "re_more2", "re_more0"]


def test_the_lookup_stops_at_a_maximum_number_of_pages(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = responds_with(a_list("refunds", [], following="re_1"))
    assert provider.look_up(charge, key=KEY) == Unknown("The payment has more refunds than can be read.")


def test_a_chargeback_counts_as_lost_until_it_is_reversed(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)
    won = mollie.add_chargeback(charge, NOON, reversed_at=NOON + timedelta(days=9))
    assert provider.dispute(charge) == DisputeStatus(Dispute.WON, won)
    lost = mollie.add_chargeback(charge, NOON - timedelta(days=1))
    assert provider.dispute(charge) == DisputeStatus(Dispute.LOST, lost)
    newer = mollie.add_chargeback(charge, NOON + timedelta(days=1))
    mollie.chargebacks.reverse()
    assert provider.dispute(charge) == DisputeStatus(Dispute.LOST, newer)


@pytest.mark.parametrize("wrong", [{"paymentId": "tr_another"}, {"id": ""}, {"createdAt": "never"}])
def test_an_unreadable_chargeback_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: dict[str, str]
) -> None:
    chargeback = {"id": "chb_1", "paymentId": charge, "createdAt": NOON.isoformat(), "reversedAt": None}
    server.fault = responds_with(a_list("chargebacks", [chargeback | wrong]))
    assert isinstance(provider.dispute(charge), Unknown)


def test_the_refunds_since_an_instant_are_listed_page_by_page(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    mollie.page = 2
    mollie.refunds += [
        a_refund(charge, id=f"re_{hour}", createdAt=(NOON + timedelta(hours=hour)).isoformat(), metadata=None)
        for hour in range(-3, 2)
    ]
    mollie.refunds.append(a_refund(charge, id="re_ours", status="refunded", createdAt="2026-11-22T14:00:00.0Z"))
    first = provider.list_refunds(NOON, None)
    assert isinstance(first, RefundPage)
    assert [refund.refund_id for refund in first.refunds] == ["re_ours", "re_1"]
    at_two = NOON + timedelta(hours=2)
    assert first.refunds[0] == ListedRefund("re_ours", charge, PRICE, RefundStatus.PAID, at_two, KEY)
    second = provider.list_refunds(NOON, first.next_cursor)
    assert isinstance(second, RefundPage)
    assert [(refund.refund_id, refund.key) for refund in second.refunds] == [("re_0", None)]
    assert second.next_cursor is None


UNREADABLE_FIELDS: list[dict[str, object]] = [
    {"amount": {"currency": "XXX", "value": "19.99"}},
    {"status": None},
    {"status": "a_later_status"},
    {"paymentId": None},
    {"createdAt": "yesterday"},
    {"id": ""},
]


@pytest.mark.parametrize("fields", UNREADABLE_FIELDS)
def test_an_unreadable_refund_of_another_system_is_left_out_of_the_list_and_counted(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, fields: dict[str, object]
) -> None:
    ours = mollie.refund_in_dashboard(charge, "19.99", metadata={"moneyback_key": KEY})
    mollie.refund_in_dashboard(charge, "5.00", **fields)
    page = provider.list_refunds(NOON, None)
    assert isinstance(page, RefundPage)
    assert [refund.refund_id for refund in page.refunds] == [ours["id"]]
    assert page.skipped == 1


def test_a_row_that_is_no_refund_is_left_out_of_the_list(provider: PaymentProvider, server: FaultyServer) -> None:
    strange_rows: list[Any] = [
        None,
        "re_2",
        {},
        {"id": "re_2", "metadata": "mb_1"},
        {"id": "re_3", "metadata": ["mb_1"]},
    ]
    server.fault = responds_with(a_list("refunds", [a_refund("tr_1"), *strange_rows]))
    page = provider.list_refunds(NOON, None)
    assert isinstance(page, RefundPage)
    assert (len(page.refunds), page.skipped) == (1, len(strange_rows))


@pytest.mark.parametrize("fields", [*UNREADABLE_FIELDS, {"metadata": {"moneyback_key": None}, "status": None}])
def test_a_list_with_an_unreadable_refund_of_ours_is_unknown(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, fields: dict[str, object]
) -> None:
    mollie.refund_in_dashboard(charge, "19.99", **{"metadata": {"moneyback_key": KEY}, **fields})
    assert isinstance(provider.list_refunds(NOON, None), Unknown)


@pytest.mark.parametrize("fields", [{"status": None}, {"amount": None}, {"createdAt": None}])
def test_an_unreadable_refund_of_the_payment_hides_no_other_refund_but_may_have_taken_the_money(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, fields: dict[str, object]
) -> None:
    mollie.refund_in_dashboard(charge, "5.00", **fields)
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    external = mollie.refund_in_dashboard(charge, "14.99")
    assert provider.look_up(charge, key=KEY) == ExternalRefund(external["id"], Money(1499, "EUR"))
    ours = mollie.refund_in_dashboard(charge, "19.99", metadata={"moneyback_key": KEY})
    assert provider.look_up(charge, key=KEY) == Pending(ours["id"], PRICE)
    mollie.refunds[0]["metadata"] = {"moneyback_key": KEY}
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)


def test_all_refunds_of_a_payment_are_shown(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    mollie.page = 2
    provider.refund(charge, Money(500, "EUR"), key=KEY)
    mollie.refund_in_dashboard(charge, "4.00", status="refunded")
    mollie.refund_in_dashboard(charge, "3.00", status="canceled")
    mollie.refund_in_dashboard(mollie.add_payment("tr_other"), "2.00")
    refunds = provider.refunds(charge)
    assert not isinstance(refunds, Unknown)
    assert [(refund.amount.minor, refund.status, refund.key) for refund in refunds] == [
        (300, RefundStatus.FAILED, None),
        (400, RefundStatus.PAID, None),
        (500, RefundStatus.PENDING, KEY),
    ]
    assert provider.refunds("tr_none_yet") == Unknown("Mollie refused to list refunds: 404.")


@pytest.mark.parametrize("fields", UNREADABLE_FIELDS)
def test_the_refunds_of_a_payment_are_unknown_if_one_cannot_be_read(
    provider: PaymentProvider, server: FaultyServer, charge: str, fields: dict[str, object]
) -> None:
    server.fault = responds_with(a_list("refunds", [a_refund(charge), a_refund(charge, metadata=None) | fields]))
    assert isinstance(provider.refunds(charge), Unknown)


@pytest.mark.parametrize("status", ["canceled", "failed"])
def test_only_a_canceled_refund_was_cancelled_by_the_seller(
    provider: PaymentProvider, mollie: FakeMollie, charge: str, status: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds[0]["status"] = status
    found = provider.look_up(charge, key=KEY)
    assert isinstance(found, Failed)
    assert (found.reason is DeclineReason.CANCELLED) == (status == "canceled")
    shown = provider.refunds(charge)
    assert not isinstance(shown, Unknown)
    assert [entry.failure for entry in shown] == [found.reason]


def test_an_idempotency_key_is_valid_for_one_hour(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    """The payment of 25.00 allows two refunds of 10.00. After one hour, the same key does not prevent a second refund."""
    part = Money(1000, "EUR")
    mollie.add_payment(charge, "25.00")
    provider.refund(charge, part, key=KEY)
    mollie.now += provider.capabilities.idempotency_key_ttl - timedelta(seconds=1)
    provider.refund(charge, part, key=KEY)
    assert len(mollie.refunds) == 1
    mollie.now += timedelta(seconds=2)
    provider.refund(charge, part, key=KEY)
    assert len(mollie.refunds) == 2
    assert not provider.capabilities.rejects_over_refund


def test_the_capabilities_match_mollies_documents(provider: PaymentProvider) -> None:
    capabilities = provider.capabilities
    assert capabilities.route("credit_card").window == timedelta(days=365)
    assert capabilities.route("paypal").window == timedelta(days=180)
    assert not any(capabilities.route(method).synchronous for method in ("paypal", "credit_card", "direct_debit"))


def results_of_every_call(provider: PaymentProvider, charge: str) -> list[object]:
    return [
        provider.refund(charge, PRICE, key=KEY),
        provider.look_up(charge, key=KEY),
        provider.dispute(charge),
        provider.list_refunds(NOON, None),
        provider.refunds(charge),
        provider.payment(charge),
        provider.purchase(charge),
        provider.list_disputes(NOON, None),
        provider.purchases(NOON, None),
        provider.refunded_charge("re_1"),
        provider.disputed_charge("chb_1"),
    ]


def a_refund(charge: str, **changes: object) -> dict[str, Any]:
    return {
        "id": "re_9",
        "paymentId": charge,
        "amount": {"currency": "EUR", "value": "19.99"},
        "status": "pending",
        "createdAt": "2026-11-22T12:00:00+00:00",
        "metadata": {"moneyback_key": KEY},
        **changes,
    }


def refund_by_hand(mollie: FakeMollie, charge: str, status: str = "pending") -> None:
    mollie.refunds.append(
        a_refund(charge, id="re_hand", status=status, metadata=None, createdAt=mollie.now.isoformat())
    )


def a_list(kind: str, rows: list[dict[str, Any]], following: str | None = None) -> HttpResponse:
    link = {"href": f"https://api.mollie.com/v2/{kind}?from={following}"} if following else None
    document = {"count": len(rows), "_embedded": {kind: rows}, "_links": {"next": link}}
    return HttpResponse(200, json.dumps(document).encode())
