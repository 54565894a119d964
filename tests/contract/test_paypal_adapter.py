"""Tests of PayPal's adapter with a fake PayPal, which behaves as PayPal's documentation describes, and with faulty responses.

In test names, "unknown" means that the adapter returns Unknown, because it cannot know what happened at the provider.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr

from config.provider_accounts import PayPalAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedPurchase,
    ListedRefund,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Pending,
    PurchasePage,
    RefundPage,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute, Method
from tests.contract.specs.validator import SpecValidator
from tests.doubles.faulty_server import (
    AFTER_CARRYING_OUT,
    Answer,
    ClientConnection,
    Fault,
    FaultyServer,
    HttpRequest,
    HttpResponse,
    hang_after,
    no_fault,
    reset_before,
    responds_with,
)
from tests.doubles.paypal import ID, SECRET, FakePayPal, adapter, error_response
from tests.doubles.raw_server import UNREADABLE
from worker.providers.deadline import time_limit
from worker.providers.paypal.access_token import MARGIN, AccessToken
from worker.providers.paypal.adapter import create_adapter
from worker.providers.paypal.auth_assertion import build_auth_assertion
from worker.providers.paypal.codes import (
    CAPTURED,
    CODES,
    DISPUTE_OUTCOMES,
    DISPUTE_STAGES,
    DISPUTED_CAPTURES,
    FAILURES,
    PURCHASE_EVENTS,
    REFUND_STATUSES,
    UNDECIDED_CODES,
)

PRICE = Money(1999, "EUR")
KEY = "mb_7c9e6679742540de944be07fc1f90ae7_1"
OTHER_KEY = "mb_0e37df36f69811e68dd90242ac120002_1"
TEST_TIMEOUT = 20.0  # seconds; a test waits this long only if it fails
SHORT_TIMEOUT = 0.4  # seconds; the timeout of calls whose response comes too late


@pytest.fixture
def paypal() -> FakePayPal:
    return FakePayPal(now=datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def spec() -> SpecValidator:
    return SpecValidator("paypal-payments-v2-refunds.json")


@pytest.fixture
def server(paypal: FakePayPal, spec: SpecValidator) -> Iterator[FaultyServer]:
    """Yield the server of a fake PayPal. Check the requests and the faultless responses with PayPal's API description."""
    with FaultyServer(spec.wrap(paypal.answer)) as server:
        yield server
    for capture in paypal.captures.values():
        spec.check("capture-2", capture)
    for refund in paypal.refunds:
        spec.check("refund", refund)
    assert spec.errors == []


@pytest.fixture
def provider(server: FaultyServer) -> PaymentProvider:
    return adapter(server.url)


@pytest.fixture
def charge(paypal: FakePayPal) -> str:
    return paypal.add_capture("2GG279541U471931P")


def refund_requests(server: FaultyServer) -> list[HttpRequest]:
    return [request for request in server.requests if request.path.endswith("/refund")]


def inject_fault(provider: PaymentProvider, server: FaultyServer, charge: str, fault: Fault) -> None:
    """Make the adapter fetch an access token, then inject the fault. So the fault does not affect the call for the token."""
    assert provider.look_up(charge, key="mb_no_matching_key") == NotFound()
    server.fault = fault


def test_a_refund_request_has_the_full_amount_and_our_key(
    provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, spec: SpecValidator, charge: str
) -> None:
    answer = provider.refund(charge, PRICE, key=KEY)
    assert answer == Paid(paypal.refunds[0]["id"], PRICE)
    assert spec.checked_calls == 1
    [request] = refund_requests(server)
    assert (request.method, request.path) == ("POST", f"/v2/payments/captures/{charge}/refund")
    assert request.headers["paypal-request-id"] == KEY
    assert request.headers["prefer"] == "return=representation"
    assert request.headers["authorization"] == f"Bearer {paypal.tokens[0]}"
    assert json.loads(request.body) == {
        "amount": {"currency_code": "EUR", "value": "19.99"},
        "custom_id": KEY,
        "invoice_id": KEY,
    }


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("500", Money(500, "JPY")),
        ("0.05", Money(5, "EUR")),
        ("1000", Money(100_000, "HUF")),
        ("70", Money(7000, "TWD")),
        ("1.234", Money(1234, "KWD")),
    ],
)
def test_an_amount_has_the_number_of_decimals_that_paypal_accepts(
    provider: PaymentProvider, paypal: FakePayPal, value: str, amount: Money
) -> None:
    charge = paypal.add_capture("MANY", value, amount.currency)
    paid = provider.refund(charge, amount, key=KEY)
    assert isinstance(paid, Paid)
    assert paypal.refunds[0]["amount"] == {"currency_code": amount.currency, "value": value}
    assert provider.look_up(charge, key=KEY) == paid == Paid(paid.refund_id, amount)


@pytest.mark.parametrize(("value", "currency", "minor"), [("500.00", "JPY", 500), ("5.0", "EUR", 500)])
def test_an_amount_is_parsed_with_any_number_of_decimals(
    provider: PaymentProvider, paypal: FakePayPal, value: str, currency: str, minor: int
) -> None:
    charge = paypal.add_capture("MANY", value, currency)
    refund = paypal.refund_by_hand(charge)
    assert provider.look_up(charge, key=KEY) == ExternalRefund(refund, Money(minor, currency))


def test_two_calls_with_the_same_key_make_one_refund(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(paypal.refunds) == 1


def test_a_call_with_an_expired_key_makes_no_second_refund(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    paypal.now += timedelta(days=46)
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.ALREADY_REFUNDED, "DUPLICATE_INVOICE_ID")
    assert len(paypal.refunds) == 1


def test_parallel_calls_use_one_token_and_return_their_own_refunds(
    provider: PaymentProvider, paypal: FakePayPal
) -> None:
    charges = [paypal.add_capture(f"C{number}", order=f"O{number}") for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        answers = [*pool.map(lambda charge: provider.refund(charge, PRICE, key=f"mb_{charge}"), charges * 2)]
        found = [*pool.map(lambda charge: provider.look_up(charge, key=f"mb_{charge}"), charges * 2)]
    assert {type(answer) for answer in answers} == {Paid}
    assert answers == found
    assert len({answer.refund_id for answer in answers if isinstance(answer, Paid)}) == len(paypal.refunds) == 30
    assert len(paypal.tokens) == 1


def test_a_token_is_replaced_shortly_before_it_expires(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    paypal.token_seconds = int(MARGIN)
    assert provider.look_up(charge, key=KEY) == NotFound()
    assert len(paypal.tokens) == 2, (
        "The call that reads the capture fetches a token. The call that reads the order fetches a second token."
    )


def test_if_a_token_is_revoked_the_adapter_fetches_a_new_token_and_refunds(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    provider.look_up(charge, key=KEY)
    paypal.revoked_tokens.update(paypal.tokens)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Paid)
    assert len(paypal.refunds) == 1
    assert len(paypal.tokens) == 2


def test_a_wrong_secret_is_reported(server: FaultyServer, charge: str, paypal: FakePayPal) -> None:
    answer = adapter(server.url, secret="wrong").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("PayPal refuses our credentials: 401.", invalid_credentials=True)
    assert paypal.refunds == []


class EveryToken(set[str]):
    """A set that contains every token."""

    def __contains__(self, token: object) -> bool:
        return True


def test_if_the_new_token_is_refused_too_no_third_token_is_fetched(
    provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str
) -> None:
    paypal.revoked_tokens = EveryToken()
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(
        "PayPal refuses our credentials: 401.", invalid_credentials=True
    )
    assert len(refund_requests(server)) == len(paypal.tokens) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_reported(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    inject_fault(provider, server, charge, responds_with(error_response(status, "PERMISSION_DENIED")))
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(
        f"PayPal refuses our credentials: {status}.", invalid_credentials=True
    )


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(400, b'{"error":"invalid_client"}'),
        HttpResponse(200, b"{}"),
        HttpResponse(200, b'{"access_token":"a","expires_in":"9"}'),
        HttpResponse(200, '{"access_token":"ä","expires_in":9}'.encode()),
        HttpResponse(200, b'{"access_token":7,"expires_in":9}'),
        HttpResponse(503),
        HttpResponse(200, b"\xff"),
        HttpResponse(302, b"", {"Location": "https://elsewhere.example"}),
    ],
)
def test_a_refund_without_an_access_token_is_unknown(server: FaultyServer, charge: str, response: HttpResponse) -> None:
    server.fault = responds_with(response)
    assert isinstance(adapter(server.url).refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_refund_status_is_paid_pending_or_failed(
    provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
) -> None:
    paypal.new_refund_status = status
    answer = provider.refund(charge, PRICE, key=KEY)
    id_ = paypal.refunds[0]["id"]
    expected = {
        RefundStatus.PAID: Paid(id_, PRICE),
        RefundStatus.PENDING: Pending(id_, PRICE),
        RefundStatus.FAILED: Failed(id_, status, FAILURES.get(status, DeclineReason.PERMANENT)),
    }
    assert answer == provider.look_up(charge, key=KEY) == expected[REFUND_STATUSES[status]]


@pytest.mark.parametrize("order", ["ORDER1", None])
def test_a_refund_that_was_cancelled_at_paypal_is_not_returned_by_the_bank(
    provider: PaymentProvider, paypal: FakePayPal, order: str | None
) -> None:
    charge = paypal.add_capture("CANCELLED", order=order)
    paypal.new_refund_status = "PENDING"
    pending = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(pending, Pending)
    paypal.fail(pending.refund_id, "CANCELLED")
    paypal.captures[charge]["status"] = "PARTIALLY_REFUNDED"  # otherwise, no refund is searched
    cancelled = Failed(pending.refund_id, "CANCELLED", DeclineReason.CANCELLED)
    assert provider.look_up(charge, key=KEY) == cancelled
    by_hand = paypal.refund_by_hand(
        charge, "1.00", "COMPLETED"
    )  # with a live refund, PayPal's status of the capture is right
    shown = provider.refunds(charge)
    assert not isinstance(shown, Unknown)
    failures = {entry.refund_id: entry.failure for entry in shown}
    assert failures == {pending.refund_id: DeclineReason.CANCELLED, by_hand: None}


def test_the_failure_reason_echeck_is_mapped_to_insufficient_balance(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    paypal.new_refund_status = "PENDING"
    pending = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(pending, Pending)
    paypal.fail(pending.refund_id, reason="ECHECK")
    assert provider.look_up(charge, key=KEY) == Failed(pending.refund_id, "ECHECK", DeclineReason.INSUFFICIENT_BALANCE)


@pytest.mark.parametrize("code", CODES)
def test_every_issue_in_an_error_has_a_decline_reason(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str
) -> None:
    inject_fault(provider, server, charge, responds_with(error_response(422, "SOMETHING_ELSE", code)))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES[code], code)


def test_every_issue_of_paypals_api_description_has_a_decline_reason(spec: SpecValidator) -> None:
    schemas = spec.description["components"]["schemas"]
    issues = {
        issue
        for name in ("captures.refund-400", "captures.refund-422")
        for kind in schemas[name]["properties"]["details"]["items"]["anyOf"]
        for issue in kind["properties"]["issue"]["enum"]
    }
    assert issues <= CODES.keys()


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (error_response(422, "A_NEW_ISSUE"), "A_NEW_ISSUE"),
        (error_response(400, "A_NEW_ISSUE"), "A_NEW_ISSUE"),
        (error_response(400), "INVALID_REQUEST"),
        (error_response(404), "RESOURCE_NOT_FOUND"),
    ],
)
def test_an_unknown_issue_is_a_permanent_decline(
    provider: PaymentProvider, server: FaultyServer, charge: str, response: HttpResponse, code: str
) -> None:
    inject_fault(provider, server, charge, responds_with(response))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, code)


@pytest.mark.parametrize(
    "response",
    [
        *(error_response(422, "A_NEW_ISSUE", code) for code in sorted(UNDECIDED_CODES)),
        error_response(409, "PREVIOUS_REQUEST_IN_PROGRESS"),
        error_response(422, "x" * 101),
        error_response(422, "\x07"),
        HttpResponse(422, b'{"details": 7}'),
        HttpResponse(422, b'{"details": [7]}'),
        HttpResponse(400, b"<html>"),
        HttpResponse(404, b'{"error": "no such page"}'),
        HttpResponse(408, b"{}"),
        HttpResponse(425, b"{}"),
        HttpResponse(500, b""),
        error_response(500),
        HttpResponse(302, b"{}", {"Location": "https://elsewhere.example"}),
    ],
)
def test_an_error_after_which_a_refund_may_exist_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, response: HttpResponse
) -> None:
    inject_fault(provider, server, charge, responds_with(response))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", [429, 503])
def test_the_seconds_of_the_retry_after_header_are_returned(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    inject_fault(provider, server, charge, responds_with(HttpResponse(status, b"{}", {"Retry-After": "17"})))
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(f"PayPal answered {status}.", retry_after=17.0)


@pytest.mark.parametrize("fault", AFTER_CARRYING_OUT)
def test_if_a_fault_follows_the_refund_the_result_is_unknown_and_a_lookup_finds_the_refund(
    server: FaultyServer, paypal: FakePayPal, charge: str, fault: Fault
) -> None:
    impatient = adapter(server.url, seconds=SHORT_TIMEOUT)
    inject_fault(impatient, server, charge, fault)
    before = monotonic()
    assert isinstance(impatient.refund(charge, PRICE, key=KEY), Unknown)
    assert monotonic() - before < SHORT_TIMEOUT + 2
    server.fault = no_fault
    [refund] = paypal.refunds
    assert adapter(server.url).look_up(charge, key=KEY) == Paid(refund["id"], PRICE)


def test_if_a_fault_prevents_the_refund_the_result_is_unknown_and_no_refund_is_found(
    provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str
) -> None:
    inject_fault(provider, server, charge, reset_before)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert len(paypal.refunds) == 0
    server.fault = no_fault
    assert provider.look_up(charge, key=KEY) == NotFound()


def test_a_refund_ends_at_the_deadline_if_the_token_does_not_arrive(server: FaultyServer, charge: str) -> None:
    server.fault = hang_after
    impatient = adapter(server.url, seconds=SHORT_TIMEOUT)
    before = monotonic()
    with ThreadPoolExecutor(5) as pool:
        answers = [*pool.map(lambda _: impatient.refund(charge, PRICE, key=KEY), range(5))]
    assert answers == [Unknown("PayPal did not answer in time.")] * 5
    assert monotonic() - before < SHORT_TIMEOUT + 2


def test_waiting_for_a_token_that_another_thread_fetches_ends_at_the_deadline() -> None:
    begun, done = Event(), Event()
    numbers = iter("12")

    def fetch_slowly() -> tuple[str, float]:
        begun.set()
        assert done.wait(TEST_TIMEOUT)
        return f"A21AA-{next(numbers)}", 3600.0

    tokens = AccessToken(fetch_slowly)

    def fetch_in_thread() -> str | Unknown:
        with time_limit(TEST_TIMEOUT):
            return tokens.current()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fetch_in_thread)
        assert begun.wait(TEST_TIMEOUT)
        with time_limit(0.05):
            assert tokens.current() == Unknown("PayPal did not answer in time.")
        done.set()
        assert first.result(TEST_TIMEOUT) == "A21AA-1"
    with time_limit(TEST_TIMEOUT):
        tokens.discard("an older token")
        assert tokens.current() == "A21AA-1"
        tokens.discard("A21AA-1")
        assert tokens.current() == "A21AA-2"


def test_all_calls_of_one_lookup_have_the_same_deadline(server: FaultyServer, charge: str) -> None:
    impatient = adapter(server.url, seconds=SHORT_TIMEOUT)

    def respond_late(connection: ClientConnection, answer: Answer) -> None:
        response = answer()
        connection.closing.wait(SHORT_TIMEOUT * 0.7)
        connection.send(response)

    inject_fault(impatient, server, charge, respond_late)
    before = monotonic()
    assert impatient.look_up(charge, key=KEY) == Unknown("PayPal did not answer in time.")
    assert monotonic() - before < SHORT_TIMEOUT + 2
    assert server.requests[-1].path == "/v2/checkout/orders/ORDER1"


def test_the_results_are_unknown_if_the_server_is_unavailable(charge: str, paypal: FakePayPal) -> None:
    with paypal.serve() as server:
        provider = adapter(server.url)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    assert isinstance(provider.dispute(charge), Unknown)
    assert isinstance(provider.list_refunds(paypal.now, None), Unknown)


def responds_with_bytes(raw: bytes) -> Fault:
    def fault(connection: ClientConnection, answer: Answer) -> None:  # noqa: ARG001 - the fake PayPal does not get the request
        connection._handler.wfile.write(raw)
        connection.close()

    return fault


@pytest.mark.parametrize("response", UNREADABLE)
def test_an_unreadable_response_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, response: str
) -> None:
    inject_fault(provider, server, charge, responds_with_bytes(UNREADABLE[response]))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert isinstance(provider.look_up(charge, key=KEY), Unknown)
    assert isinstance(provider.dispute(charge), Unknown)
    assert isinstance(provider.list_refunds(datetime.now(UTC), None), Unknown)


def test_a_response_cannot_call_python_functions(
    provider: PaymentProvider, server: FaultyServer, charge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The adapter must not parse JSON with jsonpickle, as PayPal's SDK does. jsonpickle calls functions that the JSON names."""
    payload = b'{"py/reduce": [{"py/function": "builtins.print"}, {"py/tuple": ["called"]}]}'
    for status in (201, 422):
        server.fault = no_fault
        inject_fault(adapter(server.url), server, charge, responds_with(HttpResponse(status, payload)))
        assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert "called" not in capsys.readouterr().out


def a_refund(charge: str, **changes: object) -> dict[str, Any]:
    refund: dict[str, Any] = {
        "id": "1JU08902781691411",
        "status": "COMPLETED",
        "amount": {"currency_code": "EUR", "value": "19.99"},
        "custom_id": KEY,
        "invoice_id": KEY,
        "links": [{"rel": "up", "href": f"https://api-m.paypal.com/v2/payments/captures/{charge}"}],
    }
    return refund | changes


def link_to(href: str) -> dict[str, object]:
    return {"links": [{"rel": "up", "href": href}]}


WRONG_FIELDS: dict[str, dict[str, object]] = {
    "another charge": link_to("https://api-m.paypal.com/v2/payments/captures/OTHER"),
    "no charge": {"links": []},
    "two charges": {"links": [{"rel": "up", "href": f"/captures/{name}"} for name in ("2GG279541U471931P", "OTHER")]},
    "another amount": {"amount": {"currency_code": "EUR", "value": "19.98"}},
    "another currency": {"amount": {"currency_code": "USD", "value": "19.99"}},
    "an amount with too many decimals": {"amount": {"currency_code": "EUR", "value": "19.991"}},
    "an amount that is no number": {"amount": {"currency_code": "EUR", "value": "1.999e1"}},
    "no amount": {"amount": None},
    "another key": {"custom_id": OTHER_KEY, "invoice_id": OTHER_KEY},
    "no key": {"custom_id": None, "invoice_id": None},
    "a key that is a list": {"custom_id": [], "invoice_id": []},
    "another status": {"status": "REVERSED"},
    "a status that is a list": {"status": []},
    "no id": {"id": ""},
    "an id that is too long": {"id": "X" * 101},
    "an id that is a number": {"id": 7},
}


@pytest.mark.parametrize("wrong", WRONG_FIELDS)
def test_a_response_with_a_wrong_field_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: str
) -> None:
    answer = HttpResponse(201, json.dumps(a_refund(charge, **WRONG_FIELDS[wrong])).encode())
    inject_fault(provider, server, charge, responds_with(answer))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


def test_a_response_with_the_right_fields_is_paid(provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
    inject_fault(provider, server, charge, responds_with(HttpResponse(201, json.dumps(a_refund(charge)).encode())))
    assert provider.refund(charge, PRICE, key=KEY) == Paid("1JU08902781691411", PRICE)


def test_an_invalid_capture_id_is_not_sent(provider: PaymentProvider, server: FaultyServer) -> None:
    for invalid in ("../../v1/billing", "ch_1", "", "A" * 21, "A/B"):
        assert provider.refund(invalid, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "INVALID_RESOURCE_ID")
        assert isinstance(provider.look_up(invalid, key=KEY), Unknown)
        assert isinstance(provider.dispute(invalid), Unknown)
    assert server.requests == []


class TestLookup:
    def test_an_external_refund_is_found(self, provider: PaymentProvider, paypal: FakePayPal, charge: str) -> None:
        refund = paypal.refund_by_hand(charge)
        assert provider.look_up(charge, key=KEY) == ExternalRefund(refund, PRICE)
        assert provider.refund(charge, PRICE, key=KEY) == Declined(
            DeclineReason.ALREADY_REFUNDED, "CAPTURE_FULLY_REFUNDED"
        )

    def test_a_partial_external_refund_is_found(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        refund = paypal.refund_by_hand(charge, "5.00")
        assert provider.look_up(charge, key=KEY) == ExternalRefund(refund, Money(500, "EUR"))
        assert provider.refund(charge, PRICE, key=KEY) == Declined(
            DeclineReason.ALREADY_REFUNDED, "REFUND_AMOUNT_EXCEEDED"
        )

    def test_the_lookup_prefers_our_refund_to_an_external_refund(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        own_refund = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(own_refund, Paid)
        paypal.fail(own_refund.refund_id)
        paypal.refund_by_hand(charge)
        assert provider.look_up(charge, key=KEY) == Failed(own_refund.refund_id, "FAILED")

    def test_a_failed_external_refund_is_ignored(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.fail(paypal.refund_by_hand(charge))
        assert provider.look_up(charge, key=KEY) == NotFound()

    def test_a_refund_of_another_capture_of_the_order_is_ignored(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.refund_by_hand(paypal.add_capture("SECOND"))
        assert provider.look_up(charge, key=KEY) == NotFound()

    @pytest.mark.parametrize("status", ["PENDING", "DECLINED", "FAILED"])
    def test_no_refund_is_found_for_a_capture_that_is_not_completed(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        paypal.captures[charge]["status"] = status
        assert provider.look_up(charge, key=KEY) == NotFound()
        paypal.captures[charge]["status_details"] = {"reason": "REFUNDED"}
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    @pytest.mark.parametrize("order", [None, "GONE"])
    def test_a_lookup_of_a_capture_without_an_order_searches_the_list_of_refunds(
        self, provider: PaymentProvider, paypal: FakePayPal, order: str | None
    ) -> None:
        charge = paypal.add_capture("RENEWAL", order=order)
        paypal.orders_exist = False
        paypal.refund_by_hand(paypal.add_capture("OTHERS", order=None))
        assert provider.look_up(charge, key=KEY) == NotFound()
        own_refund = provider.refund(charge, PRICE, key=KEY)
        assert provider.look_up(charge, key=KEY) == own_refund
        assert isinstance(own_refund, Paid)
        assert provider.look_up(charge, key=OTHER_KEY) == ExternalRefund(own_refund.refund_id, PRICE)

    def test_a_refund_that_is_not_listed_yet_is_unknown(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        paypal.search_delay = timedelta(hours=3)
        own_refund = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)
        paypal.now += timedelta(hours=3)
        assert provider.look_up(charge, key=KEY) == own_refund

    def test_a_lookup_is_unknown_if_paypal_cannot_list_all_refunds(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        provider.refund(charge, PRICE, key=KEY)
        paypal.max_search_results = 0
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    def test_a_lookup_among_many_refunds_reads_every_page(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        for number in range(501):
            paypal.refund_by_hand(paypal.add_capture(f"C{number}"))
        charge = paypal.add_capture("RENEWAL", order=None)
        own_refund = provider.refund(charge, PRICE, key=KEY)
        assert provider.look_up(charge, key=KEY) == own_refund

    def test_a_lookup_is_unknown_after_a_404_without_paypals_error_body(self, paypal: FakePayPal, charge: str) -> None:
        def without_orders(request: HttpRequest) -> HttpResponse:
            return HttpResponse(404, b"{}") if "orders" in request.path else paypal.answer(request)

        with FaultyServer(without_orders) as server:
            assert isinstance(adapter(server.url).look_up(charge, key=KEY), Unknown)

    def test_our_failed_refund_is_found_if_an_external_refund_is_not_listed_yet(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        own_refund = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(own_refund, Paid)
        paypal.fail(own_refund.refund_id)
        paypal.captures[charge]["status"] = "REFUNDED"
        paypal.search_delay = timedelta(hours=3)
        assert provider.look_up(charge, key=KEY) == Failed(own_refund.refund_id, "FAILED")

    def test_a_refund_with_the_amount_zero_is_unknown(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.refund_by_hand(charge, "0.00")
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    @pytest.mark.parametrize("unavailable", ["/v2/checkout/orders", "/v1/reporting"])
    def test_one_failed_call_makes_the_lookup_unknown(self, paypal: FakePayPal, unavailable: str) -> None:
        charge = paypal.add_capture("RENEWAL", order="ORDER1" if "orders" in unavailable else None)
        paypal.refund_by_hand(charge)

        def partly_unavailable(request: HttpRequest) -> HttpResponse:
            return error_response(503) if request.path.startswith(unavailable) else paypal.answer(request)

        with FaultyServer(partly_unavailable) as server:
            assert adapter(server.url).look_up(charge, key=KEY) == Unknown("PayPal answered 503.")

    def test_a_lookup_makes_only_get_requests(
        self, provider: PaymentProvider, paypal: FakePayPal, server: FaultyServer, charge: str
    ) -> None:
        paypal.refund_by_hand(charge)
        paypal.orders_exist = False
        provider.look_up(charge, key=KEY)
        assert {request.method for request in server.requests if request.path != "/v1/oauth2/token"} == {"GET"}

    @pytest.mark.parametrize(
        "order",
        [
            {},
            {"purchase_units": 7},
            {"purchase_units": [{"payments": {"captures": [], "refunds": []}}]},
            {"purchase_units": [{"payments": {"captures": [{"id": "2GG279541U471931P"}], "refunds": [{}]}}]},
            {"purchase_units": [{"payments": {"captures": [{"id": "2GG279541U471931P"}], "refunds": [7]}}]},
        ],
    )
    def test_an_unreadable_order_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, order: dict[str, Any]
    ) -> None:
        capture = {
            "id": charge,
            "status": "COMPLETED",
            "update_time": "2026-11-22T12:00:00Z",
            "supplementary_data": {"related_ids": {"order_id": "ORDER1"}},
        }
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(capture | order).encode())))
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "OTHER"},
            {"status": "NEW"},
            {"status": []},
            {"update_time": "today"},
            {"update_time": "2026-11-22T12:00:00"},
            {"supplementary_data": {"related_ids": {"order_id": "../.."}}},
            {"supplementary_data": {"related_ids": {"order_id": 7}}},
        ],
    )
    def test_an_unreadable_capture_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str, changes: dict[str, Any]
    ) -> None:
        capture = paypal.captures[paypal.add_capture("RENEWAL", order=None)]
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(capture).encode())))
        assert provider.look_up("RENEWAL", key=KEY) == NotFound()
        server.fault = responds_with(HttpResponse(200, json.dumps(capture | changes).encode()))
        assert isinstance(provider.look_up("RENEWAL", key=KEY), Unknown)

    def test_a_capture_that_paypal_does_not_know_is_unknown(self, provider: PaymentProvider) -> None:
        assert isinstance(provider.look_up("NOBODYS", key=KEY), Unknown)


class TestDisputes:
    def test_a_charge_without_a_dispute_has_the_status_none(self, provider: PaymentProvider, charge: str) -> None:
        assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)

    @pytest.mark.parametrize(
        "status", ["OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "UNDER_REVIEW", "OTHER", "NEW"]
    )
    def test_every_dispute_status_except_resolved_is_open(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)
        dispute = paypal.dispute(charge, status)
        paypal.dispute(charge, "RESOLVED", "RESOLVED_SELLER_FAVOUR")
        assert provider.dispute(charge) == DisputeStatus(Dispute.OPEN, dispute)

    @pytest.mark.parametrize(
        "outcome", ["RESOLVED_BUYER_FAVOUR", "RESOLVED_WITH_PAYOUT", "ACCEPTED", "NONE", "NEW", *DISPUTE_OUTCOMES]
    )
    def test_only_a_dispute_outcome_in_the_sellers_favour_is_won(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, outcome: str
    ) -> None:
        dispute = paypal.dispute(charge, "RESOLVED", outcome)
        won = outcome in {"RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER", "DENIED"}
        assert provider.dispute(charge) == DisputeStatus(Dispute.WON if won else Dispute.LOST, dispute)

    def test_of_lost_and_won_disputes_the_newest_lost_dispute_is_returned(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.dispute(charge, "RESOLVED", "ACCEPTED")
        lost = paypal.dispute(charge, "RESOLVED", "RESOLVED_BUYER_FAVOUR")
        paypal.dispute(charge, "RESOLVED", "DENIED")
        assert provider.dispute(charge) == DisputeStatus(Dispute.LOST, lost)

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"items": 7},
            {"items": [{}]},
            {"items": [{"dispute_id": "../x", "status": "OPEN"}]},
            {"items": [], "links": [{"rel": "next"}]},
            {"items": [], "links": [7]},
            {"items": [{"dispute_id": "PP-D-1", "status": "RESOLVED"}], "dispute_id": "PP-D-2"},
            {"items": [{"dispute_id": "PP-D-1", "status": "RESOLVED"}], "dispute_id": "PP-D-1"},
        ],
    )
    def test_an_unreadable_list_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, document: dict[str, Any]
    ) -> None:
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(document).encode())))
        assert isinstance(provider.dispute(charge), Unknown)

    def test_a_dispute_whose_details_are_unavailable_is_unknown(self, paypal: FakePayPal, charge: str) -> None:
        dispute = paypal.dispute(charge, "RESOLVED", "DENIED")

        def without_details(request: HttpRequest) -> HttpResponse:
            return error_response(503) if request.path.endswith(dispute) else paypal.answer(request)

        with FaultyServer(without_details) as server:
            assert adapter(server.url).dispute(charge) == Unknown("PayPal answered 503.")

    def test_a_list_without_items_is_empty(self, paypal: FakePayPal, charge: str) -> None:
        def without_items(request: HttpRequest) -> HttpResponse:
            is_list = request.path == "/v1/customer/disputes"
            return HttpResponse(200, b'{"links": []}') if is_list else paypal.answer(request)

        with FaultyServer(without_items) as server:
            assert adapter(server.url).dispute(charge) == DisputeStatus(Dispute.NONE)

    @pytest.mark.parametrize("status", ["COMPLETED", "PENDING", "DECLINED", "PARTIALLY_REFUNDED"])
    @pytest.mark.parametrize("reason", sorted(DISPUTED_CAPTURES))
    @pytest.mark.parametrize("outcome", [None, "RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER"])
    def test_a_capture_that_names_a_dispute_as_its_reason_has_an_open_dispute(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, reason: str, status: str, outcome: str | None
    ) -> None:
        """PayPal may list no dispute, or only an earlier dispute that the seller won."""
        if outcome:
            paypal.dispute(charge, "RESOLVED", outcome)
        paypal.captures[charge] |= {"status": status, "status_details": {"reason": reason}}
        assert provider.dispute(charge) == DisputeStatus(Dispute.OPEN, reason)

    @pytest.mark.parametrize("reason", sorted(DISPUTED_CAPTURES))
    def test_a_payment_that_names_a_dispute_as_its_reason_has_an_open_dispute(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, reason: str
    ) -> None:
        paypal.captures[charge] |= {"status": "PENDING", "status_details": {"reason": reason}}
        payment = provider.payment(charge)
        assert isinstance(payment, PaymentStatus)
        assert (payment.dispute, payment.captured) == (DisputeStatus(Dispute.OPEN, reason), PRICE)

    @pytest.mark.parametrize("reason", ["ECHECK", "PENDING_REVIEW", "REFUNDED", "OTHER", "UNILATERAL"])
    def test_a_capture_with_another_reason_has_no_dispute(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, reason: str
    ) -> None:
        paypal.captures[charge] |= {"status": "PENDING", "status_details": {"reason": reason}}
        assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)

    @pytest.mark.parametrize("reason", sorted(DISPUTED_CAPTURES))
    @pytest.mark.parametrize("stage", sorted(DISPUTE_STAGES))
    def test_the_listed_dispute_explains_the_reason_of_the_capture(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, reason: str, stage: str
    ) -> None:
        dispute = paypal.dispute(charge, "OPEN", stage=stage)
        paypal.captures[charge] |= {"status": "PENDING", "status_details": {"reason": reason}}
        assert provider.dispute(charge) == DisputeStatus(DISPUTE_STAGES[stage], dispute)

    def test_without_the_capture_the_dispute_is_unknown(self, paypal: FakePayPal, charge: str) -> None:
        with FaultyServer(without(paypal, "/v2/payments/captures")) as server:
            assert adapter(server.url).dispute(charge) == Unknown("PayPal answered 503.")


def all_pages(provider: PaymentProvider, since: datetime) -> list[ListedRefund]:
    listed: list[ListedRefund] = []
    cursor = None
    for _ in range(50):
        page = provider.list_refunds(since, cursor)
        assert isinstance(page, RefundPage)
        listed += page.refunds
        cursor = page.next_cursor
        if cursor is None:
            return listed
    raise AssertionError("The list of refunds has more than 50 pages.")


class TestRefundList:
    def test_the_refunds_since_an_instant_are_listed(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        provider.refund(charge, PRICE, key=KEY)
        other = paypal.refund_by_hand(paypal.add_capture("OTHER"), "5.00", invoice_id="somebody@example.org")
        own_refund_id = paypal.refunds[0]["id"]
        assert all_pages(provider, paypal.now) == [
            ListedRefund(own_refund_id, charge, PRICE, RefundStatus.PAID, paypal.now, KEY),
            ListedRefund(other, "OTHER", Money(500, "EUR"), RefundStatus.PAID, paypal.now, None),
        ]

    @pytest.mark.parametrize("status", REFUND_STATUSES)
    def test_a_refund_with_any_status_is_listed(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        paypal.refund_by_hand(charge, status=status)
        [listed] = all_pages(provider, paypal.now)
        assert listed.status is REFUND_STATUSES[status]

    def test_refunds_of_the_three_hours_before_the_given_instant_are_also_listed(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        since = paypal.now
        paypal.now -= timedelta(hours=2, minutes=59)
        paypal.refund_by_hand(paypal.add_capture("LATE"))
        assert len(all_pages(provider, since)) == 1

    def test_the_refunds_of_a_year_are_read_in_time_ranges_and_pages(
        self, provider: PaymentProvider, paypal: FakePayPal, server: FaultyServer
    ) -> None:
        today = paypal.now
        for days in range(365):
            paypal.now = today - timedelta(days=days)
            for number in range(20 if days < 31 else 1):
                paypal.refund_by_hand(paypal.add_capture(f"C{days}X{number}"))
        paypal.now = today
        listed = all_pages(provider, today - timedelta(days=366))
        assert {refund.refund_id for refund in listed} == {row["id"] for row in paypal.refunds}
        searches = [request.query for request in server.requests if request.path == "/v1/reporting/transactions"]
        assert {query["transaction_type"] for query in searches} == {"T1107"}
        assert {query["page"] for query in searches} == {"1", "2"}

    def test_a_time_range_with_too_many_refunds_is_split(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        today = paypal.now
        for days in range(20):
            paypal.now = today - timedelta(days=days)
            paypal.refund_by_hand(paypal.add_capture(f"C{days}"))
        paypal.now, paypal.max_search_results = today, 6
        listed = all_pages(provider, today - timedelta(days=25))
        assert {refund.refund_id for refund in listed} == {row["id"] for row in paypal.refunds}

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"total_pages": 1, "transaction_details": 7},
            {"total_pages": "1", "transaction_details": []},
        ],
    )
    def test_an_unreadable_list_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, document: dict[str, Any]
    ) -> None:
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(document).encode())))
        assert isinstance(provider.list_refunds(datetime.now(UTC), None), Unknown)

    STRANGE_ROWS: tuple[Any, ...] = (
        7,
        None,
        {},
        {"transaction_info": {}},
        {"transaction_info": {"paypal_reference_id": None}},
        {"transaction_info": {"transaction_amount": {"currency_code": "BGN", "value": "-1.00"}}},
        {"transaction_info": {"transaction_status": None}},
        {"transaction_info": {"transaction_initiation_date": "yesterday"}},
        {"transaction_info": {"custom_field": ["SHOP-1"], "invoice_id": {"order": 7}}},
    )

    @pytest.mark.parametrize("strange", STRANGE_ROWS)
    def test_a_row_of_another_system_that_cannot_be_read_is_left_out(
        self, paypal: FakePayPal, charge: str, strange: Any
    ) -> None:
        paypal.refund_by_hand(charge)

        with FaultyServer(with_strange_rows(paypal, [strange])) as server:
            page = adapter(server.url).list_refunds(paypal.now, None)
        assert isinstance(page, RefundPage)
        assert [refund.charge for refund in page.refunds] == [charge]
        assert page.skipped == 1

    @pytest.mark.parametrize("field", ["custom_field", "invoice_id"])
    def test_a_row_with_our_key_that_cannot_be_read_makes_the_page_unknown(
        self, paypal: FakePayPal, charge: str, field: str
    ) -> None:
        paypal.refund_by_hand(charge)
        strange = {"transaction_info": {field: KEY, "transaction_status": "X"}}
        with FaultyServer(with_strange_rows(paypal, [strange])) as server:
            assert isinstance(adapter(server.url).list_refunds(paypal.now, None), Unknown)

    @pytest.mark.parametrize("strange", STRANGE_ROWS)
    def test_a_strange_row_does_not_hide_the_refund_of_a_capture(self, paypal: FakePayPal, strange: Any) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        refund = paypal.refund_by_hand(charge)
        with FaultyServer(with_strange_rows(paypal, [strange])) as server:
            assert adapter(server.url).look_up(charge, key=KEY) == ExternalRefund(refund, PRICE)

    def test_a_strange_row_about_the_capture_makes_the_lookup_unknown(self, paypal: FakePayPal) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        paypal.refund_by_hand(charge)
        strange = {"transaction_info": {"paypal_reference_id": charge, "transaction_status": "X"}}
        with FaultyServer(with_strange_rows(paypal, [strange])) as server:
            assert isinstance(adapter(server.url).look_up(charge, key=KEY), Unknown)


def with_strange_rows(paypal: FakePayPal, rows: list[Any]) -> Callable[[HttpRequest], HttpResponse]:
    """Return an ``answer`` function whose transaction search also lists ``rows``."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = paypal.answer(request)
        if request.path != "/v1/reporting/transactions":
            return response
        document = json.loads(response.body)
        document["transaction_details"] = [*rows, *document["transaction_details"]]
        return HttpResponse(200, json.dumps(document).encode())

    return answer


class TestPayment:
    def test_a_payment_shows_its_amount(self, provider: PaymentProvider, charge: str) -> None:
        assert provider.payment(charge) == PaymentStatus(captured=PRICE, code="COMPLETED")

    @pytest.mark.parametrize(
        ("status", "is_captured"), [(status, paid) for status, paid in CAPTURED.items() if status != "DENIED"]
    )
    def test_only_a_payment_that_the_customer_paid_has_an_amount(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str, *, is_captured: bool
    ) -> None:
        paypal.refund_by_hand(charge, "5.00")
        paypal.captures[charge]["status"] = status
        payment = provider.payment(charge)
        assert isinstance(payment, PaymentStatus)
        assert payment.captured == (PRICE if is_captured else None)
        assert payment.refunded == {"REFUNDED": 1999, "PARTIALLY_REFUNDED": 500}.get(status, 0)

    @pytest.mark.parametrize(
        ("value", "amount"),
        [("1000", Money(1000, "JPY")), ("4900.00", Money(490_000, "USD")), ("0.01", Money(1, "EUR"))],
    )
    def test_the_amount_and_currency_are_those_of_paypal(
        self, provider: PaymentProvider, paypal: FakePayPal, value: str, amount: Money
    ) -> None:
        payment = provider.payment(paypal.add_capture("OTHER", value, amount.currency))
        assert isinstance(payment, PaymentStatus)
        assert payment.captured == amount

    @pytest.mark.parametrize("order", ["ORDER1", "GONE", None])
    @pytest.mark.parametrize(("parts", "refunded"), [(["5.00"], 500), (["5.00", "4.99"], 999), (["1.00"] * 3, 300)])
    def test_several_refunds_are_added(
        self, provider: PaymentProvider, paypal: FakePayPal, order: str | None, parts: list[str], refunded: int
    ) -> None:
        paypal.now -= timedelta(days=1)
        charge = paypal.add_capture("PARTS", order=order)
        paypal.orders_exist = order != "GONE"
        for part in parts:
            paypal.refund_by_hand(charge, part)
            paypal.now += timedelta(hours=13)  # the search for the last refund does not find the earlier refunds
        payment = provider.payment(charge)
        assert isinstance(payment, PaymentStatus)
        assert payment.refunded == refunded

    def test_a_refund_that_failed_does_not_count(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.refund_by_hand(charge, "5.00")
        paypal.fail(paypal.refund_by_hand(charge, "4.00"))
        payment = provider.payment(charge)
        assert isinstance(payment, PaymentStatus)
        assert payment.refunded == 500

    def test_a_payment_whose_partial_refund_is_not_listed_yet_is_unknown(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        paypal.search_delay = timedelta(hours=3)
        paypal.refund_by_hand(charge, "5.00")
        assert isinstance(provider.payment(charge), Unknown)

    @pytest.mark.parametrize("stage", DISPUTE_STAGES)
    def test_a_payment_shows_its_dispute(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, stage: str
    ) -> None:
        dispute = paypal.dispute(charge, "WAITING_FOR_SELLER_RESPONSE", stage=stage)
        payment = provider.payment(charge)
        assert isinstance(payment, PaymentStatus)
        assert payment.dispute == DisputeStatus(DISPUTE_STAGES[stage], dispute)

    @pytest.mark.parametrize(
        ("field", "texts", "seller"),
        [
            ("custom_id", {"custom_id": "aurora"}, "aurora"),
            ("invoice_id", {"custom_id": "aurora", "invoice_id": " borealis "}, "borealis"),
            ("custom_id", {"invoice_id": "aurora"}, None),
            ("seller", {"custom_id": "aurora"}, None),
            (None, {"custom_id": "aurora"}, None),
        ],
    )
    def test_a_payment_names_the_seller_in_the_configured_field(
        self, server: FaultyServer, paypal: FakePayPal, field: str | None, texts: dict[str, str], seller: str | None
    ) -> None:
        provider = adapter(server.url, seller_metadata=field)
        paypal.captures[paypal.add_capture("SHARED")] |= texts
        payment = provider.payment("SHARED")
        purchase = provider.purchase("SHARED")
        [listed] = all_purchases(provider, paypal.now - timedelta(days=3))
        assert isinstance(payment, PaymentStatus)
        assert isinstance(purchase, ListedPurchase)
        assert payment.seller == purchase.seller == listed.seller == seller

    @pytest.mark.parametrize("charge", ["NOBODYS", "ch_1", "", "../disputes"])
    def test_a_payment_that_paypal_does_not_know_is_declined(self, provider: PaymentProvider, charge: str) -> None:
        declined = Declined(DeclineReason.PERMANENT, "INVALID_RESOURCE_ID")
        assert provider.payment(charge) == provider.purchase(charge) == declined

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "OTHER"},
            {"status": "NEW"},
            {"amount": None},
            {"amount": {"currency_code": "XXX", "value": "1"}},
            {"create_time": "today"},
        ],
    )
    def test_a_payment_that_cannot_be_read_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str, changes: dict[str, Any]
    ) -> None:
        capture = paypal.captures[charge] | changes
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(capture).encode())))
        assert isinstance(provider.payment(charge), Unknown)
        assert isinstance(provider.purchase(charge), Unknown)

    @pytest.mark.parametrize("path", ["/v2/payments/captures", "/v2/checkout/orders", "/v1/customer/disputes"])
    def test_a_payment_is_unknown_if_one_call_fails(self, paypal: FakePayPal, charge: str, path: str) -> None:
        paypal.refund_by_hand(charge, "5.00")
        with FaultyServer(without(paypal, path)) as server:
            assert adapter(server.url).payment(charge) == Unknown("PayPal answered 503.")

    def test_without_the_right_to_read_disputes_the_account_is_at_fault(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.features.remove("Disputes")
        assert provider.payment(charge) == Unknown("PayPal refuses our credentials: 403.", invalid_credentials=True)


def without(paypal: FakePayPal, path: str) -> Callable[[HttpRequest], HttpResponse]:
    """Return an ``answer`` function that answers 503 to every request below ``path``."""
    return lambda request: error_response(503) if request.path.startswith(path) else paypal.answer(request)


class TestInquiries:
    DEADLINE = datetime(2026, 12, 24, 12, tzinfo=UTC)

    @pytest.mark.parametrize("status", ["OPEN", "WAITING_FOR_SELLER_RESPONSE", "WAITING_FOR_BUYER_RESPONSE", "OTHER"])
    def test_an_inquiry_is_no_dispute_and_has_a_deadline(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        name = paypal.dispute(charge, status, stage="INQUIRY", respond_by=self.DEADLINE)
        dispute = provider.dispute(charge)
        assert dispute == DisputeStatus(Dispute.INQUIRY, name)
        assert isinstance(dispute, DisputeStatus)
        assert dispute.respond_by == self.DEADLINE

    @pytest.mark.parametrize("stage", ["CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION", "A_NEW_STAGE", None])
    def test_every_other_stage_is_a_dispute(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, stage: str | None
    ) -> None:
        dispute = paypal.dispute(charge, "UNDER_REVIEW", stage=stage)
        assert provider.dispute(charge) == DisputeStatus(Dispute.OPEN, dispute)

    def test_an_open_dispute_decides_beside_an_inquiry(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        dispute = paypal.dispute(charge, "OPEN", stage="CHARGEBACK")
        inquiry = paypal.dispute(charge, "OPEN", stage="INQUIRY")
        assert provider.dispute(charge) == DisputeStatus(Dispute.OPEN, dispute)
        paypal.settle(dispute, "RESOLVED_SELLER_FAVOUR")
        assert provider.dispute(charge) == DisputeStatus(Dispute.INQUIRY, inquiry)
        paypal.settle(inquiry, "CANCELED_BY_BUYER")
        assert provider.dispute(charge) == DisputeStatus(Dispute.WON, inquiry)

    @pytest.mark.parametrize("text", ["soon", "2026-12-24T12:00:00", 7, None])
    def test_a_deadline_that_cannot_be_read_is_left_out(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, text: object
    ) -> None:
        paypal.dispute(charge, "OPEN", stage="INQUIRY")
        paypal.disputes[0]["seller_response_due_date"] = text
        dispute = provider.dispute(charge)
        assert isinstance(dispute, DisputeStatus)
        assert (dispute.dispute, dispute.respond_by) == (Dispute.INQUIRY, None)


def all_disputes(provider: PaymentProvider, since: datetime) -> list[ListedDispute]:
    listed: list[ListedDispute] = []
    cursor = None
    for _ in range(50):
        page = provider.list_disputes(since, cursor)
        assert isinstance(page, DisputePage)
        listed += page.disputes
        cursor = page.next_cursor
        if cursor is None:
            return listed
    raise AssertionError("The list of disputes has more than 50 pages.")


class TestDisputeList:
    def test_the_disputes_since_an_instant_are_listed(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.now -= timedelta(days=2)
        paypal.dispute(paypal.add_capture("EARLIER"), "OPEN")
        paypal.now += timedelta(days=2)
        inquiry = paypal.dispute(charge, "OPEN", stage="INQUIRY")
        lost = paypal.dispute(paypal.add_capture("LOST"), "RESOLVED", "RESOLVED_BUYER_FAVOUR")
        assert all_disputes(provider, paypal.now - timedelta(days=1)) == [
            ListedDispute("LOST", DisputeStatus(Dispute.LOST, lost)),
            ListedDispute(charge, DisputeStatus(Dispute.INQUIRY, inquiry)),
        ]

    @pytest.mark.parametrize("count", [9, 10, 11, 37])
    def test_every_page_is_read(self, provider: PaymentProvider, paypal: FakePayPal, count: int) -> None:
        names = [paypal.dispute(paypal.add_capture(f"C{number}"), "OPEN") for number in range(count)]
        listed = all_disputes(provider, paypal.now - timedelta(days=1))
        assert {dispute.status.dispute_id for dispute in listed} == {*names}
        assert len(listed) == count

    def test_a_list_is_at_most_180_days_long(self, provider: PaymentProvider, paypal: FakePayPal, charge: str) -> None:
        """PayPal refuses to list older disputes."""
        paypal.dispute(charge, "OPEN")
        assert len(all_disputes(provider, paypal.now - timedelta(days=1000))) == 1

    def test_a_dispute_about_several_captures_is_listed_for_each(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.dispute(charge, "OPEN")
        paypal.disputes[0]["disputed_transactions"] += [
            {"seller_transaction_id": "SECOND"},
            {"buyer_transaction_id": "B"},
        ]
        assert [dispute.charge for dispute in all_disputes(provider, paypal.now)] == [charge, "SECOND"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"disputed_transactions": []},
            {"disputed_transactions": 7},
            {"disputed_transactions": [{"seller_transaction_id": "../1"}]},
            {"disputed_transactions": [{"buyer_transaction_id": "B"}]},
            {"status": []},
            {"status": "RESOLVED", "dispute_outcome": None},
        ],
    )
    def test_a_dispute_that_cannot_be_read_is_left_out(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, changes: dict[str, Any]
    ) -> None:
        paypal.dispute(charge, "OPEN")
        paypal.dispute(paypal.add_capture("STRANGE"), "OPEN")
        paypal.disputes[0] |= changes
        page = provider.list_disputes(paypal.now, None)
        assert isinstance(page, DisputePage)
        assert [dispute.charge for dispute in page.disputes] == [charge]
        assert page.skipped == 1

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"items": 7},
            {"items": [], "links": [7]},
            {"items": [], "links": [{"rel": "next"}]},
            {"items": [], "links": [{"rel": "next", "href": "https://api-m.paypal.com/v1/customer/disputes"}]},
        ],
    )
    def test_an_unreadable_list_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, document: dict[str, Any]
    ) -> None:
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(document).encode())))
        assert isinstance(provider.list_disputes(datetime.now(UTC), None), Unknown)

    def test_a_list_is_unknown_if_a_dispute_is_unavailable(self, paypal: FakePayPal, charge: str) -> None:
        dispute = paypal.dispute(charge, "OPEN")
        with FaultyServer(without(paypal, f"/v1/customer/disputes/{dispute}")) as server:
            assert adapter(server.url).list_disputes(paypal.now, None) == Unknown("PayPal answered 503.")

    def test_the_next_page_is_always_read_from_paypal(
        self, provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str
    ) -> None:
        """Only the query of the link is used, so a strange link cannot name another host."""
        link = {"rel": "next", "href": "https://elsewhere.example/v1/x?page=2&page_size=10"}
        document = {"items": [], "links": [link]}
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(document).encode())))
        page = provider.list_disputes(paypal.now, None)
        assert page == DisputePage([], "page=2&page_size=10")
        server.fault = no_fault
        provider.list_disputes(paypal.now, "page=2&page_size=10")
        assert server.requests[-1].path == "/v1/customer/disputes"
        assert server.requests[-1].query == {"page": "2", "page_size": "10"}


def all_purchases(provider: PaymentProvider, since: datetime) -> list[ListedPurchase]:
    listed: list[ListedPurchase] = []
    cursor = None
    for _ in range(50):
        page = provider.purchases(since, cursor)
        assert isinstance(page, PurchasePage)
        listed += page.purchases
        cursor = page.next_cursor
        if cursor is None:
            return listed
    raise AssertionError("The list of payments has more than 50 pages.")


class TestPurchases:
    def test_the_order_and_the_search_show_the_same_purchase(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        payer = {
            "items": ["Photo Editor", "Sticker"],
            "tax": {"currency_code": "EUR", "value": "3.19"},
            "instrument": "PAYPAL",
        }
        charge = paypal.add_capture("2GG279541U471931P", payer=payer, custom_id="shop-7", invoice_id="INV-2026-1")
        expected = ListedPurchase(
            charge=charge,
            other_ids=("ORDER1",),
            amount=PRICE,
            email="ada@example.org",
            references={"custom_field": "shop-7", "invoice_id": "INV-2026-1"},
            product="Photo Editor, Sticker",
            method=Method.PAYPAL,
            purchased_at=paypal.now - timedelta(days=2),
            tax=319,
        )
        assert all_purchases(provider, paypal.now - timedelta(days=3)) == [expected]
        assert provider.purchase(charge) == expected
        paypal.orders_exist = False
        assert provider.purchase(charge) == expected

    def test_a_new_purchase_is_shown_before_the_search_lists_it(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        paypal.search_delay = timedelta(days=3)
        assert isinstance(provider.purchase(paypal.add_capture("NEW")), ListedPurchase)
        assert isinstance(provider.purchase(paypal.add_capture("RENEWAL", order=None)), Unknown)

    @pytest.mark.parametrize("event", sorted(PURCHASE_EVENTS))
    def test_every_event_that_is_a_payment_is_listed(
        self, provider: PaymentProvider, paypal: FakePayPal, event: str
    ) -> None:
        paypal.add_capture("PAID", payer={"event": event})
        assert len(all_purchases(provider, paypal.now - timedelta(days=3))) == 1

    @pytest.mark.parametrize(
        ("payer", "value"),
        [
            ({"event": "T0001"}, "19.99"),  # a mass payment
            ({"event": "T1300"}, "19.99"),  # an authorization
            ({"event": "T0400"}, "19.99"),  # a withdrawal to the bank
            ({"event": ["T0006"]}, "19.99"),
            ({}, "-19.99"),  # a payment that the account made
            ({}, "0.00"),
            ({}, "19.999"),
        ],
    )
    def test_another_transaction_is_skipped(
        self, paypal: FakePayPal, charge: str, payer: dict[str, Any], value: str
    ) -> None:
        paypal.add_capture("NO-PURCHASE", value, payer=payer)
        paypal.refund_by_hand(charge, "5.00")
        with paypal.serve() as server:
            page = adapter(server.url).purchases(paypal.now - timedelta(days=3), None)
        assert isinstance(page, PurchasePage)
        assert [purchase.charge for purchase in page.purchases] == [charge]
        assert page.skipped == 2, "The refund is skipped, too."

    @pytest.mark.parametrize("status", ["PENDING", "DECLINED", "FAILED"])
    def test_a_payment_that_the_seller_has_not_received_is_no_purchase(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        paypal.captures[charge]["status"] = status
        assert all_purchases(provider, paypal.now - timedelta(days=3)) == []
        assert provider.purchase(charge) == Declined(DeclineReason.NOT_CAPTURED, status)

    @pytest.mark.parametrize(
        ("word", "method"),
        [
            ("PAYPAL", Method.PAYPAL),
            ("BANK", Method.PAYPAL),
            ("CREDIT_CARD", Method.CREDIT_CARD),
            ("DEBIT_CARD", Method.CREDIT_CARD),
            ("APPLE_PAY", Method.APPLE_PAY),
            ("Google Pay", Method.GOOGLE_PAY),
            ("VENMO", "VENMO"),
            ("Pay Later", "Pay Later"),
            (None, Method.PAYPAL),
        ],
    )
    def test_the_method_is_moneybacks_word_or_paypals_word(
        self, provider: PaymentProvider, paypal: FakePayPal, word: str | None, method: str
    ) -> None:
        paypal.add_capture("PAID", payer={"instrument": word})
        [purchase] = all_purchases(provider, paypal.now - timedelta(days=3))
        assert purchase.method == method

    @pytest.mark.parametrize(
        "source", [{"card": {"last_digits": "4242"}}, {"paypal": {}}, {"paypal": 7}, {"card": {}, "paypal": {}}, 7]
    )
    def test_an_order_without_an_address_is_searched(
        self, provider: PaymentProvider, paypal: FakePayPal, source: object
    ) -> None:
        charge = paypal.add_capture("GUEST", payer={"order_source": source, "instrument": "CREDIT_CARD"})
        purchase = provider.purchase(charge)
        assert isinstance(purchase, ListedPurchase)
        assert (purchase.email, purchase.method) == ("ada@example.org", Method.CREDIT_CARD)

    def test_a_payment_without_an_address_is_listed_without_an_address(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        charge = paypal.add_capture("GUEST", payer={"email": None, "items": []})
        [listed] = all_purchases(provider, paypal.now - timedelta(days=3))
        assert listed == provider.purchase(charge)
        assert (listed.email, listed.product, listed.references, listed.tax) == (None, "", {}, None)
        assert "ada@" not in repr(listed)

    def test_a_refunded_payment_shows_the_refunded_amount(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.refund_by_hand(charge, "5.00")
        purchase = provider.purchase(charge)
        assert isinstance(purchase, ListedPurchase)
        assert purchase.refunded == 500
        paypal.refund_by_hand(charge, "14.99")
        [listed] = all_purchases(provider, paypal.now - timedelta(days=3))
        assert listed.refunded == 1999

    def test_payments_of_a_year_are_read_in_time_ranges_and_pages(
        self, provider: PaymentProvider, paypal: FakePayPal, server: FaultyServer
    ) -> None:
        today = paypal.now
        for days in range(365):
            paypal.now = today - timedelta(days=days)
            for number in range(8 if days < 31 else 1):
                paypal.add_capture(f"C{days}X{number}")
        paypal.now = today
        listed = all_purchases(provider, today - timedelta(days=370))
        assert {purchase.charge for purchase in listed} == paypal.captures.keys()
        searches = [request.query for request in server.requests if request.path == "/v1/reporting/transactions"]
        assert {query["page"] for query in searches} == {"1", "2", "3"}
        assert {query["fields"] for query in searches} == {"transaction_info,payer_info,cart_info"}

    @pytest.mark.parametrize("years", [4, 12, 50])
    def test_a_list_is_at_most_three_years_long(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, years: int
    ) -> None:
        """PayPal refuses to list older payments."""
        [purchase] = all_purchases(provider, paypal.now - timedelta(days=365 * years))
        assert purchase.charge == charge

    def test_a_time_range_with_too_many_payments_is_split(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        today = paypal.now
        for days in range(20):
            paypal.now = today - timedelta(days=days)
            paypal.add_capture(f"C{days}")
        paypal.now, paypal.max_search_results = today, 6
        listed = all_purchases(provider, today - timedelta(days=25))
        assert {purchase.charge for purchase in listed} == paypal.captures.keys()

    @pytest.mark.parametrize("document", [{}, {"total_pages": 1, "transaction_details": 7}, {"total_pages": "1"}])
    def test_an_unreadable_list_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, document: dict[str, Any]
    ) -> None:
        inject_fault(provider, server, charge, responds_with(HttpResponse(200, json.dumps(document).encode())))
        assert isinstance(provider.purchases(datetime.now(UTC), None), Unknown)

    @pytest.mark.parametrize("path", ["/v2/payments/captures", "/v2/checkout/orders", "/v1/reporting"])
    def test_a_purchase_is_unknown_if_one_call_fails(self, paypal: FakePayPal, path: str) -> None:
        charge = paypal.add_capture("RENEWAL", order=None if "reporting" in path else "ORDER1")
        with FaultyServer(without(paypal, path)) as server:
            assert adapter(server.url).purchase(charge) == Unknown("PayPal answered 503.")


NOT_FOUND = Declined(DeclineReason.PERMANENT, "INVALID_RESOURCE_ID")


class TestCharges:
    """A webhook event may name only a refund or a dispute."""

    @pytest.mark.parametrize("status", ["COMPLETED", "PENDING", "FAILED", "CANCELLED"])
    def test_the_capture_of_a_refund_is_found(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        other = paypal.add_capture("OTHER")
        refunds = [paypal.refund_by_hand(name, "1.00", status) for name in (charge, other)]
        assert [provider.refunded_charge(refund) for refund in refunds] == [charge, other]

    @pytest.mark.parametrize("status", ["OPEN", "UNDER_REVIEW", "RESOLVED"])
    def test_the_capture_of_a_dispute_is_found(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        other = paypal.add_capture("OTHER")
        disputes = [paypal.dispute(name, status, "NONE") for name in (charge, other)]
        assert [provider.disputed_charge(dispute) for dispute in disputes] == [charge, other]

    @pytest.mark.parametrize("name", ["NOBODY", "", "../captures", "A?b=c", "ä", "X" * 300])
    def test_an_unknown_id_is_declined(self, provider: PaymentProvider, name: str) -> None:
        assert provider.refunded_charge(name) == provider.disputed_charge(name) == NOT_FOUND

    @pytest.mark.parametrize("captures", [[], [None], [7], ["A-B"], ["C1", "C2"]])
    def test_a_dispute_about_no_capture_or_several_is_unknown(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, captures: list[object]
    ) -> None:
        dispute = paypal.dispute(charge, "OPEN")
        paypal.disputes[0]["disputed_transactions"] = [{"seller_transaction_id": capture} for capture in captures]
        assert isinstance(provider.disputed_charge(dispute), Unknown)

    @pytest.mark.parametrize(
        "response",
        [
            HttpResponse(200, b"{}"),
            HttpResponse(200, b'{"id": "OTHER", "dispute_id": "PP-D-9", "links": []}'),
            HttpResponse(404, b"{}"),
            error_response(503),
            error_response(400),
        ],
    )
    def test_an_answer_about_no_refund_or_dispute_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, response: HttpResponse
    ) -> None:
        inject_fault(provider, server, charge, responds_with(response))
        assert isinstance(provider.refunded_charge("1JU08902781691411"), Unknown)
        assert isinstance(provider.disputed_charge("PP-D-1"), Unknown)


class TestAccess:
    def test_an_app_with_all_features_lacks_no_right(self, provider: PaymentProvider, server: FaultyServer) -> None:
        assert provider.check_access() == {}
        assert {request.method for request in server.requests if "oauth2" not in request.path} == {"GET"}

    @pytest.mark.parametrize(
        ("feature", "rights"),
        [
            ("Transaction search", {AccessRight.READ_REFUNDS, AccessRight.READ_PAYMENTS}),
            ("Disputes", {AccessRight.READ_DISPUTES}),
        ],
    )
    def test_a_missing_feature_is_named(
        self, provider: PaymentProvider, paypal: FakePayPal, feature: str, rights: set[AccessRight]
    ) -> None:
        paypal.features.remove(feature)
        missing = provider.check_access()
        assert missing.keys() == rights
        assert all(f'Enable the feature "{feature}"' in sentence for sentence in missing.values())

    def test_a_wrong_secret_is_named(self, server: FaultyServer) -> None:
        missing = adapter(server.url, secret="expired").check_access()
        assert missing.keys() == {AccessRight.READ_REFUNDS, AccessRight.READ_DISPUTES, AccessRight.READ_PAYMENTS}
        assert all("MONEYBACK_PAYPAL_CLIENT_ID" in sentence for sentence in missing.values())

    def test_an_unavailable_provider_is_named(self, paypal: FakePayPal) -> None:
        with FaultyServer(without(paypal, "/v1/reporting")) as server:
            missing = adapter(server.url).check_access()
        assert {*missing.values()} == {"PayPal answered 503."}


class TestAuthAssertion:
    SELLER = "2J6QB8YJQSJRJ"

    def test_a_partner_names_the_seller_in_every_call(
        self, server: FaultyServer, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.seller = self.SELLER
        provider = adapter(server.url, auth_assertion_payer_id=self.SELLER)
        paid = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(paid, Paid)
        assert provider.look_up(charge, key=KEY) == paid
        assert isinstance(provider.payment(charge), PaymentStatus)
        assert len(all_purchases(provider, paypal.now - timedelta(days=3))) == 1
        assert provider.check_access() == {}
        token_requests = [request for request in server.requests if "oauth2" in request.path]
        assert all("paypal-auth-assertion" not in request.headers for request in token_requests)

    @pytest.mark.parametrize("named", [None, "2J6QB8YJQSJRK"])
    def test_a_partner_that_names_no_seller_or_another_seller_is_refused(
        self, server: FaultyServer, paypal: FakePayPal, charge: str, named: str | None
    ) -> None:
        paypal.seller = self.SELLER
        refused = Unknown("PayPal refuses our credentials: 403.", invalid_credentials=True)
        provider = adapter(server.url, auth_assertion_payer_id=named)
        assert provider.refund(charge, PRICE, key=KEY) == refused
        assert paypal.refunds == []

    def test_a_seller_with_an_own_app_sends_no_assertion(
        self, provider: PaymentProvider, server: FaultyServer, charge: str
    ) -> None:
        provider.refund(charge, PRICE, key=KEY)
        assert all("paypal-auth-assertion" not in request.headers for request in server.requests)

    def test_the_assertion_is_an_unsigned_json_web_token(self) -> None:
        """The header and the first part of the claims are as in PayPal's documentation, "API requests"."""
        assert build_auth_assertion("client_id", "payer_id") == (
            "eyJhbGciOiJub25lIn0.eyJpc3MiOiJjbGllbnRfaWQiLCJwYXllcl9pZCI6InBheWVyX2lkIn0."
        )


def test_the_default_url_is_paypals_url() -> None:
    account = PayPalAccount(client_id=SecretStr(ID), client_secret=SecretStr(SECRET))
    provider: Any = create_adapter(account, provider_timeout_seconds=1.0, connections=1)
    assert provider._client._base_url == "https://api-m.paypal.com"


def test_the_request_headers_do_not_describe_this_machine(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    provider.look_up(charge, key=KEY)
    assert {request.headers["user-agent"] for request in server.requests} == {"Moneyback"}
    assert {request.headers["accept"] for request in server.requests} == {"application/json"}


def test_the_capabilities_match_paypals_documentation(provider: PaymentProvider) -> None:
    capabilities = provider.capabilities
    assert capabilities.idempotency_key_ttl == timedelta(days=45)
    assert capabilities.rejects_over_refund
    assert capabilities.route("paypal").window == capabilities.route("credit_card").window == timedelta(days=180)
