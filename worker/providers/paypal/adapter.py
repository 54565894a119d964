"""Implements the payment provider PayPal."""

from datetime import datetime
from http import HTTPStatus

from config.provider_accounts import PayPalAccount
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    LookupResult,
    NotFound,
    PaymentProvider,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.disputes import select_deciding_dispute
from worker.providers.paypal.amounts import format_amount
from worker.providers.paypal.client import PayPalClient, PayPalReply
from worker.providers.paypal.codes import CAPABILITIES, CODES, DISPUTE_OUTCOMES
from worker.providers.paypal.resources import (
    ID,
    Capture,
    Refund,
    parse_capture,
    parse_disputes,
    parse_order_refunds,
    parse_refund,
)
from worker.providers.paypal.transaction_search import list_refunds, list_refunds_of

INVALID_CAPTURE = "INVALID_RESOURCE_ID"  # PayPal's own code
NOT_A_CAPTURE = Unknown("This is not the id of a PayPal capture, so nothing was looked up.")


def create_adapter(account: PayPalAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    return PayPalAdapter(
        PayPalClient(account, connections=connections), provider_timeout_seconds=provider_timeout_seconds
    )


class PayPalAdapter(CapabilityDefaults):
    """An adapter that refunds captures through PayPal. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(self, client: PayPalClient, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Refund the capture, and check that the reply is about this refund."""
        if not ID.fullmatch(charge):
            return Declined(DeclineReason.PERMANENT, INVALID_CAPTURE)
        with time_limit(self._seconds):
            reply = self._client.refund_capture(charge, format_amount(amount), key=key)
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_success:
            return _map_decline(reply)
        refund = parse_refund(reply.body)
        if refund is None or (refund.charge, refund.amount) != (charge, amount) or key not in refund.keys:
            return Unknown("PayPal's reply is not about the requested refund.")
        return refund.result()

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find the refund that Moneyback made with this key.

        The capture shows whether a refund exists. The refunds come from the capture's order or PayPal's transaction search.
        """
        with time_limit(self._seconds):
            capture = self._get_capture(charge)
            if isinstance(capture, Unknown):
                return capture
            refunds = self._list_refunds_of(capture)
        if isinstance(refunds, Unknown):
            return refunds
        live_refunds = [refund for refund in refunds if refund.refund_status is not RefundStatus.FAILED]
        for refund in [*live_refunds, *refunds]:
            if key in refund.keys:
                return refund.result()
        if live_refunds:
            return ExternalRefund(live_refunds[0].id, live_refunds[0].amount)
        if not capture.is_unrefunded:
            return Unknown("PayPal says that a part of this capture was refunded, but does not show the refund yet.")
        # This lookup does not find an eCheck refund that no order shows. In this case, Moneyback sends the refund again with
        # the same key, and PayPal returns the existing refund.
        return NotFound()

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this capture. If it has several disputes, select_deciding_dispute() selects one."""
        if not ID.fullmatch(charge):
            return NOT_A_CAPTURE
        with time_limit(self._seconds):
            reply = self._client.list_disputes(charge)
            if isinstance(reply, Unknown):
                return reply
            rows = parse_disputes(reply.body) if reply.is_success else None
            if rows is None:
                return Unknown("PayPal's list of disputes cannot be read, or has several pages.")
            disputes = []
            for dispute_id, is_resolved in rows:
                dispute = self._get_outcome(dispute_id) if is_resolved else DisputeStatus(Dispute.OPEN, dispute_id)
                if isinstance(dispute, Unknown):
                    return dispute
                disputes.append(dispute)
        return select_deciding_dispute(disputes)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds. The list starts three hours before ``since``, because PayPal lists a refund up to three hours late."""
        with time_limit(self._seconds):
            return list_refunds(self._client, since, after)

    def _get_capture(self, charge: str) -> Capture | Unknown:
        if not ID.fullmatch(charge):
            return NOT_A_CAPTURE
        reply = self._client.get_capture(charge)
        if isinstance(reply, Unknown):
            return reply
        capture = parse_capture(reply.body) if reply.is_success else None
        if capture is None or capture.id != charge:
            return Unknown(f"PayPal answered {reply.status}, without a capture that can be read.")
        return capture

    def _list_refunds_of(self, capture: Capture) -> list[Refund] | Unknown:
        """List the refunds of a capture. Read its order first, because the search shows a refund up to three hours late."""
        refunds = self._list_order_refunds(capture)
        if isinstance(refunds, Unknown) or capture.is_unrefunded:
            return refunds
        if any(refund.refund_status is not RefundStatus.FAILED for refund in refunds):
            return refunds
        found_refunds = list_refunds_of(self._client, capture.id, capture.updated)
        return found_refunds if isinstance(found_refunds, Unknown) else refunds + found_refunds

    def _list_order_refunds(self, capture: Capture) -> list[Refund] | Unknown:
        """List the refunds of the capture's order. The list is empty if there is no order, or if PayPal has deleted it."""
        if capture.order is None:
            return []
        reply = self._client.get_order(capture.order)
        if isinstance(reply, Unknown):
            return reply
        if reply.status == HTTPStatus.NOT_FOUND and reply.code:
            return []
        refunds = parse_order_refunds(reply.body, capture.id) if reply.is_success else None
        return refunds if refunds is not None else Unknown("PayPal's order cannot be read.")

    def _get_outcome(self, dispute_id: str) -> DisputeStatus | Unknown:
        reply = self._client.get_dispute(dispute_id)
        if isinstance(reply, Unknown):
            return reply
        outcome = reply.body.get("dispute_outcome") if reply.is_success else None
        code = outcome.get("outcome_code") if type(outcome) is dict else None
        if reply.body.get("dispute_id") != dispute_id or type(code) is not str:
            return Unknown("PayPal's dispute cannot be read.")
        return DisputeStatus(DISPUTE_OUTCOMES.get(code, Dispute.LOST), dispute_id)


def _map_decline(reply: PayPalReply) -> Declined | Unknown:
    if reply.status < HTTPStatus.BAD_REQUEST or reply.code is None:
        return Unknown(f"PayPal answered {reply.status}, which does not show whether PayPal made the refund.")
    return Declined(CODES.get(reply.code, DeclineReason.PERMANENT), reply.code)
