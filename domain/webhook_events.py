"""What a provider's webhook tells, and who reads it. It has no authority: it makes us look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.providers import DisputeStatus, Failed, Paid, Pending


class Subject(StrEnum):
    """What a webhook is about."""

    REFUND = "refund"
    DISPUTE = "dispute"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event that a provider's webhook told us of. It only makes us look: amounts and payees never come from it."""

    event_id: str
    """The provider's id of the event: the same one again is a repeat."""
    subject: Subject
    charge: str | None = None
    refund_id: str | None = None
    reported: Paid | Pending | Failed | DisputeStatus | None = None
    """What the signed text says; believed only of a provider that cannot be asked."""
    reuses_event_id: bool = False
    """The provider sends this id for every change: a repeat is news."""


@dataclass(frozen=True, slots=True)
class InvalidSignature:
    """A webhook that nobody proved to have sent, or that nobody can read. ``why`` is for the log."""

    why: str


class WebhookParser(Protocol):
    """Reads one provider's webhooks: who sent it is proven before anything in it is believed."""

    answer: bytes
    """What the provider wants to read in our 200."""

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:
        """The events in this raw body; header names are in lower case. ``at`` is now: old signatures are replays."""
        ...
