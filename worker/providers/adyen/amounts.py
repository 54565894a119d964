"""Converts amounts between Money and Adyen's format."""

from collections.abc import Mapping
from typing import Any

from domain.money import Money
from worker.providers.minor_units import MinorUnits

UNITS = MinorUnits({"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2})
"""The currencies for which Adyen's number of decimals differs from ISO 4217.

Source: docs.adyen.com, "Currency codes and minor units".
"""


def format_amount(amount: Money) -> dict[str, Any]:
    """Return the amount in Adyen's format. Raise UnknownMoneyError if this is impossible, as for half a rupiah."""
    return {"value": UNITS.to_provider(amount), "currency": amount.currency}


def parse_amount(row: Mapping[str, Any]) -> Money:
    """Return Adyen's amount as Money. Raise UnknownMoneyError if ``row`` is not an amount of a known currency."""
    return UNITS.from_provider(row["value"], row["currency"])
