"""Amounts as Adyen counts them: in minor units of its own, which are not ISO's for four currencies."""

from collections.abc import Mapping
from typing import Any

from domain.money import CURRENCIES, Money, UnknownMoneyError

DECIMALS: Mapping[str, int] = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}
"""docs.adyen.com, "Currency codes and minor units": for these the standard has another number of decimals."""


def written(amount: Money) -> dict[str, Any]:
    """Raises UnknownMoneyError for an amount that Adyen cannot express: half a rupiah."""
    shift = DECIMALS.get(amount.currency, CURRENCIES[amount.currency]) - CURRENCIES[amount.currency]
    return {"value": _moved(amount.minor, shift), "currency": amount.currency}


def read(row: Mapping[str, Any]) -> Money:
    """Raises UnknownMoneyError."""
    value, currency = row["value"], row["currency"]
    if currency not in CURRENCIES or type(value) is not int:
        raise UnknownMoneyError("This is no amount of a currency that we know.")
    return Money(_moved(value, CURRENCIES[currency] - DECIMALS.get(currency, CURRENCIES[currency])), currency)


def _moved(minor: int, places: int) -> int:
    factor: int = 10 ** abs(places)
    if places >= 0:
        return minor * factor
    if minor % factor:
        raise UnknownMoneyError("The amount is smaller than the currency's smallest coin.")
    return minor // factor
