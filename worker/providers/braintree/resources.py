"""Parses the transactions of Braintree's SDK strictly, so that another refund is never mistaken for our refund."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from domain.money import Money
from domain.providers import (
    DeclineReason,
    DisputeStatus,
    Failed,
    ListedDispute,
    ListedRefund,
    Paid,
    PaymentStatus,
    Pending,
    RefundStatus,
    Unknown,
    failure_of,
)
from worker.providers.braintree.amounts import parse_amount
from worker.providers.braintree.client import PARSE_ERRORS
from worker.providers.braintree.codes import (
    CODES,
    DISPUTES,
    METHODS,
    PAYMENT_STATUSES,
    REFUND_STATUSES,
    RETRIEVAL,
    RETRIEVALS,
)
from worker.providers.disputes import select_deciding_dispute
from worker.providers.identifiers import is_identifier, parse_bank_reference

KEY_PREFIX = "mb_"  # the beginning of our idempotency keys, because a refund's order id may also be another system's id

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
        failure = failure_of(self.result())
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key, failure)


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


def parse_refunds(transactions: Sequence[Any]) -> list[Refund] | Unknown:
    """Return the refunds of a list. Leave out the refunds of other systems that cannot be read.

    If a refund with our key cannot be read, the list is Unknown.
    """
    parsed = [(transaction, parse_refund(transaction)) for transaction in transactions]
    if any(refund is None and _carries_key(transaction) for transaction, refund in parsed):
        return Unknown("A refund with our key in Braintree's list cannot be read.")
    return [refund for _, refund in parsed if refund]


def parse_payment(sale: Any, refunds: Sequence[Any], *, seller: str | None) -> PaymentStatus | None:  # noqa: ANN401 - the SDK has no types
    """Return the sale as a worker compares it with the order, or None if a field is missing or wrong.

    A refund with an unknown status counts as refunded, because it may be paid. A transaction that is no sale captured nothing.
    """
    dispute = parse_disputes(sale)
    if dispute is None:
        return None
    try:
        live_refunds = [refund for refund in refunds if REFUND_STATUSES.get(refund.status) is not RefundStatus.FAILED]
        amount = parse_amount(sale.amount, sale.currency_iso_code)
        is_captured = PAYMENT_STATUSES[sale.status] and sale.type == "sale"
        refunded = sum(parse_amount(refund.amount, amount.currency).minor for refund in live_refunds)
    except PARSE_ERRORS:
        return None
    instrument = getattr(sale, "payment_instrument_type", None)
    return PaymentStatus(
        captured=amount if is_captured else None,
        refunded=refunded,
        dispute=dispute,
        method=METHODS.get(instrument, instrument) if is_identifier(instrument) else None,
        seller=seller,
        code=sale.status if sale.type == "sale" else sale.type,
    )


def parse_disputes(transaction: Any) -> DisputeStatus | None:  # noqa: ANN401 - the SDK has no types
    """Return the transaction's dispute status, or None if a dispute cannot be read. One of its disputes decides the status."""
    try:
        newest_first = sorted(transaction.disputes, key=lambda dispute: str(dispute.received_date), reverse=True)
        disputes = [_read_dispute(dispute) for dispute in newest_first]
    except PARSE_ERRORS:
        return None
    return select_deciding_dispute(disputes) if all(is_identifier(dispute.dispute_id) for dispute in disputes) else None


def parse_listed_dispute(dispute: Any) -> ListedDispute | None:  # noqa: ANN401 - the SDK has no types
    """Return the dispute as an entry of the list of disputes, or None if a field is missing or wrong."""
    try:
        entry = ListedDispute(dispute.transaction.id, _read_dispute(dispute))
    except PARSE_ERRORS:
        return None
    return entry if is_identifier(entry.charge) and is_identifier(entry.status.dispute_id) else None


def _read_dispute(dispute: Any) -> DisputeStatus:  # noqa: ANN401 - the SDK has no types
    """Return the status of one dispute. Raise an error of PARSE_ERRORS if the dispute cannot be read."""
    is_retrieval = getattr(dispute, "kind", None) == RETRIEVAL
    status = (RETRIEVALS if is_retrieval else DISPUTES)[dispute.status]
    last_day = getattr(dispute, "reply_by_date", None)
    respond_by = datetime.combine(last_day, time.max, UTC) if type(last_day) is date else None
    return DisputeStatus(status, dispute.id, respond_by=respond_by)


def _carries_key(transaction: Any) -> bool:  # noqa: ANN401 - the SDK has no types
    return str(getattr(transaction, "order_id", "")).startswith(KEY_PREFIX)
