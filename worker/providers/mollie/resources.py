"""Parses Mollie's refunds and chargebacks. A refund or chargeback with a missing or wrong field is rejected."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.money import Money
from domain.providers import (
    DisputeStatus,
    Failed,
    ListedDispute,
    ListedRefund,
    Paid,
    Pending,
    RefundStatus,
    Unknown,
    failure_of,
)
from domain.purchases import Dispute
from worker.providers.disputes import select_deciding_dispute
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.mollie.amounts import parse_amount
from worker.providers.mollie.codes import FAILURE_REASONS, INSUFFICIENT_BALANCE, REFUND_STATUSES

PARSE_ERRORS = (KeyError, TypeError, ValueError, AttributeError)
"""The errors that unexpected JSON causes."""

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
                return Failed(self.id, self.status, FAILURE_REASONS[self.status])

    def list_entry(self) -> ListedRefund:
        """Return the refund as an entry of the list that the reconciliation reads."""
        failure = failure_of(self.result())
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key, failure)


@dataclass(frozen=True, slots=True)
class Chargeback:
    """One chargeback of a payment."""

    id: str
    charge: str
    created: datetime
    dispute: Dispute

    def status(self) -> DisputeStatus:
        """Return the chargeback as a dispute. Mollie names no date until which the seller may respond."""
        return DisputeStatus(self.dispute, self.id)

    def list_entry(self) -> ListedDispute:
        """Return the chargeback as an entry of the list of disputes."""
        return ListedDispute(self.charge, self.status())


def parse_refund(row: Any) -> Refund | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the refund, or None if a field is missing or wrong."""
    try:
        refund = Refund(
            id=row["id"],
            charge=row["paymentId"],
            amount=parse_amount(row["amount"]),
            status=row["status"],
            created=parse_time(row["createdAt"]),
            key=_parse_key(row.get("metadata")),
            bank_reference=_parse_bank_reference(row.get("externalReference")),
        )
        is_valid = refund.status in REFUND_STATUSES and refund.amount.minor > 0
    except PARSE_ERRORS:
        return None
    return refund if is_valid and is_identifier(refund.id) and is_identifier(refund.charge) else None


def parse_refunds(rows: Sequence[Any]) -> list[Refund] | Unknown:
    """Return the refunds of a list. Leave out the refunds of other systems that cannot be read.

    If a refund with our key cannot be read, the list is Unknown.
    """
    parsed = [(row, parse_refund(row)) for row in rows]
    if any(refund is None and _carries_key(row) for row, refund in parsed):
        return Unknown("A refund with our key in Mollie's list cannot be read.")
    return [refund for _, refund in parsed if refund]


def parse_chargeback(row: Any) -> Chargeback | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the chargeback, or None if a field is missing or wrong.

    Until a chargeback is reversed, its dispute counts as lost, because Mollie takes the money immediately (docs.mollie.com,
    "Chargebacks API").
    """
    try:
        dispute = Dispute.WON if row.get("reversedAt") else Dispute.LOST
        chargeback = Chargeback(row["id"], row["paymentId"], parse_time(row["createdAt"]), dispute)
    except PARSE_ERRORS:
        return None
    return chargeback if is_identifier(chargeback.id) and is_identifier(chargeback.charge) else None


def decide_dispute(chargebacks: Sequence[Chargeback]) -> DisputeStatus:
    """Return the status of the chargeback that decides, in any order of ``chargebacks``."""
    newest_first = sorted(chargebacks, key=lambda chargeback: chargeback.created, reverse=True)
    return select_deciding_dispute([chargeback.status() for chargeback in newest_first])


def parse_time(text: str) -> datetime:
    """Return the time. Raise TypeError or ValueError if ``text`` is not a time with a time zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("The time has no time zone.")
    return time


def _carries_key(row: Any) -> bool:  # noqa: ANN401 - Mollie's JSON may be anything
    metadata = row.get("metadata") if isinstance(row, dict) else None
    return isinstance(metadata, dict) and KEY_FIELD in metadata


def _parse_key(metadata: object) -> str | None:
    key = metadata.get(KEY_FIELD) if isinstance(metadata, dict) else None
    return key if is_identifier(key) else None


def _parse_bank_reference(reference: Any) -> str | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the bank reference of a card refund. Source: docs.mollie.com, "Get payment refund", field externalReference."""
    is_acquirer_reference = type(reference) is dict and reference.get("type") == "acquirer-reference"
    return parse_bank_reference(reference.get("id")) if is_acquirer_reference else None
