"""Converts amounts to a provider's minor units, which for a few currencies differ from those of ISO 4217."""

from collections.abc import Mapping

from domain.money import CURRENCIES, Money, UnknownMoneyError


class MinorUnits:
    """Converts between our minor units and a provider's. ``decimals`` lists the currencies that differ."""

    def __init__(self, decimals: Mapping[str, int]) -> None:
        self._shift = {currency: decimals.get(currency, iso) - iso for currency, iso in CURRENCIES.items()}

    def to_provider(self, money: Money) -> int:
        """Returns the amount in the provider's minor units. Raises UnknownMoneyError for half a rupiah, for example."""
        return _shifted(money.minor, self._shift[money.currency])

    def from_provider(self, amount: object, currency: object) -> Money:
        """Returns the provider's amount as Money. Raises UnknownMoneyError if it is not an amount of a known currency."""
        if type(amount) is not int or type(currency) is not str or currency not in CURRENCIES:
            raise UnknownMoneyError(f"{amount!r} {currency!r} is not an amount of a known currency.")
        return Money(_shifted(amount, -self._shift[currency]), currency)


def _shifted(number: int, places: int) -> int:
    """Moves the decimal point without losing a digit."""
    factor: int = 10 ** abs(places)
    if places >= 0:
        return number * factor
    if number % factor:
        raise UnknownMoneyError(f"{number} has digits below the currency's smallest coin.")
    return number // factor
