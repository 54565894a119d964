"""Tests of decide(): it decides what happens to a case after a provider's result. Each row of TABLE is one test."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from config.settings import Timers
from domain.cases import Case
from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    ExternalRefund,
    Failed,
    Lookup,
    LookupResult,
    Mismatched,
    NotFound,
    Paid,
    Pending,
    PollPlan,
    RefundResult,
    Unknown,
    WaitingForApproval,
)
from domain.refund_operations import CLOSED_STATUSES, OPEN_STATUSES, OperationStatus, RefundOperation, status_of
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from tests.sample_data import NOON, a_submitted_request
from worker.provider_client import NotSent
from worker.refunds import backoff
from worker.refunds.give_up import POLLED_STATES
from worker.refunds.outcomes import (
    MAX_ATTEMPTS,
    RETRYABLE,
    SUPPORT_REASONS,
    LookedUp,
    Repeated,
    Result,
    Sent,
    daily_reports,
    decide,
)
from worker.refunds.provider_limits import RefundLimits
from worker.webhook_events.processing import STATES_WITH_REFUND

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRICE = Money(4900, "EUR")
INSUFFICIENT_BALANCE = DeclineReason.INSUFFICIENT_BALANCE

PAID, PAID_WITH_BANK_REFERENCE = Paid("re_1", PRICE), Paid("re_1", PRICE, "ARN 7")
PENDING, PENDING_WITHOUT_BALANCE = Pending("re_1", PRICE), Pending("re_1", PRICE, insufficient_balance=True)
FAILED, FAILED_WITHOUT_BALANCE = Failed("re_1", "closed"), Failed("re_1", "balance", INSUFFICIENT_BALANCE)
DECLINED, NO_BALANCE, ALREADY_REFUNDED = (
    Declined(DeclineReason.PERMANENT, "no"),
    Declined(INSUFFICIENT_BALANCE, "funds"),
    Declined(DeclineReason.ALREADY_REFUNDED, "x"),
)
TIMEOUT, RATE_LIMITED, REPLAYED = Unknown("timeout"), Unknown("429", retry_after=5_000.0), Unknown("500", replayed=True)
INVALID_CREDENTIALS, NOT_SENT = Unknown("401", invalid_credentials=True), NotSent("no time")
NOT_FOUND, EXTERNAL = NotFound(), ExternalRefund("re_theirs", PRICE)

PROVIDER = Capabilities(idempotency_key_ttl=DAY, rejects_over_refund=True, poll=PollPlan(max_delay=HOUR))
ALLOWS_OVER_REFUND = replace(PROVIDER, rejects_over_refund=False)
WITHOUT_LOOKUPS = replace(PROVIDER, lookup=Lookup.NEVER)
SHORT_KEY_TTL = replace(PROVIDER, idempotency_key_ttl=4 * HOUR)
NOT_CONNECTED = None

REFUNDING, REFUND_PENDING, REFUNDED = State.REFUNDING, State.REFUND_PENDING, State.REFUNDED
WITH_SUPPORT, APPROVED, SUPPORT_DECLINED = State.WITH_SUPPORT, State.APPROVED, State.DECLINED
S, E = OperationStatus, Event


class Expected(NamedTuple):
    """The expected decision. If ``event`` is None, the state of the case does not change."""

    event: Event | None = None
    to_state: State | None = None
    status: OperationStatus | None = None
    due_in: float | None = None
    reason: str | None = None


def waits(seconds: float) -> Expected:
    return Expected(due_in=seconds)


REPEATS = Expected()

JUST_SENT: Mapping[str, Any] = {}
POLLED: Mapping[str, Any] = {"polls": 3}
YESTERDAY: Mapping[str, Any] = {"first": 25 * HOUR, "last": 25 * HOUR}
EMPTY_LOOKUPS: Mapping[str, Any] = {"first": 8 * HOUR, "last": 7 * HOUR, "empty_lookups": 3}
REPLAYS = {**EMPTY_LOOKUPS, "replayed": True}
REFUSED = {**EMPTY_LOOKUPS, "code": "no"}
TWO_DAYS: Mapping[str, Any] = {"first": 49 * HOUR, "last": 47 * HOUR, "polls": 9}

TABLE: list[tuple[str, State, Mapping[str, Any], Result, Capabilities | None, Expected]] = [
    # the result of the first call
    ("paid immediately", REFUNDING, JUST_SENT, Sent(PAID), PROVIDER, Expected(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    (
        "accepted",
        REFUNDING,
        JUST_SENT,
        Sent(PENDING),
        PROVIDER,
        Expected(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    (
        "accepted, but pending until the seller's balance is sufficient",
        REFUNDING,
        JUST_SENT,
        Sent(PENDING_WITHOUT_BALANCE),
        PROVIDER,
        Expected(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    ("a timeout", REFUNDING, JUST_SENT, Sent(TIMEOUT), PROVIDER, Expected(E.OUTCOME_UNKNOWN, REFUNDING, S.UNKNOWN, 20)),
    (
        "refused because of the provider's rate limit",
        REFUNDING,
        JUST_SENT,
        Sent(RATE_LIMITED),
        PROVIDER,
        Expected(E.OUTCOME_UNKNOWN, REFUNDING, S.UNKNOWN, 5_000),
    ),
    (
        "declined because the charge is already refunded, by us or externally",
        REFUNDING,
        JUST_SENT,
        Sent(ALREADY_REFUNDED),
        PROVIDER,
        Expected(E.OUTCOME_UNKNOWN, REFUNDING, S.UNKNOWN, 20),
    ),
    (
        "declined permanently",
        REFUNDING,
        JUST_SENT,
        Sent(DECLINED),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="provider_declined"),
    ),
    (
        "failed immediately",
        REFUNDING,
        JUST_SENT,
        Sent(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    (
        "low balance",
        REFUNDING,
        JUST_SENT,
        Sent(NO_BALANCE),
        PROVIDER,
        Expected(E.REFUND_DEFERRED, APPROVED, S.DECLINED, 40),
    ),
    (
        "the call was not sent",
        REFUNDING,
        JUST_SENT,
        Sent(NOT_SENT),
        PROVIDER,
        Expected(E.REFUND_DEFERRED, APPROVED, S.DECLINED, 40),
    ),
    (
        "invalid credentials",
        REFUNDING,
        JUST_SENT,
        Sent(INVALID_CREDENTIALS),
        PROVIDER,
        Expected(E.REFUND_DEFERRED, APPROVED, S.DECLINED, 40),
    ),
    (
        "low balance after many attempts: the maximum delay",
        REFUNDING,
        {"attempt": 40},
        Sent(NO_BALANCE),
        PROVIDER,
        Expected(E.REFUND_DEFERRED, APPROVED, S.DECLINED, backoff.MAX_RETRY_DELAY),
    ),
    (
        "low balance at the last attempt",
        REFUNDING,
        {"attempt": MAX_ATTEMPTS},
        Sent(NO_BALANCE),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="insufficient_balance"),
    ),
    # the lookup shows a new status
    ("found paid", REFUNDING, POLLED, LookedUp(PAID), PROVIDER, Expected(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    (
        "found accepted",
        REFUNDING,
        POLLED,
        LookedUp(PENDING),
        PROVIDER,
        Expected(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    (
        "pending, then paid",
        REFUND_PENDING,
        POLLED,
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PROVIDER_PAID, REFUNDED, S.PAID),
    ),
    (
        "pending, then failed",
        REFUND_PENDING,
        POLLED,
        LookedUp(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="returned_by_bank"),
    ),
    (
        "paid, then returned by the bank",
        REFUNDED,
        {"status": S.PAID},
        LookedUp(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="returned_by_bank"),
    ),
    (
        "pending, then failed because the seller's balance was too low",
        REFUND_PENDING,
        POLLED,
        LookedUp(FAILED_WITHOUT_BALANCE),
        PROVIDER,
        Expected(E.REFUND_DEFERRED, APPROVED, S.FAILED, 40),
    ),
    (
        "paid, then failed because the seller's balance was too low",
        REFUNDED,
        {"status": S.PAID},
        LookedUp(FAILED_WITHOUT_BALANCE),
        PROVIDER,
        Expected(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="insufficient_balance"),
    ),
    (
        "paid, and a lookup shows the bank reference",
        REFUNDED,
        {"status": S.PAID},
        LookedUp(PAID_WITH_BANK_REFERENCE),
        PROVIDER,
        Expected(E.BANK_REFERENCE_RECEIVED, REFUNDED, S.PAID),
    ),
    (
        "found paid after the case went to support",
        WITH_SUPPORT,
        {"status": S.UNKNOWN},
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PROVIDER_PAID, REFUNDED, S.PAID),
    ),
    (
        "found failed after the case went to support",
        WITH_SUPPORT,
        {"status": S.UNKNOWN},
        LookedUp(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    # the lookup shows nothing new: wait
    ("still unknown", REFUNDING, POLLED, LookedUp(TIMEOUT), PROVIDER, waits(160)),
    (
        "still unknown after many polls: the maximum delay",
        REFUNDING,
        {"polls": 40},
        LookedUp(TIMEOUT),
        PROVIDER,
        waits(backoff.MAX_POLL_DELAY),
    ),
    (
        "the response contains the delay until the next call",
        REFUNDING,
        POLLED,
        LookedUp(RATE_LIMITED),
        PROVIDER,
        waits(5_000),
    ),
    ("still pending", REFUND_PENDING, POLLED, LookedUp(PENDING), PROVIDER, waits(160)),
    (
        "still pending after many polls: the maximum delay",
        REFUND_PENDING,
        {"polls": 40},
        LookedUp(PENDING),
        PROVIDER,
        waits(3_600),
    ),
    (
        "pending, and the provider is not connected",
        REFUND_PENDING,
        {"polls": 40},
        LookedUp(TIMEOUT),
        NOT_CONNECTED,
        waits(1_800),
    ),
    ("recorded as pending, but not found", REFUND_PENDING, POLLED, LookedUp(NOT_FOUND), PROVIDER, waits(160)),
    ("recorded as paid, and found paid", REFUNDED, {"status": S.PAID}, LookedUp(PAID), PROVIDER, waits(20)),
    ("recorded as paid, but found pending", REFUNDED, {"status": S.PAID}, LookedUp(PENDING), PROVIDER, waits(20)),
    ("recorded as paid, but not found", REFUNDED, {"status": S.PAID}, LookedUp(NOT_FOUND), PROVIDER, waits(20)),
    (
        "with support, and found pending",
        WITH_SUPPORT,
        {"status": S.UNKNOWN},
        LookedUp(PENDING),
        PROVIDER,
        Expected(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    (
        "with support after a decline, and found paid under our key",
        WITH_SUPPORT,
        {"status": S.DECLINED},
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PROVIDER_PAID, REFUNDED, S.PAID),
    ),
    (
        "approved again after a failure, and found paid under the earlier key",
        APPROVED,
        {"status": S.DECLINED},
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PROVIDER_PAID, REFUNDED, S.PAID),
    ),
    (
        "declined by support, and found paid under our key",
        SUPPORT_DECLINED,
        {"status": S.DECLINED},
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PROVIDER_PAID, REFUNDED, S.PAID),
    ),
    (
        "declined by support, and found pending under our key",
        SUPPORT_DECLINED,
        {"status": S.FAILED},
        LookedUp(PENDING),
        PROVIDER,
        Expected(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    (
        "with support and recorded as failed, and found failed",
        WITH_SUPPORT,
        {"status": S.FAILED},
        LookedUp(FAILED),
        PROVIDER,
        waits(20),
    ),
    (
        "an external refund is found, and our refund may still be approved",
        State.WAITING_FOR_APPROVAL,
        {"status": S.WAITING_FOR_APPROVAL, "first": 8 * HOUR, "last": 7 * HOUR},
        LookedUp(EXTERNAL),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, reason="refunded_elsewhere"),
    ),
    (
        "with support, and the refund of one of several payments is found paid",
        WITH_SUPPORT,
        {"status": S.UNKNOWN, "is_last": False},
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PAYMENT_REFUNDED, WITH_SUPPORT, S.PAID, reason="partly_refunded"),
    ),
    (
        "declined by support, and the refund of one of several payments is found paid",
        SUPPORT_DECLINED,
        {"status": S.UNKNOWN, "is_last": False},
        LookedUp(PAID),
        PROVIDER,
        Expected(E.PAYMENT_REFUNDED, WITH_SUPPORT, S.PAID, reason="partly_refunded"),
    ),
    (
        "declined by support, and the refund of an earlier payment is found failed",
        SUPPORT_DECLINED,
        {"status": S.PAID, "is_last": False},
        LookedUp(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="returned_by_bank"),
    ),
    (
        "approved for a further payment, and the refund of an earlier payment is found failed",
        APPROVED,
        {"status": S.PAID, "is_last": False},
        LookedUp(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="returned_by_bank"),
    ),
    (
        "the refund of one of several payments is paid",
        REFUNDING,
        {"is_last": False},
        Sent(PAID),
        PROVIDER,
        Expected(E.PAYMENT_REFUNDED, APPROVED, S.PAID),
    ),
    (
        "the refund of one of several payments is declined for good",
        REFUNDING,
        {"is_last": False},
        Sent(Declined(DeclineReason.PERMANENT, "no")),
        PROVIDER,
        Expected(E.PAYMENT_DECLINED, APPROVED, S.DECLINED),
    ),
    (
        "one of several payments is too old for a refund",
        REFUNDING,
        {"is_last": False},
        Sent(Declined(DeclineReason.REFUND_WINDOW_EXPIRED, "old")),
        PROVIDER,
        Expected(E.PAYMENT_DECLINED, APPROVED, S.DECLINED),
    ),
    *(
        (
            f"the refund of one of several payments is declined: {reason}",
            REFUNDING,
            {"is_last": False},
            Sent(Declined(reason, "no")),
            PROVIDER,
            Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason=code),
        )
        for reason, code in {
            DeclineReason.DISPUTED: "dispute_open",
            DeclineReason.DISPUTE_LOST: "dispute_lost",
            DeclineReason.EXTERNALLY_REFUNDED: "refunded_elsewhere",
            DeclineReason.PAYMENT_DIFFERS: "payment_differs",
            DeclineReason.OTHER_SELLER: "other_seller",
            DeclineReason.NOT_CAPTURED: "not_captured",
        }.items()
    ),
    (
        "the refund of one of several payments fails at once",
        REFUNDING,
        {"is_last": False},
        Sent(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    (
        "an external refund is found, and our refund may still be made",
        REFUNDING,
        {"sends": 2},
        LookedUp(EXTERNAL),
        PROVIDER,
        waits(20),
    ),
    # the lookup finds no refund: send the call again, or wait
    ("sent again with the same key", REFUNDING, JUST_SENT, LookedUp(NOT_FOUND), PROVIDER, REPEATS),
    ("sent again while the key is valid", REFUNDING, {"first": 19 * HOUR}, LookedUp(NOT_FOUND), PROVIDER, REPEATS),
    (
        "not sent again in the last four hours before the key expires",
        REFUNDING,
        {"first": 20 * HOUR},
        LookedUp(NOT_FOUND),
        PROVIDER,
        waits(20),
    ),
    (
        "sent again while a short key is valid",
        REFUNDING,
        {"first": 3 * HOUR},
        LookedUp(NOT_FOUND),
        SHORT_KEY_TTL,
        REPEATS,
    ),
    (
        "not sent again in the last sixth of a short key's lifetime",
        REFUNDING,
        {"first": 3.4 * HOUR},
        LookedUp(NOT_FOUND),
        SHORT_KEY_TTL,
        waits(20),
    ),
    ("not sent again to an unconnected provider", REFUNDING, JUST_SENT, LookedUp(NOT_FOUND), NOT_CONNECTED, waits(20)),
    ("not sent again after a permanent decline", REFUNDING, {"code": "no"}, LookedUp(NOT_FOUND), PROVIDER, waits(20)),
    (
        "not sent again if the provider replayed an error for the key",
        REFUNDING,
        {"replayed": True},
        LookedUp(NOT_FOUND),
        PROVIDER,
        waits(20),
    ),
    # the result of the repeated call
    ("the repeat is paid", REFUNDING, POLLED, Repeated(PAID), PROVIDER, Expected(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    (
        "the repeat is accepted",
        REFUNDING,
        POLLED,
        Repeated(PENDING),
        PROVIDER,
        Expected(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    (
        "the repeat fails",
        REFUNDING,
        POLLED,
        Repeated(FAILED),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    (
        "a permanently declined repeat leaves the outcome unknown",
        REFUNDING,
        POLLED,
        Repeated(DECLINED),
        PROVIDER,
        waits(160),
    ),
    (
        "a temporarily declined repeat leaves the outcome unknown",
        REFUNDING,
        POLLED,
        Repeated(NO_BALANCE),
        PROVIDER,
        waits(160),
    ),
    ("a repeat that was not sent", REFUNDING, POLLED, Repeated(NOT_SENT), PROVIDER, waits(160)),
    ("a repeat with invalid credentials", REFUNDING, POLLED, Repeated(INVALID_CREDENTIALS), PROVIDER, waits(160)),
    ("a repeat with a replayed error", REFUNDING, POLLED, Repeated(REPLAYED), PROVIDER, waits(160)),
    # the polling ends
    (
        "an external refund is found, and our refund can no longer be made",
        REFUNDING,
        YESTERDAY,
        LookedUp(EXTERNAL),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "our refund was declined, and the lookup finds an external refund",
        REFUNDING,
        {"code": "already"},
        LookedUp(EXTERNAL),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "support has the case, an external refund is found, and our refund can no longer be made",
        WITH_SUPPORT,
        {**YESTERDAY, "status": S.UNKNOWN},
        LookedUp(EXTERNAL),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "support has the case, an external refund is found, and a person may still approve our refund",
        WITH_SUPPORT,
        {**YESTERDAY, "status": S.WAITING_FOR_APPROVAL},
        LookedUp(EXTERNAL),
        PROVIDER,
        waits(20),
    ),
    (
        "our refund was accepted, but the lookup finds only an external refund",
        REFUND_PENDING,
        YESTERDAY,
        LookedUp(EXTERNAL),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "certainly not refunded: a new operation follows",
        REFUNDING,
        REPLAYS,
        LookedUp(NOT_FOUND),
        PROVIDER,
        Expected(E.CONFIRMED_NOT_REFUNDED, APPROVED, S.ABSENT),
    ),
    (
        "certainly not refunded for the third time: support decides",
        REFUNDING,
        {**REPLAYS, "attempt": 3},
        LookedUp(NOT_FOUND),
        PROVIDER,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "a refund may exist, because the provider accepts a second full refund",
        REFUNDING,
        REPLAYS,
        LookedUp(NOT_FOUND),
        ALLOWS_OVER_REFUND,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "a refund may exist, because the provider has no lookups",
        REFUNDING,
        REPLAYS,
        LookedUp(NOT_FOUND),
        WITHOUT_LOOKUPS,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "too few lookups have found no refund",
        REFUNDING,
        {**REPLAYS, "empty_lookups": 2},
        LookedUp(NOT_FOUND),
        PROVIDER,
        waits(20),
    ),
    (
        "the provider may still carry out the call",
        REFUNDING,
        {**REPLAYS, "last": 5 * HOUR},
        LookedUp(NOT_FOUND),
        PROVIDER,
        waits(20),
    ),
    (
        "declined, and the lookup finds no refund",
        REFUNDING,
        REFUSED,
        LookedUp(NOT_FOUND),
        PROVIDER,
        Expected(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="provider_declined"),
    ),
    (
        "declined by a provider without lookups",
        REFUNDING,
        REFUSED,
        LookedUp(NOT_FOUND),
        WITHOUT_LOOKUPS,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    # after two or sixty days
    (
        "unknown for two days",
        REFUNDING,
        TWO_DAYS,
        LookedUp(TIMEOUT),
        PROVIDER,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "not connected for two days",
        REFUNDING,
        TWO_DAYS,
        LookedUp(TIMEOUT),
        NOT_CONNECTED,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    ("pending for two days", REFUND_PENDING, TWO_DAYS, LookedUp(PENDING), PROVIDER, waits(3_600)),
    (
        "pending for sixty days",
        REFUND_PENDING,
        {"first": 61 * DAY, "last": 61 * DAY},
        LookedUp(PENDING),
        PROVIDER,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "an external refund is found after two days, and our refund was sent again an hour ago",
        REFUNDING,
        {"first": 49 * HOUR, "last": HOUR, "sends": 5},
        LookedUp(EXTERNAL),
        PROVIDER,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, S.DECLINED, reason="outcome_unknown"),
    ),
    (
        "a repeated call is declined after two days",
        REFUNDING,
        TWO_DAYS,
        Repeated(DECLINED),
        PROVIDER,
        Expected(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "paid 99 days ago, and the lookup times out",
        REFUNDED,
        {"first": 99 * DAY, "last": 99 * DAY, "status": S.PAID},
        LookedUp(TIMEOUT),
        PROVIDER,
        waits(20),
    ),
]


def a_case(state: State) -> Case:
    return Case(
        id=UUID(int=1),
        state=state,
        seq=2,
        head_hash=b"\x01" * 32,
        fence=3,
        request=a_submitted_request(),
        seller_id="aurora",
    )


def an_operation(first: timedelta = HOUR, last: timedelta = HOUR, **changes: Any) -> RefundOperation:
    values: dict[str, Any] = {
        "case_id": UUID(int=1),
        "provider": "sandbox",
        "charge": "ok_1",
        "amount": PRICE,
        "key": "mb_1_1",
        "first_sent_at": NOON - first,
        "last_sent_at": NOON - last,
    }
    return RefundOperation(**values | changes)


@pytest.mark.parametrize(
    ("state", "operation", "result", "capabilities", "expected"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_each_result_leads_to_the_decision_in_the_table(
    state: State, operation: Mapping[str, Any], result: Result, capabilities: Capabilities | None, expected: Expected
) -> None:
    decision = decide(a_case(state), an_operation(**operation), result, NOON, RefundLimits(Timers(), capabilities))
    transition = decision.transition
    event, to_state = (transition.event, transition.to_state) if transition else (None, None)
    reasons: Any = transition.evidence.get("reasons", [{"code": None}]) if transition else [{"code": None}]
    assert expected == (event, to_state, decision.status, decision.due_in, reasons[0]["code"])
    assert decision.repeat is (expected == REPEATS)
    assert transition is None or transition.due_in == decision.due_in


POLLS: list[LookupResult] = [
    PAID,
    PAID_WITH_BANK_REFERENCE,
    PENDING,
    Pending("re_1", PRICE, customer_must_act=True),
    Mismatched("re_1", PRICE),
    WaitingForApproval("approval_required"),
    EXTERNAL,
    NOT_FOUND,
    TIMEOUT,
    REPLAYED,
    INVALID_CREDENTIALS,
    *(Failed("re_1", "no", reason) for reason in DeclineReason),
]
SENDINGS: list[RefundResult | NotSent] = [
    NOT_SENT,
    *(Declined(reason, "no") for reason in DeclineReason),
    *(result for result in POLLS if not isinstance(result, ExternalRefund | NotFound)),
]


def possible_results() -> Iterator[tuple[State, Result]]:
    """Yield each state with each result that a case may get in the state. Only a refund that is executed is sent."""
    yield from product(STATES_WITH_REFUND, map(LookedUp, POLLS))
    yield from product([REFUNDING], map(Sent, SENDINGS))
    yield from product([REFUNDING], map(Repeated, SENDINGS))


@pytest.mark.parametrize(
    ("age", "provider"), [(timedelta(minutes=1), PROVIDER), (20 * HOUR, WITHOUT_LOOKUPS), (70 * DAY, PROVIDER)], ids=str
)
def test_each_result_is_possible_in_each_state(age: timedelta, provider: Capabilities) -> None:
    """An InvalidTransitionError would roll the whole batch back, also the other cases in it."""
    limits, stored_errors = RefundLimits(Timers(), provider), [{}, {"replayed": True, "empty_lookups": 3}]
    operations = [
        an_operation(age, age, status=status, is_last=is_last, attempt=attempt, **stored_error)
        for status, is_last, attempt, stored_error in product(
            OperationStatus, (True, False), (1, MAX_ATTEMPTS), stored_errors
        )
    ]
    for state, result in possible_results():
        case = a_case(state)
        for operation in operations:
            decision = decide(case, operation, result, NOON, limits)
            assert decision.transition is None or decision.transition.case.state is state


@pytest.mark.parametrize("reason", sorted(RETRYABLE))
@pytest.mark.parametrize("state", POLLED_STATES)
def test_a_refund_that_failed_for_a_temporary_reason_is_tried_again_by_a_new_operation(
    state: State, reason: DeclineReason
) -> None:
    """After the failure, nobody can approve the earlier refund any more. So a new operation cannot pay a second time."""
    result = LookedUp(Failed("re_1", "no", reason))
    decision = decide(a_case(state), an_operation(), result, NOON, RefundLimits(Timers(), PROVIDER))
    assert decision.transition
    assert (decision.transition.event, decision.transition.to_state) == (E.REFUND_DEFERRED, APPROVED)
    assert decision.status in CLOSED_STATUSES


def test_the_decision_has_an_answer_only_if_the_provider_caused_the_transition() -> None:
    limits = RefundLimits(Timers(), PROVIDER)
    for _, state, operation, result, *_ in TABLE:
        decision = decide(a_case(state), an_operation(**operation), result, NOON, limits)
        by_the_provider = decision.transition is not None and decision.transition.actor != "resolve"
        assert (decision.answer is not None) is by_the_provider
        assert decision.answer is None or decision.status is status_of(decision.answer)


@pytest.mark.parametrize(("answer", "code"), [(DECLINED, "no"), (NO_BALANCE, None), (PAID, None), (NOT_SENT, None)])
def test_the_code_of_a_repeat_is_recorded_only_after_a_permanent_decline(
    answer: RefundResult | NotSent, code: str | None
) -> None:
    decision = decide(a_case(REFUNDING), an_operation(), Repeated(answer), NOON, RefundLimits(Timers(), PROVIDER))
    assert decision.refused == code


def test_a_temporarily_declined_repeat_counts_as_a_replayed_error() -> None:
    decision = decide(a_case(REFUNDING), an_operation(), Repeated(NO_BALANCE), NOON, RefundLimits(Timers(), PROVIDER))
    assert isinstance(decision.result, Unknown)
    assert decision.result.replayed


def test_a_bank_reference_is_recorded_without_an_email() -> None:
    decision = decide(
        a_case(REFUNDED),
        an_operation(status=S.PAID),
        LookedUp(PAID_WITH_BANK_REFERENCE),
        NOON,
        RefundLimits(Timers(), PROVIDER),
    )
    assert decision.transition
    assert (decision.transition.evidence["bank_reference"], decision.transition.notify) == ("ARN 7", False)


@pytest.mark.parametrize("decline_reason", sorted(set(DeclineReason) - {DeclineReason.ALREADY_REFUNDED}))
def test_support_reads_the_sentence_of_each_decline_reason(decline_reason: DeclineReason) -> None:
    last = an_operation(attempt=MAX_ATTEMPTS)
    decision = decide(
        a_case(REFUNDING), last, Sent(Declined(decline_reason, "no")), NOON, RefundLimits(Timers(), PROVIDER)
    )
    assert decision.transition
    assert decision.transition.to_state is WITH_SUPPORT
    assert decision.transition.why == SUPPORT_REASONS[decline_reason].support


def test_jitter_changes_our_delays_but_not_the_delays_of_the_provider() -> None:
    limits = RefundLimits(Timers(), PROVIDER, jitter=0.8)

    def due_in(state: State, result: Result) -> float | None:
        return decide(a_case(state), an_operation(), result, NOON, limits).due_in

    assert due_in(REFUNDING, LookedUp(TIMEOUT)) == pytest.approx(16)
    assert due_in(REFUNDING, Sent(NO_BALANCE)) == pytest.approx(32)
    assert due_in(REFUNDING, LookedUp(RATE_LIMITED)) == 5_000
    assert due_in(REFUND_PENDING, LookedUp(PENDING)) == 20
    assert {0.8 <= backoff.jitter() <= 1.2 for _ in range(1_000)} == {True}


@pytest.mark.parametrize(
    ("result", "task_kind"),
    [
        (NO_BALANCE, SupportTaskKind.INSUFFICIENT_BALANCE),
        (FAILED_WITHOUT_BALANCE, SupportTaskKind.INSUFFICIENT_BALANCE),
        (PENDING_WITHOUT_BALANCE, SupportTaskKind.INSUFFICIENT_BALANCE),
        (INVALID_CREDENTIALS, SupportTaskKind.INVALID_CREDENTIALS),
        (Declined(DeclineReason.INVALID_CREDENTIALS, "401"), SupportTaskKind.INVALID_CREDENTIALS),
        (DECLINED, None),
        (PAID, None),
        (NOT_FOUND, None),
    ],
)
def test_two_cases_with_the_same_problem_make_one_report_for_the_day(
    result: RefundResult | LookupResult, task_kind: SupportTaskKind | None
) -> None:
    case, operation = a_case(REFUNDING), an_operation()
    reports = daily_reports([(case, operation, result), (replace(case, id=UUID(int=2)), operation, result)], NOON)
    assert [report.kind for report in reports] == ([task_kind] if task_kind else [])
    for report in reports:
        assert report.seller_id == ("aurora" if task_kind is SupportTaskKind.INSUFFICIENT_BALANCE else None)
        assert (report.subject.endswith("at sandbox on 2026-06-15"), report.evidence["first_case"]) == (
            True,
            str(case.id),
        )


def test_an_operation_is_closed_if_it_is_declined_failed_or_absent() -> None:
    assert set(OperationStatus) == OPEN_STATUSES | CLOSED_STATUSES
    assert not OPEN_STATUSES & CLOSED_STATUSES
    assert [an_operation(status=status).is_open for status in (S.SENT, S.UNKNOWN, S.PENDING, S.PAID)] == [True] * 4
    assert [an_operation(status=status).is_open for status in (S.DECLINED, S.FAILED, S.ABSENT)] == [False] * 3
