"""Adyen's adapter, against an Adyen of our own that does as its documents say, and one that does worse."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from domain.money import Money
from domain.providers import Declined, DeclineReason, Lookup, PaymentProvider, Pending, Unknown
from tests.contract.specs.judge import Judge
from tests.doubles.adyen import BELOW, MERCHANT, FakeAdyen, adapter, refused
from tests.doubles.faulty_server import (
    AFTER_CARRYING_OUT,
    Fault,
    FaultyServer,
    HttpResponse,
    no_fault,
    reset_before,
    responds_with,
)
from tests.doubles.raw_server import UNREADABLE, raw_server, sends
from worker.providers.adyen.adapter import NO_LOOKUP
from worker.providers.adyen.codes import CODES, UNDECIDED_CODES

PRICE = Money(1999, "EUR")
KEY = "mb_7c9e6679742540de944be07fc1f90ae7_1"
HURRY = 0.4  # seconds; the deadline of somebody who is about to be kept waiting


@pytest.fixture
def adyen() -> FakeAdyen:
    return FakeAdyen()


@pytest.fixture
def judge() -> Judge:
    return Judge("adyen-checkout-v72-refunds.json", below=BELOW)


@pytest.fixture
def server(adyen: FakeAdyen, judge: Judge) -> Iterator[FaultyServer]:
    """What we ask, and what it answers without a fault, is as Adyen's own API description has it."""
    with FaultyServer(judge.between(adyen.answer)) as server:
        yield server
    assert judge.complaints == []


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server.url)


@pytest.fixture
def charge(adyen: FakeAdyen) -> str:
    return adyen.captured("993617894903480A")


def test_the_whole_charge_is_asked_for_under_our_key_and_pending(
    provider: PaymentProvider, server: FaultyServer, adyen: FakeAdyen, judge: Judge, charge: str
) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Pending(adyen.refunds[0]["pspReference"], PRICE)
    assert judge.heard == 1
    [asked] = server.requests
    assert (asked.method, asked.path) == ("POST", f"/checkout/v72/payments/{charge}/refunds")
    assert asked.headers["idempotency-key"] == KEY
    assert json.loads(asked.body) == {
        "merchantAccount": MERCHANT,
        "amount": {"value": 1999, "currency": "EUR"},
        "reference": KEY,
        "merchantRefundReason": "CUSTOMER REQUEST",
    }


def test_the_same_key_is_received_once(provider: PaymentProvider, adyen: FakeAdyen, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(adyen.refunds) == 1


def test_many_callers_do_not_mix_up_their_refunds(provider: PaymentProvider, adyen: FakeAdyen) -> None:
    charges = [adyen.captured(f"99361789490348{number:02}") for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        answers = [*pool.map(lambda charge: provider.refund(charge, PRICE, key=f"mb_{charge}"), charges * 2)]
    assert {type(answer) for answer in answers} == {Pending}
    assert answers[:30] == answers[30:]
    by_charge = {row["paymentPspReference"]: row["pspReference"] for row in adyen.refunds}
    assert [answer.refund_id for answer in answers[:30] if isinstance(answer, Pending)] == [
        by_charge[charge] for charge in charges
    ]


@pytest.mark.parametrize(
    ("amount", "value"),
    [
        (Money(500, "JPY"), 500),
        (Money(1234, "KWD"), 1234),
        (Money(2790, "ISK"), 279_000),
        (Money(990, "CLP"), 99_000),
        (Money(15_000_000, "IDR"), 150_000),
        (Money(120_000, "CVE"), 1200),
    ],
)
def test_an_amount_is_in_adyens_own_minor_units(
    provider: PaymentProvider, adyen: FakeAdyen, amount: Money, value: int
) -> None:
    charge = adyen.captured("993617894903480B", value, amount.currency)
    assert provider.refund(charge, amount, key=KEY) == Pending("0000000000000000", amount)
    assert adyen.refunds[0]["amount"] == {"value": value, "currency": amount.currency}


def test_half_a_rupiah_cannot_be_refunded(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    assert provider.refund(charge, Money(150, "IDR"), key=KEY) == Declined(DeclineReason.PERMANENT, "137")
    assert server.requests == []


def test_what_is_no_psp_reference_is_not_asked_for(provider: PaymentProvider, server: FaultyServer) -> None:
    for odd in ("../../v72/cancels", "", "ch_1", "993617894903480", "993617894903480a", "99361789/903480A"):
        assert provider.refund(odd, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "167")
    assert server.requests == []


def test_a_payment_that_adyen_does_not_know_is_declined(provider: PaymentProvider) -> None:
    assert provider.refund("0000000000000000", PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "167")


def test_credentials_that_are_refused_leave_the_refund_open(server: FaultyServer, charge: str) -> None:
    answer = adapter(server.url, api_key="wrong").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("Adyen refuses our credentials: 401.", invalid_credentials=True)
    answer = adapter(server.url, merchant="Somebody").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("Adyen refuses our credentials: 403.", invalid_credentials=True)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("code", [*CODES, "14_030"])
def test_every_code_of_the_table_has_its_class(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str, status: int
) -> None:
    server.fault = responds_with(refused(status, code))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES.get(code, DeclineReason.PERMANENT), code)


def test_the_examples_of_the_api_description_are_understood(
    provider: PaymentProvider, server: FaultyServer, judge: Judge, charge: str
) -> None:
    examples = judge.description["components"]["examples"]
    expected = {
        "400": Declined(DeclineReason.PERMANENT, "702"),
        "401": Unknown("Adyen refuses our credentials: 401.", invalid_credentials=True),
        "403": Unknown("Adyen refuses our credentials: 403.", invalid_credentials=True),
        "422": Declined(DeclineReason.PERMANENT, "14_030"),
        "500": Unknown("Adyen answered 500."),
    }
    for status, answer in expected.items():
        example = examples[f"generic-{status}"]["value"]
        judge.check("ServiceError", example)
        server.fault = responds_with(HttpResponse(int(status), json.dumps(example).encode()))
        assert provider.refund(charge, PRICE, key=KEY) == answer


@pytest.mark.parametrize(
    "said",
    [
        *(refused(422, code) for code in sorted(UNDECIDED_CODES)),
        refused(409, "704"),
        refused(409, "167"),
        refused(404, "167"),
        refused(422, ""),
        refused(422, "x" * 101),
        refused(422, "\x07"),
        HttpResponse(422, b"{}"),
        HttpResponse(422, b'{"errorCode": 167}'),
        HttpResponse(422, b"<html>"),
        HttpResponse(404, b"<html>"),
        HttpResponse(408),
        HttpResponse(425),
        HttpResponse(500),
        HttpResponse(302, b"{}", {"Location": "https://elsewhere.example"}),
    ],
)
def test_a_refusal_that_decides_nothing_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, said: HttpResponse
) -> None:
    server.fault = responds_with(said)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", [429, 503])
def test_when_to_ask_again_is_told(provider: PaymentProvider, server: FaultyServer, charge: str, status: int) -> None:
    server.fault = responds_with(HttpResponse(status, b"{}", {"Retry-After": "17"}))
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(f"Adyen answered {status}.", retry_after=17.0)


@pytest.mark.parametrize("trouble", AFTER_CARRYING_OUT)
def test_a_lost_answer_is_unknown_and_the_same_key_tells(
    server: FaultyServer, adyen: FakeAdyen, charge: str, trouble: Fault
) -> None:
    server.fault = trouble
    before = monotonic()
    assert isinstance(adapter(server.url, seconds=HURRY).refund(charge, PRICE, key=KEY), Unknown)
    assert monotonic() - before < HURRY + 2
    server.fault = no_fault
    assert adapter(server.url).refund(charge, PRICE, key=KEY) == Pending(adyen.refunds[0]["pspReference"], PRICE)
    assert len(adyen.refunds) == 1


def test_a_call_that_was_lost_on_its_way_is_unknown(
    provider: PaymentProvider, server: FaultyServer, adyen: FakeAdyen, charge: str
) -> None:
    server.fault = reset_before
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert adyen.refunds == []


def test_nobody_there_is_unknown(charge: str, adyen: FakeAdyen) -> None:
    with FaultyServer(adyen.answer) as server:
        gone = adapter(server.url)
    assert isinstance(gone.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("answer", UNREADABLE)
def test_an_answer_that_says_nothing_is_unknown(charge: str, answer: str) -> None:
    with raw_server(sends(UNREADABLE[answer])) as url:
        assert isinstance(adapter(url).refund(charge, PRICE, key=KEY), Unknown)


def an_answer(charge: str, **changes: object) -> HttpResponse:
    answer: dict[str, Any] = {
        "merchantAccount": MERCHANT,
        "amount": {"value": 1999, "currency": "EUR"},
        "reference": KEY,
        "paymentPspReference": charge,
        "pspReference": "993617894906488A",
        "status": "received",
    }
    return HttpResponse(201, json.dumps(answer | changes).encode())


WRONG: dict[str, dict[str, object]] = {
    "another charge": {"paymentPspReference": "0000000000000000"},
    "another amount": {"amount": {"value": 1998, "currency": "EUR"}},
    "another currency": {"amount": {"value": 1999, "currency": "USD"}},
    "no amount": {"amount": None},
    "another key": {"reference": "mb_0"},
    "no key": {"reference": None},
    "another merchant": {"merchantAccount": "Somebody"},
    "another status": {"status": "refused"},
    "no id": {"pspReference": None},
    "an odd id": {"pspReference": "../"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_about_something_else_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: str
) -> None:
    server.fault = responds_with(an_answer(charge, **WRONG[wrong]))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


def test_the_same_answer_is_believed_when_it_is_right(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = responds_with(an_answer(charge))
    assert provider.refund(charge, PRICE, key=KEY) == Pending("993617894906488A", PRICE)


def test_adyen_cannot_be_asked_and_says_so(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    can = provider.capabilities
    assert (can.lookup, can.lists_refunds, can.rejects_over_refund, can.idempotency_key_ttl) == (
        Lookup.NEVER,
        False,
        True,
        timedelta(days=31),
    )
    assert not can.route("credit_card").synchronous
    told = [
        provider.look_up(charge, key=KEY),
        provider.dispute(charge),
        provider.list_refunds(datetime(2026, 11, 22, tzinfo=UTC), None),
    ]
    assert told == [Unknown(NO_LOOKUP)] * 3
    assert server.requests == []
