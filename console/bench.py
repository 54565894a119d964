"""The benchmark: a backlog of eligible requests runs through relay, broker, worker and sandbox.

The measured time starts when the relay may publish the first message, and ends with the last refund. PostgreSQL syncs every
commit. Intake is not measured. E-mails and support tasks are not measured either, because no worker consumes their queues.
The sandbox answers without delay, and shares the cores of this machine with all other processes.
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
from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested
from domain.policies import Category, Seller
from domain.purchases import Payment, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest
from producers.intake import accept, submission
from records import Records, migrate
from records.intake import Submission
from records.purchase_reports import store_purchases
from records.unit_of_work import connect

SELLERS = 20
WARM_UP = 500  # the number of requests that are processed before the measurement of full batches
UNLOADED = 200  # the number of requests that are sent one at a time, to measure the latency
QUEUES = ",".join(message.queue for message in (RefundRequested, RefundApproved, RefundOutcomeUnknown))
TIMEOUT = 600.0  # seconds; if the refunds take longer, the benchmark fails


@dataclass(frozen=True)
class BenchmarkResult:
    """The figures of a benchmark. The CPU time is per refund, and includes all processes except the benchmark itself."""

    refunds: int
    refunds_per_s: float
    refunds_per_s_unbatched: float
    cpu_ms: float
    cpu_ms_by_service: dict[str, float]
    p50_ms: float
    p99_ms: float


def run(stack: Stack, number: int, report: Callable[[str], None]) -> BenchmarkResult:
    """Measure full batches, then requests that arrive one at a time, then messages with one case each."""
    os.environ.update(stack.env)
    owner = connect(stack.servers.postgres.owner_url)
    migrate.migrate(owner)
    bench = _Bench(stack, Records.of(settings()), lambda: migrate.analyze(owner))
    report(f"{number} requests, up to {settings().batch_size} cases in a message")
    with bench.services(batch=settings().batch_size):
        bench.drain(WARM_UP)
        rate, cpu = bench.measure(number)
        report(f"{UNLOADED} requests, one at a time")
        latencies = bench.unloaded(UNLOADED)
    report(f"{number} requests, one case in a message")
    with bench.services(batch=1):
        bench.drain(WARM_UP // 5)
        single, _ = bench.measure(number)
    return BenchmarkResult(
        refunds=number,
        refunds_per_s=round(rate, 1),
        refunds_per_s_unbatched=round(single, 1),
        cpu_ms=round(sum(cpu.values()), 3),
        cpu_ms_by_service=cpu,
        p50_ms=round(latencies[len(latencies) // 2], 1),
        p99_ms=round(latencies[int(len(latencies) * 0.99)], 1),
    )


class _Bench:
    def __init__(self, stack: Stack, records: Records, analyze: Callable[[], None]) -> None:
        self._stack = stack
        self._records = records
        self._analyze = analyze
        self._next_number = 0
        self._pids: dict[str, int] = {}
        zone = ZoneInfo("Europe/Berlin")
        with records.work() as work:
            for number in range(SELLERS):
                seller = Seller(id=f"seller{number}", name="A seller", time_zone=zone, support_email="s@example.com")
                work.sellers.upsert(seller)
                work.sellers.new_policy(
                    seller.id, Category.WITHIN_DAYS, days=30, in_force_from=datetime.now(UTC) - timedelta(days=99)
                )

    @contextmanager
    def services(self, *, batch: int) -> Iterator[None]:
        """Run the services that process a refund, with at most `batch` cases in a message."""
        with Supervisor(self._stack.data_dir) as supervisor:
            for name, options in (("sandbox", ()), ("worker", ("--queues", QUEUES)), ("relay", ())):
                service = self._stack.service(name, *options)
                supervisor.start(replace(service, env={**service.env, "MONEYBACK_BATCH_SIZE": str(batch)}))
            supervisor.wait_for("sandbox", lambda: self._stack.answers("sandbox", "/v1/summary"))
            self._pids = supervisor.pids
            yield

    def drain(self, number: int) -> None:
        """Accept requests and wait until each is refunded."""
        refunded_before = self._refunded()
        self._load(number)
        self._wait(refunded_before + number)

    def measure(self, number: int) -> tuple[float, dict[str, float]]:
        """Process a backlog. Return the refunds per second, and the CPU milliseconds per refund of each service.

        The relay is paused while the backlog is created.
        """
        refunded_before = self._refunded()
        os.kill(self._pids["relay"], signal.SIGSTOP)
        self._load(number)
        self._analyze()  # because query plans for empty tables would distort the figures
        cpu_before, began = self._cpu(), time.monotonic()
        os.kill(self._pids["relay"], signal.SIGCONT)
        self._wait(refunded_before + number)
        seconds = time.monotonic() - began
        cpu_by_service = {name: after - cpu_before[name] for name, after in self._cpu().items()}
        return number / seconds, {name: round(1_000 * cpu / number, 3) for name, cpu in cpu_by_service.items()}

    def unloaded(self, number: int) -> list[float]:
        """Return the latencies of requests that arrive one at a time: milliseconds from acceptance to refund, sorted.

        The database's clock measures the latencies.
        """
        for _ in range(number):
            refunded_before = self._refunded()
            self._load(1)
            self._wait(refunded_before + 1, interval=0.005)
        with self._records.work() as work:
            return sorted(work.case_views.latencies(number))

    def _load(self, number: int) -> None:
        numbers = range(self._next_number, self._next_number + number)
        self._next_number += number
        for first in range(0, number, 1_000):
            purchases = [_purchase(n) for n in numbers[first : first + 1_000]]
            with self._records.work() as work:
                store_purchases(work, purchases)
            accept(self._records, [_submission(purchase) for purchase in purchases])

    def _refunded(self) -> int:
        with self._records.work() as work:
            return work.case_views.counts().get("refunded", 0)

    def _wait(self, number: int, interval: float = 0.05) -> None:
        deadline = time.monotonic() + TIMEOUT
        while (began := time.monotonic()) < deadline:
            if (refunded := self._refunded()) >= number:
                return
            query_seconds = time.monotonic() - began
            time.sleep(max(interval, 20 * query_seconds))  # so the queries use at most a twentieth of a core
        raise LocalStackError(f"Only {refunded} of {number} refunds were made in {TIMEOUT:.0f} s.")

    def _cpu(self) -> dict[str, float]:
        servers = {"PostgreSQL": self._stack.servers.postgres.pid, "Valkey": self._stack.servers.valkey.pid}
        return {name: cpu_seconds_of(pid) for name, pid in {**self._pids, **servers}.items() if pid}


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU seconds of a process and its children, including the children that have ended."""
    process = psutil.Process(pid)
    times = [running.cpu_times() for running in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system


def _purchase(number: int) -> Purchase:
    at = datetime.now(UTC) - timedelta(days=3)
    return Purchase(
        id=uuid4(),
        seller_id=f"seller{number % SELLERS}",
        reference=f"MB-{number:08}",
        email=f"customer{number}@example.com",
        product="A licence",
        purchased_at=at,
        payments=(
            Payment(
                provider="sandbox",
                charge=f"ok_{uuid4().hex}",
                amount=1_000 + number % 9_000,
                currency="EUR",
                method="credit_card",
                charged_at=at,
            ),
        ),
    )


def _submission(purchase: Purchase) -> Submission:
    request = RefundRequest(email=purchase.email, reference=purchase.reference, reason=RefundReason.DISSATISFIED)
    return submission(request, Channel.API, seller=purchase.seller_id, trusted=True)
