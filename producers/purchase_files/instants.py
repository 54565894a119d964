"""Reads dates and times: ISO 8601, numeric dates of different countries, English month names, and Unix time."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from producers.purchase_files.errors import AmbiguousCellError, CellError

_TIME = (
    r"(?:[ ,T]+(?:at )?(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?(?![A-Za-z]))?)?"
)
_ZONE = r"(?: ?(?P<zone>Z|[+-]\d\d:?\d\d|[A-Za-z][A-Za-z_/+\-:0-9]{1,40}))?"
_NUMERIC = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-]) ?(?P<second_part>\d{1,2})(?P=mark) ?(?P<year>\d{4})" + _TIME + _ZONE
)
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})[./-](?P<month>\d{1,2})[./-](?P<day>\d{1,2})" + _TIME + _ZONE)
_MONTH_NAME = re.compile(
    r"(?:[A-Za-z]{3,9}, )?(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?[ .-]+)?(?P<month>[A-Za-z]{3,9})\.?[ -]+"
    r"(?:(?P<day_after>\d{1,2})(?:st|nd|rd|th)?,? )?(?P<year>\d{4})" + _TIME + _ZONE
)
_REST = re.compile(_TIME + _ZONE)
_UNIX_TIME = re.compile(r"\d{10}")
_MONTHS_OF_A_YEAR = 12
_MONTHS = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}

_HOURS = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "JST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
    "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "BRT": -3,
}  # fmt: skip
"""The offsets of abbreviations. Abbreviations of several time zones, such as CST and IST, are not listed."""
_ABBREVIATION = re.compile(r" ?(?<![A-Za-z])(?!AM$|PM$)([A-Z]{2,5})$")


class Instants:
    """Reads the dates and times of one file."""

    def __init__(
        self, date_format: str | None, is_day_first: Callable[[], bool | None], named_zone: tzinfo | None
    ) -> None:
        """Store the format that all dates have, and a function that finds the order of day and month in other rows.

        ``named_zone`` is the time zone that the caller names. It decides about an abbreviation that is unknown or ambiguous.
        """
        self._format = date_format
        self._is_day_first = is_day_first
        self._named_zone = named_zone

    def parse(self, text: str, zone: tzinfo | None) -> str:
        """Return an instant in the format of RFC 3339. ``zone`` is the time zone of texts without an offset.

        Raise CellError if the text is not a date, or has several meanings.
        """
        at = self._parse(self._without_unclear_zone(text.strip()))
        if at.tzinfo is None:
            if zone is None:
                raise CellError(f"{text!r} has no offset from UTC. Name the time zone with --time-zone.")
            at = at.replace(tzinfo=zone)
        return at.isoformat()

    def _without_unclear_zone(self, text: str) -> str:
        """Return the text without an abbreviation whose meaning only the named time zone shows."""
        match = _ABBREVIATION.search(text) if self._named_zone else None
        return text[: match.start()] if match and zone_named(match[1]) is None else text

    def _parse(self, text: str) -> datetime:
        if self._format:
            return _with_format(text, self._format)
        if text.isdigit():
            return _from_digits(text)
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            match = _YEAR_FIRST.fullmatch(text) or _MONTH_NAME.fullmatch(text)
            return (
                _build(text, match, int(match["year"]), *_month_and_day(text, match)) if match else self._numeric(text)
            )

    def _numeric(self, text: str) -> datetime:
        match = _NUMERIC.fullmatch(text)
        if match is None:
            raise CellError(f"{text!r} is not a date. Write 2026-04-17 14:05, or name the format with --date-format.")
        first, second = int(match["first"]), int(match["second_part"])
        is_day_first = day_first_of(text)
        if is_day_first is None:
            is_day_first = True if first == second else self._is_day_first()
        if is_day_first is None:
            raise AmbiguousCellError(
                f"In {text!r}, {first} may be the day or the month. "
                f"Name the format with --date-format, such as {_example(match)}."
            )
        return _build(text, match, int(match["year"]), *((second, first) if is_day_first else (first, second)))


def day_first_of(text: str) -> bool | None:
    """Return whether the day comes before the month in a numeric date, or None if the date has several meanings."""
    match = _NUMERIC.fullmatch(text.strip())
    if match is None:
        return None
    first, second = int(match["first"]), int(match["second_part"])
    if match["mark"] == ".":  # only countries that write the day first use dots
        return True
    return first > _MONTHS_OF_A_YEAR if (first > _MONTHS_OF_A_YEAR) != (second > _MONTHS_OF_A_YEAR) else None


@cache
def zone_named(name: str) -> tzinfo | None:
    """Return the time zone with this name, abbreviation or offset, or None if the name is unknown or has several meanings."""
    if name.upper() in _HOURS:
        return timezone(timedelta(hours=_HOURS[name.upper()]))
    if offset := re.fullmatch(r"(?:GMT|UTC)?([+-]\d{1,2}):?(\d\d)?", name):
        minutes = int(offset[2] or 0)
        return timezone(
            timedelta(hours=int(offset[1]), minutes=-minutes if name.lstrip("GMTUC")[0] == "-" else minutes)
        )
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _with_format(text: str, date_format: str) -> datetime:
    """Return the date in this format. If the format has no time, the time may follow the date."""
    words, length = text.split(), len(date_format.split())
    rest = _REST.fullmatch("".join(f" {word}" for word in words[length:]))
    try:
        at = datetime.strptime(" ".join(words[:length]), date_format)  # noqa: DTZ007  # the caller adds the time zone
    except ValueError:
        rest = None
    if rest is None:
        raise CellError(f"{text!r} does not have the format {date_format!r} of --date-format.")
    if rest["hour"] is None:
        return at.replace(tzinfo=_zone_of(text, rest) or at.tzinfo)
    time = _build(text, rest, at.year, at.month, at.day)
    return time.replace(tzinfo=time.tzinfo or at.tzinfo)


def _from_digits(text: str) -> datetime:
    if _UNIX_TIME.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    if len(text) == len("20260417"):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise CellError(f"{text!r} is not a date. Write 2026-04-17 14:05, or name the format with --date-format.")


def _month_and_day(text: str, match: re.Match[str]) -> tuple[int, int]:
    parts = match.groupdict()
    day = parts["day"] or parts.get("day_after")
    month = _MONTHS.get(parts["month"][:3].casefold()) if parts["month"].isalpha() else int(parts["month"])
    if day is None or month is None:
        raise CellError(f"{text!r} is not a date. Write 2026-04-17 14:05, or name the format with --date-format.")
    return month, int(day)


def _zone_of(text: str, match: re.Match[str]) -> tzinfo | None:
    zone = zone_named(match["zone"]) if match["zone"] else None
    if match["zone"] and zone is None:
        raise CellError(
            f"The time zone in {text!r} is unknown, or has several meanings. Name the time zone with --time-zone, such as "
            "--time-zone America/Chicago."
        )
    return zone


def _build(text: str, match: re.Match[str], year: int, month: int, day: int) -> datetime:
    """Return the instant from the time and the time zone of a match, and from the date."""
    hour, half = int(match["hour"] or 0), (match["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    minute, second, zone = int(match["minute"] or 0), int(match["second"] or 0), _zone_of(text, match)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        raise CellError(f"{text!r} is not a date of the calendar in the format of this file.") from None


def _example(match: re.Match[str]) -> str:
    mark = match["mark"]
    return f'"%d{mark}%m{mark}%Y{" %H:%M" if match["hour"] else ""}{":%S" if match["second"] else ""}"'
