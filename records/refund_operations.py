"""Store refund operations, their results, and what they reserve of a payment, before the provider is called.

A payment has at most one operation whose outcome is open. What is refunded and reserved never exceeds what was captured.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.cases import Case
from domain.money import Money
from domain.providers import Declined, Failed, Mismatched, Paid, Pending, RefundResult, Unknown
from domain.refund_operations import OperationStatus, RefundOperation, paid_amount_of, status_of
from records.purchases import Purchases
from records.tables.cases import OPEN_STATUS_NAMES, UNRESOLVED_STATUS_NAMES
from records.transaction import Transaction

OPERATION_COLUMNS = """
case_id, attempt, provider, charge, amount, currency, key, first_sent_at, last_sent_at, sends, polls, status, refund_id, code,
replayed, empty_lookups, is_last, refunds_inquiry, customer_must_act, decision_id
"""

_RESERVE = f"""
with wanted as (
  select distinct on (provider, charge) *
    from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:case_ids as uuid[]), cast(:amounts as bigint[]),
                cast(:decided as bool[]))
      as i(provider, charge, case_id, amount, decided)
   order by provider, charge
), locked as (
  select y.provider, y.charge, w.case_id, w.amount, w.decided,
         (select sum(b.amount) from purchase_payments b where b.provider = y.provider and b.charge = y.charge) as captured
    from payments y join wanted w using (provider, charge)
   where (y.case_id is null or y.case_id = w.case_id or w.decided)
     and not exists (select from refund_operations o where o.provider = y.provider and o.charge = y.charge
                        and o.status in ({UNRESOLVED_STATUS_NAMES}))
   order by y.provider, y.charge for no key update of y
)
update payments y set case_id = coalesce(y.case_id, l.case_id), captured = l.captured, reserved = y.reserved + l.amount
  from locked l
 where y.provider = l.provider and y.charge = l.charge and (y.case_id is null or y.case_id = l.case_id or l.decided)
   and greatest(y.reserved, y.refunded) + y.refunded_elsewhere + l.amount <= l.captured
returning l.case_id
"""
"""Reserve the amount of each refund of its payment, and claim the payment for one case, permanently.

The rules refund a payment only for the case with the claim, because a seller may report the same payment with several
purchases. A refund that support decided needs no claim. If two cases claim the same payment, only one of them gets the claim.

If the payment has an unresolved refund, or not enough money left, nothing is reserved. ``refunded`` may be higher than
``reserved``, because the provider may refund another amount than requested.
"""

_INSERT = """
insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, is_last,
                               refunds_inquiry, decision_id, first_sent_at, last_sent_at, status)
select *, now(), now(), 'sent'
  from unnest(cast(:case_ids as uuid[]), cast(:attempts as int[]), cast(:providers as text[]), cast(:charges as text[]),
              cast(:amounts as bigint[]), cast(:currencies as text[]), cast(:keys as text[]), cast(:hashes as bytea[]),
              cast(:lasts as bool[]), cast(:inquiries as bool[]), cast(:decision_ids as uuid[]))
"""

_SELECT_BY_CASE = f"""
select {OPERATION_COLUMNS} from refund_operations where case_id = any(:case_ids) order by case_id, attempt
"""

_SELECT_BY_PAYMENT = f"""
select distinct on (provider, charge) {OPERATION_COLUMNS} from refund_operations
 where (provider, charge) in (select * from unnest(cast(:providers as text[]), cast(:charges as text[])))
 order by provider, charge, status in ({UNRESOLVED_STATUS_NAMES}) desc, first_sent_at desc, attempt desc
"""
"""The attempts of one case have numbers, but several cases may refund parts of one payment."""

_SELECT_OPEN = f"""
select {OPERATION_COLUMNS} from refund_operations
 where provider = :provider and charge = :charge and status in ({OPEN_STATUS_NAMES})
 order by first_sent_at, case_id, attempt
"""

_SELECT_BY_REFUND = f"""
select {OPERATION_COLUMNS} from refund_operations
 where (provider, refund_id) in (select * from unnest(cast(:providers as text[]), cast(:refund_ids as text[])))
"""

_NAME_REFUNDS = """
update refund_operations o set refund_id = i.refund_id
  from unnest(cast(:keys as text[]), cast(:refund_ids as text[])) as i(key, refund_id)
 where o.key = i.key and o.refund_id is null
"""

_SELECT_KNOWN_REFUNDS = """
select o.key, k.refund_id
  from refund_operations o
 cross join lateral (
   select e.refund_id from refund_operations e
    where e.provider = o.provider and e.charge = o.charge and e.key <> o.key and e.refund_id is not null
      and e.status not in ('absent', 'declined')
   union all
   select e.refund_id from external_refunds e
    where e.provider = o.provider and e.charge = o.charge and e.recorded_at < o.first_sent_at) k
 where o.key = any(:keys)
"""

_MARK_RESENT = """
update refund_operations o set last_sent_at = now(), sends = sends + 1
  from unnest(cast(:keys as text[]), cast(:case_ids as uuid[]), cast(:fences as int[])) as i(key, case_id, fence)
  join cases c on c.id = i.case_id
 where o.key = i.key and c.fence = i.fence and c.lease_until > now()
returning o.key
"""
"""Mark operations as sent again. The query skips an operation if the worker no longer has the lease of the case.

Without the lease, a worker may not send the operation again.
"""

_COUNT_POLL = """
update refund_operations o
   set polls = polls + 1,
       empty_lookups = empty_lookups
         + (i.empty and coalesce(looked_up_at, last_sent_at) <= now() - make_interval(secs => :apart))::int,
       looked_up_at = case when i.empty and coalesce(looked_up_at, last_sent_at) <= now() - make_interval(secs => :apart)
                           then now() else looked_up_at end,
       replayed = o.replayed or i.replayed
  from unnest(cast(:keys as text[]), cast(:empties as bool[]), cast(:replays as bool[])) as i(key, empty, replayed)
 where o.key = i.key
"""
"""Count polls. A poll that finds no refund is an empty lookup. ``empty_lookups`` rises at most once in ``apart`` seconds.

For the first empty lookup, the ``apart`` seconds begin when the refund was last sent to the provider.
"""

_RECORD_DECLINE = """
update refund_operations o set code = i.code
  from unnest(cast(:keys as text[]), cast(:codes as text[])) as i(key, code) where o.key = i.key
"""

_UPDATE_PAYMENTS = f"""
update payments y set refunded = y.refunded + c.paid, reserved = least(coalesce(y.captured, 0), c.reserved)
  from (select o.provider, o.charge, coalesce(sum(a.paid_amount - o.paid_amount), 0) as paid,
               coalesce(sum(o.amount) filter (where coalesce(a.status, o.status) in ({OPEN_STATUS_NAMES})), 0) as reserved
          from refund_operations o left join after a on a.key = o.key
         where (o.provider, o.charge) in (select provider, charge from after)
         group by o.provider, o.charge) c
 where y.provider = c.provider and y.charge = c.charge
   and (c.paid <> 0 or y.reserved <> least(coalesce(y.captured, 0), c.reserved))
"""
"""Update the sums of the payments of changed operations. ``after`` contains these operations; ``o`` is as it was before.

The payment's ``refunded`` is the sum of what the provider paid for its operations. An operation that is not paid, or not paid
any more, has paid 0. ``reserved`` is the sum of the open operations. So a refund that was certainly not made gives its amount
back. If a closed operation was made after all, the sum may exceed ``captured``. Then the whole payment is reserved.

The caller has locked the payments in an earlier statement. Otherwise, the sum could miss the changes of another worker.
"""

_RECORD_RESULT = f"""
with result as (
  select * from unnest(cast(:keys as text[]), cast(:statuses as text[]), cast(:refund_ids as text[]),
                       cast(:codes as text[]), cast(:replays as bool[]), cast(:must_acts as bool[]),
                       cast(:paid_amounts as bigint[]))
    as t(key, status, refund_id, code, replayed, customer_must_act, paid_amount)
), after as (
  update refund_operations o
     set status = r.status, refund_id = coalesce(r.refund_id, o.refund_id), code = coalesce(r.code, o.code),
         polls = o.polls + 1, replayed = o.replayed or r.replayed, customer_must_act = r.customer_must_act,
         paid_amount = r.paid_amount,
         paid_at = case when r.status = 'paid' then coalesce(o.paid_at, now()) else o.paid_at end
    from result r where o.key = r.key
  returning o.key, o.provider, o.charge, o.status, o.paid_amount
)
{_UPDATE_PAYMENTS}
"""
"""Store each result in its operation."""

_SET_STATUS = f"""
with after as (
  update refund_operations o set status = :status where key = any(:keys)
  returning o.key, o.provider, o.charge, o.status, o.paid_amount
)
{_UPDATE_PAYMENTS}
"""


class RefundOperations:
    """The table ``refund_operations``, and in the table ``payments`` the claims and what is reserved and refunded."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def reserve(self, operations: Sequence[RefundOperation]) -> set[UUID]:
        """Claim the payment of each operation for its case, and reserve the amount. Return the cases for which this succeeded."""
        if not operations:
            return set()
        rows = self._work.run(
            _RESERVE,
            providers=[operation.provider for operation in operations],
            charges=[operation.charge for operation in operations],
            case_ids=[operation.case_id for operation in operations],
            amounts=[operation.amount.minor for operation in operations],
            decided=[operation.decision_id is not None for operation in operations],
        )
        return {row.case_id for row in rows}

    def create(self, operations: Sequence[RefundOperation]) -> None:
        """Store these new operations with the status ``sent``. The caller commits before it calls the provider."""
        if operations:
            self._work.run(
                _INSERT,
                case_ids=[operation.case_id for operation in operations],
                attempts=[operation.attempt for operation in operations],
                providers=[operation.provider for operation in operations],
                charges=[operation.charge for operation in operations],
                amounts=[operation.amount.minor for operation in operations],
                currencies=[operation.amount.currency for operation in operations],
                keys=[operation.key for operation in operations],
                hashes=[operation.payload_hash for operation in operations],
                lasts=[operation.is_last for operation in operations],
                inquiries=[operation.refunds_inquiry for operation in operations],
                decision_ids=[operation.decision_id for operation in operations],
            )

    def for_cases(self, cases: Sequence[UUID]) -> dict[UUID, list[RefundOperation]]:
        """Return all operations of each of these cases, the newest operation last. A case without operations is left out."""
        operations: dict[UUID, list[RefundOperation]] = {}
        for row in self._work.run(_SELECT_BY_CASE, case_ids=list(cases)):
            operations.setdefault(row.case_id, []).append(operation_of(row))
        return operations

    def for_payments(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RefundOperation]:
        """Return, for each payment, the operation whose outcome is open, or else the newest operation.

        A payment is a pair (provider, charge).
        """
        providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
        rows = self._work.run(_SELECT_BY_PAYMENT, providers=providers, charges=charges)
        return {(row.provider, row.charge): operation_of(row) for row in rows}

    def open_for_payment(self, provider: str, charge: str) -> list[RefundOperation]:
        """Return the operations that sent money of this payment, or may have sent it. The newest operation is last."""
        return [operation_of(row) for row in self._work.run(_SELECT_OPEN, provider=provider, charge=charge)]

    def for_refunds(self, refunds: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RefundOperation]:
        """Return the operations of these refunds. A refund is a pair (provider, the provider's id of the refund)."""
        if not refunds:
            return {}
        providers, ids = [provider for provider, _ in refunds], [refund for _, refund in refunds]
        rows = self._work.run(_SELECT_BY_REFUND, providers=providers, refund_ids=ids)
        return {(row.provider, row.refund_id): operation_of(row) for row in rows}

    def known_refunds(self, keys: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return, for each operation, the ids of the other refunds of its payment that were known when it was sent.

        They are our other refunds, and the external refunds that were recorded before. A refund that the provider shows although
        its operation counts as not made is not known. ``keys`` are idempotency keys.
        """
        known: dict[str, set[str]] = {key: set() for key in keys}
        for row in self._work.run(_SELECT_KNOWN_REFUNDS, keys=list(keys)) if keys else ():
            known[row.key].add(row.refund_id)
        return {key: frozenset(refund_ids) for key, refund_ids in known.items()}

    def name_refunds(self, refunds: Sequence[tuple[RefundOperation, str]]) -> None:
        """Store the provider's ids of refunds that it shows with our keys, so that an event about a refund finds its operation.

        An operation that has an id keeps it.
        """
        if unnamed := [(operation.key, refund_id) for operation, refund_id in refunds if operation.refund_id is None]:
            keys, refund_ids = map(list, zip(*unnamed, strict=True))
            self._work.run(_NAME_REFUNDS, keys=keys, refund_ids=refund_ids)

    def mark_resent(self, calls: Sequence[tuple[Case, RefundOperation]]) -> set[str]:
        """Store that these operations are about to be sent again. Return the keys of the operations that may be sent."""
        if not calls:
            return set()
        rows = self._work.run(
            _MARK_RESENT,
            keys=[operation.key for _, operation in calls],
            case_ids=[case.id for case, _ in calls],
            fences=[case.fence for case, _ in calls],
        )
        return {row.key for row in rows}

    def count_polls(self, polls: Sequence[tuple[str, bool, bool]], *, apart: float) -> None:
        """Count polls without a result. The polls that found no refund raise ``empty_lookups`` at most once in ``apart`` seconds.

        Each poll is a tuple: the idempotency key, True if the provider showed no refund, and True if the provider repeated a
        stored error.
        """
        if polls:
            keys, empties, replays = map(list, zip(*polls, strict=True))
            self._work.run(_COUNT_POLL, keys=keys, empties=empties, replays=replays, apart=apart)

    def record_results(self, results: Sequence[tuple[RefundOperation, RefundResult]]) -> None:
        """Store the provider's results for these operations."""
        if results:
            self._lock_payments([operation for operation, _ in results])
            self._work.run(
                _RECORD_RESULT,
                keys=[operation.key for operation, _ in results],
                statuses=[status_of(result) for _, result in results],
                refund_ids=[
                    result.refund_id if isinstance(result, Paid | Pending | Mismatched | Failed) else None
                    for _, result in results
                ],
                codes=[result.code if isinstance(result, Declined | Failed) else None for _, result in results],
                replays=[isinstance(result, Unknown) and result.replayed for _, result in results],
                must_acts=[isinstance(result, Pending) and result.customer_must_act for _, result in results],
                paid_amounts=[paid_amount_of(result, operation) for operation, result in results],
            )

    def record_declines(self, declines: Sequence[tuple[RefundOperation, str]]) -> None:
        """Store the codes with which the provider declined repeated refund calls. The operations stay open.

        A decline is a pair (operation, code).
        """
        if declines:
            keys = [operation.key for operation, _ in declines]
            self._work.run(_RECORD_DECLINE, keys=keys, codes=[code for _, code in declines])

    def close(self, operations: Sequence[RefundOperation], status: OperationStatus) -> None:
        """Close operations that moved no money and can no longer move money, and give their amounts back to the payments.

        ``status`` is ``absent`` or ``declined``.
        """
        if operations:
            self._lock_payments(operations)
            self._work.run(_SET_STATUS, keys=[operation.key for operation in operations], status=status)

    def _lock_payments(self, operations: Sequence[RefundOperation]) -> None:
        Purchases(self._work).lock_payments(sorted({operation.payment for operation in operations}))


def operation_of(row: Any) -> RefundOperation:  # noqa: ANN401  # a row of OPERATION_COLUMNS
    """Return the operation of a row."""
    return RefundOperation(
        case_id=row.case_id,
        amount=Money(row.amount, row.currency),
        status=OperationStatus(row.status),
        **{name: getattr(row, name) for name in _NAMES},
    )


_NAMES = (
    "attempt provider charge key first_sent_at last_sent_at sends polls refund_id code replayed empty_lookups "
    "is_last refunds_inquiry customer_must_act decision_id".split()
)
