"""Who breaks things: carries a plan out while the customers ask."""

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
from tests.chaos.faults import LONGEST, Troubles
from tests.chaos.kill_points import End, burnt, undone
from tests.chaos.plan import LATER, Fault
from tests.chaos.processes import NAMES, Parts
from tests.proxy import Cut

AWAY = (*DatabaseDownError, psycopg.Error, redis.RedisError, KombuError, OSError)
"""What a fault meets where another one was before it."""


SOON = 0.2  # seconds in which whoever burnt a fuse a moment ago has stopped, so that it can be woken


class Director:
    """Carries a plan out. Call `tend()` often, and from the main thread: servers are started from there."""

    def __init__(self, parts: Parts, faults: list[Fault], charges: list[str]) -> None:
        self._parts = parts
        self._left = faults[::-1]
        self._began = time.monotonic()
        self._mending: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._dice = Random(len(faults))
        self._troubles = Troubles(parts, charges, self._mend)
        self._kills_at_points = 0
        self.faults: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        """The points at which somebody died or froze."""
        self.missed = 0
        """Faults that found nobody to strike."""

    @property
    def kills(self) -> int:
        return self._troubles.kills + self._kills_at_points

    @property
    def swept_tasks(self) -> list[bytes]:
        return self._troubles.swept_tasks

    @property
    def done(self) -> bool:
        """Whether everything went wrong that was to, and was mended."""
        return not (self._left or self._mending)

    def tend(self) -> None:
        """Mend what is due, note which fuses burnt, and start what is to go wrong now."""
        now = time.monotonic()
        while self._mending and self._mending[0][0] <= now:
            heappop(self._mending)[2]()
        for part, point, end in burnt(self._parts.fuses):
            self.points[point] += 1
            if end is End.FREEZE:
                self._mend(self._dice.uniform(0.5, LONGEST), partial(self._troubles.wake, part))
                self.faults["freeze at a point"] += 1
            else:
                self._kills_at_points += 1
                self.faults["kill at a point"] += 1
        for loss in [loss for loss in self._troubles.losses if loss[1].made.is_set()]:
            self._troubles.losses.remove(loss)
            self._forget(loss[1])
            self.faults[loss[0]] += 1
        while self._left and self._left[-1].at <= now - self._began:
            self._strike(self._left.pop())

    def end(self) -> int:
        """Nothing goes wrong any more, everything runs; returns how much that was laid out nobody came to."""
        left = undone(self._parts.fuses) + len(self._troubles.losses)
        for _, cut in self._troubles.losses:
            self._forget(cut)
        time.sleep(SOON)
        self._left.clear()
        while self._mending:
            heappop(self._mending)[2]()
        for name in NAMES:
            self._troubles.wake(name)
        self._parts.servers.revive()
        return left

    def _forget(self, cut: Cut) -> None:
        """A proxy asks every cut about every frame: one that was made, or is not wanted any more, has to go."""
        for way in self._parts.ways.values():
            if cut in way._cuts:
                way._cuts.remove(cut)

    def _strike(self, fault: Fault) -> None:
        try:
            struck = self._troubles.by_name[fault.kind](fault.dice)
        except AWAY:
            struck = False
        if struck is False:
            self.missed += 1
        elif fault.kind not in LATER:
            self.faults[fault.kind] += 1

    def _mend(self, after: float, how: Callable[[], object]) -> None:
        heappush(self._mending, (time.monotonic() + after, next(self._numbers), how))
