"""Words of a provider that we keep and show: its codes, and its ids of things."""

import re
from typing import TypeGuard

_REFERENCE = re.compile(r"[0-9A-Za-z-]{4,64}")

LONGEST = 100  # characters; the longest known is a third of that


def is_word(value: object) -> TypeGuard[str]:
    """Whether this may be kept and shown as a code or an id."""
    return type(value) is str and 0 < len(value) <= LONGEST and value.isprintable()


def as_bank_reference(value: object) -> str | None:
    """A bank's reference as it may be shown; what is none is left out, as nothing depends on it."""
    return value if type(value) is str and _REFERENCE.fullmatch(value) else None
