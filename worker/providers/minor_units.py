"""Amounts as a provider counts them: in minor units that, for a few currencies, are not those of ISO 4217."""

from collections.abc import Mapping

from domain.money import CURRENCIES, Money, UnknownMoneyError


class MinorUnits:
    """``decimals`` are the provider's own, of the currencies in which it differs."""

    def __init__(self, decimals: Mapping[str, int]) -> None:
        self._places = {currency: decimals.get(currency, ours) - ours for currency, ours in CURRENCIES.items()}

    def written(self, money: Money) -> int:
        """The amount that the provider is told; UnknownMoneyError for what it cannot express, half a rupiah, say."""
        return _moved(money.minor, self._places[money.currency])

    def read(self, amount: object, currency: object) -> Money:
        """The amount that it speaks of; UnknownMoneyError for what is none of a currency that we know."""
        if type(amount) is not int or type(currency) is not str or currency not in CURRENCIES:
            raise UnknownMoneyError(f"{amount!r} {currency!r} is no amount of a currency that we know.")
        return Money(_moved(amount, -self._places[currency]), currency)


def _moved(number: int, places: int) -> int:
    """The number with its decimal point moved, and no digit lost."""
    factor: int = 10 ** abs(places)
    if places >= 0:
        return number * factor
    if number % factor:
        raise UnknownMoneyError(f"{number} has digits below the currency's smallest coin.")
    return number // factor
