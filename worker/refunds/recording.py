"""Records the results of provider calls and the transitions of their cases in one transaction."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from domain.cases import Case, Transition
from domain.providers import Declined, DeclineReason, ExternalRefund, NotFound, Unknown
from domain.reason_codes import ReasonCode, RuleResult
from domain.refund_operations import OperationStatus, RefundOperation
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.settlements import close_settled_cases
from records.support_tasks import NewSupportTask
from worker.context import WorkerContext
from worker.provider_client import ExpectedPayment
from worker.refunds.disputes import check_dispute_after_decline
from worker.refunds.evaluation import reasons
from worker.refunds.external_refunds import request_lookup
from worker.refunds.give_up import POLLED_STATES, describe_operation
from worker.refunds.outcomes import Decision, Result, daily_reports, decide, solved_causes
from worker.refunds.provider_limits import limits_for

log = structlog.get_logger()

MIN_LOOKUP_INTERVAL = timedelta(minutes=15)
"""A lookup that finds no refund is counted only if this time has passed since the last counted lookup."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to a provider for an operation of a case. This worker has the lease of the case."""

    case: Case
    operation: RefundOperation
    expected: ExpectedPayment | None = None
    """The payment as the seller reports it, if the refund is sent."""


class Recorded(NamedTuple):
    """The result of ``record()``: the cases that changed, the cases whose lease was lost, and the calls to make again."""

    moved: set[UUID]
    """The cases whose transitions were recorded."""
    lost: set[UUID]
    """The cases whose lease was lost. Another worker leased these cases, and their transitions were not recorded."""
    repeat: list[Call]
    """The calls to make again, with the same idempotency key."""


def record(work: UnitOfWork, context: WorkerContext, results: Iterable[tuple[Call, Result]]) -> Recorded:
    """Decide what these results change, and record the changes of the cases whose lease this worker still has."""
    decided = [
        (call, decide(call.case, call.operation, result, work.now, limits_for(context, call.operation.provider)))
        for call, result in results
    ]
    decided = _add_open_refunds(work, decided)
    transitions = [decision.transition for _, decision in decided if decision.transition]
    moved = work.history.record(transitions)
    _update_operations(work, [(call, decision) for call, decision in decided if call.case.id in moved])
    for call, decision in decided:
        match decision.result:
            case ExternalRefund(refund_id):
                request_lookup(work, call.operation, refund_id)
            case Declined(DeclineReason.EXTERNALLY_REFUNDED):
                request_lookup(work, call.operation, None)
    _report_other_sellers(work, [(call.operation, decision.answer) for call, decision in decided])
    _report_second_refunds(work, [transition for transition in transitions if transition.case.id in moved])
    work.refund_operations.record_declines(
        [(call.operation, decision.refused) for call, decision in decided if decision.refused]
    )
    work.support_tasks.close_solved(solved_causes([(call.case, call.operation, d.result) for call, d in decided]))
    work.support_tasks.create(
        daily_reports([(call.case, call.operation, decision.result) for call, decision in decided], work.now)
    )
    check_dispute_after_decline(
        work, context, [(call.operation, decision.answer) for call, decision in decided if decision.answer]
    )
    _release_cases(work, [(call, decision) for call, decision in decided if _changes_nothing(decision)])
    close_settled_cases(
        work, [call.operation.payment for call, decision in decided if _is_with_support(call, decision)]
    )
    _log_transitions(transitions, moved)
    lost = {transition.case.id for transition in transitions} - moved
    return Recorded(moved, lost, [call for call, decision in decided if decision.repeat])


def _add_open_refunds(work: UnitOfWork, decided: Sequence[tuple[Call, Decision]]) -> list[tuple[Call, Decision]]:
    """Add the refund of another payment whose outcome is open to the reasons of a case that goes to support.

    Support reads the reasons of the newest transition only. Without this reason, the late result of one payment would hide that
    the outcome of another payment's refund is unknown.
    """
    affected = {
        call.case.id
        for call, decision in decided
        if decision.transition
        and decision.transition.to_state is State.WITH_SUPPORT
        and call.case.state not in POLLED_STATES  # otherwise, the case waits for no other refund
    }
    operations = work.refund_operations.for_cases(list(affected)) if affected else {}
    return [
        (call, replace(decision, transition=_with_open_refund(decision.transition, call, operations[call.case.id][-1])))
        if decision.transition and call.case.id in affected
        else (call, decision)
        for call, decision in decided
    ]


def _with_open_refund(transition: Transition, call: Call, newest: RefundOperation) -> Transition:
    if newest.key == call.operation.key or not newest.is_open or newest.status is OperationStatus.PAID:
        return transition
    known = transition.evidence.get("reasons")
    assert isinstance(known, list), "each result of the provider hands a case over with its reasons"
    unknown = reasons([RuleResult("payment", ReasonCode.OUTCOME_UNKNOWN, describe_operation(newest))])
    why = f"{transition.why} {ReasonCode.OUTCOME_UNKNOWN.support}"
    return replace(transition, why=why, evidence={**transition.evidence, "reasons": [*known, *unknown]})


def _report_other_sellers(work: UnitOfWork, answers: Sequence[tuple[RefundOperation, object]]) -> None:
    """Create a support task for the seller to whom the provider assigns a payment that another seller reported."""
    foreign = [
        (operation, answer.code)
        for operation, answer in answers
        if isinstance(answer, Declined) and answer.reason is DeclineReason.OTHER_SELLER
    ]
    if not foreign:
        return
    known = {seller.id for seller in work.sellers.list_all()}
    work.support_tasks.create(
        [
            NewSupportTask(
                kind=SupportTaskKind.PAYMENT_OF_OTHER_SELLER,
                subject=f"{operation.provider} {operation.charge} {seller_id}",
                seller_id=seller_id,
                evidence={"provider": operation.provider, "charge": operation.charge},
            )
            for operation, seller_id in foreign
            if seller_id in known
        ]
    )


def _report_second_refunds(work: UnitOfWork, transitions: Sequence[Transition]) -> None:
    """Create a support task for each refund that was made after support had refunded the payment."""
    work.support_tasks.create(
        [
            NewSupportTask(
                kind=SupportTaskKind.REFUNDED_TWICE,
                subject=f"{transition.case.id} {transition.evidence['refund']}",
                case_id=transition.case.id,
                seller_id=transition.case.seller_id,
                evidence={"refund": str(transition.evidence["refund"])},
            )
            for transition in transitions
            if transition.case.state is State.REFUNDED and transition.event is Event.PAYMENT_REFUNDED
        ]
    )


def _is_with_support(call: Call, decision: Decision) -> bool:
    """Return whether support has the case now. While the case had a lease, an external refund could not settle it."""
    return (decision.transition.to_state if decision.transition else call.case.state) is State.WITH_SUPPORT


def _changes_nothing(decision: Decision) -> bool:
    return not (decision.transition or decision.repeat)


def _update_operations(work: UnitOfWork, decided: Sequence[tuple[Call, Decision]]) -> None:
    """Store the new statuses of these operations. The transitions of their cases are already recorded."""
    work.refund_operations.record_results(
        [(call.operation, decision.answer) for call, decision in decided if decision.answer]
    )
    for status in OperationStatus:
        closed = [call.operation for call, decision in decided if decision.status is status and not decision.answer]
        work.refund_operations.close(closed, status)


def _release_cases(work: UnitOfWork, decided: Sequence[tuple[Call, Decision]]) -> None:
    """Count these polls, which changed nothing. End the lease of each case, and set the instant of its next poll."""
    polls = [
        (
            call.operation.key,
            isinstance(decision.result, NotFound),
            isinstance(decision.result, Unknown) and decision.result.replayed,
        )
        for call, decision in decided
    ]
    work.refund_operations.count_polls(polls, apart=MIN_LOOKUP_INTERVAL.total_seconds())
    work.cases.release([(call.case, decision.due_in or 0.0) for call, decision in decided])


def _log_transitions(transitions: Sequence[Transition], moved: Collection[UUID]) -> None:
    if moved:
        recorded = [transition for transition in transitions if transition.case.id in moved]
        log.info("cases_transitioned", **Counter(transition.event.value for transition in recorded))
    for transition in transitions:
        if transition.case.id not in moved:
            log.warning("lease_lost", case_id=str(transition.case.id), transition=transition.event)
