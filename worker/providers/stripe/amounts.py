"""Amounts as Stripe writes them: in minor units, but not always in ISO 4217's."""

from domain.money import CURRENCIES, Money, UnknownMoneyError

_DECIMALS = CURRENCIES | {"ISK": 2, "UGX": 2, "MGA": 0}
"""Stripe: "Supported currencies", zero-decimal currencies and special cases. Five krónur are 500 there, and 5 in ISO."""


def to_stripe(money: Money) -> int | None:
    """The amount that Stripe is told; None where it cannot be said: Stripe has no fraction of an ariary."""
    return _moved(money.minor, _DECIMALS[money.currency] - CURRENCIES[money.currency])


def from_stripe(amount: object, currency: object) -> Money:
    """Raises UnknownMoneyError for what is no positive amount of a currency that we know."""
    name = currency.upper() if type(currency) is str else ""
    if type(amount) is not int or amount <= 0 or name not in CURRENCIES:
        raise UnknownMoneyError(f"{amount!r} {currency!r} is no amount of Stripe's.")
    minor = _moved(amount, CURRENCIES[name] - _DECIMALS[name])
    if minor is None:
        raise UnknownMoneyError(f"{amount!r} is a fraction of {name}, which has none.")
    return Money(minor, name)


def _moved(number: int, places: int) -> int | None:
    """The number with its decimal point moved; None where digits would be lost."""
    if places >= 0:
        return int(number * 10**places)
    whole, lost = divmod(number, 10**-places)
    return None if lost else int(whole)
