"""Withdrawals by law: what a consumer declared, and when. They are kept as proof, whatever becomes of the case."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from records.transaction import Transaction

_PUT = """
insert into withdrawals (case_id, name, statement, declared_at) values (:case, :name, :declaration, :at)
"""

_OF = "select name, statement, declared_at from withdrawals where case_id = :case"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One declaration, word for word."""

    name: str
    statement: str
    declared_at: datetime


class Withdrawals:
    """The withdrawals table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def put(self, case: UUID, name: str, statement: str) -> None:
        """Keeps the declaration that this case is; it counts from now."""
        self._work.run(_PUT, case=case, name=name, declaration=statement, at=self._work.now)

    def of(self, case: UUID) -> Withdrawal | None:
        """What this case declared."""
        row = self._work.run(_OF, case=case).one_or_none()
        return None if row is None else Withdrawal(*row)
