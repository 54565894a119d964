"""`python -m tests.chaos --recovery`: how long the product takes to recover, with the timers that it has by default.

Each figure is the time from the fault to the last of its refunds, made meanwhile and asked for at the fault, being recorded.
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
from tests.chaos.customers import Customer, customers, furnish
from tests.chaos.kill_points import End, burnt, lay, undone
from tests.chaos.processes import WORKERS, Parts, running
from tests.chaos.run import Tell

GLANCE = 0.05  # seconds
PATIENCE = 60.0  # seconds beyond an aim after which a recovery is given up on

KILLED_AT = ("delivery counted", "prepared, not sent", "sent, not recorded")


class Recovered(NamedTuple):
    """One figure beside its aim."""

    fault: str
    seconds: float
    aim: float

    @property
    def well(self) -> bool:
        return self.seconds <= self.aim


class Scene:
    """The parts, and customers of whom one after the other asks."""

    def __init__(self, parts: Parts, everybody: list[Customer]) -> None:
        self.parts = parts
        self._everybody = iter(everybody)

    def ask(self, number: int = 1) -> list[UUID]:
        """So many of them ask now, signed in at their seller's."""
        arrivals = [
            submission(c.request, Channel.API, seller=c.purchase.seller, trusted=True)
            for c, _ in zip(self._everybody, range(number), strict=False)
        ]
        return [accepted.id for accepted in accept(self.parts.records, arrivals)]

    def refunded(self, cases: list[UUID]) -> bool:
        with self.parts.records.work() as work:
            return all(view.state == "refunded" for view in work.case_views.get_many(cases).values())

    def wait(self, fact: Callable[[], object], seconds: float) -> float:
        """Seconds until it is so; infinity where it is not within so many."""
        began = time.monotonic()
        while not fact():
            if time.monotonic() - began > seconds:
                return float("inf")
            time.sleep(GLANCE)
        return time.monotonic() - began


def recover(tell: Tell) -> list[Recovered]:
    """Measure every recovery, one after the other."""
    everybody = [c for c in customers(400, 0, Random(1)) if c.purchase.charge.startswith("ok_")]
    found: list[Recovered] = []
    timers = {f"MONEYBACK_{name.upper()}": str(value) for name, value in Timers().model_dump().items()}
    with running(timers, ("--uncapped",)) as parts:
        furnish(parts.records, everybody)
        scene = Scene(parts, everybody)
        warm = scene.ask(3)
        assert scene.wait(lambda: scene.refunded(warm), 60) < PATIENCE, "Nothing is refunded even without a fault."
        for fault, aim, strike in MEASURES:
            tell(f"{fault} (aim {aim:g} s)")
            with strike(scene) as cases:
                seconds = scene.wait(partial(scene.refunded, cases), aim + PATIENCE)
            found.append(Recovered(fault, round(seconds, 1), aim))
            tell(f"… refunded after {seconds:.1f} s")
    return found


@contextmanager
def _killed(point: str, scene: Scene) -> Iterator[list[UUID]]:
    """Whichever worker takes it dies there, with all its processes."""
    for name in WORKERS:
        lay(scene.parts.fuses, name, point, 1, End.WHOLE)
    cases = scene.ask()
    assert scene.wait(lambda: list(burnt(scene.parts.fuses)), 60) < PATIENCE, f"Nobody came to “{point}”."
    undone(scene.parts.fuses)
    yield cases


@contextmanager
def _emptied(scene: Scene) -> Iterator[list[UUID]]:
    """Messages of twenty requests are in the broker, and nobody has taken them, when it forgets everything."""
    for name in WORKERS:
        scene.parts.signal(name, signal.SIGSTOP)
    cases = [case for _ in range(20) for case in scene.ask()]
    assert scene.wait(lambda: not _outbox(scene), 30) < PATIENCE, "The relay does not publish."
    scene.parts.broker.flushall()
    for name in WORKERS:
        scene.parts.signal(name, signal.SIGCONT)
    yield cases


@contextmanager
def _half_open(scene: Scene) -> Iterator[list[UUID]]:
    """Every connection of the workers and the relay to the broker stays open and is dead; new ones are not."""
    scene.parts.ways["broker"].freeze()
    yield scene.ask()
    scene.parts.ways["broker"].thaw()


@contextmanager
def _gone(scene: Scene) -> Iterator[list[UUID]]:
    """The broker is gone, and does not come back before everything is refunded."""
    pid = scene.parts.servers.valkey.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    yield scene.ask(5)
    scene.parts.servers.valkey.start()


def _outbox(scene: Scene) -> int:
    with scene.parts.records.work() as work:
        return sum(count for count, _ in work.outbox.backlog().values())


Strike = Callable[[Scene], AbstractContextManager[list[UUID]]]

MEASURES: tuple[tuple[str, float, Strike], ...] = (
    *((f"a worker killed: {point}", 120.0, partial(_killed, point)) for point in KILLED_AT),
    ("the broker forgets everything", 30.0, _emptied),
    ("connections to the broker are half open", 15.0, _half_open),
    ("the broker is gone: direct mode", 70.0, _gone),
)
