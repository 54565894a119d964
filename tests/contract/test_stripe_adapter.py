"""Stripe's adapter against a Stripe in a thread, then against everything that a network and a strange answer can do."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.provider_accounts import StripeAccount
from domain.money import CURRENCIES, Money, UnknownMoneyError
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
    RefundResult,
    RefundStatus,
    Unknown,
    refund_window,
)
from domain.purchases import Dispute
from tests.doubles.raw_server import SLOW_RESPONSES, UNREADABLE, Flood, drips, http_response, raw_server, resets, sends
from tests.doubles.stripe import FakeStripe, error_response, run_fake_stripe
from worker.providers.http_client import CREDENTIALS_REFUSED
from worker.providers.stripe.adapter import create_adapter
from worker.providers.stripe.amounts import UNITS, parse_amount
from worker.providers.stripe.codes import (
    CODES,
    DISPUTES,
    REFUND_STATUSES,
    UNDECIDED_CODES,
    UNDECIDED_STATUSES,
)

PATIENCE = 20.0  # seconds; reached only when something is broken
HURRY = 0.4  # seconds; the deadline of a client that is about to be kept waiting
FIVE = Money(500, "EUR")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with run_fake_stripe() as fake:
        fake.add_charge("ch_1", payment_intent="pi_1")
        yield fake


@pytest.fixture
def adapter(stripe: FakeStripe) -> PaymentProvider:
    return stripe.adapter()


def refund(adapter: PaymentProvider, charge: str = "ch_1", key: str = "key-1") -> RefundResult:
    return adapter.refund(charge, FIVE, key=key)


# Refunds


@pytest.mark.parametrize("name", ["ch_1", "pi_1"])
def test_a_payment_is_refunded_by_either_of_its_names(stripe: FakeStripe, adapter: PaymentProvider, name: str) -> None:
    paid = refund(adapter, name)
    assert paid == Paid("re_0", FIVE)
    assert adapter.look_up(name, key="key-1") == paid
    field = "payment_intent" if name == "pi_1" else "charge"
    ours = {"metadata[moneyback_key]": "key-1", "metadata[moneyback_charge]": name}
    order = {field: name, "amount": "500"} | ours
    assert stripe.calls[0] == ("POST", "/v1/refunds", order)


def test_the_same_key_pays_once(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    assert refund(adapter) == refund(adapter) == Paid("re_0", FIVE)
    assert len(stripe.refunds) == 1


def test_another_key_for_the_same_charge_is_refused(adapter: PaymentProvider) -> None:
    refund(adapter)
    assert refund(adapter, key="key-2") == Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")


def test_a_key_serves_one_refund_only(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund(adapter)
    other = refund(adapter, stripe.add_charge("ch_2"))
    assert isinstance(other, Unknown), "what was asked for under this key before may have paid"


def test_more_than_is_left_is_refused_although_that_error_has_no_code(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    stripe.refund_by_hand("ch_1", 100)
    assert refund(adapter) == Declined(DeclineReason.PERMANENT, "invalid_request_error")


def test_a_charge_that_stripe_does_not_know_is_refused(adapter: PaymentProvider) -> None:
    assert refund(adapter, "ch_nobody") == Declined(DeclineReason.PERMANENT, "resource_missing")


def test_fifty_callers_with_one_key_pay_once(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    answers = _at_once(lambda _: refund(adapter))
    assert set(answers) == {Paid("re_0", FIVE)}
    assert len(stripe.refunds) == 1


def test_fifty_callers_with_fifty_keys_pay_once(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    answers = _at_once(lambda number: refund(adapter, key=f"key-{number}"))
    assert sorted(type(answer).__name__ for answer in answers) == ["Declined"] * 49 + ["Paid"]
    assert len(stripe.refunds) == 1


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_class(stripe: FakeStripe, adapter: PaymentProvider, code: str) -> None:
    stripe.charges["ch_1"].refund_error = (400, code)
    assert refund(adapter) == Declined(CODES[code], code)


@pytest.mark.parametrize("status", [400, 402, 404, 422])
def test_a_code_we_never_heard_is_a_refusal_for_good(stripe: FakeStripe, adapter: PaymentProvider, status: int) -> None:
    stripe.charges["ch_1"].refund_error = (status, "moon_phase")
    assert refund(adapter) == Declined(DeclineReason.PERMANENT, "moon_phase")


@pytest.mark.parametrize("status", [*sorted(UNDECIDED_STATUSES), 500, 502, 503, 504])
def test_a_status_that_leaves_it_open_is_unknown_whatever_its_code(
    stripe: FakeStripe, adapter: PaymentProvider, status: int
) -> None:
    stripe.instead = [error_response(status, "charge_already_refunded")]
    assert refund(adapter) == Unknown(f"Stripe answered {status}.")
    assert len(stripe.calls) == 1, "The SDK called again by itself."


@pytest.mark.parametrize("code", sorted(UNDECIDED_CODES))
def test_a_code_that_says_not_now_is_unknown(stripe: FakeStripe, adapter: PaymentProvider, code: str) -> None:
    stripe.instead = [error_response(400, code)]
    assert refund(adapter) == Unknown("Stripe answered 400.")


@pytest.mark.parametrize("status", [429, 503])
def test_stripe_says_when_to_ask_again(stripe: FakeStripe, adapter: PaymentProvider, status: int) -> None:
    stripe.instead = [error_response(status, None, "api_error", Retry_After="17", Stripe_Should_Retry="true")]
    assert refund(adapter) == Unknown(f"Stripe answered {status}.", retry_after=17)
    assert len(stripe.calls) == 1, "The SDK called again by itself."


def test_a_stored_error_says_that_the_key_will_never_say_more(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.instead = [
        error_response(500, None, "api_error"),
        error_response(500, None, "api_error", Idempotent_Replayed="true"),
    ]
    assert refund(adapter) == Unknown("Stripe answered 500.")
    assert refund(adapter) == Unknown("Stripe answered 500.", replayed=True)


@pytest.mark.parametrize("status", sorted(CREDENTIALS_REFUSED))
def test_refused_credentials_are_unknown_because_a_person_mends_them(
    stripe: FakeStripe, adapter: PaymentProvider, status: int
) -> None:
    stripe.instead = [error_response(status, "charge_already_refunded")]
    assert refund(adapter) == Unknown(f"Stripe refuses our credentials: {status}.", invalid_credentials=True)


def test_a_wrong_key_to_the_account_pays_nothing_and_is_not_shown(stripe: FakeStripe) -> None:
    unknown = refund(stripe.adapter(api_key="rk_wrong"))
    assert unknown == Unknown("Stripe refuses our credentials: 401.", invalid_credentials=True)
    assert stripe.refunds == []


def test_an_error_after_paying_is_unknown_and_the_look_up_finds_it_paid(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    stripe.after = [error_response(500, None, "api_error")]
    assert isinstance(refund(adapter), Unknown)
    assert adapter.look_up("ch_1", key="key-1") == Paid("re_0", FIVE)
    assert refund(adapter) == Paid("re_0", FIVE)


@pytest.mark.parametrize("status", REFUND_STATUSES)
def test_every_status_has_its_answer(stripe: FakeStripe, adapter: PaymentProvider, status: str) -> None:
    stripe.charges["ch_1"].status = status
    answers = {
        RefundStatus.PAID: Paid("re_0", FIVE),
        RefundStatus.PENDING: Pending("re_0", FIVE),
        RefundStatus.FAILED: Failed("re_0", status, DeclineReason.PERMANENT),
    }
    expected = answers[REFUND_STATUSES[status]]
    assert refund(adapter) == expected
    assert adapter.look_up("ch_1", key="key-1") == expected


FAILURES = {
    "lost_or_stolen_card": DeclineReason.PERMANENT,
    "expired_or_canceled_card": DeclineReason.PERMANENT,
    "charge_for_pending_refund_disputed": DeclineReason.DISPUTED,
    "insufficient_funds": DeclineReason.INSUFFICIENT_BALANCE,
    "declined": DeclineReason.PERMANENT,
    "merchant_request": DeclineReason.PERMANENT,
    "unknown": DeclineReason.PERMANENT,
    "moon_phase": DeclineReason.PERMANENT,
}


@pytest.mark.parametrize(("reason", "decline_reason"), FAILURES.items())
def test_a_refund_that_failed_says_why(
    stripe: FakeStripe, adapter: PaymentProvider, reason: str, decline_reason: DeclineReason
) -> None:
    stripe.charges["ch_1"] = replace(stripe.charges["ch_1"], status="failed", failure_reason=reason)
    assert refund(adapter) == Failed("re_0", reason, decline_reason)


def test_a_refund_that_waits_for_balance_is_pending(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.charges["ch_1"] = replace(stripe.charges["ch_1"], status="pending", pending_reason="insufficient_funds")
    assert refund(adapter) == Pending("re_0", FIVE, insufficient_balance=True)


def test_stripe_is_told_the_refund_and_nothing_of_us(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund(adapter)
    refund(adapter)
    assert stripe.headers[0]["idempotency-key"] == "key-1"
    assert all("x-stripe-client-telemetry" not in headers for headers in stripe.headers)


def test_what_stripe_says_is_not_logged(
    stripe: FakeStripe, adapter: PaymentProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    stripe.charges["ch_1"].refund_error = (400, "charge_disputed")
    assert isinstance(refund(adapter), Declined)
    assert "Nobody reads this." not in caplog.text


# Amounts


@pytest.mark.parametrize(
    ("iso", "theirs"),
    [
        (Money(500, "EUR"), 500),
        (Money(500, "JPY"), 500),
        (Money(5120, "KWD"), 5120),
        (Money(5, "ISK"), 500),
        (Money(5, "UGX"), 500),
        (Money(500, "MGA"), 5),
    ],
)
def test_an_amount_is_told_in_stripes_own_units(stripe: FakeStripe, iso: Money, theirs: int) -> None:
    charge = stripe.add_charge("ch_2", theirs, currency=iso.currency.lower())
    assert stripe.adapter().refund(charge, iso, key="key-2") == Paid("re_0", iso)
    assert stripe.calls[-1][2]["amount"] == str(theirs)


def test_a_fraction_that_stripe_cannot_say_is_refused_before_it_is_sent(
    stripe: FakeStripe, adapter: PaymentProvider
) -> None:
    declined = adapter.refund("ch_1", Money(550, "MGA"), key="key-1")
    assert declined == Declined(DeclineReason.PERMANENT, "amount_not_in_whole_units")
    assert stripe.calls == []


@given(minor=st.integers(1, 10**12), currency=st.sampled_from(sorted(CURRENCIES)))
def test_an_amount_comes_back_as_it_went(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    if currency == "MGA":  # of which Stripe knows no fifth
        money = Money(minor * 100, currency)
    assert parse_amount(UNITS.to_provider(money), currency.lower()) == money


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(0, "eur"), (-1, "eur"), (True, "eur"), (5.0, "eur"), ("5", "eur"), (5, "xxx"), (5, None), (501, "isk")],
)
def test_what_is_no_amount_is_not_taken_for_one(amount: object, currency: object) -> None:
    with pytest.raises(UnknownMoneyError):
        parse_amount(amount, currency)


# Looking up


def test_a_charge_nobody_refunded_is_absent(adapter: PaymentProvider) -> None:
    assert adapter.look_up("ch_1", key="key-1") == NotFound()


def test_a_refund_made_elsewhere_is_not_taken_for_ours(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund_id = stripe.refund_by_hand("ch_1", 200)
    assert adapter.look_up("ch_1", key="key-1") == ExternalRefund(refund_id, Money(200, "EUR"))


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_failed_refund_of_somebody_else_is_none(stripe: FakeStripe, adapter: PaymentProvider, status: str) -> None:
    stripe.refund_by_hand("ch_1", 500, status)
    assert adapter.look_up("ch_1", key="key-1") == NotFound()


def test_ours_is_found_among_others_and_the_one_that_paid_counts(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.refund_by_hand("ch_1", 100)
    ours = stripe.refund_by_hand("ch_1", 300, moneyback_key="key-1")
    stripe.refund_by_hand("ch_1", 300, "failed", moneyback_key="key-1")
    assert adapter.look_up("ch_1", key="key-1") == Paid(ours, Money(300, "EUR"))


def test_ours_is_found_on_the_last_of_many_pages(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    ours = stripe.refund_by_hand("ch_1", 1, moneyback_key="key-1")
    for _ in range(250):
        stripe.refund_by_hand("ch_1", 1, "failed")
    assert adapter.look_up("ch_1", key="key-1") == Paid(ours, Money(1, "EUR"))
    assert len(stripe.calls) == 3


def test_a_list_without_end_is_given_up(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    row = {"id": "re_9", "charge": "ch_1"}
    stripe.instead = [(200, {"object": "list", "data": [row], "has_more": True}, {}) for _ in range(50)]
    assert adapter.look_up("ch_1", key="key-1") == Unknown("Stripe's list does not end.")
    assert len(stripe.calls) == 10


@pytest.mark.parametrize(
    "answer", [error_response(404, "resource_missing"), error_response(500, None), error_response(401, None)]
)
def test_a_look_up_that_is_refused_is_unknown_never_absent(
    stripe: FakeStripe, adapter: PaymentProvider, answer: Any
) -> None:
    stripe.instead = [answer] * 3
    assert isinstance(adapter.look_up("ch_1", key="key-1"), Unknown)
    assert isinstance(adapter.dispute("ch_1"), Unknown)
    assert isinstance(adapter.list_refunds(LONG_AGO, None), Unknown)


# Disputes


def test_a_charge_without_a_dispute_has_none(adapter: PaymentProvider) -> None:
    assert adapter.dispute("ch_1") == DisputeStatus(Dispute.NONE)


@pytest.mark.parametrize("name", ["ch_1", "pi_1"])
@pytest.mark.parametrize("status", DISPUTES)
def test_every_status_of_a_dispute_is_known(
    stripe: FakeStripe, adapter: PaymentProvider, status: str, name: str
) -> None:
    stripe.dispute("ch_1", status)
    stripe.add_charge("ch_2", payment_intent="pi_2")
    stripe.dispute("ch_2", "lost")
    assert adapter.dispute(name) == DisputeStatus(DISPUTES[status], "dp_0")


DECISIVE = {
    "lost, then won": (["lost", "won"], DisputeStatus(Dispute.LOST, "dp_0")),
    "won, then open": (["won", "needs_response"], DisputeStatus(Dispute.OPEN, "dp_1")),
    "open, then lost": (["under_review", "lost"], DisputeStatus(Dispute.OPEN, "dp_0")),
    "lost twice": (["lost", "lost"], DisputeStatus(Dispute.LOST, "dp_1")),
}


@pytest.mark.parametrize(("statuses", "seen"), DECISIVE.values(), ids=DECISIVE.keys())
def test_the_dispute_that_decides_is_seen(
    stripe: FakeStripe, adapter: PaymentProvider, statuses: list[str], seen: DisputeStatus
) -> None:
    for status in statuses:
        stripe.dispute("ch_1", status)
    assert adapter.dispute("ch_1") == seen


def test_a_dispute_of_a_new_status_is_unknown(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.dispute("ch_1", "asleep")
    assert isinstance(adapter.dispute("ch_1"), Unknown)


# The list


def test_the_list_has_every_refund_since_then_in_pages(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    stripe.add_charge("ch_2", 10_000)
    stripe.refund_by_hand("ch_2", 1)
    since = datetime.fromtimestamp(stripe.clock + 1, UTC)
    stripe.charges["ch_2"].status = "pending"
    assert adapter.refund("ch_2", FIVE, key="key-2") == Pending("re_1", FIVE)
    for _ in range(150):
        stripe.refund_by_hand("ch_2", 1, "failed")
    first = adapter.list_refunds(since, None)
    assert isinstance(first, RefundPage)
    second = adapter.list_refunds(since, first.next_cursor)
    assert isinstance(second, RefundPage)
    assert (len(first.refunds), len(second.refunds), second.next_cursor) == (100, 51, None)
    assert second.refunds[-1] == ListedRefund("re_1", "ch_2", FIVE, RefundStatus.PENDING, since, "key-2")
    assert adapter.list_refunds(since + timedelta(days=1), None) == RefundPage([])


@pytest.mark.parametrize("name", ["ch_1", "pi_1"])
def test_a_refund_of_ours_is_listed_under_the_name_that_we_asked_by(adapter: PaymentProvider, name: str) -> None:
    refund(adapter, name)
    page = adapter.list_refunds(LONG_AGO, None)
    assert isinstance(page, RefundPage)
    assert [(one.charge, one.key) for one in page.refunds] == [(name, "key-1")]


def test_a_refund_of_somebody_else_is_listed_under_both_names(stripe: FakeStripe, adapter: PaymentProvider) -> None:
    refund_id = stripe.refund_by_hand("ch_1", 500, moneyback_charge="ch_of_another")
    page = adapter.list_refunds(LONG_AGO, None)
    assert isinstance(page, RefundPage)
    assert [(one.refund_id, one.charge, one.key) for one in page.refunds] == [
        (refund_id, "ch_1", None),
        (refund_id, "pi_1", None),
    ]


# What it says of itself


def test_what_stripe_can_do_is_declared(adapter: PaymentProvider) -> None:
    can = adapter.capabilities
    assert (can.idempotency_key_ttl, can.rejects_over_refund, can.lists_refunds) == (timedelta(hours=24), True, True)
    windows = {method: refund_window(can, "stripe", method) for method in ("credit_card", "amazon_pay", "alipay")}
    assert windows == {"credit_card": None, "amazon_pay": timedelta(days=90), "alipay": timedelta(days=90)}


# What the network does


def at(url: str, seconds: float = PATIENCE) -> PaymentProvider:
    return create_adapter(
        StripeAccount.model_validate({"api_key": "rk_1", "api_base": url}),
        provider_timeout_seconds=seconds,
        connections=2,
    )


A_REFUND = {
    "id": "re_1",
    "object": "refund",
    "charge": "ch_1",
    "payment_intent": None,
    "amount": 500,
    "currency": "eur",
    "status": "succeeded",
    "metadata": {"moneyback_key": "key-1"},
    "created": 1_790_000_000,
}


def test_a_sound_answer_is_paid() -> None:
    """So that what follows is refused for its own fault only."""
    with raw_server(sends(http_response(200, A_REFUND))) as url:
        assert refund(at(url)) == Paid("re_1", FIVE)


NONSENSE = UNREADABLE | {
    "another amount": http_response(200, A_REFUND | {"amount": 501}),
    "an amount that is true": http_response(200, A_REFUND | {"amount": True}),
    "another currency": http_response(200, A_REFUND | {"currency": "usd"}),
    "a list of currencies": http_response(200, A_REFUND | {"currency": ["eur"]}),
    "another charge": http_response(200, A_REFUND | {"charge": "ch_2"}),
    "no charge": http_response(200, A_REFUND | {"charge": None}),
    "a charge that is spelled out": http_response(200, A_REFUND | {"charge": {"id": "ch_1"}}),
    "another key": http_response(200, A_REFUND | {"metadata": {"moneyback_key": "key-2"}}),
    "no key": http_response(200, A_REFUND | {"metadata": {}}),
    "no metadata": http_response(200, A_REFUND | {"metadata": None}),
    "metadata that is a list": http_response(200, A_REFUND | {"metadata": [1]}),
    "a new status": http_response(200, A_REFUND | {"status": "on_its_way"}),
    "no status": http_response(200, A_REFUND | {"status": None}),
    "a list of statuses": http_response(200, A_REFUND | {"status": ["succeeded"]}),
    "no id": http_response(200, A_REFUND | {"id": None}),
    "an empty id": http_response(200, A_REFUND | {"id": ""}),
    "an id as long as a book": http_response(200, A_REFUND | {"id": "x" * 10_000}),
    "an object of no kind": http_response(200, A_REFUND | {"object": ["refund"]}),
    "a list of refunds": http_response(200, {"object": "list", "data": [A_REFUND], "has_more": False}),
    "half a body": http_response(200, A_REFUND)[:-20],
    "an error that is a list": http_response(400, {"error": ["charge_already_refunded"]}),
    "a list for a code": http_response(400, {"error": {"code": ["charge_already_refunded"], "type": 7}}),
    "an error for another protocol": http_response(400, {"error": "invalid_client"}),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_an_answer_nobody_can_read_is_unknown(answer: bytes) -> None:
    with raw_server(sends(answer)) as url:
        unknown = refund(at(url))
    assert isinstance(unknown, Unknown)
    assert unknown.why.endswith(".")
    assert "rk_1" not in unknown.why


NO_LISTS = UNREADABLE | {
    "a refund": http_response(200, A_REFUND),
    "no rows": http_response(200, {"object": "list", "data": {}, "has_more": False}),
    "no end": http_response(200, {"object": "list", "data": []}),
    "more, but nothing to start after": http_response(200, {"object": "list", "data": [], "has_more": True}),
    "a row that is no refund": http_response(200, {"object": "list", "data": [7], "has_more": False}),
    "a refund of a new status": http_response(
        200, {"object": "list", "data": [A_REFUND | {"status": "asleep"}], "has_more": False}
    ),
    "a refund of no time": http_response(
        200, {"object": "list", "data": [A_REFUND | {"created": None}], "has_more": False}
    ),
}


@pytest.mark.parametrize("answer", NO_LISTS.values(), ids=NO_LISTS.keys())
def test_a_list_that_cannot_be_read_is_unknown(answer: bytes) -> None:
    with raw_server(sends(answer)) as url:
        assert isinstance(at(url).look_up("ch_1", key="key-1"), Unknown)
        assert isinstance(at(url).list_refunds(LONG_AGO, None), Unknown)
        assert isinstance(at(url).dispute("ch_1"), Unknown)


def test_another_charges_refund_is_no_answer_to_a_look_up() -> None:
    rows = {"object": "list", "data": [A_REFUND | {"charge": "ch_2"}], "has_more": False}
    with raw_server(sends(http_response(200, rows))) as url:
        assert isinstance(at(url).look_up("ch_1", key="key-1"), Unknown)


def test_a_reset_connection_is_unknown_and_no_reason_to_call_again() -> None:
    calls = []

    def reset(connection: socket.socket) -> None:
        calls.append(connection)
        resets(connection)

    with raw_server(reset) as url:
        assert refund(at(url)) == Unknown("The connection to Stripe failed: ConnectionError.")
    assert len(calls) == 1


def test_a_look_up_has_one_deadline_for_all_its_pages() -> None:
    page = http_response(200, {"object": "list", "data": [A_REFUND], "has_more": True})
    with raw_server(drips(page, HURRY * 0.4 / len(page))) as url:
        assert at(url, HURRY).look_up("ch_1", key="key-1") == Unknown("Stripe did not answer in time.")


def test_a_refused_connection_is_unknown() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        unknown = refund(at(f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert unknown == Unknown("The connection to Stripe failed: ConnectionError.")


def test_a_stranger_behind_tls_is_not_believed() -> None:
    """He may say what he likes: what he says is no TLS that we trust."""
    with raw_server(sends(http_response(200, A_REFUND))) as url:
        unknown = refund(at(url.replace("http://", "https://")))
    assert unknown == Unknown("The connection to Stripe failed: SSLError.")


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    flood = Flood()
    with raw_server(flood) as url:
        assert isinstance(refund(at(url)), Unknown)
    assert flood.sent < 100_000_000


@pytest.mark.parametrize("answer", SLOW_RESPONSES.values(), ids=SLOW_RESPONSES.keys())
def test_an_answer_that_drips_in_ends_at_the_deadline(answer: bytes) -> None:
    with raw_server(drips(answer, HURRY / 10)) as url:
        assert refund(at(url, HURRY)) == Unknown("Stripe did not answer in time.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*A_REFUND, "error", "code", "type", "data", "has_more"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(answer=st.binary(max_size=200) | st.builds(http_response, st.sampled_from([200, 202, 400, 404, 409, 500]), JSON))
def test_nothing_but_our_own_refund_is_taken_for_paid(answer: bytes) -> None:
    with raw_server(sends(answer)) as url:
        assert isinstance(refund(at(url, 5)), Unknown | Declined)
        assert isinstance(at(url, 5).look_up("ch_1", key="key-1"), Unknown | NotFound)
        assert isinstance(at(url, 5).dispute("ch_1"), Unknown | DisputeStatus)


def _at_once(call: Callable[[int], RefundResult]) -> list[RefundResult]:
    together = Barrier(50)

    def one(number: int) -> RefundResult:
        together.wait(PATIENCE)
        return call(number)

    with ThreadPoolExecutor(50) as threads:
        return list(threads.map(one, range(50)))
