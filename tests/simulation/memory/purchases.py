"""Simulates PostgreSQL for Moneyback's SQL statements about purchases, their payments and external refunds."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.states import OPEN_STATES
from records import purchases
from tests.simulation.memory.journal import refuse
from tests.simulation.memory.tables import CaseRow, ExternalRefundRow, PaymentRow, PurchasePaymentRow, PurchaseRow
from tests.simulation.memory.work import MemoryWork, answers


class ChargeRow(NamedTuple):
    """A row with a charge, and with the dispute status of the payment if the statement returns the status."""

    charge: str
    dispute: str = ""


class IdRow(NamedTuple):
    id: UUID


class OwnerRow(NamedTuple):
    provider: str
    charge: str
    seller_id: str


class RefundIdRow(NamedTuple):
    refund_id: str


class RefundedRow(tuple[Any, ...]):
    """A row of purchases._SELECT_REFUNDED: the payment, and the columns of the purchase."""

    __slots__ = ()

    @property
    def provider(self) -> str:
        """The provider of the payment."""
        return str(self[0])

    @property
    def charge(self) -> str:
        """The charge of the payment."""
        return str(self[1])


class KnownRow(tuple[Any, ...]):
    """A row of purchases._SELECT_KNOWN: the number of the report, two flags, and the columns of the purchase."""

    __slots__ = ()

    @property
    def number(self) -> int:
        """The number of the report, starting at 1."""
        number: int = self[0]
        return number

    @property
    def is_fresh(self) -> bool:
        """True if this transaction created or changed the purchase."""
        return bool(self[1])

    @property
    def is_held(self) -> bool:
        """True if the purchase has an open case."""
        return bool(self[2])


def payments_of(work: MemoryWork, purchase_id: UUID) -> list[PurchasePaymentRow]:
    """Return the payments of a purchase in their order."""
    rows = work.tables.purchase_payments.values()
    return sorted((row for row in rows if row.purchase_id == purchase_id), key=lambda row: row.position)


def refundable_payments(work: MemoryWork, case: CaseRow) -> list[PurchasePaymentRow]:
    """Return the payments that a case is about: the duplicate payments, if the customer was charged twice."""
    payments = payments_of(work, case.purchase_id) if case.purchase_id else []
    duplicates = [payment for payment in payments if payment.duplicate]
    return duplicates if duplicates and case.reason == "duplicate_order" else payments


def captured(work: MemoryWork, provider: str, charge: str) -> int | None:
    """Return the sum of what the purchases paid with a payment cost."""
    rows = work.tables.purchase_payments.values()
    amounts = [
        row.amount for row in rows if (row.provider, row.charge) == (provider, charge) and row.amount is not None
    ]
    return sum(amounts) if amounts else None


def purchase_columns(work: MemoryWork, row: PurchaseRow) -> tuple[Any, ...]:
    """Return the values of PURCHASE_COLUMNS."""
    payments = []
    for item in payments_of(work, row.id):
        payment = work.tables.payments[item.provider, item.charge]
        payments.append(
            [item.provider, item.charge, item.amount, item.currency, item.method, item.instrument,
             item.charged_at.isoformat(), item.duplicate, payment.refunded + payment.refunded_elsewhere, payment.dispute,
             captured(work, item.provider, item.charge), max(0, payment.reserved - payment.refunded)]
        )  # fmt: skip
    return (
        row.id, row.seller_id, row.reference, row.email, row.product, row.purchased_at, row.renewal, row.consumer, row.tax,
        json.loads(row.items), row.reported_refunded, row.reported_dispute, row.from_provider,
        row.refunded_another_way, payments,
    )  # fmt: skip


@answers(purchases._CLAIM_FOR_SELLERS)
def claim_for_sellers(
    work: MemoryWork, providers: Sequence[str], charges: Sequence[str], seller_ids: Sequence[str]
) -> Iterable[OwnerRow]:
    claimed = []
    for provider, charge, seller in zip(providers, charges, seller_ids, strict=True):
        if (provider, charge) in work.tables.payments:
            continue
        if seller not in work.tables.sellers:
            raise refuse("payments_seller_id_fkey")
        row = PaymentRow(provider, charge, seller)
        work.journal.insert(work.tables.payments, (provider, charge), row, "payments_pkey")
        claimed.append(OwnerRow(provider, charge, seller))
    return claimed


@answers(purchases._SELECT_FOREIGN)
def foreign_payments(
    work: MemoryWork, providers: Sequence[str], charges: Sequence[str], seller_ids: Sequence[str]
) -> Iterable[OwnerRow]:
    return [
        OwnerRow(provider, charge, owner)
        for provider, charge, seller in zip(providers, charges, seller_ids, strict=True)
        if (owner := work.tables.payments[provider, charge].seller_id) != seller
    ]


@answers(purchases._RELEASE)
def release(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> None:
    kept = {(row.provider, row.charge) for row in work.tables.purchase_payments.values()}
    kept |= {(row.provider, row.charge) for row in work.tables.external_refunds.values()}
    for payment in sorted(set(zip(providers, charges, strict=True)) - kept):
        row = work.tables.payments.get(payment)
        if row and row.case_id is None and row.refunded_elsewhere == 0 and row.dispute == "none":
            work.journal.delete(work.tables.payments, payment)


@answers(purchases._INSERT)
def insert(work: MemoryWork, **columns: Sequence[Any]) -> Iterable[IdRow]:
    inserted = []
    for n, purchase_id in enumerate(columns["id"]):
        values = {name: column[n] for name, column in columns.items()}
        values["reported_dispute"] = str(values["reported_dispute"])
        if values["seller_id"] not in work.tables.sellers:
            raise refuse("purchases_seller_id_fkey")
        if _by_literal(work, values["seller_id"], values["literal_reference"]) is None:
            row = PurchaseRow(**values, transaction=id(work))
            work.journal.insert(work.tables.purchases, purchase_id, row, "purchases_pkey")
            inserted.append(IdRow(purchase_id))
    return inserted


@answers(purchases._SELECT_CHARGES)
def charges_of(_: MemoryWork, **__: Sequence[str]) -> Iterable[OwnerRow]:
    """Return no row, because payments have one id in the simulation."""
    return ()


@answers(purchases._RENAME)
def rename(_: MemoryWork, **__: Sequence[str]) -> Iterable[IdRow]:
    """Return no row, because only sellers report purchases in the simulation."""
    return ()


def _by_literal(work: MemoryWork, seller: str, literal: str) -> PurchaseRow | None:
    rows = work.tables.purchases.values()
    return next((row for row in rows if (row.seller_id, row.literal_reference) == (seller, literal)), None)


@answers(purchases._SELECT_KNOWN)
def known(work: MemoryWork, seller_ids: Sequence[str], literal_references: Sequence[str]) -> Iterable[KnownRow]:
    rows = []
    for number, (seller, literal) in enumerate(zip(seller_ids, literal_references, strict=True), start=1):
        if row := _by_literal(work, seller, literal):
            is_held = any(
                case.purchase_id == row.id and case.state in OPEN_STATES for case in work.tables.cases.values()
            )
            rows.append(KnownRow((number, row.transaction == id(work), is_held, *purchase_columns(work, row))))
    return rows


@answers(purchases._UPDATE)
def update(work: MemoryWork, **columns: Sequence[Any]) -> None:
    for n, purchase_id in enumerate(columns["id"]):
        values = {name: column[n] for name, column in columns.items() if name != "id"}
        values["reported_dispute"] = str(values["reported_dispute"])
        work.journal.change(work.tables.purchases[purchase_id], **values)


@answers(purchases._DELETE_PAYMENTS)
def delete_payments(work: MemoryWork, ids: Sequence[UUID]) -> None:
    for key in [key for key in work.tables.purchase_payments if key[0] in ids]:
        work.journal.delete(work.tables.purchase_payments, key)


@answers(purchases._INSERT_PAYMENTS)
def insert_payments(
    work: MemoryWork, purchase_ids: Sequence[UUID], positions: Sequence[int], **columns: Sequence[Any]
) -> None:
    for n, (purchase_id, position) in enumerate(zip(purchase_ids, positions, strict=True)):
        row = PurchasePaymentRow(purchase_id, position, **{name: column[n] for name, column in columns.items()})
        if (row.provider, row.charge) not in work.tables.payments:
            raise refuse("purchase_payments_provider_charge_fkey")
        if any(
            (other.provider, other.charge) == (row.provider, row.charge) for other in payments_of(work, purchase_id)
        ):
            raise refuse("purchase_payments_provider_charge_purchase_id_key")
        work.journal.insert(work.tables.purchase_payments, (purchase_id, position), row, "purchase_payments_pkey")


@answers(purchases._SELECT_BY_PAYMENT)
def paid_by(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    payments = set(zip(providers, charges, strict=True))
    ids = {row.purchase_id for row in work.tables.purchase_payments.values() if (row.provider, row.charge) in payments}
    rows = sorted((work.tables.purchases[id_] for id_ in ids), key=lambda row: (row.purchased_at, row.id))
    return [purchase_columns(work, row) for row in rows]


@answers(purchases._SELECT_REFUNDED)
def refunded(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[Any]:
    rows = []
    for provider, charge in dict.fromkeys(zip(providers, charges, strict=True)):
        operations = [
            row for row in work.tables.refund_operations.values() if (row.provider, row.charge) == (provider, charge)
        ]
        if operations:
            newest = max(operations, key=lambda row: row.first_sent_at)
            purchase_id = work.tables.cases[newest.case_id].purchase_id
            assert purchase_id, "a case with an operation has a purchase"
            rows.append(RefundedRow((provider, charge, *purchase_columns(work, work.tables.purchases[purchase_id]))))
    return rows


@answers(purchases._SELECT_EXTERNAL_REFUNDS)
def external_refunds_of(work: MemoryWork, provider: str, charge: str) -> Iterable[RefundIdRow]:
    return [
        RefundIdRow(row.refund_id)
        for row in work.tables.external_refunds.values()
        if (row.provider, row.charge) == (provider, charge) and row.status != "failed"
    ]


@answers(purchases._LOCK_PAYMENTS)
def lock_payments(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> None:
    """Do nothing, because only one transaction runs at a time in the simulation."""


@answers(purchases._RECORD_EXTERNAL_REFUNDS)
def record_external_refunds(
    work: MemoryWork,
    provider: str,
    refund_ids: Sequence[str],
    charges: Sequence[str],
    amounts: Sequence[int],
    currencies: Sequence[str],
    statuses: Sequence[str],
) -> Iterable[ChargeRow]:
    changed = set()
    for refund_id, charge, amount, currency, status in zip(
        refund_ids, charges, amounts, currencies, statuses, strict=True
    ):
        row = work.tables.external_refunds.get((provider, refund_id))
        before = row.amount if row and row.status != "failed" else 0
        if row is None:
            row = ExternalRefundRow(provider, refund_id, charge, amount, currency, str(status), work.now)
            work.journal.insert(work.tables.external_refunds, (provider, refund_id), row, "external_refunds_pkey")
        else:
            work.journal.change(row, status=str(status), amount=amount)
        counted = row.amount if row.status != "failed" else 0
        if payment := work.tables.payments.get((provider, charge)):
            total = max(0, payment.refunded_elsewhere + counted - before)
            work.journal.change(payment, refunded_elsewhere=total)
            changed |= {charge} if counted != before else set()
    return [ChargeRow(charge) for charge in sorted(changed)]


@answers(purchases._SELECT_OPEN_DISPUTES)
def open_disputes(work: MemoryWork, provider: str, after: str, limit: int) -> Iterable[ChargeRow]:
    charges = [
        row.charge
        for row in work.tables.payments.values()
        if row.provider == provider and row.dispute in {"open", "inquiry"} and row.charge > after
    ]
    return [ChargeRow(charge) for charge in sorted(charges)][:limit]


@answers(purchases._SELECT_DISPUTES)
def disputes_of(work: MemoryWork, provider: str, charges: Sequence[str]) -> Iterable[ChargeRow]:
    rows = (work.tables.payments.get((provider, charge)) for charge in dict.fromkeys(charges))
    return [ChargeRow(row.charge, row.dispute) for row in rows if row]


@answers(purchases._SET_DISPUTE)
def set_dispute(
    work: MemoryWork, provider: str, charge: str, dispute: str, respond_by: datetime | None
) -> Iterable[ChargeRow]:
    row = work.tables.payments.get((provider, charge))
    if row is None or (row.dispute, row.dispute_respond_by) == (str(dispute), respond_by):
        return []
    work.journal.change(row, dispute=str(dispute), dispute_respond_by=respond_by)
    return [ChargeRow(charge)]


@answers(purchases._ADD_REFUND_ANOTHER_WAY)
def add_refund_another_way(work: MemoryWork, id: UUID, minor: int) -> None:  # noqa: A002  # the name of the bound value
    row = work.tables.purchases[id]
    work.journal.change(row, refunded_another_way=row.refunded_another_way + minor)


@answers(purchases._SELECT_BY_ID)
def get(work: MemoryWork, id: UUID) -> Iterable[tuple[Any, ...]]:  # noqa: A002  # the name of the bound value
    return [purchase_columns(work, row)] if (row := work.tables.purchases.get(id)) else []
