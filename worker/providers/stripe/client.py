"""Calls Stripe through its SDK, and maps the SDK's errors to results."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
import stripe

from config.provider_accounts import StripeAccount
from domain.providers import Declined, DeclineReason, Unknown
from worker.providers.deadline import create_session
from worker.providers.http_client import CREDENTIALS_REFUSED, credentials_refused
from worker.providers.identifiers import is_identifier
from worker.providers.retry_after import retry_after
from worker.providers.stripe.codes import CODES, UNDECIDED_CODES, UNDECIDED_STATUSES

PAGE_SIZE = 100  # rows; the maximum that Stripe lists in one reply

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list, and whether another page follows."""

    rows: list[Row]
    has_more: bool


class StripeClient:
    """A client of Stripe for one account. Thread-safe."""

    def __init__(self, account: StripeAccount, *, connections: int) -> None:
        stripe.enable_telemetry = False  # the SDK would report to Stripe how long Stripe's replies take
        logging.getLogger("stripe").setLevel(logging.WARNING)  # at INFO the SDK logs each call and Stripe's messages
        sdk = stripe.StripeClient(
            account.api_key.get_secret_value(),
            base_addresses={"api": account.api_base},
            http_client=stripe.RequestsClient(session=create_session(connections)),
            max_network_retries=0,
        )
        self._refunds = sdk.v1.refunds
        self._disputes = sdk.v1.disputes

    def create_refund(self, request: Mapping[str, Any], *, key: str) -> Row | Declined | Unknown:
        """Create a refund with the idempotency key ``key``."""
        parameters: Any = dict(request)
        return _call_sdk(lambda: self._refunds.create(parameters, {"idempotency_key": key}))

    def list_refunds(self, query: Mapping[str, Any]) -> ListPage | Unknown:
        """List refunds, the newest first."""
        return _list_page(self._refunds.list, query)

    def list_disputes(self, query: Mapping[str, Any]) -> ListPage | Unknown:
        """List disputes, the newest first."""
        return _list_page(self._disputes.list, query)


def result_of_error(error: stripe.StripeError) -> Declined | Unknown:
    """Return Declined if the error proves that Stripe did nothing, otherwise Unknown."""
    status = error.http_status
    if status is None:
        if isinstance(error.__cause__, requests.Timeout):
            return Unknown("Stripe did not answer in time.")
        return Unknown(f"The connection to Stripe failed: {type(error.__cause__ or error).__name__}.")
    if status in CREDENTIALS_REFUSED:
        return credentials_refused("Stripe", status)
    code = _read_code(error)
    if code is None or code in UNDECIDED_CODES or status in UNDECIDED_STATUSES or not _is_client_error(status):
        headers = error.headers or {}
        replayed = headers.get("Idempotent-Replayed") == "true" and status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return Unknown(f"Stripe answered {status}.", retry_after(headers.get("Retry-After")), replayed=replayed)
    return Declined(CODES.get(code, DeclineReason.PERMANENT), code)


def _call_sdk(call: Callable[[], stripe.StripeObject]) -> Row | Declined | Unknown:
    try:
        return call().to_dict()
    except stripe.StripeError as error:
        return result_of_error(error)
    except Exception as error:  # noqa: BLE001 - an invalid reply can cause any error, and money may have moved
        return Unknown(f"Stripe's answer cannot be read: {type(error).__name__}.")


def _list_page(list_rows: Callable[[Any], stripe.StripeObject], query: Mapping[str, Any]) -> ListPage | Unknown:
    result = _call_sdk(lambda: list_rows({**query, "limit": PAGE_SIZE}))
    if isinstance(result, Declined):
        return Unknown(f"Stripe refused to list: {result.code}.")
    if isinstance(result, Unknown):
        return result
    rows: Any = result.get("data")
    has_more: Any = result.get("has_more")
    is_list = type(rows) is list and type(has_more) is bool and all(type(row) is dict and "id" in row for row in rows)
    if not is_list or (has_more and not rows):
        return Unknown("Stripe's list cannot be read.")
    return ListPage(rows, has_more)


def _is_client_error(status: int) -> bool:
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


def _read_code(error: stripe.StripeError) -> str | None:
    """Return the error's code, or its type if there is no code. Every error has a type."""
    details = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    codes = (details.get("code"), details.get("type")) if isinstance(details, dict) else ()
    return next((code for code in codes if is_identifier(code)), None)
