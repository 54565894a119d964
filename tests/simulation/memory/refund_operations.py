"""Simulates the SQL statements about refund operations, the claims of payments and reconciliation.

For each statement of the product, a function returns the result from the tables in memory, or changes these tables.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from records import reconciliation, refund_operations
from tests.simulation.memory.journal import OPEN, UNRESOLVED, refuse
from tests.simulation.memory.purchases import captured
from tests.simulation.memory.tables import PaymentRow, RefundOperationRow, after
from tests.simulation.memory.work import MemoryWork, answers


class CaseIdRow(NamedTuple):
    case_id: UUID


class KeyRow(NamedTuple):
    key: str


@answers(refund_operations._RESERVE)
def reserve(
    work: MemoryWork,
    providers: Sequence[str],
    charges: Sequence[str],
    case_ids: Sequence[UUID],
    amounts: Sequence[int],
    decided: Sequence[bool],
) -> Iterable[CaseIdRow]:
    reserved, payments = [], set()
    columns = zip(providers, charges, case_ids, amounts, decided, strict=True)
    for provider, charge, case, amount, is_decided in columns:
        if (provider, charge) in payments:
            continue
        payments.add((provider, charge))
        row = work.tables.payments.get((provider, charge))
        total = captured(work, provider, charge)
        if row is None or total is None or not (is_decided or _may_claim(row, case)):
            continue
        if any(o.status in UNRESOLVED for o in _operations_of(work, provider, charge)):
            continue
        if not _is_enough_left(row, amount, total):
            continue
        if case not in work.tables.cases:
            raise refuse("payments_case_id_fkey")
        work.journal.change(row, case_id=row.case_id or case, captured=total, reserved=row.reserved + amount)
        work.journal.check_payment(row)
        reserved.append(CaseIdRow(case))
    return reserved


def _may_claim(row: PaymentRow, case: UUID) -> bool:
    return row.case_id in {None, case}


def _is_enough_left(row: PaymentRow, amount: int, total: int) -> bool:
    return max(row.reserved, row.refunded) + row.refunded_elsewhere + amount <= total


def _operations_of(work: MemoryWork, provider: str, charge: str) -> Iterator[RefundOperationRow]:
    rows = work.tables.refund_operations.values()
    return (row for row in rows if (row.provider, row.charge) == (provider, charge))


@answers(refund_operations._INSERT)
def insert(
    work: MemoryWork,
    case_ids: Sequence[UUID],
    attempts: Sequence[int],
    providers: Sequence[str],
    charges: Sequence[str],
    amounts: Sequence[int],
    currencies: Sequence[str],
    keys: Sequence[str],
    hashes: Sequence[bytes],
    lasts: Sequence[bool],
    inquiries: Sequence[bool],
    decision_ids: Sequence[UUID | None],
) -> None:
    for n, case in enumerate(case_ids):
        row = RefundOperationRow(
            case,
            attempts[n],
            providers[n],
            charges[n],
            amounts[n],
            currencies[n],
            keys[n],
            hashes[n],
            lasts[n],
            inquiries[n],
            decision_ids[n],
            work.now,
            work.now,
        )
        if row.amount <= 0:
            raise refuse("refund_operations_positive_amount_check")
        if row.case_id not in work.tables.cases:
            raise refuse("refund_operations_case_id_fkey")
        if any(o.case_id == row.case_id and o.attempt == row.attempt for o in work.tables.refund_operations.values()):
            raise refuse("refund_operations_pkey")
        work.journal.insert(work.tables.refund_operations, row.key, row, "refund_operations_key_key")
        work.journal.check_operation(row)


@answers(refund_operations._SELECT_BY_CASE)
def for_cases(work: MemoryWork, case_ids: Sequence[UUID]) -> Iterable[RefundOperationRow]:
    rows = (row for row in work.tables.refund_operations.values() if row.case_id in case_ids)
    return sorted(rows, key=lambda row: (row.case_id, row.attempt))


@answers(refund_operations._SELECT_BY_PAYMENT)
def for_payments(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[RefundOperationRow]:
    payments, newest = set(zip(providers, charges, strict=True)), {}
    rows = work.tables.refund_operations.values()
    for row in sorted(rows, key=lambda row: (row.status in UNRESOLVED, row.first_sent_at, row.attempt)):
        if (row.provider, row.charge) in payments:
            newest[row.provider, row.charge] = row
    return newest.values()


@answers(refund_operations._SELECT_OPEN)
def open_for_payment(work: MemoryWork, provider: str, charge: str) -> Iterable[RefundOperationRow]:
    rows = (row for row in _operations_of(work, provider, charge) if row.status in OPEN)
    return sorted(rows, key=lambda row: (row.first_sent_at, row.case_id, row.attempt))


@answers(refund_operations._SELECT_BY_REFUND)
def for_refunds(work: MemoryWork, providers: Sequence[str], refund_ids: Sequence[str]) -> Iterable[RefundOperationRow]:
    refunds = set(zip(providers, refund_ids, strict=True))
    return [row for row in work.tables.refund_operations.values() if (row.provider, row.refund_id) in refunds]


class KnownRefundRow(NamedTuple):
    key: str
    refund_id: str


@answers(refund_operations._NAME_REFUNDS)
def name_refunds(work: MemoryWork, keys: Sequence[str], refund_ids: Sequence[str]) -> None:
    for key, refund_id in zip(keys, refund_ids, strict=True):
        row = work.tables.refund_operations.get(key)
        if row and row.refund_id is None:
            work.journal.change(row, refund_id=refund_id)
            work.journal.check_operation(row)


@answers(refund_operations._SELECT_KNOWN_REFUNDS)
def known_refunds(work: MemoryWork, keys: Sequence[str]) -> Iterable[KnownRefundRow]:
    for key in keys:
        row = work.tables.refund_operations[key]
        for other in _operations_of(work, row.provider, row.charge):
            if other is not row and other.refund_id is not None and other.status not in {"absent", "declined"}:
                yield KnownRefundRow(key, other.refund_id)
        for refund in work.tables.external_refunds.values():
            is_same = (refund.provider, refund.charge) == (row.provider, row.charge)
            if is_same and refund.recorded_at < row.first_sent_at:
                yield KnownRefundRow(key, refund.refund_id)


@answers(refund_operations._MARK_RESENT)
def mark_resent(
    work: MemoryWork, keys: Sequence[str], case_ids: Sequence[UUID], fences: Sequence[int]
) -> Iterable[KeyRow]:
    marked = []
    for key, case, fence in zip(keys, case_ids, fences, strict=True):
        row, holder = work.tables.refund_operations.get(key), work.tables.cases.get(case)
        if row and holder and holder.fence == fence and holder.lease_until > work.now:
            work.journal.change(row, last_sent_at=work.now, sends=row.sends + 1)
            marked.append(KeyRow(key))
    return marked


@answers(refund_operations._COUNT_POLL)
def count_poll(
    work: MemoryWork, keys: Sequence[str], empties: Sequence[bool], replays: Sequence[bool], apart: float
) -> None:
    before = after(work.now, -apart)
    for key, empty, replayed in zip(keys, empties, replays, strict=True):
        row = work.tables.refund_operations.get(key)
        if row is None:
            continue
        counts = empty and (row.looked_up_at or row.last_sent_at) <= before
        work.journal.change(
            row,
            polls=row.polls + 1,
            empty_lookups=row.empty_lookups + counts,
            looked_up_at=work.now if counts else row.looked_up_at,
            replayed=row.replayed or replayed,
        )


@answers(refund_operations._RECORD_RESULT)
def record_result(
    work: MemoryWork,
    keys: Sequence[str],
    statuses: Sequence[str],
    refund_ids: Sequence[str | None],
    codes: Sequence[str | None],
    replays: Sequence[bool],
    must_acts: Sequence[bool],
    paid_amounts: Sequence[int],
) -> None:
    columns = zip(keys, statuses, refund_ids, codes, replays, must_acts, paid_amounts, strict=True)
    for key, status, refund_id, code, replayed, must_act, paid_amount in columns:
        row = work.tables.refund_operations.get(key)
        if row is None:
            continue
        paid_before = row.paid_amount
        work.journal.change(
            row,
            status=status,
            refund_id=refund_id or row.refund_id,
            code=code or row.code,
            polls=row.polls + 1,
            replayed=row.replayed or replayed,
            customer_must_act=must_act,
            paid_amount=paid_amount,
            paid_at=(row.paid_at or work.now) if status == "paid" else row.paid_at,
        )
        work.journal.check_operation(row)
        _update_payment(work, row, paid_before)


def _update_payment(work: MemoryWork, row: RefundOperationRow, paid_before: int) -> None:
    """Simulate refund_operations._UPDATE_PAYMENTS for one changed operation."""
    payment = work.tables.payments.get((row.provider, row.charge))
    if payment is None:
        return
    reserved = sum(o.amount for o in _operations_of(work, row.provider, row.charge) if o.status in OPEN)
    work.journal.change(
        payment,
        refunded=payment.refunded + row.paid_amount - paid_before,
        reserved=min(payment.captured or 0, reserved),
    )
    work.journal.check_payment(payment)


@answers(refund_operations._RECORD_DECLINE)
def record_decline(work: MemoryWork, keys: Sequence[str], codes: Sequence[str]) -> None:
    for key, code in zip(keys, codes, strict=True):
        if row := work.tables.refund_operations.get(key):
            work.journal.change(row, code=code)


@answers(refund_operations._SET_STATUS)
def close(work: MemoryWork, keys: Sequence[str], status: str) -> None:
    for key in keys:
        if row := work.tables.refund_operations.get(key):
            work.journal.change(row, status=status)
            work.journal.check_operation(row)
            _update_payment(work, row, row.paid_amount)


@answers(reconciliation._SELECT_LISTED)
def listed(
    work: MemoryWork, provider: str, keys: Sequence[str], refund_ids: Sequence[str]
) -> Iterable[RefundOperationRow]:
    return [
        row
        for row in work.tables.refund_operations.values()
        if row.key in keys or (row.provider == provider and row.refund_id in refund_ids)
    ]


@answers(reconciliation._MARK_RECONCILED)
def mark_reconciled(work: MemoryWork, keys: Sequence[str]) -> None:
    for key in keys:
        if row := work.tables.refund_operations.get(key):
            work.journal.change(row, reconciled_at=work.now)


@answers(reconciliation._SELECT_UNLISTED)
def unlisted(
    work: MemoryWork, provider: str, since: datetime, until: datetime, begun: datetime
) -> Iterator[RefundOperationRow]:
    for row in sorted(work.tables.refund_operations.values(), key=lambda row: row.first_sent_at):
        if (
            row.provider == provider
            and row.status in {"paid", "pending"}
            and row.first_sent_at >= since
            and row.last_sent_at < until
            and (row.reconciled_at is None or row.reconciled_at < begun)
        ):
            yield row
