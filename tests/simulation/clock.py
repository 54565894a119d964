"""The simulated clock and scheduler. The tasks are greenlets, which run one at a time. The seed determines their order."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]


class Killed(BaseException):
    """The process was killed with kill -9. The class is a BaseException, so that no handler of Moneyback catches it."""


class Process:
    """A simulated process. If it is killed, all its tasks and their threads end."""

    def __init__(self, name: str, offset: float = 0.0) -> None:
        self.name = name
        self.alive = True
        self.offset = offset
        """The number of seconds by which this process's monotonic clock is ahead of the simulated time. The number can change."""
        self.tasks: dict[int, Task] = {}
        self.context: Any = None
        self.on_killed: Callable[[], object] = lambda: None
        """The function that is called when the process is killed. It starts a new process."""
        self.skew = 0.0
        """The number of seconds that this process adds to the database's clock.

        It is 0, except in runs with one planted mistake. In these runs, processes use their own clocks for leases.
        """
        self.runs_previous_version = False
        """True if the process runs the previous version of the product."""


class Task:
    """One task, such as the processing of a message or of a web request."""

    __slots__ = (
        "caller",
        "greenlet",
        "is_soft_limited",
        "number",
        "process",
        "started",
        "switched_last",
        "title",
        "wait_number",
    )

    def __init__(self, number: int, process: Process, title: str, green: greenlet, started: float) -> None:
        self.number = number
        self.process = process
        self.title = title
        self.greenlet = green
        self.started = started
        self.wait_number = 0
        """The number of the current wait. An event for an earlier wait has no effect."""
        self.is_soft_limited = False
        """True if the task reached its soft time limit."""
        self.switched_last = False
        """True if the task let other tasks run, and has done nothing since then."""
        self.caller = self
        """If this task is a thread, the task for which it makes a call. Otherwise, this task itself."""

    @property
    def is_thread(self) -> bool:
        """Return whether the task is a thread that makes a call for another task."""
        return self.caller is not self


class Clock:
    """The scheduler, which runs events in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.current: Task | None = None
        self.on_task_error: Callable[[Task, Exception], None] = _raise
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._until, self._max_steps = 0.0, 0
        self._numbers = 0
        self._hub = getcurrent()
        self._tasks: dict[int, Task] = {}

    def at(self, time: float, function: Callable[..., object], *args: Any) -> None:
        """Call ``function`` at ``time``. The function does not run in a task."""
        self._numbers += 1
        heappush(self._queue, (max(time, self.now), self._numbers, function, args))

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
        """Call ``function`` after ``seconds``."""
        self.at(self.now + seconds, function, *args)

    def spawn(
        self, process: Process, title: str, function: Callable[..., object], *args: Any, wait: float = 0.0
    ) -> Task:
        """After ``wait`` seconds, start a task that calls ``function``."""
        self._numbers += 1

        def run() -> None:
            try:
                function(*args)
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001  # `on_task_error` decides if the error is a fault of Moneyback
                self.on_task_error(task, error)
            finally:
                process.tasks.pop(task.number, None)
                self._tasks.pop(task.number, None)

        task = Task(self._numbers, process, title, greenlet(run, parent=self._hub), self.now + wait)
        process.tasks[task.number] = self._tasks[task.number] = task
        self.at(self.now + wait, self._resume, task, 0)
        return task

    def sleep(self, seconds: float) -> None:
        """Let the current task wait while other tasks run.

        If no other event is due before the wait ends, the task continues without a switch to another task. This shortcut does
        not change the order of the steps.
        """
        task, queue, ends = self.current, self._queue, self.now + seconds
        assert task, "Only a task can call sleep()."
        task.switched_last = False
        task.wait_number += 1
        self._numbers += 1
        is_next = not queue or ends < queue[0][0]
        if is_next and self.now <= ends <= self._until and self.steps < self._max_steps and task.process.alive:
            self.now = ends
            self.steps += 1
            return
        heappush(queue, (ends, self._numbers, self._resume, (task, task.wait_number)))
        self._hub.switch()

    def park(self) -> None:
        """Let the current task wait until `wake()` is called."""
        assert self.current, "Only a task can call park()."
        self.current.wait_number += 1
        self._hub.switch()

    def wake(self, task: Task, wait: float = 0.0) -> None:
        """Let a waiting task continue after ``wait`` seconds."""
        self.at(self.now + wait, self._resume, task, task.wait_number)

    def kill(self, process: Process) -> None:
        """Kill a process. Each task of the process ends when the task is resumed."""
        if process.alive:
            process.alive = False
            process.on_killed()
        for task in list(process.tasks.values()):
            if task is not self.current:
                self.wake(task)

    def run(self, until: float, max_steps: int) -> None:
        """Run events until no event is left, the clock reaches ``until``, or ``max_steps`` steps were run."""
        queue, self._until, self._max_steps = self._queue, until, max_steps
        while queue and queue[0][0] <= until and self.steps < max_steps:
            time, _, function, args = heappop(queue)
            self.now = max(self.now, time)
            self.steps += 1
            function(*args)

    @property
    def idle(self) -> bool:
        """Return whether no event is left."""
        return not self._queue

    def end(self) -> None:
        """Drop all events and end all tasks."""
        self._queue.clear()
        for task in list(self._tasks.values()):
            task.process.alive = False
            self._resume(task, task.wait_number)

    def _resume(self, task: Task, wait_number: int) -> None:
        if task.wait_number != wait_number or task.greenlet.dead:
            return
        self.current = task
        try:
            if task.process.alive:
                task.greenlet.switch()
            else:
                task.wait_number += 1
                task.process.tasks.pop(task.number, None)
                if task.greenlet:  # false before the greenlet starts: in this case, there is nothing to end
                    task.greenlet.throw(Killed)
        finally:
            self.current = None


def _raise(task: Task, error: Exception) -> None:  # noqa: ARG001  # the signature of the callback
    raise error
