"""Searches transactions with PayPal's Transaction Search API, version 1, one time range after another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from domain.providers import Unknown
from worker.providers.paypal.client import PayPalClient
from worker.providers.paypal.resources import format_time, parse_time

LISTING_DELAY = timedelta(hours=3)  # PayPal: "It takes a maximum of three hours for executed transactions to appear"
MAX_AGE = timedelta(days=3 * 365)  # PayPal: "This call lists transaction for the previous three years."
MAX_RANGE = timedelta(days=31)  # PayPal: "The maximum supported range is 31 days."
MIN_RANGE = timedelta(minutes=1)
TOO_MANY = "RESULTSET_TOO_LARGE"  # more than 10,000 transactions; a shorter time range has fewer transactions


@dataclass(frozen=True, slots=True)
class Cursor:
    """One page of one time range. Reconciliation gets the cursor as text, and passes the text to the next call."""

    start: datetime
    end: datetime
    page: int = 1

    def __str__(self) -> str:
        return f"{format_time(self.start)} {format_time(self.end)} {self.page}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Parse the text of a cursor."""
        start, end, page = text.split(" ")
        return cls(parse_time(start), parse_time(end), int(page))

    @classmethod
    def begin(cls, since: datetime, after: str | None, now: datetime) -> "Cursor":
        """Return the cursor ``after``. If it is None, return the first page of a list that starts at ``since``.

        The list starts three hours earlier, because PayPal lists a transaction up to three hours late.
        """
        return cls.parse(after) if after else cls.first(max(since - LISTING_DELAY, now - MAX_AGE), now)

    @classmethod
    def first(cls, start: datetime, now: datetime) -> "Cursor":
        """Return the first page of the longest time range that PayPal allows. The range ends at ``now`` at the latest."""
        return cls(start, min(start + MAX_RANGE, now))

    def next_page(self) -> "Cursor":
        """Return the next page of the same time range."""
        return replace(self, page=self.page + 1)

    def first_half(self) -> "Cursor":
        """Return the first half of the time range."""
        return Cursor(self.start, self.start + (self.end - self.start) / 2)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of transactions. ``is_too_large`` is True if PayPal shows no transactions, because the range has too many."""

    rows: list[Any]
    has_more: bool
    is_too_large: bool = False

    def next_cursor(self, cursor: Cursor, now: datetime) -> str | None:
        """Return the cursor after ``cursor``, which led to this page. Return None if this page is the last page.

        PayPal's list of the last three hours may be incomplete, so the next list contains these hours again.
        """
        if self.is_too_large:
            return str(cursor.first_half())
        if self.has_more:
            return str(cursor.next_page())
        return str(Cursor.first(cursor.end, now)) if cursor.end < now - LISTING_DELAY else None


def search(client: PayPalClient, cursor: Cursor, query: Mapping[str, str]) -> SearchPage | Unknown:
    """Return the page of the transactions in this time range that match the query."""
    time_range = {"start_date": format_time(cursor.start), "end_date": format_time(cursor.end)}
    reply = client.search_transactions({**query, **time_range, "page": str(cursor.page)})
    if isinstance(reply, Unknown):
        return reply
    if reply.body.get("name") == TOO_MANY and cursor.end - cursor.start > MIN_RANGE:
        return SearchPage([], has_more=False, is_too_large=True)
    pages, rows = reply.body.get("total_pages"), reply.body.get("transaction_details", [])
    if not reply.is_success or type(pages) is not int or type(rows) is not list:
        return Unknown(f"PayPal answered {reply.status}, without a list of transactions.")
    return SearchPage(rows, has_more=cursor.page < pages)
