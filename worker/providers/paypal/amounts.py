"""Converts amounts between Money and PayPal's format: strings with the number of decimals that PayPal expects."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.money import CURRENCIES, Money

# PayPal accepts only whole amounts of these currencies (PayPal's page "Currency codes"). ISO 4217 gives HUF and TWD two decimals.
WITHOUT_DECIMALS = frozenset({"HUF", "JPY", "TWD"})

_VALUE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)


def format_amount(amount: Money) -> dict[str, str]:
    """Return the amount as PayPal's API expects it."""
    value, currency = str(amount).split()
    if currency in WITHOUT_DECIMALS:
        value = value.removesuffix(".00")
    return {"currency_code": currency, "value": value}


def parse_amount(row: Mapping[str, Any]) -> Money:
    """Return PayPal's amount as Money. PayPal may write 500 yen as ``500.00``.

    Raise KeyError, TypeError or ValueError if ``row`` is not an amount of a known currency.
    """
    value, currency = row["value"], row["currency_code"]
    if not _VALUE.fullmatch(value):
        raise ValueError("The amount is not a plain number.")
    minor = Decimal(value).scaleb(CURRENCIES[currency])
    if minor != int(minor):
        raise ValueError("The amount has more decimals than its currency.")
    return Money(int(minor), currency)
