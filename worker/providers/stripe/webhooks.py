"""Verifies and parses Stripe's webhooks. A webhook is a snapshot event that Stripe signs with the endpoint's secret."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import stripe
from pydantic import SecretStr

from config.provider_accounts import StripeAccount
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser
from worker.providers.identifiers import is_identifier
from worker.providers.stripe.rows import Row, as_row

TOLERANCE = 300  # the maximum seconds between the signing time and now, as in Stripe's libraries

_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""A text in JSON. A webhook that cannot be read may be no valid JSON, so its texts are found without a JSON parser."""


def create_webhook_parser(account: StripeAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks."""
    return StripeWebhookParser(account.webhook_secret)


class StripeWebhookParser:
    """A parser that verifies the signature, and reads the event. The event makes a worker look up the subject of the event."""

    answer = b""

    def __init__(self, secret: SecretStr | None) -> None:
        """Take the secret, several secrets separated by commas, or None."""
        parts = secret.get_secret_value().split(",") if secret else []
        self._secrets = [part.strip() for part in parts if part.strip()]

    def read(
        self, headers: Mapping[str, str], body: bytes, at: datetime
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
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
            texts = _TEXT.findall(body.decode(errors="replace"))
            return UnreadableWebhook("Stripe's event cannot be read.", frozenset(filter(is_identifier, texts)))


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


def _parse_event(event: Row) -> list[WebhookEvent]:
    """Return the events for this snapshot event. Types that are not in the table are ignored, whatever they contain."""
    event_type = event["type"]
    parse = _PARSERS.get("charge.dispute.*" if event_type.startswith("charge.dispute.") else event_type)
    return parse(event["id"], event["data"]["object"]) if parse else []


def _parse_refund(event_id: str, refund: Row) -> list[WebhookEvent]:
    refund_id = _check_identifier(refund["id"])
    return _create_events(event_id, Subject.REFUND, refund["charge"], refund.get("payment_intent"), refund_id=refund_id)


def _parse_refunded_charge(event_id: str, charge: Row) -> list[WebhookEvent]:
    return _create_events(event_id, Subject.REFUND, charge["id"], charge.get("payment_intent"))


def _parse_dispute(event_id: str, dispute: Row) -> list[WebhookEvent]:
    return _create_events(event_id, Subject.DISPUTE, dispute["charge"], dispute.get("payment_intent"))


def _parse_paid_charge(event_id: str, charge: Row) -> list[WebhookEvent]:
    return _create_events(event_id, Subject.PURCHASE, charge.get("payment_intent") or charge["id"])


def _parse_paid_session(event_id: str, session: Row) -> list[WebhookEvent]:
    """Return an event if the session names its payment. For a subscription, the event of the charge names the payment."""
    return _create_events(event_id, Subject.PURCHASE, session.get("payment_intent"))


def _parse_paid_invoice(event_id: str, invoice: Row) -> list[WebhookEvent]:
    """Return an event for each payment that the invoice names. Otherwise, the event of the charge names the payment.

    Up to the version 2025-02-24.acacia, an invoice names one payment. Later, it may contain a list of payments.
    """
    rows = as_row(invoice.get("payments")).get("data") or []
    payments = [invoice, *(as_row(as_row(row).get("payment")) for row in rows)]
    return _create_events(
        event_id, Subject.PURCHASE, *(payment.get("payment_intent") or payment.get("charge") for payment in payments)
    )


_PARSERS: Mapping[str, Callable[[str, Row], list[WebhookEvent]]] = {
    "refund.created": _parse_refund,
    "refund.updated": _parse_refund,
    "refund.failed": _parse_refund,
    "charge.refund.updated": _parse_refund,
    "charge.refunded": _parse_refunded_charge,  # this event contains the charge; the events above contain the refund
    "charge.dispute.*": _parse_dispute,
    "charge.succeeded": _parse_paid_charge,
    "charge.captured": _parse_paid_charge,  # an authorised charge has succeeded, but is no purchase before it is captured
    "checkout.session.completed": _parse_paid_session,
    "checkout.session.async_payment_succeeded": _parse_paid_session,
    "invoice.paid": _parse_paid_invoice,
}
"""The parser of each type of event ("Types of events")."""


def _create_events(
    event_id: str, subject: Subject, *payment_ids: object, refund_id: str | None = None
) -> list[WebhookEvent]:
    """Return one event for each id that is not None. Each event has its own event id.

    A payment may have the ids of its charge and of its payment intent, and a purchase is stored with only one of the ids.
    """
    ids = [_check_identifier(payment_id) for payment_id in payment_ids if payment_id is not None]
    if not ids and subject is not Subject.PURCHASE:
        raise ValueError("The event names no payment.")
    event_ids = [event_id, *(f"{event_id}:{payment_id}" for payment_id in ids[1:])]
    return [
        WebhookEvent(_check_identifier(own_event_id), subject, payment_id, refund_id)
        for own_event_id, payment_id in zip(event_ids, ids, strict=False)
    ]


def _check_identifier(value: object) -> str:
    if not is_identifier(value):
        raise ValueError("The value is not an identifier.")
    return value
