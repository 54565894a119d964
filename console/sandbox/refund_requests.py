import json
import re
from typing import NamedTuple

from console.sandbox.errors import KEY_MISSING, NOT_JSON, WRONG_ORDER, Refused

LONGEST = 255  # characters of a key or a charge's id, as at the providers we know
HIGHEST = 10**15  # minor units: more than any refund, small enough for every reader of JSON

_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_FIELDS = {"charge", "amount", "currency"}


class Order(NamedTuple):
    """What the client wants: this charge back, once, under this key."""

    charge: str
    amount: int
    currency: str
    key: str


def read_order(body: bytes, key: str | None) -> Order | Refused:
    """Everything is checked here, so that the ledger only ever sees orders that make sense."""
    if not key or len(key) > LONGEST or not key.isprintable():
        return KEY_MISSING
    try:
        fields = json.loads(body.decode())
    except (ValueError, RecursionError):
        return NOT_JSON
    if type(fields) is not dict or fields.keys() != _FIELDS:
        return WRONG_ORDER
    charge, amount, currency = fields["charge"], fields["amount"], fields["currency"]
    if not is_charge(charge) or not _is_amount(amount) or type(currency) is not str or not _CURRENCY(currency):
        return WRONG_ORDER
    return Order(charge, amount, currency, key)


def is_charge(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= LONGEST and value.isprintable()


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 < value <= HIGHEST  # `type`, because True is an int, too
