"""Store payment claims, refund operations and their results. An operation is stored before the provider is called.

A case has at most one open operation. A new operation is created only if the last operation certainly moved no money, or if
its refund failed and the money came back to the seller.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.cases import Case
from domain.money import Money
from domain.providers import Declined, Failed, Mismatched, Paid, Pending, RefundResult, Unknown
from domain.refund_operations import OperationStatus, RefundOperation, paid_amount_of, status_of
from records.transaction import Transaction

OPERATION_COLUMNS = """
case_id, attempt, provider, charge, amount, currency, key, first_sent_at, last_sent_at, sends, polls, status, refund_id, code,
replayed, empty_lookups, is_last, refunds_inquiry, customer_must_act
"""

_CLAIM = """
with wanted as (
  select distinct on (provider, charge) *
    from unnest(cast(:providers as text[]), cast(:charges as text[]), cast(:case_ids as uuid[]))
      as i(provider, charge, case_id)
   order by provider, charge
), locked as (
  select y.provider, y.charge, w.case_id from payments y join wanted w using (provider, charge)
   where y.case_id is null or y.case_id = w.case_id
   order by y.provider, y.charge for no key update of y
)
update payments y set case_id = l.case_id from locked l
 where y.provider = l.provider and y.charge = l.charge and (y.case_id is null or y.case_id = l.case_id)
returning y.case_id
"""
"""Claim each payment for one case, permanently. If two cases claim the same payment, only one of the cases gets the claim."""

_INSERT = """
insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, is_last,
                               refunds_inquiry, first_sent_at, last_sent_at, status)
select *, now(), now(), 'sent'
  from unnest(cast(:case_ids as uuid[]), cast(:attempts as int[]), cast(:providers as text[]), cast(:charges as text[]),
              cast(:amounts as bigint[]), cast(:currencies as text[]), cast(:keys as text[]), cast(:hashes as bytea[]),
              cast(:lasts as bool[]), cast(:inquiries as bool[]))
"""

_SELECT_BY_CASE = f"""
select {OPERATION_COLUMNS} from refund_operations where case_id = any(:case_ids) order by case_id, attempt
"""

_SELECT_BY_PAYMENT = f"""
select distinct on (provider, charge) {OPERATION_COLUMNS} from refund_operations
 where (provider, charge) in (select * from unnest(cast(:providers as text[]), cast(:charges as text[])))
 order by provider, charge, attempt desc
"""

_SELECT_BY_REFUND = f"""
select {OPERATION_COLUMNS} from refund_operations
 where (provider, refund_id) in (select * from unnest(cast(:providers as text[]), cast(:refund_ids as text[])))
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

_RECORD_RESULT = """
with result as (
  select * from unnest(cast(:keys as text[]), cast(:statuses as text[]), cast(:refund_ids as text[]),
                       cast(:codes as text[]), cast(:replays as bool[]), cast(:must_acts as bool[]),
                       cast(:paid_amounts as bigint[]))
    as t(key, status, refund_id, code, replayed, customer_must_act, paid_amount)
), before as (
  select o.key, o.paid_amount, o.provider, o.charge from refund_operations o join result r on r.key = o.key
), after as (
  update refund_operations o
     set status = r.status, refund_id = coalesce(r.refund_id, o.refund_id), code = coalesce(r.code, o.code),
         polls = o.polls + 1, replayed = o.replayed or r.replayed, customer_must_act = r.customer_must_act,
         paid_amount = r.paid_amount,
         paid_at = case when r.status = 'paid' then coalesce(o.paid_at, now()) else o.paid_at end
    from result r where o.key = r.key
  returning o.key, o.paid_amount
)
update payments y
   set refunded = y.refunded + a.paid_amount - b.paid_amount
  from before b join after a on a.key = b.key
 where y.provider = b.provider and y.charge = b.charge and a.paid_amount <> b.paid_amount
"""
"""Store each result in its operation.

The payment's ``refunded`` is the sum of what the provider paid for its operations. An operation that is not paid, or not paid
any more, has paid 0.
"""

_SET_STATUS = "update refund_operations set status = :status where key = any(:keys)"


class RefundOperations:
    """The table ``refund_operations``, and the claims of payments by cases in the table ``payments``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def claim(self, operations: Sequence[RefundOperation]) -> set[UUID]:
        """Claim the payment of each operation for its case. Return the cases that now have the claim."""
        rows = self._work.run(
            _CLAIM,
            providers=[operation.provider for operation in operations],
            charges=[operation.charge for operation in operations],
            case_ids=[operation.case_id for operation in operations],
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
            )

    def for_cases(self, cases: Sequence[UUID]) -> dict[UUID, list[RefundOperation]]:
        """Return all operations of each of these cases, the newest operation last. A case without operations is left out."""
        operations: dict[UUID, list[RefundOperation]] = {}
        for row in self._work.run(_SELECT_BY_CASE, case_ids=list(cases)):
            operations.setdefault(row.case_id, []).append(operation_of(row))
        return operations

    def for_payments(self, payments: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RefundOperation]:
        """Return the newest operation of each payment. A payment is a pair (provider, charge)."""
        providers, charges = [provider for provider, _ in payments], [charge for _, charge in payments]
        rows = self._work.run(_SELECT_BY_PAYMENT, providers=providers, charges=charges)
        return {(row.provider, row.charge): operation_of(row) for row in rows}

    def for_refunds(self, refunds: Sequence[tuple[str, str]]) -> dict[tuple[str, str], RefundOperation]:
        """Return the operations of these refunds. A refund is a pair (provider, the provider's id of the refund)."""
        if not refunds:
            return {}
        providers, ids = [provider for provider, _ in refunds], [refund for _, refund in refunds]
        rows = self._work.run(_SELECT_BY_REFUND, providers=providers, refund_ids=ids)
        return {(row.provider, row.refund_id): operation_of(row) for row in rows}

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
        """Close operations that moved no money and can no longer move money. ``status`` is ``absent`` or ``declined``."""
        if operations:
            self._work.run(_SET_STATUS, keys=[operation.key for operation in operations], status=status)


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
    "is_last refunds_inquiry customer_must_act".split()
)
