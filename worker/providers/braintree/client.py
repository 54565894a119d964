"""Calling Braintree: what came back, or why nobody can say what happened."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

import requests
from braintree.braintree_gateway import BraintreeGateway
from braintree.configuration import Configuration
from braintree.environment import Environment
from braintree.exceptions.braintree_error import BraintreeError
from braintree.exceptions.not_found_error import NotFoundError
from braintree.transaction_gateway import TransactionGateway
from braintree.util.http import Http

from config.accounts import BraintreeAccount
from domain.providers import Unknown
from worker.providers.deadline import session
from worker.providers.retry_after import retry_after

T = TypeVar("T")

GARBAGE = (
    BraintreeError,
    ExpatError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What the SDK lets through when it reads something that is not Braintree's."""

_READABLE = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
_CREDENTIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class NotThere:
    """Braintree answered that it knows no such transaction."""


class Api:
    """Threads share it: the SDK makes what it changes anew for each call, but for the session, which is made for that."""

    def __init__(self, gateway: BraintreeGateway) -> None:
        self._transactions: TransactionGateway = gateway.transaction

    def ask(self, question: Callable[[TransactionGateway], T]) -> T | NotThere | Unknown:
        """One question, once, within the deadline that the caller set."""
        try:
            return question(self._transactions)
        except NotFoundError:
            return NotThere()
        except _UnclearError as unclear:
            return unclear.unknown
        except requests.Timeout:
            return Unknown("Braintree did not answer in time.")
        except requests.RequestException as error:
            return Unknown(f"The connection to Braintree failed: {type(error).__name__}.")
        except GARBAGE:
            return Unknown("Braintree's answer cannot be read.")


def gateway_of(account: BraintreeAccount, *, connections: int) -> BraintreeGateway:
    """The SDK for this account, calling through a session that knows deadlines and repeats nothing."""
    return BraintreeGateway(
        Configuration(
            environment=_Elsewhere(account.api_base) if account.api_base else account.environment,
            merchant_id=account.merchant_id,
            public_key=account.public_key,
            private_key=account.private_key.get_secret_value(),
            http_strategy=partial(_Wire, session(connections)),
        )
    )


class _UnclearError(Exception):
    """A status that does not say what happened."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.why)
        self.unknown = unknown


class _Wire(Http):
    """How the SDK sends. Its own way keeps a session for each thread, and no deadline for what drips."""

    def __init__(self, through: requests.Session, config: Configuration, environment: Environment) -> None:
        super().__init__(config, environment)
        self._through = through

    def http_do(self, http_verb: str, path: str, headers: dict[str, Any], request_body: Any) -> list[int | str]:  # noqa: ANN401
        verify = self.environment.ssl_certificate or True  # Braintree's own list of authorities, where there is one
        response = self._through.request(http_verb, path, headers=headers, data=request_body, verify=verify)
        status = response.status_code
        if status in _CREDENTIALS:
            why = f"Braintree refuses our API keys ({status}): a person must mend them."
            raise _UnclearError(Unknown(why, no_access=True))
        if status not in _READABLE:
            again_in = retry_after(response.headers.get("Retry-After"))
            raise _UnclearError(Unknown(f"Braintree answered {status}, which does not say what happened.", again_in))
        return [status, response.content.decode()]


class _Elsewhere(Environment):
    """Another address than Braintree's own."""

    def __init__(self, base: str) -> None:
        place = urlsplit(base)
        super().__init__("elsewhere", place.netloc, place.port, "", place.scheme == "https", None)
        self._base = base

    @property
    def protocol(self) -> str:
        return ""

    @property
    def server_and_port(self) -> str:
        return self._base
