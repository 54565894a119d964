"""What the statements about the outbox, letters, tasks for people, and dead messages do."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from records import case_emails, dead_letters, outbox, support_tasks
from tests.simulation.memory.tables import EPOCH, Database, LetterRow, OutboxRow, TaskRow, after
from tests.simulation.memory.work import MemoryWork, does


class Owed(NamedTuple):
    id: UUID
    bulk: bool
    seller: str


def enqueue(work: MemoryWork, lane: str, bulk: bool, seller: str, what: UUID) -> None:
    """Puts one message into the outbox."""
    work.tables.numbers += 1
    row = OutboxRow(work.tables.numbers, lane, bulk, seller, what, work.at)
    work.journal.insert(work.tables.outbox, row.id, row, "outbox_pkey")


@does(outbox._PUT)
def put(work: MemoryWork, lanes: Sequence[str], ids: Sequence[UUID]) -> None:
    for lane, case in zip(lanes, ids, strict=True):
        if row := work.tables.cases.get(case):
            enqueue(work, lane, row.bulk, row.seller or "", case)


@does(outbox._OWED)
def owed(
    work: MemoryWork, lanes: Sequence[str], bulks: Sequence[bool], sellers: Sequence[str], ids: Sequence[UUID]
) -> None:
    there = {(row.lane, row.case_id) for row in work.tables.outbox.values()}
    for lane, bulk, seller, what in zip(lanes, bulks, sellers, ids, strict=True):
        if (lane, what) not in there:
            enqueue(work, lane, bulk, seller, what)


class Taken(NamedTuple):
    case_id: UUID
    seller: str


@does(outbox._TAKE)
def take(work: MemoryWork, lane: str, room: int, after: str | None, bulk: bool) -> Iterable[Taken]:
    waiting: defaultdict[str, list[OutboxRow]] = defaultdict(list)
    for row in sorted(work.tables.outbox.values(), key=lambda row: row.id):
        if row.lane == lane and row.bulk == bulk and (after is None or row.seller > after):
            waiting[row.seller].append(row)
    sellers = sorted(waiting)[:room]
    turns = [
        (turn, seller, row)
        for seller in sellers
        for turn, row in enumerate(waiting[seller][: room // len(sellers) + 1])
    ]
    picked = sorted(turns, key=lambda one: one[:2])[:room]
    for _, _, row in picked:
        work.journal.delete(work.tables.outbox, row.id)
    return [Taken(row.case_id, row.seller) for _, _, row in sorted(picked, key=lambda one: one[2].id)]


class Lane(NamedTuple):
    lane: str


@does(outbox._LANES)
def lanes(work: MemoryWork) -> Iterable[Lane]:
    return [Lane(name) for name in sorted({row.lane for row in work.tables.outbox.values()})]


@does(case_emails._DUE)
def due(work: MemoryWork, cases: Sequence[UUID], stages: Sequence[str]) -> None:
    for case, stage in zip(cases, stages, strict=True):
        if (case, str(stage)) not in work.tables.letters:
            row = LetterRow(case, str(stage), work.at)
            work.journal.insert(work.tables.letters, (case, row.stage), row, "letters_pkey")


class Claimed(NamedTuple):
    case_id: UUID
    stage: str
    earlier: list[str]
    refund: str | None
    joined: UUID | None


@does(case_emails._CLAIM)
def claim(work: MemoryWork, cases: Sequence[UUID], seconds: float) -> Iterable[Claimed]:
    claimed = [
        row
        for row in work.tables.letters.values()
        if row.case_id in cases and row.sent_at is None and row.claimed_until <= work.at
    ]
    for row in claimed:
        work.journal.change(row, claimed_until=after(work.at, seconds))
    left: dict[UUID, list[str]] = defaultdict(list)
    for _, case, stage in sorted(
        (one.sent_at, one.case_id, one.stage) for one in work.tables.letters.values() if one.sent_at
    ):
        left[case].append(stage)
    refunds = {row.case_id: row.refund_id for row in work.tables.operations.values() if row.status == "paid"}
    joined = {row.case_id: _joined(work, row.case_id) for row in claimed}
    return [
        Claimed(
            row.case_id,
            row.stage,
            left[row.case_id],
            refunds.get(row.case_id) or refunds.get(joined[row.case_id] or row.case_id),
            joined[row.case_id],
        )
        for row in claimed
    ]


def _joined(work: MemoryWork, case: UUID) -> UUID | None:
    last = work.tables.transitions.get((case, work.tables.cases[case].seq))
    joins = json.loads(last.evidence).get("joins") if last else None
    return UUID(joins) if joins else None


@does(case_emails._SENT)
def sent(work: MemoryWork, ids: Sequence[UUID], stages: Sequence[str]) -> None:
    for which in zip(ids, stages, strict=True):
        if row := work.tables.letters.get(which):
            work.journal.change(row, sent_at=work.at)


@does(case_emails._GIVE_BACK)
def give_back(work: MemoryWork, ids: Sequence[UUID], stages: Sequence[str], seconds: float) -> None:
    for which in zip(ids, stages, strict=True):
        if (row := work.tables.letters.get(which)) and row.sent_at is None:
            work.journal.change(row, claimed_until=after(work.at, seconds))


class Bounced(NamedTuple):
    seller: str | None


@does(case_emails._BOUNCED)
def bounced(work: MemoryWork, case: UUID, stage: str) -> Iterable[Bounced]:
    row = work.tables.letters.get((case, str(stage)))
    if row is None or row.bounced_at is not None or row.claimed_until <= EPOCH:
        return []
    work.journal.change(row, bounced_at=work.at)
    return [Bounced(work.tables.cases[case].seller)]


class Told(NamedTuple):
    id: UUID | None
    about: Any
    letters: int


@does(case_emails._OF_PURCHASES)
def told_about_purchases(work: MemoryWork, purchases: Sequence[UUID], stage: str, seconds: float) -> Iterable[Told]:
    cases = [case for case in work.tables.cases.values() if case.state == "duplicate" and case.purchase in purchases]
    count = Counter(case.purchase for case in cases if _was_told(work, case.id, stage, seconds))
    return [Told(None, purchase, letters) for purchase, letters in count.items()]


@does(case_emails._OF_ADDRESSES)
def told_to_addresses(work: MemoryWork, cases: Sequence[UUID], stage: str, seconds: float) -> Iterable[Told]:
    unmatched = [case for case in work.tables.cases.values() if case.state == "unmatched"]
    count = Counter(case.email_key for case in unmatched if _was_told(work, case.id, stage, seconds))
    asking = [work.tables.cases[case] for case in cases]
    return [Told(case.id, case.email_key, count[case.email_key]) for case in asking]


def _was_told(work: MemoryWork, case: UUID, stage: str, seconds: float) -> bool:
    letter = work.tables.letters.get((case, str(stage)))
    return letter is not None and letter.created_at > after(work.at, -seconds)


def _queued(work: MemoryWork) -> set[tuple[str, UUID]]:
    """What waits for the relay, and where."""
    return {(row.lane, row.case_id) for row in work.tables.outbox.values()}


@does(case_emails._OVERDUE)
def letters_overdue(work: MemoryWork, seconds: float, limit: int) -> Iterable[Owed]:
    before, queued = after(work.at, -seconds), _queued(work)
    cases = {
        row.case_id: work.tables.cases[row.case_id]
        for row in work.tables.letters.values()
        if row.sent_at is None and row.claimed_until <= work.at and row.created_at < before
        if ("email.cases", row.case_id) not in queued
    }
    return [Owed(row.id, row.bulk, row.seller or "") for row in cases.values()][:limit]


@does(support_tasks._OPEN)
def open_tasks(
    work: MemoryWork, ids: Sequence[UUID], cases: Sequence[UUID], seqs: Sequence[int], reasons: Sequence[str]
) -> None:
    for one, case, seq, why in zip(ids, cases, seqs, reasons, strict=True):
        row = TaskRow(one, "case", case, seq, None, None, why, "{}", work.at)
        work.journal.insert(work.tables.tasks, one, row, "support_tasks_pkey")


class Reported(NamedTuple):
    id: UUID


@does(support_tasks._REPORT)
def report(
    work: MemoryWork,
    lane: str,
    ids: Sequence[UUID],
    kinds: Sequence[str],
    subjects: Sequence[str],
    cases: Sequence[UUID | None],
    sellers: Sequence[str | None],
    reasons: Sequence[str],
    evidences: Sequence[str],
) -> Iterable[Reported]:
    fresh = []
    for values in zip(ids, kinds, subjects, cases, sellers, reasons, evidences, strict=True):
        one, kind, subject, case, seller, why, evidence = values
        if one not in work.tables.tasks:
            row = TaskRow(one, str(kind), case, None, subject, seller, why, evidence, work.at)
            work.journal.insert(work.tables.tasks, one, row, "support_tasks_pkey")
            enqueue(work, lane, False, seller or "", one)
            fresh.append(Reported(one))
    return fresh


def codes(task: TaskRow) -> list[str | None]:
    """The codes of a task's reasons."""
    return [reason.get("code") for reason in json.loads(task.reasons)]


@does(support_tasks._CLAIM)
def claim_tasks(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> Iterable[tuple[Any, ...]]:
    claimed = [
        row
        for row in work.tables.tasks.values()
        if (row.case_id in ids or row.id in ids) and row.published_at is None and row.claimed_until <= work.at
    ]
    for row in claimed:
        work.journal.change(row, claimed_until=after(work.at, seconds))
    return [_task(work, row) for row in claimed]


def _task(work: MemoryWork, row: TaskRow) -> tuple[Any, ...]:
    case = work.tables.cases.get(row.case_id) if row.case_id else None
    seller = row.seller or (case.seller if case else None) or ""
    return (
        row.id,
        row.case_id,
        seller,
        json.loads(row.reasons),
        json.loads(row.evidence),
        row.created_at,
        row.claimed_until,
    )


@does(support_tasks._PUBLISHED)
def published(work: MemoryWork, ids: Sequence[UUID], claimed_untils: Sequence[datetime]) -> None:
    for one, until in zip(ids, claimed_untils, strict=True):
        if (row := work.tables.tasks.get(one)) and row.claimed_until == until:
            work.journal.change(row, published_at=work.at)


def waits(tables: Database, row: TaskRow) -> bool:
    """Whether a task waits for a person."""
    case = tables.cases.get(row.case_id) if row.case_id else None
    return row.kind != "case" or (case is not None and (case.state, case.seq) == ("with_support", row.seq))


@does(support_tasks._AGAIN)
def publish_again(work: MemoryWork) -> Iterable[tuple[int]]:
    again = [row for row in work.tables.tasks.values() if waits(work.tables, row)]
    for row in again:
        work.journal.change(row, published_at=None, claimed_until=EPOCH)
    return [(len(again),)]


@does(support_tasks._OVERDUE)
def tasks_overdue(work: MemoryWork, seconds: float, limit: int) -> Iterable[Owed]:
    before, queued = after(work.at, -seconds), _queued(work)
    found: dict[UUID, Owed] = {}
    for row in work.tables.tasks.values():
        if row.published_at is None and row.claimed_until <= work.at and row.created_at < before:
            case = work.tables.cases.get(row.case_id) if row.case_id else None
            seller = row.seller or (case.seller if case else None) or ""
            one = row.case_id or row.id
            if ("support.publish", one) in queued:
                continue
            found[one] = Owed(one, bool(case and case.bulk), seller)
    return list(found.values())[:limit]


@does(dead_letters._KEEP)
def keep(work: MemoryWork, queue: str, body: bytes, why: str) -> None:
    work.journal.append(work.tables.dead, (len(work.tables.dead) + 1, queue, body, why, work.at, None))


@does(dead_letters._LIST)
def dead_ones(work: MemoryWork, all: bool) -> Iterable[tuple[Any, ...]]:  # noqa: A002, ARG001  # none is put back here
    return work.tables.dead
