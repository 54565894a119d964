"""Preemption points: the places in Moneyback's code at which other tasks may run, or the current process may be killed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from tests.simulation.clock import Killed, Process, Task
from tests.simulation.faults import MINUTE
from tests.simulation.memory.journal import Journal, RefusedRowError
from tests.simulation.memory.records import TransactionHooks
from worker.broker_loss import MARKER_KEY
from worker.relay import IDLE

if TYPE_CHECKING:
    from threading import Event

    from tests.simulation.scenario import World

MAX_WAIT = 120 * 86_400.0
"""The maximum number of seconds until the alarm, which wakes the waiting relays. Work that becomes due later sets no alarm.

An example is a row with a permanent claim, which never becomes due.
"""

PAUSES = (100.0, 400.0, 50 * MINUTE)
"""The possible durations of a pause, in seconds. During a pause, a process is frozen.

A paused call must not reach the provider after the idempotency key has expired. So the worker repeats no call in the last
hours before a key expires. These hours are longer than the longest pause plus the longest delay of a call in the network.
"""


CALLS = {"before the call", "after the call"}
"""The preemption points of a refund call."""


class SoftTimeLimit(Exception):  # noqa: N818  # Celery's exception SoftTimeLimitExceeded has no suffix `Error` either
    """Celery's soft time limit was reached."""


class Interleaving(TransactionHooks):
    """The preemption points of one simulated world. The in-memory records, the adapters and the relay call these methods."""

    database_errors = (OperationalError,)

    def __init__(self, world: "World") -> None:
        self._world = world
        self._clock, self._faults, self._random = world.clock, world.faults, world.random
        self._timers = world.settings.timers
        self._pauses: Mapping[str, str] = world.forced.get("pauses", {})
        self.database_down_until = 0.0
        self._waiting_relays: list[Task] = []
        self._alarm: float | None = None
        """The time at which the waiting relays wake up, because work is due."""
        self._rows_changed = True
        self._due_rows: tuple[list[tuple[float, str]], set[str]] | None = None
        """The cached result of `_find_due_rows`, or None if the tables changed."""
        self._swept_at: dict[Process, float] = {}

    # Between steps

    def preempt(self, where: str) -> None:
        """Let other tasks run. At random, freeze or kill the process of the current task."""
        task = self._clock.current
        if task is None:
            return
        if self._world.records.in_transaction:
            self._world.checker.report_violation("I3", f"{task.process.name} has an open transaction {where}.")
        self.kill_at(where)
        happens = self._faults.happens
        if happens(self._pauses.get(where, "pause")) or (where in CALLS and happens("pause_at_call")):
            seconds = self._random.choice(PAUSES)
            if self._random.random() < 0.7:
                # The whole machine is frozen. Its monotonic clock stands still, so Celery's time limits do not count the pause.
                task.started += seconds
                task.process.offset -= seconds
            self._world.log(f"{task.process.name} is frozen {where} for {seconds:g} s")
            self._clock.sleep(seconds)
        else:
            self._clock.sleep(self._random.random() * 0.02)
        self._enforce_time_limits(task)
        task.switched_last = not where.startswith("before")

    def kill_at(self, where: str) -> None:
        """At random, kill the process of the current task."""
        task = self._clock.current
        if task is None:
            return
        if not task.process.alive:
            raise Killed
        task.switched_last = False
        if self._faults.happens("kill") or (where in CALLS and self._faults.happens("kill_at_call")):
            self._faults.count(f"kill {where}")
            self._world.log(f"{task.process.name} is killed {where}")
            self._clock.kill(task.process)
            raise Killed

    def _enforce_time_limits(self, task: Task) -> None:
        """Enforce Celery's time limits for the tasks of workers."""
        timers, age = self._timers, self._clock.now - task.started
        if age <= timers.task_soft_time_limit_seconds or task.is_thread or not task.process.name.startswith("worker"):
            return
        if age > timers.task_time_limit_seconds:
            self._faults.count("hard_time_limit")
            self._clock.kill(task.process)
            raise Killed
        if not task.is_soft_limited:
            task.is_soft_limited = True
            self._faults.count("soft_time_limit")
            raise SoftTimeLimit

    # The hooks of transactions

    def begin(self) -> None:
        """Preempt the task before a transaction. Between two consecutive transactions, the task is preempted only once."""
        if not (self._clock.current and self._clock.current.switched_last):
            self.preempt("before a transaction")
        if self._clock.current and self._clock.now < self.database_down_until:
            raise _database_error("The database is unavailable.")

    def commit(self) -> None:
        """At random, kill the process before the commit, or let the commit fail. No other task runs before the commit."""
        self.kill_at("before a commit")
        if self._clock.current and self._faults.happens("serialization_failure"):
            raise _database_error("could not serialize access")

    def committed(self, journal: Journal) -> None:
        """Check the committed changes. Then, at random, kill the process, or lose the response to the commit."""
        self._world.checker.committed(journal)
        self._world.purchase_checker.committed(journal)
        if not journal.is_empty:
            self._due_rows = None
        for row, _ in journal.changed:
            self._rows_changed = True
            if (due := getattr(row, "next_action_at", None) or getattr(row, "claimed_until", None)) is not None:
                self._set_alarm_for(self._world.since_beginning(due))
        self.kill_at("after a commit")
        if self._clock.current and self._faults.happens("commit_unknown"):
            raise _database_error("The connection broke during the commit.")
        self.preempt("after a commit")

    # The hooks of the relay

    def notified(self) -> None:
        """Wake the waiting relays."""
        for task in self._waiting_relays:
            self._clock.wake(task, self._random.random() * 0.05)
        self._waiting_relays.clear()

    def wait_for_notification(self, seconds: float) -> bool:  # noqa: ARG002  # the simulated relay wakes only for due work
        """Let the relay wait until work is due."""
        self.preempt("while the relay waits")
        task = self._clock.current
        assert task
        if self._clock.now < self.database_down_until:
            raise _database_error("The database is unavailable.")
        self._waiting_relays.append(task)
        self.set_alarm()
        self._clock.park()
        return True

    def stop_event(self) -> "Event":
        """Return the stop event of a relay. The relay also uses this event to wait after an error."""
        return _StopEvent(self)  # type: ignore[return-value]  # it has the methods that the relay uses

    def back_off(self) -> None:
        """Let the relay wait after an error.

        If only the broker is unavailable, and the relay has no work that it can do without the broker, wait until work is due.
        Otherwise, wait some seconds.
        """
        task = self._clock.current
        assert task
        world = self._world
        has_messages = any(row.queue != "support.publish" for row in world.records.tables.outbox.values())
        if self._clock.now < self.database_down_until or has_messages or not world.broker.unavailable:
            self._clock.sleep(self._random.choice([1.0, 5.0, 15.0]))
            return
        self._waiting_relays.append(task)
        self.set_alarm()
        self._clock.park()

    # The alarm for due work

    def wake_relays(self) -> None:
        """Wake the relays, because work may be due. A relay sets the alarm again when it waits."""
        self._alarm = None
        self.notified()

    def has_sweep_work(self) -> bool:
        """Return whether a sweep would find work now. A sweep without work is omitted, because no fault can happen in it."""
        if self._clock.current:
            self._swept_at[self._clock.current.process] = self._clock.now
        if self._due_rows is None:
            self._due_rows = self._find_due_rows()
        now = self._world.since_beginning(self._world.database_clock())
        return any(due <= now for due, _ in self._due_rows[0])

    def set_alarm(self) -> None:
        """Set the alarm to the time at which the next work is due."""
        if self._rows_changed or self._alarm is None:
            self._rows_changed = False
            if work := self.find_work():
                self._set_alarm_for(min(work)[0])

    def _set_alarm_for(self, due: float) -> None:
        """Set the alarm to the time of the relays' next sweep at or after ``due``."""
        now, pause = self._clock.now, self._timers.sweep_interval_seconds
        if due <= now + MAX_WAIT and (self._alarm is None or due < self._alarm - pause):
            swept_at = min((self._swept_at.get(task.process, -pause) for task in self._waiting_relays), default=-pause)
            self._alarm = max(due, now, swept_at + pause) + self._random.random() * pause
            self._clock.at(self._alarm, self._on_alarm, self._alarm)

    def _on_alarm(self, at: float) -> None:
        """Wake the relays, or set the next alarm if no work is due yet."""
        if self._alarm != at:
            return
        self._alarm = None
        if not (work := self.find_work()):
            return
        if min(work)[0] <= self._clock.now + IDLE:
            self.wake_relays()
        else:
            self._set_alarm_for(min(work)[0])

    def find_work(self) -> list[tuple[float, str]]:
        """Return the kind of each piece of work for the sweep and the relay, with the time at which the work is due."""
        if self._due_rows is None:
            self._due_rows = self._find_due_rows()
        rows, queues = self._due_rows
        work, is_broker_unavailable = [*rows], self._world.broker.unavailable
        if MARKER_KEY not in self._world.broker.keys and not is_broker_unavailable:
            work.append((self._clock.now, "broker marker"))
        if any(
            queue != "support.publish" if is_broker_unavailable else self._world.broker.has_room(queue)
            for queue in queues
        ):
            work.append((self._clock.now + IDLE, "outbox"))
        return work

    def _find_due_rows(self) -> tuple[list[tuple[float, str]], set[str]]:
        """Return the due time and the kind of each row that waits, and the queues of the messages in the outbox."""
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
            (max(at(email.created_at) + resend_after, at(email.claimed_until)) + 1e-3, email.kind)
            for email in tables.case_emails.values()
            if email.sent_at is None and ("email.cases", email.case_id) not in queued
        ]
        due += [
            (max(at(task.created_at) + resend_after, at(task.claimed_until)) + 1e-3, task.kind)
            for task in tables.support_tasks.values()
            if task.published_at is None and ("support.publish", task.case_id or task.id) not in queued
        ]
        return due, {queue for queue, _ in queued}


class _StopEvent:
    """A stop event that is never set, because a simulated relay ends only when it is killed."""

    def __init__(self, interleaving: Interleaving) -> None:
        self._interleaving = interleaving

    def is_set(self) -> bool:
        """Return False."""
        return False

    def wait(self, seconds: float) -> bool:  # noqa: ARG002  # back_off() chooses the delay
        """Let the relay wait after an error."""
        self._interleaving.back_off()
        return False


def _database_error(message: str) -> OperationalError:
    return OperationalError(message, None, RefusedRowError(message))
