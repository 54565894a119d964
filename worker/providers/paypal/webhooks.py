"""Verifies and parses PayPal's webhooks.

PayPal signs the raw body and the id of our webhook. PayPal's certificate contains the public key that verifies the signature.
"""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature as SignatureMismatch
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from config.provider_accounts import PayPalAccount
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.identifiers import is_identifier
from worker.providers.paypal.resources import ID, parse_capture_link, parse_time
from worker.providers.paypal.webhook_certificates import (
    CertificateCache,
    CertificateError,
    create_fetcher,
    load_trusted_roots,
)
from worker.providers.short_texts import short_texts

ALGORITHM = "SHA256withRSA"
CLOCK_SKEW = timedelta(minutes=5)
MAX_AGE = timedelta(days=3) + CLOCK_SKEW
"""The maximum age of a signature.

PayPal sends an event up to 25 times within three days (PayPal's documentation: "Webhooks", "Notification messages"). Perhaps
PayPal signs only the first attempt, so a signature may be three days old. If an attacker sends an old
event again, it has the id of the first event, and at most a worker looks up the refund again.
"""
SIMULATOR_ID = "WEBHOOK_ID"  # not accepted, because PayPal's public simulator signs any event for this id
MAX_HEADER = 1_000  # the maximum length of a signature header, in characters

SUBJECTS: Mapping[str, Subject] = {
    "PAYMENT.CAPTURE.COMPLETED": Subject.PURCHASE,
    "PAYMENT.SALE.COMPLETED": Subject.PURCHASE,
    "PAYMENT.CAPTURE.REFUNDED": Subject.REFUND,
    "PAYMENT.CAPTURE.REVERSED": Subject.DISPUTE,  # PayPal took the money back: the seller lost a dispute or a chargeback
    "PAYMENT.SALE.REFUNDED": Subject.REFUND,  # for a subscription; subscriptions still use the names of API version 1
    "PAYMENT.SALE.REVERSED": Subject.DISPUTE,
    "PAYMENT.REFUND.PENDING": Subject.REFUND,
    "PAYMENT.REFUND.COMPLETED": Subject.REFUND,
    "PAYMENT.REFUND.FAILED": Subject.REFUND,
    "PAYMENT.REFUND.CANCELLED": Subject.REFUND,
    "CUSTOMER.DISPUTE.CREATED": Subject.DISPUTE,
    "CUSTOMER.DISPUTE.UPDATED": Subject.DISPUTE,
    "CUSTOMER.DISPUTE.RESOLVED": Subject.DISPUTE,
}
"""Maps the type of an event to its subject (PayPal's documentation: "Webhook event names"). All other events are ignored."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(Z|[+-][0-9]{2}:[0-9]{2})")


_SIGNATURE_HEADERS = ("transmission-id", "transmission-time", "transmission-sig", "cert-url")


class NotVerifiedError(Exception):
    """The webhook's signature is not valid. The text of the error gives the reason."""


def create_webhook_parser(account: PayPalAccount, *, provider_timeout_seconds: float) -> WebhookParser:
    """Create the parser of this account's webhooks. The parser fetches PayPal's certificates."""
    # A webhook causes at most two fetches, of the certificate and of its issuer's certificate. Each fetch gets half the time.
    fetch = create_fetcher(provider_timeout_seconds / 2)
    return PayPalWebhookParser(account.webhook_id or "", CertificateCache(fetch, load_trusted_roots()))


class PayPalWebhookParser:
    """A parser that verifies the signature, and reads the event."""

    answer = b""

    def __init__(self, webhook_ids: str, certificates: CertificateCache) -> None:
        """Take the webhook's id. If the webhook is being replaced, take the old and the new id, separated by a comma."""
        ids = [part.strip() for part in webhook_ids.split(",")]
        self._webhook_ids = [webhook_id for webhook_id in ids if webhook_id and webhook_id != SIMULATOR_ID]
        self._certificates = certificates

    def read(
        self, headers: Mapping[str, str], body: bytes, at: datetime
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
        """Parse the event if PayPal signed it for our webhook. Otherwise, return InvalidSignature with the reason."""
        if not self._webhook_ids:
            return InvalidSignature("PayPal's webhook id is not configured, so no webhook can be verified.")
        try:
            event = json.loads(body.decode())
        except (ValueError, RecursionError):
            return InvalidSignature("The body cannot be read.")
        try:
            self._verify(headers, body, at)
        except (NotVerifiedError, CertificateError) as error:
            return InvalidSignature(str(error))
        try:
            return _parse_event(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            return UnreadableWebhook("PayPal signed the event, but the event cannot be read.", short_texts(event))

    def _verify(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        """Verify the signature, or raise NotVerifiedError or CertificateError.

        All headers are checked before a certificate is fetched.
        """
        transmission_id, time, signature, certificate_url = (
            headers.get(f"paypal-{name}", "") for name in _SIGNATURE_HEADERS
        )
        if any(not 0 < len(value) <= MAX_HEADER for value in (transmission_id, time, signature, certificate_url)):
            raise NotVerifiedError("A header of the signature is missing, or too long.")
        if headers.get("paypal-auth-algo") != ALGORITHM:
            raise NotVerifiedError("The signature is not SHA256withRSA.")
        if not _is_recent(time, at):
            raise NotVerifiedError("The signature is too old, or from the future.")
        try:
            signature_bytes = b64decode(signature, validate=True)
        except ValueError:
            raise NotVerifiedError("The signature cannot be read.") from None
        key = self._certificates.public_key(certificate_url, at)
        for webhook_id in self._webhook_ids:
            signed = f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body)}"
            with suppress(SignatureMismatch):
                key.verify(signature_bytes, signed.encode(errors="replace"), PKCS1v15(), SHA256())
                return
        raise NotVerifiedError("The signature does not match this body and our webhook id.")


def _is_recent(text: str, at: datetime) -> bool:
    try:
        return bool(_TIME.fullmatch(text)) and -CLOCK_SKEW <= at - parse_time(text) <= MAX_AGE
    except (ValueError, OverflowError):
        return False


def _parse_event(event: Any) -> list[WebhookEvent]:  # noqa: ANN401 - PayPal's JSON may be anything
    subject = SUBJECTS.get(event["event_type"])
    if subject is None:
        return []
    event_id, resource = event["id"], event["resource"]
    if not is_identifier(event_id):
        raise ValueError("The event has no valid id.")
    if event["event_type"].startswith("CUSTOMER.DISPUTE."):
        return _parse_dispute_events(event_id, resource)
    if subject is Subject.PURCHASE:
        return [WebhookEvent(event_id, subject, _check_id(resource["id"]))]
    capture = _parse_id(resource.get("sale_id")) or parse_capture_link({"links": resource.get("links") or []}) or None
    return [WebhookEvent(event_id, subject, capture, _parse_id(resource["id"]))]


def _parse_dispute_events(event_id: str, dispute: Any) -> list[WebhookEvent]:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return an event for each disputed capture. If the dispute names no capture, the event names only the dispute.

    A list of captures that is missing, null or unreadable names no capture.
    """
    dispute_id, rows = dispute.get("dispute_id"), dispute.get("disputed_transactions")
    transactions = [row for row in rows if type(row) is dict] if type(rows) is list else []
    captures = [_parse_id(transaction.get("seller_transaction_id")) for transaction in transactions]
    named = [capture for capture in dict.fromkeys(captures) if capture]
    if not named:
        if not is_identifier(dispute_id):
            raise ValueError("The event names no dispute.")
        return [WebhookEvent(event_id, Subject.DISPUTE, dispute_id=dispute_id)]
    return [WebhookEvent(f"{event_id}/{capture}", Subject.DISPUTE, capture) for capture in named]


def _check_id(value: object) -> str:
    if capture := _parse_id(value):
        return capture
    raise ValueError("The event names no payment.")


def _parse_id(value: object) -> str | None:
    return value if type(value) is str and ID.fullmatch(value) else None
