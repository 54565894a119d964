"""Parses GoCardless' payments and refunds strictly, so that another refund is never mistaken for our refund."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moneyback_gocardless.codes import FAILURES, REFUND_STATUSES
from moneyback_plugin.adapter import (
    DeclineReason,
    Dispute,
    DisputeStatus,
    Failed,
    ListedDispute,
    ListedRefund,
    Money,
    Paid,
    Pending,
    RefundStatus,
    UnknownMoneyError,
    is_identifier,
)

CHARGED_BACK = "charged_back"  # the status of a payment that the customer's bank took back
KEY_FIELD = "moneyback_key"  # our idempotency key is in this field of the refund's metadata
CHARGE_FIELD = (
    "moneyback_charge"  # the payment's id; a webhook about a refund contains the metadata, but not the payment's id
)


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment, with the sum of its refunds."""

    id: str
    amount: Money
    refunded: int
    status: str
    scheme: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of a payment."""

    id: str
    charge: str
    amount: Money
    status: str
    created: datetime
    key: str | None

    @property
    def refund_status(self) -> RefundStatus:
        """Moneyback's RefundStatus for GoCardless' status."""
        return REFUND_STATUSES[self.status]

    def result(self) -> Paid | Pending | Failed:
        """Return the refund as the result of a call."""
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount)
            case RefundStatus.FAILED:
                return Failed(self.id, self.status, FAILURES.get(self.status, DeclineReason.PERMANENT))

    def list_entry(self) -> ListedRefund:
        """Return the refund as an entry of the list that the reconciliation reads."""
        result = self.result()
        failure = result.reason if isinstance(result, Failed) else None
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key, failure)


def parse_payment(row: Mapping[str, Any]) -> Payment | None:
    """Return the payment, or None if a field is missing or wrong."""
    try:
        payment = Payment(
            id=row["id"],
            amount=Money(row["amount"], row["currency"]),
            refunded=row["amount_refunded"],
            status=row["status"],
            scheme=row.get("scheme"),
            metadata=row.get("metadata") or {},
        )
    except (KeyError, TypeError, UnknownMoneyError):
        return None
    is_valid = type(payment.refunded) is int and payment.refunded >= 0 and is_identifier(payment.status)
    return payment if is_valid and is_identifier(payment.id) else None


def parse_refund(row: Any) -> Refund | None:  # noqa: ANN401 - GoCardless' JSON may be anything
    """Return the refund, or None if a field is missing or wrong. The refund of a mandate has no payment, so it is None, too."""
    try:
        refund = Refund(
            id=row["id"],
            charge=row["links"]["payment"],
            amount=Money(row["amount"], row["currency"]),
            status=row["status"],
            created=datetime.fromisoformat(row["created_at"]),
            key=parse_key(row),
        )
        is_valid = refund.status in REFUND_STATUSES and refund.created.tzinfo is not None and refund.amount.minor > 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_valid and is_identifier(refund.id) and is_identifier(refund.charge) else None


def parse_key(row: Any) -> str | None:  # noqa: ANN401 - GoCardless' JSON may be anything
    """Return our idempotency key in the metadata of a row. None if the row is not about a refund of ours."""
    metadata = row.get("metadata") if isinstance(row, dict) else None
    key = metadata.get(KEY_FIELD) if isinstance(metadata, dict) else None
    return key if is_identifier(key) else None


def dispute_of(charge: str, status: object) -> DisputeStatus:
    """Return the dispute of a payment with this status. The bank takes the money at once, so a chargeback is lost.

    GoCardless has no disputes with ids of their own, so the id of the payment is used.
    """
    return DisputeStatus(Dispute.LOST, charge) if status == CHARGED_BACK else DisputeStatus(Dispute.NONE)


def parse_chargebacks(events: Sequence[Any], payments: object) -> list[ListedDispute]:
    """Return the chargebacks that these events report. ``payments`` are the payments of the events, as they are now.

    A chargeback that was cancelled later is won, because its payment has another status again. An event that names no payment is
    left out.
    """
    rows = [row for row in payments if isinstance(row, dict)] if isinstance(payments, list) else []
    statuses = {row.get("id"): row.get("status") for row in rows}
    charges = [charge for event in events if (charge := _payment_of(event))]
    disputes = {
        charge: Dispute.LOST if statuses.get(charge, CHARGED_BACK) == CHARGED_BACK else Dispute.WON
        for charge in charges
    }
    return [ListedDispute(charge, DisputeStatus(disputes[charge], charge)) for charge in charges]


def _payment_of(event: object) -> str | None:
    links = event.get("links") if isinstance(event, dict) else None
    charge = links.get("payment") if isinstance(links, dict) else None
    return charge if is_identifier(charge) else None
