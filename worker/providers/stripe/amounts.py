"""Converts amounts between Money and Stripe's format."""

from domain.money import Money, UnknownMoneyError
from worker.providers.minor_units import MinorUnits

UNITS = MinorUnits({"ISK": 2, "UGX": 2, "MGA": 0})
"""The currencies for which Stripe's number of decimals differs from ISO 4217. For example, five krónur are 500 at Stripe, and
5 in ISO 4217. Source: Stripe, "Supported currencies", zero-decimal currencies and special cases."""


def parse_amount(amount: object, currency: object) -> Money:
    """Return Stripe's amount as Money. Raise UnknownMoneyError if it is not a positive amount of a known currency."""
    money = UNITS.from_provider(amount, currency.upper() if type(currency) is str else currency)
    if money.minor <= 0:
        raise UnknownMoneyError(f"{money} is not a positive amount.")
    return money
