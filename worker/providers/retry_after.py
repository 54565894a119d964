"""When a provider wants to be asked again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 86_400.0  # seconds; who asks for more than a day has made a mistake


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds, of what the header Retry-After says: a number of them, or a date; None where it says neither."""
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), LONGEST)
