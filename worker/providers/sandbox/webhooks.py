"""Verifies and parses the sandbox's webhooks. The signature covers the time and the body, which prevents forgery and replay."""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeGuard

from pydantic import SecretStr

from config.provider_accounts import SandboxAccount
from domain.providers import WaitingForApproval
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.identifiers import is_identifier
from worker.providers.sandbox.resources import parse_dispute, parse_refund
from worker.providers.short_texts import short_texts

TOLERANCE = 300  # maximum seconds between signing and receipt. The clocks may differ, and the delivery takes time
MAX_BYTES = 64 * 1024  # an event has about three hundred bytes
MAX_CHARGE = 255  # characters, as in the sandbox
MAX_HEADER = 1000  # characters; two signatures have about 150


def create_webhook_parser(account: SandboxAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks."""
    return SandboxWebhookParser(account.webhook_secret)


class SandboxWebhookParser:
    """A parser that verifies the signature, and reads the event."""

    answer = b""

    def __init__(self, secret: SecretStr) -> None:
        """Take the secret. While a new secret replaces an old secret, ``secret`` contains both, separated by a comma."""
        self._secrets = [part.strip().encode() for part in secret.get_secret_value().split(",") if part.strip()]

    def read(
        self, headers: Mapping[str, str], body: bytes, at: datetime
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
        """Parse the event, if it was signed recently with one of our secrets."""
        if len(body) > MAX_BYTES:
            return InvalidSignature("The webhook is too large for an event of the sandbox.")
        signed_at, signatures = _parse_signature(headers.get("sandbox-signature", ""))
        if signed_at is None:
            return InvalidSignature("The webhook has no signature that can be read.")
        if not self._is_signed(f"{signed_at}.".encode() + body, signatures):
            return InvalidSignature("The webhook is not signed with our secret.")
        if abs(at.timestamp() - int(signed_at)) > TOLERANCE:
            return InvalidSignature(f"The webhook was signed more than {TOLERANCE} seconds before or after now.")
        return _parse_event(body)

    def _is_signed(self, text: bytes, signatures: Sequence[bytes]) -> bool:
        expected_signatures = [hmac.new(secret, text, sha256).hexdigest().encode() for secret in self._secrets]
        return any(
            hmac.compare_digest(expected, signature) for expected in expected_signatures for signature in signatures
        )


def _parse_signature(header: str) -> tuple[str | None, list[bytes]]:
    """Return the signed time as text, and the signatures. While a new secret replaces an old secret, there are two signatures."""
    parts = [part.partition("=") for part in header[:MAX_HEADER].split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value.encode(errors="replace") for name, _, value in parts if name == "v1"]
    is_valid = len(times) == 1 and times[0].isascii() and times[0].isdecimal()
    return times[0] if is_valid else None, signatures


def _parse_event(body: bytes) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
    """Return the events. A body that is not JSON is refused, because nothing shows that it is not about a payment of ours."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return InvalidSignature("The webhook is signed, but is not JSON.")
    match document:
        case {"id": event_id, "type": str(kind), "data": dict(data)} if is_identifier(event_id):
            parse = PARSERS.get(kind, _ignore)
            events = parse(event_id, data)
            if events is not None:
                return events
    return UnreadableWebhook("The webhook is signed, but cannot be read.", short_texts(document))


def _parse_refund_event(event_id: str, data: dict[str, Any]) -> list[WebhookEvent] | None:
    refund = parse_refund(data)
    if refund is None or not _is_charge(refund.charge):
        return None
    result = refund.result()
    reported = None if isinstance(result, WaitingForApproval) else result
    return [WebhookEvent(event_id, Subject.REFUND, refund.charge, refund.id, reported)]


def _parse_dispute_event(event_id: str, data: dict[str, Any]) -> list[WebhookEvent] | None:
    dispute, charge = parse_dispute(data), data.get("charge")
    if dispute is None or not _is_charge(charge):
        return None
    return [WebhookEvent(event_id, Subject.DISPUTE, charge, reported=dispute)]


def _parse_payment_event(event_id: str, data: dict[str, Any]) -> list[WebhookEvent] | None:
    charge = data.get("charge")
    return [WebhookEvent(event_id, Subject.PURCHASE, charge)] if _is_charge(charge) else None


def _ignore(_: str, __: dict[str, Any]) -> list[WebhookEvent]:
    return []


PARSERS = {
    "refund.created": _parse_refund_event,
    "refund.updated": _parse_refund_event,
    "dispute.inquiry": _parse_dispute_event,
    "dispute.opened": _parse_dispute_event,
    "dispute.won": _parse_dispute_event,
    "dispute.lost": _parse_dispute_event,
    "payment.succeeded": _parse_payment_event,
}
"""The parser of each type of event. An event of any other type is ignored."""


def _is_charge(value: object) -> TypeGuard[str]:
    return type(value) is str and 0 < len(value) <= MAX_CHARGE and value.isprintable()
