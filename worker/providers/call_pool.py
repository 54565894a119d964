"""Calls providers in parallel, in a limited number of threads. A slow call does not delay a whole batch."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from math import inf
from threading import Lock
from typing import TypeVar

import structlog

log = structlog.get_logger()

Argument = TypeVar("Argument")
Result = TypeVar("Result")
RecordResults = Callable[[list[tuple[Argument, Result]]], None]
"""A function that records a group of results, each with the argument of its call."""

GATHER_SECONDS = 0.2
"""After a call has ended, the pool waits at most this many seconds for more results. All these results form one group."""

MAX_WAIT_SECONDS = 3.0
"""Seconds after which a batch stops waiting for slow calls. Most calls take one or two seconds, but a call may hang."""


class CallPool:
    """A limited number of threads that call providers in parallel."""

    def __init__(self, size: int) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="call")
        self.abandoned = 0
        """The number of running calls that no batch waits for any more."""
        self._max_abandoned = size // 2  # half of the threads stay free for the next batches
        self._lock = Lock()

    def close(self) -> None:
        """Wait for the running calls, and stop the threads."""
        self._threads.shutdown()

    def map_all(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[list[tuple[Argument, Result]]]:
        """Make a call for each argument, and yield the results in groups, in the order of their arrival."""
        yield from self._collect(self._submit(call, arguments))

    def map_as_completed(
        self,
        call: Callable[[Argument], Result],
        arguments: Sequence[Argument],
        record: RecordResults[Argument, Result],
    ) -> None:
        """Make a call for each argument, and pass the results to ``record`` in groups.

        After MAX_WAIT_SECONDS, stop waiting for slow calls, unless the pool has too few free threads. If a call is still running
        when this method returns, the thread of the call passes the result to ``record`` later.
        """
        running = self._submit(call, arguments)
        for results in self._collect(running, max_wait=MAX_WAIT_SECONDS):
            record(results)
        for future, argument in running.items():
            future.add_done_callback(partial(self._record_late, argument, record))

    def _submit(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> dict[Future[Result], Argument]:
        return {self._threads.submit(call, argument): argument for argument in arguments}

    def _collect(
        self, running: dict[Future[Result], Argument], *, max_wait: float = inf
    ) -> Iterator[list[tuple[Argument, Result]]]:
        """Remove finished calls from ``running`` and yield their results.

        After ``max_wait`` seconds, stop waiting if the calls that still run can be abandoned. These calls stay in ``running``.
        """
        deadline = time.monotonic() + max_wait
        while running:
            wait(running, timeout=_seconds_until(deadline), return_when=FIRST_COMPLETED)
            if time.monotonic() >= deadline:
                if self._try_abandon([*running]):
                    return
                wait(running, return_when=FIRST_COMPLETED)
            finished, _ = wait(running, timeout=GATHER_SECONDS)
            yield [(running.pop(future), future.result()) for future in finished]

    def _try_abandon(self, calls: Sequence[Future[Result]]) -> bool:
        """Return whether the caller may stop waiting for these calls. If so, count the calls as abandoned.

        The caller must wait if a call has not begun, or if too few threads would remain for other calls.
        """
        with self._lock:
            can_abandon = len(calls) <= self._max_abandoned - self.abandoned and all(
                call.running() or call.done() for call in calls
            )
            self.abandoned += len(calls) if can_abandon else 0
        return can_abandon

    def _record_late(self, argument: Argument, record: RecordResults[Argument, Result], call: Future[Result]) -> None:
        try:
            record([(argument, call.result())])
        except Exception:
            log.exception("late_result_not_recorded")  # the case's lease ends, and then the refund is looked up
        finally:
            with self._lock:
                self.abandoned -= 1


def _seconds_until(instant: float) -> float | None:
    return None if instant == inf else max(0.0, instant - time.monotonic())
