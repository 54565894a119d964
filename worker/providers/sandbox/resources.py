"""Parses the sandbox's refunds and disputes strictly, so that another refund is never mistaken for our refund."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from domain.money import Money, UnknownMoneyError
from domain.providers import DisputeStatus, ExternalRefund, Failed, ListedRefund, Paid, Pending, RefundStatus
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.sandbox.codes import DISPUTES, REFUND_STATUSES

Resource = TypeVar("Resource")


class Refund(NamedTuple):
    """One refund of a charge."""

    id: str
    charge: str
    amount: Money
    refund_status: RefundStatus
    key: str
    created: datetime | None
    """The time at which the refund was made. None if the sandbox's reply does not contain this time."""
    bank_reference: str | None = None

    def result(self) -> Paid | Pending | Failed:
        """Return the refund as the result of a call to the sandbox."""
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount)
            case RefundStatus.FAILED:
                return Failed(self.id, "failed")

    def to_external_refund(self) -> ExternalRefund:
        """Return the refund as a refund that was made outside Moneyback."""
        return ExternalRefund(self.id, self.amount)

    def list_entry(self) -> ListedRefund | None:
        """Return the refund as reconciliation reads it, or None if it has no time."""
        if self.created is None:
            return None
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key)


def parse_refund(row: Mapping[str, Any]) -> Refund | None:
    """Return the refund, or None if a field is missing or wrong."""
    try:
        refund = Refund(
            row["id"],
            row["charge"],
            Money(row["amount"], row["currency"]),
            REFUND_STATUSES[row["status"]],
            row["key"],
            _parse_time(row.get("created")),
            parse_bank_reference(row.get("bank_reference")),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError, UnknownMoneyError):
        return None
    is_valid = is_identifier(refund.id) and type(refund.charge) is type(refund.key) is str and refund.amount.minor > 0
    return refund if is_valid else None


def parse_list_entry(row: Mapping[str, Any]) -> ListedRefund | None:
    """Return the refund as reconciliation reads it, or None if it cannot be read or has no time."""
    refund = parse_refund(row)
    return refund and refund.list_entry()


def parse_dispute(row: Mapping[str, Any]) -> DisputeStatus | None:
    """Return the dispute, or None if its id is not valid or its status is unknown."""
    status, dispute_id = row.get("status"), row.get("id")
    if not is_identifier(dispute_id) or type(status) is not str or status not in DISPUTES:
        return None
    return DisputeStatus(DISPUTES[status], dispute_id)


def parse_all(rows: object, parse: Callable[[dict[str, Any]], Resource | None]) -> list[Resource] | None:
    """Return all rows of a list. Return None if any row cannot be read, because that row may be about our refund."""
    if type(rows) is not list:
        return None
    resources = [parse(row) if type(row) is dict else None for row in rows]
    parsed = [resource for resource in resources if resource is not None]
    return parsed if len(parsed) == len(rows) else None


def _parse_time(seconds: object) -> datetime | None:
    if seconds is None:
        return None
    if type(seconds) not in {int, float}:
        raise TypeError
    return datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]
