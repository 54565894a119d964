"""Read refund operations for reconciliation: those that the provider lists, and those that it does not list."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from domain.refund_operations import RefundOperation
from records.refund_operations import OPERATION_COLUMNS, operation_of
from records.transaction import Transaction

_SELECT_LISTED = f"""
select {OPERATION_COLUMNS} from refund_operations
 where key = any(:keys) or (provider = :provider and refund_id = any(:refund_ids))
"""

_SELECT_UNLISTED = f"""
select {OPERATION_COLUMNS} from refund_operations
 where provider = :provider and status in ('paid', 'pending') and first_sent_at >= :since and last_sent_at < :until
   and (reconciled_at is null or reconciled_at < :begun)
 order by first_sent_at
"""

_MARK_RECONCILED = "update refund_operations set reconciled_at = now() where key = any(:keys)"


class Reconciliation:
    """The queries of reconciliation on the table ``refund_operations``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def listed(self, provider: str, *, keys: Sequence[str], refund_ids: Sequence[str]) -> list[RefundOperation]:
        """Return our operations that have one of these idempotency keys, or one of these refund ids of ``provider``."""
        rows = self._work.run(_SELECT_LISTED, provider=provider, keys=list(keys), refund_ids=list(refund_ids))
        return [operation_of(row) for row in rows]

    def mark_reconciled(self, operations: Sequence[RefundOperation]) -> None:
        """Mark these operations as reconciled, because the provider lists them."""
        self._work.run(_MARK_RECONCILED, keys=[operation.key for operation in operations])

    def unlisted(
        self, provider: str, *, since: datetime, until: datetime, begun: datetime
    ) -> Iterator[RefundOperation]:
        """Yield the paid and pending operations that no call of mark_reconciled() has marked since ``begun``.

        Yield only operations that were first sent to the provider at ``since`` or later, and last sent before ``until``.
        """
        for row in self._work.stream(_SELECT_UNLISTED, provider=provider, since=since, until=until, begun=begun):
            yield operation_of(row)
