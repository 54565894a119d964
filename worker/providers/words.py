"""Words of a provider that we keep and show: its codes, and its ids of things."""

from typing import TypeGuard

LONGEST = 100  # characters; the longest known is a third of that


def is_word(value: object) -> TypeGuard[str]:
    """Whether this may be kept and shown as a code or an id."""
    return type(value) is str and 0 < len(value) <= LONGEST and value.isprintable()
