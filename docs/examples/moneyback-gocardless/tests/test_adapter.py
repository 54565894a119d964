"""GoCardless' adapter keeps the contract of adapters, and does what only GoCardless needs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gocardless_double import TOKEN, GoCardlessDouble, adapter, error, running
from gocardless_pro.errors import ApiError

from moneyback_gocardless import client, codes
from moneyback_plugin.adapter import (
    Declined,
    DeclineReason,
    Dispute,
    Failed,
    Money,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Pending,
    RefundPage,
    Unknown,
)
from moneyback_plugin.testing import AdapterContract, CredentialsContract, Fault, a_key

PRICE = Money(4900, "EUR")
SHORT_TIMEOUT = 0.5  # seconds; for calls that get no reply


@pytest.fixture
def double() -> Iterator[GoCardlessDouble]:
    with running(GoCardlessDouble()) as double:
        yield double


@pytest.fixture
def provider(double: GoCardlessDouble) -> PaymentProvider:
    return adapter(double)


class TestAdapter(AdapterContract, CredentialsContract):
    currencies = ("AUD", "CAD", "DKK", "EUR", "GBP", "NZD", "SEK", "USD")
    dispute_of_a_bank = Dispute.LOST

    @pytest.fixture
    def double(self) -> Iterator[GoCardlessDouble]:
        with running(GoCardlessDouble()) as double:
            yield double

    @pytest.fixture
    def provider(self, double: GoCardlessDouble) -> PaymentProvider:
        return adapter(double)

    @pytest.fixture
    def impatient(self, double: GoCardlessDouble) -> PaymentProvider:
        return adapter(double, seconds=SHORT_TIMEOUT)

    @pytest.fixture
    def rejected(self, double: GoCardlessDouble) -> PaymentProvider:
        return adapter(double, token="another_token")


def test_a_refund_confirms_the_sum_of_all_refunds(double: GoCardlessDouble, provider: PaymentProvider) -> None:
    charge, key = double.pay(PRICE), a_key()
    double.refund_elsewhere(charge, Money(1000, "EUR"))
    assert isinstance(provider.refund(charge, Money(3900, "EUR"), key=key), Pending)
    method, path, request = double.requests[-1]
    assert (method, path) == ("POST", "/refunds")
    assert request["refunds"] == {
        "amount": 3900,
        "total_amount_confirmation": 4900,
        "links": {"payment": charge},
        "metadata": {"moneyback_key": key, "moneyback_charge": charge},
    }


@pytest.mark.parametrize("body_before_key", [False, True])
@pytest.mark.parametrize("fault", list(Fault))
def test_a_lost_reply_is_found_whatever_the_provider_checks_first(
    double: GoCardlessDouble, provider: PaymentProvider, fault: Fault, body_before_key: bool
) -> None:
    double.body_before_key = body_before_key
    charge, key = double.pay(PRICE, fault=fault), a_key()
    assert isinstance(adapter(double, seconds=SHORT_TIMEOUT).refund(charge, PRICE, key=key), Unknown)
    assert isinstance(provider.refund(charge, PRICE, key=key), Pending)
    assert double.refunded(charge) == PRICE.minor


def test_a_used_key_gives_the_refund_that_was_made_with_it(
    double: GoCardlessDouble, provider: PaymentProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge, key = double.pay(PRICE), a_key()
    first = provider.refund(charge, PRICE, key=key)
    monkeypatch.setattr(type(provider), "_find", lambda *_: None)  # as if the first refund were made at this moment
    double.payments[charge]["amount_refunded"] = 0
    assert provider.refund(charge, PRICE, key=key) == first
    assert len(double.refunds) == 1


def test_another_refund_at_the_same_moment_makes_the_outcome_unknown(
    double: GoCardlessDouble, provider: PaymentProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = double.pay(PRICE)

    def refund_meanwhile(*_: object) -> None:
        double.refund_elsewhere(charge, Money(1000, "EUR"))

    monkeypatch.setattr(type(provider), "_find", refund_meanwhile)
    result = provider.refund(charge, Money(2000, "EUR"), key=a_key())
    assert isinstance(result, Unknown)
    assert "total_amount_confirmation_invalid" in result.why
    assert double.refunded(charge) == 1000


@pytest.mark.parametrize(("status", "reason"), codes.NOT_REFUNDABLE.items())
def test_a_payment_that_cannot_be_refunded_is_not_sent(
    double: GoCardlessDouble, provider: PaymentProvider, status: str, reason: DeclineReason
) -> None:
    charge = double.pay(PRICE, status=status)
    assert provider.refund(charge, PRICE, key=a_key()) == Declined(reason, status)
    assert all(method == "GET" for method, _, _ in double.requests)


@pytest.mark.parametrize("status", ["confirmed", "paid_out"])
def test_a_payment_whose_money_arrived_is_refunded(
    double: GoCardlessDouble, provider: PaymentProvider, status: str
) -> None:
    charge = double.pay(PRICE, status=status)
    assert isinstance(provider.refund(charge, PRICE, key=a_key()), Pending)


def test_another_currency_than_that_of_the_payment_is_declined(
    double: GoCardlessDouble, provider: PaymentProvider
) -> None:
    charge = double.pay(PRICE)
    result = provider.refund(charge, Money(4900, "USD"), key=a_key())
    assert result == Declined(DeclineReason.PAYMENT_DIFFERS, "EUR")


@pytest.mark.parametrize("status", codes.REFUND_STATUSES)
def test_every_status_of_a_refund_is_known(double: GoCardlessDouble, provider: PaymentProvider, status: str) -> None:
    charge, key = double.pay(PRICE), a_key()
    provider.refund(charge, PRICE, key=key)
    (refund,) = double.refunds.values()
    refund["status"] = status
    kinds = {"paid": Paid, "cancelled": Failed, "bounced": Failed, "funds_returned": Failed}
    result = provider.look_up(charge, key=key)
    assert isinstance(result, kinds.get(status, Pending))
    if isinstance(result, Failed):
        cancelled = status == "cancelled"
        assert (result.code, result.reason is DeclineReason.CANCELLED) == (status, cancelled)


@pytest.mark.parametrize(
    ("scheme", "method"),
    [
        ("sepa_core", "direct_debit"),
        ("bacs", "direct_debit"),
        ("ach", "direct_debit"),
        ("faster_payments", None),
        (None, None),
    ],
)
def test_the_scheme_of_a_payment_shows_whether_it_is_a_direct_debit(
    double: GoCardlessDouble, provider: PaymentProvider, scheme: str | None, method: str | None
) -> None:
    charge = double.pay(PRICE)
    double.payments[charge]["scheme"] = scheme
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert (payment.method, payment.seller, payment.code) == (method, None, "paid_out")


def test_the_metadata_of_a_payment_names_its_seller(double: GoCardlessDouble) -> None:
    charge = double.pay(PRICE)
    double.payments[charge]["metadata"] = {"shop": "aurora"}
    payment = adapter(double, seller_metadata="shop").payment(charge)
    assert isinstance(payment, PaymentStatus)
    assert payment.seller == "aurora"


@pytest.mark.parametrize(("status", "dispute"), [("charged_back", Dispute.LOST), ("paid_out", Dispute.WON)])
def test_a_chargeback_that_was_cancelled_is_won(
    double: GoCardlessDouble, provider: PaymentProvider, status: str, dispute: Dispute
) -> None:
    charge = double.pay(PRICE)
    double.open_dispute(charge)
    double.payments[charge]["status"] = status
    page = provider.list_disputes(datetime.now(UTC) - timedelta(hours=1), None)
    assert not isinstance(page, Unknown)
    assert [(item.charge, item.status.dispute) for item in page.disputes] == [(charge, dispute)]


STRANGE_ROWS: list[dict[str, Any]] = [
    {"links": {"mandate": "MD1"}},  # a refund of a mandate, not of a payment
    {"currency": "XXX"},
    {"status": "on_its_way"},
    {"amount": None},
    {"created_at": None},
    {"created_at": "2026-11-01T10:00:00"},
    {"id": ""},
]


def list_rows(double: GoCardlessDouble, *rows: dict[str, Any]) -> RefundPage | Unknown:
    """Return the page that the adapter makes of these rows."""
    double.answer = lambda *_: (200, {"refunds": [*rows], "meta": {"cursors": {"after": None}}})  # type: ignore[method-assign]
    return adapter(double).list_refunds(datetime.now(UTC) - timedelta(hours=1), None)


@pytest.mark.parametrize("change", STRANGE_ROWS, ids=str)
def test_a_strange_row_is_counted_if_it_is_not_ours(double: GoCardlessDouble, change: dict[str, Any]) -> None:
    double.refund_elsewhere(double.pay(PRICE), PRICE)
    (row,) = double.refunds.values()
    page = list_rows(double, row | change, row)
    assert isinstance(page, RefundPage)
    assert ([refund.refund_id for refund in page.refunds], page.skipped) == ([row["id"]], 1)
    ours = {"metadata": {"moneyback_key": "mb_1"}}
    assert isinstance(list_rows(double, row | change | ours, row), Unknown)


def test_a_refund_and_a_chargeback_are_found_by_their_ids(double: GoCardlessDouble, provider: PaymentProvider) -> None:
    charge = double.pay(PRICE)
    assert provider.refunded_charge(double.refund_elsewhere(charge, PRICE)) == charge
    double.open_dispute(charge)
    assert provider.disputed_charge(charge) == charge
    for unknown in ("RF999999", "", "../payments", "PM000000"):
        assert isinstance(provider.refunded_charge(unknown), Declined)


# Errors


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(422, "validation_failed", None, field="amount"), Declined(DeclineReason.PERMANENT, "amount")),
        (
            error(422, "invalid_state", "available_refund_amount_insufficient"),
            Declined(DeclineReason.INSUFFICIENT_BALANCE, "available_refund_amount_insufficient"),
        ),
        (
            error(422, "invalid_state", "refund_payment_invalid_state"),
            Declined(DeclineReason.NOT_YET_REFUNDABLE, "refund_payment_invalid_state"),
        ),
        (error(400, "invalid_api_usage", "a_new_reason"), Declined(DeclineReason.PERMANENT, "a_new_reason")),
    ],
)
def test_an_error_of_the_request_is_declined(reply: tuple[int, dict[str, Any]], expected: Declined) -> None:
    assert result_of(reply) == expected


@pytest.mark.parametrize(
    "reply",
    [
        error(500, "gocardless", "internal_server_error"),
        error(422, "validation_failed", "total_amount_confirmation_invalid"),
        error(409, "invalid_state", "idempotent_creation_conflict"),
        error(418, "a_new_type", "a_new_reason"),
        (200, {}),
        (201, {"refunds": []}),
        (201, {"refunds": {"id": "RF1"}}),
        (400, {"error": None}),
        (400, {"error": "no"}),
        (422, {"error": {"type": "invalid_state", "code": 422, "errors": "no"}}),
        (422, {"error": {"type": "invalid_state", "code": 422, "errors": [None]}}),
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_certain_is_unknown(reply: tuple[int, dict[str, Any]]) -> None:
    result = result_of(reply)
    certain = isinstance(result, Declined) and result.code == "invalid_state"
    assert isinstance(result, Unknown) or certain, result


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_the_fault_of_the_account(status: int) -> None:
    result = result_of(error(status, "invalid_api_usage", "insufficient_permissions"))
    assert isinstance(result, Unknown)
    assert result.invalid_credentials


def test_the_rate_limit_says_when_to_call_again() -> None:
    result = result_of(error(429, "invalid_api_usage", "rate_limit_exceeded"), {"RateLimit-Reset": "17"})
    assert isinstance(result, Unknown)
    assert result.retry_after == 17


@pytest.mark.parametrize("errors", [None, [], [{}], [{"reason": ""}], [{"reason": 7, "field": None}], ["no"], {}])
def test_an_error_without_a_reason_has_its_type_as_code(errors: object) -> None:
    assert client._reason(ApiError({"type": "invalid_state", "errors": errors})) in {"invalid_state", "error"}


def result_of(reply: tuple[int, dict[str, Any]], headers: dict[str, str] | None = None) -> object:
    """Return the result of a refund whose last call gets this reply."""
    with running(GoCardlessDouble(headers=headers or {})) as double:
        charge, answer = double.pay(PRICE), double.answer

        def answer_post(method: str, *rest: Any) -> tuple[int, dict[str, Any]]:
            return reply if method == "POST" else answer(method, *rest)

        double.answer = answer_post  # type: ignore[assignment,method-assign]
        return adapter(double).refund(charge, PRICE, key=a_key())


def test_the_token_is_never_shown() -> None:
    assert TOKEN not in repr(adapter(GoCardlessDouble(url="http://127.0.0.1:1")).__dict__)
