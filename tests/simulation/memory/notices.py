"""What the statements about notices do."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID as NAMESPACE
from uuid import UUID, uuid5

from records import webhook_events
from tests.simulation.memory.queued_work import enqueue
from tests.simulation.memory.tables import EPOCH, NoticeRow, after
from tests.simulation.memory.work import MemoryWork, does


class Held(NamedTuple):
    """A row of _CLAIM."""

    id: UUID
    provider: str
    event: str
    about: str
    charge: str | None
    refund_id: str | None
    said: Any
    arrivals: int
    attempts: int
    crashes: int
    received_at: datetime


@does(webhook_events._KEEP)
def keep(
    work: MemoryWork,
    provider: str,
    body: bytes,  # noqa: ARG001  # kept for people
    lane: str,
    events: Sequence[str],
    abouts: Sequence[str],
    charges: Sequence[str | None],
    refund_ids: Sequence[str | None],
    saids: Sequence[str | None],
    repeating: Sequence[str],
) -> Iterable[tuple[int]]:
    news = 0
    for event, about, charge, refund_id, said in sorted(zip(events, abouts, charges, refund_ids, saids, strict=True)):
        one = uuid5(NAMESPACE, f"{provider}\n{event}")  # a random one in the real database
        row = work.tables.notices.get(one)
        again = event in repeating
        if row:
            due = work.at if again else row.next_action_at
            looks = 0 if again else row.attempts
            work.journal.change(row, arrivals=row.arrivals + 1, next_action_at=due, attempts=looks)
        else:
            row = NoticeRow(one, provider, event, str(about), charge, refund_id, said, work.at, work.at)
            work.journal.insert(work.tables.notices, one, row, "notices_pkey")
        if again or row.arrivals == 1:
            enqueue(work, lane, False, "", one)
            news += 1
    return [(news,)]


@does(webhook_events._CLAIM)
def claim(work: MemoryWork, ids: Sequence[UUID], seconds: float, suspects: bool) -> Iterable[Held]:
    until, claimed = after(work.at, seconds), []
    for one in dict.fromkeys(ids):
        row = work.tables.notices.get(one)
        if row is None or row.next_action_at is None or row.claimed_until > work.at:
            continue
        fell = row.claimed_until != EPOCH
        if suspects or not fell:
            looks = {"attempts": row.attempts + 1, "crashes": row.crashes + fell}
            work.journal.change(row, claimed_until=until, next_action_at=until, **looks)
            said = row.said and json.loads(row.said)
            claimed.append(
                Held(
                    row.id,
                    row.provider,
                    row.event,
                    row.about,
                    row.charge,
                    row.refund_id,
                    said,
                    row.arrivals,
                    row.attempts,
                    row.crashes,
                    row.received_at,
                )
            )
    return claimed


class Suspect(NamedTuple):
    id: UUID


@does(webhook_events._SUSPECTS)
def suspects(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[Suspect]:
    rows = [row for one in sorted(set(ids)) if (row := work.tables.notices.get(one)) and row.next_action_at is not None]
    return [Suspect(row.id) for row in rows if EPOCH != row.claimed_until <= work.at]


@does(webhook_events._DONE)
def done(work: MemoryWork, ids: Sequence[UUID], arrivals: Sequence[int], outcomes: Sequence[str]) -> None:
    for one, known, outcome in zip(ids, arrivals, outcomes, strict=True):
        if row := work.tables.notices.get(one):
            due = work.at if row.arrivals > known else None
            work.journal.change(row, outcome=outcome, claimed_until=EPOCH, next_action_at=due)


@does(webhook_events._LATER)
def later(work: MemoryWork, ids: Sequence[UUID], seconds: Sequence[float], outcomes: Sequence[str]) -> None:
    for one, pause, outcome in zip(ids, seconds, outcomes, strict=True):
        if row := work.tables.notices.get(one):
            due = after(work.at, pause)
            work.journal.change(row, claimed_until=EPOCH, next_action_at=due, outcome=outcome, crashes=0)


class Disputed(NamedTuple):
    """A row of _DISPUTES."""

    provider: str
    charge: str | None
    said: Any


class Said(NamedTuple):
    said: Any


@does(webhook_events._SAID)
def said(work: MemoryWork, provider: str, charge: str, refund_id: str | None) -> Iterable[Said]:
    return [
        Said(json.loads(row.said))
        for row in work.tables.notices.values()
        if (row.provider, row.charge, row.refund_id) == (provider, charge, refund_id)
        and refund_id is not None
        and row.about == "refund"
        and row.said is not None
    ]


@does(webhook_events._DISPUTES)
def disputes(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[Disputed]:
    wanted = set(zip(providers, charges, strict=True))
    rows = [
        row
        for row in work.tables.notices.values()
        if (row.provider, row.charge) in wanted and row.about == "dispute" and row.said is not None
    ]
    rows.sort(key=lambda row: row.event)
    rows.sort(key=lambda row: row.received_at, reverse=True)
    return [Disputed(row.provider, row.charge, json.loads(row.said or "null")) for row in rows]


def _free(work: MemoryWork) -> list[NoticeRow]:
    due = [
        (row.next_action_at, row)
        for row in work.tables.notices.values()
        if row.next_action_at is not None and row.next_action_at <= work.at and row.claimed_until <= work.at
    ]
    return [row for _, row in sorted(due, key=lambda one: one[0])]


@does(webhook_events._OVERDUE)
def overdue(work: MemoryWork, limit: int) -> Iterable[NoticeRow]:
    return _free(work)[:limit]


@does(webhook_events._PUT_OFF)
def put_off(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> None:
    for one in ids:
        if row := work.tables.notices.get(one):
            work.journal.change(row, next_action_at=after(work.at, seconds))
