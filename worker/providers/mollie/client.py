"""Calls Mollie's API, and maps its errors to results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from config.provider_accounts import MollieAccount
from domain.errors import RefusedError
from domain.providers import Declined, DeclineReason, Unknown
from worker.providers.deadline import create_session
from worker.providers.http_client import CREDENTIALS_REFUSED, HttpReply, credentials_refused, send
from worker.providers.identifiers import is_identifier
from worker.providers.mollie.codes import CODES, UNDECIDED_STATUSES, WRONG_MODE
from worker.providers.retry_after import retry_after

PAGE_SIZE = (
    250  # rows; Mollie's maximum for one reply. A refund has about 1 kB, and a payment with many lines about 5 kB
)
NOT_FOUND = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})  # Mollie does not know the resource, or it was deleted

_API_KEY = re.compile(r"(live|test)_\w+", re.ASCII)


Row = dict[str, Any]


class MollieKeyError(RefusedError):
    """MONEYBACK_MOLLIE_API_KEY is not an API key of Mollie. Mollie's API keys begin with live_ or test_."""


class MollieReply(HttpReply):
    """Mollie's reply to one call."""

    __slots__ = ()

    @property
    def detail(self) -> str:
        """Mollie's sentence about an error, without its full stop."""
        detail = self.body.get("detail")
        return detail.rstrip(". ") if isinstance(detail, str) else ""

    @property
    def code(self) -> str:
        """Mollie's sentence if Moneyback knows it, else the status and the name of the invalid field."""
        if self.detail in CODES:
            return self.detail
        field = self.body.get("field")
        return f"{self.status} {field}" if is_identifier(field) else str(self.status)


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list. ``next_id`` is the first id of the next page; None on the last page."""

    rows: list[Any]
    next_id: str | None


class MollieClient:
    """A client of Mollie for one account. Thread-safe."""

    def __init__(self, account: MollieAccount, *, connections: int) -> None:
        """Raise MollieKeyError if the API key does not have the format of Mollie's API keys."""
        api_key = account.api_key.get_secret_value().strip()
        if not _API_KEY.fullmatch(api_key):
            raise MollieKeyError(MollieKeyError.__doc__)
        self._session = create_session(connections)
        self._base_url = f"{account.api_base}/v2"
        self._authorization = f"Bearer {api_key}"

    def create_refund(self, payment: str, request: Mapping[str, Any], *, key: str) -> MollieReply | Unknown:
        """Refund a payment under this idempotency key."""
        return self._call("POST", f"payments/{payment}/refunds", json=request, headers={"Idempotency-Key": key})

    def get_row(self, path: str, query: Mapping[str, str] | None = None) -> Row | Declined | Unknown:
        """Return one resource. Declined means that Mollie does not know the resource."""
        reply = self._call("GET", path, query=query)
        if isinstance(reply, Unknown):
            return reply
        if reply.status in NOT_FOUND:
            return Declined(DeclineReason.PERMANENT, reply.code)
        return reply.body if reply.is_success else Unknown(f"Mollie refused to show {path}: {reply.code}.")

    def list_page(
        self, path: str, kind: str, from_id: str | None = None, *, limit: int = PAGE_SIZE
    ) -> ListPage | Unknown:
        """Return one page of a list, the newest row first. ``kind`` is refunds, chargebacks or payments."""
        page = self._get_page(path, kind, {"limit": str(limit)} | ({"from": from_id} if from_id else {}))
        return Unknown(f"Mollie refused to list {kind}: {page.code}.") if isinstance(page, Declined) else page

    def find_row(self, kind: str, row_id: str) -> Row | Declined | Unknown:
        """Return the refund or chargeback with this id. Declined means that Mollie does not know the id.

        Mollie shows a refund or chargeback by its id only together with the payment's id. But a list of the account starts
        with the row that the parameter ``from`` names (docs.mollie.com, "List all refunds" and "List all chargebacks").
        """
        page = self._get_page(kind, kind, {"limit": "1", "from": row_id})
        if isinstance(page, Declined | Unknown):
            return page
        first = page.rows[0] if page.rows else None
        return (
            first if isinstance(first, dict) else Unknown(f"Mollie's list of {kind} does not contain the requested id.")
        )

    def _get_page(self, path: str, kind: str, query: Mapping[str, str]) -> ListPage | Declined | Unknown:
        body = self.get_row(path, query)
        if isinstance(body, Declined | Unknown):
            return body
        try:
            rows, next_link = body["_embedded"][kind], body["_links"].get("next")
            if type(rows) is not list or body["count"] != len(rows):
                return Unknown(f"Mollie's list of {kind} is incomplete.")
            return ListPage(rows, parse_qs(urlsplit(next_link["href"]).query)["from"][0] if next_link else None)
        except (KeyError, TypeError, ValueError, AttributeError):
            return Unknown(f"Mollie's list of {kind} cannot be read.")

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> MollieReply | Unknown:
        authorized = {"Authorization": self._authorization} | dict(headers or {})
        url = f"{self._base_url}/{path}"
        response = send(self._session, "Mollie", method, url, headers=authorized, json=json, query=query)
        return response if isinstance(response, Unknown) else _read_reply(response)


def _read_reply(response: requests.Response) -> MollieReply | Unknown:
    status = response.status_code
    reply = MollieReply.parse(status, response.content)
    if reply and WRONG_MODE in reply.detail:
        return Unknown(
            "Mollie's API key is a test key, but the payment is live, or the reverse.", invalid_credentials=True
        )
    if reply and status >= HTTPStatus.OK and (reply.is_success or _is_declined(reply)):
        return reply
    if status in CREDENTIALS_REFUSED:
        return credentials_refused("Mollie", status)
    replayed = "Idempotent-Replayed" in response.headers
    retry_seconds = retry_after(response.headers.get("Retry-After"))
    return Unknown(f"Mollie answered {status}, which does not say what happened.", retry_seconds, replayed)


def _is_declined(reply: MollieReply) -> bool:
    """Return whether Mollie itself, not a proxy in between, refused the call and did nothing."""
    is_client_error = HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    is_from_mollie = reply.body.get("status") == reply.status
    is_decided = reply.status not in UNDECIDED_STATUSES or reply.detail in CODES
    return is_client_error and is_from_mollie and is_decided and reply.status not in CREDENTIALS_REFUSED
