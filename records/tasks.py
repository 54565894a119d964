"""Tasks for people: one for each time a case comes to support, published once on ``support.contact``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from records.transaction import Transaction

_OPEN = """
insert into support_tasks (id, case_id, seq, reasons)
select id, case_id, seq, reasons::jsonb
  from unnest(cast(:ids as uuid[]), cast(:cases as uuid[]), cast(:seqs as int[]), cast(:reasons as text[]))
    as i(id, case_id, seq, reasons)
"""

_CLAIM = """
update support_tasks t set claimed_until = now() + make_interval(secs => :seconds)
  from cases c
 where c.id = t.case_id and t.id in (
   select id from support_tasks
    where case_id = any(:cases) and published_at is null and claimed_until <= now() for update skip locked)
returning t.id, t.case_id, coalesce(c.seller, '') as seller, t.reasons, t.created_at
"""

_OVERDUE = """
select distinct t.case_id as id, c.bulk, coalesce(c.seller, '') as seller
  from support_tasks t join cases c on c.id = t.case_id
 where t.published_at is null and t.claimed_until <= now() and t.created_at < now() - make_interval(secs => :seconds)
 limit :limit
"""

_OPEN_ONES = """
select t.id, t.case_id, coalesce(c.seller, '') as seller, t.reasons, t.created_at
  from support_tasks t join cases c on c.id = t.case_id
 where c.state = 'with_support' and t.seq = c.seq order by t.created_at, t.id limit :limit
"""


@dataclass(frozen=True, slots=True)
class SupportTask:
    """What a person must decide, and why."""

    id: UUID
    case: UUID
    seller: str
    reasons: list[dict[str, str]]
    created_at: datetime


class SupportTasks:
    """The support_tasks table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def open(self, tasks: Sequence[tuple[UUID, UUID, int, str]]) -> None:
        """Opens tasks: (id, case, seq of the step that led to support, reasons as JSON)."""
        if tasks:
            ids, cases, seqs, reasons = map(list, zip(*tasks, strict=True))
            self._work.run(_OPEN, ids=ids, cases=cases, seqs=seqs, reasons=reasons)

    def claim(self, cases: Sequence[UUID], *, seconds: float) -> list[SupportTask]:
        """Takes the unpublished tasks of these cases: nobody else publishes them for so long."""
        return [SupportTask(*row) for row in self._work.run(_CLAIM, cases=list(cases), seconds=seconds)]

    def published(self, tasks: Sequence[SupportTask]) -> None:
        """These tasks are on the queue."""
        if tasks:
            ids = [task.id for task in tasks]
            self._work.run("update support_tasks set published_at = now() where id = any(:ids)", ids=ids)

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Cases with a task that nobody published for so long: (bulk, seller, case)."""
        return [(row.bulk, row.seller, row.id) for row in self._work.run(_OVERDUE, seconds=seconds, limit=limit)]

    def waiting(self, limit: int = 200) -> list[SupportTask]:
        """The tasks that wait for a person, the oldest first."""
        return [SupportTask(*row) for row in self._work.run(_OPEN_ONES, limit=limit)]

    def unpublished(self) -> int:
        """How many tasks are still to be published."""
        return int(self._work.run("select count(*) from support_tasks where published_at is null").scalar_one())

    def count(self) -> int:
        """How many tasks were published."""
        return int(self._work.run("select count(*) from support_tasks where published_at is not null").scalar_one())
