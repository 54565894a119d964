"""Dispatches the ids in a message to the handler of its queue, both in a Celery task and in brokerless mode.

A delivery of a case is counted before the handler runs. The count is undone if another worker has locked the case. Cases that
are delivered for the first time are processed in one batch. A case whose worker crashed is processed again in a small batch, and,
after a second crash, alone. After three crashes, the case goes to support (poison-message isolation).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from domain.cases import Case, Transition
from domain.messages import (
    CaseEmailsDue,
    HelpdeskTicketsDue,
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
from worker.helpdesks.sending import send_tickets
from worker.refunds.evaluation import evaluate, reasons
from worker.refunds.execution import execute, sending_ends
from worker.refunds.give_up import POLLED_STATES
from worker.refunds.resolution import resolve
from worker.support_tasks.publishing import publish
from worker.webhook_events.processing import process_webhook_events

log = structlog.get_logger()

MAX_DELIVERIES = 3
SMALL_BATCH = 10  # cases; single cases would be safer, but 100 single cases take too long for one task

Handler = Callable[[WorkerContext, Sequence[UUID]], Collection[UUID] | None]
"""A function that processes ids. If deliveries are counted, it returns the ids of the cases that it could lock or lease."""


@dataclass(frozen=True, slots=True)
class QueueHandler:
    """A handler, and the states of the cases that it processes."""

    handle: Handler
    states: tuple[State, ...] = ()
    """Empty if the ids are not case ids, or if the handler changes no states. Without states, deliveries are not counted."""


def evaluate_and_execute(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """Evaluate cases, and send the refunds of approved cases. Return the ids of the cases that could be locked.

    The evaluation is committed first. If the worker crashes before it has sent the refunds, the sweep publishes the approved
    cases again.
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
    RefundOutcomeUnknown: QueueHandler(resolve, states=POLLED_STATES),
    WebhookEventsReceived: QueueHandler(process_webhook_events),
    SupportNeeded: QueueHandler(publish),
    CaseEmailsDue: QueueHandler(send_case_emails),
    InquiryEmailsDue: QueueHandler(send_inquiry_emails),
    HelpdeskTicketsDue: QueueHandler(send_tickets),
}


def handle(context: WorkerContext, kind: type[WorkItems], ids: Sequence[UUID]) -> None:
    """Process these ids with the handler for messages of this kind."""
    handler = HANDLERS[kind]
    if not handler.states:
        handler.handle(context, ids)
        return
    for counts in _count_deliveries(context, ids, handler.states):
        processed = set(handler.handle(context, list(counts)) or ())
        if skipped := {case_id: count for case_id, count in counts.items() if case_id not in processed}:
            with context.records.work() as work:
                work.cases.uncount_deliveries(skipped, states=handler.states)


def _count_deliveries(
    context: WorkerContext, ids: Sequence[UUID], states: Sequence[State]
) -> Iterator[dict[UUID, int]]:
    """Yield groups of cases to process together, each case with its number of deliveries.

    The deliveries of a group are counted before the group is yielded. If the Celery task has no time left, the remaining
    cases are not counted, and the sweep sends them again.
    """
    # After this number of seconds, the worker of an earlier delivery has certainly ended or was killed.
    apart = context.settings.timers.task_time_limit_seconds
    deadline = sending_ends(context)
    with context.records.work() as work:
        first_deliveries = work.cases.count_deliveries(ids, states=states, apart=apart)
        other_ids = [case_id for case_id in ids if case_id not in first_deliveries]
        crashed_before = work.cases.crashed_before(other_ids, states=states, apart=apart) if other_ids else {}
    if first_deliveries:
        yield {case_id: first_deliveries[case_id] for case_id in ids if case_id in first_deliveries}
    for batch in _split_batches(crashed_before):
        if context.monotonic() > deadline:
            return
        with context.records.work() as work:
            counts = work.cases.count_deliveries(batch, states=states, apart=apart, include_crashed=True)
        if exhausted := [case_id for case_id, count in counts.items() if count > MAX_DELIVERIES]:
            _hand_over_to_support(context, exhausted, states)
        if retried := {case_id: count for case_id, count in counts.items() if case_id not in exhausted}:
            yield retried


def _split_batches(crashed_before: Mapping[UUID, int]) -> Iterator[Sequence[UUID]]:
    """Yield small batches of the cases whose worker crashed once. Then yield the remaining cases one by one."""
    crashed_once = [case_id for case_id, count in crashed_before.items() if count == 1]
    yield from (crashed_once[start : start + SMALL_BATCH] for start in range(0, len(crashed_once), SMALL_BATCH))
    yield from ([case_id] for case_id, count in crashed_before.items() if count > 1)


def _hand_over_to_support(context: WorkerContext, ids: Sequence[UUID], states: Sequence[State]) -> None:
    """Hand the cases over to support. If a refund may have been sent, tell support that its outcome is unknown."""
    with context.records.work() as work:
        cases = work.cases.lease(ids, states=states, seconds=context.settings.timers.lease_seconds)
        work.history.record([_crash_transition(case) for case in cases])
    log.error("case_crashed_workers", ids=[str(case_id) for case_id in ids])


def _crash_transition(case: Case) -> Transition:
    codes = [ReasonCode.CRASHED_WORKERS]
    if case.state in POLLED_STATES:
        codes.append(ReasonCode.OUTCOME_UNKNOWN)
    transition = case.after(
        Event.CRASHED_WORKERS,
        actor="worker",
        why=" ".join(code.support for code in codes),
        evidence={"reasons": reasons([RuleResult("payment", code) for code in codes])},
    )
    # The e-mail goes to the address of the purchase. Before its evaluation, a case has no purchase, so it gets no e-mail.
    return replace(transition, notify=case.purchase_id is not None)
