"""Simulates the SQL statements about webhook events, with tables in memory."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID as NAMESPACE
from uuid import UUID, uuid5

from records import webhook_events
from tests.simulation.memory.queued_work import enqueue
from tests.simulation.memory.tables import EPOCH, WebhookEventRow, after
from tests.simulation.memory.work import MemoryWork, answers


class ClaimedRow(NamedTuple):
    """A row that the statement webhook_events._CLAIM returns."""

    id: UUID
    provider: str
    event_id: str
    subject: str
    charge: str | None
    refund_id: str | None
    dispute_id: str | None
    reported: Any
    deliveries: int
    attempts: int
    crashes: int
    received_at: datetime


@answers(webhook_events._INSERT)
def insert(
    work: MemoryWork,
    provider: str,
    body: bytes,  # noqa: ARG001  # only support reads the body
    queue: str,
    event_ids: Sequence[str],
    subjects: Sequence[str],
    charges: Sequence[str | None],
    refund_ids: Sequence[str | None],
    dispute_ids: Sequence[str | None],
    reporteds: Sequence[str | None],
    reused_ids: Sequence[str],
    anonymous_ids: Sequence[str],
    anonymous_pause: float,
) -> Iterable[tuple[int]]:
    queued = 0
    columns = zip(event_ids, subjects, charges, refund_ids, dispute_ids, reporteds, strict=True)
    for event_id, subject, charge, refund_id, dispute_id, reported in sorted(columns, key=lambda entry: entry[0]):
        if event_id in anonymous_ids and (provider, charge) not in work.tables.payments:
            continue
        id_ = uuid5(
            NAMESPACE, f"{provider}\n{event_id}"
        )  # the same id in every run; PostgreSQL would generate a random id
        row = work.tables.webhook_events.get(id_)
        reused = event_id in reused_ids
        if row:
            due = work.now if reused else row.next_action_at
            if row.anonymous:
                due = _due_after_repeat(work, row, anonymous_pause)
            attempts = 0 if reused else row.attempts
            work.journal.change(row, deliveries=row.deliveries + 1, next_action_at=due, attempts=attempts)
        else:
            row = WebhookEventRow(
                id_,
                provider,
                event_id,
                str(subject),
                charge,
                refund_id,
                dispute_id,
                reported,
                work.now,
                work.now,
                event_id in anonymous_ids,
            )
            work.journal.insert(work.tables.webhook_events, id_, row, "webhook_events_pkey")
        if reused or row.deliveries == 1:
            queued += 1
            if row.next_action_at == work.now:
                enqueue(work, queue, False, "", id_)
    return [(queued,)]


def _due_after_repeat(work: MemoryWork, row: WebhookEventRow, anonymous_pause: float) -> datetime:
    """Return when an anonymous event that was received again is due."""
    if row.next_action_at is not None:
        return min(row.next_action_at, after(work.now, anonymous_pause))
    return max(work.now, after(row.processed_at, anonymous_pause)) if row.processed_at else work.now


@answers(webhook_events._IS_STORED)
def is_stored(work: MemoryWork, provider: str, event_id: str) -> Iterable[tuple[bool]]:
    return [(uuid5(NAMESPACE, f"{provider}\n{event_id}") in work.tables.webhook_events,)]


@answers(webhook_events._PROCESS_AGAIN)
def process_again(
    work: MemoryWork, providers: Sequence[str], charges: Sequence[str], outcomes: Sequence[str], queue: str
) -> Iterable[tuple[int]]:
    payments = set(zip(providers, charges, strict=True))
    due = [
        row
        for row in work.tables.webhook_events.values()
        if row.outcome in outcomes and (row.provider, row.charge) in payments
    ]
    for row in due:
        work.journal.change(row, next_action_at=work.now, attempts=0, crashes=0)
        enqueue(work, queue, False, "", row.id)
    return [(len(due),)]


class StoredRow(NamedTuple):
    """A row that the statement webhook_events._REPEAT returns."""

    event_id: str
    is_due: bool


@answers(webhook_events._REPEAT)
def repeat(work: MemoryWork, provider: str, event_ids: Sequence[str], queue: str) -> Iterable[StoredRow]:
    rows = work.tables.webhook_events.values()
    stored = [row for row in rows if row.provider == provider and row.event_id in event_ids]
    answer = [StoredRow(row.event_id, row.next_action_at is None) for row in stored]
    for row in stored:
        if row.next_action_at is None:
            work.journal.change(row, next_action_at=work.now, attempts=0, crashes=0)
            enqueue(work, queue, False, "", row.id)
    return answer


@answers(webhook_events._CLAIM)
def claim(work: MemoryWork, ids: Sequence[UUID], seconds: float, include_crashed: bool) -> Iterable[ClaimedRow]:
    until, claimed = after(work.now, seconds), []
    for id_ in dict.fromkeys(ids):
        row = work.tables.webhook_events.get(id_)
        if row is None or row.next_action_at is None or row.claimed_until > work.now:
            continue
        crashed = row.claimed_until != EPOCH
        if include_crashed or not crashed:
            counts = {"attempts": row.attempts + 1, "crashes": row.crashes + crashed}
            work.journal.change(row, claimed_until=until, next_action_at=until, **counts)
            claimed.append(
                ClaimedRow(
                    row.id,
                    row.provider,
                    row.event_id,
                    row.subject,
                    row.charge,
                    row.refund_id,
                    row.dispute_id,
                    row.reported and json.loads(row.reported),
                    row.deliveries,
                    row.attempts,
                    row.crashes,
                    row.received_at,
                )
            )
    return claimed


class IdRow(NamedTuple):
    id: UUID


@answers(webhook_events._SELECT_CRASHED)
def crashed_before(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[IdRow]:
    rows = [row for id_ in sorted(set(ids)) if (row := work.tables.webhook_events.get(id_)) and row.next_action_at]
    return [IdRow(row.id) for row in rows if EPOCH != row.claimed_until <= work.now]


@answers(webhook_events._STORE_CHARGES)
def store_charges(work: MemoryWork, ids: Sequence[UUID], charges: Sequence[str]) -> None:
    for id_, charge in zip(ids, charges, strict=True):
        row = work.tables.webhook_events.get(id_)
        if row and row.charge is None:
            work.journal.change(row, charge=charge)


class NamedDisputeRow(NamedTuple):
    """A row that the statement webhook_events._SHARE_CHARGES returns."""

    provider: str
    dispute_id: str
    charge: str


@answers(webhook_events._SHARE_CHARGES)
def share_charges(work: MemoryWork, providers: Sequence[str], dispute_ids: Sequence[str]) -> Iterable[NamedDisputeRow]:
    named = []
    for provider, dispute_id in sorted(set(zip(providers, dispute_ids, strict=True))):
        rows = [
            row
            for row in work.tables.webhook_events.values()
            if (row.provider, row.dispute_id) == (provider, dispute_id)
        ]
        charges = {row.charge for row in rows if row.charge is not None}
        if len(charges) != 1:
            continue
        (charge,) = charges
        named.append(NamedDisputeRow(provider, dispute_id, charge))
        for row in rows:
            if row.charge is None:
                work.journal.change(row, charge=charge)
    return named


@answers(webhook_events._RESOLVE)
def resolve(
    work: MemoryWork, ids: Sequence[UUID], deliveries: Sequence[int], outcomes: Sequence[str], anonymous_pause: float
) -> None:
    for id_, number, outcome in zip(ids, deliveries, outcomes, strict=True):
        if row := work.tables.webhook_events.get(id_):
            pause = anonymous_pause if row.anonymous else 0.0
            due = after(work.now, pause) if row.deliveries > number else None
            work.journal.change(row, outcome=outcome, claimed_until=EPOCH, processed_at=work.now, next_action_at=due)


@answers(webhook_events._RETRY_LATER)
def retry_later(
    work: MemoryWork,
    ids: Sequence[UUID],
    seconds: Sequence[float],
    outcomes: Sequence[str],
    attempts: Sequence[int],
    anonymous_pause: float,
) -> None:
    for id_, delay, outcome, number in zip(ids, seconds, outcomes, attempts, strict=True):
        if row := work.tables.webhook_events.get(id_):
            due = after(work.now, max(delay, anonymous_pause) if row.anonymous else delay)
            work.journal.change(
                row, claimed_until=EPOCH, next_action_at=due, outcome=outcome, attempts=number, crashes=0
            )


class DisputeRow(NamedTuple):
    """A row that the statement webhook_events._SELECT_REPORTED_DISPUTES returns."""

    provider: str
    charge: str | None
    reported: Any


class ReportedRow(NamedTuple):
    reported: Any


@answers(webhook_events._SELECT_REPORTED_REFUND)
def reported_refund(work: MemoryWork, provider: str, charge: str, refund_id: str | None) -> Iterable[ReportedRow]:
    return [
        ReportedRow(json.loads(row.reported))
        for row in work.tables.webhook_events.values()
        if (row.provider, row.charge, row.refund_id) == (provider, charge, refund_id)
        and refund_id is not None
        and row.subject == "refund"
        and row.reported is not None
    ]


@answers(webhook_events._SELECT_REPORTED_DISPUTES)
def reported_disputes(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[DisputeRow]:
    payments = set(zip(providers, charges, strict=True))
    rows = [
        row
        for row in work.tables.webhook_events.values()
        if (row.provider, row.charge) in payments and row.subject == "dispute" and row.reported is not None
    ]
    rows.sort(key=lambda row: row.event_id)
    rows.sort(key=lambda row: row.received_at, reverse=True)
    return [DisputeRow(row.provider, row.charge, json.loads(row.reported or "null")) for row in rows]


@answers(webhook_events._SELECT_OVERDUE)
def overdue(work: MemoryWork, limit: int) -> Iterable[WebhookEventRow]:
    due = [
        (row.next_action_at, row)
        for row in work.tables.webhook_events.values()
        if row.next_action_at is not None and row.next_action_at <= work.now and row.claimed_until <= work.now
    ]
    return [row for _, row in sorted(due, key=lambda entry: entry[0])][:limit]


@answers(webhook_events._POSTPONE)
def postpone(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> None:
    for id_ in ids:
        if row := work.tables.webhook_events.get(id_):
            work.journal.change(row, next_action_at=after(work.now, seconds))
