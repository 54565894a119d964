"""Carries out one chaos run: requests and faults, then the drain (a wait until no work remains), then the final checks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from domain.states import WORKER_STATES
from records import DatabaseDownError
from tests.chaos import provider
from tests.chaos.customers import customers, seed_records
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.final_checks import CheckResult, Clients, check_records, pending_work
from tests.chaos.load import Load
from tests.chaos.plan import plan
from tests.chaos.processes import Installation, running
from tests.chaos.timers import CASES_PER_SECOND, DRAIN_LIMIT, RESTART, SANDBOX, SHORTENED, TIMERS, environment
from tests.sample_data import charge_of
from worker.context import create_context
from worker.reconciliation.run import reconcile

POLL_INTERVAL = 0.05  # seconds
IDLE_TIME = 2.0  # seconds; if no work remains for this time, the run counts as drained
FLAKY = 0.03  # probability of a fault in each call to the provider

Report = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """The options of a run."""

    seconds: float
    seed: int
    requests: int
    kills: int


@dataclass
class Outcome:
    """The result of a run."""

    options: RunOptions
    checks: CheckResult
    fault_injector: FaultInjector
    untriggered: int
    """The number of planned faults that were prepared but never happened."""
    drain_seconds: float
    """The seconds from the last fault until no work remained."""
    drain_limit: float
    """The upper limit for ``drain_seconds``. The more cases are open, the higher is the limit."""
    unfinished: str
    """A text that describes the work that remained after the time limit. The text is empty if no work remained."""
    summary: dict[str, Any]
    retries: int
    """The number of requests that got no response and were sent again."""
    republished: int
    """The number of messages that were published again, because no case was created from them in time."""

    @property
    def succeeded(self) -> bool:
        return self.checks.passed and not self.unfinished and not self.summary["duplicates"]

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run, with values that JSON allows."""
        checks, times = self.checks, self.checks.processing_seconds
        return {
            "ok": self.succeeded,
            "seed": self.options.seed,
            "seconds": self.options.seconds,
            "accepted": checks.accepted,
            "ended": checks.ended,
            "waiting_for_support": checks.waiting_for_support,
            "waiting_for_customer": checks.waiting_for_customer,
            "refunded": checks.states["refunded"],
            "provider_refunds": checks.provider_refunds,
            "double_payments": checks.double_payments,
            "lost": checks.lost,
            "kills": self.fault_injector.kills,
            "faults": dict(sorted(self.fault_injector.faults.items())),
            "points": dict(sorted(self.fault_injector.points.items())),
            "missed": self.fault_injector.missed + self.untriggered,
            "processing_seconds": {
                "p50": round(times[len(times) // 2], 2) if times else 0.0,
                "p99": round(times[int(len(times) * 0.99)], 2) if times else 0.0,
                "max": round(times[-1], 2) if times else 0.0,
            },
            "drain_seconds": round(self.drain_seconds, 1),
            "drain_limit": round(self.drain_limit, 1),
            "unfinished": self.unfinished,
            "states": dict(sorted(checks.states.items())),
            "emails": checks.emails,
            "tasks": checks.tasks,
            "repeated_tasks": checks.repeated_tasks,
            "lost_tasks": checks.lost_tasks,
            "dead_messages": checks.dead,
            "client_retries": self.retries,
            "republished": self.republished,
            "provider": self.summary,
            "wrong": checks.errors[:50],
            "timers": TIMERS,
            "shortened": {name: str(value) for name, value in (SHORTENED | RESTART).items()},
        }


class RunFailedError(AssertionError):
    """A final check failed, or work remained after the time limit."""

    def __init__(self, outcome: Outcome, directory: str) -> None:
        super().__init__(
            "\n".join([f"The data and the logs are in {directory}.", outcome.unfinished, *outcome.checks.errors[:20]])
        )
        self.outcome = outcome
        self.directory = directory


def run(options: RunOptions, report: Report) -> Outcome:
    """Run the requests and the faults, and return the result.

    Raises RunFailedError if a check fails or work remains. In both cases, the data directory and its logs are not deleted.
    """
    rng = Random(options.seed)
    all_customers = list(customers(options.requests, options.seconds * 0.9, rng))
    faults = plan(options.seconds, options.kills, rng)
    sandbox_options = (f"--flaky={FLAKY}", f"--seed={options.seed}", "--uncapped")
    times = tuple(f"--{name}={value}" for name, value in SANDBOX.items())
    with running(environment(), (*sandbox_options, *times)) as installation:
        keys = seed_records(installation.records, all_customers)
        charges = [charge_of(customer.purchase) for customer in all_customers]
        with Load(installation.settings, installation.records, keys, all_customers) as load:
            fault_injector = FaultInjector(installation, faults, charges)
            _run_faults(options, fault_injector, load, report)
            untriggered = fault_injector.end()
            outcome = _drain(options, installation, fault_injector, load, untriggered, report)
        if not outcome.succeeded:
            raise RunFailedError(outcome, str(installation.data_dir.path))
    return outcome


def _run_faults(options: RunOptions, fault_injector: FaultInjector, load: Load, report: Report) -> None:
    began = reported_at = time.monotonic()
    while not fault_injector.done or time.monotonic() - began < options.seconds:
        fault_injector.run_due()
        if time.monotonic() - reported_at > 2:
            reported_at = time.monotonic()
            faults = fault_injector.faults.total()
            report(
                f"{reported_at - began:4.0f} s: {len(load.accepted)} accepted, {faults} faults, {fault_injector.kills} kills"
            )
        time.sleep(POLL_INTERVAL)


def _drain(
    options: RunOptions,
    installation: Installation,
    fault_injector: FaultInjector,
    load: Load,
    untriggered: int,
    report: Report,
) -> Outcome:
    began = time.monotonic()
    limit = DRAIN_LIMIT + _count_open_cases(installation) / CASES_PER_SECOND
    unfinished = wait_until_idle(installation, load, limit, report)
    drain_seconds = time.monotonic() - began - IDLE_TIME
    if not unfinished:
        # In the product, Celery beat starts the reconciliation daily. It finds late failures whose webhook was lost.
        reconcile_provider(installation)
        unfinished = wait_until_idle(installation, load, DRAIN_LIMIT, report)
    return Outcome(
        options=options,
        checks=check_records(installation, load, fault_injector.flushed_tasks),
        fault_injector=fault_injector,
        untriggered=untriggered,
        drain_seconds=drain_seconds,
        drain_limit=limit,
        unfinished=unfinished,
        summary=provider.call(installation.provider_socket, "GET", "/v1/summary"),
        retries=load.retries,
        republished=load.republished,
    )


def wait_until_idle(
    installation: Installation, clients: Clients, seconds: float, report: Report = lambda _: None
) -> str:
    """Wait until there is no work for IDLE_TIME seconds without a break. Then return an empty text.

    If this does not happen within ``seconds``, return a text that describes the remaining work.
    """
    began = idle_since = reported_at = time.monotonic()
    while True:
        installation.servers.revive()
        remaining = pending_work(installation, clients)
        now = time.monotonic()
        if remaining:
            idle_since = now
        if now - idle_since >= IDLE_TIME:
            return ""
        if now - began > seconds:
            return remaining
        if remaining and now - reported_at > 2:
            reported_at = now
            report(f"remaining: {remaining}")
        time.sleep(POLL_INTERVAL * 5)


def _count_open_cases(installation: Installation) -> int:
    """Wait until the database is available, and return the number of cases that workers must still process."""
    while True:
        installation.servers.revive()
        try:
            with installation.records.work() as work:
                states = work.case_views.counts()
        except DatabaseDownError:
            time.sleep(POLL_INTERVAL)
        else:
            return sum(states.get(state, 0) for state in WORKER_STATES)


def reconcile_provider(installation: Installation) -> None:
    """Compare the provider's refunds with the records, as Celery beat does daily."""
    context = create_context(
        installation.settings.model_copy(update={"sandbox_url": installation.env["MONEYBACK_SANDBOX_URL"]})
    )
    with context.records.work() as work:
        since = work.now - timedelta(days=2)
    result = reconcile(context, "sandbox", since)
    assert not result.incomplete, result.incomplete
    context.call_pool.close()
    context.records.engine.dispose()
