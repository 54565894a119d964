"""The signatures of the webhooks that helpdesks send. Each function is pure: the caller gives the secret and the current time.

Each helpdesk signs in its own way, as its documents say. A signature with a timestamp is valid for five minutes, because an
attacker may have copied the webhook.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

TOLERANCE = timedelta(minutes=5)
WHSEC = "whsec_"
MIN_KEY, MAX_KEY = 24, 64  # bytes; the specification Standard Webhooks

Headers = Mapping[str, str]
"""Headers with names in lower case."""


class Verified(NamedTuple):
    """A webhook whose signature is valid. A delivery with a known id is a duplicate."""

    delivery_id: str


Verifier = Callable[[str, Headers, bytes, datetime], Verified | None]
"""A function of the secret, the headers, the raw body and the current time. It returns None for an invalid signature."""


def standard_webhook_key(secret: str) -> bytes:
    """Return the key in a secret of Standard Webhooks. Raise ValueError if the secret has another form."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(WHSEC), validate=True)
    except binascii.Error:
        key = b""
    if not secret.strip().startswith(WHSEC) or not MIN_KEY <= len(key) <= MAX_KEY:
        raise ValueError(f"This is not a secret like whsec_…, with {MIN_KEY} to {MAX_KEY} bytes in base64.")
    return key


def sign_standard_webhook(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook of Standard Webhooks."""
    timestamp = str(int(at.timestamp()))
    signature = _standard_signature(standard_webhook_key(secret), message_id, timestamp, body)
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def _standard_signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def verify_standard_webhook(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:
    """Verify a webhook of Standard Webhooks. During a change of the secret, the header has several signatures."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not _is_recent(_unix(timestamp), now):
        return None
    expected = _standard_signature(standard_webhook_key(secret), message_id, timestamp, body)
    given = headers.get("webhook-signature", "").split(" ")
    return Verified(message_id) if any(_equal(signature, expected) for signature in given) else None


def verify_zendesk(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:
    """Verify a webhook of Zendesk ("Verifying webhook authenticity"): base64 of the HMAC of the timestamp and the body."""
    timestamp = headers.get("x-zendesk-webhook-signature-timestamp", "")
    if not _is_recent(_iso(timestamp), now):
        return None
    signature = base64.b64encode(hmac.digest(secret.encode(), timestamp.encode() + body, hashlib.sha256)).decode()
    if not _equal(headers.get("x-zendesk-webhook-signature", ""), signature):
        return None
    return Verified(headers.get("x-zendesk-webhook-invocation-id") or _digest(timestamp.encode() + body))


def verify_zammad(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:  # noqa: ARG001  # Zammad signs no time
    """Verify a webhook of Zammad ("Webhook"): X-Hub-Signature with SHA-1. Its delivery id is unique, but is not signed.

    So the id of the delivery is the digest of the body: a copied webhook has the same body, whatever its headers are. The body
    contains the time of the ticket's last change.
    """
    return _verify_hub(secret, body, headers.get("x-hub-signature", ""))


def verify_intercom(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:  # noqa: ARG001  # Intercom signs no time
    """Verify a webhook of Intercom ("Signed notifications"): X-Hub-Signature with SHA-1. The body contains the event's id."""
    return _verify_hub(secret, body, headers.get("x-hub-signature", ""))


def _verify_hub(secret: str, body: bytes, given: str) -> Verified | None:
    expected = "sha1=" + hmac.digest(secret.encode(), body, hashlib.sha1).hex()
    return Verified(_digest(body)) if _equal(given, expected) else None


def verify_chatwoot(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:
    """Verify a webhook of Chatwoot: sha256= and the HMAC of the timestamp, a dot and the body."""
    timestamp = headers.get("x-chatwoot-timestamp", "")
    if not _is_recent(_unix(timestamp), now):
        return None
    expected = "sha256=" + hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hex()
    if not _equal(headers.get("x-chatwoot-signature", ""), expected):
        return None
    return Verified(headers.get("x-chatwoot-delivery") or _digest(timestamp.encode() + body))


def verify_slack(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:
    """Verify a request of Slack ("Verifying requests from Slack"): the HMAC of the version, the timestamp and the body."""
    timestamp = headers.get("x-slack-request-timestamp", "")
    if not _is_recent(_unix(timestamp), now):
        return None
    expected = "v0=" + hmac.digest(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hex()
    return Verified(_digest(body)) if _equal(headers.get("x-slack-signature", ""), expected) else None


def verify_basic(secret: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:  # noqa: ARG001  # nothing is signed
    """Verify a webhook that only sends a password (Basic authentication, RFC 7617), as Freshdesk's automations do."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    try:
        password = base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None
    return Verified(_digest(body)) if scheme.lower() == "basic" and _equal(password, secret) else None


VERIFIERS: Mapping[str, Verifier] = {
    "zendesk": verify_zendesk,
    "freshdesk": verify_basic,
    "zammad": verify_zammad,
    "chatwoot": verify_chatwoot,
    "intercom": verify_intercom,
    "webhook": verify_standard_webhook,
    "slack": verify_slack,
}
"""How the webhooks of each helpdesk are verified. E-mail is not in the table, because it sends no webhooks."""


def verify(target: str, secrets: str, headers: Headers, body: bytes, now: datetime) -> Verified | None:
    """Verify a webhook of this helpdesk. During a change, ``secrets`` are the old and the new secret, separated by a comma."""
    verdicts = (VERIFIERS[target](secret, headers, body, now) for secret in _each(secrets))
    return next((verdict for verdict in verdicts if verdict), None)


def _each(secrets: str) -> Iterator[str]:
    return filter(None, (secret.strip() for secret in secrets.split(",")))


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_recent(at: float | None, now: datetime) -> bool:
    return at is not None and abs(now.timestamp() - at) <= TOLERANCE.total_seconds()


def _unix(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None  # noqa: PLR2004  # seconds until year 33658


def _iso(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None
