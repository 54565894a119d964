"""Refund operations. An operation is one refund of one payment at a provider, with one idempotency key."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    Failed,
    Mismatched,
    Paid,
    Pending,
    RefundResult,
    Unknown,
    WaitingForApproval,
)

_Result = TypeVar("_Result")

IN_FLIGHT_FOR = timedelta(hours=6)
"""A provider carries out a refund at most this long after Moneyback last sent the refund."""


class OperationStatus(StrEnum):
    """The result of a refund operation, as far as it is known."""

    SENT = "sent"
    UNKNOWN = "unknown"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"
    FAILED = "failed"
    ABSENT = "absent"


OPEN_STATUSES = frozenset(
    {
        OperationStatus.SENT,
        OperationStatus.UNKNOWN,
        OperationStatus.WAITING_FOR_APPROVAL,
        OperationStatus.PENDING,
        OperationStatus.PAID,
    }
)
"""The statuses of an operation that sent the money or may have sent it. Its amount stays reserved."""

UNRESOLVED_STATUSES = OPEN_STATUSES - {OperationStatus.PAID}
"""The statuses of an operation whose outcome is open. Until then, no other operation of the payment is created."""

CLOSED_STATUSES = frozenset(OperationStatus) - OPEN_STATUSES
"""The statuses of an operation that sent no money, or whose money came back. A new operation may refund the payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOperation:
    """A refund of a payment at a provider, with its amount and its idempotency key."""

    case_id: UUID
    attempt: int = 1
    provider: str
    charge: str
    amount: Money
    key: str
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    sends: int = 1
    polls: int = 0
    status: OperationStatus = OperationStatus.SENT
    refund_id: str | None = None
    code: str | None = None
    replayed: bool = False
    """True if the provider has stored an error for this key, so that each repeated call with the key returns the error."""
    empty_lookups: int = 0
    is_last: bool = True
    """False if the case has further payments to refund after this refund."""
    customer_must_act: bool = False
    """True if the refund is pending, and the provider waits until the customer says where to send the money."""
    decision_id: UUID | None = None
    """The decision of support that approved the refund; None if the rules approved it."""
    refunds_inquiry: bool = False
    """True if the policy refunds the payment although the customer's bank asks about it."""

    @property
    def payment(self) -> tuple[str, str]:
        """The provider and the charge."""
        return self.provider, self.charge

    @property
    def is_open(self) -> bool:
        """True if the money was sent, or may have been sent."""
        return self.status in OPEN_STATUSES

    @property
    def is_unresolved(self) -> bool:
        """True if the outcome of the operation is open."""
        return self.status in UNRESOLVED_STATUSES

    @property
    def payload_hash(self) -> bytes:
        """A hash of the provider, the charge and the amount. A repeated call with the same key must have the same hash."""
        return hashlib.sha256(f"{self.provider}\n{self.charge}\n{self.amount}".encode()).digest()


def last_of_case(
    operation: RefundOperation, operations: Sequence[RefundOperation], decision: UUID | None
) -> RefundOperation:
    """Return the operation. It is not the last operation of its case any more if the refund of another payment failed.

    An operation of an earlier decision is not the last operation either, because only the newest ``decision`` counts; None means
    an evaluation by the rules. ``operations`` are those of the case, the newest operation last.
    """
    of_decision = [other for other in operations if other.decision_id == operation.decision_id]
    others = {other.payment: other for other in of_decision}
    others.pop(operation.payment, None)
    others_paid = all(other.status is OperationStatus.PAID for other in others.values())
    return operation if others_paid and operation.decision_id == decision else replace(operation, is_last=False)


def key_of(case: UUID, attempt: int) -> str:
    """Return the idempotency key of an operation. The key is the same after a crash, and after a backup is restored."""
    return f"mb_{case.hex}_{attempt}"


def check_amount(result: _Result, operation: RefundOperation) -> _Result | Mismatched:
    """Return the result, or ``Mismatched`` if the provider made the refund with another amount than the requested amount."""
    if isinstance(result, Paid | Pending) and result.amount != operation.amount:
        return Mismatched(result.refund_id, result.amount, is_paid=isinstance(result, Paid))
    return result


def status_of(result: RefundResult) -> OperationStatus:
    """Return the status of an operation for which the provider returned this result."""
    match result:
        case Paid() | Mismatched(is_paid=True):
            return OperationStatus.PAID
        case Pending() | Mismatched():
            return OperationStatus.PENDING
        case WaitingForApproval():
            return OperationStatus.WAITING_FOR_APPROVAL
        case Failed():
            return OperationStatus.FAILED
        case Unknown() | Declined(DeclineReason.ALREADY_REFUNDED):  # only a lookup shows whether our refund was made
            return OperationStatus.UNKNOWN
        case Declined():
            return OperationStatus.DECLINED


def paid_amount_of(result: RefundResult, operation: RefundOperation) -> int:
    """Return what the provider paid, in minor units of the operation's currency. Another currency counts as nothing."""
    match result:
        case Paid(_, amount) | Mismatched(_, amount, is_paid=True) if amount.currency == operation.amount.currency:
            return amount.minor
    return 0
