"""Converts amounts between Money and Braintree's format, such as ``19.99`` for 19.99 EUR."""

from decimal import Decimal

from domain.money import CURRENCIES, Money


def format_amount(amount: Money) -> str:
    """Return the amount as Braintree's API expects it."""
    return str(amount).split()[0]


def parse_amount(amount: Decimal, currency: str) -> Money:
    """Return Braintree's amount as Money. Raise an error if the amount or the currency is invalid.

    The error may be a KeyError, TypeError, AttributeError, ValueError or ArithmeticError.
    """
    minor = amount.scaleb(CURRENCIES[currency])
    if minor != minor.to_integral_value():
        raise ValueError("The amount is not a whole number of minor units.")
    return Money(int(minor), currency)
