"""Calls Stripe through its SDK. A reply is a dictionary; an error is a result."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import stripe

from config.provider_accounts import StripeAccount
from domain.providers import Declined, Unknown, WaitingForApproval
from worker.providers.deadline import create_session
from worker.providers.identifiers import is_identifier
from worker.providers.stripe.errors import ErrorResult, result_of_error
from worker.providers.stripe.payments import Payment
from worker.providers.stripe.rows import Row, as_row

PAGE_SIZE = 100  # rows; the maximum that Stripe lists in one reply


class Resource(StrEnum):
    """The resources of Stripe's API that are listed. The names are the names in Stripe's SDK."""

    REFUNDS = "refunds"
    DISPUTES = "disputes"
    CHARGES = "charges"
    PAYMENT_INTENTS = "payment_intents"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list. A row may be anything. ``next_cursor`` is the id of the last row, or None on the last page."""

    rows: list[Any]
    next_cursor: str | None


class StripeClient:
    """A client of Stripe for one account. Thread-safe."""

    def __init__(self, account: StripeAccount, *, connections: int) -> None:
        stripe.enable_telemetry = False  # the SDK would report to Stripe how long Stripe's replies take
        logging.getLogger("stripe").setLevel(logging.WARNING)  # at INFO the SDK logs each call and Stripe's messages
        self._sdk = stripe.StripeClient(
            account.api_key.get_secret_value(),
            base_addresses={"api": account.api_base},
            http_client=stripe.RequestsClient(session=create_session(connections)),
            max_network_retries=0,
            stripe_account=account.connected_account,
        ).v1

    def create_refund(self, request: Mapping[str, Any], *, key: str) -> Row | WaitingForApproval | Declined | Unknown:
        """Create a refund with the idempotency key ``key``."""
        parameters: Any = dict(request)
        return _call_sdk(lambda: self._sdk.refunds.create(parameters, {"idempotency_key": key}))

    def retrieve_payment(
        self, payment_id: str, *, expand: Sequence[str] = (), version: str | None = None
    ) -> Payment | Declined | Unknown:
        """Retrieve a payment by the id of its charge or of its payment intent. ``expand`` names fields of the charge.

        ``version`` is a version of Stripe's API; None means the version of the SDK. Declined means that Stripe does not know
        the payment.
        """
        options: Any = {"stripe_version": version}
        if is_payment_intent(payment_id):
            fields = ["latest_charge", *(f"latest_charge.{field}" for field in expand)]
            result = _call_sdk(lambda: self._sdk.payment_intents.retrieve(payment_id, {"expand": fields}, options))
        else:
            result = _call_sdk(lambda: self._sdk.charges.retrieve(payment_id, {"expand": list(expand)}, options))
        if isinstance(result, dict):
            return Payment.of(result) or Unknown("Stripe's payment cannot be read.")
        if isinstance(result, Unknown) or (isinstance(result, Declined) and result.code == "resource_missing"):
            return result
        return Unknown(f"Stripe refused to show the payment: {result.code}.")

    def list_page(
        self, resource: Resource, query: Mapping[str, Any], *, limit: int = PAGE_SIZE, version: str | None = None
    ) -> ListPage | Unknown:
        """List at most ``limit`` rows, the newest first."""
        list_rows: Callable[[Any, Any], stripe.StripeObject] = getattr(self._sdk, resource).list
        result = _call_sdk(lambda: list_rows({**query, "limit": limit}, {"stripe_version": version}))
        if isinstance(result, dict):
            return _parse_page(result)
        if isinstance(result, Unknown):
            return result
        return Unknown(f"Stripe refused to list: {result.code}.")


def is_payment_intent(payment_id: str) -> bool:
    """Return whether this is the id of a payment intent. Any other id is the id of a charge."""
    return payment_id.startswith("pi_")


def _call_sdk(call: Callable[[], stripe.StripeObject]) -> Row | ErrorResult:
    try:
        return call().to_dict()
    except stripe.StripeError as error:
        return result_of_error(error)
    except Exception as error:  # noqa: BLE001 - an invalid reply can cause any error, and money may have moved
        return Unknown(f"Stripe's answer cannot be read: {type(error).__name__}.")


def _parse_page(reply: Row) -> ListPage | Unknown:
    """Return the page. The reader of the page reads its rows, except the id with which the next page starts."""
    rows: Any = reply.get("data")
    has_more: Any = reply.get("has_more")
    if type(rows) is not list or type(has_more) is not bool:
        return Unknown("Stripe's list cannot be read.")
    if not has_more:
        return ListPage(rows, None)
    cursor = as_row(rows[-1]).get("id") if rows else None
    return ListPage(rows, cursor) if is_identifier(cursor) else Unknown("Stripe's list cannot be read.")
