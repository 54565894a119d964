"""Case numbers: the short numbers that people read, write and say on the phone. Machines use the id of the case, a UUID.

A case number has nine characters, such as 4K7P-2M9X-G. The alphabet and the last character, the check character, are those of
NOID and of ARK identifiers: https://metacpan.org/dist/Noid/view/noid#NOID-CHECK-DIGIT-ALGORITHM

- The alphabet contains the digits and the consonants without L. So 0 and O, and 1, I and L cannot be confused, and the
  characters form no words. (The check symbols of Crockford's Base32 include ``*~$=``, which are hard to say on the phone.)
- Each character is multiplied by its position, and the check character is the sum modulo 29. Because 29 is a prime number, and
  larger than every position, one wrong character or two exchanged characters always change the sum.

A case number does not show how many cases there are, because the serial number of the case is permuted. The permutation is a
Feistel network on numbers (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). It has no key: it hides the
serial number from the reader of an e-mail, but not from a reader of this module. So a case number gives no access to a case.
"""

import hashlib
import unicodedata
from typing import Final

from domain.errors import UnreadableError

ALPHABET: Final = "0123456789BCDFGHJKMNPQRSTVWXZ"
EXAMPLE: Final = "4K7P-2M9X-G"
MAX_SERIAL: Final[int] = len(ALPHABET) ** 8 - 1

_GROUP, _CHARACTERS = 4, 8  # the check character follows as the ninth character, in a group of its own
_HALF: Final[int] = len(ALPHABET) ** _GROUP
_ROUNDS = 4  # fewer rounds would map consecutive serial numbers to similar case numbers
_LOOK_ALIKES: Final = str.maketrans({"I": "1", "L": "1", "O": "0"})
_LABELS: Final = frozenset({"", "CASE", "NO", "NR", "NUMBER", "CASENO", "CASENR", "CASENUMBER"})


def encode(serial: int) -> str:
    """Return the case number of the case with this serial number, in groups."""
    value, characters = permute(serial), ""
    for _ in range(_CHARACTERS):
        value, digit = divmod(value, len(ALPHABET))
        characters = ALPHABET[digit] + characters
    return f"{characters[:_GROUP]}-{characters[_GROUP:]}-{_check_character(characters)}"


def decode(text: str) -> int:
    """Return the serial number of the case with this case number. Raise UnreadableError if the text is not a case number.

    Lower case, full-width characters, every separator, the letters I, L and O, and a label such as "Case no." are accepted.
    """
    symbols = "".join(char for char in unicodedata.normalize("NFKC", text).upper() if char.isalnum())
    label, symbols = symbols[: -_CHARACTERS - 1], symbols[-_CHARACTERS - 1 :].translate(_LOOK_ALIKES)
    if label not in _LABELS or len(symbols) <= _CHARACTERS or not set(symbols) <= set(ALPHABET):
        raise UnreadableError(
            f"{text!r} is not a case number. A case number has {_CHARACTERS + 1} letters and digits, such as {EXAMPLE}."
        )
    characters, check = symbols[:_CHARACTERS], symbols[_CHARACTERS:]
    if check != _check_character(characters):
        raise UnreadableError(
            f"The case number {text!r} has a wrong character. Compare the case number with the e-mail or the page that shows it."
        )
    value = 0
    for character in characters:
        value = value * len(ALPHABET) + ALPHABET.index(character)
    return invert(value)


def permute(serial: int) -> int:
    """Return the number from 0 to MAX_SERIAL that is written instead of this serial number."""
    left, right = divmod(serial, _HALF)
    for number in range(_ROUNDS):
        left, right = right, (left + _round(number, right)) % _HALF
    return left * _HALF + right


def invert(value: int) -> int:
    """Return the serial number for which ``permute`` returns this value."""
    left, right = divmod(value, _HALF)
    for number in reversed(range(_ROUNDS)):
        left, right = (right - _round(number, left)) % _HALF, left
    return left * _HALF + right


def _round(number: int, half: int) -> int:
    return int.from_bytes(hashlib.sha256(b"%d %d" % (number, half)).digest()[:8], "big")


def _check_character(characters: str) -> str:
    total = sum(position * ALPHABET.index(character) for position, character in enumerate(characters, start=1))
    return ALPHABET[total % len(ALPHABET)]
