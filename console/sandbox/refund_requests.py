"""Reads and checks the bodies of refund requests: of a call of the API, and of a refund that a person makes by hand."""

import json
import re
from typing import Any, NamedTuple

from console.sandbox.errors import (
    INVALID_DASHBOARD_REFUND,
    INVALID_REFUND_REQUEST,
    KEY_MISSING,
    NOT_JSON,
    ErrorResponse,
)

MAX_LENGTH = 255  # maximum characters of a key or a charge's id, as at real providers
MAX_AMOUNT = 10**15  # in minor units; more than any real refund, and every JSON parser reads it exactly

_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_FIELDS = {"charge", "amount", "currency"}


class RefundRequest(NamedTuple):
    """A valid refund request: the charge, the amount, and the idempotency key. A refund by hand has no key."""

    charge: str
    amount: int
    currency: str
    key: str | None


def read_refund_request(body: bytes, key: str | None) -> RefundRequest | ErrorResponse:
    """Return the refund request if it is valid, or else the error. The sandbox's ledger gets only valid requests."""
    if not key or len(key) > MAX_LENGTH or not key.isprintable():
        return KEY_MISSING
    try:
        fields = json.loads(body.decode())
    except (ValueError, RecursionError):
        return NOT_JSON
    if type(fields) is not dict or fields.keys() != _FIELDS:
        return INVALID_REFUND_REQUEST
    request = RefundRequest(fields["charge"], fields["amount"], fields["currency"], key)
    return request if _is_valid(request) else INVALID_REFUND_REQUEST


def read_dashboard_refund(body: bytes) -> tuple[RefundRequest, bool] | ErrorResponse:
    """Return a refund that a person makes by hand, and whether the refund fails later; or else the error."""
    match read_json(body):
        case {"charge": charge, "amount": amount, "currency": currency, **rest} if rest in ({}, {"becomes": "failed"}):
            request = RefundRequest(charge, amount, currency, None)
            return (request, bool(rest)) if _is_valid(request) else INVALID_DASHBOARD_REFUND
    return INVALID_DASHBOARD_REFUND


def read_json(body: bytes) -> Any:  # noqa: ANN401  # any JSON value
    """Return the JSON value of a body. Return None if the body is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_charge(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_LENGTH and value.isprintable()


def is_currency(value: object) -> bool:
    return type(value) is str and _CURRENCY(value) is not None


def is_amount(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_AMOUNT  # not `isinstance`, because True is also an int


def _is_valid(request: RefundRequest) -> bool:
    return is_charge(request.charge) and is_amount(request.amount) and is_currency(request.currency)
