"""The door: `with records.work() as work: …` on the tables in memory. One transaction at a time, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import cast

from sqlalchemy import Engine

from config.settings import Timers
from records import Records, UnitOfWork
from tests.simulation.memory import (  # noqa: F401  # what statements do
    cases,
    history,
    notes,
    notices,
    queued_work,
    refund_operations,
    sellers_and_purchases,
)
from tests.simulation.memory.journal import Journal
from tests.simulation.memory.tables import Database
from tests.simulation.memory.work import MemoryWork


class Seams:
    """Where others may come in between: nothing happens here, a simulation makes something happen."""

    def begin(self) -> None:
        """Before a transaction."""

    def commit(self) -> None:
        """Before a commit: what is raised here undoes the transaction."""

    def committed(self, journal: Journal) -> None:
        """After a commit: what is raised here does not undo it."""

    def notified(self) -> None:
        """The relay's channel was notified by the transaction that was just committed."""

    def idle(self, seconds: float) -> bool:
        """Waits for a notification, at most so long; whether there was one."""
        raise NotImplementedError


class Transacting:
    """From the beginning of a transaction to its end. A class, as a generator is another frame for every step in it."""

    __slots__ = ("_records", "_work")

    def __init__(self, records: "MemoryRecords") -> None:
        self._records = records

    def __enter__(self) -> UnitOfWork:
        records = self._records
        records.seams.begin()
        assert not records.in_transaction, "a transaction was begun inside of another one"
        records.in_transaction = True
        self._work = MemoryWork(records.tables, records.timers, records.clock())
        return self._work

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        records, work, whole = self._records, self._work, False
        try:
            if kind is None:
                records.seams.commit()
                whole = True
        finally:
            records.in_transaction = False
            if not whole:
                work.journal.roll_back()
        if whole:
            if work.notifies:
                records.seams.notified()
            records.seams.committed(work.journal)


class MemoryRecords(Records):
    """Records that forget when the process ends."""

    def __init__(self, timers: Timers, clock: Callable[[], datetime], seams: Seams | None = None) -> None:
        super().__init__(cast("Engine", None), timers)
        self.tables = Database()
        self.clock = clock
        self.seams = seams or Seams()
        self.in_transaction = False

    def work(self) -> AbstractContextManager[UnitOfWork]:  # type: ignore[override]  # the real one is a generator
        """One transaction."""
        return Transacting(self)

    def notifications(self, channel: str, seconds: float) -> Iterator[bool]:  # noqa: ARG002  # as the real one
        """As the real one: True for a notification, False for as long without."""
        while True:
            yield self.seams.idle(seconds)
