"""Parses Stripe's refunds and disputes strictly, so that another refund is never mistaken for our refund."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from domain.money import Money, UnknownMoneyError
from domain.providers import (
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    Paid,
    Pending,
    RefundStatus,
)
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.stripe.amounts import parse_amount
from worker.providers.stripe.codes import CODES, DISPUTES, REFUND_STATUSES

KEY_FIELD = "moneyback_key"
"""The field of a refund's metadata that contains our idempotency key.

A lookup finds our refund by this field, because Stripe itself deletes an idempotency key after a day.
"""
CHARGE_FIELD = "moneyback_charge"
"""The field of a refund's metadata that contains the id in our request: the id of a charge or of a payment intent."""


class Refund(NamedTuple):
    """One refund. Its payment has the id of a charge and the id of a payment intent. A purchase stores one of the two ids."""

    id: str
    charge: str | None
    payment_intent: str | None
    amount: Money
    refund_status: RefundStatus
    code: str
    """The reason if the refund failed, otherwise the status."""
    key: str | None
    requested_charge: str | None
    created: datetime
    insufficient_balance: bool
    bank_reference: str | None

    @property
    def payment_ids(self) -> list[str]:
        """The ids of the payment."""
        return [payment_id for payment_id in (self.charge, self.payment_intent) if payment_id is not None]

    def result(self) -> Paid | Pending | Failed:
        """Return the refund as the result of a call."""
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount, self.insufficient_balance)
            case RefundStatus.FAILED:
                return Failed(self.id, self.code, CODES.get(self.code, DeclineReason.PERMANENT))

    def to_external_refund(self) -> ExternalRefund:
        """Return the refund as a refund that was made outside Moneyback."""
        return ExternalRefund(self.id, self.amount)

    def list_entries(self) -> list[ListedRefund]:
        """Return the entries of this refund for reconciliation. An external refund has one entry for each payment id."""
        was_requested_by_us = self.requested_charge in self.payment_ids
        payment_ids = [str(self.requested_charge)] if was_requested_by_us else self.payment_ids
        return [
            ListedRefund(self.id, payment_id, self.amount, self.refund_status, self.created, self.key)
            for payment_id in payment_ids
        ]


def parse_refund(row: dict[str, Any]) -> Refund | None:
    """Return the refund, or None if a field is missing or wrong."""
    metadata = row.get("metadata") or {}
    try:
        refund = Refund(
            id=row["id"],
            charge=row.get("charge"),
            payment_intent=row.get("payment_intent"),
            amount=parse_amount(row["amount"], row["currency"]),
            refund_status=REFUND_STATUSES[row["status"]],
            code=row.get("failure_reason") or row["status"],
            key=metadata.get(KEY_FIELD),
            requested_charge=metadata.get(CHARGE_FIELD),
            created=_parse_time(row["created"]),
            insufficient_balance=row.get("pending_reason") == "insufficient_funds",
            bank_reference=_parse_bank_reference(row.get("destination_details")),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError, UnknownMoneyError):
        return None
    is_valid = (
        row.get("object") == "refund"
        and refund.payment_ids
        and all(map(is_identifier, (refund.id, refund.code, *refund.payment_ids)))
        and type(refund.key) in {str, type(None)}
    )
    return refund if is_valid else None


def parse_dispute(row: dict[str, Any]) -> DisputeStatus | None:
    """Return the dispute, or None if its id is not valid or its status is unknown."""
    status, dispute_id = row.get("status"), row.get("id")
    is_valid = type(status) is str and status in DISPUTES and is_identifier(dispute_id)
    return DisputeStatus(DISPUTES[str(status)], str(dispute_id)) if is_valid else None


def is_about(row: dict[str, Any], charge: str) -> bool:
    """Return whether the refund or dispute ``row`` is about the payment with the id ``charge``."""
    return charge in (row.get("charge"), row.get("payment_intent"))


def _parse_bank_reference(details: Any) -> str | None:  # noqa: ANN401 - Stripe's JSON may be anything
    """Return the bank reference, or None while Stripe does not have it. Stripe needs up to seven days.

    Source: Stripe's page "Refunds", destination_details.
    """
    kind = details.get("type") if type(details) is dict else None
    destination = details.get(kind) if type(details) is dict and type(kind) is str else None
    if type(destination) is not dict or destination.get("reference_status") != "available":
        return None
    return parse_bank_reference(destination.get("reference"))


def _parse_time(seconds: object) -> datetime:
    if type(seconds) is not int:
        raise TypeError
    return datetime.fromtimestamp(seconds, UTC)
