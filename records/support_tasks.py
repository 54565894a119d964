"""Store support tasks. A task is created each time a case goes to support, and for each problem with a payment."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from domain.messages import SupportNeeded
from domain.support_tasks import SupportTaskKind
from records.leased_queue import LeasedQueue
from records.transaction import Transaction

_INSERT_FOR_CASES = """
insert into support_tasks (id, case_id, seq, reasons)
select id, case_id, seq, reasons::jsonb
  from unnest(cast(:ids as uuid[]), cast(:case_ids as uuid[]), cast(:seqs as int[]), cast(:reasons as text[]))
    as i(id, case_id, seq, reasons)
"""

_INSERT = """
with created as (
  insert into support_tasks (id, kind, subject, case_id, seller_id, reasons, evidence)
  select id, kind, subject, case_id, seller_id, reasons::jsonb, evidence::jsonb
    from unnest(cast(:ids as uuid[]), cast(:kinds as text[]), cast(:subjects as text[]), cast(:case_ids as uuid[]),
                cast(:seller_ids as text[]), cast(:reasons as text[]), cast(:evidences as text[]))
      as i(id, kind, subject, case_id, seller_id, reasons, evidence)
  on conflict do nothing
  returning id, seller_id
), enqueued as (
  insert into outbox (queue, bulk, seller_id, item_id) select :queue, false, coalesce(seller_id, ''), id from created
)
select id from created
"""

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

_IS_OPEN = """
case t.kind
  when 'case' then exists (select from cases c where c.id = t.case_id and c.state = 'with_support' and c.seq = t.seq)
  when 'flagged_mail' then t.created_at > now() - interval '14 days'
  else true
end
"""
"""A task about a case is open until the next transition of the case. A task about a payment is always open.

A task about a flagged e-mail is open for 14 days, because the desk cannot know whether support has answered it.
"""

_SELECT_OPEN = f"""
select t.id, t.case_id, coalesce(t.seller_id, c.seller_id, '') as seller_id, t.reasons, t.evidence, t.created_at,
       t.claimed_until
  from support_tasks t left join cases c on c.id = t.case_id
 where {_IS_OPEN} and t.kind <> 'flagged_mail'
   and (cast(:sellers as text[]) is null or coalesce(t.seller_id, c.seller_id) = any(:sellers))
 order by t.created_at, t.id limit :limit
"""

_PUBLISH_AGAIN = f"""
with reset as (
  update support_tasks t set published_at = null, claimed_until = default where {_IS_OPEN} returning 1
)
select count(*) from reset
"""

_PUBLISH_MISSING_AGAIN = f"""
with reset as (
  update support_tasks t
     set published_at = null, claimed_until = t.published_at + (t.published_at - t.created_at)
   where t.published_at >= :since and t.id <> all(cast(:unread as uuid[])) and {_IS_OPEN} returning 1
)
select count(*) from reset
"""
"""A task stays claimed until its age has doubled since its last publication.

So a task that is lost for the first time is published at once. If the broker removes keys all the time, a helpdesk that has read
a task gets the task a few times more, at growing intervals.
"""

_SELECT_READ_BEFORE = """
select least(now() - make_interval(secs => :seconds), min(published_at)) from support_tasks where id = any(:unread)
"""

_RECORDING = 5  # seconds; a worker records within this time that a task was published

_NAMESPACE = UUID("6d6f6e65-7962-4163-8b00-7461736b7321")
"""The UUID namespace for the ids of tasks about payments. If the same problem is found again, its task has the same id."""


@dataclass(frozen=True, slots=True)
class SupportTask:
    """Work for support: a case to decide, or a problem with a payment."""

    id: UUID
    case_id: UUID | None
    seller_id: str
    reasons: list[dict[str, str]]
    evidence: dict[str, str | int | None]
    created_at: datetime
    claimed_until: datetime


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

    def create_for_cases(self, tasks: Sequence[tuple[UUID, int, str]]) -> None:
        """Create tasks about cases. Each item is (case id, number of the transition to "with_support", reasons as JSON)."""
        if tasks:
            cases, seqs, reasons = map(list, zip(*tasks, strict=True))
            ids = [uuid5(case, f"task {seq}") for case, seq, _ in tasks]
            self._work.run(_INSERT_FOR_CASES, ids=ids, case_ids=cases, seqs=seqs, reasons=reasons)

    def create(self, tasks: Sequence[NewSupportTask]) -> set[UUID]:
        """Create each of these tasks that does not exist yet. Return the ids of the new tasks."""
        if not tasks:
            return set()
        rows = self._work.run(
            _INSERT,
            queue=SupportNeeded.queue,
            ids=[task.id for task in tasks],
            kinds=[task.kind for task in tasks],
            subjects=[task.subject for task in tasks],
            case_ids=[task.case_id for task in tasks],
            seller_ids=[task.seller_id for task in tasks],
            reasons=[json.dumps([{"code": task.kind, "sentence": task.kind.sentence, "detail": ""}]) for task in tasks],
            evidences=[json.dumps(dict(task.evidence)) for task in tasks],
        )
        return {row.id for row in rows}

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

    def publish_missing_again(self, unread: Sequence[UUID], *, since: datetime) -> int:
        """Mark every open task as unpublished that was published ``since`` and is not ``unread``. Return the number of tasks."""
        return int(self._work.run(_PUBLISH_MISSING_AGAIN, unread=list(unread), since=since).scalar_one())

    def read_before(self, unread: Sequence[UUID]) -> datetime:
        """Return the instant before which every published task was read. ``unread`` contains at least the oldest unread task."""
        read_before: datetime = self._work.run(
            _SELECT_READ_BEFORE, unread=list(unread), seconds=_RECORDING
        ).scalar_one()
        return read_before

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Return (bulk, seller id, case id) for up to ``limit`` cases with an overdue task.

        A task is overdue if it has been unpublished for more than ``seconds``. For a task without a case, the last value is
        the id of the task.
        """
        rows = self._work.run(_SELECT_OVERDUE, seconds=seconds, limit=limit)
        return [(row.bulk, row.seller_id, row.id) for row in rows]

    def list_open(self, limit: int = 200, *, sellers: Collection[str] | None = None) -> list[SupportTask]:
        """Return up to ``limit`` open tasks, the oldest first, without the tasks about flagged e-mails.

        ``sellers`` limits the tasks to these sellers. None means every task, and tasks without a seller.
        """
        names = None if sellers is None else list(sellers)
        return [SupportTask(*row) for row in self._work.run(_SELECT_OPEN, limit=limit, sellers=names)]

    def count_unpublished(self) -> int:
        """Return the number of tasks that are not published yet."""
        return int(self._work.run(_QUEUE.waiting()).scalar_one())

    def count(self) -> int:
        """Return the number of tasks that were published."""
        return int(self._work.run(_QUEUE.finished()).scalar_one())
