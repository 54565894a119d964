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
    """Return the parsed statement. The cache is bounded by the number of statements in this package."""
    return text(statement)


class Transaction:
    """One open transaction on one connection."""

    def __init__(self, connection: Connection, timers: Timers) -> None:
        self.connection = connection
        self.timers = timers
        self.notifies = False  # True if the relay is woken after the commit

    def run(self, statement: str, **values: Any) -> Rows:  # noqa: ANN401  # any type of a column
        """Run one statement with these bound values."""
        return self.connection.execute(_text(statement), values)

    def stream(self, statement: str, **values: Any) -> Iterable[Row[*tuple[Any, ...]]]:  # noqa: ANN401  # as run()
        """Return the rows of one query, with a thousand rows in memory at a time."""
        return self.connection.execute(_text(statement), values, execution_options={"yield_per": 1_000})

    @cached_property
    def now(self) -> datetime:
        """The database's time at the start of this transaction: the only clock for leases and history."""
        now = self.run("select now()").scalar_one()
        assert isinstance(now, datetime)
        return now
