"""Store statutory withdrawals. The declaration and its time prove the withdrawal, whatever the outcome of the case."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.purchases import email_key
from records.transaction import Transaction

_INSERT = """
insert into statutory_withdrawals (case_id, name, statement, declared_at)
values (:case_id, :name, :declaration, :declared_at)
"""

_SELECT_BY_CASE = (
    "select case_id, name, statement, declared_at from statutory_withdrawals where case_id = any(:case_ids)"
)

_SELECT_BY_PURCHASE = """
select w.case_id, w.name, w.statement, w.declared_at from statutory_withdrawals w where w.case_id = any(:case_ids)
union all
select c.id, w.name, w.statement, w.declared_at
  from cases c join cases d on d.purchase_id = c.purchase_id and d.state = 'duplicate'
  join statutory_withdrawals w on w.case_id = d.id
 where c.id = any(:case_ids)
 order by declared_at desc
"""
"""The declarations of cases, and of duplicate requests for the same purchases. The earliest declaration comes last."""

_COUNT_RECENT = """
select count(*) from statutory_withdrawals w join cases c on c.id = w.case_id
 where c.email_key = :email_key and w.declared_at > now() - make_interval(secs => :seconds)
"""


@dataclass(frozen=True, slots=True)
class StatutoryWithdrawal:
    """One declaration, word for word."""

    name: str
    statement: str
    declared_at: datetime


class StatutoryWithdrawals:
    """The table ``statutory_withdrawals``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def insert(self, case: UUID, name: str, statement: str, declared_at: datetime | None = None) -> None:
        """Store the declaration of this case. ``declared_at`` is the current time by default."""
        at = declared_at or self._work.now
        self._work.run(_INSERT, case_id=case, name=name, declaration=statement, declared_at=at)

    def count_recent(self, email: str, *, seconds: float) -> int:
        """Return the number of declarations from this e-mail address in the last ``seconds``."""
        return int(self._work.run(_COUNT_RECENT, email_key=email_key(email), seconds=seconds).scalar_one())

    def get(self, case: UUID) -> StatutoryWithdrawal | None:
        """Return the declaration of this case, or None if the case has no declaration."""
        return self.get_many([case]).get(case)

    def get_many(self, cases: Sequence[UUID]) -> dict[UUID, StatutoryWithdrawal]:
        """Return the declarations of these cases, by case id."""
        return _by_case(self._work.run(_SELECT_BY_CASE, case_ids=list(cases)) if cases else ())

    def for_purchases_of(self, cases: Sequence[UUID]) -> dict[UUID, StatutoryWithdrawal]:
        """Return, by case id, the earliest declaration about the case's purchase. A duplicate request may contain it."""
        return _by_case(self._work.run(_SELECT_BY_PURCHASE, case_ids=list(cases)) if cases else ())


def _by_case(rows: Iterable[Any]) -> dict[UUID, StatutoryWithdrawal]:
    """Return the declarations by case id. If a case has several rows, use the last row."""
    return {row.case_id: StatutoryWithdrawal(row.name, row.statement, row.declared_at) for row in rows}
