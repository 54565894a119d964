"""What customers write and nobody may keep: the numbers of payment cards, which their rules forbid to store in the clear."""

import re
from collections.abc import Iterator
from typing import Final

REMOVED: Final = "[card number removed]"

_LENGTHS: Final = range(13, 20)  # digits of a card number, ISO/IEC 7812
_FIRST: Final = range(
    2, 7
)  # 2 and 5 Mastercard, 3 American Express, Diners and JCB, 4 Visa, 6 Discover, Maestro and UnionPay
_BETWEEN = r"[\s.\-_/\u00ad\u2010-\u2015\u2212\u200b-\u200f\u2060\ufeff·]{1,3}"
_RUN = re.compile(rf"\d+(?:{_BETWEEN}\d+)*")  # digits of every script: full width, Arabic, …
_GROUP = re.compile(r"\d+")


def without_cards(text: str) -> str:
    """The text without the card numbers in it; everything else is as it was."""
    return _RUN.sub(lambda run: _cleared(run[0]), text)


def _cleared(run: str) -> str:
    """A card number begins and ends where a group of digits does: "2026 4111 1111 1111 1111" holds one behind a year."""
    kept, at = [], 0
    for begin, end in _cards(run):
        if begin >= at:
            kept += [run[at:begin], REMOVED]
            at = end
    return "".join([*kept, run[at:]])


def _cards(run: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand in this run of digits; of those that begin at one place, the longest first."""
    groups = list(_GROUP.finditer(run))
    for first, begin in enumerate(groups):
        digits: list[int] = []
        found = []
        for end in groups[first:]:
            digits += map(int, end[0])
            if len(digits) >= _LENGTHS.stop:
                break
            if _is_card(digits):
                found.append((begin.start(), end.end()))
        yield from reversed(found)


def _is_card(digits: list[int]) -> bool:
    """By its length, its first digit and its check digit (Luhn)."""
    if len(digits) not in _LENGTHS or digits[0] not in _FIRST:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0
