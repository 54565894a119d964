"""Injects each kind of fault, and schedules its repair."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from random import Random
from uuid import uuid4

import psycopg
import redis
from celery import Celery

from console.servers import Server
from domain.messages import WORK_QUEUES, WorkItems
from tests.chaos.kill_points import DESK, POINTS, Action, arm
from tests.chaos.processes import WORKERS, Installation
from tests.chaos.provider import call
from tests.fault_proxy import Loss
from worker.celery_fixes.config import celery_options

POISON = (b"\x80\x04poison", b"{", b"[]", b'{"body": 1, "properties": {}}', b"null", b"A" * 100_000)
UNKNOWN_CALLS: tuple[tuple[str, dict[str, object]], ...] = (
    ("refund.everything", {"ids": []}),
    ("refund.execute", {"version": 2, "ids": ["all"], "amount": 1}),
)
"""Two Celery calls that a worker must refuse: an unknown task name, and a payload with an unknown version number."""

MAX_OUTAGE = 12.0  # seconds; the longest time for which a process or a server is frozen or down. A lease is shorter


class FaultActions:
    """Injects faults. ``by_name`` maps the name of each fault to a function, which takes a random generator.

    The function returns False if there is nothing that the fault could affect. If the fault needs a repair, the function
    calls ``schedule`` with a delay and a repair function.
    """

    def __init__(
        self, installation: Installation, charges: list[str], schedule: Callable[[float, Callable[[], object]], None]
    ) -> None:
        self._installation, self._charges, self._schedule = installation, charges, schedule
        self._down: set[str] = set()
        self._points = cycle(
            Random(charges[0]).sample(points := sorted(self._reachable_points()), len(points))
        )  # a cycle, so that every point is used
        self._app = Celery("chaos")
        self._app.config_from_object(celery_options(installation.settings))
        self.kills = 0
        self.losses: list[tuple[str, Loss]] = []
        """The responses that a proxy will drop, each with the name of its fault. A dropped response is removed from this list."""
        self.flushed_tasks: list[bytes] = []
        """The messages that were in the queue `support.contact` when this class emptied the broker."""
        self.by_name: dict[str, Callable[[Random], bool | None]] = {
            "kill a service": lambda rng: self._kill_any(installation.targets, rng),
            "kill a worker": lambda rng: self._kill_any(WORKERS, rng),
            "kill a child of a pool": self._kill_child,
            "kill at a point": lambda rng: self._arm_point(
                rng, rng.choice((Action.KILL_PROCESS, Action.KILL_PROCESS, Action.KILL_SERVICE))
            ),
            "freeze at a point": lambda rng: self._arm_point(rng, Action.FREEZE),
            "kill the broker": lambda rng: self._stop_server(self._installation.servers.valkey, signal.SIGKILL, rng),
            "kill the database": lambda rng: self._stop_server(
                self._installation.servers.postgres, signal.SIGKILL, rng
            ),
            "stop the database at once": lambda rng: self._stop_server(
                self._installation.servers.postgres, signal.SIGQUIT, rng
            ),
            "freeze a service": lambda rng: self._freeze(rng.choice(installation.targets[1:]), rng),
            "freeze the provider": lambda rng: self._freeze("sandbox", rng),
            "freeze the broker": self._freeze_broker,
            "end backends": self._terminate_backends,
            "empty the broker": self._empty_broker,
            "fill the broker": self._fill_broker,
            "lock the cases": self._lock_cases,
            "cut connections": self._cut_connections,
            "hold connections": self._hold_connections,
            "lose a commit's answer": self._lose_commit_response,
            "lose a broker's answer": self._lose_broker_response,
            "poison queues": self._publish_poison,
            "repeat and shuffle messages": self._publish_repeats,
            "open a dispute": self._open_dispute,
        }

    def _kill_any(self, names: Sequence[str], rng: Random) -> bool:
        running = [name for name in names if self._installation.pid(name)]
        killed = bool(running) and self._installation.signal(rng.choice(running), signal.SIGKILL)
        self.kills += killed
        return killed

    def _kill_child(self, rng: Random) -> bool:
        children = [pid for name in WORKERS for pid in self._installation.children(name)]
        if not children:
            return False
        with suppress(ProcessLookupError):
            os.kill(rng.choice(children), signal.SIGKILL)
        self.kills += 1
        return True

    def _reachable_points(self) -> Iterator[str]:
        """Yield the kill points that a service of this run can reach. Those of the desk are reached as often as all others."""
        for name, point in POINTS.items():
            if point.services & set(self._installation.services):
                yield from [name] * (4 if point.services == DESK else 1)

    def _arm_point(self, rng: Random, action: Action) -> bool:
        point = next(self._points)
        service = rng.choice(sorted(POINTS[point].services & set(self._installation.services)))
        arm(self._installation.armed_points, service, point, rng.randint(1, 2), action)
        return True

    def _freeze(self, name: str, rng: Random) -> bool:
        seconds = rng.uniform(0.5, MAX_OUTAGE)
        self._schedule(seconds, lambda: self.wake(name))
        return self._installation.signal(name, signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self._installation.signal(name, signal.SIGCONT)

    def _stop_server(self, server: Server, number: signal.Signals, rng: Random) -> bool:
        if server.pid is None:
            return False
        os.kill(server.pid, number)
        self.kills += number is signal.SIGKILL
        self._down.add(server.name)

        def start() -> None:
            server.start()
            self._down.discard(server.name)

        self._schedule(rng.uniform(0.1, MAX_OUTAGE), start)
        return True

    def _freeze_broker(self, rng: Random) -> bool:
        pid = self._installation.servers.valkey.pid
        if pid is None or "full" in self._down:  # the repair of a full broker would wait for a frozen broker
            return False
        os.kill(pid, signal.SIGSTOP)
        self._down.add("frozen")

        def wake() -> None:
            self._down.discard("frozen")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self._schedule(rng.uniform(0.5, MAX_OUTAGE), wake)
        return True

    def _terminate_backends(self, rng: Random) -> bool:
        """Terminate about half of the database's backends, even during a statement or a commit."""
        with psycopg.connect(
            self._installation.servers.postgres.superuser_url, autocommit=True, connect_timeout=1
        ) as db:
            rows = db.execute("select pid from pg_stat_activity where usename = 'moneyback' order by pid").fetchall()
            for (pid,) in rows:
                if rng.random() < 0.5:
                    db.execute("select pg_terminate_backend(%s)", (pid,))
        return bool(rows)

    @property
    def _is_broker_unavailable(self) -> bool:
        return bool(self._down & {"frozen", "Valkey"})

    def _empty_broker(self, _: Random) -> bool:
        """Delete all data of the broker. Read the queue `support.contact` in the same transaction, to record the lost tasks."""
        if self._is_broker_unavailable:
            return False
        with self._installation.broker.pipeline(transaction=True) as pipeline:
            pipeline.lrange("support.contact", 0, -1)
            pipeline.flushall()
            tasks, _ = pipeline.execute()
        self.flushed_tasks += tasks
        return True

    def _fill_broker(self, rng: Random) -> bool:
        """Fill the broker's memory. A full broker refuses new messages, but still delivers the stored messages."""
        if self._is_broker_unavailable:
            return False
        self._installation.broker.config_set("maxmemory", "1")
        self._down.add("full")

        def raise_limit() -> None:
            self._down.discard("full")
            with suppress(redis.RedisError):  # the broker is unavailable; a restart also restores the limit
                self._installation.broker.config_set("maxmemory", "256mb")

        self._schedule(rng.uniform(0.5, MAX_OUTAGE), raise_limit)
        return True

    def _lock_cases(self, rng: Random) -> None:
        """Lock the table of cases, as a migration does."""
        url = self._installation.servers.postgres.superuser_url.replace("/postgres?", "/moneyback?")
        db = psycopg.connect(url, connect_timeout=1, options="-c lock_timeout=1s")
        try:
            db.execute("lock table cases in exclusive mode")
        except psycopg.Error:
            db.close()
            raise
        self._schedule(rng.uniform(0.5, MAX_OUTAGE), db.close)

    def _cut_connections(self, rng: Random) -> None:
        self._installation.proxies[rng.choice(("database", "broker", "provider"))].close_all()

    def _hold_connections(self, rng: Random) -> None:
        proxy = self._installation.proxies[rng.choice(("database", "broker", "provider"))]
        proxy.freeze()
        self._schedule(rng.uniform(0.5, MAX_OUTAGE), proxy.thaw)

    def _lose_commit_response(self, _: Random) -> None:
        """Lose the response to the next commit. The database carries out the commit."""
        self.losses.append(
            ("lose a commit's answer", self._installation.proxies["database"].lose(request=b"COMMIT", response=b""))
        )

    def _lose_broker_response(self, rng: Random) -> None:
        """Lose the response to the next pop, push or acknowledgement. The broker carries out the command."""
        loss = self._installation.proxies["broker"].lose(
            request=rng.choice((b"BRPOP", b"LPUSH", b"HDEL")), response=b""
        )
        self.losses.append(("lose a broker's answer", loss))

    def _publish_poison(self, rng: Random) -> bool:
        if self._is_broker_unavailable:
            return False
        for _ in range(rng.randint(1, 5)):
            self._installation.broker.lpush(rng.choice((*WORK_QUEUES, "refund.requests")), rng.choice(POISON))
        with self._app.connection_for_write() as connection:
            producer = self._app.amqp.Producer(connection.channel())
            for name, payload in UNKNOWN_CALLS:
                self._app.send_task(name, [payload], queue=rng.choice(list(WORK_QUEUES)), producer=producer)
        return True

    def _publish_repeats(self, rng: Random) -> bool:
        """Publish messages about final, open and unknown cases to random queues."""
        if self._is_broker_unavailable:
            return False
        with self._installation.records.work() as work:
            case_ids = [row.id for row in work.run("select id from cases order by received_at desc limit 200")]
        ids = [*rng.sample(case_ids, min(len(case_ids), 30)), uuid4()]
        with self._app.connection_for_write() as connection:
            producer = self._app.amqp.Producer(connection.channel())
            for _ in range(rng.randint(1, 10)):
                rng.shuffle(ids)
                kind: type[WorkItems] = rng.choice(list(WORK_QUEUES.values()))
                payload = kind(ids=tuple(ids[: rng.randint(1, len(ids))])).model_dump(mode="json")
                self._app.send_task(kind.queue, [payload], queue=kind.queue, producer=producer)
        return True

    def _open_dispute(self, rng: Random) -> bool:
        charge = rng.choice(self._charges)
        opened = call(self._installation.provider_socket, "POST", "/v1/disputes", {"charge": charge, "status": "open"})
        if "id" not in opened:
            return False
        decision = {"status": rng.choice(("won", "lost"))}

        def decide() -> None:
            with suppress(OSError):  # if the provider is down, the dispute stays open
                call(self._installation.provider_socket, "POST", f"/v1/disputes/{opened['id']}", decision)

        self._schedule(rng.uniform(0.5, MAX_OUTAGE), decide)
        return True
