"""Store the tickets that support tasks have in other helpdesks: one row for each task and helpdesk, before the first call.

The caller gives the current time, which is the time of the database, except in tests.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from uuid import UUID

from domain.helpdesks import CallKind, TicketRow, TicketStatus
from domain.messages import HelpdeskTicketsDue
from records.transaction import Transaction

_WANT = f"""
with wanted as (
  insert into helpdesk_tickets as t (id, task_id, target, created_at, next_action_at)
  select gen_random_uuid(), task_id, target, :now, :now
    from unnest(cast(:task_ids as uuid[])) as i(task_id), unnest(cast(:targets as text[])) as g(target)
   order by task_id, target
  on conflict (task_id, target) do update
     set next_action_at = case
           when t.next_action_at is not null and (t.status = 'unknown' or t.attempts > 0) then t.next_action_at
           else least(coalesce(t.next_action_at, 'infinity'), greatest(:now, t.called_at + cast(:pause as interval))) end
   where exists (select from support_task_events e where e.task_id = t.task_id and e.sequence > t.sent_sequence)
  returning id, next_action_at
), enqueued as (
  insert into outbox (queue, bulk, seller_id, item_id)
  select '{HelpdeskTicketsDue.queue}', false, '', id from wanted where next_action_at <= :now
)
select id from wanted
"""
"""A ticket whose call had no effect keeps the instant of its next call, because each event would otherwise repeat the call."""

_COLUMNS = ", ".join(f"t.{field.name}" for field in fields(TicketRow))

_LOCK_DUE = f"""
select {_COLUMNS}, k.closed_at is not null as is_closed
  from helpdesk_tickets t join support_tasks k on k.id = t.task_id
 where t.id = any(:ids) and t.target = :target and t.next_action_at <= :now and t.claimed_until <= :now
 order by t.next_action_at, t.id for no key update of t skip locked
"""

_CLAIM = """
update helpdesk_tickets t
   set claimed_until = :until, called_at = :now,
       sent_at = case when i.creates then :now else t.sent_at end,
       first_sent_at = case when i.creates then coalesce(t.first_sent_at, :now) else t.first_sent_at end
  from unnest(cast(:ids as uuid[]), cast(:creates as bool[])) as i(id, creates) where t.id = i.id
"""
"""A worker that crashes during the call leaves ``sent_at``, so the next worker looks the ticket up."""

_DEFER = """
update helpdesk_tickets t set next_action_at = i.next_action_at
  from unnest(cast(:ids as uuid[]), cast(:instants as timestamptz[])) as i(id, next_action_at) where t.id = i.id
"""

_DEFER_OTHERS = """
update helpdesk_tickets set next_action_at = :until
 where id in (
   select id from helpdesk_tickets
    where id = any(:ids) and target <> all(cast(:targets as text[])) and next_action_at is not null
    order by id for no key update skip locked)
"""

_RECORD = """
update helpdesk_tickets t
   set status = :status, ref = :ref, round = :round, follows = :follows, sent_sequence = :sent_sequence, digest = :digest,
       revision = :revision,
       sent_at = :sent_at, first_sent_at = :first_sent_at, lookups = :lookups, attempts = :attempts, refused = :refused,
       why = :why, claimed_until = 'epoch',
       next_action_at = coalesce(cast(:next_action_at as timestamptz), case when exists (
         select from support_task_events e where e.task_id = t.task_id and e.sequence > :sent_sequence) then :later end)
 where t.id = :id and t.claimed_until = :claimed_until
"""
"""If an event was stored during the call, the ticket is due again at ``later``."""

_SELECT_OVERDUE = f"""
select id from helpdesk_tickets where next_action_at <= now() and claimed_until <= now()
except select item_id from outbox where queue = '{HelpdeskTicketsDue.queue}' limit :limit
"""

_HAS_REFUSED = "select exists (select from helpdesk_tickets where target = :target and refused = :cause)"

_RETRY_REFUSED = """
update helpdesk_tickets set next_action_at = :now, refused = null, attempts = 0
 where target = :target and refused is not null returning id
"""

_CREATE_AGAIN = """
update helpdesk_tickets
   set status = 'creating', sent_at = null, first_sent_at = null, lookups = 0, attempts = 0, round = round + 1,
       next_action_at = :now
 where target = :target and task_id = :task_id and status = 'unknown' and claimed_until <= :now returning round
"""
"""The new ticket has another mark and another key, because the old ones may belong to a ticket that a person deleted."""

_BY_REF = """
select t.task_id, k.case_id, t.revision, k.closed_at is not null as is_closed,
       not exists (select from support_task_events e where e.task_id = t.task_id and e.sequence > t.sent_sequence) as is_current
  from helpdesk_tickets t join support_tasks k on k.id = t.task_id
 where t.target = :target and (t.ref = :ref or t.task_id::text = :ref)
"""

_COUNT = (
    "select target, status, count(*) as tickets from helpdesk_tickets group by target, status order by target, status"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedTicket:
    """A ticket that this worker has claimed for one call, as it was before the claim."""

    row: TicketRow
    kind: CallKind
    claimed_until: datetime
    is_closed: bool
    """Whether the support task is closed."""


@dataclass(frozen=True, slots=True)
class DueTicket:
    """A ticket that is due."""

    row: TicketRow
    is_closed: bool


@dataclass(frozen=True, slots=True)
class ReportedTicket:
    """The ticket that a webhook of a helpdesk is about."""

    task_id: UUID
    case_id: UUID | None
    revision: str | None
    """The revision of the case that the ticket shows."""
    is_closed: bool
    is_current: bool
    """Whether the ticket shows the newest state of the task."""


class HelpdeskTickets:
    """The table ``helpdesk_tickets``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def want(self, tasks: Sequence[UUID], targets: Sequence[str], *, now: datetime, pause: timedelta) -> None:
        """Make the tickets of these tasks due at these helpdesks, in the transaction that claims the events of the tasks."""
        if tasks and targets:
            rows = self._work.run(_WANT, task_ids=list(tasks), targets=list(targets), now=now, pause=pause)
            self._work.notifies |= bool(list(rows))

    def lock_due(self, ids: Sequence[UUID], target: str, *, now: datetime) -> list[DueTicket]:
        """Lock and return those of these tickets at this helpdesk that are due, and that no worker has claimed."""
        rows = self._work.run(_LOCK_DUE, ids=list(ids), target=target, now=now)
        return [_due_ticket(tuple(row)) for row in rows]

    def claim(
        self, tickets: Sequence[tuple[DueTicket, CallKind]], *, now: datetime, seconds: float
    ) -> list[ClaimedTicket]:
        """Claim locked tickets, each for one call, and store that the call may be made. Return the tickets as they were."""
        until = now + timedelta(seconds=seconds)
        if tickets:
            creates = [kind is CallKind.CREATE for _, kind in tickets]
            self._work.run(_CLAIM, ids=[due.row.id for due, _ in tickets], creates=creates, now=now, until=until)
        return [
            ClaimedTicket(row=due.row, kind=kind, claimed_until=until, is_closed=due.is_closed) for due, kind in tickets
        ]

    def defer(self, tickets: Collection[tuple[UUID, datetime]]) -> None:
        """Make each of these locked tickets due at its instant."""
        if tickets:
            ids, instants = map(list, zip(*tickets, strict=True))
            self._work.run(_DEFER, ids=ids, instants=instants)

    def defer_others(self, ids: Sequence[UUID], targets: Collection[str], *, until: datetime) -> None:
        """Make those of these tickets due later whose helpdesks are not among the connected ``targets``."""
        self._work.run(_DEFER_OTHERS, ids=list(ids), targets=list(targets), until=until)

    def record(
        self,
        claim: ClaimedTicket,
        after: TicketRow,
        *,
        why: str | None,
        next_action_at: datetime | None,
        later: datetime,
    ) -> bool:
        """Record the result of a call. Return False if the claim has ended, and another worker may have the ticket."""
        row = self._work.run(
            _RECORD,
            id=after.id,
            claimed_until=claim.claimed_until,
            status=after.status,
            ref=after.ref,
            round=after.round,
            follows=after.follows,
            sent_sequence=after.sent_sequence,
            digest=after.digest,
            revision=after.revision,
            sent_at=after.sent_at,
            first_sent_at=after.first_sent_at,
            lookups=after.lookups,
            attempts=after.attempts,
            refused=after.refused,
            why=why,
            next_action_at=next_action_at,
            later=later,
        )
        return row.rowcount > 0

    def overdue(self, limit: int) -> list[UUID]:
        """Return the ids of up to ``limit`` due tickets that no worker has claimed, and that have no message in the outbox."""
        return [row.id for row in self._work.run(_SELECT_OVERDUE, limit=limit)]

    def has_refused(self, target: str, cause: str) -> bool:
        """Return whether the helpdesk refuses a ticket for this cause."""
        return bool(self._work.run(_HAS_REFUSED, target=target, cause=cause).scalar_one())

    def retry_refused(self, target: str, *, now: datetime) -> int:
        """Make the refused tickets of a helpdesk due, because an operator has corrected the cause. Return their number."""
        return len(list(self._work.run(_RETRY_REFUSED, target=target, now=now)))

    def create_again(self, target: str, task_id: UUID, *, now: datetime) -> int | None:
        """Let an unknown ticket be created again, because a person has seen that it does not exist.

        Return the new number of tickets of the task at the helpdesk. None if no ticket of the task is unknown.
        """
        row = self._work.run(_CREATE_AGAIN, target=target, task_id=task_id, now=now).one_or_none()
        return row.round if row else None

    def find(self, target: str, ref: str) -> ReportedTicket | None:
        """Return the ticket with this id of the helpdesk, or of the task with this id."""
        row = self._work.run(_BY_REF, target=target, ref=ref).first()
        return ReportedTicket(*row) if row else None

    def count(self) -> dict[tuple[str, TicketStatus], int]:
        """Return the number of tickets by helpdesk and status."""
        return {(row.target, TicketStatus(row.status)): row.tickets for row in self._work.run(_COUNT)}


def _due_ticket(row: tuple[object, ...]) -> DueTicket:
    values = dict(zip((field.name for field in fields(TicketRow)), row[:-1], strict=True))
    values["status"] = TicketStatus(str(values["status"]))
    return DueTicket(TicketRow(**values), bool(row[-1]))  # type: ignore[arg-type]  # the columns have the types of the fields
