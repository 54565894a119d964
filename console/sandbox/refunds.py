import os
from typing import Any, NamedTuple

from console.sandbox.behaviours import Behaviour, Status, Times
from console.sandbox.refund_requests import Order


class Refund(NamedTuple):
    """Money that left. What will happen to it by itself, and when, is written down with it."""

    id: str
    charge: str
    amount: int
    currency: str
    key: str
    created: float
    """When the money leaves: in the future for one that is carried out later. All times are epoch seconds."""
    shown_at: float
    """From when on a look-up finds it."""
    status: Status
    becomes: Status | None
    becomes_at: float

    def is_for(self, order: Order) -> bool:
        return (self.charge, self.amount, self.currency) == (order.charge, order.amount, order.currency)

    def status_at(self, now: float) -> Status:
        return self.becomes if self.becomes is not None and now >= self.becomes_at else self.status

    def document(self, status: Status) -> dict[str, Any]:
        return {
            "id": self.id,
            "charge": self.charge,
            "amount": self.amount,
            "currency": self.currency,
            "status": status,
            "key": self.key,
            "created": int(self.created),
            "bank_reference": self.bank_reference if status == "succeeded" else None,
        }

    @property
    def bank_reference(self) -> str:
        """As card networks write acquirer reference numbers: 23 digits, of which the first is a 7."""
        return f"7{int(self.id.removeprefix('re_'), 16) % 10**22:022}"


def refund_of(order: Order, behaviour: Behaviour, now: float, times: Times) -> Refund:
    created = now + times.late if behaviour.deferred else now
    turns = created + times.turn
    return Refund(
        id=f"re_{os.urandom(12).hex()}",
        charge=order.charge,
        amount=order.amount,
        currency=order.currency,
        key=order.key,
        created=created,
        shown_at=turns if behaviour.hidden else created,
        status=behaviour.status,
        becomes=behaviour.becomes,
        becomes_at=turns,
    )
