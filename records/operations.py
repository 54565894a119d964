"""Operations: what a provider was asked to pay, written down before it is asked. One case, one operation, one key."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.cases import Case
from domain.money import Money
from records.transaction import Transaction

_CLAIM = """
with claimed as (
  insert into payment_claims (provider, charge, case_id)
  select * from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:cases as uuid[]))
  on conflict do nothing
  returning case_id
)
select case_id from claimed
"""
"""Claims each payment for one case. Two claims of one payment, in this call or another, leave one of them out."""

_PREPARE = """
insert into operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at, last_sent_at,
                        status)
select *, now(), now(), 'sent'
  from unnest(cast(:cases as uuid[]), cast(:providers as text[]), cast(:charges as text[]), cast(:amounts as bigint[]),
              cast(:currencies as text[]), cast(:keys as text[]), cast(:hashes as bytea[]))
"""


_OF = """
select case_id, provider, charge, amount, currency, key, first_sent_at, sends, asks
  from operations where case_id = any(:cases)
"""

_STAMP = """
update operations o set last_sent_at = now(), sends = sends + 1
  from unnest(cast(:cases as uuid[]), cast(:fences as int[])) as i(id, fence) join cases c on c.id = i.id
 where o.case_id = i.id and c.fence = i.fence
returning o.case_id
"""
"""Stamps only what its worker still holds: one that was overtaken may not send."""

_ASKED = "update operations set asks = asks + 1 where case_id = any(:cases)"

_ANSWERED = """
with answer as (
  select * from unnest(cast(:cases as uuid[]), cast(:statuses as text[]), cast(:refund_ids as text[]),
                       cast(:codes as text[])) as t(case_id, status, refund_id, code)
), settled as (
  update operations o
     set status = a.status, refund_id = coalesce(a.refund_id, o.refund_id), code = a.code, asks = o.asks + 1,
         paid_at = case when a.status = 'paid' then coalesce(o.paid_at, now()) end
    from answer a where o.case_id = a.case_id
  returning o.case_id, o.amount, a.status
)
update purchases p set refunded = p.refunded + s.amount
  from settled s join cases c on c.id = s.case_id
 where p.id = c.purchase and s.status = 'paid'
"""
"""Writes each answer to its operation, and what was paid to the purchase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One refund of one payment: its amount, and its key for ever."""

    case: UUID
    provider: str
    charge: str
    amount: Money
    key: str
    first_sent_at: datetime | None = None
    sends: int = 1
    asks: int = 0

    @property
    def payload_hash(self) -> bytes:
        """What tells whether a repeat under this key asks for the very same."""
        return hashlib.sha256(f"{self.provider}\n{self.charge}\n{self.amount}".encode()).digest()


class Operations:
    """The tables of payment claims and operations."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def claim(self, operations: Sequence[Operation]) -> set[UUID]:
        """Claims the payments of these operations; returns the cases that hold theirs."""
        rows = self._work.run(
            _CLAIM,
            providers=[operation.provider for operation in operations],
            charges=[operation.charge for operation in operations],
            cases=[operation.case for operation in operations],
        )
        return {row.case_id for row in rows}

    def prepare(self, operations: Sequence[Operation]) -> None:
        """Writes down what will be asked, as sent now: the commit comes before the call."""
        if operations:
            self._work.run(
                _PREPARE,
                cases=[operation.case for operation in operations],
                providers=[operation.provider for operation in operations],
                charges=[operation.charge for operation in operations],
                amounts=[operation.amount.minor for operation in operations],
                currencies=[operation.amount.currency for operation in operations],
                keys=[operation.key for operation in operations],
                hashes=[operation.payload_hash for operation in operations],
            )

    def of(self, cases: Sequence[Case]) -> dict[UUID, Operation]:
        """The operations of these cases."""
        return {
            row.case_id: Operation(
                case=row.case_id,
                provider=row.provider,
                charge=row.charge,
                amount=Money(row.amount, row.currency),
                key=row.key,
                first_sent_at=row.first_sent_at,
                sends=row.sends,
                asks=row.asks,
            )
            for row in self._work.run(_OF, cases=[case.id for case in cases])
        }

    def stamp(self, cases: Sequence[Case]) -> set[UUID]:
        """Notes, before it happens, that these are sent once more under their keys; returns those that may be."""
        ids, fences = [case.id for case in cases], [case.fence for case in cases]
        return {row.case_id for row in self._work.run(_STAMP, cases=ids, fences=fences)} if cases else set()

    def asked(self, cases: Sequence[UUID]) -> None:
        """The provider was asked about these and had nothing new to say."""
        if cases:
            self._work.run(_ASKED, cases=list(cases))

    def answered(self, answers: Sequence[tuple[UUID, str, str | None, str | None]]) -> None:
        """Writes answers down: (case, status, the provider's refund, the provider's code)."""
        if answers:
            cases, statuses, refund_ids, codes = map(list, zip(*answers, strict=True))
            self._work.run(_ANSWERED, cases=cases, statuses=statuses, refund_ids=refund_ids, codes=codes)
