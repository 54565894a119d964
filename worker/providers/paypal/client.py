"""Calling PayPal: what came back, or why nobody can say what happened."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

import requests
from apimatic_core.authentication.multiple.single_auth import Single
from apimatic_core.request_builder import RequestBuilder
from apimatic_core.types.parameter import Parameter
from paypalserversdk.configuration import Configuration, Environment, Server
from paypalserversdk.controllers.base_controller import BaseController
from paypalserversdk.http.http_method_enum import HttpMethodEnum
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from config.accounts import PayPalAccount
from domain.providers import Unknown
from worker.providers.deadline import session
from worker.providers.identifiers import is_word
from worker.providers.paypal.access_token import NoTokenError, Tokens
from worker.providers.paypal.codes import CODES, UNDECIDED_CODES, UNDECIDED_STATUSES
from worker.providers.retry_after import retry_after

A_PAGE = 500  # transactions, the most that PayPal gives at once
MOST_DISPUTES = 50  # of one capture: the most that PayPal gives at once, and more than any has


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
        """What PayPal refuses, in its own word; None where that is no word, or one that decides nothing."""
        details = self.document.get("details")
        rows = details if type(details) is list else []
        issues = [row.get("issue") for row in rows if type(row) is dict] or [self.document.get("name")]
        words = [issue for issue in issues if is_word(issue)]
        if not words or not UNDECIDED_CODES.isdisjoint(words):
            return None
        return next((word for word in words if word in CODES), words[0])


class AnsweredError(Exception):
    """PayPal answered. The SDK does not get to see it: it reads JSON by jsonpickle, which makes what the JSON tells it to."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Api:
    """Threads share it: nothing of the SDK's client changes once it is made."""

    def __init__(self, account: PayPalAccount, *, connections: int) -> None:
        http = session(connections)
        http.hooks["response"].append(_past_the_sdk)
        id_and_secret = f"{account.client_id.get_secret_value()}:{account.client_secret.get_secret_value()}"
        self._basic = f"Basic {b64encode(id_and_secret.encode()).decode()}"
        self._tokens = Tokens(self._fetch_token)
        self._client = PaypalServersdkClient(config=_At(account.api_base, http))
        self._client.auth_managers["Oauth2"] = _Bearer(self._tokens)
        self._disputes = _Disputes(self._client.global_configuration)

    def refund(self, charge: str, amount: Mapping[str, str], key: str) -> Reply | Unknown:
        return self._call(
            lambda: self._client.payments.refund_captured_payment(
                {
                    "capture_id": charge,
                    "paypal_request_id": key,
                    "prefer": "return=representation",
                    "body": {"amount": amount, "custom_id": key, "invoice_id": key},
                }
            )
        )

    def capture(self, charge: str) -> Reply | Unknown:
        return self._call(lambda: self._client.payments.get_captured_payment({"capture_id": charge}))

    def order(self, order: str) -> Reply | Unknown:
        return self._call(lambda: self._client.orders.get_order({"id": order}))

    def search(self, event_code: str, start: str, end: str, page: int) -> Reply | Unknown:
        return self._call(
            lambda: self._client.transaction_search.search_transactions(
                {
                    "start_date": start,
                    "end_date": end,
                    "transaction_type": event_code,
                    "fields": "transaction_info",
                    "balance_affecting_records_only": "N",  # a pending refund has not affected the balance yet
                    "page_size": A_PAGE,
                    "page": page,
                }
            )
        )

    def disputes(self, charge: str) -> Reply | Unknown:
        return self._call(lambda: self._disputes.get("", disputed_transaction_id=charge, page_size=MOST_DISPUTES))

    def dispute(self, dispute: str) -> Reply | Unknown:
        return self._call(lambda: self._disputes.get(f"/{dispute}"))

    def _call(self, send: Callable[[], object]) -> Reply | Unknown:
        """With the token that we hold; once more with a new one, where PayPal does not take it: it has done nothing."""
        try:
            response = _sent(send)
            if isinstance(response, requests.Response) and response.status_code == HTTPStatus.UNAUTHORIZED:
                self._tokens.forget(response.request.headers["Authorization"].removeprefix("Bearer "))
                response = _sent(send)
        except NoTokenError as error:
            return error.unknown
        return _read(response)

    def _fetch_token(self) -> tuple[str, float] | Unknown:
        request = self._client.o_auth_authorization.request_token
        response = _sent(lambda: request({"authorization": self._basic}))
        if isinstance(response, requests.Response) and response.status_code == HTTPStatus.BAD_REQUEST:
            return Unknown("PayPal refuses our credentials: 400.", no_access=True)
        reply = _read(response)
        if isinstance(reply, Unknown):
            return reply
        token, seconds = reply.document.get("access_token"), reply.document.get("expires_in")
        if not reply.is_fine or type(token) is not str or not token.isascii() or type(seconds) is not int:
            return Unknown("PayPal gives a token that cannot be read.")
        return token, seconds


class _At(Configuration):  # type: ignore[misc]  # the SDK says nothing of its types
    """The SDK's configuration for another address than its own two."""

    def __init__(self, base: str, http: requests.Session) -> None:
        self._base = base
        super().__init__(http_client_instance=http, environment=Environment.PRODUCTION)

    def get_base_uri(self, server: Server = Server.DEFAULT) -> str:  # noqa: ARG002 - there is one
        return self._base


class _Bearer:
    """How the SDK signs a call."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def is_valid(self) -> bool:
        return True

    def apply(self, request: Any) -> None:  # noqa: ANN401 - the SDK says nothing of its types
        request.add_header("Authorization", f"Bearer {self._tokens.current()}")


class _Disputes(BaseController):  # type: ignore[misc]  # the SDK says nothing of its types
    """PayPal's "Disputes", v1, which the SDK leaves out."""

    def get(self, below: str, **query: str | int) -> object:
        request = RequestBuilder().server(Server.DEFAULT).path(f"/v1/customer/disputes{below}")
        for name, value in query.items():
            request.query_param(Parameter().key(name).value(value))
        signed = request.http_method(HttpMethodEnum.GET).auth(Single("Oauth2"))
        answer: object = self.new_api_call_builder.request(signed).execute()
        return answer


def _past_the_sdk(response: requests.Response, *_: object, **__: object) -> NoReturn:
    raise AnsweredError(response)


def _sent(send: Callable[[], object]) -> requests.Response | Unknown:
    try:
        send()
    except AnsweredError as answered:
        return answered.response
    except (requests.Timeout, TimeoutError):
        return Unknown("PayPal did not answer in time.")
    except requests.RequestException as error:
        return Unknown(f"The connection to PayPal failed: {type(error).__name__}.")
    raise AssertionError("What the SDK sends is answered, or fails.")


def _read(response: requests.Response | Unknown) -> Reply | Unknown:
    if isinstance(response, Unknown):
        return response
    status = response.status_code
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unknown(f"PayPal refuses our credentials: {status}.", no_access=True)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in UNDECIDED_STATUSES:
        return Unknown(f"PayPal answered {status}.", again_in=retry_after(response.headers.get("Retry-After")))
    try:
        document = json.loads(response.content.decode())
    except (ValueError, RecursionError):
        document = None
    return Reply(status, document) if type(document) is dict else Unknown(f"PayPal's {status} cannot be read.")
