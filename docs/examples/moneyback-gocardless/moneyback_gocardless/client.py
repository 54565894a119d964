"""Calls GoCardless through its SDK, and maps the SDK's errors to results."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from gocardless_pro.api_client import ApiClient
from gocardless_pro.errors import ApiError, GoCardlessProError, IdempotentCreationConflictError
from gocardless_pro.services import EventsService, PaymentsService, RefundsService

from moneyback_gocardless import GoCardlessAccount
from moneyback_gocardless.codes import REASONS, UNDECIDED_REASONS
from moneyback_plugin.adapter import (
    Declined,
    DeclineReason,
    Unknown,
    connection_failure,
    create_session,
    credentials_refused,
    is_identifier,
    retry_after,
)

PAGE_SIZE = 100  # rows; a reply with 100 refunds has about 60 kB, and at most 500 rows are allowed
REFUSED_TYPES = frozenset({"invalid_api_usage", "invalid_state", "validation_failed"})
"""The types of errors after which GoCardless did nothing ("Errors")."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list, with the cursor of the next page."""

    rows: list[Any]
    linked: Row
    """The resources that belong to the rows, by type."""
    next_cursor: str | None


class GoCardlessClient:
    """A client of GoCardless for one account. Thread-safe."""

    def __init__(self, account: GoCardlessAccount, *, connections: int) -> None:
        api = _DeadlineApiClient(account.api_base, account.access_token.get_secret_value(), create_session(connections))
        once = (api, 1, 0.0, True)  # one attempt, because the worker repeats a call; a used key is an error
        self._payments, self._refunds, self._events = (
            PaymentsService(*once),
            RefundsService(*once),
            EventsService(*once),
        )

    def payment(self, charge: str) -> Row | Declined | Unknown:
        """Return the payment."""
        return _call(lambda: self._payments.get(charge).attributes)

    def refund(self, refund_id: str) -> Row | Declined | Unknown:
        """Return the refund."""
        return _call(lambda: self._refunds.get(refund_id).attributes)

    def create_refund(self, request: Mapping[str, Any], *, key: str) -> Row | Declined | Unknown:
        """Create a refund. If the key was used before, return the refund that was created with the key."""

        def create() -> Row:
            try:
                return dict(self._refunds.create(dict(request), {"Idempotency-Key": key}).attributes)
            except IdempotentCreationConflictError as conflict:
                return dict(self._refunds.get(conflict.conflicting_resource_id).attributes)

        return _call(create)

    def list_refunds(self, query: Mapping[str, str]) -> ListPage | Unknown:
        """List refunds, the newest first."""
        return _list("refunds", self._refunds.list, query)

    def list_events(self, query: Mapping[str, str]) -> ListPage | Unknown:
        """List events, the newest first."""
        return _list("events", self._events.list, query)


class _RateLimitedError(Exception):
    """GoCardless allows no call before ``retry_seconds`` have passed."""

    def __init__(self, retry_seconds: float | None) -> None:
        super().__init__(self.__doc__)
        self.retry_seconds = retry_seconds


class _DeadlineApiClient(ApiClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's HTTP client with our session, which has one deadline for the whole call. The SDK limits only each read."""

    def __init__(self, base_url: str, access_token: str, session: requests.Session) -> None:
        super().__init__(base_url, access_token)
        self._session = session

    def get(self, path: str, params: object = None, headers: object = None) -> requests.Response:
        """Send a GET request."""
        return self._send("GET", path, headers, params=params)

    def post(self, path: str, body: object, headers: object = None) -> requests.Response:
        """Send a POST request with a JSON body."""
        return self._send("POST", path, headers, data=json.dumps(body))

    def _send(self, method: str, path: str, headers: object, **content: Any) -> requests.Response:  # noqa: ANN401
        response = self._session.request(method, self._url_for(path), headers=self._headers(headers), **content)
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise _RateLimitedError(retry_after(response.headers.get("RateLimit-Reset")))
        self._handle_errors(response)
        return response


def _call(call: Callable[[], Row]) -> Row | Declined | Unknown:
    try:
        return call()
    except requests.RequestException as error:
        return connection_failure("GoCardless", error)
    except _RateLimitedError as error:
        return Unknown("GoCardless allows no call now.", error.retry_seconds)
    except GoCardlessProError as error:
        return _result_of(error)
    except Exception as error:  # noqa: BLE001 - an invalid reply can cause any error, and money may have moved
        return Unknown(f"GoCardless' answer cannot be read: {type(error).__name__}.")


def _result_of(error: GoCardlessProError) -> Declined | Unknown:
    """Return Declined if the error proves that GoCardless did nothing, otherwise Unknown."""
    if not isinstance(error, ApiError) or not isinstance(error.error, dict):
        return Unknown(f"GoCardless' answer cannot be read: {type(error).__name__}.")
    if error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return credentials_refused("GoCardless", error.code)
    reason = _reason(error)
    if error.type not in REFUSED_TYPES or reason in UNDECIDED_REASONS:
        return Unknown(f"GoCardless answered {error.code} {reason}.")
    return Declined(REASONS.get(reason, DeclineReason.PERMANENT), reason)


def _reason(error: ApiError) -> str:
    """Return the reason of an error. A validation error has the name of the invalid field instead of a reason."""
    details = error.errors[0] if isinstance(error.errors, list) and error.errors else {}
    texts = (details.get("reason"), details.get("field"), error.type) if isinstance(details, dict) else ()
    return next(filter(is_identifier, texts), "error")


def _list(name: str, list_rows: Callable[[dict[str, str]], Any], query: Mapping[str, str]) -> ListPage | Unknown:
    result = _call(lambda: dict(list_rows({**query, "limit": str(PAGE_SIZE)}).api_response.body))
    if isinstance(result, Declined):
        return Unknown(f"GoCardless refused to list {name}: {result.code}.")
    if isinstance(result, Unknown):
        return result
    try:
        rows, cursor, linked = result[name], result["meta"]["cursors"]["after"], result.get("linked") or {}
    except (KeyError, TypeError):
        return Unknown(f"GoCardless' list of {name} cannot be read.")
    is_list = type(rows) is list and type(linked) is dict and (cursor is None or is_identifier(cursor))
    return ListPage(rows, linked, cursor) if is_list else Unknown(f"GoCardless' list of {name} cannot be read.")
