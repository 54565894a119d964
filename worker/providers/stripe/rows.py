"""Reads fields of Stripe's JSON, which may contain anything."""

from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
"""An object of Stripe's JSON."""


def as_row(value: object) -> Row:
    """Return the value if it is an object, otherwise an empty object. For example, a field that is not expanded is an id."""
    return value if type(value) is dict else {}


def read_text(row: Row, name: str) -> str | None:
    """Return the text in this field, or None if the field contains no text or a blank text."""
    value = row.get(name)
    return value.strip() or None if type(value) is str else None


def read_metadata(row: Row) -> dict[str, str]:
    """Return the fields of the object's metadata that contain a text."""
    metadata = as_row(row.get("metadata"))
    return {name: text for name in metadata if (text := read_text(metadata, name))}


def parse_time(seconds: object) -> datetime:
    """Return Stripe's time. Raise TypeError, ValueError, OverflowError or OSError if it is not a valid time."""
    if type(seconds) is not int:
        raise TypeError
    return datetime.fromtimestamp(seconds, UTC)
