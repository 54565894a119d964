"""Implements the payment provider PayPal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus

from config.provider_accounts import PayPalAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    ListedPurchase,
    ListedRefund,
    LookupResult,
    NotFound,
    PaymentProvider,
    PaymentStatus,
    PurchasePage,
    RefundPage,
    RefundResult,
    Unknown,
)
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.paypal.access import find_missing_rights
from worker.providers.paypal.amounts import format_amount
from worker.providers.paypal.client import PayPalClient, PayPalReply
from worker.providers.paypal.codes import CAPABILITIES, CODES, INVALID_RESOURCE_ID
from worker.providers.paypal.disputes import decide_dispute, find_dispute, find_disputed_capture, list_disputes
from worker.providers.paypal.payments import find_refunded_capture, find_refunds, get_capture, sum_refunds
from worker.providers.paypal.purchases import find_purchase, list_purchases
from worker.providers.paypal.refund_list import list_refunds, to_list_entry
from worker.providers.paypal.resources import ID, is_live, parse_refund

NOT_A_CAPTURE = Unknown("This is not the id of a PayPal capture, so nothing was looked up.")


def create_adapter(account: PayPalAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    client = PayPalClient(account, connections=connections)
    return PayPalAdapter(client, account, provider_timeout_seconds=provider_timeout_seconds)


class PayPalAdapter(CapabilityDefaults):
    """An adapter that refunds captures through PayPal. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(self, client: PayPalClient, account: PayPalAccount, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._account = account
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Refund the capture, and check that the reply is about this refund."""
        if not ID.fullmatch(charge):
            return Declined(DeclineReason.PERMANENT, INVALID_RESOURCE_ID)
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
            capture = get_capture(self._client, charge)
            if isinstance(capture, Declined | Unknown):
                return Unknown("PayPal knows no capture with this id.") if isinstance(capture, Declined) else capture
            refunds = find_refunds(self._client, capture)
        if isinstance(refunds, Unknown):
            return refunds
        live_refunds = [refund for refund in refunds if is_live(refund)]
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

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return the refunds of this capture that PayPal shows. The search shows a refund up to three hours late."""
        with time_limit(self._seconds):
            capture = get_capture(self._client, charge)
            if isinstance(capture, Declined | Unknown):
                return Unknown("PayPal knows no capture with this id.") if isinstance(capture, Declined) else capture
            refunds = find_refunds(self._client, capture)
        if isinstance(refunds, Unknown):
            return refunds
        if not capture.is_unrefunded and not any(map(is_live, refunds)):
            return Unknown("PayPal says that a part of this capture was refunded, but does not show the refund yet.")
        return [to_list_entry(refund, capture.updated) for refund in refunds]

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this capture, as its disputes and the capture itself show it."""
        if not ID.fullmatch(charge):
            return NOT_A_CAPTURE
        with time_limit(self._seconds):
            listed = find_dispute(self._client, charge)
            capture = get_capture(self._client, charge)
        if isinstance(listed, Unknown) or isinstance(capture, Declined):
            return listed
        return capture if isinstance(capture, Unknown) else decide_dispute(listed, capture.reason)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds. The list starts three hours before ``since``, because PayPal lists a refund up to three hours late."""
        with time_limit(self._seconds):
            return list_refunds(self._client, since, after)

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the capture with its dispute and the sum of its refunds. PayPal does not show the payment method."""
        with time_limit(self._seconds):
            capture = get_capture(self._client, charge)
            if isinstance(capture, Declined | Unknown):
                return capture
            refunded = sum_refunds(self._client, capture)
            dispute = find_dispute(self._client, charge)
        if isinstance(refunded, Unknown):
            return refunded
        if isinstance(dispute, Unknown):
            return dispute
        return PaymentStatus(
            captured=capture.captured,
            refunded=refunded,
            dispute=decide_dispute(dispute, capture.reason),
            seller=self._account.seller_in(capture.metadata),
            code=capture.status,
        )

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """List the disputes that were opened since ``since``, but at most 180 days ago."""
        with time_limit(self._seconds):
            return list_disputes(self._client, since, after)

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        """List payments. The list starts three hours before ``since``, because PayPal lists a payment up to three hours late."""
        with time_limit(self._seconds):
            return list_purchases(self._client, self._account, since, after)

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        """Return the payment of this capture, from its order or from PayPal's transaction search."""
        with time_limit(self._seconds):
            capture = get_capture(self._client, charge)
            if isinstance(capture, Declined | Unknown):
                return capture
            return find_purchase(self._client, self._account, capture)

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        """Find the capture that was refunded."""
        with time_limit(self._seconds):
            return find_refunded_capture(self._client, refund_id)

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        """Find the capture of a dispute. If a dispute is about several captures, its webhook event names them."""
        with time_limit(self._seconds):
            return find_disputed_capture(self._client, dispute_id)

    def check_access(self) -> Mapping[AccessRight, str]:
        """Search the transactions and list the disputes of the last minutes. Return the missing rights."""
        with time_limit(self._seconds):
            return find_missing_rights(self._client, datetime.now(UTC))


def _map_decline(reply: PayPalReply) -> Declined | Unknown:
    if reply.status < HTTPStatus.BAD_REQUEST or reply.code is None:
        return Unknown(f"PayPal answered {reply.status}, which does not show whether PayPal made the refund.")
    return Declined(CODES.get(reply.code, DeclineReason.PERMANENT), reply.code)
