"""Calls the sandbox's API, and maps its errors to results."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from config.provider_accounts import SandboxAccount
from domain.errors import RefusedError
from domain.providers import Unknown
from worker.providers.deadline import NO_RETRIES, HttpPool, is_expired, read_body
from worker.providers.http_client import CREDENTIALS_REFUSED, HttpReply, credentials_refused
from worker.providers.identifiers import is_identifier
from worker.providers.retry_after import retry_after
from worker.providers.sandbox.codes import UNDECIDED_CODES, UNDECIDED_STATUSES


class SandboxUrlError(RefusedError):
    """The sandbox provider is connected, but MONEYBACK_SANDBOX_URL is not a URL like http://host:port."""


class SandboxReply(HttpReply):
    """The sandbox's reply to one call."""

    __slots__ = ()

    @property
    def code(self) -> str | None:
        """The sandbox's error code. None if there is no code, or if the code does not show whether the refund was made."""
        error = self.body.get("error")
        code = error.get("code") if type(error) is dict else None
        return code if is_identifier(code) and code not in UNDECIDED_CODES else None


class SandboxClient:
    """A client of one sandbox. Thread-safe. It uses urllib3 directly, because benchmarks make many fast calls."""

    def __init__(self, account: SandboxAccount, *, provider_timeout_seconds: float, connections: int) -> None:
        """Raise SandboxUrlError if the URL is not http://host:port."""
        url = urlsplit(account.url)
        if url.scheme != "http" or not url.hostname:
            raise SandboxUrlError(SandboxUrlError.__doc__)
        self._pool = HttpPool(url.hostname, url.port, maxsize=connections, block=True)
        self._seconds = provider_timeout_seconds

    def create_refund(self, request: Mapping[str, Any], *, key: str) -> SandboxReply | Unknown:
        """Create a refund under this idempotency key."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self._call("POST", "/v1/refunds", json.dumps(request).encode(), headers)

    def list_refunds(self, **query: str) -> SandboxReply | Unknown:
        """List refunds, the oldest first."""
        return self._call("GET", f"/v1/refunds?{urlencode(query)}")

    def list_disputes(self, **query: str) -> SandboxReply | Unknown:
        """List disputes, the oldest first."""
        return self._call("GET", f"/v1/disputes?{urlencode(query)}")

    def list_payments(self, **query: str) -> SandboxReply | Unknown:
        """List the registered payments, the oldest first."""
        return self._call("GET", f"/v1/payments?{urlencode(query)}")

    def show_payment(self, charge: str) -> SandboxReply | Unknown:
        """Show one payment, even if it is not registered."""
        return self._call("GET", f"/v1/payments/{quote(charge, safe='')}")

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> SandboxReply | Unknown:
        try:
            response = self._pool.urlopen(
                method, path, body=body, headers=headers, retries=NO_RETRIES, redirect=False, preload_content=False
            )
            return _read_reply(response.status, response.headers, read_body(response))
        except (HTTPError, OSError) as error:
            if is_expired():
                return Unknown(f"The sandbox did not answer within {self._seconds:g} seconds.")
            if isinstance(error, NewConnectionError | ConnectTimeoutError):
                return Unknown("The sandbox cannot be reached.")
            return Unknown(f"The connection to the sandbox failed: {type(error).__name__}.")


def _read_reply(status: int, headers: Mapping[str, str], raw: bytes) -> SandboxReply | Unknown:
    if status in CREDENTIALS_REFUSED:
        return credentials_refused("The sandbox", status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in UNDECIDED_STATUSES:
        replayed = status >= HTTPStatus.INTERNAL_SERVER_ERROR and headers.get("idempotent-replayed") == "true"
        return Unknown(f"The sandbox answered {status}.", retry_after(headers.get("retry-after")), replayed)
    return SandboxReply.parse(status, raw) or Unknown(f"The sandbox's reply with status {status} cannot be read.")
