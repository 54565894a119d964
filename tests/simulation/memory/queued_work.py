"""Simulates the SQL statements for the outbox, case e-mails, support tasks and dead letters, with tables in memory."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.messages import CaseEmailsDue, SupportNeeded
from records import case_emails, dead_letters, helpdesk_tickets, outbox, support_task_events, support_tasks
from tests.simulation.memory.tables import EPOCH, CaseEmailRow, CaseRow, Database, OutboxRow, SupportTaskRow, after
from tests.simulation.memory.work import MemoryWork, answers


class OverdueRow(NamedTuple):
    id: UUID
    bulk: bool
    seller_id: str


def enqueue(work: MemoryWork, queue: str, bulk: bool, seller: str, item: UUID) -> None:
    """Add a message to the outbox."""
    work.tables.last_outbox_id += 1
    row = OutboxRow(work.tables.last_outbox_id, queue, bulk, seller, item, work.now)
    work.journal.insert(work.tables.outbox, row.id, row, "outbox_pkey")


@answers(outbox._INSERT)
def insert_messages(work: MemoryWork, queues: Sequence[str], ids: Sequence[UUID]) -> None:
    for queue, case in zip(queues, ids, strict=True):
        if row := work.tables.cases.get(case):
            enqueue(work, queue, row.bulk, row.seller_id or "", case)


@answers(outbox._INSERT_IF_ABSENT)
def insert_if_absent(
    work: MemoryWork, queues: Sequence[str], bulks: Sequence[bool], seller_ids: Sequence[str], ids: Sequence[UUID]
) -> None:
    present = _queued(work)
    for queue, bulk, seller, item in zip(queues, bulks, seller_ids, ids, strict=True):
        if (queue, item) not in present:
            enqueue(work, queue, bulk, seller, item)


class TakenRow(NamedTuple):
    item_id: UUID
    seller_id: str


@answers(outbox._TAKE)
def take(work: MemoryWork, queue: str, room: int, after: str | None, bulk: bool) -> Iterable[TakenRow]:
    waiting: defaultdict[str, list[OutboxRow]] = defaultdict(list)
    for row in sorted(work.tables.outbox.values(), key=lambda row: row.id):
        if row.queue == queue and row.bulk == bulk and (after is None or row.seller_id > after):
            waiting[row.seller_id].append(row)
    sellers = sorted(waiting)[:room]
    turns = [
        (turn, seller, row)
        for seller in sellers
        for turn, row in enumerate(waiting[seller][: room // len(sellers) + 1])
    ]
    picked = [row for _, _, row in sorted(turns, key=lambda entry: entry[:2])[:room]]
    for row in picked:
        work.journal.delete(work.tables.outbox, row.id)
    return [TakenRow(row.item_id, row.seller_id) for row in sorted(picked, key=lambda row: row.id)]


class QueueRow(NamedTuple):
    queue: str


@answers(outbox._SELECT_QUEUES)
def queues(work: MemoryWork) -> Iterable[QueueRow]:
    return [QueueRow(queue) for queue in sorted({row.queue for row in work.tables.outbox.values()})]


@answers(case_emails._INSERT)
def insert_emails(
    work: MemoryWork, case_ids: Sequence[UUID], kinds: Sequence[str], decided_seqs: Sequence[int]
) -> None:
    for case, kind, seq in zip(case_ids, kinds, decided_seqs, strict=True):
        if (case, str(kind), seq) not in work.tables.case_emails:
            row = CaseEmailRow(case, str(kind), seq, work.now)
            work.journal.insert(work.tables.case_emails, (case, row.kind, seq), row, "case_emails_pkey")


@answers(case_emails._DELETE_UNSENT)
def delete_unsent_emails(work: MemoryWork, case_ids: Sequence[UUID]) -> None:
    for key, row in list(work.tables.case_emails.items()):
        if row.case_id in case_ids and row.sent_at is None and row.claimed_until == EPOCH:
            work.journal.delete(work.tables.case_emails, key)


class ClaimedEmailRow(NamedTuple):
    case_id: UUID
    kind: str
    decided_seq: int
    message: str | None
    earlier: list[str]
    refund_id: str | None
    joined_case_id: UUID | None


@answers(case_emails._CLAIM)
def claim_emails(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> Iterable[ClaimedEmailRow]:
    claimed = [
        row
        for row in work.tables.case_emails.values()
        if row.case_id in ids and row.sent_at is None and row.claimed_until <= work.now
    ]
    for row in claimed:
        work.journal.change(row, claimed_until=after(work.now, seconds))
    earlier: dict[UUID, list[str]] = defaultdict(list)
    for _, case, kind, seq in sorted(
        (row.sent_at, row.case_id, row.kind, row.decided_seq)
        for row in work.tables.case_emails.values()
        if row.sent_at and not row.omitted
    ):
        earlier[case].append(f"{kind}.{seq}" if seq else kind)
    refunds = {row.case_id: row.refund_id for row in work.tables.refund_operations.values() if row.status == "paid"}
    joined = {row.case_id: _joined_case(work, row.case_id) for row in claimed}
    return [
        ClaimedEmailRow(
            row.case_id,
            row.kind,
            row.decided_seq,
            None,
            earlier[row.case_id],
            refunds.get(row.case_id) or refunds.get(joined[row.case_id] or row.case_id),
            joined[row.case_id],
        )
        for row in claimed
    ]


def _joined_case(work: MemoryWork, case: UUID) -> UUID | None:
    last = work.tables.transitions.get((case, work.tables.cases[case].seq))
    joins = json.loads(last.evidence).get("joins") if last else None
    return UUID(joins) if joins else None


@answers(case_emails._MARK_SENT)
def mark_sent(work: MemoryWork, case_ids: Sequence[UUID], kinds: Sequence[str], decided_seqs: Sequence[int]) -> None:
    for key in zip(case_ids, kinds, decided_seqs, strict=True):
        if row := work.tables.case_emails.get(key):
            work.journal.change(row, sent_at=work.now)


@answers(case_emails._MARK_OMITTED)
def mark_omitted(work: MemoryWork, case_ids: Sequence[UUID], kinds: Sequence[str], decided_seqs: Sequence[int]) -> None:
    for key in zip(case_ids, kinds, decided_seqs, strict=True):
        work.journal.change(work.tables.case_emails[key], sent_at=work.now, omitted=True)


@answers(case_emails._RELEASE)
def release_emails(
    work: MemoryWork, case_ids: Sequence[UUID], kinds: Sequence[str], decided_seqs: Sequence[int], seconds: float
) -> None:
    for key in zip(case_ids, kinds, decided_seqs, strict=True):
        if (row := work.tables.case_emails.get(key)) and row.sent_at is None:
            work.journal.change(row, claimed_until=after(work.now, seconds))


class SellerIdRow(NamedTuple):
    seller_id: str | None


@answers(case_emails._MARK_BOUNCED)
def mark_bounced(work: MemoryWork, case_id: UUID, kind: str, decided_seq: int) -> Iterable[SellerIdRow]:
    row = work.tables.case_emails.get((case_id, str(kind), decided_seq))
    if row is None or row.bounced_at is not None or row.claimed_until <= EPOCH:
        return []
    work.journal.change(row, bounced_at=work.now)
    return [SellerIdRow(work.tables.cases[case_id].seller_id)]


class PurchaseCountRow(NamedTuple):
    purchase_id: UUID | None
    emails: int


class AddressCountRow(NamedTuple):
    id: UUID
    email_key: str
    emails: int


@answers(case_emails._COUNT_BY_PURCHASE)
def count_by_purchase(
    work: MemoryWork, purchase_ids: Sequence[UUID], kind: str, seconds: float
) -> Iterable[PurchaseCountRow]:
    cases = [c for c in work.tables.cases.values() if c.state == "duplicate" and c.purchase_id in purchase_ids]
    count = Counter(case.purchase_id for case in cases if _is_recent(work, case.id, kind, seconds))
    return [PurchaseCountRow(purchase, emails) for purchase, emails in count.items()]


@answers(case_emails._COUNT_BY_ADDRESS)
def count_by_address(
    work: MemoryWork, case_ids: Sequence[UUID], kind: str, seconds: float
) -> Iterable[AddressCountRow]:
    unmatched = [case for case in work.tables.cases.values() if case.state == "unmatched"]
    count = Counter(case.email_key for case in unmatched if _is_recent(work, case.id, kind, seconds))
    cases = [work.tables.cases[case] for case in case_ids]
    return [AddressCountRow(case.id, case.email_key, count[case.email_key]) for case in cases]


def _is_recent(work: MemoryWork, case: UUID, kind: str, seconds: float) -> bool:
    email = work.tables.case_emails.get((case, str(kind), 0))
    return email is not None and email.created_at > after(work.now, -seconds)


def _queued(work: MemoryWork) -> set[tuple[str, UUID]]:
    """Return the queue and the item id of each message in the outbox."""
    return {(row.queue, row.item_id) for row in work.tables.outbox.values()}


@answers(case_emails._SELECT_OVERDUE)
def emails_overdue(work: MemoryWork, seconds: float, limit: int) -> Iterable[OverdueRow]:
    before, queued = after(work.now, -seconds), _queued(work)
    cases = {
        row.case_id: work.tables.cases[row.case_id]
        for row in work.tables.case_emails.values()
        if row.sent_at is None and row.claimed_until <= work.now and row.created_at < before
        if (CaseEmailsDue.queue, row.case_id) not in queued
    }
    return [OverdueRow(row.id, row.bulk, row.seller_id or "") for row in cases.values()][:limit]


@answers(support_tasks._INSERT_FOR_CASES)
def insert_for_cases(
    work: MemoryWork, ids: Sequence[UUID], case_ids: Sequence[UUID], seqs: Sequence[int], reasons: Sequence[str]
) -> None:
    for id_, case, seq, reasons_json in zip(ids, case_ids, seqs, reasons, strict=True):
        row = SupportTaskRow(id_, "case", case, seq, None, None, reasons_json, "{}", work.now)
        work.journal.insert(work.tables.support_tasks, id_, row, "support_tasks_pkey")


class CreatedRow(NamedTuple):
    id: UUID


@answers(support_tasks._INSERT)
def insert_tasks(
    work: MemoryWork,
    product: str,
    ids: Sequence[UUID],
    kinds: Sequence[str],
    subjects: Sequence[str],
    case_ids: Sequence[UUID | None],
    seller_ids: Sequence[str | None],
    reasons: Sequence[str],
    evidences: Sequence[str],
) -> Iterable[CreatedRow]:
    created = []
    for values in zip(ids, kinds, subjects, case_ids, seller_ids, reasons, evidences, strict=True):
        id_, kind, subject, case, seller, reasons_json, evidence = values
        if id_ not in work.tables.support_tasks:
            row = SupportTaskRow(id_, str(kind), case, None, subject, seller, reasons_json, evidence, work.now)
            work.journal.insert(work.tables.support_tasks, id_, row, "support_tasks_pkey")
        elif work.tables.support_tasks[id_].closed_by == product:
            row = work.tables.support_tasks[id_]
            work.journal.change(
                row, closed_at=None, closed_by=None, outcome=None, evidence=evidence, created_at=work.now
            )
        else:
            continue
        enqueue(work, SupportNeeded.queue, False, row.seller_id or "", id_)
        created.append(CreatedRow(id_))
    return created


def _close(work: MemoryWork, tasks: Iterable[SupportTaskRow], closed_by: str, outcome: str) -> Iterable[CreatedRow]:
    closed = [task for task in tasks if task.closed_at is None]
    for task in closed:
        work.journal.change(task, closed_at=work.now, closed_by=closed_by, outcome=outcome)
        enqueue(work, SupportNeeded.queue, False, task.seller_id or "", task.id)
    return [CreatedRow(task.id) for task in closed]


@answers(support_tasks._CLOSE_FOR_CASES)
def close_for_cases(
    work: MemoryWork,
    case_ids: Sequence[UUID],
    seqs: Sequence[int],
    closed_bys: Sequence[str],
    outcomes: Sequence[str],
) -> Iterable[CreatedRow]:
    tasks = {(row.case_id, row.seq): row for row in work.tables.support_tasks.values() if row.kind == "case"}
    closed: list[CreatedRow] = []
    for case, seq, closed_by, outcome in zip(case_ids, seqs, closed_bys, outcomes, strict=True):
        closed += _close(work, [task] if (task := tasks.get((case, seq))) else [], closed_by, str(outcome))
    return closed


@answers(support_tasks._CLOSE_SOLVED)
def close_solved(
    work: MemoryWork,
    kinds: Sequence[str],
    seller_ids: Sequence[str],
    providers: Sequence[str],
    product: str,
    outcome: str,
) -> Iterable[CreatedRow]:
    causes = set(zip(map(str, kinds), seller_ids, providers, strict=True))
    tasks = [
        row
        for row in work.tables.support_tasks.values()
        if (row.kind, row.seller_id or "", json.loads(row.evidence).get("provider")) in causes
    ]
    return _close(work, tasks, product, outcome)


@answers(support_tasks._CLOSE_SOLVED_BY_ID)
def close_solved_by_id(work: MemoryWork, ids: Sequence[UUID], product: str, outcome: str) -> Iterable[CreatedRow]:
    return _close(work, [row for id_ in ids if (row := work.tables.support_tasks.get(id_))], product, outcome)


@answers(support_tasks._ANNOUNCE_CASES)
@answers(support_tasks._ANNOUNCE_PAYMENT)
@answers(support_tasks._ANNOUNCE_SELLER)
def announce(work: MemoryWork, **values: Any) -> None:  # noqa: ARG001  # the simulated helpdesk reads version 1
    return None


@answers(support_tasks._REFRESH)
def refresh(work: MemoryWork, id: UUID, evidence: str) -> None:  # noqa: A002  # the name of the bound value
    row = work.tables.support_tasks.get(id)
    if row and row.closed_at is None and row.evidence != evidence:
        work.journal.change(row, evidence=evidence)


@answers(support_tasks._CLOSE_EXPIRED)
def close_expired(work: MemoryWork, days: int, product: str, outcome: str) -> None:  # noqa: ARG001  # no simulated customer sends an e-mail
    return None


@answers(support_tasks._SELECT_WAITING_FOR_REPORTS)
def waiting_for_reports(work: MemoryWork) -> None:  # noqa: ARG001  # no simulated agent snoozes a task
    return None


@answers(support_task_events._CLAIM)
def claim_events(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> None:  # noqa: ARG001  # the simulated helpdesk reads version 1
    return None


@answers(support_task_events._SELECT_OVERDUE)
def events_overdue(work: MemoryWork, seconds: float, limit: int) -> None:  # noqa: ARG001  # the simulated helpdesk reads version 1
    return None


@answers(support_task_events._PUBLISH_AGAIN)
def publish_events_again(work: MemoryWork, days: int) -> Iterable[tuple[int]]:  # noqa: ARG001  # the simulated helpdesk reads version 1
    return [(0,)]


@answers(helpdesk_tickets._SELECT_OVERDUE)
def tickets_overdue(work: MemoryWork, limit: int) -> None:  # noqa: ARG001  # the simulation is connected to no other helpdesk
    return None


@answers(helpdesk_tickets._DEFER_OTHERS)
def defer_other_tickets(work: MemoryWork, ids: Sequence[UUID], targets: Sequence[str], until: datetime) -> None:  # noqa: ARG001  # as above
    return None


def codes(task: SupportTaskRow) -> list[str | None]:
    """Return the codes of a task's reasons."""
    return [reason.get("code") for reason in json.loads(task.reasons)]


@answers(support_tasks._CLAIM)
def claim_tasks(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> Iterable[tuple[Any, ...]]:
    claimed = [
        row
        for row in work.tables.support_tasks.values()
        if (row.case_id in ids or row.id in ids) and row.published_at is None and row.claimed_until <= work.now
    ]
    for row in claimed:
        work.journal.change(row, claimed_until=after(work.now, seconds))
    return [_task_columns(work, row) for row in claimed]


def _task_columns(work: MemoryWork, row: SupportTaskRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.case_id,
        _seller_of(row, _case_of(work.tables, row)),
        json.loads(row.reasons),
        json.loads(row.evidence),
        row.created_at,
        row.claimed_until,
    )


def _case_of(tables: Database, task: SupportTaskRow) -> CaseRow | None:
    return tables.cases.get(task.case_id) if task.case_id else None


def _seller_of(task: SupportTaskRow, case: CaseRow | None) -> str:
    return task.seller_id or (case.seller_id if case else None) or ""


@answers(support_tasks._MARK_PUBLISHED)
def mark_published(work: MemoryWork, ids: Sequence[UUID], claimed_untils: Sequence[datetime]) -> None:
    for id_, until in zip(ids, claimed_untils, strict=True):
        if (row := work.tables.support_tasks.get(id_)) and row.claimed_until == until:
            work.journal.change(row, published_at=work.now)


@answers(support_tasks._PUBLISH_AGAIN)
def publish_again(work: MemoryWork) -> Iterable[tuple[int]]:
    tasks = [row for row in work.tables.support_tasks.values() if row.closed_at is None]
    for row in tasks:
        work.journal.change(row, published_at=None, claimed_until=EPOCH)
    return [(len(tasks),)]


@answers(support_tasks._SELECT_OVERDUE)
def tasks_overdue(work: MemoryWork, seconds: float, limit: int) -> Iterable[OverdueRow]:
    before, queued = after(work.now, -seconds), _queued(work)
    overdue: dict[UUID, OverdueRow] = {}
    for row in work.tables.support_tasks.values():
        item = row.case_id or row.id
        due = row.published_at is None and row.claimed_until <= work.now and row.created_at < before
        if due and (SupportNeeded.queue, item) not in queued:
            case = _case_of(work.tables, row)
            overdue[item] = OverdueRow(item, bool(case and case.bulk), _seller_of(row, case))
    return list(overdue.values())[:limit]


@answers(dead_letters._INSERT)
def insert_dead_letter(work: MemoryWork, queue: str, body: bytes, why: str) -> None:
    rows = work.tables.dead_letters
    work.journal.append(rows, (len(rows) + 1, queue, body, why, work.now, None))


@answers(dead_letters._SELECT)
def dead_letters_of(work: MemoryWork, include_redriven: bool) -> Iterable[tuple[Any, ...]]:  # noqa: ARG001  # the simulation redrives no dead letter
    return work.tables.dead_letters
