"""Adyen's webhooks: the only way in which it tells what became of a refund. Each item is signed, though not all of it."""

import json
from binascii import unhexlify
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from Adyen.util import is_valid_hmac_notification

from domain.errors import RefusedError
from domain.money import UnknownMoneyError
from domain.notices import About, Forged, Notice
from domain.providers import DisputeSeen, Failed, Paid, Pending
from domain.purchases import Dispute
from worker.providers.adyen.amounts import read
from worker.providers.identifiers import is_word

MOST_ITEMS = 100  # of one webhook; Adyen sends a few at most
SIGNED = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference", "eventCode", "success")
"""What the signature covers, with the amount ("Verify HMAC signatures"). Nothing else decides anything: a failed refund
is PERMANENT whatever its ``reason`` says, as the words are for people, and ``disputeStatus`` is not looked at."""
NEEDED = ("pspReference", "merchantAccountCode", "eventCode", "success")

Said = Callable[[Mapping[str, Any]], Paid | Pending | Failed]


def _paid(item: Mapping[str, Any]) -> Paid:
    return Paid(item["pspReference"], read(item["amount"]))


def _pending(item: Mapping[str, Any]) -> Pending:
    return Pending(item["pspReference"], read(item["amount"]))


def _failed(item: Mapping[str, Any]) -> Failed:
    reason = item.get("reason")
    return Failed(item["pspReference"], reason if is_word(reason) else item["eventCode"])


REFUNDS: Mapping[tuple[str, str], Said] = {
    # by eventCode and success ("Refund", "Webhook types")
    ("REFUND", "true"): _paid,
    ("REFUND", "false"): _failed,
    ("REFUND_FAILED", "true"): _failed,  # the scheme or the bank rejected it after all
    ("REFUNDED_REVERSED", "true"): _failed,  # the money came back
    ("POSTPONED_REFUND", "true"): _pending,  # it goes out when the payment is settled
    ("VOID_PENDING_REFUND", "true"): _failed,  # such a one was called back
    ("CANCEL_OR_REFUND", "true"): _paid,  # somebody reversed the payment: cancelled or refunded, the customer has it
    ("CANCEL_OR_REFUND", "false"): _failed,
}
"""What an event says of the refund with its pspReference."""

DISPUTES: Mapping[str, Dispute] = {
    # docs.adyen.com, "Dispute webhooks"
    "REQUEST_FOR_INFORMATION": Dispute.OPEN,
    "NOTIFICATION_OF_CHARGEBACK": Dispute.OPEN,
    "CHARGEBACK": Dispute.LOST,  # the money is gone, though it may be fought for
    "CHARGEBACK_REVERSED": Dispute.OPEN,  # it is back for now: a second chargeback may follow
    "SECOND_CHARGEBACK": Dispute.LOST,
    "PREARBITRATION_OPEN": Dispute.OPEN,
    "PREARBITRATION_WON": Dispute.WON,
    "PREARBITRATION_LOST": Dispute.LOST,
}
"""What an event says of the dispute with its pspReference. NOTIFICATION_OF_FRAUD is a hint and no dispute."""
STAGES = (*DISPUTES,)
"""In the order in which a dispute comes to them. When an event happened is written beside it, but nobody signs that."""


class AdyenHmacKeyError(RefusedError):
    """MONEYBACK_ADYEN_HMAC_KEY is not in hex, as Adyen's Customer Area shows it."""


class AdyenReader:
    """Adyen signs no time, and tries for days: that a webhook is a repeat is for its event id to say."""

    answer = b"[accepted]"

    def __init__(self, keys: str, merchant: str) -> None:
        """``keys`` may be several with commas between, or empty. Raises AdyenHmacKeyError."""
        self._keys = [part.strip() for part in keys.split(",") if part.strip()]
        self._merchant = merchant
        try:
            for key in self._keys:
                unhexlify(key)
        except ValueError:  # which quotes it
            raise AdyenHmacKeyError(AdyenHmacKeyError.__doc__) from None

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[Notice] | Forged:  # noqa: ARG002
        if not self._keys:
            return Forged("Adyen's HMAC key is not configured, so nobody can prove who sent this.")
        try:
            rows = json.loads(body.decode())["notificationItems"]
            items = [row["NotificationRequestItem"] for row in rows]
        except (ValueError, RecursionError, KeyError, TypeError):
            return Forged("The webhook cannot be read.")
        if not 0 < len(items) <= MOST_ITEMS or not all(self._is_signed(item) for item in items):
            return Forged("An item of the webhook is not signed with our key.")
        ours = [item for item in items if item["merchantAccountCode"] == self._merchant]
        return [notice for item in ours if (notice := _notice(item))]

    def _is_signed(self, item: Any) -> bool:  # noqa: ANN401 - whatever came
        """Only what is signed is shown to the SDK: it would look for the signature in an item within the item."""
        try:
            signed = {name: item[name] for name in SIGNED if name in item}
            amount = {"value": item["amount"]["value"], "currency": item["amount"]["currency"]}
            signature = item["additionalData"]["hmacSignature"]
        except (KeyError, TypeError):
            return False
        if not _is_unequivocal(signed, amount) or not is_word(signature) or not signature.isascii():
            return False
        whole = {**signed, "amount": amount, "additionalData": {"hmacSignature": signature}}
        try:
            return any(is_valid_hmac_notification(whole, key) for key in self._keys)
        except UnicodeEncodeError:  # half a character, which nobody could have signed
            return False


def _is_unequivocal(signed: Mapping[str, object], amount: Mapping[str, object]) -> bool:
    """The signature is of its fields joined by colons: with one in two of them, it would fit two items."""
    words = [signed.get(name) for name in NEEDED] + [amount["currency"], signed.get("originalReference") or "-"]
    return (
        all(is_word(word) and ":" not in word for word in words)
        and type(amount["value"]) is int
        and type(signed.get("merchantReference", "")) is str
    )


def _notice(item: Mapping[str, Any]) -> Notice | None:
    event, success, id_ = item["eventCode"], item["success"], item["pspReference"]
    charge, name = item.get("originalReference") or None, f"{id_} {event} {success}"
    if event in DISPUTES and success == "true":
        return Notice(name, About.DISPUTE, charge, said=DisputeSeen(DISPUTES[event], id_, STAGES.index(event)))
    if says := REFUNDS.get((event, success)):
        return Notice(name, About.REFUND, charge, id_, said=_said(says, item))
    return None


def _said(says: Said, item: Mapping[str, Any]) -> Paid | Pending | Failed | None:
    try:
        return says(item)
    except UnknownMoneyError:
        return None
