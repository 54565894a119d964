"""One simulated world. A seed determines the sellers, purchases, customers and faults of the world.

Real code of Moneyback: the domain, the intake, dispatch, evaluation, execution, resolution, webhook processing, disputes,
e-mails, support tasks, the rate limiter, the sweep, the relay with its brokerless mode, reconciliation, and every class of the
package records.

Simulated: PostgreSQL, kombu, providers, the mail server, time and threads. The file tests/contract/test_records.py compares the
simulated tables with PostgreSQL.

Not tested: concurrent transactions (the simulation runs one transaction at a time), real adapters, HTTP, and Celery.

Assumptions about providers:
- An idempotency key is valid for the time that the provider documents. During this time, the provider makes at most one refund
  with the key. Some providers do not store a decline under the key.
- A provider carries out a call at most three hours after the call's timeout. Moneyback repeats no call in the last four hours
  before the key of the call expires. The three hours plus the longest pause of a process are less than these four hours.
- A key that is valid for an hour is not repeated in its last ten minutes, and a process may pause longer than this. So a
  provider with such keys never refunds more than was captured, and carries out a late call within a minute. Mollie is such
  a provider.
- A provider may send a webhook days before a lookup shows the new status. Exception: if the webhooks of a provider contain no
  status, like Mollie's classic webhooks, a lookup shows the new status immediately.
"""

import random as shared_random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

from config.settings import Settings
from config.signed_links import Links
from domain.providers import PaymentProvider
from tests.simulation.adapter import Adapter
from tests.simulation.broker import App, Broker, Helpdesk
from tests.simulation.call_pool import SimulatedCallPool
from tests.simulation.clock import Clock, Process, Task
from tests.simulation.customers import Customers
from tests.simulation.faults import DAY, FAULTS_END, HOUR, MINUTE, OUTAGES, Faults
from tests.simulation.interleaving import Interleaving
from tests.simulation.invariants import InvariantChecker
from tests.simulation.mail_server import SimulatedMailTransport
from tests.simulation.memory.records import MemoryRecords
from tests.simulation.provider import Provider
from tests.simulation.purchase_invariants import PurchaseChecker
from tests.simulation.shops import Shops
from tests.simulation.support import Support
from tests.simulation.webhooks import Webhooks
from tests.simulation.workers import Workers
from worker.context import WorkerContext
from worker.providers.rate_limiter import RateLimiter
from worker.reconciliation.run import reconcile_all
from worker.relay import Relay
from worker.webhook_events.processing import MAX_ATTEMPTS

BEGINNING = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HORIZON = 120 * DAY
FEW_ATTEMPTS = 30
"""The maximum number of attempts to process a webhook event, in most worlds. More attempts would only make the test slower."""

MAX_STEPS = 200_000  # a world with more steps has an endless loop


class World:
    """The simulated world of one seed."""

    def __init__(self, seed: int, settings: Settings, links: Links, **forced: Any) -> None:
        self.seed = seed
        self.forced = forced
        self.random = Random(seed)
        shared_random.seed(seed)
        self.settings = settings.model_copy(update={"sepa_hold_days": self.random.choice([0, 0, 1])})
        self._links = links
        self.clock = Clock()
        self.clock.on_task_error = self._on_task_error
        self.faults = Faults.draw(self.random)
        self.faults.rates.update(forced.get("rates", {}))
        self.trace: list[str] | None = [] if forced.get("traced") else None
        self.max_attempts = self.random.choice([FEW_ATTEMPTS, FEW_ATTEMPTS, FEW_ATTEMPTS, MAX_ATTEMPTS])
        self.dead_broker = forced.get("dead_broker", self.random.random() < 0.05)
        self.interleaving = Interleaving(self)
        self.records = MemoryRecords(settings.timers, self.database_clock, self.interleaving)
        self.checker = InvariantChecker(self)
        self.purchase_checker = PurchaseChecker(self)
        self.webhooks = Webhooks(self)
        self.providers = {
            name: Provider(name, self.clock, self.faults, self.webhooks.send, **forced)
            for name in ("alpha", "beta")[: self.random.choice([1, 2])]
        }
        for provider in self.providers.values():
            provider.on_refund = self.checker.refund_made
            provider.on_approval = self.checker.approval_asked
        self.mail_transport = SimulatedMailTransport(self)
        self.workers = Workers(self)
        self.broker = Broker(self.clock, self.faults, self.workers.deliver, self.interleaving.kill_at)
        self.broker.count_queued = self.workers.count_waiting
        self.helpdesk = Helpdesk(self.broker)
        self.customers = Customers(self)
        self.shops = Shops(self)
        self.support = Support(self)

    # Time

    def database_clock(self) -> datetime:
        """Return the time of the database's clock. If the current process has a skew, the returned time is wrong by the skew."""
        skew = self.clock.current.process.skew if self.clock.current else 0.0
        return BEGINNING + timedelta(seconds=self.clock.now + skew)

    def since_beginning(self, time: datetime) -> float:
        """Return the seconds from the beginning of the world to ``time``."""
        return (time - BEGINNING).total_seconds()

    def log(self, line: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.clock.now:12.2f} {line}")

    def run(self) -> "World":
        """Run the world until nothing more is scheduled, and check the invariants."""
        self.shops.set_up()
        self.customers.set_up()
        self.support.start()
        for n in range(self.random.choice([1, 1, 2])):
            self._start_relay(n)
        self.workers.start()
        self._schedule_outages()
        self.clock.at(FAULTS_END, self._end_faults)
        for day in (1.0, 2.2, 4.0, 20.0, 21.0, 22.0):
            self.clock.at(day * DAY, self._reconcile)
        try:
            self.clock.run(HORIZON, MAX_STEPS)
            self.checker.check_all()
            self.purchase_checker.check_all()
        finally:
            self.clock.end()
        return self

    # Outages

    def _schedule_outages(self) -> None:
        rng = self.random
        if self.dead_broker:
            self.broker.unavailable_until = 1e12
            self.faults.count("broker_dead")
        for _ in range(rng.choice([0, 0, 1, 10])):
            self.clock.at(rng.random() * FAULTS_END, self.helpdesk.consume)
        for number in range(rng.choice([0, 0, 2])):
            provider = rng.choice(list(self.providers.values()))
            self.clock.at(rng.random() * FAULTS_END, provider.refund_for_others, number)
        for kind, durations in OUTAGES.items():
            for _ in range(self.forced.get(kind, rng.choice([0, 0, 1, 3]))):
                self.clock.at(rng.random() ** 3 * DAY, self._start_outage, kind, rng.choice(durations))

    def _start_outage(self, kind: str, seconds: float) -> None:
        until = min(self.clock.now + seconds, FAULTS_END)
        self.log(f"{kind} for {seconds:g} s")
        if kind == "broker_data_lost":
            self.broker.lose_data()
            self.workers.lose_messages()
            self.interleaving.wake_relays()
            return
        self.faults.count(kind)
        if kind == "database_unavailable":
            self.interleaving.database_down_until = until
        elif kind == "broker_unavailable":
            self.broker.unavailable_until = max(self.broker.unavailable_until, until)
            self.clock.at(until, self.interleaving.wake_relays)
        else:
            for provider in self.providers.values():
                provider.down_until = until

    def _end_faults(self) -> None:
        self.log("the faults end")
        self.faults.ended = True
        self.interleaving.wake_relays()

    # Processes

    def context(self, process: Process) -> WorkerContext:
        """Return the worker context of a process."""
        clock = self.clock

        def monotonic() -> float:
            """Return the time of the process's clock. The clock never goes back, but it may jump ahead."""
            if self.faults.happens("clock_jump"):
                process.offset += self.random.choice([MINUTE, HOUR])
            return clock.now + process.offset

        adapters = {}
        for name, provider in self.providers.items():
            adapter = Adapter(provider, clock, BEGINNING, self.interleaving.preempt)
            adapter.on_call = self.checker.check_call
            adapter.on_empty_lookup = self.checker.check_empty_lookup
            adapters[name] = cast("PaymentProvider", adapter)
        return WorkerContext(
            settings=self.settings,
            records=self.records,
            links=self._links,
            mail_transport=self.mail_transport,
            providers=adapters,
            call_pool=SimulatedCallPool(clock, process, lambda: self.random.random() * 0.01),
            rate_limiter=RateLimiter(None, monotonic=monotonic, sleep=clock.sleep),
            monotonic=monotonic,
        )

    def process(self, name: str) -> Process:
        """Return a new process. Its monotonic clock has a random offset."""
        process = Process(name, offset=self.random.choice([0.0, 1e5, 3e7]))
        if self.forced.get("skewed"):
            process.skew = self.random.choice([0.0, 0.0, -120.0, 120.0, 900.0])
        return process

    def _start_relay(self, number: int) -> None:
        process = self.process(f"relay {number}")
        relay = Relay(self.settings, self.records, cast("Any", App(self.broker)))
        relay.__dict__["_context"] = self.context(process)
        process.on_killed = lambda: self.clock.later(self.random.uniform(1, 30), self._start_relay, number)
        self.clock.spawn(process, "relay", relay.run, self.interleaving.stop_event())

    def _on_task_error(self, task: Task, error: Exception) -> None:
        """Check the error that ended a task. If the task was a relay, kill its process. A new relay starts later."""
        self.log(f"{task.process.name} {task.title} failed: {error!r}")
        self.checker.check_error(task, error)
        if task.title == "relay":
            self.clock.kill(task.process)

    def _reconcile(self) -> None:
        process = self.process("beat")
        context = self.context(process)
        self.clock.spawn(process, "reconcile", reconcile_all, context, timedelta(days=30))

    # Requests

    def web(self, function: Callable[..., object], *args: Any) -> None:
        """Call ``function`` in a new web process, as the web server does for a request."""
        self.clock.spawn(self.process("web"), function.__name__, function, *args)
