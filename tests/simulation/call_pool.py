"""Hands of the simulation: as the real ones, but each call is a task, and time passes only when everybody waits."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

from tests.simulation.clock import Clock, Process
from worker.providers.call_pool import GATHER, SLOW, CallPool, Then

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class SeededHands(CallPool):
    """Calls side by side, each in a thread of this process, and their answers in waves."""

    def __init__(self, clock: Clock, process: Process, delay: Callable[[], float]) -> None:
        self._clock, self._process, self._delay = clock, process, delay

    def close(self) -> None:
        """There is nothing to let go of."""

    def map_all(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> Iterator[list[tuple[Asked, Told]]]:
        """Whoever waits gathers what is there after a moment."""
        yield from self._begin_all(call, asked).waves(inf)

    def map_as_completed(self, call: Callable[[Asked], Told], asked: Sequence[Asked], then: Then[Asked, Told]) -> None:
        """Whoever waits leaves when patience ends; what comes later is told by the task that made the call."""
        calls = self._begin_all(call, asked)
        for wave in calls.waves(self._clock.now + SLOW):
            then(wave)
        calls.late = then

    def _begin_all(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> "_Calls[Asked, Told]":
        calls = _Calls(self._clock, call, len(asked))
        for one in asked:
            task = self._clock.spawn(self._process, calls.waiting.what, calls.make, one, wait=self._delay())
            task.on_behalf_of = calls.waiting.on_behalf_of
        return calls


class _Calls(Generic[Asked, Told]):
    """Calls under way, and what was answered that nobody took yet."""

    def __init__(self, clock: Clock, call: Callable[[Asked], Told], number: int) -> None:
        assert clock.current, "only tasks make calls"
        self.waiting = clock.current
        self.late: Then[Asked, Told] | None = None
        self._clock, self._call, self._left = clock, call, number
        self._done: list[tuple[Asked, Told]] = []
        self._failed: list[Exception] = []
        self._parked = False

    def make(self, one: Asked) -> None:
        """Makes one of them."""
        try:
            told = self._call(one)
        except Exception as error:  # noqa: BLE001  # future.result() raises it in the one who waits
            self._failed.append(error)
        else:
            if self.late:
                self.late([(one, told)])
                return
            self._done.append((one, told))
        self._ring()

    def waves(self, ends: float) -> Iterator[list[tuple[Asked, Told]]]:
        """What was answered, after a moment for the others; nothing more once patience ended."""
        if ends < inf:
            self._clock.at(ends, self._ring)
        while self._left:
            while not self._done and not self._failed:
                if self._clock.now >= ends:
                    return
                self._parked = True
                self._clock.park()
                self._parked = False
            self._clock.sleep(GATHER)
            if self._failed:
                raise self._failed[0]
            wave, self._done = self._done, []
            self._left -= len(wave)
            yield wave

    def _ring(self) -> None:
        if self._parked:
            self._clock.wake(self.waiting)
