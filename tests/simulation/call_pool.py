"""A call pool for the simulation. Each call is a task of the simulated scheduler, so the call takes simulated time."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

from tests.simulation.clock import Clock, Process
from worker.providers.call_pool import GATHER_SECONDS, MAX_WAIT_SECONDS, CallPool, RecordResults

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class SimulatedCallPool(CallPool):
    """Makes concurrent calls, each in a simulated thread, and returns the results in waves.

    A wave is a list of the results that arrive within a short time.
    """

    def __init__(self, clock: Clock, process: Process, delay: Callable[[], float]) -> None:
        self._clock, self._process, self._delay = clock, process, delay

    def close(self) -> None:
        """Do nothing, because there are no real threads to stop."""

    def map_all(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[list[tuple[Argument, Result]]]:
        """Make a call for each argument, and yield the results in waves."""
        yield from self._start_all(call, arguments).waves(inf)

    def map_as_completed(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument], record: RecordResults[Argument, Result]
    ) -> None:
        """Make a call for each argument, and pass the results to ``record`` in waves.

        After MAX_WAIT_SECONDS, stop waiting. A call that ends later passes its result to ``record`` itself.
        """
        calls = self._start_all(call, arguments)
        for wave in calls.waves(self._clock.now + MAX_WAIT_SECONDS):
            record(wave)
        calls.record_late = record

    def _start_all(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> "_Calls[Argument, Result]":
        calls = _Calls(self._clock, call, len(arguments))
        for argument in arguments:
            task = self._clock.spawn(self._process, calls.caller.title, calls.make, argument, wait=self._delay())
            task.caller = calls.caller.caller
        return calls


class _Calls(Generic[Argument, Result]):
    """Running calls, and results that the caller has not received yet."""

    def __init__(self, clock: Clock, call: Callable[[Argument], Result], number: int) -> None:
        assert clock.current, "Only a task of the scheduler can make a call."
        self.caller = clock.current
        self.record_late: RecordResults[Argument, Result] | None = None
        self._clock, self._call, self._unfinished = clock, call, number
        self._done: list[tuple[Argument, Result]] = []
        self._failed: list[Exception] = []
        self._is_waiting = False

    def make(self, argument: Argument) -> None:
        """Make one call. Store its result for the caller; if the caller no longer waits, pass the result to ``record_late``."""
        try:
            result = self._call(argument)
        except Exception as error:  # noqa: BLE001  # waves() raises the error in the task of the caller, as future.result() does
            self._failed.append(error)
        else:
            if self.record_late:
                self.record_late([(argument, result)])
                return
            self._done.append((argument, result))
        self._wake()

    def waves(self, ends: float) -> Iterator[list[tuple[Argument, Result]]]:
        """Yield the results in waves, until all calls are finished or the clock reaches ``ends``.

        A wave is yielded a short time (GATHER_SECONDS) after its first result.
        """
        if ends < inf:
            self._clock.at(ends, self._wake)
        while self._unfinished:
            while not self._done and not self._failed:
                if self._clock.now >= ends:
                    return
                self._is_waiting = True
                self._clock.park()
                self._is_waiting = False
            self._clock.sleep(GATHER_SECONDS)
            if self._failed:
                raise self._failed[0]
            wave, self._done = self._done, []
            self._unfinished -= len(wave)
            yield wave

    def _wake(self) -> None:
        if self._is_waiting:
            self._clock.wake(self.caller)
