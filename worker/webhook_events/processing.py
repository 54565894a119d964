"""Processes webhook events: a worker looks the payment up at the provider, and records what the provider shows.

Usually an event only starts the lookup. If the provider has no lookup API, the worker records the contents of the event.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from domain.providers import (
    DisputeStatus,
    ExternalRefund,
    Failed,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    Unknown,
    WaitingForApproval,
)
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
from worker.refunds.give_up import POLLED_STATES
from worker.refunds.recording import Call
from worker.refunds.resolution import lease, poll_refunds
from worker.webhook_events.external_refunds import external_refund_task, report_external_refunds
from worker.webhook_events.outcomes import DISPUTE_CODES, REFUND_CODES, Outcome, OutcomeCode, Resolved, Retry
from worker.webhook_events.unresolved import report_unresolved

log = structlog.get_logger()

STATES_WITH_REFUND = (*POLLED_STATES, State.REFUNDED, State.WITH_SUPPORT)
"""If a case is in one of these states, the provider may have made a refund for the case."""

UNKNOWN_PAYMENT_ATTEMPTS = 10
"""The maximum number of attempts for an event about an unknown payment.

The attempts take about two hours. In this time, the seller can report the purchase to Moneyback.
"""
MAX_CRASHES = 3
"""The number of worker crashes after which an event goes to support. Cases have the same limit."""
MAX_ATTEMPTS = 100
"""The maximum number of attempts before an event goes to support.

The attempts take about two days, because the delays between them are at most half an hour.
"""


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """A claimed event, with our records about its payment."""

    event: ClaimedEvent
    own_case: UUID | None
    """The case that refunded the payment. None if no case refunded the payment, or if the event is about a dispute."""
    purchases: Sequence[Purchase]
    """The purchases that were paid with the payment. One payment may pay several purchases."""


def process_webhook_events(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Process the due events among ``ids``. If the last worker that processed an event crashed, process the event alone."""
    lease_seconds = context.settings.timers.lease_seconds
    with context.records.work() as work:
        claimed = work.webhook_events.claim(ids, seconds=lease_seconds)
        claimed_ids = {event.id for event in claimed}
        crashed_before = work.webhook_events.crashed_before(
            [event_id for event_id in ids if event_id not in claimed_ids]
        )
    if claimed:
        _process_claimed(context, claimed)
    for event_id in crashed_before:
        with context.records.work() as work:
            claimed = work.webhook_events.claim([event_id], seconds=lease_seconds, include_crashed=True)
        if claimed:
            _process_claimed(context, claimed)


def _process_claimed(context: WorkerContext, claimed: Sequence[ClaimedEvent]) -> None:
    """Resolve the events in three groups.

    The groups are: events about our own refunds, other events about known purchases, and events about unknown payments.
    """
    until = sending_ends(context)
    with context.records.work() as work:
        events = [event for event in claimed if event.attempts <= MAX_ATTEMPTS and event.crashes < MAX_CRASHES]
        matched = _match_events(work, events)
        own_matches = [match for match in matched if match.own_case]
        cases = {match.own_case for match in own_matches if match.own_case}
        calls = lease(work, context, list(cases), states=STATES_WITH_REFUND, early=True) if cases else []
    external_matches = [match for match in matched if not match.own_case and match.purchases]
    unknown_events = [match.event for match in matched if not match.own_case and not match.purchases]
    outcomes = (
        _resolve_own(context, own_matches, calls)
        | _resolve_external(context, external_matches, until)
        | _resolve_unknown(unknown_events)
    )
    with context.records.work() as work:
        crashed = Retry(OutcomeCode.CRASHED_WORKER)
        _store_outcomes(work, context, [(event, outcomes.get(event.id, crashed)) for event in claimed])


def _match_events(work: UnitOfWork, events: Sequence[ClaimedEvent]) -> list[MatchedEvent]:
    """Find the case and the purchases that each event is about."""
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
    """Add the charge to events that name only a refund. The charge comes from the operation that made the refund."""
    refunds = [
        (event.provider, refund_id)
        for event in events
        if event.event.charge is None and (refund_id := event.event.refund_id)
    ]
    operations = work.refund_operations.for_refunds(refunds)
    return [
        replace(event, event=replace(event.event, charge=operation.charge))
        if event.event.charge is None and (operation := operations.get((event.provider, event.event.refund_id or "")))
        else event
        for event in events
    ]


def _resolve_own(context: WorkerContext, matched: Sequence[MatchedEvent], calls: Sequence[Call]) -> dict[UUID, Outcome]:
    """Poll our own refunds, and resolve the events about them.

    A refund that we did not make is reported to support. An event that names no refund may be about our own refund. Such an
    event stays unresolved if our refund was already paid and the lookup shows an external refund.
    """
    lookups = poll_refunds(context, calls)
    paid_cases = {call.case.id for call in calls if call.operation.status is OperationStatus.PAID}
    results = {match.event.id: lookups.get(match.own_case) for match in matched if match.own_case}
    outcomes = {
        match.event.id: _own_outcome(match.event, results[match.event.id], was_paid=match.own_case in paid_cases)
        for match in matched
    }
    _report_other_refunds(context, matched, outcomes, lookups)
    _record_external_refunds(context, matched, results)
    return outcomes


def _report_other_refunds(
    context: WorkerContext,
    matched: Sequence[MatchedEvent],
    outcomes: Mapping[UUID, Outcome],
    lookups: Mapping[UUID, LookupResult],
) -> None:
    """If a resolved event names a refund that no lookup showed, report the refund to support. The refund may be external."""
    shown_refunds = {
        result.refund_id for result in lookups.values() if isinstance(result, Paid | Pending | Failed | ExternalRefund)
    }
    other_matches = [
        match
        for match in matched
        if isinstance(outcomes[match.event.id], Resolved) and match.event.event.refund_id not in shown_refunds | {None}
    ]
    if other_matches:
        purchases = {match.event.payment: match.purchases for match in other_matches}
        report_external_refunds(context, [match.event for match in other_matches], purchases)


def _record_external_refunds(
    context: WorkerContext, matched: Sequence[MatchedEvent], results: Mapping[UUID, LookupResult | None]
) -> None:
    """If a lookup of our own refund showed an external refund, and the purchase is known, record the external refund."""
    external = [
        (match, result)
        for match in matched
        if match.purchases and isinstance(result := results[match.event.id], ExternalRefund)
    ]
    if external:
        with context.records.work() as work:
            for match, result in external:
                _record_external_refund(work, match, result)


def _own_outcome(event: ClaimedEvent, found: LookupResult | None, *, was_paid: bool) -> Outcome:
    """Return the outcome of an event about our refund.

    ``was_paid`` is True if the refund was already paid before the lookup.
    """
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
        return Retry(OutcomeCode.LOOKUP_LAGS)  # the event names no refund, so it may be about our refund
    return Resolved(REFUND_CODES[type(found)])


def _resolve_external(context: WorkerContext, matched: Sequence[MatchedEvent], until: float) -> dict[UUID, Outcome]:
    """Resolve events about known purchases. Each event is about a dispute, or about a payment that we did not refund."""
    outcomes: dict[UUID, Outcome] = {}
    for batch in context.call_pool.map_all(lambda match: _look_up(context, match.event, until), matched):
        with context.records.work() as work:
            disputes = _disputes_from_events(work, context, [match.event for match, _ in batch])
            for match, result in batch:
                outcomes[match.event.id] = _apply_lookup(work, match, disputes.get(match.event.id, result))
    return outcomes


def _look_up(context: WorkerContext, event: ClaimedEvent, until: float) -> LookupResult | DisputeStatus:
    """Look up the refund or the dispute. If the provider has no lookup API, return what the signed event reports."""
    provider, charge = event.payment
    if cannot_look_up(context, provider):
        return event.event.reported or NotFound()
    if event.event.subject is Subject.DISPUTE:
        return provider_client.dispute(context, provider, charge, until=until)
    return provider_client.find_external_refund(context, provider, charge, until=until)


def _disputes_from_events(
    work: UnitOfWork, context: WorkerContext, events: Sequence[ClaimedEvent]
) -> dict[UUID, DisputeStatus]:
    """Compute the dispute status of payments from all events received so far. Skip providers that have a lookup API."""
    disputed = {
        event.id: event.payment
        for event in events
        if event.event.subject is Subject.DISPUTE and cannot_look_up(context, event.provider)
    }
    statuses = dispute_from_webhooks(work, list(set(disputed.values())))
    return {event_id: statuses[payment] for event_id, payment in disputed.items() if payment in statuses}


def _apply_lookup(work: UnitOfWork, match: MatchedEvent, result: LookupResult | DisputeStatus) -> Outcome:
    """Record the refund or the dispute that the provider shows, and return the outcome of the event."""
    match result:
        case DisputeStatus(Dispute.NONE) | NotFound() | Failed() | WaitingForApproval():
            return Retry(OutcomeCode.NOT_VISIBLE)
        case Unknown(why):
            return Retry(OutcomeCode.LOOKUP_FAILED, why)
        case DisputeStatus():
            return _apply_dispute(work, match, result)
        case Paid() | Pending() | ExternalRefund():
            _record_external_refund(work, match, result)
            return Resolved(OutcomeCode.EXTERNAL_REFUND)


def _apply_dispute(work: UnitOfWork, match: MatchedEvent, status: DisputeStatus) -> Outcome:
    """Record the dispute as the provider shows it, and return the outcome of the event.

    An event that reports the end of a dispute is not resolved while the provider shows the dispute as open.
    """
    if not apply_dispute(work, match.purchases[0], status):
        return Retry(OutcomeCode.CASE_LOCKED)
    ends = {DisputeStatus(end, status.dispute_id) for end in (Dispute.WON, Dispute.LOST)}
    if status.dispute is Dispute.OPEN and match.event.event.reported in ends:
        return Retry(OutcomeCode.CONTRADICTED)
    return Resolved(DISPUTE_CODES[status.dispute])


def _record_external_refund(work: UnitOfWork, match: MatchedEvent, result: Paid | Pending | ExternalRefund) -> None:
    """Store the refunded amount of the purchases, and create a support task for the external refund."""
    for purchase in match.purchases:
        work.purchases.add_refunded(purchase.id, result.amount.minor)
    work.support_tasks.create([external_refund_task(match.event.provider, match.purchases[0], result)])


def _resolve_unknown(events: Iterable[ClaimedEvent]) -> dict[UUID, Outcome]:
    """Resolve an event about an unknown payment only after several attempts, because the seller may report the purchase late."""
    return {event.id: _unknown_outcome(event) for event in events}


def _unknown_outcome(event: ClaimedEvent) -> Outcome:
    if event.event.charge is None and event.event.refund_id is None:
        return Resolved(OutcomeCode.NO_PAYMENT)
    outcome = Resolved if event.attempts >= UNKNOWN_PAYMENT_ATTEMPTS else Retry
    return outcome(OutcomeCode.UNKNOWN_PAYMENT)


def _store_outcomes(work: UnitOfWork, context: WorkerContext, outcomes: Sequence[tuple[ClaimedEvent, Outcome]]) -> None:
    """Store the outcomes. If the last attempt does not resolve an event, the event goes to support."""
    retries = [(event, outcome) for event, outcome in outcomes if isinstance(outcome, Retry)]
    given_up = [(event, retry) for event, retry in retries if _is_given_up(event)]
    for event, retry in given_up:
        log.warning("webhook_event_unresolved", webhook_event=str(event.id), provider=event.provider, why=retry.code)
    report_unresolved(work, [(event, retry.sentence) for event, retry in given_up])
    resolved = [(event, outcome) for event, outcome in outcomes if isinstance(outcome, Resolved)]
    work.webhook_events.resolve(
        [(event, outcome.code) for event, outcome in resolved] + [(event, retry.code) for event, retry in given_up]
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
