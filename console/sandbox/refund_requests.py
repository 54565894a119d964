"""Reads and checks the body of a refund request."""

import json
import re
from typing import NamedTuple

from console.sandbox.errors import INVALID_REFUND_REQUEST, KEY_MISSING, NOT_JSON, ErrorResponse

MAX_LENGTH = 255  # maximum characters of a key or a charge's id, as at real providers
MAX_AMOUNT = 10**15  # in minor units; more than any real refund, and every JSON parser reads it exactly

_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_FIELDS = {"charge", "amount", "currency"}


class RefundRequest(NamedTuple):
    """A valid refund request: the charge, the amount, and the idempotency key."""

    charge: str
    amount: int
    currency: str
    key: str


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
    charge, amount, currency = fields["charge"], fields["amount"], fields["currency"]
    if not is_charge(charge) or not _is_amount(amount) or type(currency) is not str or not _CURRENCY(currency):
        return INVALID_REFUND_REQUEST
    return RefundRequest(charge, amount, currency, key)


def is_charge(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_LENGTH and value.isprintable()


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_AMOUNT  # not `isinstance`, because True is also an int
