"""One transaction in memory. The product's record classes send SQL statements, and a function answers each statement."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Row
from sqlalchemy.exc import InternalError

from config.settings import Timers
from records import UnitOfWork
from records.transaction import Rows, Transaction
from tests.simulation.memory.journal import Journal, RefusedRowError
from tests.simulation.memory.tables import Database

Statement = TypeVar("Statement", bound=Callable[..., Iterable[Any] | None])

STATEMENTS: dict[str, Callable[..., Iterable[Any] | None]] = {}
"""The product's SQL statements, each with the function that answers it."""


def answers(*statements: str) -> Callable[[Statement], Statement]:
    """Register the decorated function as the answer to ``statements``."""

    def register(function: Statement) -> Statement:
        STATEMENTS.update(dict.fromkeys(statements, function))
        return function

    return register


class ResultRows(list[Any]):
    """The rows of one statement. The class has only those methods of SQLAlchemy's ``Result`` that the product calls."""

    def one(self) -> Any:
        """Return the only row."""
        (row,) = self
        return row

    def one_or_none(self) -> Any:
        """Return the only row, or None."""
        return self.one() if self else None

    def scalar_one(self) -> Any:
        """Return the first column of the only row."""
        return self.one()[0]


PARTS: dict[str, Callable[[Transaction], Any]] = {
    name: type(part)
    for name, part in vars(UnitOfWork(cast("Connection", None), Timers())).items()
    if type(part).__module__.startswith("records.")
}
"""The class of each attribute of the real unit of work."""


class MemoryWork(UnitOfWork):
    """One open transaction on the tables in memory."""

    def __init__(self, tables: Database, timers: Timers, now: datetime) -> None:
        Transaction.__init__(self, cast("Connection", None), timers)
        self.tables = tables
        self.journal = Journal(tables)
        self.now = now
        self._broken = False

    def __getattr__(self, name: str) -> Any:
        """Create an attribute at its first use, because most transactions use only two or three attributes."""
        try:
            part = PARTS[name](self)
        except KeyError:
            raise AttributeError(name) from None
        self.__dict__[name] = part
        return part

    def run(self, statement: str, **values: Any) -> Rows:
        """Answer one statement."""
        return cast("Rows", ResultRows(self._answer(statement, values)))

    def stream(self, statement: str, **values: Any) -> Iterable[Row[*tuple[Any, ...]]]:
        """Answer one query."""
        return cast("Iterable[Row[*tuple[Any, ...]]]", self._answer(statement, values))

    def _answer(self, statement: str, values: dict[str, Any]) -> Iterable[Any]:
        if self._broken:
            raise InternalError(statement, None, RefusedRowError("An earlier error aborted the transaction."))
        try:
            return STATEMENTS[statement](self, **values) or ()
        except Exception:
            self._broken = True
            raise
