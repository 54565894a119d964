"""Lists of the sandbox: rows in the order in which they were made, and the pages of a list."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from console.sandbox.errors import INVALID_PAGE, ErrorResponse

MAX_PAGE_SIZE = 1000
MAX_DIGITS = 12  # of a number in a query; the seconds of any date until the year 33658 have fewer digits

Row = TypeVar("Row")
Other = TypeVar("Other")


class PageQuery(NamedTuple):
    """The parameters of a list. ``since`` is in epoch seconds; ``starting_after`` is the id of the previous page's last row."""

    limit: int
    starting_after: str | None
    since: int


class PageOf(NamedTuple, Generic[Row]):
    """A page of a list, and True if more rows follow."""

    rows: list[Row]
    has_more: bool

    def map(self, function: Callable[[Row], Other]) -> "PageOf[Other]":
        return PageOf([function(row) for row in self.rows], self.has_more)


Page = PageOf[dict[str, Any]]


class Rows(Generic[Row]):
    """Rows by id. A row keeps its place in the list when it changes."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._index_by_id: dict[str, int] = {}

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def put(self, row_id: str, row: Row) -> None:
        """Add the row, or replace the row with this id."""
        index = self._index_by_id.setdefault(row_id, len(self._rows))
        self._rows[index : index + 1] = [row]

    def get(self, row_id: str) -> Row | None:
        index = self._index_by_id.get(row_id)
        return None if index is None else self._rows[index]

    def page(self, query: PageQuery, is_visible: Callable[[Row], bool]) -> PageOf[Row] | None:
        """Return a page of the visible rows, the oldest first. Return None if the row ``starting_after`` does not exist."""
        start = 0 if query.starting_after is None else self._index_by_id.get(query.starting_after, -1) + 1
        if query.starting_after is not None and start == 0:
            return None
        rows = list(islice(filter(is_visible, islice(self._rows, start, None)), query.limit + 1))
        return PageOf(rows[: query.limit], len(rows) > query.limit)


def read_page_query(query: Mapping[str, str]) -> PageQuery | ErrorResponse:
    """Return the parameters of a list, or the error."""
    limit, since = _number(query.get("limit", "100")), _number(query.get("since", "0"))
    if limit is None or since is None or not 1 <= limit <= MAX_PAGE_SIZE:
        return INVALID_PAGE
    return PageQuery(limit, query.get("starting_after"), since)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None
