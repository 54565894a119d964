"""Parses PayPal's captures, refunds, orders and disputes strictly, so that another refund is never mistaken for our refund."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.money import Money
from domain.providers import DeclineReason, Failed, Paid, Pending, RefundStatus
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.paypal.amounts import parse_amount
from worker.providers.paypal.codes import FAILURE_REASONS, REFUND_STATUSES

ID = re.compile(r"[A-Z0-9]{1,20}")  # the format of the ids in the object related_ids of PayPal's Payments API

_CAPTURE_LINK = re.compile(rf".*/captures/({ID.pattern})")
_DISPUTE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")  # the format in the object dispute_info of PayPal's Disputes API
_NOT_REFUNDED = frozenset({"COMPLETED", "DECLINED", "FAILED", "PENDING"})
_CAPTURE_STATUSES = _NOT_REFUNDED | {"REFUNDED", "PARTIALLY_REFUNDED"}


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
                return Failed(
                    self.id, self.reason or self.status, FAILURE_REASONS.get(self.reason, DeclineReason.PERMANENT)
                )


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture: a payment that can be refunded."""

    id: str
    status: str
    reason: str
    order: str | None
    """The id of the order in which PayPal lists the capture's refunds. A capture of a subscription has no order."""
    updated: datetime

    @property
    def is_unrefunded(self) -> bool:
        """True if PayPal reports that no part of the capture was refunded."""
        return self.status in _NOT_REFUNDED and self.reason != "REFUNDED"


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
        capture = Capture(row["id"], row["status"], _parse_reason(row), order, parse_time(row["update_time"]))
        is_valid = capture.status in _CAPTURE_STATUSES and (order is None or ID.fullmatch(order))
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


def parse_disputes(body: Mapping[str, Any]) -> list[tuple[str, bool]] | None:
    """Return the id of each dispute, with True if the dispute is resolved.

    Return None if the list cannot be read, or if another page follows.
    """
    rows, links = body.get("items", []), body.get("links")
    try:
        disputes = [(row["dispute_id"], row["status"] == "RESOLVED") for row in rows]
        are_ids = all(_DISPUTE_ID.fullmatch(dispute_id) for dispute_id, _ in disputes)
        is_last_page = not any(link["rel"] == "next" for link in links or [])
    except (KeyError, TypeError, AttributeError):
        return None
    is_list = links is not None or "items" in body
    return disputes if are_ids and is_last_page and is_list else None


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


def _parse_reason(row: Mapping[str, Any]) -> str:
    reason = (row.get("status_details") or {}).get("reason")
    return reason if is_identifier(reason) else ""
