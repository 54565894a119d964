"""Opens transactions on the tables in memory, one at a time. Each transaction is committed or rolled back."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import cast

from sqlalchemy import Engine

from config.settings import Timers
from records import Records, UnitOfWork
from tests.simulation.memory import (  # noqa: F401  # these modules register a Python function for each SQL statement
    cases,
    decision_inputs,
    history,
    inquiry_emails,
    purchases,
    queued_work,
    refund_operations,
    sellers,
    webhook_events,
)
from tests.simulation.memory.journal import Journal
from tests.simulation.memory.tables import Database
from tests.simulation.memory.work import MemoryWork


class TransactionHooks:
    """The hooks before and after transactions. By default a hook does nothing; the simulation overrides the hooks."""

    def begin(self) -> None:
        """Run before a transaction."""

    def commit(self) -> None:
        """Run before a commit. An exception rolls the transaction back."""

    def committed(self, journal: Journal) -> None:
        """Run after a commit. An exception does not roll the transaction back."""

    def notified(self) -> None:
        """Run after the commit of a transaction that notified the relay."""

    def wait_for_notification(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for a notification. Return whether a notification arrived."""
        raise NotImplementedError


class TransactionScope:
    """One transaction. This is a class and not a generator, because a generator would make the simulation slower."""

    __slots__ = ("_records", "_work")

    def __init__(self, records: "MemoryRecords") -> None:
        self._records = records

    def __enter__(self) -> UnitOfWork:
        records = self._records
        records.hooks.begin()
        assert not records.in_transaction, "a transaction was begun inside another transaction"
        records.in_transaction = True
        self._work = MemoryWork(records.tables, records.timers, records.clock())
        return self._work

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        records, work, committed = self._records, self._work, False
        try:
            if kind is None:
                records.hooks.commit()
                committed = True
        finally:
            records.in_transaction = False
            if not committed:
                work.journal.roll_back()
        if committed:
            if work.notifies:
                records.hooks.notified()
            records.hooks.committed(work.journal)


class MemoryRecords(Records):
    """Records without a database: the tables are in the memory of the process."""

    def __init__(self, timers: Timers, clock: Callable[[], datetime], hooks: TransactionHooks | None = None) -> None:
        super().__init__(cast("Engine", None), timers)
        self.tables = Database()
        self.clock = clock
        self.hooks = hooks or TransactionHooks()
        self.in_transaction = False

    def work(self) -> AbstractContextManager[UnitOfWork]:  # type: ignore[override]  # the product's method is a generator
        """Open one transaction."""
        return TransactionScope(self)

    def notifications(self, channel: str, seconds: float) -> Iterator[bool]:  # noqa: ARG002  # as in records.Records
        """Yield True for a notification, and False after ``seconds`` without a notification."""
        while True:
            yield self.hooks.wait_for_notification(seconds)
