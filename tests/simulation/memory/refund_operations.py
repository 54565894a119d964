"""What the statements about operations, claims of payments, and reconciliation do."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from records import reconciliation, refund_operations
from tests.simulation.memory.journal import refuse
from tests.simulation.memory.tables import ClaimRow, OperationRow, after
from tests.simulation.memory.work import MemoryWork, does


class Claimed(NamedTuple):
    case_id: UUID


class Key(NamedTuple):
    key: str


@does(refund_operations._CLAIM)
def claim(
    work: MemoryWork, providers: Sequence[str], charges: Sequence[str], cases: Sequence[UUID]
) -> Iterable[Claimed]:
    claimed, asked = [], set()
    for provider, charge, case in zip(providers, charges, cases, strict=True):
        if (provider, charge) in asked:
            continue
        asked.add((provider, charge))
        row = work.tables.claims.get((provider, charge))
        if row is None:
            if case not in work.tables.cases:
                raise refuse("payment_claims_case_id_fkey")
            row = ClaimRow(provider, charge, case)
            work.journal.insert(work.tables.claims, (provider, charge), row, "payment_claims_pkey")
        if row.case_id == case:
            claimed.append(Claimed(case))
    return claimed


def _newest(work: MemoryWork, cases: Sequence[UUID]) -> dict[UUID, OperationRow]:
    found: dict[UUID, OperationRow] = {}
    for row in work.tables.operations.values():
        if row.case_id in cases and (row.case_id not in found or found[row.case_id].attempt < row.attempt):
            found[row.case_id] = row
    return found


@does(refund_operations._PREPARE)
def prepare(
    work: MemoryWork,
    cases: Sequence[UUID],
    attempts: Sequence[int],
    providers: Sequence[str],
    charges: Sequence[str],
    amounts: Sequence[int],
    currencies: Sequence[str],
    keys: Sequence[str],
    hashes: Sequence[bytes],
) -> None:
    for n, case in enumerate(cases):
        row = OperationRow(
            case, attempts[n], providers[n], charges[n], amounts[n], currencies[n], keys[n], hashes[n], work.at, work.at
        )
        if row.amount <= 0:
            raise refuse("operations_some_money_check")
        if row.case_id not in work.tables.cases:
            raise refuse("operations_case_id_fkey")
        if any(o.case_id == row.case_id and o.attempt == row.attempt for o in work.tables.operations.values()):
            raise refuse("operations_pkey")
        work.journal.insert(work.tables.operations, row.key, row, "operations_key_key")
        work.journal.check_operation(row)


@does(refund_operations._OF)
def of(work: MemoryWork, cases: Sequence[UUID]) -> Iterable[OperationRow]:
    return _newest(work, cases).values()


@does(refund_operations._ABOUT)
def about(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[OperationRow]:
    wanted, found = set(zip(providers, charges, strict=True)), {}
    for row in sorted(work.tables.operations.values(), key=lambda row: row.attempt):
        if (row.provider, row.charge) in wanted:
            found[row.provider, row.charge] = row
    return found.values()


@does(refund_operations._MADE)
def made(work: MemoryWork, providers: Sequence[str], refund_ids: Sequence[str]) -> Iterable[OperationRow]:
    wanted = set(zip(providers, refund_ids, strict=True))
    return [row for row in work.tables.operations.values() if (row.provider, row.refund_id) in wanted]


@does(refund_operations._STAMP)
def stamp(work: MemoryWork, keys: Sequence[str], cases: Sequence[UUID], fences: Sequence[int]) -> Iterable[Key]:
    stamped = []
    for key, case, fence in zip(keys, cases, fences, strict=True):
        row, holder = work.tables.operations.get(key), work.tables.cases.get(case)
        if row and holder and holder.fence == fence and holder.lease_until > work.at:
            work.journal.change(row, last_sent_at=work.at, sends=row.sends + 1)
            stamped.append(Key(key))
    return stamped


@does(refund_operations._ASKED)
def asked(
    work: MemoryWork, keys: Sequence[str], empties: Sequence[bool], replays: Sequence[bool], apart: float
) -> None:
    before = after(work.at, -apart)
    for key, empty, replayed in zip(keys, empties, replays, strict=True):
        row = work.tables.operations.get(key)
        if row is None:
            continue
        counts = empty and (row.looked_up_at or row.last_sent_at) <= before
        work.journal.change(
            row,
            asks=row.asks + 1,
            empty_lookups=row.empty_lookups + counts,
            looked_up_at=work.at if counts else row.looked_up_at,
            replayed=row.replayed or replayed,
        )


@does(refund_operations._ANSWERED)
def answered(
    work: MemoryWork,
    keys: Sequence[str],
    statuses: Sequence[str],
    refund_ids: Sequence[str | None],
    codes: Sequence[str | None],
    replays: Sequence[bool],
) -> None:
    for key, status, refund_id, code, replayed in zip(keys, statuses, refund_ids, codes, replays, strict=True):
        row = work.tables.operations.get(key)
        if row is None:
            continue
        was = row.status
        work.journal.change(
            row,
            status=status,
            refund_id=refund_id or row.refund_id,
            code=code or row.code,
            asks=row.asks + 1,
            replayed=row.replayed or replayed,
            paid_at=(row.paid_at or work.at) if status == "paid" else row.paid_at,
        )
        work.journal.check_operation(row)
        purchase = work.tables.cases[row.case_id].purchase
        bought = work.tables.purchases.get(purchase) if purchase else None
        if bought and (status == "paid") != (was == "paid"):
            sign = (status == "paid") - (was == "paid")
            work.journal.change(bought, refunded=max(0, bought.refunded + row.amount * sign))


@does(refund_operations._REFUSED)
def refused(work: MemoryWork, keys: Sequence[str], codes: Sequence[str]) -> None:
    for key, code in zip(keys, codes, strict=True):
        if row := work.tables.operations.get(key):
            work.journal.change(row, code=code)


@does("update refund_operations set status = :status where key = any(:keys)")
def close(work: MemoryWork, keys: Sequence[str], status: str) -> None:
    for key in keys:
        if row := work.tables.operations.get(key):
            work.journal.change(row, status=status)
            work.journal.check_operation(row)


@does(reconciliation._LISTED)
def listed(work: MemoryWork, provider: str, keys: Sequence[str], refund_ids: Sequence[str]) -> Iterable[OperationRow]:
    return [
        row
        for row in work.tables.operations.values()
        if row.key in keys or (row.provider == provider and row.refund_id in refund_ids)
    ]


@does("update refund_operations set reconciled_at = now() where key = any(:keys)")
def seen(work: MemoryWork, keys: Sequence[str]) -> None:
    for key in keys:
        if row := work.tables.operations.get(key):
            work.journal.change(row, reconciled_at=work.at)


@does(reconciliation._UNLISTED)
def unlisted(
    work: MemoryWork, provider: str, since: datetime, until: datetime, begun: datetime
) -> Iterator[OperationRow]:
    for row in sorted(work.tables.operations.values(), key=lambda row: row.first_sent_at):
        if (
            row.provider == provider
            and row.status in {"paid", "pending"}
            and row.first_sent_at >= since
            and row.last_sent_at < until
            and (row.reconciled_at is None or row.reconciled_at < begun)
        ):
            yield row
