"""Verifies and parses Mollie's webhooks. A classic webhook contains only an id. A signed webhook contains an event."""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from config.provider_accounts import MollieAccount
from domain.providers import DisputeStatus
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.identifiers import find_identifiers, is_identifier

# The keys are the beginning of an event's type. All other events are ignored. Sources: docs.mollie.com, "Webhooks for the
# Refunds API", "Webhooks for the Chargebacks API" and "Get a Webhook Event". For "dispute.": the repository mollie-api-php,
# src/Webhooks/Events.
_SUBJECTS = {
    "refund.": Subject.REFUND,
    "dispute.": Subject.DISPUTE,
    "chargeback.": Subject.DISPUTE,
    "payment.paid": Subject.PURCHASE,
}
_REPORTS = {"dispute.created": (Dispute.OPEN, 0), "dispute.updated": (Dispute.OPEN, 1)}  # the status and its stage
_RESULTS = {"won": Dispute.WON, "lost": Dispute.LOST}  # help.mollie.com, "How do I respond to a dispute?"
_RESULT_STAGE = 2
_LINKED_PAYMENT = re.compile(r"/payments/(tr_\w{1,60})", re.ASCII)
_RESOURCE_ID = re.compile(r"[a-z]+_\w{1,60}", re.ASCII)


def create_webhook_parser(account: MollieAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks."""
    secret = account.webhook_secret
    return MollieWebhookParser(secret.get_secret_value() if secret else "")


class MollieWebhookParser:
    """A parser of classic webhooks if no secret is configured. Otherwise, a parser of signed ("next-generation") webhooks.

    A classic webhook needs no signature, because it only makes a worker look the payment up. A signed webhook contains no signed
    time, so an old webhook is also accepted. If Mollie sends an event again, which it does for at most
    a day, the event id is the same.
    """

    answer = b""

    def __init__(self, secret: str) -> None:
        """Take one secret, or several secrets separated by commas. An empty string means that no secret is configured."""
        self._secrets = [part.strip().encode() for part in secret.split(",") if part.strip()]

    def read(
        self,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,  # noqa: ARG002
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
        """Parse a classic webhook if no secret is configured. Otherwise, verify and parse a signed webhook."""
        if not self._secrets:
            return _parse_classic(body)
        if not self._is_signed(headers.get("x-mollie-signature", ""), body):
            return InvalidSignature("The webhook is not signed with our secret.")
        return _parse_event(body)

    def _is_signed(self, header: str, body: bytes) -> bool:
        """Return True if one of the signatures in the header was made with one of our secrets.

        While the secret is being replaced, Mollie sends two signatures in one header.
        """
        signatures = [part.strip().removeprefix("sha256=").encode(errors="replace") for part in header.split(",")]
        expected_signatures = [hmac.new(secret, body, "sha256").hexdigest().encode() for secret in self._secrets]
        return any(
            hmac.compare_digest(expected, signature) for expected in expected_signatures for signature in signatures
        )


def _parse_classic(body: bytes) -> Sequence[WebhookEvent] | InvalidSignature:
    """Parse the body ``id=tr_…``. It reports that the payment with this id changed, by a refund or by a chargeback."""
    try:
        ids = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10).get("id", [])
    except ValueError:
        ids = []
    if len(ids) != 1 or not _RESOURCE_ID.fullmatch(ids[0]):
        return InvalidSignature(
            "The webhook is not a classic webhook with one id, and no secret is configured for signed webhooks."
        )
    if not ids[0].startswith("tr_"):
        return []  # the id is not a payment's id: it belongs to an order, a subscription or a payment link
    return [WebhookEvent(event_id=ids[0], subject=Subject.PAYMENT, charge=ids[0], reuses_event_id=True, anonymous=True)]


def _parse_event(body: bytes) -> Sequence[WebhookEvent] | UnreadableWebhook:
    try:
        event: dict[str, Any] = json.loads(body)
        subject = _find_subject(event["type"])
        if subject is None:
            return []
        event_id, resource_id = event["id"], event["entityId"]
        entity = (event.get("_embedded") or {}).get("entity") or {}
        charge = resource_id if subject is Subject.PURCHASE else _find_charge(event, entity)
        reported = _read_report(event["type"], resource_id, entity)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return _describe_unreadable(body)
    identifiers = [event_id, resource_id, *([] if charge is None else [charge])]
    if not all(map(is_identifier, identifiers)):
        return _describe_unreadable(body)
    return [
        WebhookEvent(
            event_id=event_id,
            subject=subject,
            charge=charge,
            refund_id=resource_id if subject is Subject.REFUND else None,
            dispute_id=resource_id if subject is Subject.DISPUTE else None,
            reported=reported,
        )
    ]


def _find_subject(event_type: str) -> Subject | None:
    return next((subject for prefix, subject in _SUBJECTS.items() if event_type.startswith(prefix)), None)


def _find_charge(event: dict[str, Any], entity: dict[str, Any]) -> Any:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the payment of the refund, chargeback or dispute.

    An event with the simple payload has no entity. But the link to the entity contains the payment's id, if the entity belongs to
    a payment. Return None if there is no such link either. Then the payment is found by the entity's own id.
    """
    linked_payment = _LINKED_PAYMENT.search(json.dumps([event.get("_links"), entity.get("_links")]))
    return entity.get("paymentId") or (linked_payment and linked_payment[1])


def _read_report(event_type: str, dispute_id: str, entity: dict[str, Any]) -> DisputeStatus | None:
    """Return the status of a dispute, because Mollie's API shows a dispute only after it has become a chargeback."""
    if event_type == "dispute.resolved" and (result := _RESULTS.get(entity.get("status", ""))):
        return DisputeStatus(result, dispute_id, _RESULT_STAGE)
    status, stage = _REPORTS.get(event_type, (Dispute.NONE, 0))
    return None if status is Dispute.NONE else DisputeStatus(status, dispute_id, stage)


def _describe_unreadable(body: bytes) -> UnreadableWebhook:
    return UnreadableWebhook("Mollie's event cannot be read.", find_identifiers(body.decode(errors="replace")))
