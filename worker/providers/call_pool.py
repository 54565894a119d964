"""Hands: calls to providers made side by side, in a bounded number of threads."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from math import inf
from threading import Lock
from typing import TypeVar

import structlog

log = structlog.get_logger()

Asked = TypeVar("Asked")
Told = TypeVar("Told")
Then = Callable[[list[tuple[Asked, Told]]], None]
"""What is done with a wave of answers."""

GATHER = (
    0.2  # seconds in which answers are gathered into one commit: a slow call does not hold up the record of quick ones
)
SLOW = 3.0  # seconds: providers answer in one or two, and a batch of a hundred must not wait for the one that hangs


class CallPool:
    """Threads that make calls side by side, bounded."""

    def __init__(self, number: int) -> None:
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="call")
        self.left_alone = 0
        """Calls under way that nobody waits for."""
        self._most_left_alone = number // 2  # the others are for the calls that come after
        self._lock = Lock()

    def close(self) -> None:
        """Lets go of them, once what they do is done."""
        self._threads.shutdown()

    def map_all(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> Iterator[list[tuple[Asked, Told]]]:
        """Makes these calls, and yields their answers in waves as they come."""
        yield from self._waves(self._begin(call, asked))

    def map_as_completed(self, call: Callable[[Asked], Told], asked: Sequence[Asked], then: Then[Asked, Told]) -> None:
        """Makes these calls and hands their answers on in waves. The slow ones are waited for only while hands are scarce.

        A call that is still under way afterwards is answered for by the hand that makes it.
        """
        under_way = self._begin(call, asked)
        for wave in self._waves(under_way, patience=SLOW):
            then(wave)
        for future, one in under_way.items():
            future.add_done_callback(partial(self._late, one, then))

    def _begin(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> dict[Future[Told], Asked]:
        return {self._threads.submit(call, one): one for one in asked}

    def _waves(
        self, under_way: dict[Future[Told], Asked], *, patience: float = inf
    ) -> Iterator[list[tuple[Asked, Told]]]:
        """Takes what is answered out of what is under way; ends with something left only if that may be left alone."""
        ends = time.monotonic() + patience
        while under_way:
            wait(under_way, timeout=_seconds_until(ends), return_when=FIRST_COMPLETED)
            if time.monotonic() >= ends:
                if self._may_be_left([*under_way]):
                    return
                wait(under_way, return_when=FIRST_COMPLETED)
            done, _ = wait(under_way, timeout=GATHER)
            yield [(under_way.pop(future), future.result()) for future in done]

    def _may_be_left(self, calls: Sequence[Future[Told]]) -> bool:
        """Whether hands can be spared for these: each must have begun, and never are more than half of the hands left alone."""
        with self._lock:
            most = self._most_left_alone - self.left_alone
            may = len(calls) <= most and all(call.running() or call.done() for call in calls)
            self.left_alone += len(calls) if may else 0
        return may

    def _late(self, one: Asked, then: Then[Asked, Told], ended: Future[Told]) -> None:
        try:
            then([(one, ended.result())])
        except Exception:
            log.exception("late_result_not_recorded")  # its lease ends, and settle looks it up
        finally:
            with self._lock:
                self.left_alone -= 1


def _seconds_until(instant: float) -> float | None:
    return None if instant == inf else max(0.0, instant - time.monotonic())
