"""Removes card numbers from texts. The rules of the card networks (PCI DSS) forbid card numbers in clear text."""

import re
from collections.abc import Iterator
from typing import Final

REMOVED: Final = "[card number removed]"

_LENGTHS: Final = range(13, 20)  # the number of digits of a card number is from 13 to 19 (ISO/IEC 7812)
# possible first digits: 2 and 5 (Mastercard), 3 (American Express, Diners, JCB), 4 (Visa), 6 (Discover, Maestro, UnionPay)
_FIRST_DIGITS: Final = range(2, 7)
_SEPARATOR = r"[\s.\-_/\u00ad\u2010-\u2015\u2212\u200b-\u200f\u2060\ufeff·]{1,3}"
_RUN = re.compile(rf"\d+(?:{_SEPARATOR}\d+)*")  # matches digits of every script: full width, Arabic, …
_GROUP = re.compile(r"\d+")


def without_cards(text: str) -> str:
    """Return the text with every card number replaced by ``REMOVED``; the rest of the text is unchanged."""
    return _RUN.sub(lambda run: _remove_cards(run[0]), text)


def _remove_cards(run: str) -> str:
    """Return a run of digits without its card numbers.

    A card number starts and ends with a whole group. In "2026 4111 1111 1111 1111", the last four groups are the number.
    """
    parts, position = [], 0
    for start, end in _find_cards(run):
        if start >= position:
            parts += [run[position:start], REMOVED]
            position = end
    return "".join([*parts, run[position:]])


def _find_cards(run: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each card number in a run of digits.

    If two card numbers have the same start, yield the longer card number first.
    """
    groups = list(_GROUP.finditer(run))
    for index, first_group in enumerate(groups):
        digits: list[int] = []
        cards = []
        for last_group in groups[index:]:
            digits += map(int, last_group[0])
            if len(digits) >= _LENGTHS.stop:
                break
            if _is_card(digits):
                cards.append((first_group.start(), last_group.end()))
        yield from reversed(cards)


def _is_card(digits: list[int]) -> bool:
    """Return whether the length, the first digit and the check digit (Luhn) are those of a card number."""
    if len(digits) not in _LENGTHS or digits[0] not in _FIRST_DIGITS:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0
