"""An operation: one refund of one payment that a provider was asked for. One operation, one key, for ever."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.money import Money

OPERATION_COLUMNS = """
case_id, attempt, provider, charge, amount, currency, key, first_sent_at, last_sent_at, sends, asks, status, refund_id, code,
replayed, empty_look_ups
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One refund of one payment: its amount, and its key for ever."""

    case: UUID
    attempt: int = 1
    provider: str
    charge: str
    amount: Money
    key: str
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    sends: int = 1
    asks: int = 0
    status: str = "sent"
    refund_id: str | None = None
    code: str | None = None
    replayed: bool = False
    """The provider repeats a stored error under this key: it will never say more."""
    empty_look_ups: int = 0

    @property
    def is_open(self) -> bool:
        """Money left, or may have left: another refund of this payment could be a second one."""
        return self.status in {"sent", "unknown", "pending", "paid"}

    @property
    def payload_hash(self) -> bytes:
        """What tells whether a repeat under this key asks for the very same."""
        return hashlib.sha256(f"{self.provider}\n{self.charge}\n{self.amount}".encode()).digest()


def key_of(case: UUID, attempt: int) -> str:
    """The idempotency key of a case's operation: the same after a crash, and after a restored backup."""
    return f"mb_{case.hex}_{attempt}"


_AS_THEY_ARE = (
    "attempt provider charge key first_sent_at last_sent_at sends asks status refund_id code replayed empty_look_ups"
).split()


def operation_of(row: Any) -> Operation:  # noqa: ANN401  # a row of OPERATION_COLUMNS
    amount = Money(row.amount, row.currency)
    return Operation(case=row.case_id, amount=amount, **{name: getattr(row, name) for name in _AS_THEY_ARE})
