"""Calling Mollie: what came back, or why nobody can say what happened."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from mollie.api.client import Client
from mollie.api.error import RequestError, RequestSetupError

from config.accounts import MollieAccount
from domain.errors import RefusedError
from domain.providers import Unknown
from worker.providers.deadline import session
from worker.providers.identifiers import is_word
from worker.providers.mollie.codes import CODES, UNDECIDED
from worker.providers.retry_after import retry_after

A_PAGE = 250  # rows, the most that Mollie gives at once; a refund has about a thousand bytes


class MollieKeyError(RefusedError):
    """MONEYBACK_MOLLIE_API_KEY does not look like a key of Mollie's: they begin with live_ or test_."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that says something: a JSON object, with a status that does not leave everything open."""

    status: int
    document: dict[str, Any]

    @property
    def is_fine(self) -> bool:
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def detail(self) -> str:
        return _detail(self.document)

    @property
    def code(self) -> str:
        """What Mollie refuses, in its own words, where they are known; else the status, and the field it is about."""
        if self.detail in CODES:
            return self.detail
        field = self.document.get("field")
        return f"{self.status} {field}" if is_word(field) else str(self.status)


@dataclass(frozen=True, slots=True)
class Rows:
    """A piece of a list, and the id that the next one starts with."""

    rows: list[Any]
    after: str | None


class Api:
    """Threads share it: of the SDK's client only the session changes, which is made for that."""

    def __init__(self, account: MollieAccount, *, connections: int) -> None:
        self._client = Client(api_endpoint=account.api_base, retry=0)
        self._client.UNAME = "Moneyback"  # it would tell the name of this machine
        self._client._client = session(connections)  # noqa: SLF001 - the SDK has no other door for a session
        try:
            self._client.set_api_key(account.api_key.get_secret_value())
        except RequestSetupError:  # which quotes the key
            raise MollieKeyError(MollieKeyError.__doc__) from None

    def call(
        self,
        method: str,
        path: str,
        *,
        data: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
        key: str = "",
    ) -> Reply | Unknown:
        """One call, once, within the deadline that the caller set."""
        try:  # the SDK's own reading of an answer knows neither its headers nor what is garbage
            response = self._client.perform_http_call(
                method, path, dict(data) if data else None, dict(params) if params else None, key
            )
        except RequestError as error:
            return Unknown(_trouble(error.__context__))
        return _read(response)

    def rows(self, path: str, kind: str, after: str | None = None) -> Rows | Unknown:
        """A piece of a list, newest first."""
        reply = self.call("GET", path, params={"limit": str(A_PAGE)} | ({"from": after} if after else {}))
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_fine:
            return Unknown(f"Mollie refused to list {kind}: {reply.code}.")
        try:
            rows, following = reply.document["_embedded"][kind], reply.document["_links"].get("next")
            if type(rows) is not list or reply.document["count"] != len(rows):
                return Unknown(f"Mollie's list of {kind} is not whole.")
            return Rows(rows, parse_qs(urlsplit(following["href"]).query)["from"][0] if following else None)
        except (KeyError, TypeError, ValueError, AttributeError):
            return Unknown(f"Mollie's list of {kind} cannot be read.")


def _trouble(error: BaseException | None) -> str:
    if isinstance(error, requests.Timeout):
        return "Mollie did not answer in time."
    return f"The connection to Mollie failed: {type(error).__name__}."


def _read(response: requests.Response) -> Reply | Unknown:
    status = response.status_code
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        document = None
    if type(document) is dict and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Reply(status, document)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unknown(f"Mollie refuses our API key ({status}): a person must mend it.", no_access=True)
    refuses = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    from_mollie = type(document) is dict and document.get("status") == status  # not from somebody in between
    if refuses and from_mollie and (status not in UNDECIDED or _detail(document) in CODES):
        return Reply(status, document)
    replayed = "Idempotent-Replayed" in response.headers
    again_in = retry_after(response.headers.get("Retry-After"))
    return Unknown(f"Mollie answered {status}, which does not say what happened.", again_in, replayed)


def _detail(document: Mapping[str, Any]) -> str:
    detail = document.get("detail")
    return detail.rstrip(". ") if isinstance(detail, str) else ""
