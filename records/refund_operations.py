"""Refund operations and payment claims: what a provider is asked to pay, stored before the provider is asked.

A case has at most one open operation. A new operation is opened only if the last was certainly not carried out.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.cases import Case
from domain.money import Money
from domain.providers import Declined, Failed, Paid, Pending, RefundResult, Unknown
from domain.refund_operations import OperationStatus, RefundOperation, status_of
from records.transaction import Transaction

OPERATION_COLUMNS = """
case_id, attempt, provider, charge, amount, currency, key, first_sent_at, last_sent_at, sends, asks, status, refund_id, code,
replayed, empty_lookups
"""

_CLAIM = """
with claimed as (
  insert into payment_claims as p (provider, charge, case_id)
  select distinct on (provider, charge) *
    from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:cases as uuid[])) as i(provider, charge, case_id)
  on conflict (provider, charge) do update set case_id = p.case_id where p.case_id = excluded.case_id
  returning case_id
)
select case_id from claimed
"""
"""Claims each payment for one case, for good. If two cases claim one payment, one of them gets it."""

_PREPARE = """
insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, first_sent_at,
                        last_sent_at, status)
select *, now(), now(), 'sent'
  from unnest(cast(:cases as uuid[]), cast(:attempts as int[]), cast(:providers as text[]), cast(:charges as text[]),
              cast(:amounts as bigint[]), cast(:currencies as text[]), cast(:keys as text[]), cast(:hashes as bytea[]))
"""

_OF = f"""
select distinct on (case_id) {OPERATION_COLUMNS} from refund_operations where case_id = any(:cases) order by case_id, attempt desc
"""

_ABOUT = f"""
select distinct on (provider, charge) {OPERATION_COLUMNS}
  from refund_operations join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(p, c) on provider = p and charge = c
 order by provider, charge, attempt desc
"""

_MADE = f"""
select {OPERATION_COLUMNS}
  from refund_operations join unnest(cast(:providers as text[]), cast(:refund_ids as text[])) as i(p, r)
    on provider = p and refund_id = r
"""

_STAMP = """
update refund_operations o set last_sent_at = now(), sends = sends + 1
  from unnest(cast(:keys as text[]), cast(:cases as uuid[]), cast(:fences as int[])) as i(key, id, fence)
  join cases c on c.id = i.id
 where o.key = i.key and c.fence = i.fence and c.lease_until > now()
returning o.key
"""
"""Stamps only operations whose case this worker still leases: a worker whose lease was lost may not send."""

_ASKED = """
update refund_operations o
   set asks = asks + 1,
       empty_lookups = empty_lookups
         + (i.empty and coalesce(looked_up_at, last_sent_at) <= now() - make_interval(secs => :apart))::int,
       looked_up_at = case when i.empty and coalesce(looked_up_at, last_sent_at) <= now() - make_interval(secs => :apart)
                           then now() else looked_up_at end,
       replayed = o.replayed or i.replayed
  from unnest(cast(:keys as text[]), cast(:empties as bool[]), cast(:replays as bool[])) as i(key, empty, replayed)
 where o.key = i.key
"""
"""Empty look-ups count only if ``apart`` seconds are between them."""

_REFUSED = """
update refund_operations o set code = i.code
  from unnest(cast(:keys as text[]), cast(:codes as text[])) as i(key, code) where o.key = i.key
"""

_ANSWERED = """
with answer as (
  select * from unnest(cast(:keys as text[]), cast(:statuses as text[]), cast(:refund_ids as text[]),
                       cast(:codes as text[]), cast(:replays as bool[])) as t(key, status, refund_id, code, replayed)
), was as (
  select o.key, o.status, o.amount, c.purchase
    from refund_operations o join answer a on a.key = o.key join cases c on c.id = o.case_id
), now_is as (
  update refund_operations o
     set status = a.status, refund_id = coalesce(a.refund_id, o.refund_id), code = coalesce(a.code, o.code),
         asks = o.asks + 1, replayed = o.replayed or a.replayed,
         paid_at = case when a.status = 'paid' then coalesce(o.paid_at, now()) else o.paid_at end
    from answer a where o.key = a.key
  returning o.key, o.status
)
update purchases p
   set refunded = greatest(0, p.refunded + w.amount * ((n.status = 'paid')::int - (w.status = 'paid')::int))
  from was w join now_is n on n.key = w.key
 where p.id = w.purchase and (n.status = 'paid') <> (w.status = 'paid')
"""
"""Stores each answer in its operation, and in the purchase what was paid or came back."""


class RefundOperations:
    """The tables of payment claims and operations."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def claim(self, operations: Sequence[RefundOperation]) -> set[UUID]:
        """Claims the payments of these operations, and returns the cases that got their claim."""
        rows = self._work.run(
            _CLAIM,
            providers=[operation.provider for operation in operations],
            charges=[operation.charge for operation in operations],
            cases=[operation.case_id for operation in operations],
        )
        return {row.case_id for row in rows}

    def create(self, operations: Sequence[RefundOperation]) -> None:
        """Stores these operations as sent now: the commit comes before the call."""
        if operations:
            self._work.run(
                _PREPARE,
                cases=[operation.case_id for operation in operations],
                attempts=[operation.attempt for operation in operations],
                providers=[operation.provider for operation in operations],
                charges=[operation.charge for operation in operations],
                amounts=[operation.amount.minor for operation in operations],
                currencies=[operation.amount.currency for operation in operations],
                keys=[operation.key for operation in operations],
                hashes=[operation.payload_hash for operation in operations],
            )

    def for_cases(self, cases: Sequence[UUID]) -> dict[UUID, RefundOperation]:
        """Returns the newest operation of each of these cases."""
        return {row.case_id: operation_of(row) for row in self._work.run(_OF, cases=list(cases))}

    def for_payments(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RefundOperation]:
        """Returns the newest operation about each of these payments: (provider, charge)."""
        providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
        rows = self._work.run(_ABOUT, providers=providers, charges=charges)
        return {(row.provider, row.charge): operation_of(row) for row in rows}

    def for_refunds(self, refunds: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RefundOperation]:
        """Returns the operations that made these refunds: (provider, the provider's id of the refund)."""
        if not refunds:
            return {}
        providers, ids = [provider for provider, _ in refunds], [refund for _, refund in refunds]
        rows = self._work.run(_MADE, providers=providers, refund_ids=ids)
        return {(row.provider, row.refund_id): operation_of(row) for row in rows}

    def mark_resent(self, calls: Sequence[tuple[Case, RefundOperation]]) -> set[str]:
        """Stores that these operations are sent again, before they are. Returns the keys that may be sent."""
        if not calls:
            return set()
        keys, cases = [operation.key for _, operation in calls], [case for case, _ in calls]
        ids, fences = [case.id for case in cases], [case.fence for case in cases]
        return {row.key for row in self._work.run(_STAMP, keys=keys, cases=ids, fences=fences)}

    def count_polls(self, looks: Sequence[tuple[str, bool, bool]], *, apart: float) -> None:
        """Counts polls without news: (key, whether nothing was found, whether the provider replays an error).

        An empty look-up counts if it comes ``apart`` seconds after the last that counted.
        """
        if looks:
            keys, empties, replays = map(list, zip(*looks, strict=True))
            self._work.run(_ASKED, keys=keys, empties=empties, replays=replays, apart=apart)

    def record_results(self, answers: Sequence[tuple[RefundOperation, RefundResult]]) -> None:
        """Stores the provider's answers to these operations."""
        if answers:
            self._work.run(
                _ANSWERED,
                keys=[operation.key for operation, _ in answers],
                statuses=[status_of(answer) for _, answer in answers],
                refund_ids=[
                    answer.refund_id if isinstance(answer, Paid | Pending | Failed) else None for _, answer in answers
                ],
                codes=[answer.code if isinstance(answer, Declined | Failed) else None for _, answer in answers],
                replays=[isinstance(answer, Unknown) and answer.replayed for _, answer in answers],
            )

    def record_declines(self, words: Sequence[tuple[RefundOperation, str]]) -> None:
        """Stores the code with which the provider refused a repeat, which does not close the operation: (operation, code)."""
        keys, codes = [operation.key for operation, _ in words], [code for _, code in words]
        if words:
            self._work.run(_REFUSED, keys=keys, codes=codes)

    def close(self, operations: Sequence[RefundOperation], status: OperationStatus) -> None:
        """Closes operations that were not carried out and never will be: they are ``absent`` or ``declined``."""
        if operations:
            keys = [operation.key for operation in operations]
            self._work.run(
                "update refund_operations set status = :status where key = any(:keys)", keys=keys, status=status
            )


def operation_of(row: Any) -> RefundOperation:  # noqa: ANN401  # a row of OPERATION_COLUMNS
    """Returns the operation that this row holds."""
    return RefundOperation(
        case_id=row.case_id,
        amount=Money(row.amount, row.currency),
        status=OperationStatus(row.status),
        **{name: getattr(row, name) for name in _UNCHANGED},
    )


_UNCHANGED = (
    "attempt provider charge key first_sent_at last_sent_at sends asks refund_id code replayed empty_lookups".split()
)
