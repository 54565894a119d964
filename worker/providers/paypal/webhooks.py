"""PayPal's webhooks: signed with a certificate of PayPal's, over the raw body and our webhook's id."""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from domain.notices import About, Forged, Notice
from worker.providers.identifiers import is_word
from worker.providers.paypal.resources import ID, charge_of, instant
from worker.providers.paypal.webhook_certificates import CertificateError, Certificates

ALGORITHM = "SHA256withRSA"
SKEW = timedelta(minutes=5)
OLDEST = timedelta(days=3) + SKEW
"""PayPal sends an event up to 25 times within three days ("Webhooks", "Notification messages"), and does not say that it
signs it anew each time. An old one that is replayed has an event id that we know, and only makes us look."""
ANYBODYS = "WEBHOOK_ID"  # what PayPal's public simulator signs for, whoever asks it
LONGEST_HEADER = 1_000  # characters

ABOUT: Mapping[str, About] = {
    "PAYMENT.CAPTURE.REFUNDED": About.REFUND,
    "PAYMENT.CAPTURE.REVERSED": About.DISPUTE,  # PayPal took the money back: a dispute or a chargeback was lost
    "PAYMENT.SALE.REFUNDED": About.REFUND,  # of a subscription, which still has the words of v1
    "PAYMENT.SALE.REVERSED": About.DISPUTE,
    "PAYMENT.REFUND.PENDING": About.REFUND,
    "PAYMENT.REFUND.COMPLETED": About.REFUND,
    "PAYMENT.REFUND.FAILED": About.REFUND,
    "PAYMENT.REFUND.CANCELLED": About.REFUND,
    "CUSTOMER.DISPUTE.CREATED": About.DISPUTE,
    "CUSTOMER.DISPUTE.UPDATED": About.DISPUTE,
    "CUSTOMER.DISPUTE.RESOLVED": About.DISPUTE,
}
"""What an event is about ("Webhook event names"). Others are none of our business."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(Z|[+-][0-9]{2}:[0-9]{2})")


_SIGNED = ("transmission-id", "transmission-time", "transmission-sig", "cert-url")


class NotProvenError(Exception):
    """Nobody proved to have sent this. The message says why."""


class PayPalReader:
    """``webhook_ids`` with a comma between them are all ours, while one takes the other's place."""

    answer = b""

    def __init__(self, webhook_ids: str, certificates: Certificates) -> None:
        self._ours = [id_ for part in webhook_ids.split(",") if (id_ := part.strip()) and id_ != ANYBODYS]
        self._certificates = certificates

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[Notice] | Forged:
        if not self._ours:
            return Forged("PayPal's webhook id is not configured, so nobody can prove who sent this.")
        try:
            event = json.loads(body.decode())
        except (ValueError, RecursionError):
            return Forged("The body cannot be read.")
        try:
            self._prove(headers, body, at)
        except (NotProvenError, CertificateError) as error:
            return Forged(str(error))
        try:
            return _notices(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            return Forged("The event cannot be read.")

    def _prove(self, headers: Mapping[str, str], body: bytes, at: datetime) -> None:
        """Raises NotProvenError and CertificateError. Nothing is fetched for what is wrong at first sight."""
        id_, time, signature, address = (headers.get(f"paypal-{name}", "") for name in _SIGNED)
        if any(not 0 < len(value) <= LONGEST_HEADER for value in (id_, time, signature, address)):
            raise NotProvenError("A header of the signature is missing, or too long.")
        if headers.get("paypal-auth-algo") != ALGORITHM:
            raise NotProvenError("The signature is not SHA256withRSA.")
        if not _is_of_our_time(time, at):
            raise NotProvenError("The signature is too old, or of the future.")
        try:
            proof = b64decode(signature, validate=True)
        except ValueError:
            raise NotProvenError("The signature cannot be read.") from None
        key = self._certificates.key(address, at)
        for ours in self._ours:
            signed = f"{id_}|{time}|{ours}|{zlib.crc32(body)}"
            with suppress(InvalidSignature):
                key.verify(proof, signed.encode(errors="replace"), PKCS1v15(), SHA256())
                return
        raise NotProvenError("The signature is not of this body and our webhook.")


def _is_of_our_time(text: str, at: datetime) -> bool:
    try:
        return bool(_TIME.fullmatch(text)) and -SKEW <= at - instant(text) <= OLDEST
    except (ValueError, OverflowError):
        return False


def _notices(event: Any) -> list[Notice]:  # noqa: ANN401 - whatever PayPal signed
    about = ABOUT.get(event["event_type"])
    if about is None:
        return []
    id_, resource = event["id"], event["resource"]
    if not is_word(id_):
        raise ValueError("An event has an id.")
    if event["event_type"].startswith("CUSTOMER.DISPUTE."):
        charges = [_id(row.get("seller_transaction_id")) for row in resource["disputed_transactions"]]
        return [Notice(f"{id_}/{charge}", about, charge) for charge in dict.fromkeys(charges) if charge]
    charge = _id(resource.get("sale_id")) or charge_of({"links": resource.get("links") or []}) or None
    return [Notice(id_, about, charge, _id(resource["id"]))]


def _id(value: object) -> str | None:
    return value if type(value) is str and ID.fullmatch(value) else None
