"""Checks the identifiers and codes of a provider before they are stored and shown."""

import re
from typing import TypeGuard

_WORD = re.compile(r"[\w-]+")
_BANK_REFERENCE = re.compile(r"[0-9A-Za-z-]{4,64}")

MAX_LENGTH = 100  # characters; the longest known identifier has about 33


def is_identifier(value: object) -> TypeGuard[str]:
    """Return whether the value can be stored and shown as an identifier or a code."""
    return type(value) is str and 0 < len(value) <= MAX_LENGTH and value.isprintable()


def find_identifiers(text: str) -> frozenset[str]:
    """Return every word in the text that may be an identifier. The text may be JSON or XML, and need not be well-formed."""
    return frozenset(filter(is_identifier, _WORD.findall(text)))


def parse_bank_reference(value: object) -> str | None:
    """Return the bank reference, or None if it has an unexpected form. No decision depends on the reference."""
    return value if type(value) is str and _BANK_REFERENCE.fullmatch(value) else None
