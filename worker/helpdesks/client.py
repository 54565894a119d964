"""Calls the HTTP APIs of helpdesks. Each status and each failed connection is a value."""

import json as json_codec
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests

from domain.helpdesks import NotSent, Refused, Unknown
from worker.providers.deadline import create_session, record_network_activity, time_limit
from worker.providers.retry_after import retry_after

CONNECTIONS = 2  # a worker calls a helpdesk in one thread
DEFAULT_PAUSE = 60.0  # seconds; the pause after a 429 response without Retry-After, because limits count minutes
MIN_PAUSE = 1.0  # seconds; some servers answer 429 with “Retry-After: 0”
FOR_ALL = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN})
"""The statuses that concern the credentials or the account, so each further call would be refused, too."""
UNDECIDED = frozenset({HTTPStatus.REQUEST_TIMEOUT})
"""The 4xx statuses after which the call may have had its effect."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that the bridge must read: a success, or a 4xx status that the bridge has asked for."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The body if it is a JSON object, or else an empty dictionary."""
        return self.body if isinstance(self.body, dict) else {}


Answer = Reply | NotSent | Refused | Unknown


class HelpdeskClient:
    """A client of one helpdesk. It makes each request once, because the caller decides whether to repeat it."""

    def __init__(
        self,
        name: str,
        base: str,
        *,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        reads_bodies: bool = True,
    ) -> None:
        """Create a client. With ``reads_bodies=False``, only the status counts, because the answer may have any body."""
        self._name, self._base, self._seconds, self._reads_bodies = name, base, seconds, reads_bodies
        self._headers = {"Accept": "application/json"} | dict(headers or {})
        self._session = create_session(CONNECTIONS)

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        reads: frozenset[int] = frozenset(),
    ) -> Answer:
        """Make one request. ``reads`` are the 4xx statuses that the bridge wants to read."""
        url, all_headers = f"{self._base}{path}", self._headers | dict(headers or {})
        with record_network_activity() as activity, time_limit(self._seconds):
            try:
                response = self._session.request(method, url, headers=all_headers, json=json, data=data, params=query)
            except requests.RequestException as error:
                why = f"The connection to {self._name} failed: {type(error).__name__}."
                return NotSent(why) if activity.nothing_was_sent else Unknown(why)
        return self._read(response, reads)

    def _read(self, response: requests.Response, reads: frozenset[int]) -> Answer:
        status, pause = response.status_code, retry_after(response.headers.get("Retry-After"))
        why = f"{self._name} answered {status}."
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return NotSent(why, DEFAULT_PAUSE if pause is None else max(pause, MIN_PAUSE))
        if status < HTTPStatus.MULTIPLE_CHOICES or status in reads:
            return self._parse(response)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in UNDECIDED:
            return Unknown(why, pause)
        return Refused(str(status), why, is_for_all=status in FOR_ALL)

    def _parse(self, response: requests.Response) -> Answer:
        if not response.content or not self._reads_bodies:
            return Reply(response.status_code, None, response.headers)
        try:
            body = json_codec.loads(response.content.decode())
        except (ValueError, RecursionError):
            return Unknown(f"The answer of {self._name} cannot be read.")
        return Reply(response.status_code, body, response.headers)


def ref_of(value: object) -> str | None:
    """Return an id in a reply as text. None if the value is no id."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) or None
