"""Dispatch: which handler works on a queue's messages, in a Celery task as well as in direct mode.

A delivery is counted before the handler runs. The count is undone if another worker held the case. First deliveries run as one
batch. A case whose worker crashed is retried in a small batch, then alone; after three crashes it goes to support
(poison-message isolation).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from domain.cases import Case, Transition
from domain.messages import (
    CaseEmailsDue,
    InquiryEmailsDue,
    RefundApproved,
    RefundOutcomeUnknown,
    RefundRequested,
    SupportNeeded,
    WebhookEventsReceived,
    WorkItems,
)
from domain.reason_codes import ReasonCode, RuleResult
from domain.states import Event, State
from worker.context import WorkerContext
from worker.emails.case_emails import send_case_emails
from worker.emails.inquiry_emails import send_inquiry_emails
from worker.refunds.evaluation import evaluate, reasons
from worker.refunds.execution import execute, sending_ends
from worker.refunds.resolution import resolve
from worker.support_tasks.publishing import publish
from worker.webhook_events.processing import process_webhook_events

log = structlog.get_logger()

MAX_DELIVERIES = 3
SMALL_BATCH = 10  # a hundred cases one by one take longer than a worker may: after an outage it would never catch up

Do = Callable[[WorkerContext, Sequence[UUID]], Collection[UUID] | None]
"""A handler. If deliveries are counted, it returns the cases that it could lock or lease."""


@dataclass(frozen=True, slots=True)
class QueueHandler:
    """A handler, and the states of the cases that it works on."""

    handle: Do
    states: tuple[State, ...] = ()
    """Empty if the ids are not ids of cases, or the handler decides nothing about them: then no deliveries are counted."""


def evaluate_and_execute(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """Evaluates cases, and pays those that may be paid. If the worker crashes between the two commits, the sweep goes on.

    Returns the cases that it could lock.
    """
    with context.records.work() as work:
        cases = work.cases.lock(ids, state=State.RECEIVED)
        approved = evaluate(work, context, cases)
    if approved:
        execute(context, approved)
    return [case.id for case in cases]


HANDLERS: dict[type[WorkItems], QueueHandler] = {
    RefundRequested: QueueHandler(evaluate_and_execute, states=(State.RECEIVED,)),
    RefundApproved: QueueHandler(execute, states=(State.APPROVED,)),
    RefundOutcomeUnknown: QueueHandler(resolve, states=(State.REFUNDING, State.REFUND_PENDING)),
    WebhookEventsReceived: QueueHandler(process_webhook_events),
    SupportNeeded: QueueHandler(publish),
    CaseEmailsDue: QueueHandler(send_case_emails),
    InquiryEmailsDue: QueueHandler(send_inquiry_emails),
}


def handle(context: WorkerContext, kind: type[WorkItems], ids: Sequence[UUID]) -> None:
    """Runs the handler of this kind of message."""
    lane = HANDLERS[kind]
    if not lane.states:
        lane.handle(context, ids)
        return
    for counts in _counted(context, ids, lane.states):
        held = set(lane.handle(context, list(counts)) or ())
        if left := {case: count for case, count in counts.items() if case not in held}:
            with context.records.work() as work:
                work.cases.uncount_deliveries(left, states=lane.states)


def _counted(context: WorkerContext, ids: Sequence[UUID], here: Sequence[State]) -> Iterator[dict[UUID, int]]:
    """Yields the cases to work on together, each with its deliveries, which are counted just before.

    Cases for which no time is left stay uncounted, and the sweep sends them again.
    """
    apart = context.settings.timers.task_time_limit_seconds  # by then the worker that began has finished, or was killed
    ends = sending_ends(context)
    with context.records.work() as work:
        fresh = work.cases.count_deliveries(ids, states=here, apart=apart)
        rest = [case for case in ids if case not in fresh]
        suspects = work.cases.crashed_before(rest, states=here, apart=apart) if rest else {}
    if fresh:
        yield {case: fresh[case] for case in ids if case in fresh}
    for group in _groups(suspects):
        if context.monotonic() > ends:
            return
        with context.records.work() as work:
            counts = work.cases.count_deliveries(group, states=here, apart=apart, include_crashed=True)
        if worn := [case for case, count in counts.items() if count > MAX_DELIVERIES]:
            _hand_over(context, worn, here)
        if sound := {case: count for case, count in counts.items() if case not in worn}:
            yield sound


def _groups(suspects: Mapping[UUID, int]) -> Iterator[Sequence[UUID]]:
    once = [case for case, count in suspects.items() if count == 1]
    yield from (once[n : n + SMALL_BATCH] for n in range(0, len(once), SMALL_BATCH))
    yield from ([case] for case, count in suspects.items() if count > 1)


def _hand_over(context: WorkerContext, ids: Sequence[UUID], here: Sequence[State]) -> None:
    """Hands cases that crash workers over to support; if money may have left, support reads that the outcome is unknown."""
    with context.records.work() as work:
        cases = work.cases.lease(ids, states=here, seconds=context.settings.timers.lease_seconds)
        work.history.record([_ended(case) for case in cases])
    log.error("case_crashed_workers", ids=[str(case) for case in ids])


def _ended(case: Case) -> Transition:
    codes = [ReasonCode.CRASHED_WORKERS]
    if case.state in {State.REFUNDING, State.REFUND_PENDING}:
        codes.append(ReasonCode.OUTCOME_UNKNOWN)
    step = case.after(
        Event.CRASHED_WORKERS,
        actor="worker",
        why=" ".join(code.support for code in codes),
        evidence={"reasons": reasons([RuleResult("payment", code) for code in codes])},
    )
    # Without a purchase no customer is known, so there is no address for an e-mail.
    return replace(step, notify=case.purchase is not None)
