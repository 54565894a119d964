"""Injects the planned faults while the customers send requests, and later repairs the faults."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

import psycopg
import redis
from kombu.exceptions import KombuError

from records import DatabaseDownError
from tests.chaos.faults import MAX_OUTAGE, FaultActions
from tests.chaos.kill_points import Action, disarm_all, take_triggered
from tests.chaos.plan import DELAYED_FAULTS, Fault
from tests.chaos.processes import Installation
from tests.fault_proxy import Loss

UNAVAILABLE = (*DatabaseDownError, psycopg.Error, redis.RedisError, KombuError, OSError)
"""The errors that occur when a fault needs a server that an earlier fault has stopped."""


STOP_TIME = 0.2
"""Seconds in which a process stops after it reaches a kill point. An earlier SIGCONT would have no effect."""


class FaultInjector:
    """Carries out a plan of faults. Call `run_due()` often. Call it only in the main thread, because it starts servers."""

    def __init__(self, installation: Installation, faults: list[Fault], charges: list[str]) -> None:
        self._installation = installation
        self._pending = faults[::-1]
        self._began = time.monotonic()
        self._repairs: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._rng = Random(len(faults))
        self._actions = FaultActions(installation, charges, self._schedule)
        self._kills_at_points = 0
        self.faults: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        """For each kill point: the number of times that a process was killed or frozen at this point."""
        self.missed = 0
        """The number of faults that had no effect, because their process or server was already stopped."""

    @property
    def kills(self) -> int:
        return self._actions.kills + self._kills_at_points

    @property
    def flushed_tasks(self) -> list[bytes]:
        return self._actions.flushed_tasks

    @property
    def done(self) -> bool:
        """Return whether every fault was injected and repaired."""
        return not (self._pending or self._repairs)

    def run_due(self) -> None:
        """Run the repairs that are due, count the triggered points, and inject the faults that are due."""
        now = time.monotonic()
        while self._repairs and self._repairs[0][0] <= now:
            heappop(self._repairs)[2]()
        for service, point, action in take_triggered(self._installation.armed_points):
            self.points[point] += 1
            if action is Action.FREEZE:
                self._schedule(self._rng.uniform(0.5, MAX_OUTAGE), partial(self._actions.wake, service))
                self.faults["freeze at a point"] += 1
            else:
                self._kills_at_points += 1
                self.faults["kill at a point"] += 1
        for kind, loss in [(kind, loss) for kind, loss in self._actions.losses if loss.happened.is_set()]:
            self._actions.losses.remove((kind, loss))
            self._remove_loss(loss)
            self.faults[kind] += 1
        while self._pending and self._pending[-1].at <= now - self._began:
            self._inject(self._pending.pop())

    def end(self) -> int:
        """End all faults and run all repairs. Return the number of delayed faults that never happened."""
        untriggered = disarm_all(self._installation.armed_points) + len(self._actions.losses)
        for _, loss in self._actions.losses:
            self._remove_loss(loss)
        time.sleep(STOP_TIME)
        self._pending.clear()
        while self._repairs:
            heappop(self._repairs)[2]()
        for name in self._installation.services:
            self._actions.wake(name)
        self._installation.servers.revive()
        return untriggered

    def _remove_loss(self, loss: Loss) -> None:
        """Remove a loss (a response to drop) from the proxy. Otherwise the proxy would compare each later frame with the loss."""
        for proxy in self._installation.proxies.values():
            if loss in proxy._losses:
                proxy._losses.remove(loss)

    def _inject(self, fault: Fault) -> None:
        try:
            injected = self._actions.by_name[fault.kind](fault.rng)
        except UNAVAILABLE:
            injected = False
        if injected is False:
            self.missed += 1
        elif fault.kind not in DELAYED_FAULTS:
            self.faults[fault.kind] += 1

    def _schedule(self, after: float, repair: Callable[[], object]) -> None:
        heappush(self._repairs, (time.monotonic() + after, next(self._numbers), repair))
