"""Resolution: finds out the outcome of refunds that were sent. Looks first, sends again last."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from domain.providers import LookupResult, NotFound, Paid
from domain.states import State
from records import UnitOfWork
from worker import provider_client
from worker.context import WorkerContext
from worker.provider_client import cannot_look_up
from worker.refunds import recording
from worker.refunds.execution import sending_ends
from worker.refunds.outcomes import LookedUp, Repeated
from worker.refunds.recording import Call


def resolve(context: WorkerContext, ids: Sequence[UUID]) -> list[UUID]:
    """Polls the refunds of those of these cases that no other worker holds, and returns the cases."""
    with context.records.work() as work:
        calls = lease(work, context, ids, here=[State.REFUNDING, State.REFUND_PENDING])
    poll_refunds(context, calls)
    return [call.case.id for call in calls]


def lease(
    work: UnitOfWork, context: WorkerContext, ids: Sequence[UUID], *, here: Sequence[State], early: bool = False
) -> list[Call]:
    """Leases these cases, and returns each with its newest operation."""
    cases = work.cases.lease(ids, states=here, seconds=context.settings.timers.lease_seconds, early=early)
    operations = work.refund_operations.for_cases([case.id for case in cases])
    return [Call(case, operations[case.id]) for case in cases]


def poll_refunds(context: WorkerContext, calls: Sequence[Call]) -> dict[UUID, LookupResult]:
    """Looks these refunds up, records what changed, and sends again what the provider certainly does not have.

    Returns what was found for each case; a case whose lease was lost is left out, because nothing was recorded.
    """
    ends = sending_ends(context)
    lookups: dict[UUID, LookupResult] = {}
    for wave in _look_up(context, calls, ends):
        lookups |= {call.case.id: found for call, found in wave}
        with context.records.work() as work:
            lost, repeat = _conclude(work, context, wave)
        lookups = {case: found for case, found in lookups.items() if case not in lost}
        _repeat(context, repeat, ends)
    return lookups


def _look_up(context: WorkerContext, calls: Sequence[Call], ends: float) -> Iterator[list[tuple[Call, LookupResult]]]:
    """Yields what the providers show. For a provider without look-ups, its signed webhook events count."""
    silent = [call for call in calls if cannot_look_up(context, call.operation.provider)]
    if silent:
        with context.records.work() as work:
            reported: list[tuple[Call, LookupResult]] = [
                (call, work.webhook_events.reported_refund(call.operation) or NotFound()) for call in silent
            ]
        yield reported
    asked = [call for call in calls if call not in silent]
    yield from context.call_pool.map_all(
        lambda call: provider_client.look_up(context, call.operation, until=ends), asked
    )


def _conclude(
    work: UnitOfWork, context: WorkerContext, lookups: Sequence[tuple[Call, LookupResult]]
) -> tuple[set[UUID], list[Call]]:
    """Records what the look-ups show. Returns the cases whose lease was lost, and the calls to repeat, which are stamped."""
    results = [(call, LookedUp(found)) for call, found in _without_known_references(work, lookups)]
    recorded = recording.record(work, context, results)
    stamped = work.refund_operations.mark_resent([(call.case, call.operation) for call in recorded.repeat])
    return recorded.lost, [call for call in recorded.repeat if call.operation.key in stamped]


def _repeat(context: WorkerContext, calls: Sequence[Call], ends: float) -> None:
    """Sends these operations again, under their keys, and records the answers."""
    for wave in context.call_pool.map_all(
        lambda call: provider_client.refund(context, call.operation, until=ends), calls
    ):
        with context.records.work() as work:
            recording.record(work, context, [(call, Repeated(answer)) for call, answer in wave])


def _without_known_references(
    work: UnitOfWork, lookups: Sequence[tuple[Call, LookupResult]]
) -> list[tuple[Call, LookupResult]]:
    """Removes the bank references that a case's history has already: a reference is news once."""
    refunded = [
        call.case.id
        for call, found in lookups
        if call.case.state is State.REFUNDED and isinstance(found, Paid) and found.bank_reference is not None
    ]
    known = work.history.with_evidence(refunded, "bank_reference")
    return [
        (call, replace(found, bank_reference=None) if isinstance(found, Paid) and call.case.id in known else found)
        for call, found in lookups
    ]
