"""Amounts of money in minor units of a currency. They are integers and never floats."""

from dataclasses import dataclass
from decimal import Decimal

# The currencies whose minor unit is not 1/100, with their number of decimals. Source: ISO 4217, list one, 2026-01-01.
_EXPONENTS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_HUNDREDTHS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY "
    "COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR "
    "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
)
CURRENCIES: dict[str, int] = dict.fromkeys(_HUNDREDTHS.split(), 2) | _EXPONENTS
"""The currencies of ISO 4217, with their number of decimals."""


class UnknownMoneyError(ValueError):
    """The amount is not a whole number of minor units, or the currency is not in ISO 4217."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units: ``Money(1999, "EUR")`` is 19.99 euros, and ``Money(500, "JPY")`` is 500 yen."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise UnknownMoneyError(f"The amount {self.minor!r} is not a whole number of minor units.")
        if self.currency not in CURRENCIES:
            raise UnknownMoneyError(f"{self.currency!r} is not a currency of ISO 4217.")

    def __str__(self) -> str:
        """Return the amount in a readable form without a locale, such as ``19.99 EUR``."""
        return f"{Decimal(self.minor).scaleb(-CURRENCIES[self.currency])} {self.currency}"

    @classmethod
    def parse(cls, text: str, currency: str) -> "Money":
        """Parse a text such as ``19.99``.

        Raise UnknownMoneyError if the text is not a plain number or has more decimals than the currency.
        """
        exponent = CURRENCIES.get(currency)
        if exponent is None:
            raise UnknownMoneyError(f"{currency!r} is not a currency of ISO 4217.")
        whole, _, decimals = text.strip().removeprefix("-").partition(".")
        if not (whole + decimals).isdecimal() or not text.isascii() or not whole or len(decimals) > exponent:
            raise UnknownMoneyError(f"{text!r} is not an amount of {currency}, which has {exponent} decimals.")
        minor = int(whole + decimals.ljust(exponent, "0"))
        return cls(-minor if text.strip().startswith("-") else minor, currency)
