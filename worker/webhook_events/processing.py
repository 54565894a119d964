"""Processing of webhook events: an event makes a worker look at the provider. What the provider shows then counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from domain.providers import DisputeStatus, ExternalRefund, Failed, LookupResult, NotFound, Paid, Pending, Unknown
from domain.purchases import Dispute, Purchase
from domain.refund_operations import OperationStatus
from domain.states import State
from domain.webhook_events import Subject
from records import UnitOfWork
from records.webhook_events import ClaimedEvent
from worker import provider_client
from worker.context import WorkerContext
from worker.provider_client import cannot_look_up
from worker.refunds.backoff import jitter, poll_delay
from worker.refunds.disputes import apply_dispute, dispute_from_webhooks
from worker.refunds.execution import sending_ends
from worker.refunds.recording import Call
from worker.refunds.resolution import lease, poll_refunds
from worker.webhook_events.external_refunds import external_refund_task, report_external_refunds
from worker.webhook_events.outcomes import DISPUTE_CODES, REFUND_CODES, Outcome, OutcomeCode, Resolved, Retry
from worker.webhook_events.unresolved import report_unresolved

log = structlog.get_logger()

STATES_WITH_REFUND = (State.REFUNDING, State.REFUND_PENDING, State.REFUNDED, State.WITH_SUPPORT)
"""States in which the provider may have news of our refund."""

UNKNOWN_PAYMENT_ATTEMPTS = (
    10  # attempts, which take two hours: by then a seller has told us of the purchase that the payment belongs to
)
MAX_CRASHES = 3  # workers that one event may crash: as many as a case may crash
MAX_ATTEMPTS = 100  # attempts, which take two days with delays of up to half an hour; then the event goes to support


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """A claimed event with what we know of its payment."""

    event: ClaimedEvent
    own_case: UUID | None
    """The case whose refund the event is about; None if the event is about a dispute, or about no refund of ours."""
    purchases: Sequence[Purchase]
    """The purchases that the payment paid: one payment may have paid two."""


def process_webhook_events(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Processes those of these events that are due. An event that crashed its last worker is processed alone."""
    lease_seconds = context.settings.timers.lease_seconds
    with context.records.work() as work:
        claimed = work.webhook_events.claim(ids, seconds=lease_seconds)
        taken = {event.id for event in claimed}
        suspects = work.webhook_events.crashed_before([event for event in ids if event not in taken])
    if claimed:
        _process(context, claimed)
    for suspect in suspects:
        with context.records.work() as work:
            alone = work.webhook_events.claim([suspect], seconds=lease_seconds, include_crashed=True)
        if alone:
            _process(context, alone)


def _process(context: WorkerContext, claimed: Sequence[ClaimedEvent]) -> None:
    """Sorts the events into three kinds, and resolves each kind in its own way."""
    ends = sending_ends(context)
    with context.records.work() as work:
        sound = [event for event in claimed if event.attempts <= MAX_ATTEMPTS and event.crashes < MAX_CRASHES]
        matched = _match(work, sound)
        own = [match for match in matched if match.own_case]
        cases = {match.own_case for match in own if match.own_case}
        calls = lease(work, context, list(cases), here=STATES_WITH_REFUND, early=True) if cases else []
    external = [match for match in matched if not match.own_case and match.purchases]
    unknown = [match.event for match in matched if not match.own_case and not match.purchases]
    outcomes = (
        _resolve_own(context, own, calls) | _resolve_external(context, external, ends) | _resolve_unknown(unknown)
    )
    with context.records.work() as work:
        crashed = Retry(OutcomeCode.CRASHED_WORKER)
        _store(work, context, [(event, outcomes.get(event.id, crashed)) for event in claimed])


def _match(work: UnitOfWork, events: Sequence[ClaimedEvent]) -> list[MatchedEvent]:
    """Finds the case and the purchases that each event is about."""
    events = _fill_in_charges(work, events)
    payments = [event.payment for event in events if event.event.charge]
    operations = work.refund_operations.for_payments(payments) if payments else {}
    purchases: dict[tuple[str, str], list[Purchase]] = {}
    for purchase in work.purchases.paid_by(payments):
        purchases.setdefault((purchase.provider, purchase.charge), []).append(purchase)
    return [
        MatchedEvent(
            event,
            own_case=operations[event.payment].case_id
            if event.payment in operations and event.event.subject is not Subject.DISPUTE
            else None,
            purchases=purchases.get(event.payment, []),
        )
        for event in events
    ]


def _fill_in_charges(work: UnitOfWork, events: Sequence[ClaimedEvent]) -> list[ClaimedEvent]:
    """Completes events that name a refund and not its payment: the operation that made the refund knows the payment."""
    incomplete = [
        (event.provider, refund) for event in events if event.event.charge is None and (refund := event.event.refund_id)
    ]
    made = work.refund_operations.for_refunds(incomplete)
    return [
        replace(event, event=replace(event.event, charge=operation.charge))
        if event.event.charge is None and (operation := made.get((event.provider, event.event.refund_id or "")))
        else event
        for event in events
    ]


def _resolve_own(context: WorkerContext, matched: Sequence[MatchedEvent], calls: Sequence[Call]) -> dict[UUID, Outcome]:
    """Resolves events about our own refunds: the refunds are polled.

    A refund that was not made by us is reported, but does not resolve an event that is, or may be, about our own refund.
    """
    lookups = poll_refunds(context, calls)
    paid = {call.case.id for call in calls if call.operation.status is OperationStatus.PAID}
    found = {match.event.id: lookups.get(match.own_case) for match in matched if match.own_case}
    outcomes = {
        match.event.id: _own_outcome(match.event, found[match.event.id], was_paid=match.own_case in paid)
        for match in matched
    }
    shown = {seen.refund_id for seen in lookups.values() if isinstance(seen, Paid | Pending | Failed | ExternalRefund)}
    beside = [
        match
        for match in matched
        if isinstance(outcomes[match.event.id], Resolved) and match.event.event.refund_id not in shown | {None}
    ]
    if beside:
        purchases = {match.event.payment: match.purchases for match in beside}
        report_external_refunds(context, [match.event for match in beside], purchases)
    external = [(match, seen) for match in matched if isinstance(seen := found[match.event.id], ExternalRefund)]
    if known := [(match, seen) for match, seen in external if match.purchases]:
        with context.records.work() as work:
            for match, seen in known:
                _record_external_refund(work, match, seen)
    return outcomes


def _own_outcome(event: ClaimedEvent, found: LookupResult | None, *, was_paid: bool) -> Outcome:
    """Returns whether what the provider shows of our refund, which ``was_paid`` before, resolves the event."""
    reported = event.event.reported
    if found is None:
        return Retry(OutcomeCode.CASE_LOCKED)
    if isinstance(found, Unknown | NotFound):
        return Retry(REFUND_CODES[type(found)], found.why if isinstance(found, Unknown) else "")
    if isinstance(reported, Failed) and not isinstance(found, Failed):
        return Retry(OutcomeCode.CONTRADICTED)
    if isinstance(reported, Paid) and isinstance(found, Pending):
        return Retry(OutcomeCode.CONTRADICTED)
    if was_paid and isinstance(found, ExternalRefund) and event.event.refund_id is None:
        return Retry(OutcomeCode.LOOKUP_LAGS)  # the event names no refund, so it may be about ours
    return Resolved(REFUND_CODES[type(found)])


def _resolve_external(context: WorkerContext, matched: Sequence[MatchedEvent], ends: float) -> dict[UUID, Outcome]:
    """Resolves events about payments of known purchases that we did not refund, or that are disputed: by a look-up."""
    outcomes: dict[UUID, Outcome] = {}
    for wave in context.call_pool.map_all(lambda match: _look_up(context, match.event, ends), matched):
        with context.records.work() as work:
            disputes = _disputes_from_events(work, context, [match.event for match, _ in wave])
            for match, seen in wave:
                outcomes[match.event.id] = _apply(work, match, disputes.get(match.event.id, seen))
    return outcomes


def _look_up(context: WorkerContext, event: ClaimedEvent, ends: float) -> LookupResult | DisputeStatus:
    """Returns the refund or the dispute as the provider shows it; without look-ups, as the signed event reports it."""
    provider, charge = event.payment
    if cannot_look_up(context, provider):
        return event.event.reported or NotFound()
    if event.event.subject is Subject.DISPUTE:
        return provider_client.dispute(context, provider, charge, until=ends)
    return provider_client.find_external_refund(context, provider, charge, until=ends)


def _disputes_from_events(
    work: UnitOfWork, context: WorkerContext, events: Sequence[ClaimedEvent]
) -> dict[UUID, DisputeStatus]:
    """Returns the status of disputes at providers without look-ups, from all events that were ever received."""
    disputed = {
        event.id: event.payment
        for event in events
        if event.event.subject is Subject.DISPUTE and cannot_look_up(context, event.provider)
    }
    reported = dispute_from_webhooks(work, list(set(disputed.values())))
    return {event: reported[payment] for event, payment in disputed.items() if payment in reported}


def _apply(work: UnitOfWork, match: MatchedEvent, seen: LookupResult | DisputeStatus) -> Outcome:
    """Records what the provider shows of the payment."""
    match seen:
        case DisputeStatus(Dispute.NONE) | NotFound() | Failed():
            return Retry(OutcomeCode.NOT_VISIBLE)
        case Unknown(why):
            return Retry(OutcomeCode.LOOKUP_FAILED, why)
        case DisputeStatus():
            return _apply_dispute(work, match, seen)
        case Paid() | Pending() | ExternalRefund():
            _record_external_refund(work, match, seen)
            return Resolved(OutcomeCode.EXTERNAL_REFUND)


def _apply_dispute(work: UnitOfWork, match: MatchedEvent, seen: DisputeStatus) -> Outcome:
    """Records the dispute as the provider shows it. An event about its end is not resolved while it is shown as open."""
    if not apply_dispute(work, match.purchases[0], seen):
        return Retry(OutcomeCode.CASE_LOCKED)
    ends = {DisputeStatus(end, seen.dispute_id) for end in (Dispute.WON, Dispute.LOST)}
    if seen.dispute is Dispute.OPEN and match.event.event.reported in ends:
        return Retry(OutcomeCode.CONTRADICTED)
    return Resolved(DISPUTE_CODES[seen.dispute])


def _record_external_refund(work: UnitOfWork, match: MatchedEvent, seen: Paid | Pending | ExternalRefund) -> None:
    """Marks the purchases as refunded, and opens a support task for the refund."""
    for purchase in match.purchases:
        work.purchases.add_refunded(purchase.id, seen.amount.minor)
    work.support_tasks.create([external_refund_task(match.event.provider, match.purchases[0], seen)])


def _resolve_unknown(events: Iterable[ClaimedEvent]) -> dict[UUID, Outcome]:
    """Resolves events about unknown payments, after a while: a seller may tell us of the purchase later."""
    return {event.id: _unknown_outcome(event) for event in events}


def _unknown_outcome(event: ClaimedEvent) -> Outcome:
    if event.event.charge is None and event.event.refund_id is None:
        return Resolved(OutcomeCode.NO_PAYMENT)
    outcome = Resolved if event.attempts >= UNKNOWN_PAYMENT_ATTEMPTS else Retry
    return outcome(OutcomeCode.UNKNOWN_PAYMENT)


def _store(work: UnitOfWork, context: WorkerContext, outcomes: Sequence[tuple[ClaimedEvent, Outcome]]) -> None:
    """Stores the outcomes. Events that were never resolved go to support after the last attempt."""
    retries = [(event, outcome) for event, outcome in outcomes if isinstance(outcome, Retry)]
    given_up = [(event, retry) for event, retry in retries if _is_given_up(event)]
    for event, retry in given_up:
        log.warning("webhook_event_unresolved", notice=str(event.id), provider=event.provider, why=retry.code)
    report_unresolved(work, [(event, retry.sentence) for event, retry in given_up])
    done = [(event, outcome) for event, outcome in outcomes if isinstance(outcome, Resolved)]
    work.webhook_events.resolve(
        [(event, outcome.code) for event, outcome in done] + [(event, retry.code) for event, retry in given_up]
    )
    work.webhook_events.retry_later(
        [
            (event, poll_delay(context.settings.timers, event.attempts) * jitter(), retry.code)
            for event, retry in retries
            if not _is_given_up(event)
        ]
    )


def _is_given_up(event: ClaimedEvent) -> bool:
    return event.attempts >= MAX_ATTEMPTS or event.crashes >= MAX_CRASHES
