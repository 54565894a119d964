"""Parses the transactions of Braintree's SDK strictly, so that another refund is never mistaken for our refund."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.money import Money
from domain.providers import DeclineReason, DisputeStatus, Failed, ListedRefund, Paid, Pending, RefundStatus
from worker.providers.braintree.amounts import parse_amount
from worker.providers.braintree.client import PARSE_ERRORS
from worker.providers.braintree.codes import CODES, DISPUTES, REFUND_STATUSES
from worker.providers.disputes import select_deciding_dispute
from worker.providers.identifiers import is_identifier, parse_bank_reference

_REASON_FIELDS = {
    "gateway_rejected": "gateway_rejection_reason",
    "processor_declined": "processor_response_code",
    "settlement_declined": "processor_settlement_response_code",
}
"""For each status of a failed refund: the name of the field in which the transaction contains the reason."""


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of a transaction."""

    id: str
    charge: str
    amount: Money
    status: str
    code: str
    """The reason if the refund failed, otherwise the status."""
    created: datetime
    key: str | None
    bank_reference: str | None = None

    @property
    def refund_status(self) -> RefundStatus:
        """The status, mapped to Moneyback's RefundStatus."""
        return REFUND_STATUSES[self.status]

    @property
    def decline_reason(self) -> DeclineReason:
        """The decline reason of a failed refund."""
        return CODES.get(self.code, DeclineReason.PERMANENT)

    def result(self) -> Paid | Pending | Failed:
        """Return the refund as the result of a call."""
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount)
            case RefundStatus.FAILED:
                return Failed(self.id, self.code, self.decline_reason)

    def list_entry(self) -> ListedRefund:
        """Return the refund as an item of the list that reconciliation reads."""
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key)


def parse_refund(transaction: Any) -> Refund | None:  # noqa: ANN401 - the SDK has no types
    """Return the refund, or None if a field is missing or wrong, or if the transaction is not a refund."""
    try:
        status = transaction.status
        code = getattr(transaction, _REASON_FIELDS.get(status, "status"), None)
        refund = Refund(
            id=transaction.id,
            charge=transaction.refunded_transaction_id,
            amount=parse_amount(transaction.amount, transaction.currency_iso_code),
            status=status,
            code=code if is_identifier(code) else status,
            created=transaction.created_at.replace(tzinfo=UTC),  # the SDK omits the time zone
            key=transaction.order_id if is_identifier(transaction.order_id) else None,
            bank_reference=parse_bank_reference(getattr(transaction, "acquirer_reference_number", None)),
        )
        is_valid = transaction.type == "credit" and status in REFUND_STATUSES and refund.amount.minor > 0
    except PARSE_ERRORS:
        return None
    return refund if is_valid and is_identifier(refund.id) and is_identifier(refund.charge) else None


def parse_disputes(transaction: Any) -> DisputeStatus | None:  # noqa: ANN401 - the SDK has no types
    """Return the transaction's dispute status, or None if a dispute cannot be read. One of its disputes decides the status."""
    try:
        newest_first = sorted(transaction.disputes, key=lambda dispute: str(dispute.received_date), reverse=True)
        disputes = [DisputeStatus(DISPUTES[dispute.status], dispute.id) for dispute in newest_first]
    except PARSE_ERRORS:
        return None
    return select_deciding_dispute(disputes) if all(is_identifier(dispute.dispute_id) for dispute in disputes) else None
