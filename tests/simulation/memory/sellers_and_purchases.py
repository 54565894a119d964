"""What the statements about sellers, purchases and the facts of a decision do."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from domain.states import OPEN_STATES
from records import decision_inputs, purchases, sellers
from tests.simulation.memory.journal import OPEN, refuse
from tests.simulation.memory.tables import PolicyRow, PurchaseRow, SellerRow
from tests.simulation.memory.work import MemoryWork, does

_COLUMNS = (
    "id", "name", "time_zone", "support_email", "self_service", "ceiling_minor", "ceiling_currency", "serial_count",
    "serial_days",
)  # fmt: skip


class Owned(tuple[Any, ...]):
    """A case's id, and the columns of a purchase."""

    __slots__ = ()

    @property
    def case_id(self) -> UUID:
        """The first column."""
        found: UUID = self[0]
        return found


class Known(tuple[Any, ...]):
    """A row of facts._FACTS."""

    __slots__ = ()

    @property
    def open_case(self) -> UUID | None:
        """The last but one column."""
        found: UUID | None = self[-2]
        return found

    @property
    def refunds(self) -> list[datetime]:
        """The last column."""
        found: list[datetime] = self[-1]
        return found


class Charged(NamedTuple):
    """A row of a payment's name."""

    charge: str


class New(NamedTuple):
    fresh: bool


def _bought(row: PurchaseRow) -> tuple[Any, ...]:
    return (
        row.id, row.seller, row.reference, row.email, row.product, row.amount, row.currency, row.refunded, row.method,
        row.provider, row.charge, row.instrument, row.purchased_at, row.charged_at, row.renewal, row.consumer,
        row.disputed or row.dispute,
    )  # fmt: skip


@does(decision_inputs._MATCH)
def matches(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[Owned]:
    found = [
        (bought.id, Owned((case.id, *_bought(bought))))
        for one in ids
        if (case := work.tables.cases.get(one))
        for bought in work.tables.purchases.values()
        if (bought.reference_key, bought.email_key) == (case.reference_key, case.email_key)
        and case.seller in {None, bought.seller}
    ]
    return [owned for _, owned in sorted(found, key=lambda one: one[0])]


@does(decision_inputs._OWN)
def own(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[Owned]:
    cases = [work.tables.cases[one] for one in dict.fromkeys(ids) if one in work.tables.cases]
    return [Owned((case.id, *_bought(work.tables.purchases[case.purchase]))) for case in cases if case.purchase]


@does(decision_inputs._FACTS)
def about(work: MemoryWork, purchases: Sequence[UUID]) -> Iterable[Known]:
    found = []
    for one in purchases:
        if bought := work.tables.purchases.get(one):
            seller = work.tables.sellers[bought.seller]
            live = (c.id for c in work.tables.cases.values() if c.purchase == one and c.state in OPEN_STATES)
            policy = _policy(work, bought) or (None,) * len(PolicyRow._fields)
            refunds = [] if seller.serial_count is None else _refunds(work, bought, seller.serial_days or 0)
            values = (getattr(seller, name) for name in _COLUMNS)
            found.append(Known((one, *values, *policy, next(live, None), refunds)))
    return found


def _policy(work: MemoryWork, bought: PurchaseRow) -> PolicyRow | None:
    at = bought.charged_at if bought.renewal else bought.purchased_at
    begun = [p for (seller, _), p in work.tables.policies.items() if seller == bought.seller and p.in_force_from <= at]
    return max(begun, key=lambda policy: (policy.in_force_from, policy.version), default=None)


_UNDER_WAY = {"refunding", "refund_pending", "refunded"}


def _refunds(work: MemoryWork, bought: PurchaseRow, days: int) -> list[datetime]:
    since = work.at - timedelta(days=days + 1)
    found = []
    for operation in work.tables.operations.values():
        case = work.tables.cases[operation.case_id]
        other = work.tables.purchases.get(case.purchase) if case.purchase else None
        if other is None or other.seller != bought.seller or case.state not in _UNDER_WAY:
            continue
        same = other.email_key == bought.email_key or (bought.instrument and other.instrument == bought.instrument)
        at = operation.paid_at or work.at
        if same and operation.status in OPEN and at > since:
            found.append(at)
    return found


@does(purchases._PUT)
def put(work: MemoryWork, **columns: Sequence[Any]) -> Iterable[New]:
    fresh = []
    for n in range(len(columns["id"])):
        values = {name: column[n] for name, column in columns.items()} | {"dispute": str(columns["dispute"][n])}
        if values["seller"] not in work.tables.sellers:
            raise refuse("purchases_seller_fkey")
        known = _by_reference(work, values["seller"], values["reference_key"])
        if known is None:
            work.journal.insert(work.tables.purchases, values["id"], PurchaseRow(**values), "purchases_pkey")
        else:
            values |= {"id": known.id, "refunded": max(known.refunded, values["refunded"])}
            work.journal.change(known, **values)
        fresh.append(New(known is None))
    return fresh


def _by_reference(work: MemoryWork, seller: str, key: str) -> PurchaseRow | None:
    rows = work.tables.purchases.values()
    return next((row for row in rows if (row.seller, row.reference_key) == (seller, key)), None)


@does(purchases._PAID_BY)
def paid_by(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    rows = work.tables.purchases.values()
    wanted = list(zip(providers, charges, strict=True))
    return [_bought(row) for payment in wanted for row in rows if (row.provider, row.charge) == payment]


@does(purchases._HOLD)
def hold(work: MemoryWork, providers: Sequence[str], charges: Sequence[str]) -> None:  # noqa: ARG001  # one at a time here
    return None


@does(purchases._OPEN_DISPUTES)
def open_disputes(work: MemoryWork, provider: str, after: str, limit: int) -> Iterable[Charged]:
    charges = {
        row.charge for row in work.tables.purchases.values() if (row.provider, row.disputed) == (provider, "open")
    }
    return [Charged(charge) for charge in sorted(charges) if charge > after][:limit]


@does(purchases._TOUCHED)
def touched(work: MemoryWork, id: UUID, minor: int) -> None:  # noqa: A002  # as it is bound
    if row := work.tables.purchases.get(id):
        work.journal.change(row, refunded=max(row.refunded, minor))


@does(purchases._DISPUTED)
def disputed(work: MemoryWork, provider: str, charge: str, dispute: str) -> None:
    for row in work.tables.purchases.values():
        if (row.provider, row.charge) == (provider, charge):
            work.journal.change(row, disputed=str(dispute))


@does(f"select {purchases.PURCHASE_COLUMNS} from purchases p where id = :id")
def one(work: MemoryWork, id: UUID) -> Iterable[tuple[Any, ...]]:  # noqa: A002  # as above
    return [_bought(row)] if (row := work.tables.purchases.get(id)) else []


@does(sellers._PUT)
def put_seller(work: MemoryWork, **values: Any) -> None:
    if known := work.tables.sellers.get(values["id"]):
        work.journal.change(known, **values)
    else:
        work.journal.insert(work.tables.sellers, values["id"], SellerRow(**values), "sellers_pkey")


@does(sellers._NEW_VERSION)
def new_version(
    work: MemoryWork, seller: str, in_force_from: datetime | None, category: str, **values: Any
) -> Iterable[PolicyRow]:
    version = 1 + max((number for name, number in work.tables.policies if name == seller), default=0)
    row = PolicyRow(version=version, in_force_from=in_force_from or work.at, category=str(category), **values)
    work.journal.insert(work.tables.policies, (seller, version), row, "policies_pkey")
    return [row]


@does(sellers._POLICIES)
def policies(work: MemoryWork, seller: str) -> Iterable[PolicyRow]:
    return [row for (name, _), row in sorted(work.tables.policies.items()) if name == seller]


@does(sellers._TAKE_TURNS)
def take_turns(work: MemoryWork, sellers: Sequence[str]) -> None:  # noqa: ARG001  # one transaction at a time anyway
    return None
