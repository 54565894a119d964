"""Amounts as Adyen writes them."""

from collections.abc import Mapping
from typing import Any

from domain.money import Money
from worker.providers.minor_units import MinorUnits

UNITS = MinorUnits({"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2})
"""docs.adyen.com, "Currency codes and minor units": for these the standard has another number of decimals."""


def written(amount: Money) -> dict[str, Any]:
    """Raises UnknownMoneyError for an amount that Adyen cannot express: half a rupiah."""
    return {"value": UNITS.written(amount), "currency": amount.currency}


def read(row: Mapping[str, Any]) -> Money:
    """Raises UnknownMoneyError."""
    return UNITS.read(row["value"], row["currency"])
