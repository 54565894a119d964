"""Records the changes of a transaction, so that they can be rolled back. Checks the same constraints as PostgreSQL."""

from typing import Any

from sqlalchemy.exc import IntegrityError

from domain.states import OPEN_STATES, WORKER_STATES
from tests.simulation.memory.tables import CaseRow, Database, PaymentRow, RefundOperationRow

OPEN = frozenset({"sent", "unknown", "waiting_for_approval", "pending", "paid"})
"""The statuses of an open refund operation. A contract test compares them with ``domain.refund_operations``."""
UNRESOLVED = OPEN - {"paid"}
"""The statuses of a refund operation whose outcome is open."""


class RefusedRowError(Exception):
    """The error of a database that refuses a row."""


def refuse(constraint: str) -> IntegrityError:
    """Return the error that PostgreSQL raises for a violated constraint."""
    return IntegrityError(constraint, None, RefusedRowError(f'The row violates the constraint "{constraint}".'))


class Journal:
    """The changes of one transaction. The roll-back and the checks of the simulation use them."""

    def __init__(self, tables: Database) -> None:
        self.tables = tables
        self.changed: list[tuple[Any, dict[str, Any]]] = []
        self.deleted: list[Any] = []
        self._undo: list[tuple[Any, ...]] = []
        """For each change, the function that undoes it, and the function's arguments."""

    def insert(self, table: dict[Any, Any], key: object, row: Any, constraint: str) -> None:
        """Add a row. If the table already contains ``key``, raise the error for the violated ``constraint``."""
        if key in table:
            raise refuse(constraint)
        table[key] = row
        self._undo.append((table.pop, key))
        self.changed.append((row, {}))

    def append(self, table: list[Any], row: object) -> None:
        """Add a row to a table without a key."""
        table.append(row)
        self._undo.append((table.pop,))

    def delete(self, table: dict[Any, Any], key: object) -> None:
        """Remove a row."""
        row = table.pop(key)
        self._undo.append((table.__setitem__, key, row))
        self.deleted.append(row)

    def change(self, row: Any, **values: Any) -> None:
        """Change the values of a row."""
        old = {}
        for name, value in values.items():
            old[name] = getattr(row, name)
            setattr(row, name, value)
        self._undo.append((_set, row, old))
        self.changed.append((row, old))

    @property
    def is_empty(self) -> bool:
        """True if the transaction changed nothing."""
        return not self._undo

    def roll_back(self) -> None:
        """Undo all changes."""
        for undo, *values in reversed(self._undo):
            undo(*values)

    def check_case(self, row: CaseRow) -> None:
        """Check the constraints of a changed case."""
        tables = self.tables
        if row.state in WORKER_STATES and row.next_action_at is None:
            raise refuse("cases_scheduled_check")
        if row.purchase_id is not None and row.purchase_id not in tables.purchases:
            raise refuse("cases_purchase_id_fkey")
        if row.seller_id is not None and row.seller_id not in tables.sellers:
            raise refuse("cases_seller_id_fkey")
        if ONE_OPEN_CASE in enforced and row.purchase_id is not None and row.state in OPEN_STATES:
            for other in tables.cases.values():
                if other is not row and other.purchase_id == row.purchase_id and other.state in OPEN_STATES:
                    raise refuse(ONE_OPEN_CASE)

    def check_operation(self, row: RefundOperationRow) -> None:
        """Check the constraints of a changed refund operation."""
        for other in self.tables.refund_operations.values():
            if other is row or other.provider != row.provider:
                continue
            both = {other.status, row.status}
            if other.charge == row.charge and ONE_UNRESOLVED_OPERATION in enforced and both <= UNRESOLVED:
                raise refuse(ONE_UNRESOLVED_OPERATION)
            if row.refund_id is not None and other.refund_id == row.refund_id:
                raise refuse("refund_operations_provider_refund_id_key")

    def check_payment(self, row: PaymentRow) -> None:
        """Check the constraint of a changed payment."""
        if RESERVED_WITHIN_CAPTURED in enforced and not 0 <= row.reserved <= (row.captured or 0):
            raise refuse(RESERVED_WITHIN_CAPTURED)


def _set(row: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


ONE_OPEN_CASE = "cases_one_open_case_per_purchase"
ONE_UNRESOLVED_OPERATION = "refund_operations_one_unresolved_per_payment"
RESERVED_WITHIN_CAPTURED = "payments_reserved_within_captured_check"

enforced = {ONE_OPEN_CASE, ONE_UNRESOLVED_OPERATION, RESERVED_WITHIN_CAPTURED}
"""The constraints that are checked. tests/simulation/removed_safeguards.py removes a constraint from this set for some runs."""
