"""Verifies and parses Braintree's webhooks. Each webhook is a form with a signed notification."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from config.provider_accounts import BraintreeAccount
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from worker.providers.braintree.client import PARSE_ERRORS, create_gateway
from worker.providers.identifiers import is_identifier

if TYPE_CHECKING:
    from braintree.braintree_gateway import BraintreeGateway

# Braintree repeats an unanswered webhook every hour for a day (Braintree's documentation: "Webhooks", "Parse", "Retries"). So
# a webhook may arrive a day after its event. The time in a webhook is the time of the event, and it is signed. If an attacker
# sends a webhook again within that day, a worker only looks the refund up again.
MAX_AGE = timedelta(hours=25)
CLOCK_SKEW = timedelta(minutes=5)

# The subject of an event, by the first part of the notification's kind. For example, the first part of "refund_failed" is
# "refund".
_SUBJECTS = {"dispute": Subject.DISPUTE, "refund": Subject.REFUND, "transaction": Subject.REFUND}


def create_webhook_parser(account: BraintreeAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks, which are signed with the API keys."""
    return BraintreeWebhookParser(create_gateway(account, connections=1))


class BraintreeWebhookParser:
    """A parser that verifies the signature with Braintree's SDK, and reads the notification."""

    answer = b""

    def __init__(self, gateway: "BraintreeGateway") -> None:
        self._notifications = gateway.webhook_notification

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:  # noqa: ARG002
        """Parse a notification about a dispute or a refund, if it is signed with our keys."""
        try:
            form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
            [signature], [payload] = form["bt_signature"], form["bt_payload"]
            notification: Any = self._notifications.parse(signature, payload)
            kind, signed_at = notification.kind, notification.timestamp.replace(tzinfo=UTC)
            subject = _SUBJECTS.get(kind.partition("_")[0])
            if not at - MAX_AGE <= signed_at <= at + CLOCK_SKEW:
                return InvalidSignature("The webhook is too old, or from the future.")
            if subject is Subject.DISPUTE:
                dispute = notification.dispute
                return _create_event(f"{kind} {dispute.id}", signed_at, subject, dispute.transaction.id, None)
            if subject is Subject.REFUND:
                return _parse_refund_event(kind, notification.transaction, signed_at)
        except PARSE_ERRORS:
            return InvalidSignature("The webhook is not signed with our keys, or cannot be read.")
        return []


def _parse_refund_event(kind: str, transaction: Any, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:  # noqa: ANN401 - the SDK has no types
    """Return the event of a refund. Ignore a transaction that is not a refund."""
    charge = getattr(transaction, "refunded_transaction_id", None)
    if charge is None and kind != "refund_failed":
        return []
    return _create_event(f"{kind} {transaction.id}", at, Subject.REFUND, charge, transaction.id)


def _create_event(
    name: str, at: datetime, subject: Subject, charge: str | None, refund_id: str | None
) -> Sequence[WebhookEvent] | InvalidSignature:
    """Create a webhook event. The event's id consists of name and time, because notifications have no id."""
    event_id = f"{name} {at:%Y-%m-%dT%H:%M:%SZ}"
    if not all(identifier is None or is_identifier(identifier) for identifier in (event_id, charge, refund_id)):
        return InvalidSignature("The webhook is signed, but cannot be read.")
    return [WebhookEvent(event_id=event_id, subject=subject, charge=charge, refund_id=refund_id)]
