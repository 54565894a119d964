"""Mollie's webhooks. The classic ones only name a payment; the signed ones carry an event."""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from domain.notices import About, Forged, Notice
from worker.providers.identifiers import is_word

# By the first part of an event's type: docs.mollie.com, "Webhooks for the Refunds API" and "… for the Chargebacks API";
# disputes as mollie-api-php has them, src/Webhooks/Events. Payments, payouts and the rest are nothing to us.
_ABOUT = {"refund": About.REFUND, "dispute": About.DISPUTE, "chargeback": About.DISPUTE}
_ID = re.compile(r"[a-z]+_\w{1,60}", re.ASCII)


class MollieReader:
    """Without a secret only classic webhooks are taken: nobody signs them, but all they can do is make us look.

    With a secret, which is for the next-generation webhooks, nothing unsigned is taken. Mollie signs no time, and
    repeats an event for a day: that it is one of those is for its id to say.
    """

    answer = b""

    def __init__(self, secret: str) -> None:
        """``secret`` may be several with commas between, or empty."""
        self._secrets = [part.strip().encode() for part in secret.split(",") if part.strip()]

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[Notice] | Forged:  # noqa: ARG002
        if not self._secrets:
            return _classic(body)
        if not self._is_signed(headers.get("x-mollie-signature", ""), body):
            return Forged("The webhook is not signed with our secret.")
        return _event(body)

    def _is_signed(self, header: str, body: bytes) -> bool:
        """Any of the header's signatures by any of our secrets: Mollie sends two while a secret changes."""
        signatures = [part.strip().removeprefix("sha256=").encode(errors="replace") for part in header.split(",")]
        ours = [hmac.new(secret, body, "sha256").hexdigest().encode() for secret in self._secrets]
        return any(hmac.compare_digest(one, other) for one in ours for other in signatures)


def _classic(body: bytes) -> Sequence[Notice] | Forged:
    """``id=tr_…``: something about this payment changed, a refund or a chargeback among it."""
    try:
        ids = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10).get("id", [])
    except ValueError:
        ids = []
    if len(ids) != 1 or not _ID.fullmatch(ids[0]):
        return Forged("The webhook is unsigned, and no classic one that names what changed.")
    if not ids[0].startswith("tr_"):
        return []  # an order, a subscription, a payment link
    return [Notice(event=ids[0], about=About.REFUND, charge=ids[0], repeats=True)]


def _event(body: bytes) -> Sequence[Notice] | Forged:
    try:
        event: dict[str, Any] = json.loads(body)
        about = _ABOUT.get(event["type"].partition(".")[0])
        if about is None:
            return []
        name, subject = event["id"], event["entityId"]
        entity = (event.get("_embedded") or {}).get("entity") or {}  # there is none where the short form is wanted
        charge = entity.get("paymentId")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Forged("The webhook is signed, but cannot be read.")
    if not is_word(name) or not is_word(subject) or (charge is not None and not is_word(charge)):
        return Forged("The webhook is signed, but cannot be read.")
    refund = subject if about is About.REFUND else None
    return [Notice(event=name, about=about, charge=charge, refund_id=refund)]
