"""Calling Adyen: what came back, or why nobody can say what happened."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

import requests
from Adyen import AdyenClient
from Adyen.services.checkout import AdyenCheckoutApi

from config.accounts import AdyenAccount
from domain.providers import Unknown
from worker.providers.adyen.codes import DECIDED_STATUSES, UNDECIDED_CODES
from worker.providers.deadline import session
from worker.providers.identifiers import is_word
from worker.providers.retry_after import retry_after

TEST = "https://checkout-test.adyen.com"  # where the SDK thinks that every call goes, before it is told otherwise


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that says something: a JSON object, with a status that does not leave everything open."""

    status: int
    document: dict[str, Any]

    @property
    def is_fine(self) -> bool:
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def code(self) -> str | None:
        """Adyen's errorCode; None where there is none, or one that decides nothing."""
        code = self.document.get("errorCode")
        return code if is_word(code) and code not in UNDECIDED_CODES else None


class Api:
    """Threads share it: nothing of the SDK's client changes once it is made."""

    def __init__(self, account: AdyenAccount, *, connections: int) -> None:
        client = _Client(account, connections)
        self._modifications = AdyenCheckoutApi(client).modifications_api

    def refund(self, charge: str, wanted: Mapping[str, Any], key: str) -> Reply | Unknown:
        try:
            self._modifications.refund_captured_payment(dict(wanted), charge, idempotency_key=key)
        except AnsweredError as answered:
            return _read(answered.response)
        except (requests.Timeout, TimeoutError):
            return Unknown("Adyen did not answer in time.")
        except requests.RequestException as error:
            return Unknown(f"The connection to Adyen failed: {type(error).__name__}.")
        raise AssertionError("What the SDK sends is answered, or fails.")


class AnsweredError(Exception):
    """Adyen answered. The SDK does not get to read it: it takes for granted that an answer is an object."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class _Client(AdyenClient):  # type: ignore[misc]  # the SDK says nothing of its types
    """The SDK's client, with our connections, for another address than its own two."""

    def __init__(self, account: AdyenAccount, connections: int) -> None:
        super().__init__(xapikey=account.api_key.get_secret_value(), platform="live")
        self._base = account.api_base
        self._init_http_client()
        self.http_client.request = _Http(session(connections)).request

    def _determine_api_url(self, platform: str, endpoint: str) -> str:  # noqa: ARG002 - there is one
        return self._base + endpoint.removeprefix(TEST)


class _Http:
    """How the SDK calls."""

    def __init__(self, http: requests.Session) -> None:
        self._http = http

    def request(
        self, method: str, url: str, *, json: dict[str, Any], xapikey: str, headers: Mapping[str, str]
    ) -> NoReturn:
        raise AnsweredError(self._http.request(method, url, json=json, headers={**headers, "x-api-key": xapikey}))


def _read(response: requests.Response) -> Reply | Unknown:
    status = response.status_code
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unknown(f"Adyen refuses our credentials: {status}.", no_access=True)
    if status >= HTTPStatus.MULTIPLE_CHOICES and status not in DECIDED_STATUSES:
        return Unknown(f"Adyen answered {status}.", again_in=retry_after(response.headers.get("Retry-After")))
    try:
        document = json.loads(response.content.decode())
    except (ValueError, RecursionError):
        document = None
    return Reply(status, document) if type(document) is dict else Unknown(f"Adyen's {status} cannot be read.")
