"""Reads the header Retry-After (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 86_400.0  # more than a day is a mistake of the provider


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds until the next call is allowed. The header has a number or a date. For any other text return None.

    ``now`` is the current time, for tests.
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
