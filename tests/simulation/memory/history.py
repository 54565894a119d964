"""Simulates the SQL statements about transitions, histories, new requests and case views, with tables in memory."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.states import ENDED_BY_SUPPORT, OPEN_STATES
from records import case_views, history, intake, statutory_withdrawals
from tests.simulation.memory.cases import CaseViewRow
from tests.simulation.memory.journal import refuse
from tests.simulation.memory.purchases import payments_of, refundable_payments
from tests.simulation.memory.tables import EPOCH, CaseRow, OutboxRow, TransitionRow, after
from tests.simulation.memory.work import MemoryWork, answers


class CaseAndTransition(NamedTuple):
    """A row of history._SELECT_ALL: the columns of a case, and of one transition of the case."""

    id: UUID
    state: str
    last_seq: int
    head_hash: bytes
    seq: Any
    created_at: Any = None
    from_state: Any = None
    event: Any = None
    to_state: Any = None
    actor: Any = None
    why: Any = None
    evidence: Any = None
    hash: Any = None
    is_as_redacted: None = None  # no personal data is removed in the simulation


class CaseIdRow(NamedTuple):
    case_id: UUID


@answers(history._RECORD)
def record(
    work: MemoryWork,
    now: datetime,
    case_ids: Sequence[UUID],
    fences: Sequence[int],
    seqs: Sequence[int],
    from_states: Sequence[str],
    events: Sequence[str],
    to_states: Sequence[str],
    actors: Sequence[str],
    whys: Sequence[str],
    evidences: Sequence[str],
    hashes: Sequence[bytes],
    due_ins: Sequence[float | None],
    pauses: Sequence[float | None],
    leases: Sequence[float | None],
    purchase_ids: Sequence[UUID | None],
    seller_ids: Sequence[str | None],
    decided_seqs: Sequence[int],
) -> Iterable[CaseIdRow]:
    recorded = []
    for n, case in enumerate(case_ids):
        row = work.tables.cases.get(case)
        if row is None or (row.fence, row.seq, row.state) != (fences[n], seqs[n] - 1, from_states[n]):
            continue
        if row.state in ENDED_BY_SUPPORT and any(
            other.purchase_id == row.purchase_id and other.state in OPEN_STATES for other in work.tables.cases.values()
        ):
            continue
        due, pause, lease = due_ins[n], pauses[n], leases[n]
        work.journal.change(
            row,
            state=str(to_states[n]),
            seq=seqs[n],
            head_hash=hashes[n],
            next_action_at=None if due is None else after(now, due),
            not_before=EPOCH if pause is None else after(now, pause),
            lease_until=EPOCH if lease is None else after(now, lease),
            fence=row.fence + (lease is not None),
            deliveries=0,
            decided_seq=decided_seqs[n],
            purchase_id=purchase_ids[n] or row.purchase_id,
            seller_id=row.seller_id if seller_ids[n] is None else seller_ids[n],
        )
        work.journal.check_case(row)
        transition = TransitionRow(
            case,
            seqs[n],
            now,
            str(from_states[n]),
            str(events[n]),
            str(to_states[n]),
            actors[n],
            whys[n],
            evidences[n],
            hashes[n],
        )
        work.journal.insert(work.tables.transitions, (case, seqs[n]), transition, "transitions_pkey")
        recorded.append(CaseIdRow(case))
    return recorded


def _rows(work: MemoryWork, case: UUID) -> Iterator[TransitionRow]:
    number = 1
    while row := work.tables.transitions.get((case, number)):
        yield row
        number += 1


@answers(history._SELECT_BY_CASE)
def for_case(work: MemoryWork, case_id: UUID) -> Iterable[tuple[Any, ...]]:
    return [(*row[1:8], json.loads(row.evidence), row.hash) for row in _rows(work, case_id)]


class EvidenceRow(NamedTuple):
    case_id: UUID
    value: Any


@answers(history._SELECT_LATEST_EVIDENCE)
def latest_evidence(work: MemoryWork, case_ids: Sequence[UUID], name: str) -> Iterable[EvidenceRow]:
    newest = {}
    for case in case_ids:
        for row in _rows(work, case):
            if name in (evidence := json.loads(row.evidence)):
                newest[case] = EvidenceRow(case, evidence[name])
    return newest.values()


class EvaluationRow(NamedTuple):
    """A row that the statement history._SELECT_EVALUATIONS returns."""

    case_id: UUID
    purchase: Any
    approval: Any


@answers(history._SELECT_EVALUATIONS)
def evaluations(work: MemoryWork, case_ids: Sequence[UUID]) -> Iterable[EvaluationRow]:
    newest = {}
    for case in case_ids:
        for row in _rows(work, case):
            if "purchase" in (evidence := json.loads(row.evidence)):
                newest[case] = EvaluationRow(case, evidence["purchase"], evidence.get("approval"))
    return newest.values()


@answers(history._SELECT_EVIDENCE)
def all_evidence(work: MemoryWork, case_ids: Sequence[UUID], name: str) -> Iterable[EvidenceRow]:
    return [
        EvidenceRow(case, evidence[name])
        for case in case_ids
        for row in _rows(work, case)
        if name in (evidence := json.loads(row.evidence))
    ]


@answers(history._SELECT_ALL)
def stream_all(work: MemoryWork) -> Iterator[CaseAndTransition]:
    for case in sorted(work.tables.cases.values(), key=lambda row: row.id):
        columns = (case.id, case.state, case.seq, case.head_hash)
        rows = list(_rows(work, case.id))
        for row in rows:
            yield CaseAndTransition(*columns, *row[1:8], json.loads(row.evidence), row.hash)
        if not rows:
            yield CaseAndTransition(*columns, None)


class CreatedRow(NamedTuple):
    id: UUID
    number: int


@answers(intake._INSERT)
def insert(
    work: MemoryWork,
    now: datetime,
    event: str,
    state: str,
    resend_after: float,
    queue: str,
    hashes: Sequence[bytes],
    **columns: Sequence[Any],
) -> Iterable[CreatedRow]:
    tables, created = work.tables, []
    existing_keys = {(row.intake_source, row.intake_key) for row in tables.cases.values()}
    for n, case in enumerate(columns["ids"]):
        values = {name: column[n] for name, column in columns.items()}
        if (values["sources"], values["keys"]) in existing_keys:
            continue
        existing_keys.add((values["sources"], values["keys"]))
        tables.last_case_number += 1
        row = CaseRow(
            id=case,
            number=tables.last_case_number,
            seller_id=values["seller_ids"],
            channel=str(values["channels"]),
            intake_source=values["sources"],
            intake_key=values["keys"],
            intake_digest=values["digests"],
            email=values["emails"],
            email_key=values["email_keys"],
            reference=values["references"],
            reference_key=values["reference_keys"],
            reason=str(values["reasons"]),
            refund_scope=str(values["refund_scopes"]),
            comment=values["comments"],
            answers=values["answers"],
            locale=values["locales"],
            thread=values["threads"],
            trusted=values["trusteds"],
            bulk=values["bulks"],
            for_any_seller=values["seller_ids"] is None,
            received_at=now,
            state=str(state),
            seq=1,
            head_hash=hashes[n],
            next_action_at=after(now, resend_after),
        )
        if row.seller_id is not None and row.seller_id not in tables.sellers:
            raise refuse("cases_seller_id_fkey")
        work.journal.insert(tables.cases, case, row, "cases_pkey")
        transition = TransitionRow(case, 1, now, "", str(event), str(state), row.channel, "", "{}", hashes[n])
        work.journal.insert(tables.transitions, (case, 1), transition, "transitions_pkey")
        tables.last_outbox_id += 1
        message = OutboxRow(tables.last_outbox_id, queue, row.bulk, row.seller_id or "", case, now)
        work.journal.insert(tables.outbox, message.id, message, "outbox_pkey")
        created.append(CreatedRow(case, row.number))
    return created


@answers(intake._FORK)
def fork(
    work: MemoryWork,
    now: datetime,
    event: str,
    state: str,
    resend_after: float,
    queue: str,
    case_ids: Sequence[UUID],
    ids: Sequence[UUID],
    sellers: Sequence[str],
    hashes: Sequence[bytes],
) -> None:
    tables = work.tables
    for case, id_, seller, head_hash in zip(case_ids, ids, sellers, hashes, strict=True):
        if id_ in tables.cases:
            continue
        original = tables.cases[case]
        tables.last_case_number += 1
        row = replace(
            original, id=id_, number=tables.last_case_number, seller_id=seller, intake_source=f"fork:{seller}",
            intake_key=str(case), state=str(state), seq=1, head_hash=head_hash, next_action_at=after(now, resend_after),
            purchase_id=None, for_any_seller=False, fence=0, lease_until=EPOCH, not_before=EPOCH, deliveries=0,
            delivered_at=EPOCH, decided_seq=0,
        )  # fmt: skip
        work.journal.insert(tables.cases, id_, row, "cases_pkey")
        transition = TransitionRow(id_, 1, now, "", str(event), str(state), row.channel, "", "{}", head_hash)
        work.journal.insert(tables.transitions, (id_, 1), transition, "transitions_pkey")
        tables.last_outbox_id += 1
        message = OutboxRow(tables.last_outbox_id, queue, row.bulk, seller, id_, now)
        work.journal.insert(tables.outbox, message.id, message, "outbox_pkey")


class ExistingRow(NamedTuple):
    id: UUID
    number: int
    intake_source: str
    intake_key: str
    intake_digest: bytes
    state: str


@answers(history._SELECT_WITH_EVIDENCE)
def with_evidence(work: MemoryWork, case_ids: Sequence[UUID], name: str) -> Iterable[CaseIdRow]:
    return [CaseIdRow(case) for case in case_ids if any(name in json.loads(row.evidence) for row in _rows(work, case))]


@answers(intake._SELECT_EXISTING)
def existing(work: MemoryWork, sources: Sequence[str], keys: Sequence[str]) -> Iterable[ExistingRow]:
    submitted = set(zip(sources, keys, strict=True))
    return [
        ExistingRow(row.id, row.number, row.intake_source, row.intake_key, row.intake_digest, row.state)
        for row in work.tables.cases.values()
        if (row.intake_source, row.intake_key) in submitted
    ]


@answers(statutory_withdrawals._SELECT_BY_PURCHASE)
@answers(statutory_withdrawals._SELECT_BY_CASE)
def declarations(work: MemoryWork, case_ids: Sequence[UUID]) -> None:  # noqa: ARG001  # no simulated customer declares a withdrawal
    return None


@answers(case_views._SELECT_BY_ID)
def views(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[CaseViewRow]:
    return [_view(work, row) for case in dict.fromkeys(ids) if (row := work.tables.cases.get(case))]


def _payments(work: MemoryWork, case: CaseRow) -> list[list[Any]]:
    """Return the payments that were evaluated; if the case was not evaluated, the payments that the case is about."""
    evaluated = [evidence for row in _rows(work, case.id) if "purchase" in (evidence := json.loads(row.evidence))]
    payments: Iterable[tuple[Any, Any]]
    if evaluated and "approval" in evaluated[-1]:
        items = {(row.provider, row.charge): row for row in payments_of(work, case.purchase_id or case.id)}
        approved = (refund[:4] for refund in evaluated[-1]["approval"]["refunds"])
        payments = (
            (
                refund,
                (item.method, item.duplicate, False)
                if (item := items.get((refund[0], refund[1])))
                else (None, False, False),
            )
            for refund in approved
        )
    elif evaluated:
        details = [tuple(payment.values()) for payment in evaluated[-1]["payments"]]
        payments = zip(evaluated[-1]["purchase"]["payments"], details, strict=True)
    else:
        payments = (
            ([row.provider, row.charge, row.amount, row.currency], (row.method, row.duplicate, False))
            for row in refundable_payments(work, case)
        )
    approval = evaluated[-1].get("approval") if evaluated else None
    decision = UUID(approval["decision"]) if approval else None
    operations = {
        (row.provider, row.charge): (row.status, row.refund_id)
        for row in sorted(work.tables.refund_operations.values(), key=lambda row: row.attempt)
        if row.case_id == case.id and row.decision_id == decision
    }
    return [
        [*payment, *detail, *operations.get((payment[0], payment[1]), (None, None))] for payment, detail in payments
    ]


def _view(work: MemoryWork, case: CaseRow) -> CaseViewRow:
    seller = work.tables.sellers.get(case.seller_id or "")
    purchase = work.tables.purchases.get(case.purchase_id) if case.purchase_id else None
    evidence = [json.loads(row.evidence) for row in _rows(work, case.id)]
    reasons = [values["reasons"] for values in evidence if "reasons" in values]
    seller_columns = (
        (seller.name, seller.support_email, seller.time_zone, seller.answer_hours) if seller else (None,) * 4
    )
    purchase_columns = (
        (
            purchase.product,
            _payments(work, case),
            purchase.email,
            purchase.reference,
            purchase.renewal,
        )
        if purchase
        else (None,) * 5
    )
    approvals = ["approval" in values for values in evidence if "purchase" in values]
    amounts = [row.amount or 0 for row in payments_of(work, purchase.id)] if purchase else []
    amount = sum(amounts) if amounts else None
    event = work.tables.transitions[case.id, case.decided_seq].event if case.decided_seq else None
    declaration = (None,) * 3  # no simulated customer declares a statutory withdrawal
    return CaseViewRow._make((
        case.id, case.number, case.state, case.channel, case.reference, case.seller_id, case.reason, case.refund_scope,
        case.comment, json.loads(case.answers), case.locale, case.thread, case.email, case.received_at, case.next_action_at,
        case.purchase_id, *seller_columns, *purchase_columns, *declaration, reasons[-1] if reasons else None,
        approvals[-1] if approvals else None, amount, case.decided_seq, event,
        "customer_must_act" in evidence[case.seq - 1], None, work.now, None,  # the simulated e-mails contain no dates and amounts
    ))  # fmt: skip
