"""PayPal's adapter, against a PayPal of our own that does as its documents say, and one that does worse."""

import json
from collections.abc import Iterator
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
from worker.providers.paypal.codes import CODES, DISPUTE_OUTCOMES, REFUND_STATUSES, UNDECIDED_CODES

PRICE = Money(1999, "EUR")
KEY = "mb_7c9e6679742540de944be07fc1f90ae7_1"
OTHERS = "mb_0e37df36f69811e68dd90242ac120002_1"
PATIENCE = 20.0  # seconds; reached only when something is broken
HURRY = 0.4  # seconds; the deadline of somebody who is about to be kept waiting


@pytest.fixture
def paypal() -> FakePayPal:
    return FakePayPal(now=datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def spec() -> SpecValidator:
    return SpecValidator("paypal-payments-v2-refunds.json")


@pytest.fixture
def server(paypal: FakePayPal, spec: SpecValidator) -> Iterator[FaultyServer]:
    """What we ask, and what it answers without a fault, is as PayPal's own API description has it."""
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


def refunds_asked(server: FaultyServer) -> list[HttpRequest]:
    return [asked for asked in server.requests if asked.path.endswith("/refund")]


def misbehaving(provider: PaymentProvider, server: FaultyServer, charge: str, trouble: Fault) -> None:
    """The token is fetched while all is well, so that the trouble meets the refund."""
    assert provider.look_up(charge, key="mb_no_matching_key") == NotFound()
    server.fault = trouble


def test_the_whole_charge_is_refunded_under_our_key(
    provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, spec: SpecValidator, charge: str
) -> None:
    answer = provider.refund(charge, PRICE, key=KEY)
    assert answer == Paid(paypal.refunds[0]["id"], PRICE)
    assert spec.checked_calls == 1
    [asked] = refunds_asked(server)
    assert (asked.method, asked.path) == ("POST", f"/v2/payments/captures/{charge}/refund")
    assert asked.headers["paypal-request-id"] == KEY
    assert asked.headers["prefer"] == "return=representation"
    assert asked.headers["authorization"] == f"Bearer {paypal.tokens[0]}"
    assert json.loads(asked.body) == {
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
def test_an_amount_has_the_decimals_that_paypal_takes(
    provider: PaymentProvider, paypal: FakePayPal, value: str, amount: Money
) -> None:
    charge = paypal.add_capture("MANY", value, amount.currency)
    paid = provider.refund(charge, amount, key=KEY)
    assert isinstance(paid, Paid)
    assert paypal.refunds[0]["amount"] == {"currency_code": amount.currency, "value": value}
    assert provider.look_up(charge, key=KEY) == paid == Paid(paid.refund_id, amount)


@pytest.mark.parametrize(("value", "currency", "minor"), [("500.00", "JPY", 500), ("5.0", "EUR", 500)])
def test_an_amount_is_read_however_many_decimals_it_has(
    provider: PaymentProvider, paypal: FakePayPal, value: str, currency: str, minor: int
) -> None:
    charge = paypal.add_capture("MANY", value, currency)
    refund = paypal.refund_by_hand(charge)
    assert provider.look_up(charge, key=KEY) == ExternalRefund(refund, Money(minor, currency))


def test_the_same_key_pays_once(provider: PaymentProvider, paypal: FakePayPal, charge: str) -> None:
    assert provider.refund(charge, PRICE, key=KEY) == provider.refund(charge, PRICE, key=KEY)
    assert len(paypal.refunds) == 1


def test_a_key_that_paypal_forgot_does_not_pay_again(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    provider.refund(charge, PRICE, key=KEY)
    paypal.now += timedelta(days=46)
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.ALREADY_REFUNDED, "DUPLICATE_INVOICE_ID")
    assert len(paypal.refunds) == 1


def test_many_callers_do_not_mix_up_their_refunds_and_share_a_token(
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


def test_a_token_is_used_until_shortly_before_its_end(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    paypal.token_seconds = int(MARGIN)
    assert provider.look_up(charge, key=KEY) == NotFound()
    assert len(paypal.tokens) == 2, "one for the capture, one for its order"


def test_a_token_that_is_taken_back_is_replaced_once(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    provider.look_up(charge, key=KEY)
    paypal.revoked_tokens.update(paypal.tokens)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Paid)
    assert len(paypal.refunds) == 1
    assert len(paypal.tokens) == 2


def test_credentials_that_are_refused_leave_the_refund_open(
    server: FaultyServer, charge: str, paypal: FakePayPal
) -> None:
    answer = adapter(server.url, secret="wrong").refund(charge, PRICE, key=KEY)
    assert answer == Unknown("PayPal refuses our credentials: 401.", invalid_credentials=True)
    assert paypal.refunds == []


class Every(set[str]):
    def __contains__(self, token: object) -> bool:
        return True


def test_a_token_that_is_never_taken_is_tried_twice(
    provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str
) -> None:
    paypal.revoked_tokens = Every()
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(
        "PayPal refuses our credentials: 401.", invalid_credentials=True
    )
    assert len(refunds_asked(server)) == len(paypal.tokens) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_our_credentials_says_so(
    provider: PaymentProvider, server: FaultyServer, charge: str, status: int
) -> None:
    misbehaving(provider, server, charge, responds_with(error_response(status, "PERMISSION_DENIED")))
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(
        f"PayPal refuses our credentials: {status}.", invalid_credentials=True
    )


@pytest.mark.parametrize(
    "answer",
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
def test_without_a_token_nothing_is_asked(server: FaultyServer, charge: str, answer: HttpResponse) -> None:
    server.fault = responds_with(answer)
    assert isinstance(adapter(server.url).refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_status_has_its_meaning(provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str) -> None:
    paypal.new_refund_status = status
    answer = provider.refund(charge, PRICE, key=KEY)
    id_ = paypal.refunds[0]["id"]
    expected = {
        RefundStatus.PAID: Paid(id_, PRICE),
        RefundStatus.PENDING: Pending(id_, PRICE),
        RefundStatus.FAILED: Failed(id_, status, DeclineReason.PERMANENT),
    }
    assert answer == provider.look_up(charge, key=KEY) == expected[REFUND_STATUSES[status]]


def test_a_pending_refund_whose_echeck_bounces_waits_for_the_sellers_balance(
    provider: PaymentProvider, paypal: FakePayPal, charge: str
) -> None:
    paypal.new_refund_status = "PENDING"
    pending = provider.refund(charge, PRICE, key=KEY)
    assert isinstance(pending, Pending)
    paypal.fail(pending.refund_id, reason="ECHECK")
    assert provider.look_up(charge, key=KEY) == Failed(pending.refund_id, "ECHECK", DeclineReason.INSUFFICIENT_BALANCE)


@pytest.mark.parametrize("code", CODES)
def test_every_word_of_the_table_has_its_class(
    provider: PaymentProvider, server: FaultyServer, charge: str, code: str
) -> None:
    misbehaving(provider, server, charge, responds_with(error_response(422, "SOMETHING_ELSE", code)))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(CODES[code], code)


def test_the_table_names_every_issue_of_the_api_description(spec: SpecValidator) -> None:
    schemas = spec.description["components"]["schemas"]
    issues = {
        issue
        for name in ("captures.refund-400", "captures.refund-422")
        for kind in schemas[name]["properties"]["details"]["items"]["anyOf"]
        for issue in kind["properties"]["issue"]["enum"]
    }
    assert issues <= CODES.keys()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (error_response(422, "A_NEW_ISSUE"), "A_NEW_ISSUE"),
        (error_response(400, "A_NEW_ISSUE"), "A_NEW_ISSUE"),
        (error_response(400), "INVALID_REQUEST"),
        (error_response(404), "RESOURCE_NOT_FOUND"),
    ],
)
def test_a_word_that_nobody_knows_is_a_permanent_no(
    provider: PaymentProvider, server: FaultyServer, charge: str, said: HttpResponse, code: str
) -> None:
    misbehaving(provider, server, charge, responds_with(said))
    assert provider.refund(charge, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, code)


@pytest.mark.parametrize(
    "said",
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
def test_a_refusal_that_decides_nothing_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, said: HttpResponse
) -> None:
    misbehaving(provider, server, charge, responds_with(said))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


@pytest.mark.parametrize("status", [429, 503])
def test_when_to_ask_again_is_told(provider: PaymentProvider, server: FaultyServer, charge: str, status: int) -> None:
    misbehaving(provider, server, charge, responds_with(HttpResponse(status, b"{}", {"Retry-After": "17"})))
    assert provider.refund(charge, PRICE, key=KEY) == Unknown(f"PayPal answered {status}.", retry_after=17.0)


@pytest.mark.parametrize("trouble", AFTER_CARRYING_OUT)
def test_a_lost_answer_is_unknown_and_the_look_up_finds_it_paid(
    server: FaultyServer, paypal: FakePayPal, charge: str, trouble: Fault
) -> None:
    hasty = adapter(server.url, seconds=HURRY)
    misbehaving(hasty, server, charge, trouble)
    before = monotonic()
    assert isinstance(hasty.refund(charge, PRICE, key=KEY), Unknown)
    assert monotonic() - before < HURRY + 2
    server.fault = no_fault
    [refund] = paypal.refunds
    assert adapter(server.url).look_up(charge, key=KEY) == Paid(refund["id"], PRICE)


def test_a_call_that_was_lost_on_its_way_is_absent(
    provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str
) -> None:
    misbehaving(provider, server, charge, reset_before)
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert len(paypal.refunds) == 0
    server.fault = no_fault
    assert provider.look_up(charge, key=KEY) == NotFound()


def test_whoever_waits_for_a_token_waits_no_longer_than_his_time(server: FaultyServer, charge: str) -> None:
    server.fault = hang_after
    hasty = adapter(server.url, seconds=HURRY)
    before = monotonic()
    with ThreadPoolExecutor(5) as pool:
        answers = [*pool.map(lambda _: hasty.refund(charge, PRICE, key=KEY), range(5))]
    assert answers == [Unknown("PayPal did not answer in time.")] * 5
    assert monotonic() - before < HURRY + 2


def test_a_token_that_somebody_else_fetches_for_too_long_is_not_waited_for() -> None:
    begun, done = Event(), Event()

    numbers = iter("12")

    def slowly() -> tuple[str, float]:
        begun.set()
        assert done.wait(PATIENCE)
        return f"A21AA-{next(numbers)}", 3600.0

    tokens = AccessToken(slowly)

    def somebody_else() -> str | Unknown:
        with time_limit(PATIENCE):
            return tokens.current()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(somebody_else)
        assert begun.wait(PATIENCE)
        with time_limit(0.05):
            assert tokens.current() == Unknown("PayPal did not answer in time.")
        done.set()
        assert first.result(PATIENCE) == "A21AA-1"
    with time_limit(PATIENCE):
        tokens.discard("an older one")
        assert tokens.current() == "A21AA-1"
        tokens.discard("A21AA-1")
        assert tokens.current() == "A21AA-2"


def test_a_look_up_has_one_deadline_for_all_its_questions(server: FaultyServer, charge: str) -> None:
    hasty = adapter(server.url, seconds=HURRY)

    def late_for_the_order(line: ClientConnection, answer: Answer) -> None:
        said = answer()
        line.closing.wait(HURRY * 0.7)
        line.send(said)

    misbehaving(hasty, server, charge, late_for_the_order)
    before = monotonic()
    assert hasty.look_up(charge, key=KEY) == Unknown("PayPal did not answer in time.")
    assert monotonic() - before < HURRY + 2
    assert [asked.path for asked in server.requests][-1] == "/v2/checkout/orders/ORDER1"


def test_nobody_there_is_unknown(charge: str, paypal: FakePayPal) -> None:
    with paypal.serve() as server:
        gone = adapter(server.url)
    assert isinstance(gone.refund(charge, PRICE, key=KEY), Unknown)
    assert isinstance(gone.look_up(charge, key=KEY), Unknown)
    assert isinstance(gone.dispute(charge), Unknown)
    assert isinstance(gone.list_refunds(paypal.now, None), Unknown)


def raw(said: bytes) -> Fault:
    def trouble(line: ClientConnection, answer: Answer) -> None:  # noqa: ARG001 - whatever is asked
        line._handler.wfile.write(said)
        line.close()

    return trouble


@pytest.mark.parametrize("answer", UNREADABLE)
def test_an_answer_that_says_nothing_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, answer: str
) -> None:
    misbehaving(provider, server, charge, raw(UNREADABLE[answer]))
    for said in (provider.refund(charge, PRICE, key=KEY), provider.look_up(charge, key=KEY), provider.dispute(charge)):
        assert isinstance(said, Unknown)
    assert isinstance(provider.list_refunds(datetime.now(UTC), None), Unknown)


def test_a_reply_never_becomes_objects(
    provider: PaymentProvider, server: FaultyServer, charge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """PayPal's own SDK reads JSON by jsonpickle, which calls what the JSON names."""
    trap = b'{"py/reduce": [{"py/function": "builtins.print"}, {"py/tuple": ["trapped"]}]}'
    for status in (201, 422):
        server.fault = no_fault
        misbehaving(adapter(server.url), server, charge, responds_with(HttpResponse(status, trap)))
        assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)
    assert "trapped" not in capsys.readouterr().out


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


def up_to(href: str) -> dict[str, object]:
    return {"links": [{"rel": "up", "href": href}]}


WRONG: dict[str, dict[str, object]] = {
    "another charge": up_to("https://api-m.paypal.com/v2/payments/captures/OTHER"),
    "no charge": {"links": []},
    "two charges": {"links": [{"rel": "up", "href": f"/captures/{name}"} for name in ("2GG279541U471931P", "OTHER")]},
    "another amount": {"amount": {"currency_code": "EUR", "value": "19.98"}},
    "another currency": {"amount": {"currency_code": "USD", "value": "19.99"}},
    "an amount with too many decimals": {"amount": {"currency_code": "EUR", "value": "19.991"}},
    "an amount that is no number": {"amount": {"currency_code": "EUR", "value": "1.999e1"}},
    "no amount": {"amount": None},
    "another key": {"custom_id": OTHERS, "invoice_id": OTHERS},
    "no key": {"custom_id": None, "invoice_id": None},
    "a key that is a list": {"custom_id": [], "invoice_id": []},
    "another status": {"status": "REVERSED"},
    "a status that is a list": {"status": []},
    "no id": {"id": ""},
    "an id without end": {"id": "X" * 101},
    "an id of another kind": {"id": 7},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_about_something_else_is_unknown(
    provider: PaymentProvider, server: FaultyServer, charge: str, wrong: str
) -> None:
    answer = HttpResponse(201, json.dumps(a_refund(charge, **WRONG[wrong])).encode())
    misbehaving(provider, server, charge, responds_with(answer))
    assert isinstance(provider.refund(charge, PRICE, key=KEY), Unknown)


def test_the_same_answer_is_believed_when_it_is_right(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    misbehaving(provider, server, charge, responds_with(HttpResponse(201, json.dumps(a_refund(charge)).encode())))
    assert provider.refund(charge, PRICE, key=KEY) == Paid("1JU08902781691411", PRICE)


def test_what_is_no_capture_is_not_asked_for(provider: PaymentProvider, server: FaultyServer) -> None:
    for odd in ("../../v1/billing", "ch_1", "", "A" * 21, "A/B"):
        assert provider.refund(odd, PRICE, key=KEY) == Declined(DeclineReason.PERMANENT, "INVALID_RESOURCE_ID")
        assert isinstance(provider.look_up(odd, key=KEY), Unknown)
        assert isinstance(provider.dispute(odd), Unknown)
    assert server.requests == []


class TestLookingUp:
    def test_a_refund_of_somebody_else_is_elsewhere(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        refund = paypal.refund_by_hand(charge)
        assert provider.look_up(charge, key=KEY) == ExternalRefund(refund, PRICE)
        assert provider.refund(charge, PRICE, key=KEY) == Declined(
            DeclineReason.ALREADY_REFUNDED, "CAPTURE_FULLY_REFUNDED"
        )

    def test_a_part_that_somebody_refunded_is_elsewhere(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        refund = paypal.refund_by_hand(charge, "5.00")
        assert provider.look_up(charge, key=KEY) == ExternalRefund(refund, Money(500, "EUR"))
        assert provider.refund(charge, PRICE, key=KEY) == Declined(
            DeclineReason.ALREADY_REFUNDED, "REFUND_AMOUNT_EXCEEDED"
        )

    def test_ours_counts_before_that_of_somebody_else(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        ours = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(ours, Paid)
        paypal.fail(ours.refund_id)
        paypal.refund_by_hand(charge)
        assert provider.look_up(charge, key=KEY) == Failed(ours.refund_id, "FAILED")

    def test_a_failed_refund_of_somebody_else_does_not_count(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.fail(paypal.refund_by_hand(charge))
        assert provider.look_up(charge, key=KEY) == NotFound()

    def test_a_refund_of_another_capture_of_the_order_is_not_of_this_one(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.refund_by_hand(paypal.add_capture("SECOND"))
        assert provider.look_up(charge, key=KEY) == NotFound()

    @pytest.mark.parametrize("status", ["PENDING", "DECLINED", "FAILED"])
    def test_a_capture_that_brought_no_money_was_not_refunded(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        paypal.captures[charge]["status"] = status
        assert provider.look_up(charge, key=KEY) == NotFound()
        paypal.captures[charge]["status_details"] = {"reason": "REFUNDED"}
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    @pytest.mark.parametrize("order", [None, "GONE"])
    def test_without_an_order_the_list_of_refunds_tells(
        self, provider: PaymentProvider, paypal: FakePayPal, order: str | None
    ) -> None:
        charge = paypal.add_capture("RENEWAL", order=order)
        paypal.orders_exist = False
        paypal.refund_by_hand(paypal.add_capture("OTHERS", order=None))
        assert provider.look_up(charge, key=KEY) == NotFound()
        ours = provider.refund(charge, PRICE, key=KEY)
        assert provider.look_up(charge, key=KEY) == ours
        assert isinstance(ours, Paid)
        assert provider.look_up(charge, key=OTHERS) == ExternalRefund(ours.refund_id, PRICE)

    def test_a_refund_that_no_list_shows_yet_is_unknown(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        paypal.search_delay = timedelta(hours=3)
        ours = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)
        paypal.now += timedelta(hours=3)
        assert provider.look_up(charge, key=KEY) == ours

    def test_a_day_of_more_refunds_than_paypal_lists_is_unknown(
        self, provider: PaymentProvider, paypal: FakePayPal
    ) -> None:
        charge = paypal.add_capture("RENEWAL", order=None)
        provider.refund(charge, PRICE, key=KEY)
        paypal.max_search_results = 0
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    def test_a_busy_day_is_read_page_by_page(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        for number in range(501):
            paypal.refund_by_hand(paypal.add_capture(f"C{number}"))
        charge = paypal.add_capture("RENEWAL", order=None)
        ours = provider.refund(charge, PRICE, key=KEY)
        assert provider.look_up(charge, key=KEY) == ours

    def test_an_order_that_is_gone_says_so_in_paypals_words(self, paypal: FakePayPal, charge: str) -> None:
        def moody(asked: HttpRequest) -> HttpResponse:
            return HttpResponse(404, b"{}") if "orders" in asked.path else paypal.answer(asked)

        with FaultyServer(moody) as server:
            assert isinstance(adapter(server.url).look_up(charge, key=KEY), Unknown)

    def test_ours_that_failed_is_told_while_another_is_not_shown_yet(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        ours = provider.refund(charge, PRICE, key=KEY)
        assert isinstance(ours, Paid)
        paypal.fail(ours.refund_id)
        paypal.captures[charge]["status"] = "REFUNDED"
        paypal.search_delay = timedelta(hours=3)
        assert provider.look_up(charge, key=KEY) == Failed(ours.refund_id, "FAILED")

    def test_a_refund_of_nothing_cannot_be_read(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.refund_by_hand(charge, "0.00")
        assert isinstance(provider.look_up(charge, key=KEY), Unknown)

    @pytest.mark.parametrize("silent", ["/v2/checkout/orders", "/v1/reporting"])
    def test_a_question_that_is_not_answered_leaves_all_open(self, paypal: FakePayPal, silent: str) -> None:
        charge = paypal.add_capture("RENEWAL", order="ORDER1" if "orders" in silent else None)
        paypal.refund_by_hand(charge)

        def moody(asked: HttpRequest) -> HttpResponse:
            return error_response(503) if asked.path.startswith(silent) else paypal.answer(asked)

        with FaultyServer(moody) as server:
            assert adapter(server.url).look_up(charge, key=KEY) == Unknown("PayPal answered 503.")

    def test_it_only_looks(
        self, provider: PaymentProvider, paypal: FakePayPal, server: FaultyServer, charge: str
    ) -> None:
        paypal.refund_by_hand(charge)
        paypal.orders_exist = False
        provider.look_up(charge, key=KEY)
        assert {asked.method for asked in server.requests if asked.path != "/v1/oauth2/token"} == {"GET"}

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
    def test_an_order_that_cannot_be_read_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, order: dict[str, Any]
    ) -> None:
        capture = {
            "id": charge,
            "status": "COMPLETED",
            "update_time": "2026-11-22T12:00:00Z",
            "supplementary_data": {"related_ids": {"order_id": "ORDER1"}},
        }
        misbehaving(provider, server, charge, responds_with(HttpResponse(200, json.dumps(capture | order).encode())))
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
    def test_a_capture_that_cannot_be_read_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, paypal: FakePayPal, charge: str, changes: dict[str, Any]
    ) -> None:
        capture = paypal.captures[paypal.add_capture("RENEWAL", order=None)]
        misbehaving(provider, server, charge, responds_with(HttpResponse(200, json.dumps(capture).encode())))
        assert provider.look_up("RENEWAL", key=KEY) == NotFound()
        server.fault = responds_with(HttpResponse(200, json.dumps(capture | changes).encode()))
        assert isinstance(provider.look_up("RENEWAL", key=KEY), Unknown)

    def test_a_capture_that_paypal_does_not_know_is_unknown(self, provider: PaymentProvider) -> None:
        assert isinstance(provider.look_up("NOBODYS", key=KEY), Unknown)


class TestDisputes:
    def test_a_charge_that_nobody_disputes_has_none(self, provider: PaymentProvider, charge: str) -> None:
        assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)

    @pytest.mark.parametrize(
        "status", ["OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "UNDER_REVIEW", "OTHER", "NEW"]
    )
    def test_whatever_is_not_resolved_is_open(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)
        dispute = paypal.dispute(charge, status)
        paypal.dispute(charge, "RESOLVED", "RESOLVED_SELLER_FAVOUR")
        assert provider.dispute(charge) == DisputeStatus(Dispute.OPEN, dispute)

    @pytest.mark.parametrize(
        "outcome", ["RESOLVED_BUYER_FAVOUR", "RESOLVED_WITH_PAYOUT", "ACCEPTED", "NONE", "NEW", *DISPUTE_OUTCOMES]
    )
    def test_only_what_is_surely_ours_is_won(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, outcome: str
    ) -> None:
        dispute = paypal.dispute(charge, "RESOLVED", outcome)
        won = outcome in {"RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER", "DENIED"}
        assert provider.dispute(charge) == DisputeStatus(Dispute.WON if won else Dispute.LOST, dispute)

    def test_the_newest_lost_one_counts_before_those_won(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        paypal.dispute(charge, "RESOLVED", "ACCEPTED")
        lost = paypal.dispute(charge, "RESOLVED", "RESOLVED_BUYER_FAVOUR")
        paypal.dispute(charge, "RESOLVED", "DENIED")
        assert provider.dispute(charge) == DisputeStatus(Dispute.LOST, lost)

    @pytest.mark.parametrize(
        "said",
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
    def test_a_list_that_cannot_be_read_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, said: dict[str, Any]
    ) -> None:
        misbehaving(provider, server, charge, responds_with(HttpResponse(200, json.dumps(said).encode())))
        assert isinstance(provider.dispute(charge), Unknown)

    def test_an_outcome_that_is_not_told_is_unknown(self, paypal: FakePayPal, charge: str) -> None:
        dispute = paypal.dispute(charge, "RESOLVED", "DENIED")

        def moody(asked: HttpRequest) -> HttpResponse:
            return error_response(503) if asked.path.endswith(dispute) else paypal.answer(asked)

        with FaultyServer(moody) as server:
            assert adapter(server.url).dispute(charge) == Unknown("PayPal answered 503.")

    def test_a_list_without_items_is_empty(self, provider: PaymentProvider, server: FaultyServer, charge: str) -> None:
        misbehaving(provider, server, charge, responds_with(HttpResponse(200, b'{"links": []}')))
        assert provider.dispute(charge) == DisputeStatus(Dispute.NONE)


def all_pages(provider: PaymentProvider, since: datetime) -> list[ListedRefund]:
    listed: list[ListedRefund] = []
    after = None
    for _ in range(50):
        page = provider.list_refunds(since, after)
        assert isinstance(page, RefundPage)
        listed += page.refunds
        after = page.next_cursor
        if after is None:
            return listed
    raise AssertionError("The list has no end.")


class TestListing:
    def test_the_refunds_since_an_instant_are_listed(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str
    ) -> None:
        provider.refund(charge, PRICE, key=KEY)
        other = paypal.refund_by_hand(paypal.add_capture("OTHER"), "5.00", invoice_id="somebody@example.org")
        ours = paypal.refunds[0]["id"]
        assert all_pages(provider, paypal.now) == [
            ListedRefund(ours, charge, PRICE, RefundStatus.PAID, paypal.now, KEY),
            ListedRefund(other, "OTHER", Money(500, "EUR"), RefundStatus.PAID, paypal.now, None),
        ]

    @pytest.mark.parametrize("status", REFUND_STATUSES)
    def test_every_status_has_its_standing(
        self, provider: PaymentProvider, paypal: FakePayPal, charge: str, status: str
    ) -> None:
        paypal.refund_by_hand(charge, status=status)
        [listed] = all_pages(provider, paypal.now)
        assert listed.status is REFUND_STATUSES[status]

    def test_what_appears_late_is_listed_the_next_time(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        until = paypal.now
        paypal.now -= timedelta(hours=2, minutes=59)
        paypal.refund_by_hand(paypal.add_capture("LATE"))
        assert len(all_pages(provider, until)) == 1

    def test_a_year_is_read_in_pieces_of_time_and_pages(
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
        searches = [asked.query for asked in server.requests if asked.path == "/v1/reporting/transactions"]
        assert {query["transaction_type"] for query in searches} == {"T1107"}
        assert {query["page"] for query in searches} == {"1", "2"}

    def test_a_piece_with_too_many_is_cut(self, provider: PaymentProvider, paypal: FakePayPal) -> None:
        today = paypal.now
        for days in range(20):
            paypal.now = today - timedelta(days=days)
            paypal.refund_by_hand(paypal.add_capture(f"C{days}"))
        paypal.now, paypal.max_search_results = today, 6
        listed = all_pages(provider, today - timedelta(days=25))
        assert {refund.refund_id for refund in listed} == {row["id"] for row in paypal.refunds}

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"total_pages": 1, "transaction_details": 7},
            {"total_pages": 1, "transaction_details": [7]},
            {"total_pages": 1, "transaction_details": [{"transaction_info": {}}]},
            {"total_pages": "1", "transaction_details": []},
        ],
    )
    def test_a_list_that_cannot_be_read_is_unknown(
        self, provider: PaymentProvider, server: FaultyServer, charge: str, said: dict[str, Any]
    ) -> None:
        misbehaving(provider, server, charge, responds_with(HttpResponse(200, json.dumps(said).encode())))
        assert isinstance(provider.list_refunds(datetime.now(UTC), None), Unknown)


def test_where_no_address_is_set_paypals_own_is_called() -> None:
    account = PayPalAccount(client_id=SecretStr(ID), client_secret=SecretStr(SECRET))
    provider: Any = create_adapter(account, provider_timeout_seconds=1.0, connections=1)
    assert provider._client._base_url == "https://api-m.paypal.com"


def test_a_call_does_not_say_which_machine_makes_it(
    provider: PaymentProvider, server: FaultyServer, charge: str
) -> None:
    provider.look_up(charge, key=KEY)
    assert {asked.headers["user-agent"] for asked in server.requests} == {"Moneyback"}
    assert {asked.headers["accept"] for asked in server.requests} == {"application/json"}


def test_paypal_can_do_what_its_documents_say(provider: PaymentProvider) -> None:
    can = provider.capabilities
    assert can.idempotency_key_ttl == timedelta(days=45)
    assert can.rejects_over_refund
    assert can.route("paypal").window == can.route("credit_card").window == timedelta(days=180)
