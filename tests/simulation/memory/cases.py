"""Answers the product's SQL statements about cases. The answers come from the tables in memory."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.states import OPEN_STATES
from records import cases
from tests.simulation.memory.journal import OPEN
from tests.simulation.memory.purchases import captured, payments_of, refundable_payments
from tests.simulation.memory.queued_work import codes
from tests.simulation.memory.tables import EPOCH, CaseRow, ExternalRefundRow, PurchasePaymentRow, PurchaseRow, after
from tests.simulation.memory.work import MemoryWork, answers


class OverdueRow(NamedTuple):
    id: UUID
    state: str
    bulk: bool
    seller_id: str


class DeliveryRow(NamedTuple):
    id: UUID
    deliveries: int


def _rows(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[CaseRow]:
    return [row for case in dict.fromkeys(ids) if (row := work.tables.cases.get(case))]


@answers(cases._LOCK)
def lock(work: MemoryWork, ids: Sequence[UUID], state: str) -> Iterable[CaseRow]:
    return sorted(_free(work, ids, [state]), key=lambda row: (row.received_at, row.id))


@answers(cases._LOCK_ONE)
def lock_one(work: MemoryWork, id: UUID) -> Iterable[CaseRow]:  # noqa: A002  # the name of the statement's parameter
    return _rows(work, [id])


@answers(cases._LEASE)
def lease(
    work: MemoryWork, ids: Sequence[UUID], states: Sequence[str], seconds: float, early: bool
) -> Iterable[CaseRow]:
    leased = [
        row
        for row in _rows(work, ids)
        if row.state in states and row.lease_until <= work.now and (row.not_before <= work.now or early)
    ]
    until = after(work.now, seconds)
    for row in leased:
        due = row.next_action_at and max(row.not_before, until)
        work.journal.change(row, fence=row.fence + 1, lease_until=until, next_action_at=due)
        work.journal.check_case(row)
    return leased


@answers(cases._RELEASE)
def release(work: MemoryWork, ids: Sequence[UUID], fences: Sequence[int], seconds: Sequence[float | None]) -> None:
    for case, fence, delay in zip(ids, fences, seconds, strict=True):
        row = work.tables.cases.get(case)
        if row and row.fence == fence:
            not_before = row.not_before if delay is None else after(work.now, delay)
            due = row.next_action_at and not_before
            work.journal.change(row, lease_until=EPOCH, deliveries=0, not_before=not_before, next_action_at=due)


@answers(cases._SELECT_OVERDUE)
def overdue(work: MemoryWork, limit: int) -> Iterable[OverdueRow]:
    by_seller: defaultdict[str, list[tuple[datetime, CaseRow]]] = defaultdict(list)
    for row in work.tables.cases.values():
        if row.next_action_at is not None and row.next_action_at <= work.now:
            by_seller[row.seller_id or ""].append((row.next_action_at, row))
    turns: list[tuple[int, OverdueRow]] = []
    for seller, rows in by_seller.items():
        free = sorted(((due, row) for due, row in rows if row.lease_until <= work.now), key=lambda entry: entry[0])
        turns += [
            (turn, OverdueRow(row.id, row.state, row.bulk, seller))
            for turn, (_, row) in enumerate(free[: limit // len(by_seller) + 1])
        ]
    return [row for _, row in sorted(turns, key=lambda entry: (entry[0], entry[1].seller_id))[:limit]]


def _free(work: MemoryWork, ids: Sequence[UUID], states: Sequence[str]) -> list[CaseRow]:
    return [r for r in _rows(work, ids) if r.state in states and r.lease_until <= work.now and r.not_before <= work.now]


@answers(cases._COUNT_DELIVERY)
def count_delivery(
    work: MemoryWork, ids: Sequence[UUID], states: Sequence[str], include_crashed: bool, apart: float
) -> Iterable[DeliveryRow]:
    before = after(work.now, -apart)
    counted = [
        row
        for row in _free(work, ids, states)
        if row.deliveries == 0 or (include_crashed and row.delivered_at <= before)
    ]
    for row in counted:
        work.journal.change(row, deliveries=row.deliveries + 1, delivered_at=work.now)
    return [DeliveryRow(row.id, row.deliveries) for row in counted]


@answers(cases._UNCOUNT_DELIVERY)
def uncount_delivery(work: MemoryWork, ids: Sequence[UUID], counts: Sequence[int], states: Sequence[str]) -> None:
    count_of = dict(zip(ids, counts, strict=True))
    for row in _rows(work, ids):
        if row.state in states and row.lease_until <= work.now and row.deliveries == count_of[row.id]:
            work.journal.change(row, deliveries=row.deliveries - 1, next_action_at=work.now)


@answers("set local synchronous_commit = off")
def do_not_wait_for_disk(work: MemoryWork) -> None:  # noqa: ARG001  # every answer to a statement has this parameter
    return None


@answers(cases._SELECT_CRASHED)
def crashed_before(work: MemoryWork, ids: Sequence[UUID], states: Sequence[str], apart: float) -> Iterable[CaseRow]:
    before = after(work.now, -apart)
    crashed = [row for row in _free(work, ids, states) if row.deliveries > 0 and row.delivered_at <= before]
    return sorted(crashed, key=lambda row: (row.deliveries, row.id))


@answers(cases._LOCK_WITH_SUPPORT)
def lock_with_support(work: MemoryWork, provider: str, charge: str, code: str) -> Iterable[CaseRow]:
    return [row for row in _with_support(work, provider, charge, code) if row.lease_until <= work.now]


@answers(cases._EXISTS_WITH_SUPPORT)
def exists_with_support(work: MemoryWork, provider: str, charge: str, code: str) -> Iterable[tuple[bool]]:
    return [(bool(_with_support(work, provider, charge, code)),)]


def _with_support(work: MemoryWork, provider: str, charge: str, code: str) -> list[CaseRow]:
    tables = work.tables
    purchases = _paid_by(work, provider, charge)
    codes_of = {(task.case_id, task.seq): codes(task) for task in tables.support_tasks.values() if task.seq is not None}
    return [
        row
        for row in tables.cases.values()
        if row.purchase_id in purchases
        and row.state == "with_support"
        and set(codes_of.get((row.id, row.seq), ())) == {code}
    ]


def _paid_by(work: MemoryWork, provider: str, charge: str) -> set[UUID]:
    rows = work.tables.purchase_payments.values()
    return {row.purchase_id for row in rows if (row.provider, row.charge) == (provider, charge)}


@answers(cases._SELECT_SETTLED)
def settled(
    work: MemoryWork, providers: Sequence[str], charges: Sequence[str], statuses: Sequence[str]
) -> Iterable[CaseRow]:
    purchases = {id_ for payment in zip(providers, charges, strict=True) for id_ in _paid_by(work, *payment)}
    unsettled = {
        row.case_id
        for row in work.tables.refund_operations.values()
        if (row.status in OPEN and row.status != "paid") or row.paid_amount > row.amount
    }
    return [
        row
        for row in work.tables.cases.values()
        if row.state == "with_support"
        and row.lease_until <= work.now
        and row.purchase_id in purchases
        and row.id not in unsettled
        and _refunds_of(work, row, statuses)
        and all(
            _is_refunded_in_full(work, item, statuses) or _is_refunded_in_part(work, row, item, statuses)
            for item in refundable_payments(work, row)
        )
    ]


def _refunds_of(work: MemoryWork, case: CaseRow, statuses: Sequence[str]) -> list[ExternalRefundRow]:
    """Return the external refunds with one of these statuses, in the currencies of the payments of the case's purchase."""
    items = payments_of(work, case.purchase_id) if case.purchase_id else []
    return [row for item in items for row in _refunds_of_payment(work, item, statuses) if row.currency == item.currency]


def _refunds_of_payment(work: MemoryWork, item: PurchasePaymentRow, statuses: Sequence[str]) -> list[ExternalRefundRow]:
    rows = work.tables.external_refunds.values()
    return [
        row for row in rows if (row.provider, row.charge) == (item.provider, item.charge) and row.status in statuses
    ]


def _is_refunded_in_full(work: MemoryWork, item: PurchasePaymentRow, statuses: Sequence[str]) -> bool:
    total = captured(work, item.provider, item.charge)
    refunds = [row for row in _refunds_of_payment(work, item, statuses) if row.currency == item.currency]
    refunded = work.tables.payments[item.provider, item.charge].refunded
    return total is None or refunded + sum(row.amount for row in refunds) >= total


def _is_refunded_in_part(work: MemoryWork, case: CaseRow, item: PurchasePaymentRow, statuses: Sequence[str]) -> bool:
    refunds = [
        row
        for row in _refunds_of_payment(work, item, ("paid", "pending"))
        if not _settled_another(work, case, row.provider, row.charge, row.refund_id)
    ]
    is_certain = all(
        row.currency == item.currency and row.status in statuses and row.recorded_at >= case.received_at
        for row in refunds
    )
    has_paid = any(
        (row.case_id, row.provider, row.charge, row.status) == (case.id, item.provider, item.charge, "paid")
        for row in work.tables.refund_operations.values()
    )
    return (
        sum(row.amount for row in refunds) == item.amount
        and is_certain
        and not has_paid
        and not _is_about_another(work, item)
    )


def _settled_another(work: MemoryWork, case: CaseRow, provider: str, charge: str, refund_id: str) -> bool:
    """Return whether the external refund settled another case."""
    purchases = _paid_by(work, provider, charge)
    return any(
        row.event == "externally_refunded"
        and row.case_id != case.id
        and work.tables.cases[row.case_id].state == "refunded"
        and work.tables.cases[row.case_id].purchase_id in purchases
        and refund_id in json.loads(row.evidence)["refunds"]
        for row in work.tables.transitions.values()
    )


def _is_about_another(work: MemoryWork, item: PurchasePaymentRow) -> bool:
    """Return whether a refund of the payment may be about another purchase that was paid with it."""
    others = _paid_by(work, item.provider, item.charge) - {item.purchase_id}
    is_open = any(
        row.purchase_id in others and row.state in OPEN_STATES and row.state != "refunded"
        for row in work.tables.cases.values()
    )
    return is_open or any(work.tables.purchases[id_].reported_refunded > 0 for id_ in others)


class SettlingRow(NamedTuple):
    """A row that the statement cases._SELECT_SETTLEMENT_REFUNDS returns."""

    refund_id: str
    amount: int
    position: int
    part: int | None
    settled_another: bool


@answers(cases._SELECT_SETTLEMENT_REFUNDS)
def settlement_refunds(work: MemoryWork, case_id: UUID) -> Iterable[SettlingRow]:
    case = work.tables.cases[case_id]
    items = payments_of(work, case.purchase_id) if case.purchase_id else []
    found = [
        (refund, item)
        for item in items
        for refund in _refunds_of_payment(work, item, ["paid"])
        if refund.currency == item.currency
    ]
    found.sort(key=lambda pair: pair[0].refund_id)
    found.sort(key=lambda pair: pair[0].recorded_at, reverse=True)
    return [
        SettlingRow(
            refund.refund_id,
            refund.amount,
            item.position,
            item.amount,
            _settled_another(work, case, refund.provider, refund.charge, refund.refund_id),
        )
        for refund, item in found
    ]


@answers(cases._SELECT_SETTLED_BY)
def settled_by(work: MemoryWork, refund_ids: Sequence[str], purchase_ids: Sequence[UUID]) -> Iterable[CaseRow]:
    def was_settled(case: UUID) -> bool:
        rows = (row for (case_id, _), row in work.tables.transitions.items() if case_id == case)
        settlements = [row for row in rows if row.event == "externally_refunded"]
        newest = max(settlements, key=lambda row: row.seq, default=None)
        return newest is not None and bool(set(json.loads(newest.evidence)["refunds"]) & set(refund_ids))

    return [
        row
        for row in work.tables.cases.values()
        if row.state == "refunded"
        and row.lease_until <= work.now
        and row.purchase_id in purchase_ids
        and was_settled(row.id)
    ]


@answers(cases._SELECT_UNMATCHED)
def unmatched(work: MemoryWork, purchase_ids: Sequence[UUID], days: int) -> Iterable[CaseRow]:
    since = after(work.now, -days * 86_400)
    rows = {
        row.id: row
        for id_ in purchase_ids
        if (purchase := work.tables.purchases.get(id_))
        for row in work.tables.cases.values()
        if row.state == "unmatched"
        and (row.email_key, row.reference_key) == (purchase.email_key, purchase.reference_key)
        and row.seller_id in {None, purchase.seller_id}
        and row.received_at > since
    }
    return sorted(rows.values(), key=lambda row: row.received_at)


@answers(cases._SELECT_MISSED)
def missed(work: MemoryWork, days: int, limit: int) -> Iterable[CaseRow]:
    since = after(work.now, -days * 86_400)
    keys = {
        (row.email_key, row.reference_key, seller)
        for row in work.tables.purchases.values()
        for seller in (row.seller_id, None)
    }
    rows = [
        row
        for row in work.tables.cases.values()
        if row.state == "unmatched"
        and row.received_at > since
        and (row.email_key, row.reference_key, row.seller_id) in keys
    ]
    return sorted(rows[:limit], key=lambda row: row.received_at)


class ForkRow(NamedTuple):
    id: UUID
    seller_id: str
    channel: str


@answers(cases._SELECT_FOR_OTHER_SELLERS)
def for_other_sellers(
    work: MemoryWork, purchase_ids: Sequence[UUID], days: int, clock_difference: float
) -> Iterable[ForkRow]:
    purchases = [purchase for id_ in purchase_ids if (purchase := work.tables.purchases.get(id_))]
    return _missing_forks(work, purchases, days, clock_difference)


@answers(cases._SELECT_MISSED_BY_OTHER_SELLERS)
def missed_by_other_sellers(work: MemoryWork, days: int, limit: int, clock_difference: float) -> Iterable[ForkRow]:
    return _missing_forks(work, work.tables.purchases.values(), days, clock_difference)[:limit]


def _missing_forks(
    work: MemoryWork, purchases: Iterable[PurchaseRow], days: int, clock_difference: float
) -> list[ForkRow]:
    since = after(work.now, -days * 86_400)
    open_to_all = [row for row in work.tables.cases.values() if row.for_any_seller and row.received_at > since]
    existing = {(row.intake_source, row.intake_key) for row in work.tables.cases.values()}
    forks = (
        ForkRow(row.id, purchase.seller_id, row.channel)
        for purchase in purchases
        for row in open_to_all
        if (row.email_key, row.reference_key) == (purchase.email_key, purchase.reference_key)
        and row.seller_id not in {None, purchase.seller_id}
        and purchase.purchased_at <= after(row.received_at, clock_difference)
        and (f"fork:{purchase.seller_id}", str(row.id)) not in existing
    )
    return list(dict.fromkeys(forks))


@answers(cases._POSTPONE)
def postpone(work: MemoryWork, ids: Sequence[UUID], seconds: float) -> None:
    for row in _rows(work, ids):
        work.journal.change(row, next_action_at=after(work.now, seconds))


class CaseViewRow(NamedTuple):
    """A row of the result of the SQL statement ``_SELECT`` in the module ``records.case_views``."""

    id: UUID
    number: int
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
    answer_hours: int | None
    product: str | None
    payments: list[Any] | None
    purchase_email: str | None
    purchase_reference: str | None
    subscription: bool | None
    declared_by: str | None
    statement: str | None
    declared_at: datetime | None
    reasons: list[Any] | None
    is_approved: bool | None
    purchase_amount: int | None
    decided_seq: int
    decided_event: str | None
    customer_must_act: bool
    wait: list[Any] | None
    read_at: datetime
    another_way: list[Any] | None
