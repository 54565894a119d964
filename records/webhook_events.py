"""Webhook events: stored as they came, each event once, and processed until it is resolved."""

import json
from collections.abc import Sequence
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

_KEEP = """
with kept as (
  insert into webhook_events as n (id, provider, event, about, charge, refund_id, said, body, next_action_at)
  select gen_random_uuid(), :provider, event, about, charge, refund_id, said::jsonb, :body, now()
    from unnest(cast(:events as text[]), cast(:abouts as text[]), cast(:charges as text[]),
                cast(:refund_ids as text[]), cast(:saids as text[]))
      as i(event, about, charge, refund_id, said)
   order by event
  on conflict (provider, event) do update
     set arrivals = n.arrivals + 1,
         attempts = case when n.event = any(:repeating) then 0 else n.hearings end,
         next_action_at = case when n.event = any(:repeating) then now() else n.next_action_at end
  returning n.id, n.event, n.arrivals
), told as (
  insert into outbox (lane, bulk, seller, case_id)
  select :lane, false, '', id from kept where arrivals = 1 or event = any(:repeating)
)
select count(*) filter (where arrivals = 1 or event = any(:repeating)) as news from kept
"""
"""Duplicates are ignored. Exception: providers that use one event id for every change (Mollie); their attempts start again.

The event id alone identifies a duplicate: an id of ours made from it would be a second key with which inserts could collide.
"""

_CLAIM = """
update webhook_events n
   set claimed_until = now() + make_interval(secs => :seconds), next_action_at = now() + make_interval(secs => :seconds),
       attempts = attempts + 1, crashes = crashes + case when claimed_until = 'epoch' then 0 else 1 end
 where id in (select id from webhook_events where id = any(:ids) and next_action_at is not null and claimed_until <= now()
                 and (:suspects or claimed_until = 'epoch') for no key update skip locked)
returning id, provider, event, about, charge, refund_id, said, arrivals, attempts, crashes, received_at
"""
"""If a claim is over and was not given back, its worker crashed."""

_SUSPECTS = """
select id from webhook_events
 where id = any(:ids) and next_action_at is not null and claimed_until <= now() and claimed_until <> 'epoch' order by id
"""

_DONE = """
update webhook_events n set outcome = i.outcome, claimed_until = 'epoch',
       next_action_at = case when n.arrivals > i.arrivals then now() end
  from unnest(cast(:ids as uuid[]), cast(:arrivals as int[]), cast(:outcomes as text[])) as i(id, arrivals, outcome)
 where n.id = i.id
"""
"""An event that was received again during its processing is processed again."""

_LATER = """
update webhook_events n set claimed_until = 'epoch', next_action_at = now() + make_interval(secs => i.seconds), outcome = i.outcome,
       crashes = 0
  from unnest(cast(:ids as uuid[]), cast(:seconds as float8[]), cast(:outcomes as text[])) as i(id, seconds, outcome)
 where n.id = i.id
"""

_SAID = """
select said from webhook_events
 where provider = :provider and charge = :charge and refund_id = :refund_id and about = 'refund' and said is not null
"""

_DISPUTES = """
select n.provider, n.charge, n.said
  from unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge)
  join webhook_events n on n.provider = i.provider and n.charge = i.charge
 where n.about = 'dispute' and n.said is not null order by n.received_at desc, n.event
"""

_OVERDUE = """
select id from webhook_events where next_action_at <= now() and claimed_until <= now()
 order by next_action_at limit :limit for no key update skip locked
"""

_PUT_OFF = "update webhook_events set next_action_at = now() + make_interval(secs => :seconds) where id = any(:ids)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedEvent:
    """A webhook event that a worker has claimed."""

    id: UUID
    provider: str
    event: WebhookEvent
    deliveries: int
    attempts: int
    crashes: int
    """How many workers in a row crashed while they processed it."""
    received_at: datetime

    @property
    def payment(self) -> tuple[str, str]:
        """The payment that the event is about; the charge is empty if the event names none."""
        return self.provider, self.event.charge or ""


class WebhookEvents:
    """The notices table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def keep(self, provider: str, notices: Sequence[WebhookEvent], body: bytes) -> int:
        """Stores the events of one webhook, and wakes a worker at the commit. Returns how many events were new."""
        once = {notice.event_id: notice for notice in notices}
        if not once:
            return 0
        rows = self._work.run(
            _KEEP,
            provider=provider,
            body=body,
            lane=WebhookEventsReceived.queue,
            events=list(once),
            abouts=[notice.subject for notice in once.values()],
            charges=[notice.charge for notice in once.values()],
            refund_ids=[notice.refund_id for notice in once.values()],
            saids=[_dump(notice.reported) for notice in once.values()],
            repeating=[event for event, notice in once.items() if notice.reuses_event_id],
        )
        news = int(rows.scalar_one())
        if news:
            Outbox(self._work).wake()
        return news

    def claim(self, ids: Sequence[UUID], *, seconds: float, include_crashed: bool = False) -> list[ClaimedEvent]:
        """Claims unresolved events for ``seconds``. Events that crashed their last worker are claimed only with ``suspects``."""
        return [_heard(row) for row in self._work.run(_CLAIM, ids=list(ids), seconds=seconds, suspects=include_crashed)]

    def crashed_before(self, ids: Sequence[UUID]) -> list[UUID]:
        """Returns those of these events that crashed their last worker."""
        return [row.id for row in self._work.run(_SUSPECTS, ids=list(ids))]

    def resolve(self, outcomes: Sequence[tuple[ClaimedEvent, str]]) -> None:
        """Stores that these events are resolved or given up: (event, outcome code)."""
        if outcomes:
            self._work.run(
                _DONE,
                ids=[heard.id for heard, _ in outcomes],
                arrivals=[heard.deliveries for heard, _ in outcomes],
                outcomes=[outcome for _, outcome in outcomes],
            )

    def retry_later(self, waits: Sequence[tuple[ClaimedEvent, float, str]]) -> None:
        """Has these events processed again: (event, seconds until then, outcome code)."""
        if waits:
            self._work.run(
                _LATER,
                ids=[heard.id for heard, _, _ in waits],
                seconds=[seconds for _, seconds, _ in waits],
                outcomes=[why for _, _, why in waits],
            )

    def reported_refund(self, operation: RefundOperation) -> Paid | Pending | Failed | None:
        """Returns what signed events report of this operation's refund, in any order of arrival: a failure counts most."""
        rows = self._work.run(
            _SAID, provider=operation.provider, charge=operation.charge, refund_id=operation.refund_id
        )
        told = [said for row in rows if isinstance(said := _read(row.said), Paid | Pending | Failed)]
        return max(told, key=lambda said: _LAST_WORD.index(type(said)), default=None)

    def reported_disputes(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[DisputeStatus]]:
        """Returns all that signed events ever reported of disputes about these payments (provider, charge), newest first."""
        told: dict[tuple[str, str], list[DisputeStatus]] = {}
        if payments:
            providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
            for row in self._work.run(_DISPUTES, providers=providers, charges=charges):
                if isinstance(said := _read(row.said), DisputeStatus):
                    told.setdefault((row.provider, row.charge), []).append(said)
        return told

    def overdue(self, limit: int) -> list[UUID]:
        """Returns unresolved events that are due and that no worker holds, locked."""
        return [row.id for row in self._work.run(_OVERDUE, limit=limit)]

    def postpone(self, ids: Sequence[UUID], seconds: float) -> None:
        """Has these events sent to workers again after ``seconds``, if they are not processed by then."""
        if ids:
            self._work.run(_PUT_OFF, ids=list(ids), seconds=seconds)


_LAST_WORD = (Pending, Paid, Failed)


def _dump(said: Paid | Pending | Failed | DisputeStatus | None) -> str | None:
    match said:
        case Paid(refund_id, amount) | Pending(refund_id, amount):
            kind = "paid" if isinstance(said, Paid) else "pending"
            return json.dumps([kind, refund_id, amount.minor, amount.currency])
        case Failed(refund_id, code, refusal):
            return json.dumps(["failed", refund_id, code, refusal])
        case DisputeStatus(dispute, dispute_id):
            return json.dumps(["dispute", dispute, dispute_id, said.stage])
    return None


def _read(said: list[Any] | None) -> Paid | Pending | Failed | DisputeStatus | None:
    match said:
        case ["paid", refund_id, minor, currency]:
            return Paid(refund_id, Money(minor, currency))
        case ["pending", refund_id, minor, currency]:
            return Pending(refund_id, Money(minor, currency))
        case ["failed", refund_id, code, refusal]:
            return Failed(refund_id, code, DeclineReason(refusal))
        case ["dispute", dispute, dispute_id, *stage]:  # none in what an earlier version kept
            return DisputeStatus(Dispute(dispute), dispute_id, *stage)
    return None


def _heard(row: Any) -> ClaimedEvent:  # noqa: ANN401  # a row of _CLAIM
    notice = WebhookEvent(
        event_id=row.event,
        subject=Subject(row.about),
        charge=row.charge,
        refund_id=row.refund_id,
        reported=_read(row.said),
    )
    return ClaimedEvent(
        id=row.id,
        provider=row.provider,
        event=notice,
        deliveries=row.arrivals,
        attempts=row.attempts,
        crashes=row.crashes,
        received_at=row.received_at,
    )
