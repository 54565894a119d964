"""Withdrawals by law: what a consumer declared, and when. They are kept as proof, whatever becomes of the case."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.purchases import email_key
from records.transaction import Transaction

_PUT = """
insert into statutory_withdrawals (case_id, name, statement, declared_at) values (:case, :name, :declaration, :at)
"""

_THESE = "select case_id, name, statement, declared_at from statutory_withdrawals where case_id = any(:cases)"

_ABOUT = """
select w.case_id, w.name, w.statement, w.declared_at from statutory_withdrawals w where w.case_id = any(:cases)
union all
select e.id, w.name, w.statement, w.declared_at
  from cases e join cases c on c.purchase = e.purchase and c.state = 'duplicate' join statutory_withdrawals w on w.case_id = c.id
 where e.id = any(:cases)
 order by declared_at desc
"""
"""A declaration may be another request for the same purchase, which joined this case."""

_LATELY = """
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
    """The withdrawals table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def insert(self, case: UUID, name: str, statement: str) -> None:
        """Keeps the declaration that this case is; it counts from now."""
        self._work.run(_PUT, case=case, name=name, declaration=statement, at=self._work.now)

    def count_recent(self, email: str, *, seconds: float) -> int:
        """How often this address declared something in the last seconds."""
        return int(self._work.run(_LATELY, email_key=email_key(email), seconds=seconds).scalar_one())

    def get(self, case: UUID) -> StatutoryWithdrawal | None:
        """What this case declared."""
        return self.get_many([case]).get(case)

    def get_many(self, cases: Sequence[UUID]) -> dict[UUID, StatutoryWithdrawal]:
        """What each of these cases declared, of those that did."""
        return _by_case(self._work.run(_THESE, cases=list(cases)) if cases else ())

    def for_purchases_of(self, cases: Sequence[UUID]) -> dict[UUID, StatutoryWithdrawal]:
        """What was declared first about the purchase of each of these cases, by itself or by a request that joined it."""
        return _by_case(self._work.run(_ABOUT, cases=list(cases)) if cases else ())


def _by_case(rows: Iterable[Any]) -> dict[UUID, StatutoryWithdrawal]:
    return {row.case_id: StatutoryWithdrawal(row.name, row.statement, row.declared_at) for row in rows}
