"""One world: a seed's sellers, purchases, customers and faults, around the product's own code.

What is real: domain, worker's lanes, judging, paying, settling, hearing, disputes, letters' sending, support, pace, sweep,
relay with its direct mode, reconciliation, the intake, and every class of records. What stands in: PostgreSQL (held to the
real one by tests/contract/test_records.py), kombu, providers, the post, time, threads.

What is not shown here: transactions that interleave (here one follows the other), adapters and HTTP, Celery itself. And
what is taken for granted of providers: a key lives as long as they say, and while it does, a refund is made once under it,
though not every provider remembers a refusal under it; a call is carried out at the latest three hours after we gave it up,
and together with the longest pause of a process within the four hours that are kept before a key's end; a key that lives
shorter than that is never sent again. What a provider shows may be days behind what its webhooks told, unless they have no
words, as Mollie's classic ones: then what it shows is all that is known.
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
from tests.simulation.call_pool import SeededHands
from tests.simulation.clock import Clock, Process, Task
from tests.simulation.customers import People
from tests.simulation.faults import DAY, HEALED, HOUR, MINUTE, OUTAGES, Faults
from tests.simulation.interleaving import WorldSeams
from tests.simulation.invariants import Watch
from tests.simulation.mail_server import SeededPost
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
"""At a notice that nothing explains, in most worlds: between the thirtieth and the hundredth nothing is new, but the time."""

MOST_STEPS = 200_000  # a world that needs more goes round in circles


class World:
    """Everything of one seed."""

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
        self.watch = Watch(self)
        self.webhooks = Webhooks(self)
        self.providers = {
            name: Provider(name, self.clock, self.faults, self.webhooks.send, **forced)
            for name in ("alpha", "beta")[: self.random.choice([1, 2])]
        }
        for provider in self.providers.values():
            provider.made = self.watch.refund_made
        self.post = SeededPost(self)
        self.workers = Workers(self)
        self.broker = Broker(self.clock, self.faults, self.workers.deliver, self.seams.die)
        self.broker.queued = self.workers.waiting
        self.helpdesk = Helpdesk(self.broker)
        self.people = People(self)

    # Time

    def database_clock(self) -> datetime:
        """The database's own clock, the true one."""
        skew = self.clock.current.process.skew if self.clock.current else 0.0
        return BEGINNING + timedelta(seconds=self.clock.now + skew)

    def since_beginning(self, at: datetime) -> float:
        """Seconds from the beginning of this world to then."""
        return (at - BEGINNING).total_seconds()

    def say(self, what: str) -> None:
        """One line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.clock.now:12.2f} {what}")

    def run(self) -> "World":
        """From the first request until nothing is left to happen."""
        self.people.settle_in()
        for n in range(self.random.choice([1, 1, 2])):
            self._start_relay(n)
        self.workers.start()
        self._bring_trouble()
        self.clock.at(HEALED, self._heal)
        for day in (1.0, 2.2, 4.0, 20.0):
            self.clock.at(day * DAY, self._reconcile)
        try:
            self.clock.run(HORIZON, MOST_STEPS)
            self.watch.at_the_end()
        finally:
            self.clock.end()
        return self

    # Trouble

    def _bring_trouble(self) -> None:
        draw = self.random
        if self.dead_broker:
            self.broker.away_until = 1e12
            self.faults.noted("broker_dead")
        for _ in range(draw.choice([0, 0, 1, 10])):
            self.clock.at(draw.random() * HEALED, self.helpdesk.look)
        for kind, lengths in OUTAGES.items():
            for _ in range(self.forced.get(kind, draw.choice([0, 0, 1, 3]))):
                self.clock.at(draw.random() ** 3 * DAY, self._outage, kind, draw.choice(lengths))

    def _outage(self, kind: str, seconds: float) -> None:
        until = min(self.clock.now + seconds, HEALED)
        self.say(f"{kind} for {seconds:g} s")
        if kind == "broker_forgets":
            self.broker.forget()
            self.workers.forget()
            self.seams.ring()
            return
        self.faults.noted(kind)
        if kind == "database_unavailable":
            self.seams.database_down_until = until
        elif kind == "broker_unavailable":
            self.broker.away_until = max(self.broker.away_until, until)
            self.clock.at(until, self.seams.ring)
        else:
            for provider in self.providers.values():
                provider.down_until = until

    def _heal(self) -> None:
        self.say("healed")
        self.faults.healed = True
        self.seams.ring()

    # Processes

    def context(self, process: Process) -> WorkerContext:
        """Tools for one process."""
        clock = self.clock

        def monotonic() -> float:
            if self.faults.happens("clock_jump"):
                process.offset += self.random.choice([-HOUR, -MINUTE, MINUTE, HOUR])
            return clock.now + process.offset

        adapters = {}
        for name, provider in self.providers.items():
            adapter = Adapter(provider, clock, BEGINNING, self.seams.seam)
            adapter.asked = self.watch.asked
            adapters[name] = cast("PaymentProvider", adapter)
        return WorkerContext(
            settings=self.settings,
            records=self.records,
            links=self._links,
            mail_transport=self.post,
            providers=adapters,
            call_pool=SeededHands(clock, process, lambda: self.random.random() * 0.01),
            rate_limiter=RateLimiter(None, monotonic=monotonic, sleep=clock.sleep),
            monotonic=monotonic,
        )

    def process(self, name: str) -> Process:
        """A new process, whose monotonic clock began somewhere."""
        process = Process(name, offset=self.random.choice([0.0, 1e5, 3e7]))
        if self.forced.get("skewed"):
            process.skew = self.random.choice([0.0, 0.0, -120.0, 120.0, 900.0])
        return process

    def _start_relay(self, number: int) -> None:
        process = self.process(f"relay {number}")
        relay = Relay(self.settings, self.records, cast("Any", App(self.broker)))
        relay.__dict__["_tools"] = self.context(process)
        stop = self.seams.stop(process)

        process.died = lambda: self.clock.later(self.random.uniform(1, 30), self._start_relay, number)
        self.clock.spawn(process, "relay", relay.run, stop)

    def _broke(self, task: Task, error: Exception) -> None:
        """A task that fails is logged; what it is about stays for the sweep. A relay that fails is started again."""
        self.say(f"{task.process.name} {task.what} broke: {error!r}")
        self.watch.broke(task, error)
        if task.what == "relay":
            self.clock.kill(task.process)

    def _reconcile(self) -> None:
        process = self.process("beat")
        context = self.context(process)
        self.clock.spawn(process, "reconcile", reconcile_all, context, timedelta(days=30))

    # Doors

    def web(self, do: Callable[..., object], *args: Any) -> None:
        self.clock.spawn(self.process("web"), do.__name__, do, *args)
