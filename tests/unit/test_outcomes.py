"""The decision about a provider's result, row by row: case, operation, result, and what they lead to."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
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
    NotFound,
    Paid,
    Pending,
    PollPlan,
    RefundResult,
    Unknown,
)
from domain.refund_operations import CLOSED_STATUSES, OPEN_STATUSES, OperationStatus, RefundOperation, status_of
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from tests.sample_data import NOON, asked
from worker.provider_client import NotSent
from worker.refunds import backoff
from worker.refunds.outcomes import (
    MAX_ATTEMPTS,
    SUPPORT_REASONS,
    LookedUp,
    Repeated,
    Result,
    Sent,
    daily_reports,
    decide,
)
from worker.refunds.provider_limits import RefundLimits

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRICE = Money(4900, "EUR")
NO_MONEY = DeclineReason.INSUFFICIENT_BALANCE

PAID, TRACED = Paid("re_1", PRICE), Paid("re_1", PRICE, "ARN 7")
PENDING, SHORT = Pending("re_1", PRICE), Pending("re_1", PRICE, insufficient_balance=True)
FAILED, FAILED_FOR_NOW = Failed("re_1", "closed"), Failed("re_1", "balance", NO_MONEY)
DECLINED, LATER, TAKEN = (
    Declined(DeclineReason.PERMANENT, "no"),
    Declined(NO_MONEY, "funds"),
    Declined(DeclineReason.ALREADY_REFUNDED, "x"),
)
LOST, BUSY, REPLAYED = Unknown("timeout"), Unknown("429", retry_after=5_000.0), Unknown("500", replayed=True)
NO_ACCESS, UNSENT = Unknown("401", invalid_credentials=True), NotSent("no time")
NOTHING, THEIRS = NotFound(), ExternalRefund("re_theirs", PRICE)

CAPPED = Capabilities(idempotency_key_ttl=DAY, rejects_over_refund=True, poll=PollPlan(max_delay=HOUR))
PLAIN = replace(CAPPED, rejects_over_refund=False)
SILENT = replace(CAPPED, lookup=Lookup.NEVER)
SHORT_LIVED = replace(CAPPED, idempotency_key_ttl=4 * HOUR)
GONE = None

REFUNDING, REFUND_PENDING, REFUNDED = State.REFUNDING, State.REFUND_PENDING, State.REFUNDED
WITH_SUPPORT, APPROVED = State.WITH_SUPPORT, State.APPROVED
S, E = OperationStatus, Event


class Leads(NamedTuple):
    """What a result leads to. Without an event the case stays where it is."""

    event: Event | None = None
    there: State | None = None
    status: OperationStatus | None = None
    due_in: float | None = None
    reason: str | None = None


def waits(seconds: float) -> Leads:
    return Leads(due_in=seconds)


REPEATS = Leads()

JUST_SENT: Mapping[str, Any] = {}
POLLED: Mapping[str, Any] = {"polls": 3}
YESTERDAY: Mapping[str, Any] = {"first": 25 * HOUR, "last": 25 * HOUR}
LAST_WORD: Mapping[str, Any] = {"first": 8 * HOUR, "last": 7 * HOUR, "empty_lookups": 3}
REPLAYS = {**LAST_WORD, "replayed": True}
REFUSED = {**LAST_WORD, "code": "no"}
TWO_DAYS: Mapping[str, Any] = {"first": 49 * HOUR, "last": 47 * HOUR, "polls": 9}

TABLE: list[tuple[str, State, Mapping[str, Any], Result, Capabilities | None, Leads]] = [
    # the first sending
    ("paid at once", REFUNDING, JUST_SENT, Sent(PAID), CAPPED, Leads(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    ("accepted", REFUNDING, JUST_SENT, Sent(PENDING), CAPPED, Leads(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING)),
    (
        "accepted, and waits for the balance",
        REFUNDING,
        JUST_SENT,
        Sent(SHORT),
        CAPPED,
        Leads(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    ("a lost answer", REFUNDING, JUST_SENT, Sent(LOST), CAPPED, Leads(E.OUTCOME_UNKNOWN, REFUNDING, S.UNKNOWN, 20)),
    (
        "too many calls",
        REFUNDING,
        JUST_SENT,
        Sent(BUSY),
        CAPPED,
        Leads(E.OUTCOME_UNKNOWN, REFUNDING, S.UNKNOWN, 5_000),
    ),
    (
        "refunded already, by whomever",
        REFUNDING,
        JUST_SENT,
        Sent(TAKEN),
        CAPPED,
        Leads(E.OUTCOME_UNKNOWN, REFUNDING, S.UNKNOWN, 20),
    ),
    (
        "declined for good",
        REFUNDING,
        JUST_SENT,
        Sent(DECLINED),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="provider_declined"),
    ),
    (
        "failed at once",
        REFUNDING,
        JUST_SENT,
        Sent(FAILED),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    ("no balance", REFUNDING, JUST_SENT, Sent(LATER), CAPPED, Leads(E.REFUND_DEFERRED, APPROVED, S.DECLINED, 40)),
    (
        "nothing was sent",
        REFUNDING,
        JUST_SENT,
        Sent(UNSENT),
        CAPPED,
        Leads(E.REFUND_DEFERRED, APPROVED, S.DECLINED, 40),
    ),
    ("no access", REFUNDING, JUST_SENT, Sent(NO_ACCESS), CAPPED, Leads(E.REFUND_DEFERRED, APPROVED, S.DECLINED, 40)),
    (
        "the longest delay",
        REFUNDING,
        {"attempt": 40},
        Sent(LATER),
        CAPPED,
        Leads(E.REFUND_DEFERRED, APPROVED, S.DECLINED, backoff.MAX_RETRY_DELAY),
    ),
    (
        "no balance at the last attempt",
        REFUNDING,
        {"attempt": MAX_ATTEMPTS},
        Sent(LATER),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="insufficient_balance"),
    ),
    # a look-up with news
    ("found paid", REFUNDING, POLLED, LookedUp(PAID), CAPPED, Leads(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    (
        "found accepted",
        REFUNDING,
        POLLED,
        LookedUp(PENDING),
        CAPPED,
        Leads(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING),
    ),
    ("paid at last", REFUND_PENDING, POLLED, LookedUp(PAID), CAPPED, Leads(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    (
        "failed late",
        REFUND_PENDING,
        POLLED,
        LookedUp(FAILED),
        CAPPED,
        Leads(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="returned_by_bank"),
    ),
    (
        "came back from the bank",
        REFUNDED,
        {"status": S.PAID},
        LookedUp(FAILED),
        CAPPED,
        Leads(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="returned_by_bank"),
    ),
    (
        "failed for want of a balance",
        REFUND_PENDING,
        POLLED,
        LookedUp(FAILED_FOR_NOW),
        CAPPED,
        Leads(E.REFUND_DEFERRED, APPROVED, S.FAILED, 40),
    ),
    (
        "came back for want of a balance",
        REFUNDED,
        {"status": S.PAID},
        LookedUp(FAILED_FOR_NOW),
        CAPPED,
        Leads(E.PROVIDER_FAILED_LATE, WITH_SUPPORT, S.FAILED, reason="insufficient_balance"),
    ),
    (
        "a bank reference",
        REFUNDED,
        {"status": S.PAID},
        LookedUp(TRACED),
        CAPPED,
        Leads(E.BANK_REFERENCE_RECEIVED, REFUNDED, S.PAID),
    ),
    (
        "paid after support took over",
        WITH_SUPPORT,
        {"status": S.UNKNOWN},
        LookedUp(PAID),
        CAPPED,
        Leads(E.PROVIDER_PAID, REFUNDED, S.PAID),
    ),
    (
        "failed after support took over",
        WITH_SUPPORT,
        {"status": S.UNKNOWN},
        LookedUp(FAILED),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    # a look-up without news: wait
    ("still unknown", REFUNDING, POLLED, LookedUp(LOST), CAPPED, waits(160)),
    (
        "still unknown, after many polls",
        REFUNDING,
        {"polls": 40},
        LookedUp(LOST),
        CAPPED,
        waits(backoff.MAX_POLL_DELAY),
    ),
    ("the provider says when", REFUNDING, POLLED, LookedUp(BUSY), CAPPED, waits(5_000)),
    ("still pending", REFUND_PENDING, POLLED, LookedUp(PENDING), CAPPED, waits(160)),
    ("still pending, by the provider's plan", REFUND_PENDING, {"polls": 40}, LookedUp(PENDING), CAPPED, waits(3_600)),
    ("pending, and the provider is not connected", REFUND_PENDING, {"polls": 40}, LookedUp(LOST), GONE, waits(1_800)),
    ("pending, and not shown", REFUND_PENDING, POLLED, LookedUp(NOTHING), CAPPED, waits(160)),
    ("known as paid", REFUNDED, {"status": S.PAID}, LookedUp(PAID), CAPPED, waits(20)),
    ("paid, and shown as pending", REFUNDED, {"status": S.PAID}, LookedUp(PENDING), CAPPED, waits(20)),
    ("paid, and not shown", REFUNDED, {"status": S.PAID}, LookedUp(NOTHING), CAPPED, waits(20)),
    ("support waits for it too", WITH_SUPPORT, {"status": S.UNKNOWN}, LookedUp(PENDING), CAPPED, waits(20)),
    ("support was told", WITH_SUPPORT, {"status": S.FAILED}, LookedUp(FAILED), CAPPED, waits(20)),
    ("an external refund, ours may follow", REFUNDING, {"sends": 2}, LookedUp(THEIRS), CAPPED, waits(20)),
    # nothing is there: send again, or not
    ("sent again under its key", REFUNDING, JUST_SENT, LookedUp(NOTHING), CAPPED, REPEATS),
    ("sent again while the key lives", REFUNDING, {"first": 19 * HOUR}, LookedUp(NOTHING), CAPPED, REPEATS),
    ("not in the key's last hours", REFUNDING, {"first": 20 * HOUR}, LookedUp(NOTHING), CAPPED, waits(20)),
    ("not when the key lives only hours", REFUNDING, JUST_SENT, LookedUp(NOTHING), SHORT_LIVED, waits(20)),
    ("not to a provider that is not connected", REFUNDING, JUST_SENT, LookedUp(NOTHING), GONE, waits(20)),
    ("not after a final refusal", REFUNDING, {"code": "no"}, LookedUp(NOTHING), CAPPED, waits(20)),
    ("not when the key repeats an error", REFUNDING, {"replayed": True}, LookedUp(NOTHING), CAPPED, waits(20)),
    # the answer to a repeat
    ("paid by the repeat", REFUNDING, POLLED, Repeated(PAID), CAPPED, Leads(E.PROVIDER_PAID, REFUNDED, S.PAID)),
    ("accepted", REFUNDING, POLLED, Repeated(PENDING), CAPPED, Leads(E.PROVIDER_ACCEPTED, REFUND_PENDING, S.PENDING)),
    (
        "the repeat shows a failure",
        REFUNDING,
        POLLED,
        Repeated(FAILED),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.FAILED, reason="provider_declined"),
    ),
    ("a refused repeat proves nothing", REFUNDING, POLLED, Repeated(DECLINED), CAPPED, waits(160)),
    ("nor does a refusal for now", REFUNDING, POLLED, Repeated(LATER), CAPPED, waits(160)),
    ("a repeat that was not sent", REFUNDING, POLLED, Repeated(UNSENT), CAPPED, waits(160)),
    ("a repeat without access", REFUNDING, POLLED, Repeated(NO_ACCESS), CAPPED, waits(160)),
    ("a replayed error", REFUNDING, POLLED, Repeated(REPLAYED), CAPPED, waits(160)),
    # the provider answered for the last time: give up
    (
        "an external refund, and ours cannot follow",
        REFUNDING,
        YESTERDAY,
        LookedUp(THEIRS),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "an external refund, because of which ours was refused",
        REFUNDING,
        {"code": "already"},
        LookedUp(THEIRS),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "an external refund after ours was accepted",
        REFUND_PENDING,
        YESTERDAY,
        LookedUp(THEIRS),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="refunded_elsewhere"),
    ),
    (
        "proven absent: a new operation",
        REFUNDING,
        REPLAYS,
        LookedUp(NOTHING),
        CAPPED,
        Leads(E.CONFIRMED_NOT_REFUNDED, APPROVED, S.ABSENT),
    ),
    (
        "proven absent three times: contradictory",
        REFUNDING,
        {**REPLAYS, "attempt": 3},
        LookedUp(NOTHING),
        CAPPED,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "no proof without the provider's cap",
        REFUNDING,
        REPLAYS,
        LookedUp(NOTHING),
        PLAIN,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "no proof without look-ups",
        REFUNDING,
        REPLAYS,
        LookedUp(NOTHING),
        SILENT,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    ("too few look-ups", REFUNDING, {**REPLAYS, "empty_lookups": 2}, LookedUp(NOTHING), CAPPED, waits(20)),
    ("may still be under way", REFUNDING, {**REPLAYS, "last": 5 * HOUR}, LookedUp(NOTHING), CAPPED, waits(20)),
    (
        "refused, and not there",
        REFUNDING,
        REFUSED,
        LookedUp(NOTHING),
        CAPPED,
        Leads(E.PROVIDER_DECLINED, WITH_SUPPORT, S.DECLINED, reason="provider_declined"),
    ),
    (
        "refused, by a provider without look-ups",
        REFUNDING,
        REFUSED,
        LookedUp(NOTHING),
        SILENT,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    # two days passed, or sixty
    (
        "unknown for two days",
        REFUNDING,
        TWO_DAYS,
        LookedUp(LOST),
        CAPPED,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "not connected for two days",
        REFUNDING,
        TWO_DAYS,
        LookedUp(LOST),
        GONE,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    ("pending for two days", REFUND_PENDING, TWO_DAYS, LookedUp(PENDING), CAPPED, waits(3_600)),
    (
        "pending for sixty days",
        REFUND_PENDING,
        {"first": 61 * DAY, "last": 61 * DAY},
        LookedUp(PENDING),
        CAPPED,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "an external refund for two days, and ours just sent again",
        REFUNDING,
        {"first": 49 * HOUR, "last": HOUR, "sends": 5},
        LookedUp(THEIRS),
        CAPPED,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, S.DECLINED, reason="outcome_unknown"),
    ),
    (
        "a repeat refused after two days",
        REFUNDING,
        TWO_DAYS,
        Repeated(DECLINED),
        CAPPED,
        Leads(E.POLLING_GAVE_UP, WITH_SUPPORT, reason="outcome_unknown"),
    ),
    (
        "paid long ago",
        REFUNDED,
        {"first": 99 * DAY, "last": 99 * DAY, "status": S.PAID},
        LookedUp(LOST),
        CAPPED,
        waits(20),
    ),
]


def a_case(state: State) -> Case:
    return Case(
        id=UUID(int=1), state=state, seq=2, head_hash=b"\x01" * 32, fence=3, request=asked(), seller_id="aurora"
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
    ("state", "operation", "result", "capabilities", "leads"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_a_result_leads_where_the_table_says(
    state: State, operation: Mapping[str, Any], result: Result, capabilities: Capabilities | None, leads: Leads
) -> None:
    decision = decide(a_case(state), an_operation(**operation), result, NOON, RefundLimits(Timers(), capabilities))
    step = decision.transition
    reasons: Any = step.evidence.get("reasons", [{"code": None}]) if step else [{"code": None}]
    assert leads == (step and step.event, step and step.to_state, decision.status, decision.due_in, reasons[0]["code"])
    assert decision.repeat is (leads == REPEATS)
    assert step is None or step.due_in == decision.due_in


def test_only_what_the_provider_answered_is_written_down_as_its_answer() -> None:
    limits = RefundLimits(Timers(), CAPPED)
    for _, state, operation, result, *_ in TABLE:
        decision = decide(a_case(state), an_operation(**operation), result, NOON, limits)
        by_the_provider = decision.transition is not None and decision.transition.actor != "resolve"
        assert (decision.answer is not None) is by_the_provider
        assert decision.answer is None or decision.status is status_of(decision.answer)


@pytest.mark.parametrize(("answer", "code"), [(DECLINED, "no"), (LATER, None), (PAID, None), (UNSENT, None)])
def test_the_code_of_a_repeat_that_was_refused_for_good_is_kept(
    answer: RefundResult | NotSent, code: str | None
) -> None:
    decision = decide(a_case(REFUNDING), an_operation(), Repeated(answer), NOON, RefundLimits(Timers(), CAPPED))
    assert decision.refused == code


def test_a_repeat_that_is_refused_for_now_says_nothing_new_under_its_key() -> None:
    decision = decide(a_case(REFUNDING), an_operation(), Repeated(LATER), NOON, RefundLimits(Timers(), CAPPED))
    assert isinstance(decision.result, Unknown)
    assert decision.result.replayed


def test_a_bank_reference_reaches_history_and_no_mailbox() -> None:
    decision = decide(
        a_case(REFUNDED), an_operation(status=S.PAID), LookedUp(TRACED), NOON, RefundLimits(Timers(), CAPPED)
    )
    assert decision.transition
    assert (decision.transition.evidence["bank_reference"], decision.transition.notify) == ("ARN 7", False)


@pytest.mark.parametrize("refusal", sorted(set(DeclineReason) - {DeclineReason.ALREADY_REFUNDED}))
def test_every_refusal_has_a_reason_that_support_reads(refusal: DeclineReason) -> None:
    last = an_operation(attempt=MAX_ATTEMPTS)
    decision = decide(a_case(REFUNDING), last, Sent(Declined(refusal, "no")), NOON, RefundLimits(Timers(), CAPPED))
    assert decision.transition
    assert decision.transition.to_state is WITH_SUPPORT
    assert decision.transition.why == SUPPORT_REASONS[refusal].support


def test_jitter_spreads_polls_and_retries_but_no_instant_that_the_provider_named() -> None:
    early = RefundLimits(Timers(), CAPPED, jitter=0.8)

    def due_in(state: State, result: Result) -> float | None:
        return decide(a_case(state), an_operation(), result, NOON, early).due_in

    assert due_in(REFUNDING, LookedUp(LOST)) == pytest.approx(16)
    assert due_in(REFUNDING, Sent(LATER)) == pytest.approx(32)
    assert due_in(REFUNDING, LookedUp(BUSY)) == 5_000
    assert due_in(REFUND_PENDING, LookedUp(PENDING)) == 20
    assert {0.8 <= backoff.jitter() <= 1.2 for _ in range(1_000)} == {True}


@pytest.mark.parametrize(
    ("result", "trouble"),
    [
        (LATER, SupportTaskKind.INSUFFICIENT_BALANCE),
        (FAILED_FOR_NOW, SupportTaskKind.INSUFFICIENT_BALANCE),
        (SHORT, SupportTaskKind.INSUFFICIENT_BALANCE),
        (NO_ACCESS, SupportTaskKind.INVALID_CREDENTIALS),
        (Declined(DeclineReason.INVALID_CREDENTIALS, "401"), SupportTaskKind.INVALID_CREDENTIALS),
        (DECLINED, None),
        (PAID, None),
        (NOTHING, None),
    ],
)
def test_a_low_balance_and_refused_credentials_are_reported_once_a_day(
    result: RefundResult | LookupResult, trouble: SupportTaskKind | None
) -> None:
    case, operation = a_case(REFUNDING), an_operation()
    reports = daily_reports([(case, operation, result), (replace(case, id=UUID(int=2)), operation, result)], NOON)
    assert [report.kind for report in reports] == ([trouble] if trouble else [])
    for report in reports:
        assert report.seller_id == ("aurora" if trouble is SupportTaskKind.INSUFFICIENT_BALANCE else None)
        assert (report.subject.endswith("at sandbox on 2026-06-15"), report.evidence["first_case"]) == (
            True,
            str(case.id),
        )


def test_an_operation_is_open_while_money_may_have_left() -> None:
    assert set(OperationStatus) == OPEN_STATUSES | CLOSED_STATUSES
    assert not OPEN_STATUSES & CLOSED_STATUSES
    assert [an_operation(status=status).is_open for status in (S.SENT, S.UNKNOWN, S.PENDING, S.PAID)] == [True] * 4
    assert [an_operation(status=status).is_open for status in (S.DECLINED, S.FAILED, S.ABSENT)] == [False] * 3
