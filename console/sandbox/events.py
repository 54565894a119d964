"""The events that the sandbox sends as webhooks."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from console.sandbox.behaviours import WebhookMode, behaviour_of
from console.sandbox.disputes import Dispute
from console.sandbox.payments import Payment
from console.sandbox.refunds import Refund


class Event(NamedTuple):
    at: float
    """The time of the event, in epoch seconds. It may be in the future, because the sandbox plans later changes of a refund."""
    id: str
    type: str
    charge: str
    data: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.type, "created": int(self.at), "data": self.data}


def of_refund(refund: Refund) -> Iterator[Event]:
    """Yield the event for a new refund. If the refund's status will change, also yield the event for this change."""
    yield _event(refund.created, "refund.created", refund.charge, refund.document(refund.status))
    if refund.becomes:
        yield _event(refund.becomes_at, "refund.updated", refund.charge, refund.document(refund.becomes))


def of_dispute(dispute: Dispute, at: float) -> Event:
    change = "opened" if dispute.status == "open" else dispute.status
    return _event(at, f"dispute.{change}", dispute.charge, dispute.document())


def of_payment(payment: Payment, at: float) -> Event:
    return _event(at, "payment.succeeded", payment.charge, payment.document())


def _event(at: float, kind: str, charge: str, data: dict[str, Any]) -> Event:
    """Return an event. Its id is a hash, so that the event has the same id when the journal is read again."""
    digest = sha256(f"{kind} {data['id']}".encode()).hexdigest()
    return Event(at, f"ev_{digest[:24]}", kind, charge, data)


class Outbox:
    """The events that are not finished: the receiver has not acknowledged them, and not all attempts have failed."""

    def __init__(self) -> None:
        self.waiting: dict[str, Event] = {}
        self.on_event: Callable[[Event], None] = lambda _: None
        """A function that add() calls with each new event."""
        self._sent = self._failed = 0

    def add(self, event: Event) -> None:
        if behaviour_of(event.charge).webhook_mode is not WebhookMode.NEVER:
            self.waiting[event.id] = event
            self.on_event(event)

    def finish(self, event_id: str, *, arrived: bool) -> None:
        """Remove and count an event that the receiver acknowledged, or whose last attempt failed."""
        self.waiting.pop(event_id, None)
        self._sent += arrived
        self._failed += not arrived

    def count(self) -> dict[str, int]:
        return {"sent": self._sent, "failed": self._failed, "waiting": len(self.waiting)}
