"""Braintree's webhooks: a form with a signed notification."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from braintree.braintree_gateway import BraintreeGateway

from domain.notices import About, Forged, Notice
from worker.providers.braintree.client import GARBAGE
from worker.providers.identifiers import is_word

# Braintree repeats what was not answered every hour for a day ("Webhooks", "Parse", "Retries"), and its time is the
# event's. A replay within that day is a repeat like theirs: it makes us look once more.
LATEST = timedelta(hours=25)
EARLIEST = timedelta(minutes=5)  # their clock may be ahead of ours
_ABOUT = {"dispute": About.DISPUTE, "refund": About.REFUND, "transaction": About.REFUND}  # by the first part of a kind


class BraintreeReader:
    answer = b""

    def __init__(self, gateway: BraintreeGateway) -> None:
        self._notifications = gateway.webhook_notification

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[Notice] | Forged:  # noqa: ARG002
        try:
            form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
            [signature], [payload] = form["bt_signature"], form["bt_payload"]
            notification: Any = self._notifications.parse(signature, payload)
            kind, signed_at = notification.kind, notification.timestamp.replace(tzinfo=UTC)
            about = _ABOUT.get(kind.partition("_")[0])
            if not at - LATEST <= signed_at <= at + EARLIEST:
                return Forged("The webhook is older than any that Braintree repeats.")
            if about is About.DISPUTE:
                dispute = notification.dispute
                return _notices(f"{kind} {dispute.id}", signed_at, about, dispute.transaction.id, None)
            if about is About.REFUND:
                return _about_a_refund(kind, notification.transaction, signed_at)
        except GARBAGE:
            return Forged("The webhook is not signed with our keys, or cannot be read.")
        return []


def _about_a_refund(kind: str, transaction: Any, at: datetime) -> Sequence[Notice] | Forged:  # noqa: ANN401
    """A transaction that is no refund is nothing to us: we take no payments."""
    charge = getattr(transaction, "refunded_transaction_id", None)
    if charge is None and kind != "refund_failed":
        return []
    return _notices(f"{kind} {transaction.id}", at, About.REFUND, charge, transaction.id)


def _notices(
    what: str, at: datetime, about: About, charge: str | None, refund_id: str | None
) -> Sequence[Notice] | Forged:
    """Braintree gives its notifications no ids: what happened to what, and when, is one."""
    event = f"{what} {at:%Y-%m-%dT%H:%M:%SZ}"
    if not all(word is None or is_word(word) for word in (event, charge, refund_id)):
        return Forged("The webhook is signed, but cannot be read.")
    return [Notice(event=event, about=about, charge=charge, refund_id=refund_id)]
