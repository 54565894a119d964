"""What the statements about cases do."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from records import cases
from tests.simulation.memory.queued_work import codes
from tests.simulation.memory.tables import EPOCH, CaseRow, after
from tests.simulation.memory.work import MemoryWork, does


class Overdue(NamedTuple):
    id: UUID
    state: str
    bulk: bool
    seller: str


class Begun(NamedTuple):
    id: UUID
    deliveries: int


def _rows(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[CaseRow]:
    return [row for case in dict.fromkeys(ids) if (row := work.tables.cases.get(case))]


@does(cases._LOCK)
def lock(work: MemoryWork, ids: Sequence[UUID], here: str) -> Iterable[CaseRow]:
    found = [r for r in _rows(work, ids) if r.state == here and r.lease_until <= work.at and r.not_before <= work.at]
    return sorted(found, key=lambda row: (row.received_at, row.id))


@does(cases._WAIT)
def wait(work: MemoryWork, id: UUID) -> Iterable[CaseRow]:  # noqa: A002  # as it is bound
    return _rows(work, [id])


@does(cases._LEASE)
def lease(work: MemoryWork, ids: Sequence[UUID], heres: Sequence[str], lease: float, early: bool) -> Iterable[CaseRow]:
    taken = [
        row
        for row in _rows(work, ids)
        if row.state in heres and row.lease_until <= work.at and (row.not_before <= work.at or early)
    ]
    until = after(work.at, lease)
    for row in taken:
        due = row.next_action_at and max(row.not_before, until)
        work.journal.change(row, fence=row.fence + 1, lease_until=until, next_action_at=due)
        work.journal.check_case(row)
    return taken


@does(cases._RELEASE)
def release(work: MemoryWork, ids: Sequence[UUID], fences: Sequence[int], seconds: Sequence[float]) -> None:
    for case, fence, pause in zip(ids, fences, seconds, strict=True):
        row = work.tables.cases.get(case)
        if row and row.fence == fence:
            again = after(work.at, pause)
            due = row.next_action_at and again
            work.journal.change(row, lease_until=EPOCH, deliveries=0, not_before=again, next_action_at=due)


@does(cases._OVERDUE)
def overdue(work: MemoryWork, limit: int) -> Iterable[Overdue]:
    waiting: defaultdict[str, list[tuple[datetime, CaseRow]]] = defaultdict(list)
    for row in work.tables.cases.values():
        if row.next_action_at is not None and row.next_action_at <= work.at:
            waiting[row.seller or ""].append((row.next_action_at, row))
    found: list[tuple[int, Overdue]] = []
    for seller, rows in waiting.items():
        free = sorted(((due, row) for due, row in rows if row.lease_until <= work.at), key=lambda one: one[0])
        found += [
            (turn, Overdue(row.id, row.state, row.bulk, seller))
            for turn, (_, row) in enumerate(free[: limit // len(waiting) + 1])
        ]
    return [one for _, one in sorted(found, key=lambda one: (one[0], one[1].seller))[:limit]]


def _free(work: MemoryWork, ids: Sequence[UUID], heres: Sequence[str]) -> list[CaseRow]:
    return [r for r in _rows(work, ids) if r.state in heres and r.lease_until <= work.at and r.not_before <= work.at]


@does(cases._BEGIN)
def begin(work: MemoryWork, ids: Sequence[UUID], heres: Sequence[str], suspects: bool, apart: float) -> Iterable[Begun]:
    before = after(work.at, -apart)
    begun = [r for r in _free(work, ids, heres) if r.deliveries == 0 or (suspects and r.delivered_at <= before)]
    for row in begun:
        work.journal.change(row, deliveries=row.deliveries + 1, delivered_at=work.at)
    return [Begun(row.id, row.deliveries) for row in begun]


@does(cases._CAME_BACK)
def came_back(work: MemoryWork, ids: Sequence[UUID], counts: Sequence[int], heres: Sequence[str]) -> None:
    count_of = dict(zip(ids, counts, strict=True))
    for row in _rows(work, ids):
        if row.state in heres and row.lease_until <= work.at and row.deliveries == count_of[row.id]:
            work.journal.change(row, deliveries=row.deliveries - 1, next_action_at=work.at)


@does("set local synchronous_commit = off")
def hurry(work: MemoryWork) -> None:  # noqa: ARG001  # every statement has it
    return None


@does(cases._SUSPECTS)
def suspects(work: MemoryWork, ids: Sequence[UUID], heres: Sequence[str], apart: float) -> Iterable[CaseRow]:
    before = after(work.at, -apart)
    found = [row for row in _free(work, ids, heres) if row.deliveries > 0 and row.delivered_at <= before]
    return sorted(found, key=lambda row: (row.deliveries, row.id))


@does(cases._FOR_ONE_REASON)
def for_one_reason(work: MemoryWork, provider: str, charge: str, code: str) -> Iterable[CaseRow]:
    return [row for row in _with_support(work, provider, charge, code) if row.lease_until <= work.at]


@does(cases._STILL_FOR_ONE_REASON)
def still_for_one_reason(work: MemoryWork, provider: str, charge: str, code: str) -> Iterable[tuple[bool]]:
    return [(bool(_with_support(work, provider, charge, code)),)]


def _with_support(work: MemoryWork, provider: str, charge: str, code: str) -> list[CaseRow]:
    tables = work.tables
    paid_by = {row.id for row in tables.purchases.values() if row.provider == provider and row.charge == charge}
    mine = {(task.case_id, task.seq): codes(task) for task in tables.tasks.values() if task.seq is not None}
    return [
        row
        for row in tables.cases.values()
        if row.purchase in paid_by and row.state == "with_support" and set(mine.get((row.id, row.seq), ())) == {code}
    ]


@does(cases._PUT_OFF)
def put_off(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> None:
    for row in _rows(work, ids):
        work.journal.change(row, next_action_at=after(work.at, seconds))


class Seen(NamedTuple):
    """A row of views._SEEN."""

    id: UUID
    state: str
    channel: str
    reference: str
    seller: str | None
    reason: str
    refund_scope: str
    comment: str
    answers: dict[str, str]
    locale: str
    thread: str | None
    email: str
    received_at: datetime
    next_action_at: datetime | None
    purchase: UUID | None
    seller_name: str | None
    support_email: str | None
    time_zone: str | None
    product: str | None
    amount: int | None
    currency: str | None
    method: str | None
    purchase_email: str | None
    purchase_reference: str | None
    subscription: bool | None
    declared_by: str | None
    statement: str | None
    declared_at: datetime | None
    reasons: list[Any] | None
