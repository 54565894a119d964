"""Amounts as Stripe writes them."""

from domain.money import Money, UnknownMoneyError
from worker.providers.minor_units import MinorUnits

UNITS = MinorUnits({"ISK": 2, "UGX": 2, "MGA": 0})
"""Stripe: "Supported currencies", zero-decimal currencies and special cases. Five krónur are 500 there, and 5 in ISO."""


def from_stripe(amount: object, currency: object) -> Money:
    """Its currencies are in lower case; UnknownMoneyError for what is no positive amount of one that we know."""
    money = UNITS.read(amount, currency.upper() if type(currency) is str else currency)
    if money.minor <= 0:
        raise UnknownMoneyError(f"{money} is not more than nothing.")
    return money
