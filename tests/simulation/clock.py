"""Time that passes only when everybody waits, and the tasks that wait: one greenlet each, one at a time, in a seeded order."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]


class Killed(BaseException):
    """kill -9: nothing of this process runs on, whatever its code says about the end."""


class Process:
    """What is killed as one: its tasks, and the threads that they started."""

    def __init__(self, name: str, offset: float = 0.0) -> None:
        self.name = name
        self.alive = True
        self.offset = offset
        """What this process's monotonic clock is ahead of true time; it may jump."""
        self.tasks: dict[int, Task] = {}
        self.context: Any = None
        self.died: Callable[[], object] = lambda: None
        """Who starts another one in its place."""
        self.skew = 0.0
        """What the database's clock is ahead for it; where leases are right, nothing."""
        self.old = False
        """It runs the version before this one."""


class Task:
    """One line of work."""

    __slots__ = ("between", "green", "number", "on_behalf_of", "process", "soft", "started", "ticket", "what")

    def __init__(self, number: int, process: Process, what: str, green: greenlet, started: float) -> None:
        self.number = number
        self.process = process
        self.what = what
        self.green = green
        self.started = started
        self.ticket = 0
        self.soft = False
        self.between = False
        """It has done nothing since others last came in between, or it could have ended."""
        self.on_behalf_of = self

    @property
    def is_thread(self) -> bool:
        """It makes a call for another task, and what it records is that one's."""
        return self.on_behalf_of is not self


class Clock:
    """The scheduler: events in the order of their instants."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.current: Task | None = None
        self.broke: Callable[[Task, Exception], None] = _raise
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._until, self._most = 0.0, 0
        self._numbers = 0
        self._hub = getcurrent()
        self._tasks: dict[int, Task] = {}

    def at(self, instant: float, do: Callable[..., object], *args: Any) -> None:
        """Do this at that instant, outside of every task."""
        self._numbers += 1
        heappush(self._queue, (max(instant, self.now), self._numbers, do, args))

    def later(self, seconds: float, do: Callable[..., object], *args: Any) -> None:
        """Do this after so many seconds."""
        self.at(self.now + seconds, do, *args)

    def spawn(self, process: Process, what: str, do: Callable[..., object], *args: Any, wait: float = 0.0) -> Task:
        """Start a task."""
        self._numbers += 1

        def run() -> None:
            try:
                do(*args)
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001  # what it means depends on whose it is
                self.broke(task, error)
            finally:
                process.tasks.pop(task.number, None)
                self._tasks.pop(task.number, None)

        task = Task(self._numbers, process, what, greenlet(run, parent=self._hub), self.now + wait)
        process.tasks[task.number] = self._tasks[task.number] = task
        self.at(self.now + wait, self._resume, task, 0)
        return task

    def sleep(self, seconds: float) -> None:
        """The current task waits; others run. Where it would be the next one itself, it goes on at once: the same step,
        without a way through the queue and two switches."""
        task, queue, ends = self.current, self._queue, self.now + seconds
        assert task, "only tasks sleep"
        task.between = False
        task.ticket += 1
        self._numbers += 1
        is_next = not queue or ends < queue[0][0]
        if is_next and self.now <= ends <= self._until and self.steps < self._most and task.process.alive:
            self.now = ends
            self.steps += 1
            return
        heappush(queue, (ends, self._numbers, self._resume, (task, task.ticket)))
        self._hub.switch()

    def park(self) -> None:
        """The current task waits until it is woken."""
        assert self.current, "only tasks park"
        self.current.ticket += 1
        self._hub.switch()

    def wake(self, task: Task, wait: float = 0.0) -> None:
        """Let a waiting task go on."""
        self.at(self.now + wait, self._resume, task, task.ticket)

    def kill(self, process: Process) -> None:
        """End a process; its tasks find out when they would go on."""
        if process.alive:
            process.alive = False
            process.died()
        for task in list(process.tasks.values()):
            if task is not self.current:
                self.wake(task)

    def run(self, until: float, most: int) -> None:
        """Go on until nothing is left to happen, it is too late, or too much happened."""
        queue, self._until, self._most = self._queue, until, most
        while queue and queue[0][0] <= until and self.steps < most:
            instant, _, do, args = heappop(queue)
            self.now = max(self.now, instant)
            self.steps += 1
            do(*args)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to happen."""
        return not self._queue

    def end(self) -> None:
        """Whatever still waits, waits for nothing."""
        self._queue.clear()
        for task in list(self._tasks.values()):
            task.process.alive = False
            self._resume(task, task.ticket)

    def _resume(self, task: Task, ticket: int) -> None:
        if task.ticket != ticket or task.green.dead:
            return
        self.current = task
        try:
            if task.process.alive:
                task.green.switch()
            else:
                task.ticket += 1
                task.process.tasks.pop(task.number, None)
                if task.green:  # one that has not begun need not be ended
                    task.green.throw(Killed)
        finally:
            self.current = None


def _raise(task: Task, error: Exception) -> None:  # noqa: ARG001  # as the callers' own
    raise error
