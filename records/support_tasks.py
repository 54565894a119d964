"""Support tasks: one each time a case comes to support, one for each trouble with a payment; each is published once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from domain.messages import SupportNeeded
from domain.support_tasks import SupportTaskKind
from records.leased_queue import LeasedQueue
from records.transaction import Transaction

_OPEN = """
insert into support_tasks (id, case_id, seq, reasons)
select id, case_id, seq, reasons::jsonb
  from unnest(cast(:ids as uuid[]), cast(:cases as uuid[]), cast(:seqs as int[]), cast(:reasons as text[]))
    as i(id, case_id, seq, reasons)
"""

_REPORT = """
with fresh as (
  insert into support_tasks (id, kind, subject, case_id, seller, reasons, evidence)
  select id, kind, subject, case_id, seller, reasons::jsonb, evidence::jsonb
    from unnest(cast(:ids as uuid[]), cast(:kinds as text[]), cast(:subjects as text[]), cast(:cases as uuid[]),
                cast(:sellers as text[]), cast(:reasons as text[]), cast(:evidences as text[]))
      as i(id, kind, subject, case_id, seller, reasons, evidence)
  on conflict do nothing
  returning id, seller
), told as (
  insert into outbox (lane, bulk, seller, case_id) select :lane, false, coalesce(seller, ''), id from fresh
)
select id from fresh
"""
"""Opens a task for each trouble that has none yet."""

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
    """t.id, t.case_id, coalesce(t.seller, (select c.seller from cases c where c.id = t.case_id), '') as seller,
          t.reasons, t.evidence, t.created_at, t.claimed_until""",
)

_PUBLISHED = _QUEUE.done()

_OVERDUE = f"""
with owed as ({_QUEUE.overdue()})
select id, coalesce(c.bulk, false) as bulk, coalesce(t.seller, c.seller, '') as seller
  from owed left join cases c using (id) left join support_tasks t using (id)
"""
"""A case is found once, however many of its tasks are unpublished."""

_WAITS = """
(t.kind <> 'case' or exists (select from cases w where w.id = t.case_id and w.state = 'with_support' and w.seq = t.seq))
"""

_OPEN_ONES = f"""
select t.id, t.case_id, coalesce(t.seller, c.seller, '') as seller, t.reasons, t.evidence, t.created_at, t.claimed_until
  from support_tasks t left join cases c on c.id = t.case_id
 where {_WAITS}
 order by t.created_at, t.id limit :limit
"""

_AGAIN = f"""
with again as (
  update support_tasks t set published_at = null, claimed_until = default where {_WAITS} returning 1
)
select count(*) from again
"""

_NAMESPACE = UUID("6d6f6e65-7962-4163-8b00-7461736b7321")
"""Of the ids of tasks about payments: one trouble has one id, however often it is found."""


@dataclass(frozen=True, slots=True)
class SupportTask:
    """What support must decide, and why."""

    id: UUID
    case: UUID | None
    seller: str
    reasons: list[dict[str, str]]
    evidence: dict[str, str | int | None]
    created_at: datetime
    claimed_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSupportTask:
    """A trouble with a payment. ``subject`` names what it is about: the same trouble with it is one task, for ever."""

    kind: SupportTaskKind
    subject: str
    case: UUID | None = None
    seller: str | None = None
    evidence: Mapping[str, str | int | None]

    @property
    def id(self) -> UUID:
        return uuid5(_NAMESPACE, f"{self.kind}\n{self.subject}")


class SupportTasks:
    """The support_tasks table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def create_for_cases(self, tasks: Sequence[tuple[UUID, int, str]]) -> None:
        """Opens tasks: (case, seq of the step that led to support, reasons as JSON)."""
        if tasks:
            cases, seqs, reasons = map(list, zip(*tasks, strict=True))
            ids = [uuid5(case, f"task {seq}") for case, seq, _ in tasks]
            self._work.run(_OPEN, ids=ids, cases=cases, seqs=seqs, reasons=reasons)

    def create(self, reports: Sequence[NewSupportTask]) -> set[UUID]:
        """Opens a task for each of these troubles that has none yet, and returns the ids of those."""
        if not reports:
            return set()
        rows = self._work.run(
            _REPORT,
            lane=SupportNeeded.queue,
            ids=[report.id for report in reports],
            kinds=[report.kind for report in reports],
            subjects=[report.subject for report in reports],
            cases=[report.case for report in reports],
            sellers=[report.seller for report in reports],
            reasons=[
                json.dumps([{"code": report.kind, "sentence": report.kind.sentence, "detail": ""}])
                for report in reports
            ],
            evidences=[json.dumps(dict(report.evidence)) for report in reports],
        )
        return {row.id for row in rows}

    def claim(self, ids: Sequence[UUID], *, seconds: float) -> list[SupportTask]:
        """Claims the unpublished tasks of these cases, or with these ids, for ``seconds``."""
        return [SupportTask(*row) for row in self._work.run(_CLAIM, ids=list(ids), seconds=seconds)]

    def mark_published(self, tasks: Sequence[SupportTask]) -> None:
        """Stores that these tasks are published. A task that is claimed by another worker, or due again, stays unpublished."""
        if tasks:
            ids, untils = [task.id for task in tasks], [task.claimed_until for task in tasks]
            self._work.run(_PUBLISHED, ids=ids, claimed_untils=untils)

    def publish_again(self) -> int:
        """Has every open task published again, and returns how many there are.

        A worker that is publishing such a task loses its claim, because the broker may have lost that message too.
        """
        return int(self._work.run(_AGAIN).scalar_one())

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Returns cases with a task that is unpublished for ``seconds``, or the task if it has no case: (bulk, seller, id)."""
        return [(row.bulk, row.seller, row.id) for row in self._work.run(_OVERDUE, seconds=seconds, limit=limit)]

    def list_open(self, limit: int = 200) -> list[SupportTask]:
        """Returns the open tasks, the oldest first."""
        return [SupportTask(*row) for row in self._work.run(_OPEN_ONES, limit=limit)]

    def count_unpublished(self) -> int:
        """How many tasks are still to be published."""
        return int(self._work.run(_QUEUE.waiting()).scalar_one())

    def count(self) -> int:
        """How many tasks were published."""
        return int(self._work.run(_QUEUE.finished()).scalar_one())
