"""Fetches a capture, its order and its refunds."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from domain.providers import Declined, DeclineReason, Unknown
from worker.providers.paypal.client import PayPalClient
from worker.providers.paypal.codes import INVALID_RESOURCE_ID
from worker.providers.paypal.refund_list import list_refunds_of
from worker.providers.paypal.resources import (
    ID,
    PARTIALLY_REFUNDED,
    Capture,
    Refund,
    is_live,
    parse_capture,
    parse_order_refunds,
    parse_refund,
    parse_total_refunded,
)


def get_capture(client: PayPalClient, charge: str) -> Capture | Declined | Unknown:
    """Fetch the capture. Return Declined if PayPal does not know the capture."""
    if not ID.fullmatch(charge):
        return Declined(DeclineReason.PERMANENT, INVALID_RESOURCE_ID)
    reply = client.get_capture(charge)
    if isinstance(reply, Unknown):
        return reply
    if reply.status == HTTPStatus.NOT_FOUND and reply.code:
        return Declined(DeclineReason.PERMANENT, reply.code)
    capture = parse_capture(reply.body) if reply.is_success else None
    if capture is None or capture.id != charge:
        return Unknown(f"PayPal answered {reply.status}, without a capture that can be read.")
    return capture


def find_refunded_capture(client: PayPalClient, refund_id: str) -> str | Declined | Unknown:
    """Return the capture of the refund with this id. Return Declined if PayPal does not know the refund."""
    if not ID.fullmatch(refund_id):
        return Declined(DeclineReason.PERMANENT, INVALID_RESOURCE_ID)
    reply = client.get_refund(refund_id)
    if isinstance(reply, Unknown):
        return reply
    if reply.status == HTTPStatus.NOT_FOUND and reply.code:
        return Declined(DeclineReason.PERMANENT, reply.code)
    refund = parse_refund(reply.body) if reply.is_success else None
    if refund is None or refund.id != refund_id:
        return Unknown(f"PayPal answered {reply.status}, without a refund that can be read.")
    return refund.charge


def get_order(client: PayPalClient, capture: Capture) -> Mapping[str, Any] | Unknown | None:
    """Fetch the capture's order. Return None if the capture has no order, or if PayPal has deleted the order."""
    if capture.order is None:
        return None
    reply = client.get_order(capture.order)
    if isinstance(reply, Unknown):
        return reply
    if reply.status == HTTPStatus.NOT_FOUND and reply.code:
        return None
    return reply.body if reply.is_success else Unknown(f"PayPal answered {reply.status}, without the order.")


def find_refunds(client: PayPalClient, capture: Capture) -> list[Refund] | Unknown:
    """Return the refunds of a capture. Read its order first, because the search shows a refund up to three hours late."""
    refunds = _find_order_refunds(client, capture)
    if isinstance(refunds, Unknown) or capture.is_unrefunded or any(map(is_live, refunds)):
        return refunds
    found_refunds = list_refunds_of(client, capture.id, capture.updated)
    return found_refunds if isinstance(found_refunds, Unknown) else refunds + found_refunds


def sum_refunds(client: PayPalClient, capture: Capture) -> int | Unknown:
    """Return the sum of the refunds that have not failed, in minor units.

    Only an order shows all refunds. Without an order, the newest refund contains the sum.
    """
    if capture.is_unrefunded:
        return 0
    if capture.status != PARTIALLY_REFUNDED:
        return capture.amount.minor
    refunds = find_refunds(client, capture)
    if isinstance(refunds, Unknown):
        return refunds
    live_refunds = [refund for refund in refunds if is_live(refund)]
    if not live_refunds:
        return Unknown("PayPal says that a part of this capture was refunded, but does not show the refund yet.")
    sums = [sum(refund.amount.minor for refund in live_refunds)]
    if newest := max((refund.created for refund in live_refunds if refund.created), default=None):
        reply = client.get_refund(next(refund.id for refund in live_refunds if refund.created == newest))
        if isinstance(reply, Unknown):
            return reply
        total = parse_total_refunded(reply.body) if reply.is_success else None
        sums += [total.minor] if total and total.currency == capture.amount.currency else []
    return max(sums)


def _find_order_refunds(client: PayPalClient, capture: Capture) -> list[Refund] | Unknown:
    order = get_order(client, capture)
    if order is None or isinstance(order, Unknown):
        return order or []
    refunds = parse_order_refunds(order, capture.id)
    return refunds if refunds is not None else Unknown("PayPal's order cannot be read.")
