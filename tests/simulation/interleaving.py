"""The seams: the places between two steps of the product where other tasks may run or the process may be killed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from tests.simulation.clock import Killed, Process, Task
from tests.simulation.faults import MINUTE
from tests.simulation.memory.journal import Journal, RefusedRowError
from tests.simulation.memory.records import Seams
from worker.broker_loss import MARKER_KEY
from worker.relay import IDLE

if TYPE_CHECKING:
    from threading import Event

    from tests.simulation.scenario import World

MAX_WAIT = 120 * 86_400.0
"""Seconds that the alarm waits at most, because a permanent claim never becomes due."""

PAUSES = (100.0, 400.0, 50 * MINUTE)
"""Seconds that a process may be frozen. Together with a late call, that is shorter than the margin before a key expires."""


CALLS = {"before the call", "after the call"}


class SoftTimeLimit(Exception):  # noqa: N818  # as Celery's own
    """Celery's soft time limit was reached."""


class WorldSeams(Seams):
    """The seams of one world: the hooks of the product's in-memory records and adapters."""

    database_errors = (OperationalError,)

    def __init__(self, world: "World") -> None:
        self._world = world
        self._clock, self._faults, self._random = world.clock, world.faults, world.random
        self._timers = world.settings.timers
        self._pauses: Mapping[str, str] = world.forced.get("pauses", {})
        self.database_down_until = 0.0
        self._idle: list[Task] = []
        self._alarm: float | None = None
        self._changed = True
        self._waiting: tuple[list[tuple[float, str]], set[str]] | None = None
        self._swept_at: dict[Process, float] = {}

    # Between steps

    def seam(self, where: str) -> None:
        """Let other tasks run, freeze this process, or kill it."""
        task = self._clock.current
        if task is None:
            return
        if self._world.records.in_transaction:
            self._world.checker.violated("I3", f"{task.process.name} is in a transaction {where}.")
        self.kill_at(where)
        happens = self._faults.happens
        if happens(self._pauses.get(where, "pause")) or (where in CALLS and happens("pause_at_call")):
            seconds = self._random.choice(PAUSES)
            if (
                self._random.random() < 0.7
            ):  # the whole machine was frozen, including the process that enforces time limits
                task.started += seconds
            self._world.log(f"{task.process.name} is frozen {where} for {seconds:g} s")
            self._clock.sleep(seconds)
        else:
            self._clock.sleep(self._random.random() * 0.02)
        self._limits(task)
        task.between = not where.startswith("before")

    def kill_at(self, where: str) -> None:
        """Kill this process here, at a random rate."""
        task = self._clock.current
        if task is None:
            return
        if not task.process.alive:
            raise Killed
        task.between = False
        if self._faults.happens("kill") or (where in CALLS and self._faults.happens("kill_at_call")):
            self._faults.count(f"kill {where}")
            self._world.log(f"{task.process.name} killed {where}")
            self._clock.kill(task.process)
            raise Killed

    def _limits(self, task: Task) -> None:
        """Enforce Celery's time limits for the tasks of workers."""
        timers, age = self._timers, self._clock.now - task.started
        if age <= timers.task_soft_time_limit_seconds or task.is_thread or not task.process.name.startswith("worker"):
            return
        if age > timers.task_time_limit_seconds:
            self._faults.count("hard_time_limit")
            self._clock.kill(task.process)
            raise Killed
        if not task.soft:
            task.soft = True
            self._faults.count("soft_time_limit")
            raise SoftTimeLimit

    # For the database

    def begin(self) -> None:
        """Be the seam before a transaction. Between two consecutive transactions, there is only one seam."""
        if not (self._clock.current and self._clock.current.between):
            self.seam("before a transaction")
        if self._clock.current and self._clock.now < self.database_down_until:
            raise _down("The database is unavailable.")

    def commit(self) -> None:
        """Let the commit fail or the process be killed before it. No other task runs here."""
        self.kill_at("before a commit")
        if self._clock.current and self._faults.happens("serialization_failure"):
            raise _down("could not serialize access")

    def committed(self, journal: Journal) -> None:
        """Check the committed changes; then the response may be lost, or the process killed."""
        self._world.checker.committed(journal)
        if journal.touched:
            self._waiting = None
        for row, _ in journal.changed:
            self._changed = True
            if (due := getattr(row, "next_action_at", None) or getattr(row, "claimed_until", None)) is not None:
                self._arm_for(self._world.since_beginning(due))
        self.kill_at("after a commit")
        if self._clock.current and self._faults.happens("commit_unknown"):
            raise _down("The connection broke at the commit.")
        self.seam("after a commit")

    # For the relay

    def notified(self) -> None:
        """Wake the relays that wait."""
        for task in self._idle:
            self._clock.wake(task, self._random.random() * 0.05)
        self._idle.clear()

    def idle(self, seconds: float) -> bool:  # noqa: ARG002  # the simulation omits the wake-ups that find nothing
        """Let the relay wait until there is work."""
        self.seam("while the relay waits")
        task = self._clock.current
        assert task
        if self._clock.now < self.database_down_until:
            raise _down("The database is unavailable.")
        self._idle.append(task)
        self.arm()
        self._clock.park()
        return True

    def stop(self, process: Process) -> "Event":
        """Return the stop event of a relay, with which the relay also waits."""
        return _Stop(self, process)  # type: ignore[return-value]  # the part of an Event that the relay uses

    def back_off(self) -> None:
        """Let the relay wait a moment after an error; for longer if there is nothing to do."""
        task = self._clock.current
        assert task
        world = self._world
        has_messages = any(row.queue != "support.publish" for row in world.records.tables.outbox.values())
        if self._clock.now < self.database_down_until or has_messages or not world.broker.unavailable:
            self._clock.sleep(self._random.choice([1.0, 5.0, 15.0]))
            return
        self._idle.append(task)
        self.arm()
        self._clock.park()

    # What is due for the sweep

    def wake_relays(self) -> None:
        """Wake the relays, because work may be due. The next relay that waits sets the alarm again."""
        self._alarm = None
        self.notified()

    def has_sweep_work(self) -> bool:
        """Return whether a sweep would find work now. The simulation omits other sweeps, because no fault can happen in them."""
        if self._clock.current:
            self._swept_at[self._clock.current.process] = self._clock.now
        if self._waiting is None:
            self._waiting = self._rows_due()
        now = self._world.since_beginning(self._world.database_clock())
        return any(due <= now for due, _ in self._waiting[0])

    def arm(self) -> None:
        """Set the alarm to the time at which the next work is due."""
        if self._changed or self._alarm is None:
            self._changed = False
            if due := self.due():
                self._arm_for(min(due)[0])

    def _arm_for(self, due: float) -> None:
        """Set the alarm, but not before a waiting relay would sweep again."""
        now, pause = self._clock.now, self._timers.sweep_interval_seconds
        if due <= now + MAX_WAIT and (self._alarm is None or due < self._alarm - pause):
            swept_at = min((self._swept_at.get(task.process, -pause) for task in self._idle), default=-pause)
            self._alarm = max(due, now, swept_at + pause) + self._random.random() * pause
            self._clock.at(self._alarm, self._on_alarm, self._alarm)

    def _on_alarm(self, at: float) -> None:
        """Wake the relays, unless the work of the alarm was done before."""
        if self._alarm != at:
            return
        self._alarm = None
        if not (due := self.due()):
            return
        if min(due)[0] <= self._clock.now + IDLE:
            self.wake_relays()
        else:
            self._arm_for(min(due)[0])

    def due(self) -> list[tuple[float, str]]:
        """Return when work for the sweep or the relay is due, with its kind."""
        if self._waiting is None:
            self._waiting = self._rows_due()
        rows, lanes = self._waiting
        due, away = [*rows], self._world.broker.unavailable
        if MARKER_KEY not in self._world.broker.keys and not away:
            due.append((self._clock.now, "memory"))
        if any(lane != "support.publish" if away else self._world.broker.has_room(lane) for lane in lanes):
            due.append((self._clock.now + IDLE, "outbox"))
        return due

    def _rows_due(self) -> tuple[list[tuple[float, str]], set[str]]:
        """Return when each row is due, and the queues of the messages that wait. Valid until the next commit."""
        tables, at = self._world.records.tables, self._world.since_beginning
        queued = {(row.queue, row.item_id) for row in tables.outbox.values()}
        resend_after = self._world.settings.timers.resend_after_seconds
        due = [(at(row.next_action_at), row.state) for row in tables.cases.values() if row.next_action_at is not None]
        due += [
            (at(row.next_action_at), row.event_id)
            for row in tables.webhook_events.values()
            if row.next_action_at is not None
        ]
        due += [
            (max(at(letter.created_at) + resend_after, at(letter.claimed_until)) + 1e-3, letter.kind)
            for letter in tables.case_emails.values()
            if letter.sent_at is None and ("email.cases", letter.case_id) not in queued
        ]
        due += [
            (max(at(task.created_at) + resend_after, at(task.claimed_until)) + 1e-3, task.kind)
            for task in tables.support_tasks.values()
            if task.published_at is None and ("support.publish", task.case_id or task.id) not in queued
        ]
        return due, {lane for lane, _ in queued}


class _Stop:
    """A stop event that is never set, because a relay ends only when it is killed."""

    def __init__(self, seams: WorldSeams, process: Process) -> None:
        self._seams, self._process = seams, process

    def is_set(self) -> bool:
        """Return False."""
        return False

    def wait(self, seconds: float) -> bool:  # noqa: ARG002  # as idle()
        """Let the relay wait a moment."""
        self._seams.back_off()
        return False


def _down(why: str) -> OperationalError:
    return OperationalError(why, None, RefusedRowError(why))
