"""A refund operation: one refund of one payment that a provider was asked for. Its idempotency key never changes."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.money import Money
from domain.providers import Declined, DeclineReason, Failed, Paid, Pending, RefundResult, Unknown


class OperationStatus(StrEnum):
    """What is known of a refund operation."""

    SENT = "sent"
    UNKNOWN = "unknown"
    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"
    FAILED = "failed"
    ABSENT = "absent"


OPEN_STATUSES = frozenset(
    {OperationStatus.SENT, OperationStatus.UNKNOWN, OperationStatus.PENDING, OperationStatus.PAID}
)
"""Money left, or may have left: another refund of this payment could be a second refund."""

CLOSED_STATUSES = frozenset(OperationStatus) - OPEN_STATUSES
"""No money left, or the money came back: the payment may be refunded with a new operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOperation:
    """One refund of one payment: its amount, and its idempotency key."""

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
    """The provider repeats a stored error under this key, and will never answer anything else."""
    empty_lookups: int = 0

    @property
    def is_open(self) -> bool:
        """Whether money left, or may have left."""
        return self.status in OPEN_STATUSES

    @property
    def payload_hash(self) -> bytes:
        """Identifies what is asked for: a repeat under this key must ask for the same."""
        return hashlib.sha256(f"{self.provider}\n{self.charge}\n{self.amount}".encode()).digest()


def key_of(case: UUID, attempt: int) -> str:
    """Returns the idempotency key of a case's operation: the same after a crash, and after a restored backup."""
    return f"mb_{case.hex}_{attempt}"


def status_of(answer: RefundResult) -> OperationStatus:
    """Returns the status of an operation that got this answer."""
    match answer:
        case Paid():
            return OperationStatus.PAID
        case Pending():
            return OperationStatus.PENDING
        case Failed():
            return OperationStatus.FAILED
        case Unknown() | Declined(DeclineReason.ALREADY_REFUNDED):  # a look-up must find out whose refund that is
            return OperationStatus.UNKNOWN
        case Declined():
            return OperationStatus.DECLINED
