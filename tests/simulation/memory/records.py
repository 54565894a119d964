"""The door: `with records.work() as work: …` on the tables in memory. One transaction at a time, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import cast

from sqlalchemy import Engine

from config.settings import Timers
from records import Records, Work
from tests.simulation.memory import cases, history, money, notices, people, waiting  # noqa: F401  # what statements do
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


class MemoryRecords(Records):
    """Records that forget when the process ends."""

    def __init__(self, timers: Timers, clock: Callable[[], datetime], seams: Seams | None = None) -> None:
        super().__init__(cast("Engine", None), timers)
        self.tables = Database()
        self.clock = clock
        self.seams = seams or Seams()
        self.in_transaction = False

    @contextmanager
    def work(self) -> Iterator[Work]:
        """One transaction."""
        self.seams.begin()
        assert not self.in_transaction, "a transaction was begun inside of another one"
        self.in_transaction = True
        work = MemoryWork(self.tables, self.timers, self.clock())
        try:
            yield work
            self.seams.commit()
        except BaseException:
            work.journal.roll_back()
            raise
        finally:
            self.in_transaction = False
        if work.notifies:
            self.seams.notified()
        self.seams.committed(work.journal)

    def notifications(self, channel: str, seconds: float) -> Iterator[bool]:  # noqa: ARG002  # as the real one
        """As the real one: True for a notification, False for as long without."""
        while True:
            yield self.seams.idle(seconds)
