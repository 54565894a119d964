"""The simulated clock and scheduler. Tasks are greenlets that run one at a time, in an order that the seed determines."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]


class Killed(BaseException):
    """The process was killed with kill -9. No handler of the product may catch this."""


class Process:
    """A process: its tasks and their threads are killed total."""

    def __init__(self, name: str, offset: float = 0.0) -> None:
        self.name = name
        self.alive = True
        self.offset = offset
        """Seconds that the process's monotonic clock is ahead of the true time; it may jump."""
        self.tasks: dict[int, Task] = {}
        self.context: Any = None
        self.died: Callable[[], object] = lambda: None
        """Called when the process was killed; starts its successor."""
        self.skew = 0.0
        """Seconds that the database's clock seems ahead for this process. Zero, except for one planted mistake."""
        self.old = False
        """Whether the process runs the previous version of the product."""


class Task:
    """One task, such as a message in work or a request."""

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
        """Whether the task did nothing since it last let other tasks run."""
        self.on_behalf_of = self

    @property
    def is_thread(self) -> bool:
        """Return whether the task is a thread that makes a call for another task."""
        return self.on_behalf_of is not self


class Clock:
    """The scheduler: runs events in the order of their instants."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.current: Task | None = None
        self.broke: Callable[[Task, Exception], None] = _raise
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._until, self._max_steps = 0.0, 0
        self._numbers = 0
        self._hub = getcurrent()
        self._tasks: dict[int, Task] = {}

    def at(self, instant: float, do: Callable[..., object], *args: Any) -> None:
        """Call ``do`` at an instant, outside of every task."""
        self._numbers += 1
        heappush(self._queue, (max(instant, self.now), self._numbers, do, args))

    def later(self, seconds: float, do: Callable[..., object], *args: Any) -> None:
        """Call ``do`` after ``seconds``."""
        self.at(self.now + seconds, do, *args)

    def spawn(self, process: Process, what: str, do: Callable[..., object], *args: Any, wait: float = 0.0) -> Task:
        """Start a task."""
        self._numbers += 1

        def run() -> None:
            try:
                do(*args)
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001  # the callback `broke` decides what the error means
                self.broke(task, error)
            finally:
                process.tasks.pop(task.number, None)
                self._tasks.pop(task.number, None)

        task = Task(self._numbers, process, what, greenlet(run, parent=self._hub), self.now + wait)
        process.tasks[task.number] = self._tasks[task.number] = task
        self.at(self.now + wait, self._resume, task, 0)
        return task

    def sleep(self, seconds: float) -> None:
        """Let the current task wait while others run.

        If the current task would be the next one, it continues without a switch; the order of steps is the same.
        """
        task, queue, ends = self.current, self._queue, self.now + seconds
        assert task, "only tasks sleep"
        task.between = False
        task.ticket += 1
        self._numbers += 1
        is_next = not queue or ends < queue[0][0]
        if is_next and self.now <= ends <= self._until and self.steps < self._max_steps and task.process.alive:
            self.now = ends
            self.steps += 1
            return
        heappush(queue, (ends, self._numbers, self._resume, (task, task.ticket)))
        self._hub.switch()

    def park(self) -> None:
        """Let the current task wait until `wake()`."""
        assert self.current, "only tasks park"
        self.current.ticket += 1
        self._hub.switch()

    def wake(self, task: Task, wait: float = 0.0) -> None:
        """Let a waiting task continue."""
        self.at(self.now + wait, self._resume, task, task.ticket)

    def kill(self, process: Process) -> None:
        """Kill a process. Its tasks end when they would continue."""
        if process.alive:
            process.alive = False
            process.died()
        for task in list(process.tasks.values()):
            if task is not self.current:
                self.wake(task)

    def run(self, until: float, max_steps: int) -> None:
        """Run events until none is left, the time ``until``, or ``max_steps`` steps."""
        queue, self._until, self._max_steps = self._queue, until, max_steps
        while queue and queue[0][0] <= until and self.steps < max_steps:
            instant, _, do, args = heappop(queue)
            self.now = max(self.now, instant)
            self.steps += 1
            do(*args)

    @property
    def idle(self) -> bool:
        """Return whether no event is left."""
        return not self._queue

    def end(self) -> None:
        """Drop all events and end all tasks."""
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
                if task.green:  # a task that has not started needs no end
                    task.green.throw(Killed)
        finally:
            self.current = None


def _raise(task: Task, error: Exception) -> None:  # noqa: ARG001  # the signature of the callback
    raise error
