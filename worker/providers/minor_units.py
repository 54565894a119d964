"""Converts amounts to a provider's minor units, which differ from ISO 4217 for a few currencies."""

from collections.abc import Mapping

from domain.money import CURRENCIES, Money, UnknownMoneyError


class MinorUnits:
    """A converter between the minor units of ISO 4217 and the minor units of a provider.

    ``decimals`` contains only currencies for which the provider and ISO 4217 have different numbers of decimals. The values
    are the provider's numbers.
    """

    def __init__(self, decimals: Mapping[str, int]) -> None:
        self._shift = {currency: decimals.get(currency, iso) - iso for currency, iso in CURRENCIES.items()}

    def to_provider(self, money: Money) -> int:
        """Return the amount in the provider's minor units. Raise UnknownMoneyError if a digit would be lost."""
        return _shift_decimal_point(money.minor, self._shift[money.currency])

    def from_provider(self, amount: object, currency: object) -> Money:
        """Return the provider's amount as Money. Raise UnknownMoneyError if amount or currency is invalid."""
        if type(amount) is not int or type(currency) is not str or currency not in CURRENCIES:
            raise UnknownMoneyError(f"{amount!r} {currency!r} is not an amount of a known currency.")
        return Money(_shift_decimal_point(amount, -self._shift[currency]), currency)


def _shift_decimal_point(number: int, places: int) -> int:
    """Multiply the number by ten to the power of ``places``. Raise UnknownMoneyError if a digit would be lost."""
    factor: int = 10 ** abs(places)
    if places >= 0:
        return number * factor
    if number % factor:
        raise UnknownMoneyError(f"{number} cannot be converted between minor units without losing a digit.")
    return number // factor
