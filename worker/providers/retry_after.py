"""Reads the header Retry-After."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 86_400.0  # a provider that asks for more than a day has made a mistake


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Returns the seconds that the header asks for, as a number or as a date, or None if it asks for neither."""
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), MAX_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), MAX_SECONDS)
