"""Calls Braintree through its SDK, and maps the SDK's errors to results. Only this module imports the SDK."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

import requests

from config.provider_accounts import BraintreeAccount
from domain.providers import Unknown
from worker.providers.deadline import create_session
from worker.providers.http_client import CREDENTIALS_REFUSED, connection_failure, credentials_refused
from worker.providers.identifiers import is_identifier
from worker.providers.retry_after import retry_after

with warnings.catch_warnings():  # the SDK itself uses a deprecated class when it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from braintree.braintree_gateway import BraintreeGateway
    from braintree.configuration import Configuration
    from braintree.dispute import Dispute
    from braintree.dispute_search import DisputeSearch
    from braintree.environment import Environment
    from braintree.error_result import ErrorResult
    from braintree.exceptions.braintree_error import BraintreeError
    from braintree.exceptions.not_found_error import NotFoundError
    from braintree.transaction_search import TransactionSearch
    from braintree.util.crypto import Crypto
    from braintree.util.http import Http

Result = TypeVar("Result")

PARSE_ERRORS = (
    BraintreeError,
    ExpatError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""The errors that the SDK and its objects raise for an unexpected reply."""

KEY_NOT_ALLOWED = "915231"  # ApiRequestKeyNotAllowed
_NO_KEYS = (
    f"Braintree has not enabled idempotency keys (api_request_key) for this account ({KEY_NOT_ALLOWED}). "
    "Ask Braintree's support to enable them."
)

_READABLE = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}


class MissingTransaction:
    """The result of a call if Braintree does not know the transaction or the dispute."""


@dataclass(frozen=True, slots=True)
class RefundReply:
    """Braintree's reply to a refund: a transaction of the SDK, error codes, or both."""

    transaction: Any
    error_codes: list[str] | None
    """None if Braintree did not refuse the refund."""


@dataclass(frozen=True, slots=True)
class DisputesFound:
    """One page of the disputes that a search found."""

    disputes: list[Any]
    is_last: bool


class BraintreeClient:
    """A client of Braintree for one account. Thread-safe, because the SDK creates new mutable objects for each call."""

    def __init__(self, gateway: BraintreeGateway) -> None:
        self._gateway = gateway

    def find_transaction(self, transaction_id: str) -> Any:  # noqa: ANN401 - the SDK has no types
        """Return the SDK's transaction, MissingTransaction or Unknown."""
        return _call(lambda: self._gateway.transaction.find(transaction_id))

    def find_dispute(self, dispute_id: str) -> Any:  # noqa: ANN401 - the SDK has no types
        """Return the SDK's dispute, MissingTransaction or Unknown."""
        return _call(lambda: self._gateway.dispute.find(dispute_id))

    def refund(self, transaction_id: str, amount: str, *, key: str) -> RefundReply | MissingTransaction | Unknown:
        """Refund a transaction with this idempotency key. The key is also sent as the refund's order id."""
        request = {"amount": amount, "order_id": key, "api_request_key": key}
        return _call(lambda: _read_refund_reply(self._gateway.transaction.refund(transaction_id, request)))

    def search_refund_ids(self, since: datetime) -> list[str] | Unknown:
        """Return the ids of all refunds since ``since``. For Braintree, a refund is a transaction of the type “credit”."""
        criteria = (
            TransactionSearch.type.in_list(["credit"]),
            TransactionSearch.created_at.greater_than_or_equal_to(since.astimezone(UTC)),  # type: ignore[no-untyped-call]
        )
        ids = _call(lambda: list(self._gateway.transaction.search(*criteria).ids))
        return Unknown("Braintree's transactions cannot be searched.") if isinstance(ids, MissingTransaction) else ids

    def search_transactions(self, ids: list[str]) -> list[Any] | Unknown:
        """Return the transactions with these ids."""
        criterion = TransactionSearch.ids.in_list(ids)
        result = _call(lambda: list(self._gateway.transaction.search(criterion)))
        return (
            Unknown("Braintree's transactions cannot be searched.")
            if isinstance(result, MissingTransaction)
            else result
        )

    def search_disputes(self, since: date, page: int) -> DisputesFound | Unknown:
        """Return a page of the disputes that were received since ``since``. The first page has the number 1."""
        result = _call(lambda: self._read_disputes(since, page))
        return Unknown("Braintree's disputes cannot be searched.") if isinstance(result, MissingTransaction) else result

    def check_key(self, key: str) -> Unknown | None:
        """Send an idempotency key with a sale that Braintree always refuses. Return None if the account accepts keys.

        Nothing is charged, because the sale has no amount and no payment method. Braintree lists all validation errors of a new
        transaction together. The calls that read take no key, so they do not show whether the account accepts keys.
        """
        reply = _call(lambda: _read_refund_reply(self._gateway.transaction.sale({"api_request_key": key})))
        if isinstance(reply, Unknown):
            return reply
        if isinstance(reply, MissingTransaction) or reply.error_codes is None:
            return Unknown("Braintree did not refuse a sale without an amount.")
        return Unknown(_NO_KEYS) if KEY_NOT_ALLOWED in reply.error_codes else None

    def _read_disputes(self, since: date, page: int) -> DisputesFound:
        """Search without the SDK's own method, which keeps the criteria in an object that all threads share."""
        config, criterion = self._gateway.config, DisputeSearch.received_date.greater_than_or_equal_to(since)  # type: ignore[no-untyped-call]
        path = f"{config.base_merchant_path()}/disputes/advanced_search?page={page}"
        reply = config.http().post(path, {"search": {criterion.name: criterion.to_param()}})["disputes"]
        rows = reply.get("dispute", [])
        disputes = [Dispute(row) for row in (rows if isinstance(rows, list) else [rows])]
        return DisputesFound(disputes, is_last=page * reply["page_size"] >= reply["total_items"])


def _call(call: Callable[[], Result]) -> Result | MissingTransaction | Unknown:
    """Make one call without retries, within the current time limit."""
    try:
        return call()
    except NotFoundError:
        return MissingTransaction()
    except _UndecidedError as error:
        return error.unknown
    except requests.RequestException as error:
        return connection_failure("Braintree", error)
    except PARSE_ERRORS:
        return Unknown("Braintree's answer cannot be read.")


def create_gateway(account: BraintreeAccount, *, connections: int) -> BraintreeGateway:
    """Create the SDK's gateway for this account. The gateway's calls have a deadline and no retries."""
    return BraintreeGateway(
        Configuration(
            environment=_CustomEnvironment(account.api_base) if account.api_base else account.environment,
            merchant_id=account.merchant_id,
            public_key=account.public_key,
            private_key=account.private_key.get_secret_value(),
            http_strategy=partial(_SessionHttp, create_session(connections)),
        )
    )


def sign_webhook(gateway: BraintreeGateway, payload: str) -> str:
    """Return the signature with which Braintree signs this payload of a webhook. The payload must be ASCII."""
    config = gateway.config
    return f"{config.public_key}|{Crypto.sha1_hmac_hash(config.private_key, payload)}"  # type: ignore[arg-type]


class _UndecidedError(Exception):
    """The HTTP status of the reply does not show the result of the call."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.why)
        self.unknown = unknown


class _SessionHttp(Http):
    """A transport that sends the SDK's requests through our session. The SDK's own session has no deadline."""

    def __init__(self, session: requests.Session, config: Configuration, environment: Environment) -> None:
        super().__init__(config, environment)
        self._session = session

    def http_do(self, http_verb: str, path: str, headers: dict[str, Any], request_body: Any) -> list[int | str]:  # noqa: ANN401
        # Use the environment's own list of certificate authorities, if there is one.
        verify = self.environment.ssl_certificate or True
        response = self._session.request(http_verb, path, headers=headers, data=request_body, verify=verify)
        status = response.status_code
        if status in CREDENTIALS_REFUSED:
            raise _UndecidedError(credentials_refused("Braintree", status))
        if status not in _READABLE:
            retry_seconds = retry_after(response.headers.get("Retry-After"))
            raise _UndecidedError(
                Unknown(f"Braintree answered {status}, which does not say what happened.", retry_seconds)
            )
        return [status, response.content.decode()]


class _CustomEnvironment(Environment):
    """An environment for tests. Its address is not an address of Braintree."""

    def __init__(self, base: str) -> None:
        url = urlsplit(base)
        super().__init__("custom", url.netloc, url.port, "", url.scheme == "https", None)
        self._base = base

    @property
    def protocol(self) -> str:
        return ""

    @property
    def server_and_port(self) -> str:
        return self._base


def _read_refund_reply(result: Any) -> RefundReply:  # noqa: ANN401 - the SDK has no types
    transaction = getattr(result, "transaction", None)
    if not isinstance(result, ErrorResult):
        return RefundReply(transaction, None)
    codes: list[object] = [getattr(error, "code", None) for error in result.errors.deep_errors]
    return RefundReply(transaction, [code for code in codes if is_identifier(code)])
