"""Parses Mollie's refunds and chargebacks. A refund or chargeback with a missing or wrong field is rejected."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.money import Money
from domain.providers import Failed, ListedRefund, Paid, Pending, RefundStatus
from domain.purchases import Dispute
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.mollie.amounts import parse_amount
from worker.providers.mollie.codes import INSUFFICIENT_BALANCE, REFUND_STATUSES

KEY_FIELD = "moneyback_key"  # our idempotency key is in this field of the refund's metadata


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of a payment."""

    id: str
    charge: str
    amount: Money
    status: str
    created: datetime
    key: str | None
    bank_reference: str | None = None

    @property
    def refund_status(self) -> RefundStatus:
        """Moneyback's RefundStatus for Mollie's status."""
        return REFUND_STATUSES[self.status]

    def result(self) -> Paid | Pending | Failed:
        """Return the refund as the result of a call."""
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount, insufficient_balance=self.status == INSUFFICIENT_BALANCE)
            case RefundStatus.FAILED:
                return Failed(self.id, self.status)

    def list_entry(self) -> ListedRefund:
        """Return the refund as an entry of the list that the reconciliation reads."""
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key)


@dataclass(frozen=True, slots=True)
class Chargeback:
    """One chargeback of a payment."""

    id: str
    charge: str
    created: datetime
    dispute: Dispute


def parse_refund(row: Any) -> Refund | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the refund, or None if a field is missing or wrong."""
    try:
        refund = Refund(
            id=row["id"],
            charge=row["paymentId"],
            amount=parse_amount(row["amount"]),
            status=row["status"],
            created=_parse_time(row["createdAt"]),
            key=_parse_key(row.get("metadata")),
            bank_reference=_parse_bank_reference(row.get("externalReference")),
        )
        is_valid = refund.status in REFUND_STATUSES and refund.amount.minor > 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_valid and is_identifier(refund.id) and is_identifier(refund.charge) else None


def parse_chargeback(row: Any) -> Chargeback | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the chargeback, or None if a field is missing or wrong.

    Until a chargeback is reversed, its dispute counts as lost, because Mollie takes the money immediately (docs.mollie.com,
    "Chargebacks API").
    """
    try:
        dispute = Dispute.WON if row.get("reversedAt") else Dispute.LOST
        chargeback = Chargeback(row["id"], row["paymentId"], _parse_time(row["createdAt"]), dispute)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return chargeback if is_identifier(chargeback.id) else None


def _parse_key(metadata: object) -> str | None:
    key = metadata.get(KEY_FIELD) if isinstance(metadata, dict) else None
    return key if is_identifier(key) else None


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("The time has no time zone.")
    return time


def _parse_bank_reference(reference: Any) -> str | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the bank reference of a card refund. Source: docs.mollie.com, "Get payment refund", field externalReference."""
    is_acquirer_reference = type(reference) is dict and reference.get("type") == "acquirer-reference"
    return parse_bank_reference(reference.get("id")) if is_acquirer_reference else None
