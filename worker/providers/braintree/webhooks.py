"""Verifies and parses Braintree's webhooks. Each webhook is a form with a signed notification."""

import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from config.provider_accounts import BraintreeAccount
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.braintree.client import PARSE_ERRORS, create_gateway, sign_webhook
from worker.providers.identifiers import find_identifiers, is_identifier

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
    """A parser that verifies the signature, and reads the notification with Braintree's SDK."""

    answer = b""

    def __init__(self, gateway: "BraintreeGateway") -> None:
        self._gateway = gateway

    def read(
        self,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,
        at: datetime,
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
        """Parse a notification about a dispute or a refund, if it is signed with our keys."""
        try:
            form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
            [signature], [payload] = form["bt_signature"], form["bt_payload"]
        except (ValueError, LookupError):
            return InvalidSignature("The webhook is not a form with a signature and a notification.")
        if not self._is_signed(signature, payload):
            return InvalidSignature("The webhook is not signed with our keys.")
        try:
            notification: Any = self._gateway.webhook_notification.parse(signature, payload)
            signed_at = notification.timestamp.replace(tzinfo=UTC)
            if not at - MAX_AGE <= signed_at <= at + CLOCK_SKEW:
                return InvalidSignature("The webhook is too old, or from the future.")
            event = _parse_event(notification, signed_at)
        except PARSE_ERRORS:
            return _describe_unreadable(payload)
        if event is None:
            return []
        return [event] if _has_valid_ids(event) else _describe_unreadable(payload)

    def _is_signed(self, signatures: str, payload: str) -> bool:
        """Return True if one of the signatures was made with our keys, with or without a line feed at the payload's end.

        The SDK verifies signatures, too. But its errors do not show whether only the content of a webhook is invalid.
        """
        expected = [sign_webhook(self._gateway, signed) for signed in (payload, f"{payload}\n") if payload.isascii()]
        return any(
            hmac.compare_digest(signature.encode(), pair.encode())
            for signature in expected
            for pair in signatures.split("&")
        )


def _parse_event(notification: Any, at: datetime) -> WebhookEvent | None:  # noqa: ANN401 - the SDK has no types
    """Return the event, or None for a notification about neither a dispute nor a refund."""
    kind = notification.kind
    match _SUBJECTS.get(kind.partition("_")[0]):
        case Subject.DISPUTE:
            dispute = notification.dispute
            charge = getattr(getattr(dispute, "transaction", None), "id", None)
            event_id = _create_event_id(kind, dispute.id, at)
            return WebhookEvent(event_id=event_id, subject=Subject.DISPUTE, charge=charge, dispute_id=dispute.id)
        case Subject.REFUND:
            transaction = notification.transaction
            charge = getattr(transaction, "refunded_transaction_id", None)
            if charge is None and kind != "refund_failed":
                return None  # the transaction is a sale
            event_id = _create_event_id(kind, transaction.id, at)
            return WebhookEvent(event_id=event_id, subject=Subject.REFUND, charge=charge, refund_id=transaction.id)
    return None


def _create_event_id(kind: str, resource_id: str, at: datetime) -> str:
    """Return an id of the event that consists of the content and the time, because notifications have no id."""
    return f"{kind} {resource_id} {at:%Y-%m-%dT%H:%M:%SZ}"


def _has_valid_ids(event: WebhookEvent) -> bool:
    ids = (event.event_id, event.charge, event.refund_id, event.dispute_id)
    return all(is_identifier(identifier) for identifier in ids if identifier is not None)


def _describe_unreadable(payload: str) -> UnreadableWebhook:
    """Return the words of the notification, which is XML in base64."""
    document = b""
    with suppress(ValueError):
        document = b64decode(payload)
    return UnreadableWebhook(
        "Braintree's notification cannot be read.", find_identifiers(document.decode(errors="replace"))
    )
