"""Recording: writes down what the results of provider calls change, in one transaction with the cases' transitions."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from domain.cases import Case, Transition
from domain.providers import ExternalRefund, NotFound, Unknown
from domain.refund_operations import OperationStatus, RefundOperation
from records import UnitOfWork
from worker.context import WorkerContext
from worker.refunds.disputes import check_dispute_after_decline
from worker.refunds.limits import limits_for
from worker.refunds.outcomes import Decision, Result, daily_reports, decide

log = structlog.get_logger()

LOOKUPS_APART = timedelta(minutes=15)
"""An empty look-up counts as one more if it comes so long after the last that counted."""


@dataclass(frozen=True, slots=True)
class Call:
    """One refund to ask a provider for: a case whose lease this worker holds, and its operation."""

    case: Case
    operation: RefundOperation


class Recorded(NamedTuple):
    """What became of the calls whose results were recorded."""

    moved: set[UUID]
    """The cases whose transitions were recorded."""
    lost: set[UUID]
    """The cases whose lease was lost: another worker took them over, and their transitions were not recorded."""
    repeat: list[Call]
    """The operations to send again, under the same key."""


def record(work: UnitOfWork, context: WorkerContext, results: Iterable[tuple[Call, Result]]) -> Recorded:
    """Decides what these results change, and records it for the cases whose lease this worker still holds."""
    decided = [
        (call, decide(call.case, call.operation, result, work.now, limits_for(context, call.operation.provider)))
        for call, result in results
    ]
    transitions = [decision.transition for _, decision in decided if decision.transition]
    moved = work.history.record(transitions)
    _update_operations(work, [(call, decision) for call, decision in decided if call.case.id in moved])
    work.refund_operations.record_declines(
        [(call.operation, decision.refused) for call, decision in decided if decision.refused]
    )
    work.support_tasks.create(daily_reports([(call.case, call.operation, it.result) for call, it in decided], work.now))
    check_dispute_after_decline(
        work, context, [(call.operation, decision.answer) for call, decision in decided if decision.answer]
    )
    _release(work, [(call, decision) for call, decision in decided if not (decision.transition or decision.repeat)])
    _log(transitions, moved)
    lost = {step.case.id for step in transitions} - moved
    return Recorded(moved, lost, [call for call, decision in decided if decision.repeat])


def _update_operations(work: UnitOfWork, decided: Sequence[tuple[Call, Decision]]) -> None:
    """Writes down what became of the operations of cases that moved."""
    work.refund_operations.record_results(
        [(call.operation, decision.answer) for call, decision in decided if decision.answer]
    )
    for status in OperationStatus:
        closed = [(call, it) for call, it in decided if it.status is status and not it.answer]
        work.refund_operations.close([call.operation for call, _ in closed], status)
    for call, decision in decided:
        if isinstance(decision.result, ExternalRefund) and call.case.purchase_id:
            work.purchases.add_refunded(call.case.purchase_id, decision.result.amount.minor)


def _release(work: UnitOfWork, decided: Sequence[tuple[Call, Decision]]) -> None:
    """Counts the polls that changed nothing, and releases their cases until the next poll."""
    polls = [
        (call.operation.key, isinstance(it.result, NotFound), isinstance(it.result, Unknown) and it.result.replayed)
        for call, it in decided
    ]
    work.refund_operations.count_polls(polls, apart=LOOKUPS_APART.total_seconds())
    work.cases.release([(call.case, decision.due_in or 0.0) for call, decision in decided])


def _log(transitions: Sequence[Transition], moved: Collection[UUID]) -> None:
    if moved:
        log.info("cases_transitioned", **Counter(step.event.value for step in transitions if step.case.id in moved))
    for step in transitions:
        if step.case.id not in moved:
            log.warning("lease_lost", case_id=str(step.case.id), answer=step.event)
