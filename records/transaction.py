"""Run statements in one transaction, and read the time of the database."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, TextClause, text

from config.settings import Timers

Rows = CursorResult[*tuple[Any, ...]]
"""The result of a statement."""


@cache
def _text(statement: str) -> TextClause:
    """Return the parsed statement. The cache needs no limit, because this package has a fixed number of statements."""
    return text(statement)


class Transaction:
    """One open transaction on one connection."""

    def __init__(self, connection: Connection, timers: Timers) -> None:
        self.connection = connection
        self.timers = timers
        self.notifies = False  # if True, the commit is followed by a notification that wakes the relay

    def run(self, statement: str, **values: Any) -> Rows:  # noqa: ANN401  # any type of a column
        """Run one statement with these bound values."""
        return self.connection.execute(_text(statement), values)

    def stream(self, statement: str, **values: Any) -> Iterable[Row[*tuple[Any, ...]]]:  # noqa: ANN401  # as in run()
        """Return the rows of one query. At most a thousand rows are in memory at the same time."""
        return self.connection.execute(_text(statement), values, execution_options={"yield_per": 1_000})

    @cached_property
    def now(self) -> datetime:
        """The database's time at the start of this transaction. Leases and history use no other clock."""
        now = self.run("select now()").scalar_one()
        assert isinstance(now, datetime)
        return now
