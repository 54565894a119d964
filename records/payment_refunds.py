"""Read the refunds of payments: those that Moneyback made or tried, and those that were made elsewhere."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from records.transaction import Transaction

_SELECT = """
select o.provider, o.charge, o.first_sent_at as at, o.amount, o.currency, o.status, o.refund_id, o.code, o.case_id
  from refund_operations o
  join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge) using (provider, charge)
union all
select e.provider, e.charge, e.recorded_at, e.amount, e.currency, e.status, e.refund_id, null, null
  from external_refunds e
  join unnest(cast(:providers as text[]), cast(:charges as text[])) as i(provider, charge) using (provider, charge)
 order by at, refund_id
"""


@dataclass(frozen=True, slots=True)
class PaymentRefund:
    """A refund of a payment, or the attempt of a refund."""

    provider: str
    charge: str
    at: datetime
    """When Moneyback sent the refund first. For a refund that was made elsewhere: when Moneyback noticed it."""
    amount: int
    currency: str
    status: str
    """An ``OperationStatus``. For a refund that was made elsewhere: a ``RefundStatus``."""
    refund_id: str | None
    code: str | None
    case_id: UUID | None
    """The case that the refund is for. None if the refund was made elsewhere."""

    @property
    def payment(self) -> tuple[str, str]:
        """The provider and the charge."""
        return self.provider, self.charge


class PaymentRefunds:
    """Reads the tables ``refund_operations`` and ``external_refunds``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def of_payments(self, payments: Collection[tuple[str, str]]) -> list[PaymentRefund]:
        """Return the refunds of these payments, the oldest first. A payment is its provider and its charge."""
        if not payments:
            return []
        providers, charges = map(list, zip(*payments, strict=True))
        return [PaymentRefund(*row) for row in self._work.run(_SELECT, providers=providers, charges=charges)]
