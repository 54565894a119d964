"""Converts amounts between Money and Mollie's format: strings with as many decimals as the currency has."""

from collections.abc import Mapping
from typing import Any

from domain.money import Money


def format_amount(amount: Money) -> dict[str, str]:
    """Return the amount as Mollie's API expects it."""
    value, currency = str(amount).split()
    return {"currency": currency, "value": value}


def parse_amount(row: Mapping[str, Any]) -> Money:
    """Return Mollie's amount as Money. Raise KeyError, TypeError or ValueError if ``row`` is not an amount."""
    return Money.parse(row["value"], row["currency"])
