"""Simulates PostgreSQL for Moneyback's SQL statements about sellers and their policies."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from records import sellers
from tests.simulation.memory.tables import PolicyRow, SellerRow
from tests.simulation.memory.work import MemoryWork, answers

SELLER_COLUMNS = tuple(SellerRow.__annotations__)
"""The names of ``sellers.SELLER_COLUMNS``, in the same order."""


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


@answers(sellers._SELECT_ALL)
def list_all(work: MemoryWork) -> Iterable[tuple[Any, ...]]:
    rows = sorted(work.tables.sellers.values(), key=lambda row: row.id)
    return [tuple(getattr(row, name) for name in SELLER_COLUMNS) for row in rows]


@answers(sellers._SELECT_BY_ID)
def get(work: MemoryWork, id: str) -> Iterable[tuple[Any, ...]]:  # noqa: A002  # the name of the bound value
    return [row for row in list_all(work) if row[0] == id]


@answers(sellers._LOCK)
def lock_sellers(work: MemoryWork, ids: Sequence[str]) -> None:
    """Do nothing, because only one transaction runs at a time in the simulation."""
