import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import stripe
from pydantic import SecretStr

from domain.notices import About, Forged, Notice
from worker.providers.identifiers import is_word

OLDEST = 300  # seconds, as in Stripe's libraries; on both sides of now

_REFUNDS = {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
_REFUNDED = "charge.refunded"  # the only one about a refund that carries the charge instead
_DISPUTES = "charge.dispute."


class StripeWebhooks:
    """Reads Stripe's snapshot events. What they say is not believed: they make us look."""

    answer = b""

    def __init__(self, secrets: SecretStr | None) -> None:
        texts = secrets.get_secret_value().split(",") if secrets else []
        self._secrets = [text.strip() for text in texts if text.strip()]

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[Notice] | Forged:
        if not self._secrets:
            return Forged("There is no secret to read Stripe's webhooks with.")
        header = headers.get("stripe-signature", "")
        if not any(_is_signed(body, header, secret) for secret in self._secrets):
            return Forged("The signature is not Stripe's.")
        if abs(at.timestamp() - _signed_at(header)) > OLDEST:
            return Forged("The signature is of another time.")
        try:
            return _notices(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return Forged("Stripe's event cannot be read.")


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret))
    except (stripe.SignatureVerificationError, ValueError, TypeError):  # no UTF-8; a signature that is no ASCII
        return False


def _signed_at(header: str) -> float:
    """The signed time, which is the first one: so the SDK reads it."""
    times = (part.partition("=")[2] for part in header.split(",") if part.startswith("t="))
    try:
        return float(int(next(times)))
    except (ValueError, OverflowError):
        return float("-inf")


def _notices(event: dict[str, Any]) -> list[Notice]:
    kind, told = event["type"], event["data"]["object"]
    if kind in _REFUNDS:
        return _about(About.REFUND, event, told["charge"], told.get("payment_intent"), refund=_word(told["id"]))
    if kind == _REFUNDED:
        return _about(About.REFUND, event, told["id"], told.get("payment_intent"))
    if kind.startswith(_DISPUTES):
        return _about(About.DISPUTE, event, told["charge"], told.get("payment_intent"))
    return []


def _about(about: About, event: dict[str, Any], *names: object, refund: str | None = None) -> list[Notice]:
    """A payment has two names, and a purchase may carry either: one notice for each, the second under an id of its own."""
    known = [_word(name) for name in names if name is not None]
    if not known:
        raise ValueError
    return [
        Notice(_word(event["id"] if name is known[0] else f"{event['id']}:{name}"), about, name, refund)
        for name in known
    ]


def _word(value: object) -> str:
    if not is_word(value):
        raise ValueError
    return value
