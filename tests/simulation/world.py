"""One world: a seed's sellers, purchases, customers and faults, around the product's own code."""

import random as shared_random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID

from config.links import Links
from config.settings import Settings
from domain.errors import UnreadableError
from domain.messages import LANES, Noticed
from domain.notices import Notice
from domain.providers import Failed, LooksUp, Paid, PaymentProvider, Pending
from tests.simulation.adapter import Adapter
from tests.simulation.broker import App, Broker, Helpdesk
from tests.simulation.clock import Clock, Killed, Process, SeededHands, Task
from tests.simulation.faults import DAY, HEALED, HOUR, MINUTE, OUTAGES, Faults
from tests.simulation.invariants import Watch
from tests.simulation.memory.records import MemoryRecords
from tests.simulation.people import People
from tests.simulation.post import SeededPost
from tests.simulation.provider import Provider
from tests.simulation.seams import WorldSeams
from worker import lanes as worker_lanes
from worker.pace import Pace
from worker.reconciling import reconcile_all
from worker.relay import Relay
from worker.tools import Tools

BEGINNING = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HORIZON = 120 * DAY
MOST_STEPS = 50_000  # a world that needs more goes round in circles


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
        self.dead_broker = forced.get("dead_broker", self.random.random() < 0.05)
        self.seams = WorldSeams(self)
        self.records = MemoryRecords(settings.timers, self.database_clock, self.seams)
        self.watch = Watch(self)
        self.providers = {
            name: Provider(name, self.clock, self.faults, self.webhook, **forced)
            for name in ("alpha", "beta")[: self.random.choice([1, 2])]
        }
        for provider in self.providers.values():
            provider.made = self.watch.refund_made
        self.longest_pause = min(provider.latest for provider in self.providers.values())
        self.post = SeededPost(self)
        self.broker = Broker(self.clock, self.faults, self._deliver, self.seams.die)
        self.helpdesk = Helpdesk(self.broker)
        self._backlog: list[tuple[str, Any]] = []
        self.workers: list[Process] = []
        self._old = {n for n in range(3) if self.random.random() < 0.15}
        self._deployed = self.random.random() * HOUR
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
        self.workers = [self._worker(n) for n in range(self.random.choice([1, 2, 3]))]
        self._bring_trouble()
        self.clock.at(self._deployed, self._deploy)
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
        for kind, lengths in OUTAGES.items():
            for _ in range(draw.choice([0, 0, 1, 3])):
                self.clock.at(draw.random() ** 3 * DAY, self._outage, kind, draw.choice(lengths))

    def _outage(self, kind: str, seconds: float) -> None:
        until = min(self.clock.now + seconds, HEALED)
        self.say(f"{kind} for {seconds:g} s")
        if kind == "broker_forgets":
            self.broker.forget()
            return
        self.faults.noted(kind)
        if kind == "database_down":
            self.seams.database_down_until = until
        elif kind == "broker_away":
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

    def tools(self, process: Process) -> Tools:
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
        return Tools(
            settings=self.settings,
            records=self.records,
            links=self._links,
            post=self.post,
            providers=adapters,
            hands=SeededHands(clock, process, lambda: self.random.random() * 0.01),
            pace=Pace(None, monotonic=monotonic, sleep=clock.sleep),
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
        relay.__dict__["_tools"] = self.tools(process)
        stop = self.seams.stop(process)

        process.died = lambda: self.clock.at(self.clock.now + self.random.uniform(1, 30), self._start_relay, number)
        self.clock.spawn(process, "relay", relay.run, stop)

    def _worker(self, number: int) -> Process:
        process = self.process(f"worker {number}")
        process.old = number in self._old and self.clock.now < self._deployed
        process.tools = self.tools(process)
        process.died = lambda: self.clock.at(self.clock.now + self.random.uniform(1, 20), self._restart, number)
        return process

    def _deliver(self, lane: str, payload: Any) -> None:
        if self.faults.happens("message_forged"):
            self.clock.at(self.clock.now + self.random.random() * HOUR, self._forge)
        self._backlog.append((lane, payload))
        self._feed()

    def _feed(self) -> None:
        free = [one for one in self.workers if one.alive and all(task.is_thread for task in one.tasks.values())]
        while self._backlog and free:
            process = free.pop(self.random.randrange(len(free)))
            lane, payload = self._backlog.pop(0)
            self.clock.spawn(process, lane, self._work, process, lane, payload)

    def _work(self, process: Process, lane: str, payload: Any) -> None:
        """As worker.tasks does it; and what Celery does around it."""
        kind = LANES[lane]
        try:
            if process.old and kind is Noticed:
                with self.records.work() as work:
                    work.dead.keep(lane, b"", "There is no task of this name here.")
                return
            try:
                ids = list(kind.read(payload).case_ids)
            except UnreadableError as error:
                with self.records.work() as work:
                    work.dead.keep(lane, b"", str(error))
                return
            self.say(f"{process.name} takes {lane} {len(ids)}")
            if process.old:
                worker_lanes.LANES[kind].do(process.tools, ids)
            else:
                worker_lanes.run(process.tools, kind, ids)
        finally:
            self.clock.at(self.clock.now, self._feed)

    def _restart(self, number: int) -> None:
        self.workers[number] = self._worker(number)
        self._feed()

    def _broke(self, task: Task, error: Exception) -> None:
        """A task that fails is logged; what it is about stays for the sweep. A relay that fails is started again."""
        self.say(f"{task.process.name} {task.what} broke: {error!r}")
        self.watch.broke(task, error)
        if task.what == "relay":
            self.clock.kill(task.process)

    def _deploy(self) -> None:
        """Workers of the version before end, and new ones start."""
        for process in self.workers:
            if process.old:
                self.faults.noted("old_worker")
                self.clock.kill(process)

    def _reconcile(self) -> None:
        process = self.process("beat")
        tools = self.tools(process)
        self.clock.spawn(process, "reconcile", reconcile_all, tools, timedelta(days=30))

    # Webhooks

    def webhook(self, provider: Provider, notice: Notice) -> None:
        draw, faults = self.random, self.faults
        if provider.capabilities.looks_up is LooksUp.BY_KEY and faults.happens("webhook_lies"):
            self._lie(provider, notice)
        if faults.happens("webhook_lost"):
            return
        for _ in range(1 + (draw.choice([1, 3]) if faults.happens("webhook_repeated") else 0)):
            late = draw.choice([MINUTE, HOUR, 12 * HOUR]) if faults.happens("webhook_late") else 2.0
            self.clock.at(self.clock.now + draw.random() * late, self.web, self._hear, provider, notice, 0)

    def _lie(self, provider: Provider, notice: Notice) -> None:
        """Somebody who has the secret says what is not so, of a provider that can be asked."""
        if isinstance(notice.said, Paid | Pending | Failed) and notice.refund_id in provider.refunds:
            money = provider.refunds[notice.refund_id].amount
            lie: Paid | Failed
            lie = Paid(notice.refund_id, money) if self.random.random() < 0.5 else Failed(notice.refund_id, "lie")
            said = replace(notice, event=f"{notice.event} lie {self.random.random()}", said=lie)
            self.clock.at(self.clock.now + self.random.random() * HOUR, self.web, self._hear, provider, said, 20)

    def _forge(self) -> None:
        """A message that nobody sent: cases of ours, or of nobody, in any lane."""
        cases = [*self.records.tables.cases, UUID(int=7)]
        lane = self.random.choice(list(LANES))
        self._deliver(lane, {"case_ids": [str(self.random.choice(cases))], "version": self.random.choice([1, 1, 1, 2])})

    def _hear(self, provider: Provider, notice: Notice, tries: int) -> None:
        """The door for webhooks: kept, or the provider sends it again."""
        try:
            with self.records.work() as work:
                work.notices.keep(provider.name, [notice], b"")
        except (*self.seams.database_errors, Killed):
            if tries < 20:
                self.clock.at(
                    self.clock.now + MINUTE * 2 ** min(tries, 7), self.web, self._hear, provider, notice, tries + 1
                )
            raise
        self.watch.told(provider, notice)

    def web(self, do: Callable[..., object], *args: Any) -> None:
        self.clock.spawn(self.process("web"), do.__name__, do, *args)
