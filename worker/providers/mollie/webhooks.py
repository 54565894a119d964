"""Verifies and parses Mollie's webhooks. A classic webhook contains only a payment's id. A signed webhook contains an event."""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from config.provider_accounts import MollieAccount
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from worker.providers.identifiers import is_identifier

# The subject by the first part of an event's type. Sources: docs.mollie.com, "Webhooks for the Refunds API" and "… for the
# Chargebacks API"; for disputes mollie-api-php, src/Webhooks/Events. All other events are ignored.
_SUBJECTS = {"refund": Subject.REFUND, "dispute": Subject.DISPUTE, "chargeback": Subject.DISPUTE}
_RESOURCE_ID = re.compile(r"[a-z]+_\w{1,60}", re.ASCII)


def create_webhook_parser(account: MollieAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks."""
    secret = account.webhook_secret
    return MollieWebhookParser(secret.get_secret_value() if secret else "")


class MollieWebhookParser:
    """A parser of classic webhooks if there is no secret, and of signed, next-generation webhooks if there is a secret.

    A classic webhook needs no signature, because it only makes a worker look the payment up. The signature of a signed webhook
    covers no time, and Mollie repeats an event for up to a day. A repeated event has the same event id.
    """

    answer = b""

    def __init__(self, secret: str) -> None:
        """Take the secret, several secrets separated by commas, or an empty string."""
        self._secrets = [part.strip().encode() for part in secret.split(",") if part.strip()]

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:  # noqa: ARG002
        """Parse a classic webhook if there is no secret, else a signed event."""
        if not self._secrets:
            return _parse_classic(body)
        if not self._is_signed(headers.get("x-mollie-signature", ""), body):
            return InvalidSignature("The webhook is not signed with our secret.")
        return _parse_event(body)

    def _is_signed(self, header: str, body: bytes) -> bool:
        """Return True if a signature was made with one of our secrets.

        During a change of the secret, Mollie sends two signatures.
        """
        signatures = [part.strip().removeprefix("sha256=").encode(errors="replace") for part in header.split(",")]
        expected_signatures = [hmac.new(secret, body, "sha256").hexdigest().encode() for secret in self._secrets]
        return any(
            hmac.compare_digest(expected, signature) for expected in expected_signatures for signature in signatures
        )


def _parse_classic(body: bytes) -> Sequence[WebhookEvent] | InvalidSignature:
    """Parse ``id=tr_…``. The payment with this id changed, perhaps by a refund or a chargeback."""
    try:
        ids = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10).get("id", [])
    except ValueError:
        ids = []
    if len(ids) != 1 or not _RESOURCE_ID.fullmatch(ids[0]):
        return InvalidSignature("The webhook is not signed, and it is not a classic webhook that names one resource.")
    if not ids[0].startswith("tr_"):
        return []  # an order, a subscription or a payment link
    return [WebhookEvent(event_id=ids[0], subject=Subject.REFUND, charge=ids[0], reuses_event_id=True)]


def _parse_event(body: bytes) -> Sequence[WebhookEvent] | InvalidSignature:
    try:
        event: dict[str, Any] = json.loads(body)
        subject = _SUBJECTS.get(event["type"].partition(".")[0])
        if subject is None:
            return []
        event_id, resource_id = event["id"], event["entityId"]
        resource = (event.get("_embedded") or {}).get("entity") or {}  # the short form of an event has no entity
        charge = resource.get("paymentId")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return InvalidSignature("The webhook is signed, but cannot be read.")
    identifiers = [event_id, resource_id, *([] if charge is None else [charge])]
    if not all(map(is_identifier, identifiers)):
        return InvalidSignature("The webhook is signed, but cannot be read.")
    refund_id = resource_id if subject is Subject.REFUND else None
    return [WebhookEvent(event_id=event_id, subject=subject, charge=charge, refund_id=refund_id)]
