"""One world: the sellers, purchases, customers and faults of a seed, around the product's own code.

Real code: the domain, the intake, dispatch, evaluation, execution, resolution, webhook processing, disputes, e-mails,
support tasks, rate limiter, sweep, relay with its brokerless mode, reconciliation, and every class of records. Stand-ins:
PostgreSQL (compared with the real one by tests/contract/test_records.py), kombu, providers, the mail server, time, threads.

Not simulated: transactions that interleave (here they run one after the other), adapters and HTTP, and Celery itself.

Assumptions about providers:
- A key is valid for its documented time. While it is valid, one refund is made with it. Not every provider stores a decline
  under the key.
- A call is carried out at the latest three hours after its timeout. Together with the longest pause of a process, that is
  less than the four-hour margin before a key expires. A key with a shorter life is never sent again.
- A lookup may be days behind the webhooks, unless the webhooks have no status, as Mollie's classic webhooks.
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
from tests.simulation.faults import DAY, HEALED, HOUR, MINUTE, OUTAGES, Faults
from tests.simulation.interleaving import WorldSeams
from tests.simulation.invariants import InvariantChecker
from tests.simulation.mail_server import SimulatedMailTransport
from tests.simulation.memory.records import MemoryRecords
from tests.simulation.provider import Provider
from tests.simulation.webhooks import Webhooks
from tests.simulation.workers import Workers
from worker.context import WorkerContext
from worker.providers.rate_limiter import RateLimiter
from worker.reconciliation.run import reconcile_all
from worker.relay import Relay
from worker.webhook_events.processing import MAX_ATTEMPTS

BEGINNING = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HORIZON = 120 * DAY
FEW_LOOKS = 30
"""The attempts for an unresolved webhook event in most worlds. The attempts 30 to 100 would only take time."""

MAX_STEPS = 200_000  # a world with more steps is in an endless loop


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
        self.clock.broke = self._broke
        self.faults = Faults.drawn(self.random)
        self.faults.rates.update(forced.get("rates", {}))
        self.trace: list[str] | None = [] if forced.get("traced") else None
        self.looks = self.random.choice([FEW_LOOKS, FEW_LOOKS, FEW_LOOKS, MAX_ATTEMPTS])
        self.dead_broker = forced.get("dead_broker", self.random.random() < 0.05)
        self.seams = WorldSeams(self)
        self.records = MemoryRecords(settings.timers, self.database_clock, self.seams)
        self.checker = InvariantChecker(self)
        self.webhooks = Webhooks(self)
        self.providers = {
            name: Provider(name, self.clock, self.faults, self.webhooks.send, **forced)
            for name in ("alpha", "beta")[: self.random.choice([1, 2])]
        }
        for provider in self.providers.values():
            provider.on_refund = self.checker.refund_made
        self.mail_transport = SimulatedMailTransport(self)
        self.workers = Workers(self)
        self.broker = Broker(self.clock, self.faults, self.workers.deliver, self.seams.kill_at)
        self.broker.queued = self.workers.waiting
        self.helpdesk = Helpdesk(self.broker)
        self.customers = Customers(self)

    # Time

    def database_clock(self) -> datetime:
        """Return the time of the database's clock, which is the true time."""
        skew = self.clock.current.process.skew if self.clock.current else 0.0
        return BEGINNING + timedelta(seconds=self.clock.now + skew)

    def since_beginning(self, at: datetime) -> float:
        """Return the seconds from the beginning of the world to an instant."""
        return (at - BEGINNING).total_seconds()

    def log(self, what: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.clock.now:12.2f} {what}")

    def run(self) -> "World":
        """Run from the first request until no event is left, and check the invariants."""
        self.customers.set_up()
        for n in range(self.random.choice([1, 1, 2])):
            self._start_relay(n)
        self.workers.start()
        self._schedule_outages()
        self.clock.at(HEALED, self._heal)
        for day in (1.0, 2.2, 4.0, 20.0):
            self.clock.at(day * DAY, self._reconcile)
        try:
            self.clock.run(HORIZON, MAX_STEPS)
            self.checker.check_all()
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
            self.clock.at(rng.random() * HEALED, self.helpdesk.consume)
        for kind, lengths in OUTAGES.items():
            for _ in range(self.forced.get(kind, rng.choice([0, 0, 1, 3]))):
                self.clock.at(rng.random() ** 3 * DAY, self._outage, kind, rng.choice(lengths))

    def _outage(self, kind: str, seconds: float) -> None:
        until = min(self.clock.now + seconds, HEALED)
        self.log(f"{kind} for {seconds:g} s")
        if kind == "broker_data_lost":
            self.broker.lose_data()
            self.workers.lose_messages()
            self.seams.wake_relays()
            return
        self.faults.count(kind)
        if kind == "database_unavailable":
            self.seams.database_down_until = until
        elif kind == "broker_unavailable":
            self.broker.unavailable_until = max(self.broker.unavailable_until, until)
            self.clock.at(until, self.seams.wake_relays)
        else:
            for provider in self.providers.values():
                provider.down_until = until

    def _heal(self) -> None:
        self.log("healed")
        self.faults.healed = True
        self.seams.wake_relays()

    # Processes

    def context(self, process: Process) -> WorkerContext:
        """Return the worker context of a process."""
        clock = self.clock

        def monotonic() -> float:
            if self.faults.happens("clock_jump"):
                process.offset += self.random.choice([-HOUR, -MINUTE, MINUTE, HOUR])
            return clock.now + process.offset

        adapters = {}
        for name, provider in self.providers.items():
            adapter = Adapter(provider, clock, BEGINNING, self.seams.seam)
            adapter.on_call = self.checker.check_call
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
        """Return a new process, whose monotonic clock has a random offset."""
        process = Process(name, offset=self.random.choice([0.0, 1e5, 3e7]))
        if self.forced.get("skewed"):
            process.skew = self.random.choice([0.0, 0.0, -120.0, 120.0, 900.0])
        return process

    def _start_relay(self, number: int) -> None:
        process = self.process(f"relay {number}")
        relay = Relay(self.settings, self.records, cast("Any", App(self.broker)))
        relay.__dict__["_context"] = self.context(process)
        stop = self.seams.stop(process)

        process.died = lambda: self.clock.later(self.random.uniform(1, 30), self._start_relay, number)
        self.clock.spawn(process, "relay", relay.run, stop)

    def _broke(self, task: Task, error: Exception) -> None:
        """Record the error of a task. The sweep repeats its work; a relay is started again."""
        self.log(f"{task.process.name} {task.what} broke: {error!r}")
        self.checker.broke(task, error)
        if task.what == "relay":
            self.clock.kill(task.process)

    def _reconcile(self) -> None:
        process = self.process("beat")
        context = self.context(process)
        self.clock.spawn(process, "reconcile", reconcile_all, context, timedelta(days=30))

    # Requests

    def web(self, do: Callable[..., object], *args: Any) -> None:
        self.clock.spawn(self.process("web"), do.__name__, do, *args)
