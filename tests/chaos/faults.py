"""How each thing is made to go wrong, and how it is mended."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from random import Random
from uuid import uuid4

import psycopg
import redis
from celery import Celery

from console.servers import Server
from domain.messages import WORK_QUEUES, WorkItems
from tests.chaos.kill_points import POINTS, End, lay
from tests.chaos.processes import NAMES, WORKERS, Parts
from tests.chaos.provider import ask
from tests.proxy import Cut
from worker.celery_fixes.config import celery_options

POISON = (b"\x80\x04poison", b"{", b"[]", b'{"body": 1, "properties": {}}', b"null", b"A" * 100_000)
STRANGE: tuple[tuple[str, dict[str, object]], ...] = (
    ("refund.everything", {"ids": []}),
    ("refund.execute", {"version": 2, "ids": ["all"], "amount": 1}),
)
"""Calls of a task that there is not, and of one with a message of tomorrow."""

LONGEST = 12.0  # seconds that something is frozen or away: longer than a lease


class Troubles:
    """By name, each a function of its dice; one that found nobody to strike says False. `mend` is told what to do later."""

    def __init__(self, parts: Parts, charges: list[str], mend: Callable[[float, Callable[[], object]], None]) -> None:
        self._parts, self._charges, self._mend = parts, charges, mend
        self._down: set[str] = set()
        self._points = cycle(Random(charges[0]).sample(sorted(POINTS), len(POINTS)))  # each in turn: none is forgotten
        self._app = Celery("chaos")
        self._app.config_from_object(celery_options(parts.settings))
        self.kills = 0
        self.losses: list[tuple[str, Cut]] = []
        """Answers that are to be lost when they come by."""
        self.swept_tasks: list[bytes] = []
        """What lay on `support.contact` when the broker was emptied. No helpdesk has read it."""
        self.by_name: dict[str, Callable[[Random], bool | None]] = {
            "kill a part": lambda dice: self._kill(NAMES, dice),
            "kill a worker": lambda dice: self._kill(WORKERS, dice),
            "kill a child of a pool": self._kill_child,
            "kill at a point": lambda dice: self._lay(dice, dice.choice((End.CHILD, End.CHILD, End.WHOLE))),
            "freeze at a point": lambda dice: self._lay(dice, End.FREEZE),
            "kill the broker": lambda dice: self._end(self._parts.servers.valkey, signal.SIGKILL, dice),
            "kill the database": lambda dice: self._end(self._parts.servers.postgres, signal.SIGKILL, dice),
            "stop the database at once": lambda dice: self._end(self._parts.servers.postgres, signal.SIGQUIT, dice),
            "freeze a part": lambda dice: self._freeze(dice.choice(NAMES[1:]), dice),
            "freeze the provider": lambda dice: self._freeze("sandbox", dice),
            "freeze the broker": self._freeze_broker,
            "end backends": self._end_backends,
            "empty the broker": self._empty_broker,
            "fill the broker": self._fill_broker,
            "lock the cases": self._lock_cases,
            "cut connections": self._cut,
            "hold connections": self._hold,
            "lose a commit's answer": self._lose_commit,
            "lose a broker's answer": self._lose_reply,
            "poison queues": self._poison,
            "repeat and shuffle messages": self._repeat,
            "open a dispute": self._open_dispute,
        }

    def _kill(self, names: Sequence[str], dice: Random) -> bool:
        up = [name for name in names if self._parts.pid(name)]
        killed = bool(up) and self._parts.signal(dice.choice(up), signal.SIGKILL)
        self.kills += killed
        return killed

    def _kill_child(self, dice: Random) -> bool:
        children = [pid for name in WORKERS for pid in self._parts.children(name)]
        if not children:
            return False
        with suppress(ProcessLookupError):
            os.kill(dice.choice(children), signal.SIGKILL)
        self.kills += 1
        return True

    def _lay(self, dice: Random, end: End) -> bool:
        point = next(self._points)
        part = dice.choice(sorted(POINTS[point].parts))
        lay(self._parts.fuses, part, point, dice.randint(1, 2), end)
        return True

    def _freeze(self, name: str, dice: Random) -> bool:
        seconds = dice.uniform(0.5, LONGEST)
        self._mend(seconds, lambda: self.wake(name))
        return self._parts.signal(name, signal.SIGSTOP)

    def wake(self, name: str) -> None:
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
        if pid is None or "full" in self._down:  # who is to make room would wait for it
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
        """Atomically with a look at the helpdesks' queue: what goes with it is known."""
        if self._no_broker:
            return False
        with self._parts.broker.pipeline(transaction=True) as both:
            both.lrange("support.contact", 0, -1)
            both.flushall()
            tasks, _ = both.execute()
        self.swept_tasks += tasks
        return True

    def _fill_broker(self, dice: Random) -> bool:
        """It takes nothing any more, and still hands out what it has."""
        if self._no_broker:
            return False
        self._parts.broker.config_set("maxmemory", "1")
        self._down.add("full")

        def empty() -> None:
            self._down.discard("full")
            with suppress(redis.RedisError):  # ended meanwhile: it starts with its own setting
                self._parts.broker.config_set("maxmemory", "256mb")

        self._mend(dice.uniform(0.5, LONGEST), empty)
        return True

    def _lock_cases(self, dice: Random) -> None:
        """Somebody alters a table in the middle of the day."""
        url = self._parts.servers.postgres.superuser_url.replace("/postgres?", "/moneyback?")
        db = psycopg.connect(url, connect_timeout=1, options="-c lock_timeout=1s")
        try:
            db.execute("lock table cases in exclusive mode")
        except psycopg.Error:
            db.close()
            raise
        self._mend(dice.uniform(0.5, LONGEST), db.close)

    def _cut(self, dice: Random) -> None:
        self._parts.ways[dice.choice(("database", "broker", "provider"))].close_all()

    def _hold(self, dice: Random) -> None:
        way = self._parts.ways[dice.choice(("database", "broker", "provider"))]
        way.freeze()
        self._mend(dice.uniform(0.5, LONGEST), way.thaw)

    def _lose_commit(self, _: Random) -> None:
        """The commit happens, and nobody learns of it."""
        self.losses.append(("lose a commit's answer", self._parts.ways["database"].cut(asked=b"COMMIT", answered=b"")))

    def _lose_reply(self, dice: Random) -> None:
        """What was popped is gone, what was pushed is there, what was acknowledged is not sure."""
        cut = self._parts.ways["broker"].cut(asked=dice.choice((b"BRPOP", b"LPUSH", b"HDEL")), answered=b"")
        self.losses.append(("lose a broker's answer", cut))

    def _poison(self, dice: Random) -> bool:
        if self._no_broker:
            return False
        for _ in range(dice.randint(1, 5)):
            self._parts.broker.lpush(dice.choice((*WORK_QUEUES, "refund.requests")), dice.choice(POISON))
        with self._app.connection_for_write() as connection:
            producer = self._app.amqp.Producer(connection.channel())
            for name, payload in STRANGE:
                self._app.send_task(name, [payload], queue=dice.choice(list(WORK_QUEUES)), producer=producer)
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
                kind: type[WorkItems] = dice.choice(list(WORK_QUEUES.values()))
                payload = kind(ids=tuple(ids[: dice.randint(1, len(ids))])).model_dump(mode="json")
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
