"""Webhook events of providers, and the interface of their parsers.

If the provider has a lookup API, an event only makes a worker look up the refund or dispute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.providers import DisputeStatus, Failed, Paid, Pending


class Subject(StrEnum):
    """The subject of a webhook event."""

    REFUND = "refund"
    DISPUTE = "dispute"
    PAYMENT = "payment"  # refunds and disputes of a payment: the provider does not say which of them changed
    PURCHASE = "purchase"  # a payment was made, so a purchase may be new
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event of a webhook. If the provider has a lookup API, amounts and payees in the event are not used."""

    event_id: str
    """The provider's id of the event. An event with a known id is a duplicate."""
    subject: Subject
    charge: str | None = None
    refund_id: str | None = None
    reported: Paid | Pending | Failed | DisputeStatus | None = None
    """The outcome that the signed event reports. It is used only if the provider has no lookup API."""
    reuses_event_id: bool = False
    """True if the provider sends the same id for every change of a payment. Then an event with a known id is no duplicate."""
    dispute_id: str | None = None
    """The provider's id of the dispute.

    If the event names no charge, the worker asks the adapter for the charge of the dispute. If the adapter finds no charge, the
    worker takes the charge of another event about the dispute.
    """
    anonymous: bool = False
    """True if the webhook is not signed, so that anybody can send the event."""


@dataclass(frozen=True, slots=True)
class InvalidSignature:
    """A webhook whose signature is invalid, or that cannot be read. ``why`` is for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class UnreadableWebhook:
    """A webhook whose signature is valid, but whose content cannot be read.

    If ``ids`` contains an idempotency key of ours or one of our payments, the webhook is refused, so that the provider sends
    it again. Otherwise it is about a payment of another system: it is logged and answered with 200.
    """

    why: str
    ids: frozenset[str]
    """Every short text in the webhook, because any of them may be an id."""


class WebhookParser(Protocol):
    """The interface of a provider's webhook parser. It verifies the sender before it reads the events."""

    answer: bytes
    """The body that the provider expects in the response with status 200."""

    def read(
        self, headers: Mapping[str, str], body: bytes, at: datetime
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
        """Return the events in this raw body. Header names are in lower case.

        ``at`` is the current time. A signature that is too old is invalid, because an attacker may have copied the webhook.
        """
        ...
