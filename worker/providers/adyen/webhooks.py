"""Verifies and parses Adyen's webhooks. Adyen reports the outcome of a refund only by webhook, and signs only some fields."""

import hmac
import json
from base64 import b64encode
from binascii import unhexlify
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from config.provider_accounts import AdyenAccount
from domain.errors import RefusedError
from domain.money import UnknownMoneyError
from domain.providers import DeclineReason, DisputeStatus, Failed, Paid, Pending
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from worker.providers.adyen.amounts import parse_amount
from worker.providers.identifiers import is_identifier

log = structlog.get_logger()

MAX_ITEMS = 100  # the maximum number of items in one webhook; Adyen usually sends only a few
REQUIRED_IDENTIFIERS = ("pspReference", "merchantAccountCode", "eventCode", "success")

RefundParser = Callable[[Mapping[str, Any]], Paid | Pending | Failed]


def _parse_paid(item: Mapping[str, Any]) -> Paid:
    return Paid(item["pspReference"], parse_amount(item["amount"]))


def _parse_pending(item: Mapping[str, Any]) -> Pending:
    return Pending(item["pspReference"], parse_amount(item["amount"]))


def _parse_failed(reason: DeclineReason) -> RefundParser:
    """Return the parser of a refund that failed for ``reason``.

    The event code and ``success`` decide about ``reason``, because Adyen signs them. Adyen's own reason is only shown, because
    Adyen does not sign it.
    """

    def parse(item: Mapping[str, Any]) -> Failed:
        code = item.get("reason")
        return Failed(item["pspReference"], code if is_identifier(code) else item["eventCode"], reason)

    return parse


REFUNDS: Mapping[tuple[str, str], RefundParser] = {
    # The key is (eventCode, success). Source: docs.adyen.com, "Refund" and "Webhook types".
    ("REFUND", "true"): _parse_paid,
    ("REFUND", "false"): _parse_failed(
        DeclineReason.DECLINED_LATER
    ),  # "the refund validations failed": nothing was sent
    ("REFUND_FAILED", "true"): _parse_failed(
        DeclineReason.PERMANENT
    ),  # the card scheme or the bank rejected the refund
    ("REFUNDED_REVERSED", "true"): _parse_failed(DeclineReason.PERMANENT),  # the money came back
    ("POSTPONED_REFUND", "true"): _parse_pending,  # Adyen sends the refund after the payment is settled
    ("VOID_PENDING_REFUND", "true"): _parse_failed(DeclineReason.CANCELLED),  # the seller cancelled a postponed refund
    ("CANCEL_OR_REFUND", "true"): _parse_paid,  # the payment was cancelled or refunded; both give the money back
    ("CANCEL_OR_REFUND", "false"): _parse_failed(DeclineReason.DECLINED_LATER),
}
"""For each kind of event, the function that reads the refund's status. The event's pspReference is the id of the refund."""

DISPUTES: Mapping[str, Dispute] = {
    # Source: docs.adyen.com, "Dispute webhooks" and "Dispute flow".
    "ISSUER_COMMENTS": Dispute.OPEN,  # the bank explains a dispute: this event counts only until another event arrives
    "INFORMATION_SUPPLIED": Dispute.OPEN,  # the seller defends: this event counts only until another event arrives
    "NOTIFICATION_OF_FRAUD": Dispute.INQUIRY,  # an early warning of the bank, without a dispute
    "REQUEST_FOR_INFORMATION": Dispute.INQUIRY,
    "NOTIFICATION_OF_CHARGEBACK": Dispute.OPEN,
    "CHARGEBACK": Dispute.LOST,  # the bank took the money, although the seller may still object
    "DISPUTE_DEFENSE_PERIOD_ENDED": Dispute.LOST,  # the seller did not object, or accepted the chargeback
    "CHARGEBACK_REVERSED": Dispute.OPEN,  # the seller has the money again, but a second chargeback may follow
    "PREARBITRATION_OPEN": Dispute.OPEN,
    "PREARBITRATION_DECLINED": Dispute.OPEN,  # the seller declined, so the bank may ask the card scheme to decide
    "PREARBITRATION_ISSUER_WITHDRAWN": Dispute.OPEN,  # the bank may open the case again
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": Dispute.WON,  # the bank accepted the defense, or did not answer it in time
    "PREARBITRATION_ACCEPTED": Dispute.LOST,  # the seller accepted, so a second chargeback follows
    "SECOND_CHARGEBACK": Dispute.LOST,
    "PREARBITRATION_LOST": Dispute.LOST,
    "PREARBITRATION_WON": Dispute.WON,
    "SCHEME_ARBITRATION": Dispute.OPEN,
    "SCHEME_ARBITRATION_LOST": Dispute.LOST,
    "SCHEME_ARBITRATION_WON": Dispute.WON,
}
"""For each kind of event, the status of the dispute. The event's pspReference is the id of the dispute. The field
``disputeStatus`` is ignored, because Adyen does not sign it."""

STAGES = (*DISPUTES,)
"""The events of a dispute, in their usual order. The order replaces the time of an event, which Adyen does not sign.

If events of two flows are possible, an event that may follow the other event comes later. For example, a second chargeback
may precede a won pre-arbitration, but never follows it.
"""


class AdyenHmacKeyError(RefusedError):
    """MONEYBACK_ADYEN_HMAC_KEY is not hexadecimal. Copy the key as Adyen's Customer Area shows it."""


def create_webhook_parser(account: AdyenAccount, *, provider_timeout_seconds: float) -> WebhookParser:  # noqa: ARG001 - no provider is called
    """Create the parser of this account's webhooks. Raise AdyenHmacKeyError if a key is not hexadecimal."""
    keys = account.hmac_key.get_secret_value() if account.hmac_key else ""
    return AdyenWebhookParser(keys, account.merchant_account)


class AdyenWebhookParser:
    """A parser that verifies the signature of each item, and reads the item.

    Adyen does not sign a time, and repeats an event for days. A repeated event has the same event id.
    """

    answer = b"[accepted]"

    def __init__(self, keys: str, merchant: str) -> None:
        """Take one HMAC key, several keys separated by commas, or an empty string.

        Raise AdyenHmacKeyError if a key is not hexadecimal.
        """
        self._merchant = merchant
        try:
            self._keys = [unhexlify(part.strip()) for part in keys.split(",") if part.strip()]
        except ValueError:  # the text of the ValueError quotes the key, so it must not be shown
            raise AdyenHmacKeyError(AdyenHmacKeyError.__doc__) from None

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:  # noqa: ARG002
        """Parse the signed items of our merchant account. Return InvalidSignature if no item is signed with our key.

        Each item has its own signature. So an item that is not signed, or that cannot be read, does not stop the items beside
        it: it is left out. An event without ``originalReference`` names no payment. If the event is about a dispute, the
        payment is found by an earlier event of the dispute.
        """
        if not self._keys:
            return InvalidSignature("Adyen's HMAC key is not configured, so no webhook can be verified.")
        try:
            items = [_parse_row(row) for row in json.loads(body.decode())["notificationItems"]]
        except (ValueError, RecursionError, KeyError, TypeError):
            return InvalidSignature("The webhook cannot be read.")
        if not 0 < len(items) <= MAX_ITEMS:
            return InvalidSignature("The webhook has no items, or too many.")
        signed_items = [item for item in items if self._is_signed(item)]
        if not signed_items:
            return InvalidSignature("No item of the webhook is signed with our key.")
        if len(signed_items) < len(items):
            log.warning("webhook_items_left_out", provider="adyen", items=len(items) - len(signed_items))
        own_items = [item for item in signed_items if item["merchantAccountCode"] == self._merchant]
        return [event for item in own_items if (event := _parse_event(item))]

    def _is_signed(self, item: Mapping[str, Any]) -> bool:
        try:
            text, signature = _build_signed_text(item), item["additionalData"]["hmacSignature"]
        except (KeyError, TypeError):
            return False
        if text is None or not is_identifier(signature) or not signature.isascii():
            return False
        return any(hmac.compare_digest(compute_signature(text, key), signature) for key in self._keys)


def _parse_row(row: Any) -> Mapping[str, Any]:  # noqa: ANN401 - Adyen's JSON may be anything
    """Return the item, or an empty item if ``row`` contains no item."""
    item = row.get("NotificationRequestItem") if type(row) is dict else None
    return item if type(item) is dict else {}


def compute_signature(text: str, key: bytes) -> str:
    """Compute the signature of an item: Base64 of HMAC-SHA256 (docs.adyen.com, "Verify HMAC signatures")."""
    return b64encode(hmac.digest(key, text.encode(errors="surrogatepass"), "sha256")).decode()


def _build_signed_text(item: Mapping[str, Any]) -> str | None:
    """Return the fields that Adyen signs, joined by colons. Return None if a colon in a field makes the text ambiguous.

    A field that is null is signed as an absent field: as an empty text.
    """
    value, currency = item["amount"]["value"], item["amount"]["currency"]
    original, merchant_reference = item.get("originalReference"), item.get("merchantReference")
    if merchant_reference is None:
        merchant_reference = ""
    identifiers = [*(item[name] for name in REQUIRED_IDENTIFIERS), currency, *([original] if original else [])]
    is_unambiguous = (
        all(is_identifier(identifier) and ":" not in identifier for identifier in identifiers)
        and type(value) is int
        and type(merchant_reference) is str
    )
    if not is_unambiguous:
        return None
    psp_reference, merchant, event, success = identifiers[:4]
    return ":".join([psp_reference, original or "", merchant, merchant_reference, str(value), currency, event, success])


def _parse_event(item: Mapping[str, Any]) -> WebhookEvent | None:
    event, success, psp_reference = item["eventCode"], item["success"], item["pspReference"]
    charge, event_id = item.get("originalReference") or None, f"{psp_reference} {event} {success}"
    if event in DISPUTES and success == "true":
        dispute = DisputeStatus(DISPUTES[event], psp_reference, STAGES.index(event), _parse_deadline(item))
        return WebhookEvent(event_id, Subject.DISPUTE, charge, dispute_id=psp_reference, reported=dispute)
    if parse := REFUNDS.get((event, success)):
        return WebhookEvent(event_id, Subject.REFUND, charge, psp_reference, reported=_parse_reported(parse, item))
    return None


def _parse_reported(parse: RefundParser, item: Mapping[str, Any]) -> Paid | Pending | Failed | None:
    try:
        return parse(item)
    except UnknownMoneyError:
        return None


def _parse_deadline(item: Mapping[str, Any]) -> datetime | None:
    """Return the end of the defense period. The instant is shown but decides nothing, because Adyen does not sign it."""
    text = item["additionalData"].get("defensePeriodEndsAt")
    try:
        deadline = datetime.fromisoformat(text) if type(text) is str else None
    except ValueError:
        return None
    return deadline if deadline and deadline.tzinfo else None
