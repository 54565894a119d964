"""Verifies and parses GoCardless' webhooks. A webhook has up to 250 events. Its signature is an HMAC of the body ("Webhooks")."""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from moneyback_gocardless import GoCardlessAccount
from moneyback_gocardless.resources import CHARGE_FIELD
from moneyback_plugin.adapter import is_identifier
from moneyback_plugin.webhooks import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser

CHARGEBACKS = frozenset({"charged_back", "chargeback_cancelled", "chargeback_settled"})
"""The actions of a payment that are about a chargeback. Other actions say nothing about refunds or disputes."""


def create_webhook_parser(account: GoCardlessAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks."""
    secret = account.webhook_secret
    return GoCardlessWebhookParser(secret.get_secret_value() if secret else "")


class GoCardlessWebhookParser:
    """A parser that verifies the signature, and reads the events.

    The signature contains no time, so an old webhook is valid, too. It only makes a worker look the payment up.
    """

    answer = b""

    def __init__(self, secret: str) -> None:
        """Take one secret, or several secrets separated by commas."""
        self._secrets = [part.strip().encode() for part in secret.split(",") if part.strip()]

    def read(
        self,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,  # noqa: ARG002
    ) -> Sequence[WebhookEvent] | InvalidSignature | UnreadableWebhook:
        """Parse the events, if the body is signed with one of our secrets."""
        signature = headers.get("webhook-signature", "").encode(errors="replace")
        expected = [hmac.new(secret, body, "sha256").hexdigest().encode() for secret in self._secrets]
        if not any(hmac.compare_digest(own, signature) for own in expected):
            return InvalidSignature("The webhook is not signed with our secret.")
        try:
            events = [_parse_event(event) for event in json.loads(body)["events"]]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            why = f"The webhook is signed, but cannot be read: {type(error).__name__}."
            return UnreadableWebhook(why, frozenset(filter(is_identifier, body.decode(errors="replace").split('"'))))
        return [event for event in events if event]


def _parse_event(event: dict[str, Any]) -> WebhookEvent | None:
    """Return the event, or None if it is about something else. Raise ValueError if an id is missing."""
    links = event["links"]
    match event["resource_type"], event["action"]:
        case "refunds", _:
            charge = links.get("payment") or (event.get("resource_metadata") or {}).get(CHARGE_FIELD)
            ids = (event["id"], links["refund"], *([charge] if charge else []))
            parsed = WebhookEvent(event["id"], Subject.REFUND, charge, links["refund"])
        case "payments", action if action in CHARGEBACKS:
            ids = (event["id"], links["payment"])
            parsed = WebhookEvent(event["id"], Subject.DISPUTE, links["payment"])
        case _:
            return None
    if not all(map(is_identifier, ids)):
        raise ValueError("The event has an id that cannot be stored.")
    return parsed
