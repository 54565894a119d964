"""Store support tasks. A task is created each time a case goes to support, and for each problem with a payment.

An agent takes a task for some time, and closes it. The task of a case is closed when the case leaves support. Each change of a
task replaces its newest event (records/support_task_events.py).
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from domain.messages import SupportNeeded
from domain.snoozes import LONGEST_SNOOZE, WAKES_BEFORE, Snooze, SnoozeUntil
from domain.support_clocks import ClockOwner
from domain.support_tasks import SupportTaskKind
from records.leased_queue import LeasedQueue
from records.support_decisions import SupportDecisions
from records.task_filters import EVERY_TASK, IS_AWAKE, IS_FREE, Position, TaskFilter, count, selection
from records.transaction import Rows, Transaction

_ENQUEUED = f"""
insert into outbox (queue, bulk, seller_id, item_id)
select '{SupportNeeded.queue}', false, coalesce(seller_id, ''), id from touched
"""

_ANNOUNCED = """
insert into support_task_events as e (task_id, change) select id, '{change}' from touched
on conflict (task_id) do update
   set sequence = e.sequence + 1, created_at = now(), published_at = null, claimed_until = default,
       change = case when excluded.change = 'changed' and e.change = 'opened' and e.published_at is null then 'opened'
                     else excluded.change end
"""
"""Replace the newest event of each touched task. A consumer that did not get the replaced event gets the same data later."""


def _touch(change: str, statement: str, result: str = "touched") -> str:
    """Return a statement that also stores the event and the message of each task in ``touched``, and returns ``result``."""
    return f"""
with {statement}, announced as ({_ANNOUNCED.format(change=change)}), enqueued as ({_ENQUEUED})
select * from {result}
"""


_WAKES_BY = f"""
(select min(cast(c ->> 'due' as timestamptz)) - make_interval(secs => {WAKES_BEFORE.total_seconds()})
   from jsonb_array_elements({{clocks}}) c where c ->> 'whose' <> '{ClockOwner.SELLER}')
"""
"""Until when a task with these clocks may sleep, as in domain/snoozes.py. Null if only the seller has clocks."""

_AWAKE = "snoozed_until = null, snoozed_for = null, snoozed_by = null, snoozed_revision = null"

_INSERT_FOR_CASES = """
with touched as (
  insert into support_tasks (id, case_id, seq, reasons, seller_id, language, words)
  select i.id, i.case_id, i.seq, i.reasons::jsonb, c.seller_id, c.locale, to_tsvector('simple', left(concat_ws(' ',
           c.comment, p.product, (select string_agg(value, ' ') from jsonb_each_text(c.answers)),
           (select string_agg(a.text, ' ') from customer_answers a where a.case_id = c.id),
           (select string_agg(n.text, ' ') from case_notes n where n.case_id = c.id)), 100000))
    from unnest(cast(:ids as uuid[]), cast(:case_ids as uuid[]), cast(:seqs as int[]), cast(:reasons as text[]))
      as i(id, case_id, seq, reasons)
    left join cases c on c.id = i.case_id left join purchases p on p.id = c.purchase_id
  returning id
)
insert into support_task_events (task_id, change) select id, 'opened' from touched
"""
"""The caller enqueues the message, because the message about a case contains the id of the case.

``words`` is what a search finds the task by: what the customer and support wrote, and the product.
"""

_INSERT = _touch(
    "opened",
    f"""
touched as (
  insert into support_tasks as t (id, kind, subject, case_id, seller_id, language, reasons, evidence)
  select distinct on (i.id) i.id, i.kind, i.subject, i.case_id, coalesce(i.seller_id, c.seller_id), c.locale,
         i.reasons::jsonb, i.evidence::jsonb
    from unnest(cast(:ids as uuid[]), cast(:kinds as text[]), cast(:subjects as text[]), cast(:case_ids as uuid[]),
                cast(:seller_ids as text[]), cast(:reasons as text[]), cast(:evidences as text[]))
      as i(id, kind, subject, case_id, seller_id, reasons, evidence)
    left join cases c on c.id = i.case_id
  on conflict (id) do update
     set closed_at = null, closed_by = null, outcome = null, evidence = excluded.evidence, created_at = now(),
         due_at = default, {_AWAKE}
   where t.closed_by = :product
  returning id, seller_id
)""",
)
"""Create each task that does not exist. A task that the product closed because its cause was gone opens again.

A task that a person closed stays closed, because the person has decided about the problem.
"""

_CLOSE = _touch(
    "closed",
    """
touched as (
  update support_tasks t
     set closed_at = now(), closed_by = :closed_by, outcome = :outcome, comment = :comment, assigned_to = null,
         assigned_until = null
   where t.id = :id and t.closed_at is null and t.kind <> 'case'
     and (t.assigned_to is null or t.assigned_to = :closed_by or t.assigned_until <= now())
  returning t.id, t.seller_id
)""",
)

_CLOSE_FOR_CASES = _touch(
    "closed",
    """
locked as (
  select t.id, i.closed_by, i.outcome
    from unnest(cast(:case_ids as uuid[]), cast(:seqs as int[]), cast(:closed_bys as text[]), cast(:outcomes as text[]))
      as i(case_id, seq, closed_by, outcome)
    join support_tasks t on t.case_id = i.case_id and t.seq = i.seq and t.closed_at is null
   order by t.id for no key update of t
), touched as (
  update support_tasks t
     set closed_at = now(), closed_by = l.closed_by, outcome = l.outcome, assigned_to = null, assigned_until = null
    from locked l where t.id = l.id
  returning t.id, t.seller_id
)""",
)
"""All statements that change several tasks lock the tasks in the same order, so that two of them never deadlock."""

_KEEP_FOR_CASES = _touch(
    "changed",
    f"""
kept as (
  select t.id, i.new_seq, case when w.latest > now() then w.latest end as snoozed_until
    from unnest(cast(:case_ids as uuid[]), cast(:seqs as int[]), cast(:new_seqs as int[])) as i(case_id, seq, new_seq)
    join support_tasks t on t.case_id = i.case_id and t.seq = i.seq and t.closed_at is null
   cross join lateral (
     select least(now() + make_interval(secs => {LONGEST_SNOOZE.total_seconds()}), {_WAKES_BY.format(clocks="t.clocks")})
   ) w(latest)
   order by t.id for no key update of t
), touched as (
  update support_tasks t
     set seq = k.new_seq, assigned_to = null, assigned_until = null, snoozed_until = k.snoozed_until, snoozed_revision = null,
         snoozed_for = case when k.snoozed_until is not null then '{SnoozeUntil.ANSWER}' end,
         snoozed_by = case when k.snoozed_until is not null then :product end
    from kept k where t.id = k.id
  returning t.id, t.seller_id
)""",
)
"""Support asked the customer, so the task waits for the answer. A clock that is not the seller's own ends the wait before."""

_SOLVE = """
touched as (
  update support_tasks t
     set closed_at = now(), closed_by = :product, outcome = :outcome, assigned_to = null, assigned_until = null
   where t.id in (
     select t.id from support_tasks t where t.closed_at is null and {condition} order by t.id for no key update)
  returning t.id, t.seller_id
)"""

_CLOSE_SOLVED = _touch(
    "closed",
    _SOLVE.format(
        condition="""exists (
     select from unnest(cast(:kinds as text[]), cast(:seller_ids as text[]), cast(:providers as text[]))
       as i(kind, seller_id, provider)
      where t.kind = i.kind and t.evidence ->> 'provider' = i.provider and coalesce(t.seller_id, '') = i.seller_id)
     and t.kind = any(:kinds)"""
    ),
)

_CLOSE_SOLVED_BY_ID = _touch("closed", _SOLVE.format(condition="t.id = any(:ids)"))

_CLOSE_EXPIRED = _touch(
    "closed", _SOLVE.format(condition="t.kind = 'flagged_mail' and t.created_at < now() - make_interval(days => :days)")
)

_QUEUE = LeasedQueue(
    table="support_tasks",
    key={"id": "uuid"},
    done_at="published_at",
    queue=SupportNeeded.queue,
    message_id="coalesce(case_id, id)",
    fenced=True,
)

_CLAIM = _QUEUE.claim(
    "case_id = any(:ids) or id = any(:ids)",
    """t.id, t.case_id, coalesce(t.seller_id, (select c.seller_id from cases c where c.id = t.case_id), '') as seller_id,
          t.reasons, t.evidence, t.created_at, t.claimed_until""",
)

_MARK_PUBLISHED = _QUEUE.done()

_SELECT_OVERDUE = f"""
with overdue as ({_QUEUE.overdue()})
select id, coalesce(c.bulk, false) as bulk, coalesce(t.seller_id, c.seller_id, '') as seller_id
  from overdue left join cases c using (id) left join support_tasks t using (id)
"""
"""The query returns a case once, even if several tasks about the case are unpublished."""

_OPEN_COLUMNS = """
t.id, t.case_id, coalesce(t.seller_id, '') as seller_id, t.reasons, t.evidence, t.created_at, t.claimed_until,
t.kind, t.language, t.amount, t.currency, t.clocks, t.due_at, t.assigned_to, t.assigned_until, t.snoozed_until, t.snoozed_for,
t.snoozed_by
"""
"""The columns that _open_task() reads, in this order."""

_SELECT_OPEN = f"""
select {_OPEN_COLUMNS} from ({{selection}}) q join support_tasks t using (id) order by q.due_at, q.id
"""

_SELECT_BY_CASE = f"""
select {_OPEN_COLUMNS} from support_tasks t where t.case_id = :case_id and t.kind = 'case' and t.closed_at is null
"""

_SELECT_BY_ID = f"select {_OPEN_COLUMNS} from support_tasks t where t.id = :id and t.closed_at is null"

_COUNT_OF_SELLERS = f"""
select s.id as seller_id, (
         select count(*) from (
           select from support_tasks t where t.seller_id = s.id and t.closed_at is null and {IS_AWAKE}
            order by t.due_at, t.id limit :limit) q) as tasks
  from unnest(cast(:sellers as text[])) as s(id)
"""

_SELECT_CASE_IDS = "select t.case_id from ({selection}) q join support_tasks t using (id) order by q.due_at, q.id"

_TAKE_NEXT = _touch(
    "changed",
    f"""
candidates as materialized ({{selection}}), chosen as (
  select t.id from candidates join support_tasks t using (id)
   where t.closed_at is null and {IS_FREE} and {IS_AWAKE}
   order by t.due_at, t.id limit 1 for no key update of t {{locked}}
), taken as (
  update support_tasks t set assigned_to = :agent, assigned_until = now() + make_interval(secs => :seconds), {_AWAKE}
    from chosen where t.id = chosen.id
  returning {_OPEN_COLUMNS}
), touched as (select * from taken)""",
    result="(select count(*) from candidates) c(candidates) left join taken on true",
)
"""The first candidate that is free. Only the chosen task is locked. With "skip locked", the statement does not wait."""

_TAKE = _touch(
    "changed",
    f"""
held as (
  select id, coalesce(assigned_to = :agent and assigned_until > now(), false) as is_renewed from support_tasks t
   where id = :id and closed_at is null and (assigned_to = :agent or {IS_FREE}) for no key update
), taken as (
  update support_tasks t set assigned_to = :agent, assigned_until = now() + make_interval(secs => :seconds), {_AWAKE}
    from held where t.id = held.id
  returning {_OPEN_COLUMNS}, held.is_renewed
), touched as (select * from taken where not is_renewed)""",
    result="taken",
)
"""An agent who takes a task again before the assignment ends only extends the assignment, so no event is published."""

_SNOOZE = _touch(
    "changed",
    f"""
touched as (
  update support_tasks t
     set snoozed_until = :ends_at, snoozed_for = :until, snoozed_by = :agent, snoozed_revision = :revision,
         assigned_to = null, assigned_until = null
   where t.id = :id and t.closed_at is null and (t.assigned_to = :agent or {IS_FREE}) returning t.id, t.seller_id
)""",
)

_SELECT_WAITING_FOR_REPORTS = f"""
select t.id, t.case_id, t.snoozed_revision from support_tasks t
 where t.closed_at is null and t.snoozed_until > now() and t.snoozed_for = '{SnoozeUntil.REPORT}'
"""

_WAKE = """
update support_tasks t set snoozed_until = now()
 where t.id in (
   select t.id from support_tasks t where t.id = any(:ids) and t.closed_at is null and t.snoozed_until > now()
    order by t.id for no key update)
"""
"""The task keeps for what it waited, so that the queue says why the task is back."""

_ADD_WORDS = """
with locked as (
  select t.id, i.text from unnest(cast(:ids as uuid[]), cast(:texts as text[])) as i(id, text)
    join support_tasks t on t.closed_at is null and (t.id = i.id or t.case_id = i.id and t.kind = 'case')
   order by t.id for no key update of t
)
update support_tasks t set words = t.words || to_tsvector('simple', left(locked.text, 100000)) from locked where t.id = locked.id
"""

_RELEASE = _touch(
    "changed",
    """
touched as (
  update support_tasks t set assigned_to = null, assigned_until = null
   where t.id = :id and t.assigned_to = :agent and t.closed_at is null returning t.id, t.seller_id
)""",
)

_ANNOUNCE = """
touched as (
  select t.id, t.seller_id from support_tasks t
   where t.closed_at is null and {condition} order by t.id for no key update skip locked
)"""
"""A task that another transaction changes at this moment is skipped, because that transaction publishes the task itself."""

_ANNOUNCE_CASES = _touch("changed", _ANNOUNCE.format(condition="t.kind = 'case' and t.case_id = any(:case_ids)"))

_ANNOUNCE_PAYMENT = _touch(
    "changed",
    _ANNOUNCE.format(
        condition="""t.kind = 'case' and t.case_id in (
     select c.id from cases c join purchase_payments b on b.purchase_id = c.purchase_id
      where b.provider = :provider and b.charge = :charge and c.state = 'with_support')"""
    ),
)

_ANNOUNCE_SELLER = _touch("changed", _ANNOUNCE.format(condition="t.seller_id = :seller_id"))

_REFRESH = _touch(
    "changed",
    """
touched as (
  update support_tasks t set evidence = cast(:evidence as jsonb)
   where t.id = :id and t.closed_at is null and t.evidence <> cast(:evidence as jsonb)
  returning t.id, t.seller_id
)""",
)

_DESCRIBE = f"""
with locked as (select t.id from support_tasks t where t.id = any(:ids) order by t.id for no key update)
update support_tasks t
   set due_at = i.due_at, clocks = i.clocks::jsonb, amount = i.amount, currency = i.currency,
       snoozed_until = case when t.snoozed_until is not null
                            then least(t.snoozed_until, {_WAKES_BY.format(clocks="i.clocks::jsonb")}) end
  from unnest(cast(:ids as uuid[]), cast(:due_ats as timestamptz[]), cast(:clocks as text[]), cast(:amounts as bigint[]),
              cast(:currencies as text[])) as i(id, due_at, clocks, amount, currency)
  join locked using (id)
 where t.id = i.id
"""

_PUBLISH_AGAIN = """
with reset as (
  update support_tasks t set published_at = null, claimed_until = default where closed_at is null returning 1
)
select count(*) from reset
"""

_PUBLISH_MISSING_AGAIN = """
with reset as (
  update support_tasks t
     set published_at = null, claimed_until = t.published_at + (t.published_at - t.created_at)
   where t.published_at >= :since and t.published_at < :until
     and t.id <> all(cast(:unread as uuid[])) and closed_at is null returning 1
)
select count(*) from reset
"""
"""A task stays claimed until its age has doubled since its last publication.

So a task that is lost for the first time is published at once. If the broker removes keys all the time, a helpdesk that has read
a task gets the task a few times more, at growing intervals.
"""

_SELECT_READ_BEFORE = """
select least(:at - make_interval(secs => :seconds), min(published_at)) from support_tasks where id = any(:unread)
"""

PRODUCT = "moneyback"
"""Who closed a task whose cause was gone. No agent has this name."""
SOLVED, EXPIRED = "solved", "expired"
FLAGGED_MAIL_DAYS = 14
"""After this number of days, a task about a flagged e-mail is closed, because support may have answered in the mailbox."""

_CANDIDATES = 16
"""How many of the most urgent tasks take_next() looks at first. More agents than this rarely take a task at the same moment."""

RECORDING = 5  # seconds; a worker records within this time that a task was published

_NAMESPACE = UUID("6d6f6e65-7962-4163-8b00-7461736b7321")
"""The UUID namespace for the ids of tasks about payments. If the same problem is found again, its task has the same id."""


@dataclass(frozen=True, slots=True)
class SupportTask:
    """Work for support: a case to decide, or a problem with a payment. Version 1 of the queue needs these columns."""

    id: UUID
    case_id: UUID | None
    seller_id: str
    reasons: list[dict[str, str]]
    evidence: dict[str, str | int | None]
    created_at: datetime
    claimed_until: datetime


@dataclass(frozen=True, slots=True)
class OpenTask(SupportTask):
    """A task that waits for an answer of support, as the desk shows it."""

    kind: str
    language: str | None
    amount: int | None
    currency: str | None
    clocks: list[dict[str, str]]
    """The clocks of domain/support_clocks.py, with their instants as text, the earliest due clock first."""
    due_at: datetime
    """The instant of the earliest clock. It orders the queue."""
    assigned_to: str | None
    assigned_until: datetime | None
    """The agent ``assigned_to`` has taken the task until this instant. Afterwards, every agent may take the task."""
    snoozed_until: datetime | None
    """The agent ``snoozed_by`` has snoozed the task until this instant at the latest. Afterwards, it is in the queue again."""
    snoozed_for: str | None
    """A value of SnoozeUntil."""
    snoozed_by: str | None

    @property
    def is_decision(self) -> bool:
        """True if support must decide the case. Otherwise, the task reports a problem, or an e-mail to read."""
        return self.kind == "case"

    @property
    def codes(self) -> frozenset[str]:
        """The codes of the reasons."""
        return frozenset(reason["code"] for reason in self.reasons)

    @property
    def mail_id(self) -> UUID | None:
        """The id of the flagged e-mail that the task asks to read, or None."""
        return UUID(str(self.evidence["mail_id"])) if self.kind == SupportTaskKind.FLAGGED_MAIL else None

    @property
    def position(self) -> Position:
        """The position of the task in the queue."""
        return Position(self.due_at, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDescription:
    """What the worker knows about a task, and the database stores to order and to filter the queue."""

    id: UUID
    due_at: datetime
    clocks: list[dict[str, str]]
    amount: int | None
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSupportTask:
    """A problem with a payment. Two problems with the same kind and the same ``subject`` get only one task."""

    kind: SupportTaskKind
    subject: str
    case_id: UUID | None = None
    seller_id: str | None = None
    evidence: Mapping[str, str | int | None]

    @property
    def id(self) -> UUID:
        return uuid5(_NAMESPACE, f"{self.kind}\n{self.subject}")


class SupportTasks:
    """The table ``support_tasks``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work
        self._plans_for_values = False

    def create_for_cases(self, tasks: Sequence[tuple[UUID, int, str]]) -> None:
        """Create tasks about cases. Each item is (case id, number of the transition to "with_support", reasons as JSON)."""
        if tasks:
            cases, seqs, reasons = map(list, zip(*tasks, strict=True))
            ids = [uuid5(case, f"task {seq}") for case, seq, _ in tasks]
            self._work.run(_INSERT_FOR_CASES, ids=ids, case_ids=cases, seqs=seqs, reasons=reasons)

    def create(self, tasks: Sequence[NewSupportTask]) -> set[UUID]:
        """Create each of these tasks that does not exist yet, or that the product has closed. Return the ids of these tasks."""
        if not tasks:
            return set()
        rows = self._work.run(
            _INSERT,
            product=PRODUCT,
            ids=[task.id for task in tasks],
            kinds=[task.kind for task in tasks],
            subjects=[task.subject for task in tasks],
            case_ids=[task.case_id for task in tasks],
            seller_ids=[task.seller_id for task in tasks],
            reasons=[json.dumps([{"code": task.kind, "sentence": task.kind.sentence, "detail": ""}]) for task in tasks],
            evidences=[json.dumps(dict(task.evidence)) for task in tasks],
        )
        return {row.id for row in rows}

    def refresh(self, task: NewSupportTask) -> None:
        """Store the evidence of this task if the task is open and its evidence changed."""
        self._change(_REFRESH, id=task.id, evidence=json.dumps(dict(task.evidence)))

    def announce_cases(self, cases: Sequence[UUID]) -> None:
        """Publish the open tasks of these cases as changed, because a fact changed from which their clocks follow."""
        if cases:
            self._change(_ANNOUNCE_CASES, case_ids=list(cases))

    def announce_payment(self, provider: str, charge: str) -> None:
        """Publish the open tasks of the cases about this payment as changed, as above."""
        self._change(_ANNOUNCE_PAYMENT, provider=provider, charge=charge)

    def announce_seller(self, seller: str) -> None:
        """Publish the open tasks of this seller as changed, as above."""
        self._change(_ANNOUNCE_SELLER, seller_id=seller)

    def claim(self, ids: Sequence[UUID], *, seconds: float) -> list[SupportTask]:
        """Claim unpublished tasks for ``seconds``. Each of ``ids`` is the id of a task or of a case."""
        return [SupportTask(*row) for row in self._work.run(_CLAIM, ids=list(ids), seconds=seconds)]

    def mark_published(self, tasks: Sequence[SupportTask]) -> None:
        """Mark these tasks as published. Skip a task that another worker has claimed or that publish_again() has reset."""
        if tasks:
            ids, claimed_untils = [task.id for task in tasks], [task.claimed_until for task in tasks]
            self._work.run(_MARK_PUBLISHED, ids=ids, claimed_untils=claimed_untils)

    def publish_again(self) -> int:
        """Mark every open task as unpublished, so that it is published again. Return the number of open tasks.

        A worker that is publishing an open task loses its claim, because the broker may have lost this worker's message, too.
        """
        return int(self._work.run(_PUBLISH_AGAIN).scalar_one())

    def publish_missing_again(self, unread: Sequence[UUID], *, since: datetime, until: datetime) -> int:
        """Mark every open task as unpublished that was published from ``since`` to ``until`` and is not ``unread``.

        Return the number of tasks.
        """
        values = {"unread": list(unread), "since": since, "until": until}
        return int(self._work.run(_PUBLISH_MISSING_AGAIN, **values).scalar_one())

    def read_before(self, unread: Sequence[UUID], *, at: datetime) -> datetime:
        """Return the instant before which every published task was read, as far as it was known ``at`` this instant.

        ``unread`` contains at least the oldest unread task.
        """
        values = {"unread": list(unread), "at": at, "seconds": RECORDING}
        read_before: datetime = self._work.run(_SELECT_READ_BEFORE, **values).scalar_one()
        return read_before

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Return (bulk, seller id, case id) for up to ``limit`` cases with an overdue task.

        A task is overdue if it has been unpublished for more than ``seconds``. For a task without a case, the last value is
        the id of the task.
        """
        rows = self._work.run(_SELECT_OVERDUE, seconds=seconds, limit=limit)
        return [(row.bulk, row.seller_id, row.id) for row in rows]

    def list_open(
        self, filters: TaskFilter = EVERY_TASK, *, after: Position | None = None, limit: int = 200
    ) -> list[OpenTask]:
        """Return up to ``limit`` open tasks, the earliest due task first. ``after`` is the position of the previous task."""
        query, values = selection(filters, after)
        rows = self._plan(_SELECT_OPEN.format(selection=query), limit=limit, **values)
        return [_open_task(row) for row in rows]

    def count_open(self, filters: TaskFilter = EVERY_TASK, *, limit: int = 1_000_000) -> int:
        """Return the number of open tasks. If there are more than ``limit``, return ``limit``, because counting takes time."""
        query, values = count(filters)
        return int(self._plan(query, limit=limit, **values).scalar_one())

    def count_of_sellers(self, sellers: Sequence[str], *, limit: int) -> dict[str, int]:
        """Return the number of open tasks of each seller that are not snoozed. A number is at most ``limit``."""
        rows = self._work.run(_COUNT_OF_SELLERS, sellers=list(sellers), limit=limit)
        return {row.seller_id: row.tasks for row in rows}

    def cases_of_open(self, filters: TaskFilter, *, limit: int) -> list[UUID]:
        """Return the ids of the cases that up to ``limit`` open tasks ask support to decide, the earliest due task first."""
        query, values = selection(replace(filters, kinds=("case",)))
        return [row.case_id for row in self._plan(_SELECT_CASE_IDS.format(selection=query), limit=limit, **values)]

    def of_case(self, case: UUID) -> OpenTask | None:
        """Return the open task of this case, or None if support has nothing to decide."""
        row = self._work.run(_SELECT_BY_CASE, case_id=case).one_or_none()
        return None if row is None else _open_task(row)

    def get(self, task: UUID) -> OpenTask | None:
        """Return the open task with this id, or None if it is closed or unknown."""
        row = self._work.run(_SELECT_BY_ID, id=task).one_or_none()
        return None if row is None else _open_task(row)

    def take_next(self, agent: str, *, seconds: float, filters: TaskFilter = EVERY_TASK) -> OpenTask | None:
        """Assign the earliest due task that no agent has taken to this agent, for ``seconds``. None means no such task.

        Agents that take their next task at the same time get different tasks. An agent waits only if each free task is locked:
        another agent may be taking it, or a worker may be publishing it.
        """
        query, values = selection(replace(filters, unclaimed=True, snoozed=False))
        locked, limit = "skip locked", _CANDIDATES
        while True:
            statement = _TAKE_NEXT.format(selection=query, locked=locked)
            row = self._plan(statement, agent=agent, seconds=seconds, limit=limit, **values).one()
            if row.id is not None:
                self._work.notifies = True
                return _open_task(row[1:])
            if row.candidates == limit:
                limit *= 8
            elif row.candidates and locked:
                locked = ""
            else:
                return None

    def take(self, task: UUID, agent: str, *, seconds: float) -> OpenTask | None:
        """Assign this open task to this agent for ``seconds``. Return None if another agent has taken it, or if it is closed."""
        return self._touched(_TAKE, id=task, agent=agent, seconds=seconds)

    def snooze(self, task: UUID, snooze: Snooze) -> bool:
        """Snooze this open task. Return False if another agent has taken it, or if it is closed."""
        return (
            self._change(
                _SNOOZE,
                id=task,
                until=snooze.until,
                ends_at=snooze.ends_at,
                agent=snooze.agent,
                revision=snooze.revision,
            )
            > 0
        )

    def wake_reported(self) -> int:
        """End each snooze until a report whose case has another revision. Return the number of tasks that are back."""
        waiting = list(self._work.run(_SELECT_WAITING_FOR_REPORTS))
        if not waiting:
            return 0
        revisions = SupportDecisions(self._work).revisions([row.case_id for row in waiting if row.case_id])
        changed = [row.id for row in waiting if str(revisions.get(row.case_id)) != row.snoozed_revision]
        self._work.run(_WAKE, ids=changed)
        return len(changed)

    def add_words(self, texts: Mapping[UUID, str]) -> None:
        """Let a search find open tasks by these texts, too. Each key is the id of a task, or of a case that support decides."""
        if texts:
            self._work.run(_ADD_WORDS, ids=list(texts), texts=list(texts.values()))

    def release(self, task: UUID, agent: str) -> bool:
        """End the assignment of this task to this agent. Return whether the agent had taken the task."""
        return self._change(_RELEASE, id=task, agent=agent) > 0

    def close(self, task: UUID, by: str, outcome: str, comment: str = "") -> bool:
        """Close this task, unless another agent has taken it. Return whether the task was open.

        A task about a case is not closed here, because it is closed by the decision about the case.
        """
        return self._change(_CLOSE, id=task, closed_by=by, outcome=outcome, comment=comment or None) > 0

    def close_for_cases(self, tasks: Sequence[tuple[UUID, int, str, str]]) -> None:
        """Close tasks about cases. Each item is (case id, number of the transition to "with_support", actor, outcome)."""
        if tasks:
            cases, seqs, actors, outcomes = map(list, zip(*tasks, strict=True))
            self._change(_CLOSE_FOR_CASES, case_ids=cases, seqs=seqs, closed_bys=actors, outcomes=outcomes)

    def keep_for_cases(self, tasks: Sequence[tuple[UUID, int, int]]) -> None:
        """Let tasks about cases wait for the customer's answer.

        Each item is (case id, the task's number of the transition, the number of the new one).
        """
        if tasks:
            cases, seqs, new_seqs = map(list, zip(*tasks, strict=True))
            self._change(_KEEP_FOR_CASES, case_ids=cases, seqs=seqs, new_seqs=new_seqs, product=PRODUCT)

    def close_solved(self, causes: Collection[tuple[SupportTaskKind, str, str]]) -> int:
        """Close the open tasks of these causes, which are gone. A cause is (kind, seller id, provider).

        The seller id is empty if the tasks of the kind name no seller. Return the number of closed tasks.
        """
        if not causes:
            return 0
        kinds, sellers, providers = map(list, zip(*sorted(causes), strict=True))
        return self._change(
            _CLOSE_SOLVED, kinds=kinds, seller_ids=sellers, providers=providers, product=PRODUCT, outcome=SOLVED
        )

    def close_solved_by_id(self, tasks: Sequence[UUID]) -> int:
        """Close those of these tasks that are open, because their causes are gone. Return the number of closed tasks."""
        return self._change(_CLOSE_SOLVED_BY_ID, ids=list(tasks), product=PRODUCT, outcome=SOLVED) if tasks else 0

    def close_expired(self) -> int:
        """Close the tasks about flagged e-mails that nobody closed. Return the number of closed tasks."""
        return self._change(_CLOSE_EXPIRED, days=FLAGGED_MAIL_DAYS, product=PRODUCT, outcome=EXPIRED)

    def describe(self, descriptions: Sequence[TaskDescription]) -> None:
        """Store what orders and filters the queue: the clocks, the earliest due clock, and the amount."""
        if descriptions:
            self._work.run(
                _DESCRIBE,
                ids=[description.id for description in descriptions],
                due_ats=[description.due_at for description in descriptions],
                clocks=[json.dumps(description.clocks) for description in descriptions],
                amounts=[description.amount for description in descriptions],
                currencies=[description.currency for description in descriptions],
            )

    def count_unpublished(self) -> int:
        """Return the number of tasks that are not published yet."""
        return int(self._work.run(_QUEUE.waiting()).scalar_one())

    def count(self) -> int:
        """Return the number of tasks that were published."""
        return int(self._work.run(_QUEUE.finished()).scalar_one())

    def _plan(self, statement: str, **values: object) -> Rows:
        """Run a statement with filters. PostgreSQL plans it for these values, because the best index depends on them."""
        if not self._plans_for_values:  # the setting ends with the transaction
            self._work.run("set local plan_cache_mode = force_custom_plan")
            self._plans_for_values = True
        return self._work.run(statement, **values)

    def _touched(self, statement: str, **values: object) -> OpenTask | None:
        row = self._work.run(statement, **values).one_or_none()
        self._work.notifies |= row is not None
        return None if row is None else _open_task(row)

    def _change(self, statement: str, **values: object) -> int:
        changed = len(list(self._work.run(statement, **values)))
        self._work.notifies |= changed > 0
        return changed


def _open_task(row: Any) -> OpenTask:  # noqa: ANN401  # a row with _OPEN_COLUMNS
    return OpenTask(*row[:18])
