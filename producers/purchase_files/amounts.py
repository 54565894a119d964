"""Reads amounts of money as people and programs write them: ``49.00``, ``1.234,56``, ``€ 49,00``, ``1'234.56 CHF``."""

import re
import unicodedata
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from domain.errors import UnreadableError
from domain.money import CURRENCIES
from producers.purchase_files.errors import AmbiguousCellError, CellError


class Units(Enum):
    """What an amount without decimals means."""

    DECIMAL = "decimal"  # 49 is 49.00 EUR
    MINOR = "minor"  # 4900 is 49.00 EUR
    MINOR_OR_DECIMAL = "minor or decimal"  # 4900, 49.00 and 49 EUR are the same; a file must not contain both forms
    NEEDS_DECIMALS = "needs decimals"  # 49 is 49.00 EUR, if another amount of the file has decimals


_SYMBOLS = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₪": "ILS", "₫": "VND", "₴": "UAH", "₺": "TRY", "₱": "PHP",
    "₦": "NGN", "₸": "KZT", "₾": "GEL", "zł": "PLN", "kč": "CZK", "ft": "HUF", "r$": "BRL", "us$": "USD", "c$": "CAD",
    "ca$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD", "hk$": "HKD", "nt$": "TWD", "s$": "SGD", "fr.": "CHF",
}  # fmt: skip
"""Signs that mean one currency. Other signs, such as ``$``, ``¥`` and ``kr``, mean several currencies."""
_SHARED_SYMBOLS = {"$", "¥", "kr", "kr.", "rs", "rs.", "円", "元"}

_UNIT = r"(?:[^\d+\-(.,']|\.(?=\s))*"  # a dot before a space belongs to the unit, as in "Fr. 49"
_AMOUNT = re.compile(rf"(?P<before>{_UNIT})(?P<sign>[-+(]?)(?P<unit>{_UNIT})(?P<number>[.,]?\d[\d.,' ]*)(?P<after>.*)")
_GROUP = 3  # digits of a group
_PLAIN = re.compile(r"\d{1,15}\.\d\d")
_NO_CENTS = re.compile(r"(?<=\d)([.,]) ?[-\u2013\u2014]{1,2}(?=\D*$)")  # as in "49,-" and "49.\u2013 CHF"
_GROUPED = {mark: re.compile(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{2,3}})*{re.escape(mark)}\d{{3}}") for mark in ".,' "}
"""Digits in groups. Between the first and the last group, Indian amounts have groups of two digits: 12,34,567."""


class Number(NamedTuple):
    """The number of an amount."""

    digits: str
    decimals: str
    separator: str | None
    """The decimal separator. It is empty if the amount has no decimals. It is None if the text has several meanings."""
    is_decimal: bool
    """True if the amount has decimals or a currency, so that it is not in minor units."""


class Amounts:
    """Reads the amounts of one file."""

    def __init__(self, units: Units, find_separator: Callable[[], str | None]) -> None:
        """Store the meaning of amounts without decimals, and a function that finds the decimal separator in other rows."""
        self._units = units
        self._find_separator = find_separator
        self._whole_line = self._decimal_line = 0
        """The first lines with an amount without and with decimals, in a currency with minor units."""

    def parse(self, text: str, currency: str | None, line: int) -> int | None:
        """Return the amount in minor units. Return None if the currency is unknown and the amount has decimals.

        Raise CellError if the text is not an amount, or has several meanings.
        """
        digits, decimals, separator, is_decimal = _split(text, currency)
        if separator is None:  # the text has one separator, which may group three digits
            digits, decimals = self._resolve(text, digits, decimals, currency)
        exponent = CURRENCIES.get(currency or "")
        if exponent == 0:
            return int(digits) if not decimals.strip("0") else _refuse_decimals(text, currency)
        if not decimals and not digits.strip("-0"):
            return 0  # in all units
        if self._is_minor(is_decimal=is_decimal or bool(decimals), line=line):
            return int(digits) if not decimals else _refuse_decimals(text, "minor units")
        if exponent is None:
            return None
        decimals = decimals.rstrip("0").ljust(exponent, "0")
        return int(digits + decimals) if len(decimals) == exponent else _refuse_decimals(text, currency)

    def check(self, name: str) -> None:
        """Raise UnreadableError at the end of a file whose amounts may be decimal or in minor units."""
        if self._units is Units.NEEDS_DECIMALS and self._whole_line and not self._decimal_line:
            raise UnreadableError(
                f"No amount of the file {name} has decimals, so 4900 may be 49.00 or 4900.00. "
                "Add --minor-units if 4900 is 49.00, or --decimal-amounts if 4900 is 4900.00."
            )

    def _is_minor(self, *, is_decimal: bool, line: int) -> bool:
        if is_decimal:
            self._decimal_line = self._decimal_line or line
        else:
            self._whole_line = self._whole_line or line
        if self._units is Units.MINOR_OR_DECIMAL and self._whole_line and self._decimal_line:
            raise UnreadableError(
                f"Line {self._whole_line} has an amount without decimals, and line {self._decimal_line} with decimals or with "
                "a currency. "
                "So 49 may be 49.00 or 0.49. Add --decimal-amounts if 49 is 49.00."
            )
        return self._units is Units.MINOR or (self._units is Units.MINOR_OR_DECIMAL and not is_decimal)

    def _resolve(self, text: str, head: str, tail: str, currency: str | None) -> tuple[str, str]:
        """Return the digits and the decimals of a text with one separator and three digits after the separator."""
        mark = "." if "." in text else ","
        exponent = CURRENCIES.get(currency or "")
        separator = self._find_separator() if exponent else None
        if separator is None and exponent == _GROUP:
            separator = mark
        if separator is None and exponent != 0:
            raise AmbiguousCellError(
                f"{text!r} may be {head}{tail} or {head}.{tail}. Name the decimal separator with --decimal-separator."
            )
        return (head, tail) if separator == mark else (head + tail, "")


def currency_of(text: str) -> str | None:
    """Return the currency that an amount names by its code or by a sign, such as ``49.00 EUR`` or ``€ 49,00``."""
    match = _AMOUNT.fullmatch(_normalise(text))
    return _currency_of_unit(_unit_of(match)) if match else None


def separator_of(text: str) -> str | None:
    """Return the decimal separator that a text certainly has, or None."""
    try:
        return _split(text, None).separator or None
    except CellError:
        return None


def is_negative(text: str) -> bool:
    """Return whether an amount is negative: money that went back to the customer."""
    match = _AMOUNT.fullmatch(_normalise(text))
    return match is not None and _has_minus(match)


def positive(text: str) -> str:
    """Return the text of an amount without its minus sign."""
    return _normalise(text).replace("-", "").replace("(", "").replace(")", "")


def _normalise(text: str) -> str:
    """Return the text with plain spaces, digits, signs and apostrophes."""
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    return _NO_CENTS.sub(r"\g<1>00", text.replace("\u2212", "-").replace("\u2019", "'").strip())


def _unit_of(match: re.Match[str]) -> str:
    return (match["before"] + match["unit"] + match["after"].strip("-) ")).strip()


def _currency_of_unit(unit: str) -> str | None:
    return _SYMBOLS.get(unit.casefold()) or (unit.upper() if unit.upper() in CURRENCIES else None)


def _has_minus(match: re.Match[str]) -> bool:
    return match["sign"] in {"-", "("} or match["after"].strip().startswith("-")


@lru_cache(maxsize=10_000)  # most shops have few prices
def _split(text: str, currency: str | None) -> Number:
    """Return the number of an amount. Raise CellError if the text is not an amount."""
    if _PLAIN.fullmatch(text):
        return Number(text[:-3], text[-2:], ".", is_decimal=True)
    match = _AMOUNT.fullmatch(_normalise(text))
    if match is None:
        raise CellError(f"{text!r} is not an amount. Write an amount such as 49.00.")
    _check_unit(text, _unit_of(match), currency)
    digits, decimals, separator = _split_number(text, match["number"].rstrip(".,' "))
    is_decimal = bool(decimals or _unit_of(match))
    return Number(f"-{digits}" if _has_minus(match) else digits, decimals, separator, is_decimal)


def _check_unit(text: str, unit: str, currency: str | None) -> None:
    named = _currency_of_unit(unit)
    if unit and named is None and unit.casefold() not in _SHARED_SYMBOLS:
        raise CellError(f"{text!r} is not an amount. Write an amount such as 49.00.")
    if named and currency and named != currency:
        raise CellError(f"{text!r} is an amount in {named}, but the currency is {currency}.")


def _split_number(text: str, number: str) -> tuple[str, str, str | None]:
    marks = [mark for mark in number if mark in ".,"]
    if not marks or (len(marks) > 1 and len(set(marks)) == 1):
        return _ungroup(text, number), "", ""
    last = marks[-1]
    if marks.count(last) > 1:
        raise CellError(f"{text!r} is not an amount. Its separators contradict each other.")
    head, _, decimals = number.rpartition(last)
    if not decimals.isdigit():
        raise CellError(f"{text!r} is not an amount. Write an amount such as 49.00.")
    is_ambiguous = (
        len(marks) == 1 and len(decimals) == _GROUP and head.isdigit() and len(head) <= _GROUP and head != "0"
    )
    return _ungroup(text, head), decimals, None if is_ambiguous else last


def _ungroup(text: str, number: str) -> str:
    """Return the digits of a number whose digits may be in groups."""
    if number.isdigit():
        return number
    if not number:
        return "0"
    if not any(pattern.fullmatch(number) for pattern in _GROUPED.values()):
        raise CellError(f"{text!r} is not an amount. Its digits are not in groups of three.")
    return re.sub(r"\D", "", number)


def _refuse_decimals(text: str, currency: str | None) -> int:
    raise CellError(f"{text!r} has more decimals than {currency}.")
