"""Parses the sandbox's refunds, disputes and payments strictly, so that another refund is never mistaken for our refund."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from domain.money import Money, UnknownMoneyError
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedPurchase,
    ListedRefund,
    Paid,
    PaymentStatus,
    Pending,
    RefundStatus,
    WaitingForApproval,
    failure_of,
)
from worker.providers.disputes import select_deciding_dispute
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.sandbox.codes import (
    APPROVAL_REQUIRED,
    CANCELED,
    CAPTURED,
    CUSTOMER_MUST_ACT,
    DISPUTES,
    PAYMENT_STATUSES,
    REFUND_STATUSES,
    WAITS_FOR_APPROVAL,
)

TEXTS = ("method", "email", "reference", "product")
"""The fields that are a text, or None if the sandbox does not know the value."""
UNKNOWN_PURCHASE = "not_registered"
"""The code of a payment whose amount the sandbox does not know, because nothing registered the payment."""
_UNREADABLE = (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError, UnknownMoneyError)
"""The errors of a field that is missing or wrong."""

Resource = TypeVar("Resource")


class Refund(NamedTuple):
    """One refund of a charge."""

    id: str
    charge: str
    amount: Money
    status: str
    key: str | None
    """The idempotency key of the call. None if a person made the refund by hand."""
    created: datetime | None
    """The time at which the refund was made. None if the sandbox's reply does not contain this time."""
    bank_reference: str | None = None

    @property
    def refund_status(self) -> RefundStatus:
        return REFUND_STATUSES[self.status]

    def result(self) -> Paid | Pending | WaitingForApproval | Failed:
        """Return the refund as the result of a call to the sandbox."""
        if self.status == WAITS_FOR_APPROVAL:
            return WaitingForApproval(APPROVAL_REQUIRED)
        match self.refund_status:
            case RefundStatus.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case RefundStatus.PENDING:
                return Pending(self.id, self.amount, customer_must_act=self.status == CUSTOMER_MUST_ACT)
            case RefundStatus.FAILED:
                is_canceled = self.status == CANCELED
                reason = DeclineReason.CANCELLED if is_canceled else DeclineReason.PERMANENT
                return Failed(self.id, self.status, reason)

    def to_external_refund(self) -> ExternalRefund:
        """Return the refund as a refund that was made outside Moneyback."""
        return ExternalRefund(self.id, self.amount)

    def list_entry(self) -> ListedRefund | None:
        """Return the refund as reconciliation reads it, or None if it has no time."""
        if self.created is None:
            return None
        failure = failure_of(self.result())
        return ListedRefund(self.id, self.charge, self.amount, self.refund_status, self.created, self.key, failure)


class Payment(NamedTuple):
    """One payment. ``amount`` is None if the payment is not registered."""

    charge: str
    status: str
    amount: Money | None
    refunded: int
    dispute: DisputeStatus
    texts: Mapping[str, str | None]
    metadata: Mapping[str, str]
    tax: int | None
    created: datetime | None

    def to_status(self, seller_field: str | None) -> PaymentStatus:
        """Return the payment as a worker compares it with the purchase."""
        is_captured = self.status == CAPTURED
        return PaymentStatus(
            captured=self.amount if is_captured else None,
            shows_amount=self.amount is not None or not is_captured,
            refunded=self.refunded,
            dispute=self.dispute,
            method=self.texts["method"],
            seller=self.metadata.get(seller_field or ""),
            code=self.status,
        )

    def to_purchase(self, seller_field: str | None) -> ListedPurchase | Declined:
        """Return the payment as a purchase. Declined means that the payment was not captured, or is not registered."""
        if self.status != CAPTURED:
            return Declined(DeclineReason.NOT_CAPTURED, self.status)
        if self.amount is None or self.created is None:
            return Declined(DeclineReason.PERMANENT, UNKNOWN_PURCHASE)
        reference = self.texts["reference"]
        return ListedPurchase(
            charge=self.charge,
            amount=self.amount,
            email=self.texts["email"],
            references=({"invoice_number": reference} if reference else {})
            | {f"metadata.{name}": value for name, value in self.metadata.items()},
            product=self.texts["product"] or "",
            method=self.texts["method"] or "",
            purchased_at=self.created,
            tax=self.tax,
            refunded=self.refunded,
            dispute=self.dispute.dispute,
            seller=self.metadata.get(seller_field or ""),
        )


def parse_refund(row: Mapping[str, Any]) -> Refund | None:
    """Return the refund, or None if a field is missing or wrong."""
    try:
        refund = Refund(
            row["id"],
            row["charge"],
            Money(row["amount"], row["currency"]),
            row["status"],
            row["key"],
            _parse_time(row.get("created")),
            parse_bank_reference(row.get("bank_reference")),
        )
    except _UNREADABLE:
        return None
    is_valid = (
        is_identifier(refund.id)
        and type(refund.charge) is str
        and (refund.key is None or type(refund.key) is str)
        and type(refund.status) is str
        and refund.status in REFUND_STATUSES
        and refund.amount.minor > 0
    )
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
    try:
        return DisputeStatus(DISPUTES[status], dispute_id, respond_by=_parse_time(row.get("respond_by")))
    except _UNREADABLE:
        return None


def parse_listed_dispute(row: Mapping[str, Any]) -> ListedDispute | None:
    """Return the dispute as reconciliation reads it, or None if it cannot be read."""
    charge, status = row.get("charge"), parse_dispute(row)
    return ListedDispute(charge, status) if status and type(charge) is str else None


def parse_payment(row: Mapping[str, Any]) -> Payment | None:
    """Return the payment, or None if a field is missing or wrong."""
    disputes = parse_all(row.get("disputes"), parse_dispute)
    try:
        payment = Payment(
            charge=row["charge"],
            status=row["status"],
            amount=None if row["amount"] is None else Money(row["amount"], row["currency"]),
            refunded=row["refunded"],
            dispute=select_deciding_dispute((disputes or [])[::-1]),
            texts={name: row[name] for name in TEXTS},
            metadata=row["metadata"],
            tax=row["tax"],
            created=_parse_time(row["created"]),
        )
    except _UNREADABLE:
        return None
    return payment if disputes is not None and _is_valid_payment(payment) else None


def carries_key(row: object) -> bool:
    """Return whether the row has an idempotency key, which may be ours. A refund that was made by hand has no key."""
    return type(row) is dict and row.get("key") is not None


def parse_all(rows: object, parse: Callable[[dict[str, Any]], Resource | None]) -> list[Resource] | None:
    """Return all rows of a list. Return None if any row cannot be read, because that row may be about our refund."""
    if type(rows) is not list:
        return None
    parsed = parse_readable(rows, parse)
    return parsed if len(parsed) == len(rows) else None


def parse_readable(rows: list[object], parse: Callable[[dict[str, Any]], Resource | None]) -> list[Resource]:
    """Return the rows of a list that can be read."""
    resources = [parse(row) if type(row) is dict else None for row in rows]
    return [resource for resource in resources if resource is not None]


def _parse_time(seconds: object) -> datetime | None:
    """Return the time of these epoch seconds, or None if there is no time. Raise TypeError or ValueError for another value."""
    if seconds is None:
        return None
    if type(seconds) not in {int, float}:
        raise TypeError
    return datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]


def _is_valid_payment(payment: Payment) -> bool:
    return (
        type(payment.charge) is type(payment.status) is str
        and payment.status in PAYMENT_STATUSES
        and (payment.amount is None or payment.amount.minor > 0)
        and type(payment.refunded) is int
        and payment.refunded >= 0
        and all(text is None or type(text) is str for text in payment.texts.values())
        and type(payment.metadata) is dict
        and all(type(value) is str for value in payment.metadata.values())
        and (payment.tax is None or type(payment.tax) is int)
    )
