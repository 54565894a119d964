"""A refund of the sandbox. Its status can change once."""

import os
from typing import Any, NamedTuple

from console.sandbox.behaviours import Behaviour, Status, Times, behaviour_of
from console.sandbox.refund_requests import RefundRequest


class Refund(NamedTuple):
    """One refund. At the time ``becomes_at``, its status changes to ``becomes``."""

    id: str
    charge: str
    amount: int
    currency: str
    key: str | None
    """The idempotency key of the call. None if a person made the refund by hand."""
    created: float
    """The time at which the refund is made, which is in the future for a deferred refund. All times are epoch seconds."""
    shown_at: float
    """The time from which a lookup shows this refund."""
    status: Status
    becomes: Status | None
    becomes_at: float

    def is_for(self, request: RefundRequest) -> bool:
        return (self.charge, self.amount, self.currency) == (request.charge, request.amount, request.currency)

    def status_at(self, now: float) -> Status:
        return self.becomes if self.becomes is not None and now >= self.becomes_at else self.status

    def is_approved(self, now: float) -> bool:
        """Return whether no approval was necessary, or a person has approved the refund."""
        return self.status != "requires_approval" or self.status_at(now) == "succeeded"

    def moves_money(self, now: float) -> bool:
        """Return whether the customer has the money or gets it, so that the amount is no longer refundable."""
        return self.status_at(now) in {"succeeded", "pending", "requires_action"}

    def document(self, status: Status) -> dict[str, Any]:
        """Return the refund as the API shows it."""
        return {
            "id": self.id,
            "charge": self.charge,
            "amount": self.amount,
            "currency": self.currency,
            "status": status,
            "key": self.key,
            "created": int(self.created),
            "bank_reference": self.bank_reference if status == "succeeded" else None,
            **behaviour_of(self.charge).row,
        }

    @property
    def bank_reference(self) -> str:
        """Return an acquirer reference number as card networks write it: 23 digits, the first of them 7."""
        return f"7{int(self.id.removeprefix('re_'), 16) % 10**22:022}"


def refund_of(request: RefundRequest, behaviour: Behaviour, now: float, times: Times) -> Refund:
    created = now + times.late if behaviour.deferred else now
    changes_at = created + times.turn
    return Refund(
        id=f"re_{os.urandom(12).hex()}",
        charge=request.charge,
        amount=request.amount,
        currency=request.currency,
        key=request.key,
        created=created,
        shown_at=changes_at if behaviour.hidden else created,
        status=behaviour.status,
        becomes=behaviour.becomes,
        becomes_at=changes_at,
    )
