"""The benchmark: a backlog of eligible requests through relay, broker, worker and sandbox, on a durable PostgreSQL.

What is measured: from the moment the relay may publish to the moment the last case is refunded, by this process's clock.
What is not: intake, letters and tasks for people; their lanes are filled, but nobody works on them. The sandbox answers
without delay. Everything shares this machine's cores, the sandbox included.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import psutil

from config.settings import settings
from console.servers import LocalStackError
from console.stack import Stack
from console.supervisor import Supervisor
from domain.messages import RefundApproved, RefundRequested, RefundUnsettled
from domain.policies import Category, Seller
from domain.purchases import Purchase
from domain.reasons import Reason
from domain.requests import Channel, RefundRequest
from producers.intake import accept, arrival
from records import Records, schema
from records.intake import Arrival
from records.work import connect

SELLERS = 20
WARM_UP = 500
UNLOADED = 200
LANES = ",".join(message.queue for message in (RefundRequested, RefundApproved, RefundUnsettled))
PATIENCE = 600.0  # seconds


@dataclass(frozen=True)
class Measured:
    """What came out; CPU is that of every process but this one."""

    refunds: int
    refunds_per_s: float
    one_a_message_per_s: float
    cpu_ms: float
    cpu_ms_by_part: dict[str, float]
    p50_ms: float
    p99_ms: float


def run(stack: Stack, number: int, tell: Callable[[str], None]) -> Measured:
    """Measures batches, single requests, and one case a message, in this order."""
    os.environ.update(stack.env)
    owner = connect(stack.servers.postgres.owner_url)
    schema.migrate(owner)
    bench = _Bench(stack, Records.of(settings()), lambda: schema.analyze(owner))
    tell(f"{number} requests, up to {settings().batch_size} cases a message")
    with bench.parts(batch=settings().batch_size):
        bench.drain(WARM_UP)
        rate, cpu = bench.measure(number)
        tell(f"{UNLOADED} requests, one after another")
        latencies = bench.unloaded(UNLOADED)
    tell(f"{number} requests, one case a message")
    with bench.parts(batch=1):
        bench.drain(WARM_UP // 5)
        single, _ = bench.measure(number)
    return Measured(
        refunds=number,
        refunds_per_s=round(rate, 1),
        one_a_message_per_s=round(single, 1),
        cpu_ms=round(sum(cpu.values()), 3),
        cpu_ms_by_part=cpu,
        p50_ms=round(latencies[len(latencies) // 2], 1),
        p99_ms=round(latencies[int(len(latencies) * 0.99)], 1),
    )


class _Bench:
    def __init__(self, stack: Stack, records: Records, analyze: Callable[[], None]) -> None:
        self._stack = stack
        self._records = records
        self._analyze = analyze
        self._serial = 0
        self._pids: dict[str, int] = {}
        zone = ZoneInfo("Europe/Berlin")
        with records.work() as work:
            for number in range(SELLERS):
                seller = Seller(id=f"seller{number}", name="A seller", time_zone=zone, support_email="s@example.com")
                work.sellers.put(seller)
                work.sellers.new_policy(
                    seller.id, Category.WITHIN_DAYS, days=30, in_force_from=datetime.now(UTC) - timedelta(days=99)
                )

    @contextmanager
    def parts(self, *, batch: int) -> Iterator[None]:
        """The parts that carry a refund, running; the relay holds still until it is let go."""
        with Supervisor(self._stack.data_dir) as processes:
            for name, options in (("sandbox", ()), ("worker", ("--queues", LANES)), ("relay", ())):
                part = self._stack.service(name, *options)
                processes.start(replace(part, env={**part.env, "MONEYBACK_BATCH_SIZE": str(batch)}))
            processes.wait_for("sandbox", lambda: self._stack.answers("sandbox", "/v1/summary"))
            self._pids = processes.pids
            yield

    def drain(self, number: int) -> None:
        """Takes requests in and waits until each is refunded."""
        before = self._refunded()
        self._load(number)
        self._wait(before + number)

    def measure(self, number: int) -> tuple[float, dict[str, float]]:
        """Refunds a second, and CPU milliseconds a refund by part, of a backlog that waits when the relay is let go."""
        before = self._refunded()
        os.kill(self._pids["relay"], signal.SIGSTOP)
        self._load(number)
        self._analyze()  # as on a database that is up for a minute: plans for empty tables are no figure
        used, began = self._cpu(), time.monotonic()
        os.kill(self._pids["relay"], signal.SIGCONT)
        self._wait(before + number)
        seconds = time.monotonic() - began
        now = self._cpu()
        return number / seconds, {part: round(1_000 * (now[part] - used[part]) / number, 3) for part in now}

    def unloaded(self, number: int) -> list[float]:
        """Milliseconds from acceptance to payment, by the database's clock, of requests that come one at a time."""
        for _ in range(number):
            before = self._refunded()
            self._load(1)
            self._wait(before + 1, glance=0.005)
        with self._records.work() as work:
            return sorted(work.views.latencies(number))

    def _load(self, number: int) -> None:
        numbers = range(self._serial, self._serial + number)
        self._serial += number
        for first in range(0, number, 1_000):
            purchases = [_purchase(n) for n in numbers[first : first + 1_000]]
            with self._records.work() as work:
                work.purchases.put(purchases)
            accept(self._records, [_arrival(purchase) for purchase in purchases])

    def _refunded(self) -> int:
        with self._records.work() as work:
            return work.views.counts().get("refunded", 0)

    def _wait(self, number: int, glance: float = 0.05) -> None:
        deadline = time.monotonic() + PATIENCE
        while (began := time.monotonic()) < deadline:
            if (refunded := self._refunded()) >= number:
                return
            counting = time.monotonic() - began
            time.sleep(
                max(glance, 20 * counting)
            )  # of what is measured, counting takes a twentieth of a core at the most
        raise LocalStackError(f"Only {refunded} of {number} refunds were made in {PATIENCE:.0f} s.")

    def _cpu(self) -> dict[str, float]:
        servers = {"PostgreSQL": self._stack.servers.postgres.pid, "Valkey": self._stack.servers.valkey.pid}
        return {name: seconds_of(pid) for name, pid in {**self._pids, **servers}.items() if pid}


def seconds_of(pid: int) -> float:
    """CPU seconds of a process and its living children; those that ended count with their parent."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system


def _purchase(number: int) -> Purchase:
    at = datetime.now(UTC) - timedelta(days=3)
    return Purchase(
        id=uuid4(),
        seller=f"seller{number % SELLERS}",
        reference=f"MB-{number:08}",
        email=f"customer{number}@example.com",
        product="A licence",
        amount=1_000 + number % 9_000,
        currency="EUR",
        method="credit_card",
        provider="sandbox",
        charge=f"ok_{uuid4().hex}",
        purchased_at=at,
        charged_at=at,
    )


def _arrival(purchase: Purchase) -> Arrival:
    request = RefundRequest(email=purchase.email, reference=purchase.reference, reason=Reason.DISSATISFIED)
    return arrival(request, Channel.API, seller=purchase.seller, trusted=True)
