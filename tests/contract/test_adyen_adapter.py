"""Tests of Adyen's adapter with faulty responses, and with a fake Adyen that behaves as Adyen's documentation describes.

In test names, "unknown" means that the adapter returns Unknown, because it cannot know what happened at the provider.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from domain.money import Money
from domain.providers import AccessRight, Declined, DeclineReason, Lookup, PaymentProvider, Pending, Unknown
from tests.contract.specs.validator import SpecValidator
from tests.doubles.adyen import API_PATH, MERCHANT, FakeAdyen, adapter, error_response
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
from worker.providers.adyen.codes import ACCESS_PROBLEMS, ACCOUNT_CODES, CODES, UNDECIDED_CODES

PRICE = Money(1999, "EUR")
KEY = "mb_7c9e6679742540de944be07fc1f90ae7_1"
SHORT_TIMEOUT = 0.4  # seconds; the timeout of calls whose response comes too late


@pytest.fixture
def adyen() -> FakeAdyen:
    return FakeAdyen()


@pytest.fixture
def spec() -> SpecValidator:
    return SpecValidator("adyen-checkout-v72-refunds.json", base_path=API_PATH)


@pytest.fixture
def server(adyen: FakeAdyen, spec: SpecValidator) -> Iterator[FaultyServer]:
    """Yield the server of a fake Adyen. Check each request and correct response with Adyen's own API description."""
    with FaultyServer(spec.wrap(adyen.answer)) as server:
        yield server
    assert spec.errors == []


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server.url)


@pytest.fixture
def charge(adyen: FakeAdyen) -> str:
    return adyen.add_payment("993617894903480A")


def test_a_refund_request_has_the_full_amount_and_our_key(
    provider: PaymentProvider, server: FaultyServer, adyen: FakeAdyen, spec: SpecValidator, charge: str
) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == Pending(adyen.refunds[0]["pspReference"], PRICE)
    assert spec.checked_calls == 1
    [request] = server.requests
    assert (request.method, request.path) == ("POST", f"/checkout/v72/payments/{charge}/refunds")
    assert request.headers["idempotency-key"] == KEY
    assert json.loads(request.body) == {
        "merchantAccount": MERCHANT,
        "amount": {"value": 1999, "currency": "EUR"},
        "reference": KEY,
        "merchantRefundReason": "CUSTOMER REQUEST",
    }


def test_two_calls_with_the_same_key_make_one_refund(provider: PaymentProvider, adyen: FakeAdyen, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(adyen.refunds) == 1


def test_parallel_calls_return_their_own_refunds(provider: PaymentProvider, adyen: FakeAdyen) -> None:
    charges = [adyen.add_payment(f"99361789490348{number:02}") for number in range(30)]
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
def test_an_amount_is_sent_in_adyens_own_minor_units(
    provider: PaymentProvider, adyen: FakeAdyen, amount: Money, value: int
) -> None:
    charge = adyen.add_payment("993617894903480B", value, amount.currency)
    assert provider.refund(charge, amount, key=KEY) == Pending("0000000000000000", amount)
    assert adyen.refunds[0]["amount"] == {"value": value, "currency": amount.currency}


def test_an_amount_with_a_fraction_that_adyen_does_not_support_is_declined(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    assert provider.refund(charge, Money(150, "IDR"), key=KEY) == Declined(DeclineReason.PERMANENT, "137")
    assert server.requests == []


def test_an_invalid_psp_reference_is_not_sent(provider: PaymentProvider, server: FaultyServer) -> None:
    for invalid in ("../../v72/cancels", "", "ch_1", "993617894903480", "993617894903480a", "99361789/903480A"):
        assert provider.refund(invalid, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "167")
    assert server.requests == []


def test_a_payment_that_adyen_does_not_know_is_declined(provider: PaymentProvider) -> None:
    assert provider.refund("0000000000000000", PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "167")


def test_refused_credentials_are_reported(server: FaultyServer, charge: str) -> None:
    answer = adapter(server.url, api_key="wrong").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("Adyen refuses our credentials: 401.", invalid_credentials=True)
    answer = adapter(server.url, merchant="Somebody").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("Adyen refuses our credentials: 403.", invalid_credentials=True)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("code", sorted(ACCOUNT_CODES))
def test_a_code_about_our_account_is_the_fault_of_the_account(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str, status: int
) -> None:
    server.fault = responds_with(error_response(status, code))
    answer = provider.refund(charge, PRICE, key=KEY)
    assert answer == Unknown(f"Adyen refuses our account: {code}.", invalid_credentials=True)


def test_a_payment_of_the_other_environment_is_not_declined() -> None:
    """The payment exists, so the refund waits until support has corrected the account."""
    assert "906" in ACCOUNT_CODES
    assert not ACCOUNT_CODES & (CODES.keys() | UNDECIDED_CODES)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("code", [*CODES, "14_030"])
def test_every_error_code_has_a_decline_reason(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str, status: int
) -> None:
    server.fault = responds_with(error_response(status, code))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES.get(code, DeclineReason.PERMANENT), code)


def test_the_error_examples_of_the_api_description_are_parsed(
    provider: PaymentProvider, server: FaultyServer, spec: SpecValidator, charge: str
) -> None:
    examples = spec.description["components"]["examples"]
    expected = {
        "400": Declined(DeclineReason.PERMANENT, "702"),
        "401": Unknown("Adyen refuses our credentials: 401.", invalid_credentials=True),
        "403": Unknown("Adyen refuses our credentials: 403.", invalid_credentials=True),
        "422": Declined(DeclineReason.PERMANENT, "14_030"),
        "500": Unknown("Adyen answered 500."),
    }
    for status, answer in expected.items():
        example = examples[f"generic-{status}"]["value"]
        spec.check("ServiceError", example)
        server.fault = responds_with(HttpResponse(int(status), json.dumps(example).encode()))
        assert provider.refund(charge, PRICE, key=KEY) == answer


@pytest.mark.parametrize(
    "response",
    [
        *(error_response(422, code) for code in sorted(UNDECIDED_CODES)),
        error_response(409, "704"),
        error_response(409, "167"),
        error_response(404, "167"),
        error_response(422, ""),
        error_response(422, "x" * 101),
        error_response(422, "\x07"),
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
def test_an_error_after_which_a_refund_may_exist_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, response: HttpResponse
) -> None:
    server.fault = responds_with(response)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", [429, 503])
def test_the_seconds_of_the_retry_after_header_are_returned(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    server.fault = responds_with(HttpResponse(status, b"{}", {"Retry-After": "17"}))
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(f"Adyen answered {status}.", retry_after=17.0)


@pytest.mark.parametrize("fault", AFTER_CARRYING_OUT)
def test_after_a_lost_response_the_same_key_returns_the_refund(
    server: FaultyServer, adyen: FakeAdyen, charge: str, fault: Fault
) -> None:
    server.fault = fault
    before = monotonic()
    assert isinstance(adapter(server.url, seconds=SHORT_TIMEOUT).refund(charge, PRICE, key=KEY), Unknown)
    assert monotonic() - before < SHORT_TIMEOUT + 2
    server.fault = no_fault
    assert adapter(server.url).refund(charge, PRICE, key=KEY) == Pending(adyen.refunds[0]["pspReference"], PRICE)
    assert len(adyen.refunds) == 1


def test_a_refund_whose_request_was_lost_is_unknown(
    provider: PaymentProvider, server: FaultyServer, adyen: FakeAdyen, charge: str
) -> None:
    server.fault = reset_before
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert adyen.refunds == []


def test_the_result_is_unknown_if_the_server_is_unavailable(charge: str, adyen: FakeAdyen) -> None:
    with FaultyServer(adyen.answer) as server:
        provider = adapter(server.url)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("response", UNREADABLE)
def test_an_unreadable_response_is_unknown(charge: str, response: str) -> None:
    with raw_server(sends(UNREADABLE[response])) as url:
        assert isinstance(adapter(url).refund(charge, PRICE, key=KEY), Unknown)


def a_refund_response(charge: str, **changes: object) -> HttpResponse:
    body: dict[str, Any] = {
        "merchantAccount": MERCHANT,
        "amount": {"value": 1999, "currency": "EUR"},
        "reference": KEY,
        "paymentPspReference": charge,
        "pspReference": "993617894906488A",
        "status": "received",
    }
    return HttpResponse(201, json.dumps(body | changes).encode())


WRONG_FIELDS: dict[str, dict[str, object]] = {
    "another charge": {"paymentPspReference": "0000000000000000"},
    "another amount": {"amount": {"value": 1998, "currency": "EUR"}},
    "another currency": {"amount": {"value": 1999, "currency": "USD"}},
    "no amount": {"amount": None},
    "another key": {"reference": "mb_0"},
    "no key": {"reference": None},
    "another merchant": {"merchantAccount": "Somebody"},
    "another status": {"status": "refused"},
    "no id": {"pspReference": None},
    "an invalid id": {"pspReference": "../"},
}


@pytest.mark.parametrize("wrong", WRONG_FIELDS)
def test_a_response_about_another_refund_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: str
) -> None:
    server.fault = responds_with(a_refund_response(charge, **WRONG_FIELDS[wrong]))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


def test_a_response_with_the_right_fields_is_pending(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    server.fault = responds_with(a_refund_response(charge))
    assert provider.refund(charge, PRICE, key=KEY) == Pending("993617894906488A", PRICE)


def test_the_access_is_checked_without_a_change(provider: PaymentProvider, server: FaultyServer) -> None:
    assert provider.check_access() == {}
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/checkout/v72/paymentMethods")
    assert json.loads(request.body) == {"merchantAccount": MERCHANT}


def test_the_access_check_says_what_the_account_lacks(server: FaultyServer, adyen: FakeAdyen) -> None:
    wrong_key, wrong_account = adapter(server.url, api_key="expired"), adapter(server.url, merchant="Somebody")
    assert wrong_key.check_access() == {AccessRight.READ_PAYMENTS: ACCESS_PROBLEMS[401]}
    assert wrong_account.check_access() == {AccessRight.READ_PAYMENTS: ACCESS_PROBLEMS[403]}
    adyen.roles.clear()
    assert adapter(server.url).check_access() == {AccessRight.READ_PAYMENTS: ACCESS_PROBLEMS[403]}


@pytest.mark.parametrize("status", [302, 404, 422, 500, 503])
def test_the_access_check_shows_an_unexpected_status(
    provider: PaymentProvider, server: FaultyServer, status: int
) -> None:
    server.fault = responds_with(HttpResponse(status))
    assert provider.check_access() == {AccessRight.READ_PAYMENTS: f"Adyen answered {status}."}


def test_the_access_check_says_that_adyen_cannot_be_reached(adyen: FakeAdyen) -> None:
    with FaultyServer(adyen.answer) as server:
        provider = adapter(server.url)
    assert provider.check_access()[AccessRight.READ_PAYMENTS].startswith("The connection to Adyen failed")


def test_the_adapter_makes_no_lookups_and_lists_no_refunds(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    capabilities = provider.capabilities
    assert (
        capabilities.lookup,
        capabilities.lists_refunds,
        capabilities.rejects_over_refund,
        capabilities.idempotency_key_ttl,
    ) == (
        Lookup.NEVER,
        False,
        True,
        timedelta(days=31),
    )
    assert not capabilities.route("credit_card").synchronous
    since = datetime(2026, 11, 22, tzinfo=UTC)
    results = [provider.look_up(charge, key=KEY), provider.dispute(charge), provider.list_refunds(since, None)]
    assert results == [Unknown(NO_LOOKUP)] * 3
    assert server.requests == []


def test_adyen_shows_and_lists_nothing(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    capabilities, since = provider.capabilities, datetime(2026, 11, 22, tzinfo=UTC)
    flags = {capabilities.shows_payments, capabilities.lists_disputes, capabilities.lists_purchases}
    assert flags == {False}
    answers = [
        provider.payment(charge),
        provider.purchase(charge),
        provider.list_disputes(since, None),
        provider.purchases(since, None),
    ]
    assert {type(answer) for answer in answers} == {Unknown}
    assert server.requests == []
