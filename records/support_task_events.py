"""Store the newest event of each support task, which version 2 of the queue of support tasks publishes.

An event contains the whole task. So a newer event replaces an older event that was not published yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.messages import SupportNeeded
from domain.support_clocks import PROMISES_OF_MONEY, SupportWait
from records.leased_queue import LeasedQueue
from records.support_tasks import RECORDING
from records.support_waits import HISTORY_STEPS, support_wait
from records.transaction import Transaction

_QUEUE = LeasedQueue(
    table="support_task_events",
    key={"task_id": "uuid"},
    done_at="published_at",
    queue=SupportNeeded.queue,
    message_id="task_id",
    fenced=True,
)

_CLAIM = _QUEUE.claim(
    "task_id = any(:ids) or task_id in (select id from support_tasks where case_id = any(:ids))",
    "t.task_id, t.sequence, t.change, t.created_at, t.claimed_until",
)
"""A message contains the id of a task or of a case."""

_MARK_PUBLISHED = _QUEUE.done()

_SELECT_OVERDUE = f"""
with overdue as ({_QUEUE.overdue()})
select id, coalesce(t.seller_id, '') as seller_id from overdue join support_tasks t using (id)
"""

_SELECT_NEWEST = """
select task_id, sequence, change, created_at, claimed_until from support_task_events where task_id = any(:ids)
"""

_SELECT_TASKS = f"""
select t.id, t.kind, t.case_id, coalesce(t.seller_id, '') as seller_id, t.language, t.reasons, t.evidence, t.created_at,
       t.assigned_to, t.assigned_until, t.closed_by, t.outcome, s.time_zone, s.answer_hours, c.purchase_id,
       (select min(e.sent_at) from case_emails e where e.case_id = t.case_id and e.kind = any(:promises) and not e.omitted)
         as promised_at,
       (select {HISTORY_STEPS} from transitions h where h.case_id = t.case_id and h.seq <= t.seq) as steps,
       (select min(y.dispute_respond_by) from purchase_payments b join payments y using (provider, charge)
         where b.purchase_id = c.purchase_id and y.dispute in ('open', 'inquiry')) as respond_by,
       (select h.evidence -> 'rules' from transitions h where h.case_id = t.case_id and h.seq = t.seq) as rules,
       array(select jsonb_build_object('id', o.id, 'outcome', o.outcome, 'closed_at', o.closed_at) from support_tasks o
              where t.kind = 'case' and o.kind = 'case' and o.case_id = t.case_id and o.seq < t.seq and o.closed_at is not null
              order by o.seq) as previous
  from support_tasks t left join cases c on c.id = t.case_id left join sellers s on s.id = coalesce(t.seller_id, c.seller_id)
 where t.id = any(:ids)
"""
"""Only a task about a case has ``seq``, and so steps. ``previous`` are the earlier tasks of the case.

The rules are those of the evaluation that handed the case over.
"""

_IS_WANTED = """
exists (select from support_tasks k
         where k.id = t.task_id and (k.closed_at is null or k.closed_at > now() - make_interval(days => :days)))
"""
"""True if a consumer needs the newest event of the task, because the task is open or was closed recently."""

_PUBLISH_AGAIN = f"""
with reset as (
  update support_task_events t set published_at = null, claimed_until = default where {_IS_WANTED} returning 1
)
select count(*) from reset
"""

_PUBLISH_MISSING_AGAIN = f"""
with reset as (
  update support_task_events t
     set published_at = null, claimed_until = t.published_at + (t.published_at - t.created_at)
   where t.published_at >= :since and t.published_at < :until
     and t.task_id <> all(cast(:unread as uuid[])) and {_IS_WANTED} returning 1
)
select count(*) from reset
"""
"""An event stays claimed until its age has doubled since its last publication, as in records/support_tasks.py."""

_SELECT_READ_BEFORE = """
select least(:at - make_interval(secs => :seconds), min(published_at)) from support_task_events where task_id = any(:unread)
"""

CLOSED_DAYS = 14
"""If the broker loses its data, the last events of the tasks that were closed in this number of days are published again.

A consumer that did not read the event would keep the ticket open. Consumers are back within this time.
"""


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """The newest event of a task, which this worker publishes."""

    task_id: UUID
    sequence: int
    change: str
    created_at: datetime
    claimed_until: datetime


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task with the facts of its case that an event contains, or that the clocks follow from."""

    id: UUID
    kind: str
    case_id: UUID | None
    seller_id: str
    language: str | None
    reasons: list[dict[str, str]]
    evidence: dict[str, str | int | None]
    created_at: datetime
    assigned_to: str | None
    assigned_until: datetime | None
    closed_by: str | None
    outcome: str | None
    time_zone: str | None
    answer_hours: int | None
    purchase_id: UUID | None
    promised_at: datetime | None
    """The instant of the first e-mail that promised the money."""
    wait: SupportWait | None
    """How long the customer has waited; None if the task is not about a case."""
    respond_by: datetime | None
    """The instant until which a provider expects an answer about a dispute of one of the payments."""
    rules: dict[str, str] | None
    """The result of each rule: ``kept``, or the code of the reason. None if no evaluation handed the case over."""
    previous: list[dict[str, Any]]


class SupportTaskEvents:
    """The table ``support_task_events``. The statements of records/support_tasks.py write it."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def claim(self, ids: Sequence[UUID], *, seconds: float) -> list[ClaimedEvent]:
        """Claim unpublished events for ``seconds``. Each of ``ids`` is the id of a task or of a case."""
        return [ClaimedEvent(*row) for row in self._work.run(_CLAIM, ids=list(ids), seconds=seconds)]

    def newest(self, tasks: Sequence[UUID]) -> list[ClaimedEvent]:
        """Return the newest event of each of these tasks, without a claim."""
        return [ClaimedEvent(*row) for row in self._work.run(_SELECT_NEWEST, ids=list(tasks))]

    def tasks(self, ids: Sequence[UUID]) -> dict[UUID, TaskRecord]:
        """Return these tasks by id."""
        promises = [kind.value for kind in PROMISES_OF_MONEY]
        return {row.id: _task(row) for row in self._work.run(_SELECT_TASKS, ids=list(ids), promises=promises)}

    def mark_published(self, events: Sequence[ClaimedEvent]) -> None:
        """Mark these events as published. Skip an event that another worker has claimed, or that a newer event replaced."""
        if events:
            self._work.run(
                _MARK_PUBLISHED,
                task_ids=[event.task_id for event in events],
                claimed_untils=[event.claimed_until for event in events],
            )

    def publish_again(self) -> int:
        """Mark the newest event of every open or recently closed task as unpublished. Return the number of events."""
        return int(self._work.run(_PUBLISH_AGAIN, days=CLOSED_DAYS).scalar_one())

    def publish_missing_again(self, unread: Sequence[UUID], *, since: datetime, until: datetime) -> int:
        """Mark the events as unpublished that were published from ``since`` to ``until``, and whose tasks are not ``unread``.

        Return the number of events.
        """
        values = {"unread": list(unread), "since": since, "until": until, "days": CLOSED_DAYS}
        return int(self._work.run(_PUBLISH_MISSING_AGAIN, **values).scalar_one())

    def read_before(self, unread: Sequence[UUID], *, at: datetime) -> datetime:
        """Return the instant before which every published event was read, as far as it was known ``at`` this instant.

        ``unread`` contains at least the oldest unread task.
        """
        values = {"unread": list(unread), "at": at, "seconds": RECORDING}
        read_before: datetime = self._work.run(_SELECT_READ_BEFORE, **values).scalar_one()
        return read_before

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Return (bulk, seller id, task id) for up to ``limit`` events that were unpublished for more than ``seconds``."""
        rows = self._work.run(_SELECT_OVERDUE, seconds=seconds, limit=limit)
        return [(False, row.seller_id, row.id) for row in rows]

    def count_unpublished(self) -> int:
        """Return the number of tasks whose newest event is not published yet."""
        return int(self._work.run(_QUEUE.waiting()).scalar_one())


def _task(row: Any) -> TaskRecord:  # noqa: ANN401  # a row of _SELECT_TASKS
    values = row._asdict()
    return TaskRecord(wait=support_wait(values.pop("steps")), **values)
