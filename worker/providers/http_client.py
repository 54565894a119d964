"""Sends HTTP requests to a payment provider, and reads its JSON replies."""

import json as json_codec
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import requests

from domain.providers import Unknown

CREDENTIALS_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""The statuses with which a provider rejects our credentials. The refund is sent again later, with corrected credentials."""


@dataclass(frozen=True, slots=True)
class HttpReply(ABC):
    """A reply whose body is a JSON object. The reply may show the outcome of a refund."""

    status: int
    body: dict[str, Any]

    @classmethod
    def parse(cls, status: int, raw: bytes) -> Self | None:
        """Parse the body. Return None if the body is not a JSON object."""
        try:
            body = json_codec.loads(raw.decode())
        except (ValueError, RecursionError):
            return None
        return cls(status, body) if type(body) is dict else None

    @property
    def is_success(self) -> bool:
        """True if the provider carried out the request."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    @abstractmethod
    def code(self) -> str | None:
        """The provider's error code, or None if the reply has no code that shows the outcome."""


def send(
    session: requests.Session,
    provider: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    json: Mapping[str, Any] | None = None,
    form: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> requests.Response | Unknown:
    """Send one request without retries, within the current time limit. ``provider`` is the display name, such as "PayPal"."""
    all_headers = {"Accept": "application/json"} | dict(headers)
    try:
        return session.request(method, url, headers=all_headers, json=json, data=form, params=query)
    except requests.RequestException as error:
        return connection_failure(provider, error)


def connection_failure(provider: str, error: requests.RequestException) -> Unknown:
    """Describe a call that got no reply."""
    if isinstance(error, requests.Timeout):
        return Unknown(f"{provider} did not answer in time.")
    return Unknown(f"The connection to {provider} failed: {type(error).__name__}.")


def credentials_refused(provider: str, status: int) -> Unknown:
    """Describe a call that the provider did not carry out, because it rejects our credentials."""
    return Unknown(f"{provider} refuses our credentials: {status}.", invalid_credentials=True)
