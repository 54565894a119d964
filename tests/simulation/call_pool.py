"""A call pool for the simulation: each call is a task of the simulated scheduler, so time is simulated, too."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

from tests.simulation.clock import Clock, Process
from worker.providers.call_pool import GATHER_SECONDS, MAX_WAIT_SECONDS, CallPool, RecordResults

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class SimulatedCallPool(CallPool):
    """Makes concurrent calls, each as a thread of its process, and returns the results in waves."""

    def __init__(self, clock: Clock, process: Process, delay: Callable[[], float]) -> None:
        self._clock, self._process, self._delay = clock, process, delay

    def close(self) -> None:
        """Do nothing: there are no threads to stop."""

    def map_all(self, call: Callable[[Asked], Told], arguments: Sequence[Asked]) -> Iterator[list[tuple[Asked, Told]]]:
        """Yield the results of calls in waves, as they arrive."""
        yield from self._begin_all(call, arguments).waves(inf)

    def map_as_completed(
        self, call: Callable[[Asked], Told], arguments: Sequence[Asked], record: RecordResults[Asked, Told]
    ) -> None:
        """Pass results to ``record`` until the timeout; later results are passed by the task that made the call."""
        calls = self._begin_all(call, arguments)
        for wave in calls.waves(self._clock.now + MAX_WAIT_SECONDS):
            record(wave)
        calls.late = record

    def _begin_all(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> "_Calls[Asked, Told]":
        calls = _Calls(self._clock, call, len(asked))
        for argument in asked:
            task = self._clock.spawn(self._process, calls.waiting.what, calls.make, argument, wait=self._delay())
            task.on_behalf_of = calls.waiting.on_behalf_of
        return calls


class _Calls(Generic[Asked, Told]):
    """Running calls, and results that were not taken yet."""

    def __init__(self, clock: Clock, call: Callable[[Asked], Told], number: int) -> None:
        assert clock.current, "only tasks make calls"
        self.waiting = clock.current
        self.late: RecordResults[Asked, Told] | None = None
        self._clock, self._call, self._unfinished = clock, call, number
        self._done: list[tuple[Asked, Told]] = []
        self._failed: list[Exception] = []
        self._parked = False

    def make(self, argument: Asked) -> None:
        """Make one call, and store or pass on its result."""
        try:
            result = self._call(argument)
        except Exception as error:  # noqa: BLE001  # future.result() raises it in the waiting task
            self._failed.append(error)
        else:
            if self.late:
                self.late([(argument, result)])
                return
            self._done.append((argument, result))
        self._wake()

    def waves(self, ends: float) -> Iterator[list[tuple[Asked, Told]]]:
        """Yield the results that arrived, a moment after the first of each wave; stop at the time ``ends``."""
        if ends < inf:
            self._clock.at(ends, self._wake)
        while self._unfinished:
            while not self._done and not self._failed:
                if self._clock.now >= ends:
                    return
                self._parked = True
                self._clock.park()
                self._parked = False
            self._clock.sleep(GATHER_SECONDS)
            if self._failed:
                raise self._failed[0]
            wave, self._done = self._done, []
            self._unfinished -= len(wave)
            yield wave

    def _wake(self) -> None:
        if self._parked:
            self._clock.wake(self.waiting)
