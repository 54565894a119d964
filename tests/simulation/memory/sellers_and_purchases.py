"""Simulates PostgreSQL for Moneyback's SQL statements about sellers, purchases and the inputs of a decision.

The function with the decorator ``@answers(STATEMENT)`` returns the rows of STATEMENT from the tables in memory.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from domain.states import OPEN_STATES
from records import decision_inputs, purchases, sellers
from tests.simulation.memory.journal import OPEN, refuse
from tests.simulation.memory.tables import PolicyRow, PurchaseRow, SellerRow
from tests.simulation.memory.work import MemoryWork, answers

_SELLER_COLUMNS = (
    "id", "name", "time_zone", "support_email", "self_service", "ceiling_minor", "ceiling_currency", "serial_count",
    "serial_days",
)  # fmt: skip


class CaseAndPurchase(tuple[Any, ...]):
    """A row: the id of a case, then the columns of a purchase."""

    __slots__ = ()

    @property
    def case_id(self) -> UUID:
        """The id of the case. It is the first column."""
        case_id: UUID = self[0]
        return case_id


class InputRow(tuple[Any, ...]):
    """A row that the SQL statement decision_inputs._SELECT_INPUTS returns."""

    __slots__ = ()

    @property
    def open_case_id(self) -> UUID | None:
        """The id of the open case about the purchase. It is the column before the last column."""
        open_case_id: UUID | None = self[-2]
        return open_case_id

    @property
    def refunds(self) -> list[datetime]:
        """The times of the customer's earlier refunds. They are the last column."""
        refunds: list[datetime] = self[-1]
        return refunds


class ChargeRow(NamedTuple):
    """A row that the SQL statement purchases._SELECT_OPEN_DISPUTES returns."""

    charge: str


class CreatedRow(NamedTuple):
    created: bool


def _columns(row: PurchaseRow) -> tuple[Any, ...]:
    return (
        row.id, row.seller_id, row.reference, row.email, row.product, row.amount, row.currency, row.refunded, row.method,
        row.provider, row.charge, row.instrument, row.purchased_at, row.charged_at, row.renewal, row.consumer,
        row.provider_dispute or row.dispute,
    )  # fmt: skip


@answers(decision_inputs._SELECT_MATCHES)
def matches(work: MemoryWork, case_ids: Sequence[UUID]) -> Iterable[CaseAndPurchase]:
    rows = [
        (purchase.id, CaseAndPurchase((case.id, *_columns(purchase))))
        for case_id in case_ids
        if (case := work.tables.cases.get(case_id))
        for purchase in work.tables.purchases.values()
        if (purchase.reference_key, purchase.email_key) == (case.reference_key, case.email_key)
        and case.seller_id in {None, purchase.seller_id}
    ]
    return [row for _, row in sorted(rows, key=lambda entry: entry[0])]


@answers(decision_inputs._SELECT_PURCHASES)
def purchases_of_cases(work: MemoryWork, case_ids: Sequence[UUID]) -> Iterable[CaseAndPurchase]:
    cases = [work.tables.cases[id_] for id_ in dict.fromkeys(case_ids) if id_ in work.tables.cases]
    return [
        CaseAndPurchase((case.id, *_columns(work.tables.purchases[case.purchase_id])))
        for case in cases
        if case.purchase_id
    ]


@answers(decision_inputs._SELECT_INPUTS)
def inputs(work: MemoryWork, purchase_ids: Sequence[UUID]) -> Iterable[InputRow]:
    rows = []
    for id_ in purchase_ids:
        if purchase := work.tables.purchases.get(id_):
            seller = work.tables.sellers[purchase.seller_id]
            open_cases = (
                case.id for case in work.tables.cases.values() if case.purchase_id == id_ and case.state in OPEN_STATES
            )
            policy = _policy(work, purchase) or (None,) * len(PolicyRow._fields)
            refunds = [] if seller.serial_count is None else _refunds(work, purchase, seller.serial_days or 0)
            values = (getattr(seller, name) for name in _SELLER_COLUMNS)
            rows.append(InputRow((id_, *values, *policy, next(open_cases, None), refunds)))
    return rows


def _policy(work: MemoryWork, purchase: PurchaseRow) -> PolicyRow | None:
    at = purchase.charged_at if purchase.renewal else purchase.purchased_at
    in_force = [
        policy
        for (seller, _), policy in work.tables.policies.items()
        if seller == purchase.seller_id and policy.in_force_from <= at
    ]
    return max(in_force, key=lambda policy: (policy.in_force_from, policy.version), default=None)


_REFUND_STATES = {"refunding", "refund_pending", "refunded"}


def _refunds(work: MemoryWork, purchase: PurchaseRow, days: int) -> list[datetime]:
    since = work.now - timedelta(days=days + 1)
    refunds = []
    for operation in work.tables.refund_operations.values():
        case = work.tables.cases[operation.case_id]
        other = work.tables.purchases.get(case.purchase_id) if case.purchase_id else None
        if other is None or other.seller_id != purchase.seller_id or case.state not in _REFUND_STATES:
            continue
        same_instrument = purchase.instrument and other.instrument == purchase.instrument
        at = operation.paid_at or work.now
        if (other.email_key == purchase.email_key or same_instrument) and operation.status in OPEN and at > since:
            refunds.append(at)
    return refunds


@answers(purchases._UPSERT)
def upsert(work: MemoryWork, **columns: Sequence[Any]) -> Iterable[CreatedRow]:
    created = []
    for n in range(len(columns["id"])):
        values = {name: column[n] for name, column in columns.items()} | {"dispute": str(columns["dispute"][n])}
        if values["seller_id"] not in work.tables.sellers:
            raise refuse("purchases_seller_id_fkey")
        existing = _by_reference(work, values["seller_id"], values["reference_key"])
        if existing is None:
            work.journal.insert(work.tables.purchases, values["id"], PurchaseRow(**values), "purchases_pkey")
        else:
            values |= {"id": existing.id, "refunded": max(existing.refunded, values["refunded"])}
            work.journal.change(existing, **values)
        created.append(CreatedRow(existing is None))
    return created


def _by_reference(work: MemoryWork, seller: str, key: str) -> PurchaseRow | None:
    rows = work.tables.purchases.values()
    return next((row for row in rows if (row.seller_id, row.reference_key) == (seller, key)), None)


@answers(purchases._SELECT_BY_PAYMENT)
def paid_by(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    rows = work.tables.purchases.values()
    payments = list(zip(providers, charges, strict=True))
    return [_columns(row) for payment in payments for row in rows if (row.provider, row.charge) == payment]


@answers(purchases._LOCK_PAYMENTS)
def lock_payments(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> None:
    """Do nothing, because only one transaction runs at a time in the simulation."""


@answers(purchases._SELECT_OPEN_DISPUTES)
def open_disputes(work: MemoryWork, provider: str, after: str, limit: int) -> Iterable[ChargeRow]:
    charges = {
        row.charge
        for row in work.tables.purchases.values()
        if (row.provider, row.provider_dispute) == (provider, "open")
    }
    return [ChargeRow(charge) for charge in sorted(charges) if charge > after][:limit]


@answers(purchases._RAISE_REFUNDED)
def raise_refunded(work: MemoryWork, id: UUID, minor: int) -> None:  # noqa: A002  # the name of the bound value
    if row := work.tables.purchases.get(id):
        work.journal.change(row, refunded=max(row.refunded, minor))


@answers(purchases._SET_DISPUTE)
def set_dispute(work: MemoryWork, provider: str, charge: str, dispute: str) -> None:
    for row in work.tables.purchases.values():
        if (row.provider, row.charge) == (provider, charge):
            work.journal.change(row, provider_dispute=str(dispute))


@answers(purchases._SELECT_BY_ID)
def get(work: MemoryWork, id: UUID) -> Iterable[tuple[Any, ...]]:  # noqa: A002  # the name of the bound value
    return [_columns(row)] if (row := work.tables.purchases.get(id)) else []


@answers(sellers._UPSERT)
def upsert_seller(work: MemoryWork, **values: Any) -> None:
    if existing := work.tables.sellers.get(values["id"]):
        work.journal.change(existing, **values)
    else:
        work.journal.insert(work.tables.sellers, values["id"], SellerRow(**values), "sellers_pkey")


@answers(sellers._INSERT_POLICY)
def insert_policy(
    work: MemoryWork, seller_id: str, in_force_from: datetime | None, category: str, **values: Any
) -> Iterable[PolicyRow]:
    version = 1 + max((number for seller, number in work.tables.policies if seller == seller_id), default=0)
    row = PolicyRow(version=version, in_force_from=in_force_from or work.now, category=str(category), **values)
    work.journal.insert(work.tables.policies, (seller_id, version), row, "policies_pkey")
    return [row]


@answers(sellers._SELECT_POLICIES)
def policies(work: MemoryWork, seller_id: str) -> Iterable[PolicyRow]:
    return [row for (seller, _), row in sorted(work.tables.policies.items()) if seller == seller_id]


@answers(sellers._LOCK)
def lock_sellers(work: MemoryWork, ids: Sequence[str]) -> None:
    """Do nothing, because only one transaction runs at a time in the simulation."""
