"""Who breaks things: a plan out of the seed, carried out while the customers ask."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import NamedTuple
from uuid import uuid4

import psycopg
import redis
from celery import Celery

from console.servers import Server
from domain.messages import LANES, Cases
from records import DatabaseDownError
from tests.chaos.parts import NAMES, WORKERS, Parts
from tests.chaos.points import POINTS, End, burnt, lay, undone
from tests.chaos.provider import ask
from tests.proxy import Cut
from worker.options import options

KILLS = {
    "kill a part": 8,
    "kill a worker": 6,
    "kill a child of a pool": 6,
    "kill at a point": 20,
    "kill the broker": 2,
    "kill the database": 2,
}
"""Each of these is a SIGKILL; how often, for each other."""

TROUBLES = {
    "freeze a part": 5,
    "freeze at a point": 6,
    "freeze the broker": 3,
    "freeze the provider": 3,
    "stop the database at once": 2,
    "end backends": 4,
    "empty the broker": 3,
    "cut connections": 5,
    "hold connections": 4,
    "lose a commit's answer": 4,
    "lose a broker's answer": 4,
    "poison queues": 3,
    "repeat and shuffle messages": 4,
    "open a dispute": 4,
}
"""What is not a kill."""

LATER = {"kill at a point", "freeze at a point", "lose a commit's answer", "lose a broker's answer"}
"""These count when they happen: when somebody comes to the point, when the words come by."""

POISON = (b"\x80\x04poison", b"{", b"[]", b'{"body": 1, "properties": {}}', b"null", b"A" * 100_000)
LONGEST = 12.0  # seconds that something is frozen or away: longer than a lease


class Fault(NamedTuple):
    """One thing that goes wrong, and the dice for its details: the same plan whatever happens meanwhile."""

    at: float
    kind: str
    dice: Random


def plan(seconds: float, kills: int, dice: Random) -> list[Fault]:
    """So many kills and as many other troubles, at any time within so many seconds; pairs overlap as they fall."""
    kinds = dice.choices(list(KILLS), list(KILLS.values()), k=kills)
    kinds += dice.choices(list(TROUBLES), list(TROUBLES.values()), k=kills)
    faults = [Fault(dice.uniform(0, seconds), kind, Random(dice.getrandbits(64))) for kind in kinds]
    return sorted(faults, key=lambda fault: fault.at)


class Director:
    """Carries a plan out. Call `tend()` often, and from the main thread: servers are started from there."""

    def __init__(self, parts: Parts, faults: list[Fault], charges: list[str]) -> None:
        self._parts = parts
        self._left = faults[::-1]
        self._charges = charges
        self._began = time.monotonic()
        self._mending: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._down: set[str] = set()
        self._dice = Random(len(faults))
        self._losses: list[tuple[str, Cut]] = []
        self._app = Celery("chaos")
        self._app.config_from_object(options(parts.settings))
        self.faults: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        """The points at which somebody died or froze."""
        self.kills = 0
        self.missed = 0
        """Faults that found nobody to strike."""
        self.swept_tasks: list[bytes] = []
        """What lay on `support.contact` when the broker was emptied: a helpdesk had it the moment before."""
        self._do = {
            "kill a part": lambda dice: self._kill(dice.choice(NAMES)),
            "kill a worker": lambda dice: self._kill(dice.choice(WORKERS)),
            "kill a child of a pool": self._kill_child,
            "kill at a point": lambda dice: self._lay(dice, dice.choice((End.CHILD, End.WHOLE))),
            "freeze at a point": lambda dice: self._lay(dice, End.FREEZE),
            "kill the broker": lambda dice: self._end(self._parts.servers.valkey, signal.SIGKILL, dice),
            "kill the database": lambda dice: self._end(self._parts.servers.postgres, signal.SIGKILL, dice),
            "stop the database at once": lambda dice: self._end(self._parts.servers.postgres, signal.SIGQUIT, dice),
            "freeze a part": lambda dice: self._freeze(dice.choice(NAMES[1:]), dice),
            "freeze the provider": lambda dice: self._freeze("sandbox", dice),
            "freeze the broker": self._freeze_broker,
            "end backends": self._end_backends,
            "empty the broker": self._empty_broker,
            "cut connections": self._cut,
            "hold connections": self._hold,
            "lose a commit's answer": self._lose_commit,
            "lose a broker's answer": self._lose_reply,
            "poison queues": self._poison,
            "repeat and shuffle messages": self._repeat,
            "open a dispute": self._open_dispute,
        }

    @property
    def done(self) -> bool:
        """Whether everything went wrong that was to, and was mended."""
        return not (self._left or self._mending)

    def tend(self) -> None:
        """Mends what is due, notes which fuses burnt, and starts what is to go wrong now."""
        now = time.monotonic()
        while self._mending and self._mending[0][0] <= now:
            heappop(self._mending)[2]()
        for part, point, end in burnt(self._parts.fuses):
            self.points[point] += 1
            if end is End.FREEZE:
                self._mend(self._dice.uniform(0.5, LONGEST), partial(self._wake, part))
                self.faults["freeze at a point"] += 1
            else:
                self.kills += 1
                self.faults["kill at a point"] += 1
        for loss in [loss for loss in self._losses if loss[1].made.is_set()]:
            self._losses.remove(loss)
            self.faults[loss[0]] += 1
        while self._left and self._left[-1].at <= now - self._began:
            self._strike(self._left.pop())

    def end(self) -> int:
        """Nothing goes wrong any more, everything runs; returns how much that was laid out nobody came to."""
        left = undone(self._parts.fuses) + len(self._losses)
        for _, cut in self._losses:
            cut.made.set()
        self._left.clear()
        while self._mending:
            heappop(self._mending)[2]()
        for name in NAMES:
            self._wake(name)
        self._parts.servers.revive()
        return left

    def _strike(self, fault: Fault) -> None:
        try:
            struck = self._do[fault.kind](fault.dice)
        except (*DatabaseDownError, psycopg.Error, redis.RedisError, OSError):
            struck = False
        if struck is False:
            self.missed += 1
        elif fault.kind not in LATER:
            self.faults[fault.kind] += 1

    def _mend(self, after: float, how: Callable[[], object]) -> None:
        heappush(self._mending, (time.monotonic() + after, next(self._numbers), how))

    def _kill(self, name: str) -> bool:
        killed = self._parts.signal(name, signal.SIGKILL)
        self.kills += killed
        return killed

    def _kill_child(self, dice: Random) -> bool:
        children = self._parts.children(dice.choice(WORKERS))
        if not children:
            return False
        with suppress(ProcessLookupError):
            os.kill(dice.choice(children), signal.SIGKILL)
        self.kills += 1
        return True

    def _lay(self, dice: Random, end: End) -> bool:
        point = dice.choice(list(POINTS))
        part = dice.choice(sorted(POINTS[point].parts))
        lay(self._parts.fuses, part, point, dice.randint(1, 4), end)
        return True

    def _freeze(self, name: str, dice: Random) -> bool:
        seconds = dice.uniform(0.5, LONGEST)
        self._mend(seconds, lambda: self._wake(name))
        return self._parts.signal(name, signal.SIGSTOP)

    def _wake(self, name: str) -> None:
        self._parts.signal(name, signal.SIGCONT)

    def _end(self, server: Server, how: signal.Signals, dice: Random) -> bool:
        if server.pid is None:
            return False
        os.kill(server.pid, how)
        self.kills += how is signal.SIGKILL
        self._down.add(server.name)

        def start() -> None:
            server.start()
            self._down.discard(server.name)

        self._mend(dice.uniform(0.1, LONGEST), start)
        return True

    def _freeze_broker(self, dice: Random) -> bool:
        pid = self._parts.servers.valkey.pid
        if pid is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        self._down.add("frozen")

        def wake() -> None:
            self._down.discard("frozen")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self._mend(dice.uniform(0.5, LONGEST), wake)
        return True

    def _end_backends(self, dice: Random) -> bool:
        """Some of them in the middle of whatever they do, commits included."""
        with psycopg.connect(self._parts.servers.postgres.superuser_url, autocommit=True, connect_timeout=1) as db:
            rows = db.execute("select pid from pg_stat_activity where usename = 'moneyback' order by pid").fetchall()
            for (pid,) in rows:
                if dice.random() < 0.5:
                    db.execute("select pg_terminate_backend(%s)", (pid,))
        return bool(rows)

    @property
    def _no_broker(self) -> bool:
        return bool(self._down & {"frozen", "Valkey"})

    def _empty_broker(self, _: Random) -> bool:
        """Atomically with a look at the helpdesks' queue: what goes with it is what they had already."""
        if self._no_broker:
            return False
        with self._parts.broker.pipeline(transaction=True) as both:
            both.lrange("support.contact", 0, -1)
            both.flushall()
            tasks, _ = both.execute()
        self.swept_tasks += tasks
        return True

    def _cut(self, dice: Random) -> None:
        self._parts.ways[dice.choice(("database", "broker", "provider"))].close_all()

    def _hold(self, dice: Random) -> None:
        way = self._parts.ways[dice.choice(("database", "broker", "provider"))]
        way.freeze()
        self._mend(dice.uniform(0.5, LONGEST), way.thaw)

    def _lose_commit(self, _: Random) -> None:
        """The commit happens, and nobody learns of it."""
        self._losses.append(("lose a commit's answer", self._parts.ways["database"].cut(asked=b"COMMIT", answered=b"")))

    def _lose_reply(self, dice: Random) -> None:
        """What was popped is gone, what was pushed is there, what was acknowledged is not sure."""
        cut = self._parts.ways["broker"].cut(asked=dice.choice((b"BRPOP", b"LPUSH", b"HDEL")), answered=b"")
        self._losses.append(("lose a broker's answer", cut))

    def _poison(self, dice: Random) -> bool:
        if self._no_broker:
            return False
        for _ in range(dice.randint(1, 5)):
            self._parts.broker.lpush(dice.choice((*LANES, "refund.requests")), dice.choice(POISON))
        return True

    def _repeat(self, dice: Random) -> bool:
        """Messages about cases that have ended, are under way, or never were, on lanes that are theirs or not."""
        if self._no_broker:
            return False
        with self._parts.records.work() as work:
            known = [row.id for row in work.run("select id from cases order by received_at desc limit 200")]
        ids = [*dice.sample(known, min(len(known), 30)), uuid4()]
        with self._app.connection_for_write() as connection:
            producer = self._app.amqp.Producer(connection.channel())
            for _ in range(dice.randint(1, 10)):
                dice.shuffle(ids)
                kind: type[Cases] = dice.choice(list(LANES.values()))
                payload = kind(case_ids=tuple(ids[: dice.randint(1, len(ids))])).model_dump(mode="json")
                self._app.send_task(kind.queue, [payload], queue=kind.queue, producer=producer)
        return True

    def _open_dispute(self, dice: Random) -> bool:
        charge = dice.choice(self._charges)
        opened = ask(self._parts.provider_socket, "POST", "/v1/disputes", {"charge": charge, "status": "open"})
        if "id" not in opened:
            return False
        end = {"status": dice.choice(("won", "lost"))}

        def close() -> None:
            with suppress(OSError):  # it is away: this one stays open
                ask(self._parts.provider_socket, "POST", f"/v1/disputes/{opened['id']}", end)

        self._mend(dice.uniform(0.5, LONGEST), close)
        return True
