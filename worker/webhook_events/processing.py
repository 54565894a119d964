"""Processes webhook events: a worker looks the payment up at the provider, and records what the provider shows.

Usually an event only starts the lookup. If the provider has no lookup API, the worker records the contents of the event.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog

from domain.providers import (
    Declined,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    RefundStatus,
    Unknown,
    failure_of,
)
from domain.purchases import Dispute, Purchase
from domain.refund_operations import OperationStatus, RefundOperation, status_of
from domain.states import ENDED_BY_SUPPORT, State
from domain.webhook_events import Subject
from records import UnitOfWork
from records.webhook_events import ClaimedEvent
from worker import provider_client
from worker.context import WorkerContext
from worker.provider_client import cannot_look_up
from worker.providers.disputes import select_deciding_dispute
from worker.refunds.backoff import jitter, poll_delay
from worker.refunds.disputes import apply_dispute, load_dispute_reports
from worker.refunds.execution import sending_ends
from worker.refunds.external_refunds import record_external_refunds, split_own
from worker.refunds.give_up import POLLED_STATES, waits_for_end
from worker.refunds.own_refunds import request_changed_refunds
from worker.refunds.recording import Call
from worker.refunds.resolution import lease_for_operations, poll_refunds
from worker.webhook_events.outcomes import (
    DISPUTE_CODES,
    REFUND_CODES,
    Outcome,
    OutcomeCode,
    Resolved,
    Retry,
    first_retry,
)
from worker.webhook_events.purchases import resolve_purchases
from worker.webhook_events.unresolved import report_unresolved

log = structlog.get_logger()

STATES_WITH_REFUND = (*POLLED_STATES, State.APPROVED, State.REFUNDED, State.WITH_SUPPORT, *ENDED_BY_SUPPORT)
"""If a case is in one of these states, the provider may have made a refund for the case."""

UNKNOWN_PAYMENT_ATTEMPTS = 10
"""The maximum number of attempts for an event about an unknown payment.

The attempts take about two hours. In this time, the seller can report the purchase to Moneyback.
"""
WAIT_FOR_OTHER_REFUND = 300.0
"""Seconds until an event is processed again whose case waits for the refund of another payment."""
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
    operation: RefundOperation | None
    """The newest operation of the payment, if the event may be about it. None if the event is about a dispute."""
    purchases: Sequence[Purchase]
    """The purchases that were paid with the payment. One payment may pay several purchases."""

    def needs_look(self, *, can_look_up: bool) -> bool:
        """Return True if the provider must show the payment's disputes, or refunds that Moneyback did not make.

        An event that names a refund may be about our refund or about another refund, while our refund has no id.
        """
        event, operation = self.event.event, self.operation
        is_open_question = (
            can_look_up and operation is not None and operation.refund_id is None and bool(event.refund_id)
        )
        return bool(self.purchases) and (operation is None or event.subject is Subject.PAYMENT or is_open_question)


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
    """Resolve the events in four groups.

    The groups are: events about our own refunds, other events about known purchases, events about unknown payments, and events
    about new payments. An event about all that happened to a payment may be in the first two groups.
    """
    until = sending_ends(context)
    found = _find_charges(context, claimed, until)
    with context.records.work() as work:
        claimed = _name_charges(work, claimed, found)
        events = [event for event in claimed if event.attempts <= MAX_ATTEMPTS and event.crashes < MAX_CRASHES]
        about_purchases = [event for event in events if event.event.subject is Subject.PURCHASE]
        about_payments = [event for event in events if event.event.subject is not Subject.PURCHASE]
        matched = _match_events(work, context, about_payments)
        leased = _lease(work, context, matched)
    own_outcomes = _resolve_own(context, [match for match in matched if match.operation], leased)
    to_look_at = [
        match for match in matched if match.needs_look(can_look_up=not cannot_look_up(context, match.event.provider))
    ]
    shown_outcomes = _resolve_shown(context, to_look_at, until)
    unknown = [match.event for match in matched if not match.operation and not match.purchases]
    outcomes = shown_outcomes | own_outcomes | _resolve_unknown(unknown)
    outcomes |= resolve_purchases(context, about_purchases, until)
    outcomes |= _combine(matched, own_outcomes, shown_outcomes)
    with context.records.work() as work:
        crashed = Retry(OutcomeCode.CRASHED_WORKER)
        _store_outcomes(work, context, [(event, outcomes.get(event.id, crashed)) for event in claimed])


class Leased(NamedTuple):
    """The cases of our own refunds that events are about."""

    calls: list[Call]
    """The cases that this worker has leased, each with one operation."""
    waiting: set[UUID]
    """The cases that wait for the outcome of another refund."""
    at: datetime
    """The time of the lease, by the database's clock."""


def _lease(work: UnitOfWork, context: WorkerContext, matched: Sequence[MatchedEvent]) -> Leased:
    operations = [match.operation for match in matched if match.operation]
    calls, waiting = lease_for_operations(work, context, operations, states=STATES_WITH_REFUND)
    return Leased(calls, waiting, work.now)


def _combine(
    matched: Sequence[MatchedEvent], own: dict[UUID, Outcome], shown: dict[UUID, Outcome]
) -> dict[UUID, Outcome]:
    """Return the outcomes of the events that may be about our refund or about an external refund.

    If an external refund explains the event, an empty lookup of our refund does not matter.
    """
    return {
        id_: shown[id_] if _is_explained(match, own[id_], shown[id_]) else first_retry(own[id_], shown[id_])
        for match in matched
        if (id_ := match.event.id) in own and id_ in shown
    }


def _is_explained(match: MatchedEvent, own: Outcome, shown: Outcome) -> bool:
    """Return whether the event is about an external refund: it names that refund, or our refund was closed without a refund."""
    if shown != Resolved(OutcomeCode.EXTERNAL_REFUND) or own != Retry(OutcomeCode.NOT_VISIBLE):
        return False
    return bool(match.event.event.refund_id) or (match.operation is not None and not match.operation.is_open)


def _find_charges(context: WorkerContext, claimed: Sequence[ClaimedEvent], until: float) -> dict[UUID, str]:
    """Return the charges of events that name only a dispute or a refund, if the provider can find the charge."""
    nameless = [event for event in claimed if event.event.charge is None and _can_find_charge(context, event)]
    found: dict[UUID, str] = {}
    for batch in context.call_pool.map_all(lambda event: _find_charge(context, event, until), nameless):
        found |= {event.id: charge for event, charge in batch if isinstance(charge, str)}
    return found


def _name_charges(work: UnitOfWork, claimed: Sequence[ClaimedEvent], found: Mapping[UUID, str]) -> list[ClaimedEvent]:
    """Store the charges that were found. Return the events with their charges.

    An event that names only a dispute gets the charge of another event of the dispute. At Adyen, "all events related to a
    dispute have the same PSP reference", but not every event names the payment (docs.adyen.com, "Dispute webhooks").
    """
    work.webhook_events.store_charges(found)
    disputes = {(event.provider, dispute_id) for event in claimed if (dispute_id := event.event.dispute_id)}
    shared = work.webhook_events.share_charges(sorted(disputes))
    charges = {
        event.id: event.event.charge
        or found.get(event.id)
        or shared.get((event.provider, event.event.dispute_id or ""))
        for event in claimed
    }
    return [replace(event, event=replace(event.event, charge=charges[event.id])) for event in claimed]


def _can_find_charge(context: WorkerContext, event: ClaimedEvent) -> bool:
    adapter = context.provider(event.provider)
    names_something = event.event.dispute_id or event.event.refund_id
    return adapter is not None and adapter.capabilities.finds_charges and bool(names_something)


def _find_charge(context: WorkerContext, event: ClaimedEvent, until: float) -> str | Declined | Unknown:
    refund_id, dispute_id = event.event.refund_id or "", event.event.dispute_id
    if dispute_id:
        return provider_client.find_disputed_charge(context, event.provider, dispute_id, until=until)
    return provider_client.find_refunded_charge(context, event.provider, refund_id, until=until)


def _match_events(work: UnitOfWork, context: WorkerContext, events: Sequence[ClaimedEvent]) -> list[MatchedEvent]:
    """Find the operation and the purchases that each event is about."""
    named = [(event.provider, refund_id) for event in events if (refund_id := event.event.refund_id)]
    by_refund = work.refund_operations.for_refunds(named)
    events = [_fill_in_charge(event, by_refund) for event in events]
    payments = list({event.payment for event in events if event.event.charge})
    newest = work.refund_operations.for_payments(payments) if payments else {}
    purchases = work.purchases.of_payments(payments)
    return [
        MatchedEvent(
            event,
            _own_operation(context, event, by_refund.get(_refund_of(event)) or newest.get(event.payment)),
            purchases.get(event.payment, []),
        )
        for event in events
    ]


def _refund_of(event: ClaimedEvent) -> tuple[str, str]:
    """Return the provider and the refund that the event names; the refund is an empty text if the event names none."""
    return event.provider, event.event.refund_id or ""


def _own_operation(
    context: WorkerContext, event: ClaimedEvent, operation: RefundOperation | None
) -> RefundOperation | None:
    """Return the operation if the event may be about it. An event that names another refund is about an external refund.

    An operation that was closed without a refund has no events. If the provider has a lookup API, the operation is looked up
    nevertheless, because the provider may have made the refund after all.
    """
    is_about_refund = event.event.subject in {Subject.REFUND, Subject.PAYMENT}
    if operation is None or not is_about_refund:
        return None
    if operation.refund_id is None and not operation.is_open and cannot_look_up(context, event.provider):
        return None
    names_other = {event.event.refund_id, operation.refund_id} - {None}
    return operation if len(names_other) < 2 else None  # noqa: PLR2004 - the event and the operation name two refunds


def _fill_in_charge(event: ClaimedEvent, by_refund: Mapping[tuple[str, str], RefundOperation]) -> ClaimedEvent:
    """Add the charge to an event that names only our refund. The charge comes from the operation that made the refund."""
    operation = by_refund.get(_refund_of(event))
    if event.event.charge is not None or operation is None:
        return event
    return replace(event, event=replace(event.event, charge=operation.charge))


def _resolve_own(context: WorkerContext, matched: Sequence[MatchedEvent], leased: Leased) -> dict[UUID, Outcome]:
    """Poll our own refunds, and resolve the events about them.

    An event that names no refund may be about our own refund. Such an event stays unresolved if our refund was already paid
    and the lookup shows an external refund. An event about an external refund stays unresolved while support has the case
    and our refund may still be made.
    """
    lookups = poll_refunds(context, leased.calls)
    may_follow = {call.operation.key for call in leased.calls if waits_for_end(call.case, call.operation, leased.at)}
    outcomes: dict[UUID, Outcome] = {}
    for match in matched:
        assert match.operation, "the caller passes only events about our own refunds"
        if match.operation.case_id in leased.waiting:
            outcomes[match.event.id] = Retry(OutcomeCode.OTHER_REFUND_OPEN)
            continue
        was_paid = match.operation.status is OperationStatus.PAID
        found = lookups.get(match.operation.key)
        outcome = _own_outcome(match.event, found, was_paid=was_paid)
        is_early = isinstance(found, ExternalRefund) and match.operation.key in may_follow
        outcomes[match.event.id] = Retry(OutcomeCode.REFUND_MAY_FOLLOW) if is_early else outcome
    return outcomes


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
    if isinstance(reported, Paid) and _status(found) is OperationStatus.PENDING:
        return Retry(OutcomeCode.CONTRADICTED)
    if was_paid and isinstance(found, ExternalRefund) and event.event.refund_id is None:
        return Retry(OutcomeCode.LOOKUP_LAGS)  # the event names no refund, so it may be about our refund
    return Resolved(REFUND_CODES[type(found)])


def _status(found: LookupResult) -> OperationStatus | None:
    """Return the status of our refund. An external refund and an empty lookup show no status."""
    return None if isinstance(found, ExternalRefund | NotFound) else status_of(found)


def _resolve_shown(context: WorkerContext, matched: Sequence[MatchedEvent], until: float) -> dict[UUID, Outcome]:
    """Resolve events about known purchases by what the provider shows: refunds that we did not make, and disputes."""
    outcomes: dict[UUID, Outcome] = {}
    for batch in _look_at_all(context, matched, until):
        with context.records.work() as work:
            for match, shown in _decide_disputes(work, context, batch):
                refunds = _refunds_from_events(work, match.event) if shown == Shown() else shown.refunds
                outcomes[match.event.id] = _apply_shown(work, match, replace(shown, refunds=refunds))
    return outcomes


@dataclass(frozen=True, slots=True)
class Shown:
    """What the provider shows of a payment. None means that the event is not about it.

    If both are None, only the signed events report the refunds.
    """

    refunds: Sequence[ListedRefund] | Unknown | None = None
    dispute: DisputeStatus | Unknown | None = None


def _look_at_all(
    context: WorkerContext, matched: Sequence[MatchedEvent], until: float
) -> Iterator[list[tuple[MatchedEvent, Shown]]]:
    """Yield the events with what the provider shows of their payments.

    A provider without a lookup API shows nothing, and its signed events decide. Events about failed refunds come first.
    Otherwise, a refund that failed could settle a case together with another refund.
    """
    shown_by_events, to_look_up = [], []
    for match in sorted(matched, key=lambda match: not isinstance(match.event.event.reported, Failed)):
        if not cannot_look_up(context, match.event.provider):
            to_look_up.append(match)
        elif match.event.event.subject is Subject.DISPUTE:
            shown_by_events.append((match, Shown(dispute=DisputeStatus(Dispute.NONE))))
        else:
            shown_by_events.append((match, Shown()))
    if shown_by_events:
        yield shown_by_events
    yield from context.call_pool.map_all(lambda match: _look_at(context, match.event, until), to_look_up)


def _look_at(context: WorkerContext, event: ClaimedEvent, until: float) -> Shown:
    """Look up the refunds or the dispute of the event's payment."""
    provider, charge = event.payment
    subject = event.event.subject
    refunds = dispute = None
    if subject is not Subject.DISPUTE:
        refunds = provider_client.list_refunds_of(context, provider, charge, until=until)
    if subject is not Subject.REFUND:
        dispute = provider_client.dispute(context, provider, charge, until=until)
    return Shown(refunds, dispute)


def _refunds_from_events(work: UnitOfWork, event: ClaimedEvent) -> Sequence[ListedRefund] | Unknown | None:
    """Return the external refund that this event names, as all signed events report it.

    An event about a failed refund reports no amount. If no other event reports the amount, the refund never counted. Then
    return None.
    """
    refund_id = event.event.refund_id
    reports = work.webhook_events.refund_reports(*event.payment, refund_id)
    amounts = [report.amount for report in reports if isinstance(report, Paid | Pending)]
    if refund_id and reports and amounts:
        status, failure = _STATUSES[type(reports[0])], failure_of(reports[0])
        return [ListedRefund(refund_id, event.payment[1], amounts[0], status, event.received_at, failure=failure)]
    return None if reports else Unknown(f"The event about the refund {refund_id} reports no amount.")


_STATUSES = {Paid: RefundStatus.PAID, Pending: RefundStatus.PENDING, Failed: RefundStatus.FAILED}


def _decide_disputes(
    work: UnitOfWork, context: WorkerContext, batch: Sequence[tuple[MatchedEvent, Shown]]
) -> list[tuple[MatchedEvent, Shown]]:
    """Replace each dispute that the provider shows by the deciding dispute.

    All disputes that signed events have reported so far count, too, if the provider does not show every dispute. So the order
    of the events does not matter, and an earlier dispute that the provider shows as won does not hide an open dispute.
    """
    payments = {
        match.event.payment
        for match, shown in batch
        if isinstance(shown.dispute, DisputeStatus) and _hides_disputes(context, match.event.provider)
    }
    reports = load_dispute_reports(work, sorted(payments))
    return [
        (match, replace(shown, dispute=select_deciding_dispute([shown.dispute, *reports[match.event.payment]])))
        if isinstance(shown.dispute, DisputeStatus) and match.event.payment in reports
        else (match, shown)
        for match, shown in batch
    ]


def _hides_disputes(context: WorkerContext, provider: str) -> bool:
    """Return whether the provider reports some disputes only in signed webhook events."""
    adapter = context.provider(provider)
    return adapter is not None and (
        adapter.capabilities.reports_disputes_by_webhook or not adapter.capabilities.can_look_up
    )


def _apply_shown(work: UnitOfWork, match: MatchedEvent, shown: Shown) -> Outcome:
    """Record the refunds and the dispute that the provider shows, and return the outcome of the event."""
    outcomes: list[Outcome] = []
    if shown.refunds is not None:
        outcomes.append(_apply_refunds(work, match, shown.refunds))
    if shown.dispute is not None:
        outcomes.append(_apply_dispute(work, match, shown.dispute))
    return first_retry(*outcomes) if outcomes else Resolved(OutcomeCode.EXTERNAL_REFUND)


def _apply_refunds(work: UnitOfWork, match: MatchedEvent, refunds: Sequence[ListedRefund] | Unknown) -> Outcome:
    """Record the external refunds of a payment, and return the outcome of the event.

    An event that names a refund is not resolved while the provider does not show the refund, or shows it with another status.
    An event that names no refund is not resolved while a refund is missing that the provider has shown before.
    """
    if isinstance(refunds, Unknown):
        return Retry(OutcomeCode.LOOKUP_FAILED, refunds.why)
    event = match.event.event
    provider = match.event.provider
    own, external = split_own(work, provider, refunds)
    purchases = {match.event.payment: match.purchases}
    work.support_tasks.create(record_external_refunds(work, provider, external, purchases))
    newest = match.operation.key if match.operation else None
    others = [(refund, of) for refund, of in own if of.key != newest]
    if event.refund_id is None:  # the event may be about an earlier refund of the payment than the newest
        request_changed_refunds(work, provider, others)
    else:  # the refund has our key, but no refund of this key was known, so that the event could not be matched
        unknown = [(refund, of) for refund, of in others if (refund.refund_id, of.refund_id) == (event.refund_id, None)]
        request_changed_refunds(work, provider, unknown)
    named = next((refund for refund in refunds if event.refund_id in {None, refund.refund_id}), None)
    if event.subject is Subject.REFUND and named is None:
        return Retry(OutcomeCode.NOT_VISIBLE)
    shown = {refund.refund_id for refund in refunds}
    if event.subject is Subject.PAYMENT and not work.purchases.external_refunds_of(*match.event.payment) <= shown:
        return Retry(OutcomeCode.NOT_VISIBLE)
    if named and (type(event.reported), named.status) in _CONTRADICTIONS:
        return Retry(OutcomeCode.CONTRADICTED)
    is_external = named in external if event.refund_id else bool(external)
    return Resolved(OutcomeCode.EXTERNAL_REFUND if is_external else OutcomeCode.NOTHING_NEW)


_CONTRADICTIONS = {(Failed, RefundStatus.PENDING), (Failed, RefundStatus.PAID), (Paid, RefundStatus.PENDING)}
"""The pairs (reported, shown) of a refund whose new status the provider does not show yet."""


def _apply_dispute(work: UnitOfWork, match: MatchedEvent, status: DisputeStatus | Unknown) -> Outcome:
    """Record the dispute as the provider shows it, and return the outcome of the event.

    An event that reports the end of a dispute is not resolved while the provider shows the dispute as open.
    """
    if isinstance(status, Unknown):
        return Retry(OutcomeCode.LOOKUP_FAILED, status.why)
    event = match.event.event
    if status.dispute is Dispute.NONE:
        return Resolved(OutcomeCode.NOTHING_NEW) if event.subject is Subject.PAYMENT else Retry(OutcomeCode.NOT_VISIBLE)
    if not apply_dispute(work, match.event.payment, match.purchases[0].seller_id, status):
        return Retry(OutcomeCode.CASE_LOCKED)
    ends = {DisputeStatus(end, status.dispute_id) for end in (Dispute.WON, Dispute.LOST)}
    if status.dispute in {Dispute.OPEN, Dispute.INQUIRY} and event.reported in ends:
        return Retry(OutcomeCode.CONTRADICTED)
    return Resolved(DISPUTE_CODES[status.dispute])


def _resolve_unknown(events: Iterable[ClaimedEvent]) -> dict[UUID, Outcome]:
    """Resolve an event about an unknown payment only after several attempts, because the seller may report the purchase late."""
    return {event.id: _unknown_outcome(event) for event in events}


def _unknown_outcome(event: ClaimedEvent) -> Outcome:
    if not (event.event.charge or event.event.refund_id or event.event.dispute_id):
        return Resolved(OutcomeCode.NO_PAYMENT)
    outcome = Resolved if event.attempts >= UNKNOWN_PAYMENT_ATTEMPTS else Retry
    return outcome(OutcomeCode.UNKNOWN_PAYMENT)


def _store_outcomes(work: UnitOfWork, context: WorkerContext, outcomes: Sequence[tuple[ClaimedEvent, Outcome]]) -> None:
    """Store the outcomes. If the last attempt does not resolve an event, the event goes to support."""
    retries = [(_uncounted(event, outcome), outcome) for event, outcome in outcomes if isinstance(outcome, Retry)]
    given_up = [(event, retry) for event, retry in retries if _is_given_up(event)]
    for event, retry in given_up:
        log.warning("webhook_event_unresolved", webhook_event=str(event.id), provider=event.provider, why=retry.code)
    report_unresolved(work, [(event, retry.sentence) for event, retry in given_up])
    resolved = [(event, outcome) for event, outcome in outcomes if isinstance(outcome, Resolved)]
    work.webhook_events.resolve(
        [(event, outcome.code) for event, outcome in resolved] + [(event, retry.code) for event, retry in given_up]
    )
    work.webhook_events.retry_later(
        [(event, _delay(context, event, retry), retry.code) for event, retry in retries if not _is_given_up(event)]
    )


def _uncounted(event: ClaimedEvent, retry: Retry) -> ClaimedEvent:
    """Return the event without this attempt if its case waits for another refund, perhaps for weeks."""
    is_waiting = retry.code is OutcomeCode.OTHER_REFUND_OPEN
    return replace(event, attempts=event.attempts - 1, crashes=0) if is_waiting else event


def _delay(context: WorkerContext, event: ClaimedEvent, retry: Retry) -> float:
    """Return the seconds until the next attempt."""
    if retry.code is OutcomeCode.OTHER_REFUND_OPEN:
        return WAIT_FOR_OTHER_REFUND * jitter()
    return poll_delay(context.settings.timers, event.attempts) * jitter()


def _is_given_up(event: ClaimedEvent) -> bool:
    return event.attempts >= MAX_ATTEMPTS or event.crashes >= MAX_CRASHES
