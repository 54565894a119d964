"""Verifies and parses Stripe's webhooks. A webhook is a snapshot event that Stripe signs with the endpoint's secret."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import stripe
from pydantic import SecretStr

from config.provider_accounts import StripeAccount
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from worker.providers.identifiers import is_identifier

TOLERANCE = 300  # the maximum seconds between the signing time and now, as in Stripe's libraries

_REFUND_EVENTS = {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
_CHARGE_REFUNDED = (
    "charge.refunded"  # this event contains the charge; the other events about refunds contain the refund
)
_DISPUTE_EVENTS = "charge.dispute."


def create_webhook_parser(account: StripeAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks."""
    return StripeWebhookParser(account.webhook_secret)


class StripeWebhookParser:
    """A parser that verifies the signature, and reads the event. The event makes a worker look up the refund or dispute."""

    answer = b""

    def __init__(self, secret: SecretStr | None) -> None:
        """Take the secret, several secrets separated by commas, or None."""
        parts = secret.get_secret_value().split(",") if secret else []
        self._secrets = [part.strip() for part in parts if part.strip()]

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:
        """Parse the event, if it was signed recently with one of our secrets."""
        if not self._secrets:
            return InvalidSignature("Stripe's webhook secret is not configured, so no webhook can be verified.")
        header = headers.get("stripe-signature", "")
        if not any(_is_signed(body, header, secret) for secret in self._secrets):
            return InvalidSignature("The webhook is not signed with our secret.")
        if abs(at.timestamp() - _parse_signed_at(header)) > TOLERANCE:
            return InvalidSignature("The signature is too old, or from the future.")
        try:
            return _parse_event(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return InvalidSignature("Stripe's event cannot be read.")


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret))
    except (
        stripe.SignatureVerificationError,
        ValueError,
        TypeError,
    ):  # the body is not UTF-8, or the signature is not ASCII
        return False


def _parse_signed_at(header: str) -> float:
    """Return the first signing time in the header. The SDK verifies the signature with this time."""
    times = (part.partition("=")[2] for part in header.split(",") if part.startswith("t="))
    try:
        return float(int(next(times)))
    except (ValueError, OverflowError):
        return float("-inf")


def _parse_event(event: dict[str, Any]) -> list[WebhookEvent]:
    event_type, resource = event["type"], event["data"]["object"]
    if event_type in _REFUND_EVENTS:
        refund_id = _check_identifier(resource["id"])
        return _create_webhook_events(
            event, Subject.REFUND, resource["charge"], resource.get("payment_intent"), refund_id=refund_id
        )
    if event_type == _CHARGE_REFUNDED:
        return _create_webhook_events(event, Subject.REFUND, resource["id"], resource.get("payment_intent"))
    if event_type.startswith(_DISPUTE_EVENTS):
        return _create_webhook_events(event, Subject.DISPUTE, resource["charge"], resource.get("payment_intent"))
    return []


def _create_webhook_events(
    event: dict[str, Any], subject: Subject, *payment_ids: object, refund_id: str | None = None
) -> list[WebhookEvent]:
    """Return one event for each id of the payment, because a purchase is stored with only one of the ids.

    The ids of a payment are the ids of its charge and of its payment intent. Each event has its own event id.
    """
    first_id, *other_ids = [_check_identifier(payment_id) for payment_id in payment_ids if payment_id is not None]
    first_event = WebhookEvent(_check_identifier(event["id"]), subject, first_id, refund_id)
    return [
        first_event,
        *(
            WebhookEvent(_check_identifier(f"{event['id']}:{payment_id}"), subject, payment_id, refund_id)
            for payment_id in other_ids
        ),
    ]


def _check_identifier(value: object) -> str:
    if not is_identifier(value):
        raise ValueError("The value is not an identifier.")
    return value
