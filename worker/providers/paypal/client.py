"""Calls PayPal's REST API, and maps its errors to results."""

from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests

from config.provider_accounts import PayPalAccount
from domain.providers import Unknown
from worker.providers.deadline import create_session
from worker.providers.http_client import CREDENTIALS_REFUSED, HttpReply, credentials_refused, send
from worker.providers.identifiers import is_identifier
from worker.providers.paypal.access_token import AccessToken
from worker.providers.paypal.auth_assertion import build_auth_assertion
from worker.providers.paypal.codes import CODES, UNDECIDED_CODES, UNDECIDED_STATUSES
from worker.providers.retry_after import retry_after


class PayPalReply(HttpReply):
    """PayPal's reply to one call."""

    __slots__ = ()

    @property
    def code(self) -> str | None:
        """PayPal's error code, the "issue"; None if there is no issue, or if an issue leaves the outcome open."""
        details = self.body.get("details")
        rows = details if type(details) is list else []
        issues = [row.get("issue") for row in rows if type(row) is dict] or [self.body.get("name")]
        codes = [issue for issue in issues if is_identifier(issue)]
        if not codes or not UNDECIDED_CODES.isdisjoint(codes):
            return None
        return next((code for code in codes if code in CODES), codes[0])


class PayPalClient:
    """A client of PayPal for one account. Thread-safe."""

    def __init__(self, account: PayPalAccount, *, connections: int) -> None:
        self._session = create_session(connections)
        self._base_url = account.api_base
        client_id, payer_id = account.client_id.get_secret_value(), account.auth_assertion_payer_id
        self._seller = {"PayPal-Auth-Assertion": build_auth_assertion(client_id, payer_id)} if payer_id else {}
        id_and_secret = f"{client_id}:{account.client_secret.get_secret_value()}"
        self._basic = f"Basic {b64encode(id_and_secret.encode()).decode()}"
        self._token = AccessToken(self._fetch_token)

    def refund_capture(self, capture: str, amount: Mapping[str, str], *, key: str) -> PayPalReply | Unknown:
        """Refund a capture with this idempotency key. The key is also the custom id and the invoice id of the refund."""
        return self._call(
            "POST",
            f"/v2/payments/captures/{capture}/refund",
            headers={"PayPal-Request-Id": key, "Prefer": "return=representation"},
            json={"amount": amount, "custom_id": key, "invoice_id": key},
        )

    def get_capture(self, capture: str) -> PayPalReply | Unknown:
        """Fetch a capture."""
        return self._call("GET", f"/v2/payments/captures/{capture}")

    def get_order(self, order: str) -> PayPalReply | Unknown:
        """Fetch an order with its captures and refunds."""
        return self._call("GET", f"/v2/checkout/orders/{order}")

    def get_refund(self, refund: str) -> PayPalReply | Unknown:
        """Fetch a refund with the sum of the capture's refunds."""
        return self._call("GET", f"/v2/payments/refunds/{refund}")

    def search_transactions(self, query: Mapping[str, str]) -> PayPalReply | Unknown:
        """Fetch one page of the transactions that match the query."""
        return self._call("GET", "/v1/reporting/transactions", query=query)

    def list_disputes(self, query: Mapping[str, str]) -> PayPalReply | Unknown:
        """List the disputes that match the query, the newest first."""
        return self._call("GET", "/v1/customer/disputes", query=query)

    def get_dispute(self, dispute: str) -> PayPalReply | Unknown:
        """Fetch a dispute with its outcome."""
        return self._call("GET", f"/v1/customer/disputes/{dispute}")

    def _call(self, method: str, path: str, **request: Mapping[str, Any]) -> PayPalReply | Unknown:
        """Call PayPal with the current token. A call with a rejected token has no effect, so repeat it with a new token."""
        response = self._send_authorized(method, path, **request)
        if isinstance(response, requests.Response) and response.status_code == HTTPStatus.UNAUTHORIZED:
            self._token.discard(response.request.headers["Authorization"].removeprefix("Bearer "))
            response = self._send_authorized(method, path, **request)
        return response if isinstance(response, Unknown) else _read_reply(response)

    def _send_authorized(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **request: Mapping[str, Any]
    ) -> requests.Response | Unknown:
        token = self._token.current()
        if isinstance(token, Unknown):
            return token
        authorized = {"Authorization": f"Bearer {token}"} | self._seller | dict(headers or {})
        return send(self._session, "PayPal", method, f"{self._base_url}{path}", headers=authorized, **request)

    def _fetch_token(self) -> tuple[str, float] | Unknown:
        url, grant = f"{self._base_url}/v1/oauth2/token", {"grant_type": "client_credentials"}
        response = send(self._session, "PayPal", "POST", url, headers={"Authorization": self._basic}, form=grant)
        if isinstance(response, Unknown):
            return response
        if response.status_code == HTTPStatus.BAD_REQUEST:
            return credentials_refused("PayPal", response.status_code)
        reply = _read_reply(response)
        if isinstance(reply, Unknown):
            return reply
        token, seconds = reply.body.get("access_token"), reply.body.get("expires_in")
        if not reply.is_success or type(token) is not str or not token.isascii() or type(seconds) is not int:
            return Unknown("PayPal's access token cannot be read.")
        return token, seconds


def _read_reply(response: requests.Response) -> PayPalReply | Unknown:
    status = response.status_code
    if status in CREDENTIALS_REFUSED:
        return credentials_refused("PayPal", status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in UNDECIDED_STATUSES:
        return Unknown(f"PayPal answered {status}.", retry_after=retry_after(response.headers.get("Retry-After")))
    return PayPalReply.parse(status, response.content) or Unknown(
        f"PayPal's reply with status {status} cannot be read."
    )
