"""`python -m tests.chaos --recovery`: measures recovery times with the default timers of the product.

A recovery time begins with the fault. It ends when the refunds that the fault delayed are recorded.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from random import Random
from typing import NamedTuple
from uuid import UUID

from config.settings import Timers
from domain.requests import Channel
from producers.intake import accept, submission
from tests.chaos.customers import Customer, customers, seed_records
from tests.chaos.kill_points import Action, arm, disarm_all, take_triggered
from tests.chaos.processes import WORKERS, Installation, running
from tests.chaos.run import Report
from tests.sample_data import charge_of

POLL_INTERVAL = 0.05  # seconds
EXTRA_TIME = 60.0  # seconds. If the target is exceeded by more than this time, the measurement ends without a result

KILLED_AT = ("delivery counted", "prepared, not sent", "sent, not recorded")


class Recovery(NamedTuple):
    """One recovery time and its target."""

    fault: str
    seconds: float
    target: float

    @property
    def succeeded(self) -> bool:
        return self.seconds <= self.target


class RecoveryRun:
    """An installation, and customers who send their requests one after the other."""

    def __init__(self, installation: Installation, all_customers: list[Customer]) -> None:
        self.installation = installation
        self._customers = iter(all_customers)

    def send(self, number: int = 1) -> list[UUID]:
        """Send the requests of the next ``number`` customers, who are signed in. Return the case ids."""
        submissions = [
            submission(c.request, Channel.API, seller=c.purchase.seller_id, trusted=True)
            for c, _ in zip(self._customers, range(number), strict=False)
        ]
        return [accepted.id for accepted in accept(self.installation.records, submissions)]

    def are_refunded(self, cases: list[UUID]) -> bool:
        with self.installation.records.work() as work:
            return all(view.state == "refunded" for view in work.case_views.get_many(cases).values())

    def wait(self, condition: Callable[[], object], seconds: float) -> float:
        """Return the seconds until ``condition`` is true, or infinity if it does not become true within ``seconds``."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                return float("inf")
            time.sleep(POLL_INTERVAL)
        return time.monotonic() - began


def recover(report: Report) -> list[Recovery]:
    """Measure every recovery time, one after the other."""
    all_customers = [c for c in customers(400, 0, Random(1)) if charge_of(c.purchase).startswith("ok_")]
    recoveries: list[Recovery] = []
    timers = {f"MONEYBACK_{name.upper()}": str(value) for name, value in Timers().model_dump().items()}
    with running(timers, ("--uncapped",)) as installation:
        seed_records(installation.records, all_customers)
        run = RecoveryRun(installation, all_customers)
        warm_up_cases = run.send(3)
        assert run.wait(lambda: run.are_refunded(warm_up_cases), 60) < EXTRA_TIME, (
            "The requests before the first fault were not refunded."
        )
        for fault, target, inject in RECOVERIES:
            report(f"{fault} (target {target:g} s)")
            with inject(run) as cases:
                seconds = run.wait(partial(run.are_refunded, cases), target + EXTRA_TIME)
            recoveries.append(Recovery(fault, round(seconds, 1), target))
            report(f"… refunded after {seconds:.1f} s")
    return recoveries


@contextmanager
def _kill_worker(point: str, run: RecoveryRun) -> Iterator[list[UUID]]:
    """Kill the first worker that reaches the kill point, with all processes of this worker."""
    for name in WORKERS:
        arm(run.installation.armed_points, name, point, 1, Action.KILL_SERVICE)
    cases = run.send()
    assert run.wait(lambda: list(take_triggered(run.installation.armed_points)), 60) < EXTRA_TIME, (
        f"No worker reached the kill point “{point}”."
    )
    disarm_all(run.installation.armed_points)
    yield cases


@contextmanager
def _empty_broker(run: RecoveryRun) -> Iterator[list[UUID]]:
    """Empty the broker while its queues contain the messages of twenty requests."""
    for name in WORKERS:
        run.installation.signal(name, signal.SIGSTOP)
    cases = [case for _ in range(20) for case in run.send()]
    assert run.wait(lambda: not _count_outbox(run), 30) < EXTRA_TIME, (
        "The relay has not published the messages of the outbox."
    )
    run.installation.broker.flushall()
    for name in WORKERS:
        run.installation.signal(name, signal.SIGCONT)
    yield cases


@contextmanager
def _freeze_connections(run: RecoveryRun) -> Iterator[list[UUID]]:
    """Make all connections of the workers and the relay to the broker half-open. New connections work."""
    run.installation.proxies["broker"].freeze()
    yield run.send()
    run.installation.proxies["broker"].thaw()


@contextmanager
def _stop_broker(run: RecoveryRun) -> Iterator[list[UUID]]:
    """Kill the broker, and start it only after every request is refunded."""
    pid = run.installation.servers.valkey.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    yield run.send(5)
    run.installation.servers.valkey.start()


def _count_outbox(run: RecoveryRun) -> int:
    with run.installation.records.work() as work:
        return sum(count for count, _ in work.outbox.backlog().values())


FaultAction = Callable[[RecoveryRun], AbstractContextManager[list[UUID]]]

RECOVERIES: tuple[tuple[str, float, FaultAction], ...] = (
    *((f"a worker killed: {point}", 120.0, partial(_kill_worker, point)) for point in KILLED_AT),
    ("the broker loses its data", 30.0, _empty_broker),
    ("connections to the broker are half open", 15.0, _freeze_connections),
    ("the broker is down: brokerless mode", 70.0, _stop_broker),
)
