"""The sandbox's webhooks: signed over the time and the body, so that nobody can make one up or send an old one again."""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from domain.notices import About, Forged, Notice
from domain.providers import DisputeSeen
from domain.purchases import Dispute
from worker.providers.identifiers import is_word
from worker.providers.sandbox.resources import read_refund

TOLERANCE = 300  # seconds between its clock and ours, the way included
LONGEST = 64 * 1024  # bytes; an event has about three hundred
LONGEST_CHARGE = 255  # characters, as the sandbox has it
LONGEST_HEADER = 1000  # characters; two signatures have about 150

ABOUT = {
    "refund.created": About.REFUND,
    "refund.updated": About.REFUND,
    "dispute.opened": About.DISPUTE,
    "dispute.won": About.DISPUTE,
    "dispute.lost": About.DISPUTE,
}
_DISPUTES = {"open": Dispute.OPEN, "won": Dispute.WON, "lost": Dispute.LOST}
_UNREADABLE = Forged("The webhook is signed, but nobody can read it.")


class SandboxWebhooks:
    """Reads what the sandbox tells. ``secret`` is several with commas between while it changes."""

    answer = b""

    def __init__(self, secret: SecretStr) -> None:
        self._secrets = [each.encode() for part in secret.get_secret_value().split(",") if (each := part.strip())]

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[Notice] | Forged:
        if len(body) > LONGEST:
            return Forged("The webhook is too large to be one of the sandbox's.")
        signed_at, signatures = _read_signature(headers.get("sandbox-signature", ""))
        if signed_at is None:
            return Forged("The webhook has no signature that can be read.")
        if not self._signed(f"{signed_at}.".encode() + body, signatures):
            return Forged("The webhook is not signed with our secret.")
        if abs(at.timestamp() - int(signed_at)) > TOLERANCE:
            return Forged(f"The webhook was signed more than {TOLERANCE} seconds away from now.")
        return _read_event(body)

    def _signed(self, text: bytes, signatures: Sequence[bytes]) -> bool:
        ours = [hmac.new(secret, text, sha256).hexdigest().encode() for secret in self._secrets]
        return any(hmac.compare_digest(one, theirs) for one in ours for theirs in signatures)


def _read_signature(header: str) -> tuple[str | None, list[bytes]]:
    """The time, as it was signed, and every signature: there are several while the secret changes."""
    parts = [part.partition("=") for part in header[:LONGEST_HEADER].split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value.encode(errors="replace") for name, _, value in parts if name == "v1"]
    sound = len(times) == 1 and times[0].isascii() and times[0].isdecimal()
    return times[0] if sound else None, signatures


def _read_event(body: bytes) -> Sequence[Notice] | Forged:
    try:
        event = json.loads(body)
        about, name, data = ABOUT.get(event["type"]), event["id"], event["data"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return _UNREADABLE
    if not is_word(name) or type(data) is not dict:
        return _UNREADABLE
    if about is None:
        return []
    if not _is_charge(data.get("charge")):
        return _UNREADABLE
    notice = _of_refund(name, data) if about is About.REFUND else _of_dispute(name, data)
    return [notice] if notice else _UNREADABLE


def _of_refund(event: str, data: dict[str, Any]) -> Notice | None:
    refund = read_refund(data)
    return refund and Notice(event, About.REFUND, refund.charge, refund.id, refund.answer())


def _of_dispute(event: str, data: dict[str, Any]) -> Notice | None:
    dispute_id, status = data.get("id"), data.get("status")
    if not is_word(dispute_id) or type(status) is not str or status not in _DISPUTES:
        return None
    return Notice(event, About.DISPUTE, data["charge"], said=DisputeSeen(_DISPUTES[status], dispute_id))


def _is_charge(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= LONGEST_CHARGE and value.isprintable()
