"""Calls Adyen's Checkout API, and maps its errors to results."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests

from config.provider_accounts import AdyenAccount
from domain.providers import Unknown
from worker.providers.adyen.codes import ACCOUNT_CODES, DECIDED_STATUSES, UNDECIDED_CODES
from worker.providers.deadline import create_session
from worker.providers.http_client import CREDENTIALS_REFUSED, HttpReply, credentials_refused, send
from worker.providers.identifiers import is_identifier
from worker.providers.retry_after import retry_after

API_VERSION = "v72"


class AdyenReply(HttpReply):
    """Adyen's reply to one call."""

    __slots__ = ()

    @property
    def code(self) -> str | None:
        """Adyen's errorCode, or None if there is no code, or if the outcome is unknown with this code."""
        code = self.body.get("errorCode")
        return code if is_identifier(code) and code not in UNDECIDED_CODES else None


class AdyenClient:
    """A client of Adyen for one account. Thread-safe."""

    def __init__(self, account: AdyenAccount, *, connections: int) -> None:
        self._session = create_session(connections)
        self._base_url = f"{account.api_base}/{API_VERSION}"
        self._api_key = account.api_key.get_secret_value()

    def refund(self, payment: str, request: Mapping[str, Any], *, key: str) -> AdyenReply | Unknown:
        """Refund a captured payment with this idempotency key."""
        response = self._post(f"/payments/{payment}/refunds", request, {"Idempotency-Key": key})
        return response if isinstance(response, Unknown) else _read_reply(response)

    def list_payment_methods(self, merchant: str) -> int | Unknown:
        """Ask for the payment methods of a merchant account, which changes nothing. Return the HTTP status."""
        response = self._post("/paymentMethods", {"merchantAccount": merchant}, {})
        return response if isinstance(response, Unknown) else response.status_code

    def _post(self, path: str, request: Mapping[str, Any], headers: Mapping[str, str]) -> requests.Response | Unknown:
        url, all_headers = f"{self._base_url}{path}", {"x-api-key": self._api_key} | dict(headers)
        return send(self._session, "Adyen", "POST", url, headers=all_headers, json=request)


def _read_reply(response: requests.Response) -> AdyenReply | Unknown:
    status = response.status_code
    if status in CREDENTIALS_REFUSED:
        return credentials_refused("Adyen", status)
    if status >= HTTPStatus.MULTIPLE_CHOICES and status not in DECIDED_STATUSES:
        return Unknown(f"Adyen answered {status}.", retry_after=retry_after(response.headers.get("Retry-After")))
    reply = AdyenReply.parse(status, response.content)
    if reply and not reply.is_success and reply.code in ACCOUNT_CODES:
        return Unknown(f"Adyen refuses our account: {reply.code}.", invalid_credentials=True)
    return reply or Unknown(f"Adyen's reply with status {status} cannot be read.")
