"""Parses PayPal's captures, refunds and orders strictly, so that another refund is never mistaken for our refund."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.money import Money
from domain.providers import DeclineReason, Failed, Paid, Pending, RefundStatus
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.paypal.amounts import parse_amount
from worker.providers.paypal.codes import CAPTURED, FAILURES, REFUND_STATUSES

ID = re.compile(r"[A-Z0-9]{1,20}")  # the format of the ids in the object related_ids of PayPal's Payments API

_CAPTURE_LINK = re.compile(rf".*/captures/({ID.pattern})")
PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
_REFUNDED = frozenset({"REFUNDED", PARTIALLY_REFUNDED})
METADATA = ("custom_id", "invoice_id")
"""The fields of a capture in which the seller's system stores texts of its own."""


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of a capture."""

    id: str
    charge: str
    amount: Money
    status: str
    reason: str
    keys: frozenset[object]
    """The custom id and the invoice id: both are our idempotency key if Moneyback made the refund."""
    created: datetime | None = None
    bank_reference: str | None = None

    @property
    def refund_status(self) -> RefundStatus:
        """The status, mapped to Moneyback's RefundStatus."""
        return REFUND_STATUSES[self.status]

    def result(self) -> Paid | Pending | Failed:
        """Return the refund as the result of a call to PayPal."""
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount)
            case RefundStatus.FAILED:
                code = self.reason if self.reason and self.status == "FAILED" else self.status
                return Failed(self.id, code, FAILURES.get(code, DeclineReason.PERMANENT))


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture: a payment that can be refunded."""

    id: str
    amount: Money
    status: str
    reason: str
    order: str | None
    """The id of the order in which PayPal lists the capture's refunds. A capture of a subscription has no order."""
    created: datetime
    updated: datetime
    metadata: Mapping[str, str]

    @property
    def captured(self) -> Money | None:
        """The amount that the customer paid, or None if the payment failed."""
        return self.amount if CAPTURED[self.status] else None

    @property
    def is_paid(self) -> bool:
        """True if the seller has received the payment."""
        return CAPTURED[self.status] and self.status != "PENDING"

    @property
    def is_unrefunded(self) -> bool:
        """True if PayPal reports that no part of the capture was refunded."""
        return self.status not in _REFUNDED and self.reason != "REFUNDED"


def is_live(refund: Refund) -> bool:
    """Return whether the refund has not failed."""
    return refund.refund_status is not RefundStatus.FAILED


def parse_refund(row: Any) -> Refund | None:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the refund, or None if a field is missing or wrong."""
    try:
        refund = Refund(
            id=row["id"],
            charge=parse_capture_link(row),
            amount=parse_amount(row["amount"]),
            status=row["status"],
            reason=_parse_reason(row),
            keys=frozenset({row.get("custom_id"), row.get("invoice_id")} - {None}),
            bank_reference=parse_bank_reference(row.get("acquirer_reference_number")),
        )
        is_valid = refund.status in REFUND_STATUSES and refund.amount.minor > 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if is_valid and is_identifier(refund.id) and refund.charge else None


def parse_capture(row: Any) -> Capture | None:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the capture, or None if a field is missing or wrong."""
    try:
        order = ((row.get("supplementary_data") or {}).get("related_ids") or {}).get("order_id")
        capture = Capture(
            id=row["id"],
            amount=parse_amount(row["amount"]),
            status=row["status"],
            reason=_parse_reason(row),
            order=order,
            created=parse_time(row["create_time"]),
            updated=parse_time(row["update_time"]),
            metadata=read_texts(row, METADATA),
        )
        is_valid = capture.status in CAPTURED and (order is None or ID.fullmatch(order))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return capture if is_valid else None


def parse_order_refunds(order: Mapping[str, Any], capture: str) -> list[Refund] | None:
    """Return the refunds of this capture. Return None if any refund cannot be read, because that refund may be ours."""
    try:
        payments = [unit.get("payments") or {} for unit in order["purchase_units"]]
        captures = [row["id"] for group in payments for row in group.get("captures") or []]
        rows = [row for group in payments for row in group.get("refunds") or []]
    except (KeyError, TypeError, AttributeError):
        return None
    refunds = [refund for row in rows if (refund := parse_refund(row))]
    if len(refunds) != len(rows) or capture not in captures:
        return None
    return [refund for refund in refunds if refund.charge == capture]


def parse_total_refunded(refund: Mapping[str, Any]) -> Money | None:
    """Return the sum of all refunds of the capture up to this refund, or None if PayPal does not show the sum."""
    try:
        return parse_amount(refund["seller_payable_breakdown"]["total_refunded_amount"])
    except (KeyError, TypeError, ValueError):
        return None


def parse_capture_link(refund: Mapping[str, Any]) -> str:
    """Return the id of the capture that a refund links to. Return "" if it links to no capture or to several."""
    links = [link["href"] for link in refund["links"] if link["rel"] == "up"]
    captures = {match[1] for link in links if (match := _CAPTURE_LINK.fullmatch(link))}
    return captures.pop() if len(captures) == 1 else ""


def parse_time(text: str) -> datetime:
    """Return the time. Raise ValueError if it has no time zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("The time has no time zone.")
    return time


def format_time(at: datetime) -> str:
    """Return the time as PayPal's API expects it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_texts(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return the fields with these names that contain a text that may be an identifier."""
    texts = {name: row.get(name) for name in names}
    return {name: text.strip() for name, text in texts.items() if is_identifier(text) and text.strip()}


def _parse_reason(row: Mapping[str, Any]) -> str:
    reason = (row.get("status_details") or {}).get("reason")
    return reason if is_identifier(reason) else ""
