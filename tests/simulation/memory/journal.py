"""What a transaction changes: it can be put back, and it keeps the constraints of the real tables, by their names."""

from typing import Any

from sqlalchemy.exc import IntegrityError

from domain.states import OPEN_STATES, WORKER_STATES
from tests.simulation.memory.tables import CaseRow, Database, OperationRow

OPEN = frozenset({"sent", "unknown", "pending", "paid"})
"""What records.tables.cases calls OPEN_STATUSES; the contract tests hold the two against each other."""


class RefusedRowError(Exception):
    """What a database says that refuses a row."""


def refuse(constraint: str) -> IntegrityError:
    """The error that the real database raises for this constraint."""
    return IntegrityError(constraint, None, RefusedRowError(f'The row violates the constraint "{constraint}".'))


class Journal:
    """What one transaction changed, so that it can be put back, and looked at."""

    def __init__(self, tables: Database) -> None:
        self.tables = tables
        self.changed: list[tuple[Any, dict[str, Any]]] = []
        self._undo: list[tuple[Any, ...]] = []
        """What puts each change back, and with what."""

    def insert(self, table: dict[Any, Any], key: object, row: Any, constraint: str) -> None:
        """Adds a row, unless its key is taken."""
        if key in table:
            raise refuse(constraint)
        table[key] = row
        self._undo.append((table.pop, key))
        self.changed.append((row, {}))

    def append(self, table: list[Any], row: object) -> None:
        """Adds a row to a table without a key."""
        table.append(row)
        self._undo.append((table.pop,))

    def delete(self, table: dict[Any, Any], key: object) -> None:
        """Removes a row."""
        self._undo.append((table.__setitem__, key, table.pop(key)))

    def change(self, row: Any, **values: Any) -> None:
        """Gives a row other values."""
        old = {}
        for name, value in values.items():
            old[name] = getattr(row, name)
            setattr(row, name, value)
        self._undo.append((_set, row, old))
        self.changed.append((row, old))

    @property
    def touched(self) -> bool:
        """Whether there is anything to put back."""
        return bool(self._undo)

    def roll_back(self) -> None:
        """Puts everything back."""
        for undo, *values in reversed(self._undo):
            undo(*values)

    def check_case(self, row: CaseRow) -> None:
        """The constraints of a case that was changed."""
        tables = self.tables
        if row.state in WORKER_STATES and row.next_action_at is None:
            raise refuse("cases_owned_check")
        if row.purchase is not None and row.purchase not in tables.purchases:
            raise refuse("cases_purchase_fkey")
        if row.seller is not None and row.seller not in tables.sellers:
            raise refuse("cases_seller_fkey")
        if ONE_LIVE_CASE in enforced and row.purchase is not None and row.state in OPEN_STATES:
            for other in tables.cases.values():
                if other is not row and other.purchase == row.purchase and other.state in OPEN_STATES:
                    raise refuse(ONE_LIVE_CASE)

    def check_operation(self, row: OperationRow) -> None:
        """The constraints of an operation that was changed."""
        for other in self.tables.operations.values():
            if other is row or other.provider != row.provider:
                continue
            if other.charge == row.charge and ONE_OPEN in enforced and {other.status, row.status} <= OPEN:
                raise refuse(ONE_OPEN)
            if row.refund_id is not None and other.refund_id == row.refund_id:
                raise refuse("operations_provider_refund_id_key")


def _set(row: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


ONE_LIVE_CASE = "cases_one_live_case_a_purchase"
ONE_OPEN = "operations_one_open_a_payment"

enforced = {ONE_LIVE_CASE, ONE_OPEN}
"""The indexes that a planted mistake may leave out."""
