"""Reconciliation: our operations, found by what a provider lists, and those that it does not list."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from domain.refund_operations import RefundOperation
from records.refund_operations import OPERATION_COLUMNS, operation_of
from records.transaction import Transaction

_LISTED = f"""
select {OPERATION_COLUMNS} from refund_operations
 where key = any(:keys) or (provider = :provider and refund_id = any(:refund_ids))
"""

_UNLISTED = f"""
select {OPERATION_COLUMNS} from refund_operations
 where provider = :provider and status in ('paid', 'pending') and first_sent_at >= :since and last_sent_at < :until
   and (reconciled_at is null or reconciled_at < :begun)
 order by first_sent_at
"""


class Reconciliation:
    """The operations table, as reconciliation looks at it."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def listed(self, provider: str, *, keys: Sequence[str], refund_ids: Sequence[str]) -> list[RefundOperation]:
        """Our operations with one of these keys or refunds."""
        rows = self._work.run(_LISTED, provider=provider, keys=list(keys), refund_ids=list(refund_ids))
        return [operation_of(row) for row in rows]

    def mark_reconciled(self, operations: Sequence[RefundOperation]) -> None:
        """The provider lists these."""
        keys = [operation.key for operation in operations]
        self._work.run("update refund_operations set reconciled_at = now() where key = any(:keys)", keys=keys)

    def unlisted(
        self, provider: str, *, since: datetime, until: datetime, begun: datetime
    ) -> Iterator[RefundOperation]:
        """What we hold for paid or accepted, sent between these instants, and was not listed since it was begun."""
        for row in self._work.stream(_UNLISTED, provider=provider, since=since, until=until, begun=begun):
            yield operation_of(row)
