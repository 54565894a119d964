"""Reads the header Retry-After (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 86_400.0  # the maximum that is returned; a header with more than a day is a mistake of the provider


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds until the next call is allowed. If the header is missing, or is not a number or a date, return None.

    Only tests give ``now``, the current time.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), MAX_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), MAX_SECONDS)
