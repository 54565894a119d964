"""Parses Stripe's refunds and disputes strictly, so that another refund is never mistaken for our refund."""

from datetime import datetime
from typing import NamedTuple

from domain.money import Money, UnknownMoneyError
from domain.providers import (
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedRefund,
    Paid,
    Pending,
    RefundStatus,
    failure_of,
)
from domain.purchases import Dispute
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.stripe.amounts import parse_amount
from worker.providers.stripe.codes import CODES, DISPUTES, REFUND_STATUSES
from worker.providers.stripe.rows import Row, as_row, parse_time, read_text

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
    stripe_status: str
    failure_reason: str | None
    key: str | None
    requested_charge: str | None
    created: datetime
    insufficient_balance: bool
    bank_reference: str | None

    @property
    def refund_status(self) -> RefundStatus:
        """The status in the words of Moneyback."""
        return REFUND_STATUSES[self.stripe_status]

    @property
    def code(self) -> str:
        """The reason if the refund failed, otherwise Stripe's status."""
        return self.failure_reason or self.stripe_status

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
                must_act = self.stripe_status == "requires_action"
                return Pending(self.id, self.amount, self.insufficient_balance, customer_must_act=must_act)
            case RefundStatus.FAILED:
                return self._failure()

    def to_external_refund(self) -> ExternalRefund:
        """Return the refund as a refund that was made outside Moneyback."""
        return ExternalRefund(self.id, self.amount)

    def list_entries(self) -> list[ListedRefund]:
        """Return the entries of this refund for reconciliation. An external refund has one entry for each payment id."""
        was_requested_by_us = self.requested_charge in self.payment_ids
        payment_ids = [str(self.requested_charge)] if was_requested_by_us else self.payment_ids
        failure = failure_of(self.result())
        return [
            ListedRefund(self.id, payment_id, self.amount, self.refund_status, self.created, self.key, failure)
            for payment_id in payment_ids
        ]

    def _failure(self) -> Failed:
        """Return the failure with Stripe's reason. A cancelled refund without a known reason was cancelled by the seller."""
        without_reason = CODES.get(self.stripe_status, DeclineReason.PERMANENT)
        return Failed(self.id, self.code, CODES.get(self.code, without_reason))


def parse_refund(row: object) -> Refund | None:
    """Return the refund, or None if a field is missing or wrong."""
    fields = as_row(row)
    try:
        metadata = fields.get("metadata") or {}
        refund = Refund(
            id=fields["id"],
            charge=fields.get("charge"),
            payment_intent=fields.get("payment_intent"),
            amount=parse_amount(fields["amount"], fields["currency"]),
            stripe_status=fields["status"],
            failure_reason=fields.get("failure_reason"),
            key=metadata.get(KEY_FIELD),
            requested_charge=metadata.get(CHARGE_FIELD),
            created=parse_time(fields["created"]),
            insufficient_balance=fields.get("pending_reason") == "insufficient_funds",
            bank_reference=_parse_bank_reference(fields.get("destination_details")),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError, UnknownMoneyError):
        return None
    is_valid = (
        fields.get("object") == "refund"
        and refund.payment_ids
        and all(map(is_identifier, (refund.id, refund.stripe_status, refund.code, *refund.payment_ids)))
        and refund.stripe_status in REFUND_STATUSES
        and type(refund.key) in {str, type(None)}
    )
    return refund if is_valid else None


def has_our_key(row: object) -> bool:
    """Return whether the refund ``row`` has an idempotency key of Moneyback in its metadata."""
    return KEY_FIELD in as_row(as_row(row).get("metadata"))


def parse_dispute(row: object) -> DisputeStatus | None:
    """Return the dispute, or None if its id or its status is not valid."""
    fields = as_row(row)
    status, dispute_id = fields.get("status"), fields.get("id")
    if fields.get("object") != "dispute" or not is_identifier(status) or not is_identifier(dispute_id):
        return None
    return DisputeStatus(DISPUTES.get(status, Dispute.OPEN), dispute_id, respond_by=_parse_respond_by(fields))


def parse_listed_dispute(row: object) -> list[ListedDispute] | None:
    """Return an entry for each id of the payment, because a purchase is stored with only one of the ids.

    Return None if the dispute or an id cannot be read.
    """
    status, fields = parse_dispute(row), as_row(row)
    ids = [payment_id for name in ("charge", "payment_intent") if (payment_id := fields.get(name)) is not None]
    if status is None or not ids or not all(map(is_identifier, ids)):
        return None
    return [ListedDispute(payment_id, status) for payment_id in ids]


def is_about(row: object, charge: str) -> bool:
    """Return whether the refund or dispute ``row`` is about the payment with the id ``charge``."""
    return charge in (as_row(row).get("charge"), as_row(row).get("payment_intent"))


def _parse_respond_by(row: Row) -> datetime | None:
    """Return the instant until which the seller may respond, if Stripe waits for a response.

    The instant is 0 if the bank accepts no response (Stripe's page "The Dispute object", evidence_details.due_by).
    """
    due_by = as_row(row.get("evidence_details")).get("due_by")
    try:
        return parse_time(due_by) if due_by and row["status"].endswith("needs_response") else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _parse_bank_reference(details: object) -> str | None:
    """Return the bank reference, or None while Stripe does not have it. Stripe needs up to seven days.

    Source: Stripe's page "Refunds", destination_details.
    """
    kind = read_text(as_row(details), "type") or ""
    destination = as_row(as_row(details).get(kind))
    is_available = destination.get("reference_status") == "available"
    return parse_bank_reference(destination.get("reference")) if is_available else None
