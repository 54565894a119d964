"""Mollie's adapter, against a Mollie of our own that does as its documents say, and one that does worse."""

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
from tests.doubles.mollie import FakeMollie, adapter, refused
from tests.doubles.raw_server import UNREADABLE, raw_server, sends
from worker.providers.mollie.adapter import create_adapter
from worker.providers.mollie.client import MollieKeyError
from worker.providers.mollie.codes import CODES, INSUFFICIENT_BALANCE, REFUND_STATUSES

PRICE = Money(1999, "EUR")
KEY = "mb_2f1c"
HURRY = 1.5  # seconds; the deadline of somebody who is about to be kept waiting
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
    return mollie.paid("tr_7UhSN1zuXS")


def test_the_whole_charge_is_refunded_under_our_key(
    provider: PaymentProvider, server: FaultyServer, charge: str, mollie: FakeMollie
) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Pending("re_0", PRICE)
    [asked] = server.requests
    assert (asked.method, asked.path) == ("POST", f"/v2/payments/{charge}/refunds")
    assert asked.headers["idempotency-key"] == KEY
    assert asked.headers["user-agent"] == "Moneyback"
    assert "x-mollie-client-info" not in asked.headers  # it is for the name of this machine
    assert json.loads(asked.body) == {
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
    charge = mollie.paid("tr_many", value, amount.currency)
    assert provider.refund(charge, amount, key=KEY) == Pending("re_0", amount)
    assert mollie.refunds[0]["amount"] == {"currency": amount.currency, "value": value}
    assert provider.look_up(charge, key=KEY) == Pending("re_0", amount)


def test_the_same_key_pays_once(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(mollie.refunds) == 1


def test_many_callers_with_one_key_pay_once(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = {*pool.map(lambda _: provider.refund(charge, PRICE, key=KEY), range(30))}
    assert answers == {Pending("re_0", PRICE)}
    assert len(mollie.refunds) == 1


def test_many_callers_do_not_mix_up_their_refunds(provider: PaymentProvider, mollie: FakeMollie) -> None:
    charges = [mollie.paid(f"tr_{number}") for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        answers = [*pool.map(lambda charge: provider.refund(charge, PRICE, key=f"mb_{charge}"), charges)]
        found = [*pool.map(lambda charge: provider.look_up(charge, key=f"mb_{charge}"), charges)]
    assert {type(answer) for answer in answers} == {Pending}
    assert answers == found


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_status_has_its_meaning(provider: PaymentProvider, mollie: FakeMollie, charge: str, status: str) -> None:
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds[0]["status"] = status
    expected = {
        RefundStatus.PAID: Paid("re_0", PRICE),
        RefundStatus.PENDING: Pending("re_0", PRICE, insufficient_balance=status == INSUFFICIENT_BALANCE),
        RefundStatus.FAILED: Failed("re_0", status),
    }
    assert provider.look_up(charge, key=KEY) == expected[REFUND_STATUSES[status]]


def test_a_refund_that_fails_in_the_answer_is_failed(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = responds_with(HttpResponse(201, json.dumps(a_refund(charge, status="failed")).encode()))
    assert provider.refund(charge, PRICE, key=KEY) == Failed("re_9", "failed")


@pytest.mark.parametrize("detail", CODES)
def test_every_word_of_the_table_has_its_class(
    provider: PaymentProvider, server: FaultyServer, charge: str, detail: str
) -> None:
    for status, sentence in ((409, detail), (422, f"{detail}.")):
        server.fault = responds_with(refused(status, sentence))
        assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES[detail], detail)


def test_a_payment_that_was_refunded_at_mollie_is_refused_and_found(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    refund_by_hand(mollie, charge)
    soon = provider.refund(charge, PRICE, key=KEY)
    mollie.now += timedelta(hours=2)
    later = provider.refund(charge, PRICE, key="mb_later")
    for answer in (soon, later):
        assert isinstance(answer, Declined)
        assert answer.reason is DeclineReason.ALREADY_REFUNDED
    assert provider.look_up(charge, key=KEY) == ExternalRefund("re_hand", PRICE)


def test_a_no_that_is_not_in_the_table_is_for_a_person(provider: PaymentProvider, mollie: FakeMollie) -> None:
    dollars = mollie.paid("tr_dollars", "19.99", "USD")
    assert provider.refund(dollars, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "422 amount.currency")
    assert provider.refund("tr_nobody", PRICE, key="mb_other") == Declined(DeclineReason.PERMANENT, "404")


@pytest.mark.parametrize("charge", ["", "re_1", "tr_", "tr_1/refunds", "../tr_1", "tr_1?x=1", "tr_é", "tr_" + "x" * 99])
def test_what_is_no_payments_id_is_never_sent(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "not a payment's id")
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    assert isinstance(provider.dispute(charge), Unknown)
    assert server.requests == []


@pytest.mark.parametrize("trouble", AFTER_CARRYING_OUT)
def test_what_went_wrong_after_paying_is_unknown_and_found(
    server: FaultyServer, mollie: FakeMollie, charge: str, trouble: Fault
) -> None:
    server.fault = trouble
    began = monotonic()
    answer = adapter(server, seconds=HURRY).refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert monotonic() - began < HURRY + 5
    server.fault = no_fault
    assert adapter(server).look_up(charge, key=KEY) == Pending("re_0", PRICE)
    assert adapter(server).refund(charge, PRICE, key=KEY) == Pending("re_0", PRICE)
    assert len(mollie.refunds) == 1


def test_what_went_wrong_before_paying_is_unknown_and_absent(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = reset_before
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = no_fault
    assert provider.look_up(charge, key=KEY) == NotFound()
    assert provider.refund(charge, PRICE, key=KEY) == Pending("re_0", PRICE)


def test_a_mollie_that_is_not_there_is_unknown(mollie: FakeMollie, charge: str) -> None:
    with mollie.serve() as gone:
        provider = adapter(gone, seconds=HURRY)
    for answer in everything(provider, charge):
        assert isinstance(answer, Unknown)
        assert answer.why.startswith("The connection to Mollie failed")


def test_a_name_that_nobody_knows_and_a_mollie_without_tls_are_unknown(server: FaultyServer) -> None:
    for base in ("https://mollie.invalid", server.url.replace("http:", "https:")):
        account = MollieAccount(api_key=SecretStr("test_x"), api_base=base)
        for answer in everything(create_adapter(account, provider_timeout_seconds=HURRY, connections=1), "tr_1"):
            assert isinstance(answer, Unknown)
    assert server.requests == []


@pytest.mark.parametrize("nonsense", UNREADABLE)
def test_what_nobody_can_read_is_unknown(nonsense: str) -> None:
    with raw_server(sends(UNREADABLE[nonsense])) as url:
        account = MollieAccount(api_key=SecretStr("test_x"), api_base=url)
        for answer in everything(create_adapter(account, provider_timeout_seconds=2.0, connections=1), "tr_1"):
            assert isinstance(answer, Unknown)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504])
def test_a_status_that_leaves_everything_open_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    server.fault = responds_with(refused(status, "Whatever"))
    for answer in everything(provider, charge):
        assert isinstance(answer, Unknown)


def test_who_asks_for_time_is_given_it(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    server.fault = responds_with(HttpResponse(429, refused(429, "Too many").body, {"Retry-After": "7"}))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.retry_after == 7


def test_an_error_that_is_kept_under_the_key_is_known_for_one(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = responds_with(HttpResponse(500, b"{}", {"Idempotent-Replayed": "true"}))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.replayed


def test_a_key_that_is_refused_is_said_to_be(server: FaultyServer, charge: str) -> None:
    answer = adapter(server, api_key="live_another").refund(charge, PRICE, key=KEY)
    assert isinstance(answer, Unknown)
    assert answer.why == "Mollie refuses our credentials: 401."
    assert answer.invalid_credentials


def test_a_key_that_is_none_is_not_quoted(server: FaultyServer) -> None:
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
        {"status": "on_holiday"},
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
def test_an_answer_about_another_refund_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: dict[str, Any]
) -> None:
    server.fault = responds_with(HttpResponse(201, json.dumps(a_refund(charge) | wrong).encode()))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    server.fault = responds_with(a_list("refunds", [a_refund(charge) | wrong]))
    assert provider.look_up(charge, key=KEY) != Pending("re_9", PRICE)


def test_nothing_is_absent_only_where_the_list_is_whole_and_empty(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    assert provider.look_up(charge, key=KEY) == NotFound()
    holes: list[dict[str, Any]] = [
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
    for hole in holes:
        server.fault = responds_with(HttpResponse(200, json.dumps(hole).encode()))
        assert isinstance(provider.look_up(charge, key=KEY), Unknown), hole
    server.fault = responds_with(refused(404, f"No payment exists with token {charge}."))
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)


def test_a_failed_refund_of_somebody_else_is_nothing_to_us(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    refund_by_hand(mollie, charge, status="failed")
    assert provider.look_up(charge, key=KEY) == NotFound()


def test_ours_counts_before_somebody_elses_and_a_live_one_before_a_failed_one(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds[0]["status"] = "failed"
    refund_by_hand(mollie, charge)
    assert provider.look_up(charge, key=KEY) == Failed("re_0", "failed")
    mollie.refunds.insert(0, a_refund(charge, status="refunded"))
    assert provider.look_up(charge, key=KEY) == Paid("re_9", PRICE)


def test_ours_is_found_on_the_last_page(
    provider: PaymentProvider, server: FaultyServer, mollie: FakeMollie, charge: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    mollie.refunds += [a_refund(charge, id=f"re_more{number}", metadata=None) for number in range(5)]
    mollie.page = 2
    assert provider.look_up(charge, key=KEY) == Pending("re_0", PRICE)
    assert [asked.query.get("from") for asked in server.requests[1:]] == [None, "re_more2", "re_more0"]


def test_a_list_without_end_is_given_up(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    server.fault = responds_with(a_list("refunds", [], following="re_1"))
    assert provider.look_up(charge, key=KEY) == Unknown("The payment has more refunds than can be read.")


def test_a_chargeback_is_lost_until_it_is_reversed(provider: PaymentProvider, mollie: FakeMollie, charge: str) -> None:
    assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)
    won = mollie.charge_back(charge, NOON, reversed_at=NOON + timedelta(days=9))
    assert provider.dispute(charge) == DisputeStatus(Dispute.WON, won)
    lost = mollie.charge_back(charge, NOON - timedelta(days=1))
    assert provider.dispute(charge) == DisputeStatus(Dispute.LOST, lost)
    newer = mollie.charge_back(charge, NOON + timedelta(days=1))
    mollie.chargebacks.reverse()
    assert provider.dispute(charge) == DisputeStatus(Dispute.LOST, newer)


@pytest.mark.parametrize("wrong", [{"paymentId": "tr_another"}, {"id": ""}, {"createdAt": "never"}])
def test_a_chargeback_that_cannot_be_read_is_unknown(
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


def test_a_list_with_a_refund_that_cannot_be_read_is_unknown(provider: PaymentProvider, server: FaultyServer) -> None:
    server.fault = responds_with(a_list("refunds", [a_refund("tr_1"), {"id": "re_2"}]))
    assert isinstance(provider.list_refunds(NOON, None), Unknown)


def test_the_key_is_promised_for_an_hour_and_no_longer(
    provider: PaymentProvider, mollie: FakeMollie, charge: str
) -> None:
    """Two refunds of 12.50 fit into a payment of 25: after the hour, the key alone keeps nobody from paying twice."""
    half = Money(1000, "EUR")
    mollie.payments[charge] = ("25.00", "EUR")
    provider.refund(charge, half, key=KEY)
    mollie.now += provider.capabilities.idempotency_key_ttl - timedelta(seconds=1)
    provider.refund(charge, half, key=KEY)
    assert len(mollie.refunds) == 1
    mollie.now += timedelta(seconds=2)
    provider.refund(charge, half, key=KEY)
    assert len(mollie.refunds) == 2
    assert not provider.capabilities.rejects_over_refund


def test_what_is_documented_is_promised(provider: PaymentProvider) -> None:
    can = provider.capabilities
    assert can.route("credit_card").window == timedelta(days=365)
    assert can.route("paypal").window == timedelta(days=180)
    assert not any(can.route(method).synchronous for method in ("paypal", "credit_card", "direct_debit"))


def everything(provider: PaymentProvider, charge: str) -> list[object]:
    return [
        provider.refund(charge, PRICE, key=KEY),
        provider.look_up(charge, key=KEY),
        provider.dispute(charge),
        provider.list_refunds(NOON, None),
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
