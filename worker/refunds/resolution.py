"""Resolves refunds whose outcome is unknown.

A worker looks each refund up, and sends the refund again only if the provider does not have it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from domain.cases import Case
from domain.providers import ExternalRefund, LookupResult, NotFound, Paid, RefundResult
from domain.refund_operations import RefundOperation, check_amount, last_of_case
from domain.states import State
from records import UnitOfWork
from records.history import Evaluation
from worker import provider_client
from worker.context import WorkerContext
from worker.provider_client import NotSent, cannot_look_up
from worker.refunds import recording
from worker.refunds.execution import sending_ends
from worker.refunds.give_up import POLLED_STATES
from worker.refunds.orders import Order, expected_payment, find_repeat_objection
from worker.refunds.outcomes import LookedUp, Repeated
from worker.refunds.recording import Call


def resolve(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """Poll the refunds of these cases. Skip cases that another worker has leased. Return the ids of the polled cases."""
    with context.records.work() as work:
        calls = lease(work, context, ids, states=POLLED_STATES)
    poll_refunds(context, calls)
    return [call.case.id for call in calls]


def lease(work: UnitOfWork, context: WorkerContext, ids: Sequence[UUID], *, states: Sequence[State]) -> list[Call]:
    """Lease these cases if they are in one of these states. Return each case with its newest operation."""
    cases = work.cases.lease(ids, states=states, seconds=context.settings.timers.lease_seconds)
    operations = work.refund_operations.for_cases([case.id for case in cases])
    return [Call(case, operations[case.id][-1]) for case in cases]


def lease_for_operations(
    work: UnitOfWork, context: WorkerContext, operations: Sequence[RefundOperation], *, states: Sequence[State]
) -> tuple[list[Call], set[UUID]]:
    """Lease the cases of these operations, even if the cases are not due yet. Return each leased case with one operation.

    Also return the cases that wait for the outcome of another operation. These cases are not leased. Otherwise, the result of
    an earlier payment would end the wait, and nobody would look up whether the other refund was made.

    The operations are read again under the lease. Until then, another worker may have recorded the result that this worker
    will find, and the result would be news a second time.
    """
    if not operations:
        return [], set()
    attempts: dict[UUID, int] = {}
    for operation in operations:
        attempts[operation.case_id] = max(operation.attempt, attempts.get(operation.case_id, 0))
    seconds = context.settings.timers.lease_seconds
    cases = work.cases.lease(list(attempts), states=states, seconds=seconds, early=True)
    all_operations = work.refund_operations.for_cases([case.id for case in cases])
    by_case = {
        case.id: next(known for known in all_operations[case.id] if known.attempt == attempts[case.id])
        for case in cases
    }
    waiting = {case.id for case in cases if _waits_for_other(case, by_case[case.id], all_operations[case.id][-1])}
    work.cases.release([(case, None) for case in cases if case.id in waiting])
    undecided = [case.id for case in cases if case.state not in {*POLLED_STATES, State.REFUNDED}]
    newest = work.history.evaluations(undecided) if undecided else {}
    calls = [
        Call(case, _last_of_case(by_case[case.id], all_operations[case.id], newest.get(case.id)))
        for case in cases
        if case.id not in waiting
    ]
    return calls, waiting


def _waits_for_other(case: Case, operation: RefundOperation, newest: RefundOperation) -> bool:
    """Return whether the case waits for the outcome of another operation: its newest operation."""
    return case.state in POLLED_STATES and operation.key != newest.key


def _last_of_case(
    operation: RefundOperation, operations: Sequence[RefundOperation], newest: Evaluation | None
) -> RefundOperation:
    """Return the operation, and whether it is the last of its case, as ``last_of_case`` does.

    Without the ``newest`` evaluation, the newest operation is known to belong to it.
    """
    return last_of_case(operation, operations, newest.decision if newest else operations[-1].decision_id)


def poll_refunds(context: WorkerContext, calls: Sequence[Call]) -> dict[str, LookupResult]:
    """Look up these refunds, and record the changes. Send a refund again if the provider certainly does not have it.

    Return the lookup result of each idempotency key. Leave out a case whose lease was lost, because nothing was recorded for
    that case.
    """
    until = sending_ends(context)
    lookups: dict[str, LookupResult] = {}
    for batch in _look_up(context, calls, until):
        with context.records.work() as work:
            lost, repeat = _record_lookups(work, context, batch)
        lookups |= {call.operation.key: result for call, result in batch if call.case.id not in lost}
        _send_again(context, repeat, until)
    return lookups


def _look_up(context: WorkerContext, calls: Sequence[Call], until: float) -> Iterator[list[tuple[Call, LookupResult]]]:
    """Yield the results of the lookups. If a provider has no lookup API, use the webhook events that it sent."""
    webhook_only = [call for call in calls if cannot_look_up(context, call.operation.provider)]
    if webhook_only:
        with context.records.work() as work:
            reported: list[tuple[Call, LookupResult]] = [
                (call, check_amount(work.webhook_events.reported_refund(call.operation) or NotFound(), call.operation))
                for call in webhook_only
            ]
        yield reported
    for batch in context.call_pool.map_all(
        lambda call: provider_client.look_up(context, call.operation, until=until),
        [call for call in calls if call not in webhook_only],
    ):
        yield _leave_out_known(context, batch, until)


def _leave_out_known(
    context: WorkerContext, batch: list[tuple[Call, LookupResult]], until: float
) -> list[tuple[Call, LookupResult]]:
    """Replace external refunds that were known before our refund was sent by what else the provider shows of the payment.

    Such a refund is an earlier part, which Moneyback or support refunded.
    """
    keys = [call.operation.key for call, result in batch if isinstance(result, ExternalRefund)]
    if not keys:
        return batch
    with context.records.work() as work:
        known = work.refund_operations.known_refunds(keys)
    return [
        (call, provider_client.find_unknown_refund(context, call.operation, known[call.operation.key], until=until))
        if isinstance(result, ExternalRefund) and result.refund_id in known[call.operation.key]
        else (call, result)
        for call, result in batch
    ]


def _record_lookups(
    work: UnitOfWork, context: WorkerContext, lookups: Sequence[tuple[Call, LookupResult]]
) -> tuple[set[UUID], list[Call]]:
    """Record the results of lookups. Return the cases whose lease was lost, and the calls to make again.

    Before a worker makes these calls, the database records that the refunds are sent again.
    """
    results = [(call, LookedUp(result)) for call, result in _remove_recorded_references(work, lookups)]
    recorded = recording.record(work, context, results)
    allowed = _stop_repeats(work, context, recorded.repeat)
    marked = work.refund_operations.mark_resent([(call.case, call.operation) for call in allowed])
    return recorded.lost, [call for call in allowed if call.operation.key in marked]


def _stop_repeats(work: UnitOfWork, context: WorkerContext, calls: Sequence[Call]) -> list[Call]:
    """Hand the cases over to support whose payments may not be refunded any more. Return the other calls, to make again.

    A refund or a dispute of the payment may have been reported or recorded since the refund was sent first.
    """
    if not calls:
        return []
    purchases = work.decision_inputs.purchases([call.case.id for call in calls])
    inputs = work.decision_inputs.load(list(purchases.values()))
    operations = work.refund_operations.for_cases([call.case.id for call in calls])
    evaluations = work.history.evaluations([call.case.id for call in calls])
    allowed, objections = [], []
    for call in calls:
        purchase, evaluation = purchases[call.case.id], evaluations[call.case.id]
        order = Order(
            call.case, inputs[purchase.id], operations[call.case.id], evaluation.snapshot, evaluation.approval
        )
        if objection := find_repeat_objection(context, order, work.now):
            objections.append(objection)
        else:
            allowed.append(replace(call, expected=expected_payment(purchase, call.operation)))
    work.history.record(objections)
    return allowed


def _send_again(context: WorkerContext, calls: Sequence[Call], until: float) -> None:
    """Send these operations again, with the same idempotency keys, and record the results."""
    for batch in context.call_pool.map_all(lambda call: _repeat(context, call, until), calls):
        with context.records.work() as work:
            recording.record(work, context, [(call, Repeated(result)) for call, result in batch])


def _repeat(context: WorkerContext, call: Call, until: float) -> RefundResult | NotSent:
    assert call.expected, "_record_lookups() gives each call the payment that the seller reports"
    return provider_client.repeat_refund(context, call.operation, call.expected, until=until)


def _remove_recorded_references(
    work: UnitOfWork, lookups: Sequence[tuple[Call, LookupResult]]
) -> list[tuple[Call, LookupResult]]:
    """Remove bank references that are already in the history of the case. These references would change nothing."""
    refunded = [
        call.case.id
        for call, result in lookups
        if call.case.state is State.REFUNDED and isinstance(result, Paid) and result.bank_reference is not None
    ]
    with_reference = work.history.with_evidence(refunded, "bank_reference")
    return [
        (
            call,
            replace(result, bank_reference=None)
            if isinstance(result, Paid) and call.case.id in with_reference
            else result,
        )
        for call, result in lookups
    ]
