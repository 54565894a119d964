"""Store each webhook event once, with the unchanged body of its webhook.

Workers process an event again until it is resolved or given up.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.messages import WebhookEventsReceived
from domain.money import Money
from domain.providers import DeclineReason, DisputeStatus, Failed, Paid, Pending
from domain.purchases import Dispute
from domain.refund_operations import RefundOperation
from domain.webhook_events import Subject, WebhookEvent
from records.outbox import Outbox
from records.transaction import Transaction

UNKNOWN_PAYMENT = "unknown_payment"
"""The outcome of an event whose payment is not in our records."""
CRASHED_WORKER = "crashed_worker"
"""The outcome of an event after several workers crashed with it."""

ANONYMOUS_PAUSE = 60.0
"""The minimum number of seconds between two lookups of a payment that anonymous events start."""

_INSERT = """
with stored as (
  insert into webhook_events as e (id, provider, event_id, subject, charge, refund_id, dispute_id, reported, anonymous, body,
                                   next_action_at)
  select gen_random_uuid(), :provider, event_id, subject, charge, refund_id, dispute_id, reported::jsonb,
         event_id = any(:anonymous_ids), :body, now()
    from unnest(cast(:event_ids as text[]), cast(:subjects as text[]), cast(:charges as text[]),
                cast(:refund_ids as text[]), cast(:dispute_ids as text[]), cast(:reporteds as text[]))
      as i(event_id, subject, charge, refund_id, dispute_id, reported)
   where event_id <> all(:anonymous_ids)
      or exists (select from payments y where y.provider = :provider and y.charge = i.charge)
   order by event_id
  on conflict (provider, event_id) do update
     set deliveries = e.deliveries + 1,
         attempts = case when e.event_id = any(:reused_ids) then 0 else e.attempts end,
         next_action_at = case
           when e.anonymous and e.next_action_at is null
             then greatest(now(), e.processed_at + make_interval(secs => :anonymous_pause))
           when e.anonymous then least(e.next_action_at, now() + make_interval(secs => :anonymous_pause))
           when e.event_id = any(:reused_ids) then now()
           else e.next_action_at end
  returning e.id, e.event_id, e.deliveries, e.next_action_at
), enqueued as (
  insert into outbox (queue, bulk, seller_id, item_id)
  select :queue, false, '', id from stored
   where (deliveries = 1 or event_id = any(:reused_ids)) and next_action_at = now()
)
select count(*) filter (where deliveries = 1 or event_id = any(:reused_ids)) as new_events from stored
"""
"""An event whose event id is already stored is a duplicate. A duplicate only adds 1 to ``deliveries``.

Mollie uses one event id for all changes of a payment. If such an id is received again, the stored event becomes due again, and
its attempts are set to 0.

Anybody can send an anonymous event. So an anonymous event about a payment that is not in our records is not stored, and a
stored anonymous event is processed at most once in ``anonymous_pause`` seconds, also while it is not resolved. If it is already
due, it is not enqueued again, because each message would start another lookup. ``now()`` is the start of this transaction.

``id`` is random. If ``id`` were computed from the event id, two inserts at the same time could also conflict on ``id``, which
the ``on conflict`` clause does not handle.
"""

_IS_STORED = "select exists (select from webhook_events where provider = :provider and event_id = :event_id)"

_PROCESS_AGAIN = """
with due as (
  update webhook_events set next_action_at = now(), attempts = 0, crashes = 0
   where id in (
     select e.id from unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
       join webhook_events e on e.provider = i.provider and e.charge = i.charge
      where e.outcome = any(:outcomes) order by e.id for no key update of e)
  returning id
), enqueued as (
  insert into outbox (queue, bulk, seller_id, item_id) select :queue, false, '', id from due
)
select count(*) from due
"""

_REPEAT = """
with stored as (
  select id, event_id, next_action_at is null as is_due from webhook_events
   where provider = :provider and event_id = any(:event_ids) order by id for no key update
), repeated as (
  update webhook_events e set next_action_at = now(), attempts = 0, crashes = 0 from stored s where e.id = s.id and s.is_due
), enqueued as (
  insert into outbox (queue, bulk, seller_id, item_id) select :queue, false, '', id from stored where is_due
)
select event_id, is_due from stored
"""
"""Make the stored events due again that were resolved or given up."""

_CLAIM = """
update webhook_events e
   set claimed_until = now() + make_interval(secs => :seconds), next_action_at = now() + make_interval(secs => :seconds),
       attempts = attempts + 1, crashes = crashes + case when claimed_until = 'epoch' then 0 else 1 end
 where id in (select id from webhook_events where id = any(:ids) and next_action_at is not null and claimed_until <= now()
                 and (:include_crashed or claimed_until = 'epoch') for no key update skip locked)
returning id, provider, event_id, subject, charge, refund_id, dispute_id, reported, deliveries, attempts, crashes, received_at
"""
"""A claim that expired without a release shows that its worker crashed. The next claim then adds 1 to ``crashes``."""

_SELECT_CRASHED = """
select id from webhook_events
 where id = any(:ids) and next_action_at is not null and claimed_until <= now() and claimed_until <> 'epoch' order by id
"""

_STORE_CHARGES = """
update webhook_events e set charge = i.charge
  from unnest(cast(:ids as uuid[]), cast(:charges as text[])) as i(id, charge) where e.id = i.id and e.charge is null
"""

_SHARE_CHARGES = """
with named as (
  select e.provider, e.dispute_id, min(e.charge) as charge
    from (select distinct * from unnest(cast(:providers as text[]), cast(:dispute_ids as text[]))) as i(provider, dispute_id)
    join webhook_events e on e.provider = i.provider and e.dispute_id = i.dispute_id
   where e.charge is not null group by e.provider, e.dispute_id having count(distinct e.charge) = 1
), nameless as (
  select e.id, n.charge from named n join webhook_events e on e.provider = n.provider and e.dispute_id = n.dispute_id
   where e.charge is null order by e.id for no key update of e
), updated as (
  update webhook_events e set charge = n.charge from nameless n where e.id = n.id
)
select provider, dispute_id, charge from named
"""
"""Copy the charge of a dispute's event to the events that name only the dispute. A dispute of several charges is left out."""

_RESOLVE = """
update webhook_events e set outcome = i.outcome, claimed_until = 'epoch', processed_at = now(),
       next_action_at = case
         when e.deliveries > i.deliveries and e.anonymous then now() + make_interval(secs => :anonymous_pause)
         when e.deliveries > i.deliveries then now() end
  from unnest(cast(:ids as uuid[]), cast(:deliveries as int[]), cast(:outcomes as text[])) as i(id, deliveries, outcome)
 where e.id = i.id
"""
"""If an event was received again while a worker processed it, the event is due again: at once, or after the pause."""

_RETRY_LATER = """
update webhook_events e
   set claimed_until = 'epoch', outcome = i.outcome, attempts = i.attempts, crashes = 0,
       next_action_at = now() + make_interval(
         secs => case when e.anonymous then greatest(i.seconds, :anonymous_pause) else i.seconds end)
  from unnest(cast(:ids as uuid[]), cast(:seconds as float8[]), cast(:outcomes as text[]), cast(:attempts as int[]))
    as i(id, seconds, outcome, attempts)
 where e.id = i.id
"""

_SELECT_REPORTED_REFUND = """
select reported from webhook_events
 where provider = :provider and charge = :charge and refund_id = :refund_id and subject = 'refund' and reported is not null
"""

_SELECT_REPORTED_DISPUTES = """
select e.provider, e.charge, e.reported
  from unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
  join webhook_events e on e.provider = i.provider and e.charge = i.charge
 where e.subject = 'dispute' and e.reported is not null order by e.received_at desc, e.event_id
"""

_SELECT_OVERDUE = """
select id from webhook_events where next_action_at <= now() and claimed_until <= now()
 order by next_action_at limit :limit for no key update skip locked
"""

_ARE_KNOWN = """
select exists (select from refund_operations where key = any(:ids) or (provider = :provider and refund_id = any(:ids)))
    or exists (select from payments where provider = :provider and charge = any(:ids))
"""

_POSTPONE = "update webhook_events set next_action_at = now() + make_interval(secs => :seconds) where id = any(:ids)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedEvent:
    """A webhook event that a worker has claimed."""

    id: UUID
    provider: str
    event: WebhookEvent
    deliveries: int
    attempts: int
    crashes: int
    """The number of workers in a row that crashed while they processed the event."""
    received_at: datetime

    @property
    def payment(self) -> tuple[str, str]:
        """The provider and the charge of the event. The charge is an empty text if the event names no charge."""
        return self.provider, self.event.charge or ""


class WebhookEvents:
    """The table ``webhook_events``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def are_known(self, provider: str, ids: Collection[str]) -> bool:
        """Return True if one of these ids is an idempotency key, a refund or a payment in our records."""
        return bool(self._work.run(_ARE_KNOWN, provider=provider, ids=list(ids)).scalar_one())

    def keep(self, provider: str, events: Sequence[WebhookEvent], body: bytes) -> int:
        """Store the events of one webhook, and return the number of events that a worker must process.

        Duplicates are not counted, unless the provider uses one event id for several changes. If the number is not 0, the
        relay is woken after the commit.
        """
        by_id = {event.event_id: event for event in events}
        if not by_id:
            return 0
        rows = self._work.run(
            _INSERT,
            provider=provider,
            body=body,
            queue=WebhookEventsReceived.queue,
            event_ids=list(by_id),
            subjects=[event.subject for event in by_id.values()],
            charges=[event.charge for event in by_id.values()],
            refund_ids=[event.refund_id for event in by_id.values()],
            dispute_ids=[_dispute_id(event) for event in by_id.values()],
            reporteds=[_dump(event.reported) for event in by_id.values()],
            reused_ids=[event_id for event_id, event in by_id.items() if event.reuses_event_id],
            anonymous_ids=[event_id for event_id, event in by_id.items() if event.anonymous],
            anonymous_pause=ANONYMOUS_PAUSE,
        )
        new_events = int(rows.scalar_one())
        if new_events:
            Outbox(self._work).wake()
        return new_events

    def request(self, provider: str, event: WebhookEvent) -> None:
        """Store an event that no webhook delivered, but that we create to look at a payment. A stored event is not due again.

        The processing of such an event may create the same event. If that were a delivery, the processing would never end.
        """
        if not self._work.run(_IS_STORED, provider=provider, event_id=event.event_id).scalar_one():
            self.keep(provider, [event], b"")

    def request_again(self, provider: str, events: Sequence[WebhookEvent]) -> int:
        """Store these events, which we create to look at payments. Return the number of events that a worker must process.

        A stored event is due again if it was resolved or given up, because the payment still differs from our records.
        """
        if not events:
            return 0
        rows = self._work.run(
            _REPEAT,
            provider=provider,
            event_ids=[event.event_id for event in events],
            queue=WebhookEventsReceived.queue,
        )
        is_due = {row.event_id: row.is_due for row in rows}
        if any(is_due.values()):
            Outbox(self._work).wake()
        new = [event for event in events if event.event_id not in is_due]
        return sum(map(bool, is_due.values())) + self.keep(provider, new, b"")

    def process_again(self, payments: Sequence[tuple[str, str]]) -> int:
        """Make the events that came before these payments were reported due now, and return their number.

        ``payments`` lists (provider, charge). A refund or a dispute may be reported long before its purchase. An event with which
        workers crashed was perhaps never compared with our records.
        """
        if not payments:
            return 0
        providers, charges = map(list, zip(*payments, strict=True))
        due = int(
            self._work.run(
                _PROCESS_AGAIN,
                providers=providers,
                charges=charges,
                outcomes=[UNKNOWN_PAYMENT, CRASHED_WORKER],
                queue=WebhookEventsReceived.queue,
            ).scalar_one()
        )
        if due:
            Outbox(self._work).wake()
        return due

    def claim(self, ids: Sequence[UUID], *, seconds: float, include_crashed: bool = False) -> list[ClaimedEvent]:
        """Claim unresolved events for ``seconds``.

        An event whose last worker crashed is claimed only with ``include_crashed``.
        """
        rows = self._work.run(_CLAIM, ids=list(ids), seconds=seconds, include_crashed=include_crashed)
        return [_claimed_event(row) for row in rows]

    def crashed_before(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return the events with these ids whose last worker crashed."""
        return [row.id for row in self._work.run(_SELECT_CRASHED, ids=list(ids))]

    def store_charges(self, charges: Mapping[UUID, str]) -> None:
        """Store the charges of events that name no charge. ``charges`` maps the id of an event to its charge."""
        if charges:
            self._work.run(_STORE_CHARGES, ids=list(charges), charges=list(charges.values()))

    def share_charges(self, disputes: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Give all events of a dispute the charge that one of the events names. Return the charges of the disputes.

        ``disputes`` lists (provider, dispute id).
        """
        if not disputes:
            return {}
        providers, dispute_ids = map(list, zip(*disputes, strict=True))
        rows = self._work.run(_SHARE_CHARGES, providers=providers, dispute_ids=dispute_ids)
        return {(row.provider, row.dispute_id): row.charge for row in rows}

    def resolve(self, outcomes: Sequence[tuple[ClaimedEvent, str]]) -> None:
        """Store the outcome code of each event that is resolved or given up. ``outcomes`` lists (event, outcome code)."""
        if outcomes:
            self._work.run(
                _RESOLVE,
                ids=[event.id for event, _ in outcomes],
                deliveries=[event.deliveries for event, _ in outcomes],
                outcomes=[outcome for _, outcome in outcomes],
                anonymous_pause=ANONYMOUS_PAUSE,
            )

    def retry_later(self, retries: Sequence[tuple[ClaimedEvent, float, str]]) -> None:
        """Release events for a later attempt. ``retries`` lists (event, seconds until the attempt, outcome code).

        The number of attempts of each event is stored, so that the caller can leave out an attempt.
        """
        if retries:
            self._work.run(
                _RETRY_LATER,
                ids=[event.id for event, _, _ in retries],
                seconds=[seconds for _, seconds, _ in retries],
                outcomes=[outcome for _, _, outcome in retries],
                attempts=[event.attempts for event, _, _ in retries],
                anonymous_pause=ANONYMOUS_PAUSE,
            )

    def reported_refund(self, operation: RefundOperation) -> Paid | Pending | Failed | None:
        """Return the outcome that signed events report for this operation's refund."""
        reports = self.refund_reports(operation.provider, operation.charge, operation.refund_id)
        return reports[0] if reports else None

    def refund_reports(self, provider: str, charge: str, refund_id: str | None) -> list[Paid | Pending | Failed]:
        """Return what signed events report about a refund. The first report decides.

        Events may arrive in any order. A failed refund takes precedence over a paid one, and paid over pending.
        """
        rows = self._work.run(_SELECT_REPORTED_REFUND, provider=provider, charge=charge, refund_id=refund_id)
        reports = [report for row in rows if isinstance(report := _load(row.reported), Paid | Pending | Failed)]
        return sorted(reports, key=lambda report: _PRECEDENCE.index(type(report)))

    def reported_disputes(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[DisputeStatus]]:
        """Return the dispute statuses that signed events reported for each (provider, charge), the newest status first."""
        reports: dict[tuple[str, str], list[DisputeStatus]] = {}
        if payments:
            providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
            for row in self._work.run(_SELECT_REPORTED_DISPUTES, providers=providers, charges=charges):
                if isinstance(report := _load(row.reported), DisputeStatus):
                    reports.setdefault((row.provider, row.charge), []).append(report)
        return reports

    def overdue(self, limit: int) -> list[UUID]:
        """Lock and return at most ``limit`` unresolved events that are due and that no worker has claimed."""
        return [row.id for row in self._work.run(_SELECT_OVERDUE, limit=limit)]

    def postpone(self, ids: Sequence[UUID], seconds: float) -> None:
        """Make these events due again in ``seconds``."""
        if ids:
            self._work.run(_POSTPONE, ids=list(ids), seconds=seconds)


_PRECEDENCE = (Failed, Paid, Pending)


def _dispute_id(event: WebhookEvent) -> str | None:
    """Return the id of the dispute that the event names, or whose status it reports."""
    reported = event.reported.dispute_id if isinstance(event.reported, DisputeStatus) else None
    return event.dispute_id or reported or None


def _dump(reported: Paid | Pending | Failed | DisputeStatus | None) -> str | None:
    match reported:
        case Paid(refund_id, amount) | Pending(refund_id, amount):
            kind = "paid" if isinstance(reported, Paid) else "pending"
            return json.dumps([kind, refund_id, amount.minor, amount.currency])
        case Failed(refund_id, code, reason):
            return json.dumps(["failed", refund_id, code, reason])
        case DisputeStatus(dispute, dispute_id):
            respond_by = reported.respond_by.isoformat() if reported.respond_by else None
            return json.dumps(["dispute", dispute, dispute_id, reported.stage, respond_by])
    return None


def _load(reported: list[Any] | None) -> Paid | Pending | Failed | DisputeStatus | None:
    match reported:
        case ["paid", refund_id, minor, currency]:
            return Paid(refund_id, Money(minor, currency))
        case ["pending", refund_id, minor, currency]:
            return Pending(refund_id, Money(minor, currency))
        case ["failed", refund_id, code, reason]:
            return Failed(refund_id, code, DeclineReason(reason))
        case ["dispute", dispute, dispute_id, stage, *rest]:  # an event of an earlier version has no instant
            respond_by = datetime.fromisoformat(rest[0]) if rest and rest[0] else None
            return DisputeStatus(Dispute(dispute), dispute_id, stage, respond_by)
    return None


def _claimed_event(row: Any) -> ClaimedEvent:  # noqa: ANN401  # a row of _CLAIM
    event = WebhookEvent(
        event_id=row.event_id,
        subject=Subject(row.subject),
        charge=row.charge,
        refund_id=row.refund_id,
        dispute_id=row.dispute_id,
        reported=_load(row.reported),
    )
    return ClaimedEvent(
        id=row.id,
        provider=row.provider,
        event=event,
        deliveries=row.deliveries,
        attempts=row.attempts,
        crashes=row.crashes,
        received_at=row.received_at,
    )
