"""One transaction: what runs in it, and what time it is there."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, TextClause, text

from config.settings import Timers

Rows = CursorResult[*tuple[Any, ...]]
"""What a statement answered."""


@cache
def _text(statement: str) -> TextClause:
    """A statement, read once: there are as many as are written down in this package."""
    return text(statement)


class Transaction:
    """One open transaction on one connection."""

    def __init__(self, connection: Connection, timers: Timers) -> None:
        self.connection = connection
        self.timers = timers
        self.notifies = False  # whether the relay is told when this is committed

    def run(self, statement: str, **values: Any) -> Rows:  # noqa: ANN401  # whatever the column takes
        """Runs one named statement with its values bound."""
        return self.connection.execute(_text(statement), values)

    def stream(self, statement: str, **values: Any) -> Iterable[Row[*tuple[Any, ...]]]:  # noqa: ANN401  # as run()
        """The rows of one statement, a thousand at a time in memory."""
        return self.connection.execute(_text(statement), values, execution_options={"yield_per": 1_000})

    @cached_property
    def now(self) -> datetime:
        """The database's clock at the start of this transaction: the only clock that leases and history know."""
        at = self.run("select now()").scalar_one()
        assert isinstance(at, datetime)
        return at
