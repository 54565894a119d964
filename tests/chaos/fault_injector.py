"""Injects the planned faults while the customers send requests, and repairs them."""

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
from tests.chaos.kill_points import End, burnt, undone
from tests.chaos.plan import LATER, Fault
from tests.chaos.processes import SERVICES, Installation
from tests.fault_proxy import Cut

UNAVAILABLE = (*DatabaseDownError, psycopg.Error, redis.RedisError, KombuError, OSError)
"""The errors of a fault that meets a server which an earlier fault stopped."""


STOP_TIME = 0.2  # seconds until a process that just burnt a fuse has stopped, so it can be woken


class FaultInjector:
    """Carries out a plan of faults. Call `run_due()` often, from the main thread, because it starts servers."""

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
        """The kill points at which a process was killed or frozen."""
        self.missed = 0
        """Faults that found no process or server to stop."""

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
        """Run the repairs that are due, count the burnt fuses, and inject the faults that are due."""
        now = time.monotonic()
        while self._repairs and self._repairs[0][0] <= now:
            heappop(self._repairs)[2]()
        for service, point, end in burnt(self._installation.fuses):
            self.points[point] += 1
            if end is End.FREEZE:
                self._schedule(self._rng.uniform(0.5, MAX_OUTAGE), partial(self._actions.wake, service))
                self.faults["freeze at a point"] += 1
            else:
                self._kills_at_points += 1
                self.faults["kill at a point"] += 1
        for loss in [loss for loss in self._actions.losses if loss[1].made.is_set()]:
            self._actions.losses.remove(loss)
            self._remove_cut(loss[1])
            self.faults[loss[0]] += 1
        while self._pending and self._pending[-1].at <= now - self._began:
            self._inject(self._pending.pop())

    def end(self) -> int:
        """End all faults and repair everything. Return the number of fuses and cuts that no process reached."""
        left = undone(self._installation.fuses) + len(self._actions.losses)
        for _, cut in self._actions.losses:
            self._remove_cut(cut)
        time.sleep(STOP_TIME)
        self._pending.clear()
        while self._repairs:
            heappop(self._repairs)[2]()
        for name in SERVICES:
            self._actions.wake(name)
        self._installation.servers.revive()
        return left

    def _remove_cut(self, cut: Cut) -> None:
        """Remove a cut from its proxy, because a proxy checks every frame against all its cuts."""
        for proxy in self._installation.proxies.values():
            if cut in proxy._cuts:
                proxy._cuts.remove(cut)

    def _inject(self, fault: Fault) -> None:
        try:
            injected = self._actions.by_name[fault.kind](fault.rng)
        except UNAVAILABLE:
            injected = False
        if injected is False:
            self.missed += 1
        elif fault.kind not in LATER:
            self.faults[fault.kind] += 1

    def _schedule(self, after: float, how: Callable[[], object]) -> None:
        heappush(self._repairs, (time.monotonic() + after, next(self._numbers), how))
