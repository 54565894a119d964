"""Implements the payment provider Adyen."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from config.provider_accounts import AdyenAccount
from domain.money import Money, UnknownMoneyError
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputeStatus,
    LookupResult,
    PaymentProvider,
    Pending,
    RefundPage,
    RefundResult,
    Unknown,
)
from worker.providers.adyen.amounts import format_amount
from worker.providers.adyen.client import AdyenClient, AdyenReply
from worker.providers.adyen.codes import ACCESS_PROBLEMS, CAPABILITIES, CODES, INVALID_AMOUNT, PAYMENT_NOT_FOUND
from worker.providers.adyen.resources import is_psp_reference, parse_refund_id
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit

NO_LOOKUP = "Adyen's API shows no refunds and no disputes. Adyen reports both only by webhook."


def create_adapter(account: AdyenAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account."""
    client = AdyenClient(account, connections=connections)
    return AdyenAdapter(client, account.merchant_account, provider_timeout_seconds=provider_timeout_seconds)


class AdyenAdapter(CapabilityDefaults):
    """An adapter that refunds payments through Adyen. The refund's reference at Adyen is the idempotency key.

    Adyen shows no payment before its refund. Instead, Adyen itself checks each refund: the webhook REFUND reports a failure if
    the refund exceeds the captured amount, or if the payment was not captured (docs.adyen.com, "Refund"). A dispute is known
    only from its webhooks.
    """

    capabilities = CAPABILITIES

    def __init__(self, client: AdyenClient, merchant: str, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._merchant = merchant
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Request the refund. If Adyen accepts the request, return Pending and never Paid.

        Adyen's reply only confirms that Adyen received the request.
        """
        if not is_psp_reference(charge):
            return Declined(DeclineReason.PERMANENT, PAYMENT_NOT_FOUND)
        try:
            request = {"merchantAccount": self._merchant, "amount": format_amount(amount), "reference": key}
        except UnknownMoneyError:
            return Declined(DeclineReason.PERMANENT, INVALID_AMOUNT)
        with time_limit(self._seconds):
            reply = self._client.refund(charge, request | {"merchantRefundReason": "CUSTOMER REQUEST"}, key=key)
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_success:
            return _map_decline(reply)
        refund_id = parse_refund_id(reply.body, request | {"paymentPspReference": charge, "status": "received"})
        if refund_id is None:
            return Unknown("Adyen's reply is not about the requested refund.")
        return Pending(refund_id, amount)

    def look_up(self, charge: str, *, key: str) -> LookupResult:  # noqa: ARG002
        """Return Unknown, because Adyen has no call that shows a refund."""
        return Unknown(NO_LOOKUP)

    def dispute(self, charge: str) -> DisputeStatus | Unknown:  # noqa: ARG002
        """Return Unknown, because Adyen reports disputes by webhook only."""
        return Unknown(NO_LOOKUP)

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:  # noqa: ARG002
        """Return Unknown, because Adyen has no call that lists refunds."""
        return Unknown(NO_LOOKUP)

    def check_access(self) -> Mapping[AccessRight, str]:
        """Ask for the payment methods of the merchant account, because a refund needs the same key, role and account."""
        with time_limit(self._seconds):
            status = self._client.list_payment_methods(self._merchant)
        if status == HTTPStatus.OK:
            return {}
        why = status.why if isinstance(status, Unknown) else ACCESS_PROBLEMS.get(status, f"Adyen answered {status}.")
        return {AccessRight.READ_PAYMENTS: why}


def _map_decline(reply: AdyenReply) -> Declined | Unknown:
    if reply.code is None:
        return Unknown(f"Adyen answered {reply.status}, which does not show whether Adyen made the refund.")
    return Declined(CODES.get(reply.code, DeclineReason.PERMANENT), reply.code)
