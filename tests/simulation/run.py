"""Running worlds: one by its seed, many side by side, and hunts for planted mistakes."""

import hashlib
import re
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import SecretStr

from config.settings import Settings, Timers
from config.signed_links import Links
from tests.simulation.faults import DAY
from tests.simulation.invariants import ViolatedError
from tests.simulation.patches import patched
from tests.simulation.planted_mistakes import MISTAKES, Mistake
from tests.simulation.scenario import World

MOST_WORLDS = 1_500  # in which one planted mistake is hunted
MISFIT = re.compile(r"^BUG: .* ended with (TypeError|AttributeError|NameError)")
"""A planted function that the product cannot call proves nothing."""
HUNTS_BEGIN = 1_000_000  # their seeds are not those of the campaign


@dataclass(slots=True)
class Outcome:
    """What one world, or many, came to."""

    worlds: int = 0
    requests: int = 0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Both together."""
        self.worlds += other.worlds
        self.requests += other.requests
        self.steps += other.steps
        self.faults += other.faults
        self.violations += other.violations


@dataclass(frozen=True, slots=True)
class Hunted:
    """How a planted mistake was found, if it was."""

    name: str
    worlds: int
    seed: int | None = None
    how: str = ""


@cache
def wiring() -> tuple[Settings, Links]:
    """The settings of every world: the product's own timers, with less patience for customers who never confirm."""
    settings = Settings(
        database_url=SecretStr("postgresql://nobody@nowhere/none"),
        broker_url=SecretStr("memory://"),
        secret_key=SecretStr("only for worlds that end in a moment"),
        timers=Timers(confirmation_ttl_seconds=3 * DAY),
    )
    return settings, Links.of(settings)


def world_of(seed: int, *, traced: bool = False, **forced: Any) -> tuple[World, Outcome]:
    """Runs the world of this seed to its end."""
    world = World(seed, *wiring(), traced=traced, **forced)
    with patched(world), suppress(ViolatedError):
        world.run()
    found = [(seed, sentence) for sentence in world.watch.violations]
    return world, Outcome(1, world.people.requests, world.clock.steps, world.faults.counts, found)


def fingerprint(seed: int) -> str:
    """All that happened in a world, in a few characters."""
    world, outcome = world_of(seed, traced=True)
    assert world.trace is not None
    told = "\n".join([*world.trace, str(sorted(outcome.faults.items())), str(outcome.steps)])
    return hashlib.sha256(told.encode()).hexdigest()


def worlds(first: int, number: int) -> Outcome:
    """The worlds of so many seeds."""
    together = Outcome()
    for seed in range(first, first + number):
        together.add(world_of(seed)[1])
    return together


def hunt(mistake: Mistake, most: int = MOST_WORLDS) -> Hunted:
    """Plants a mistake, and runs worlds until it is found."""
    for number in range(most):
        seed = HUNTS_BEGIN + number
        with ExitStack() as planted:
            for plant in mistake.plants:
                planted.enter_context(plant())
            _, outcome = world_of(seed, rates=mistake.rates, **mistake.forced)
        if any(MISFIT.search(sentence) for _, sentence in outcome.violations):
            return Hunted(mistake.name, number + 1, None, f"It does not fit the product: {outcome.violations[0][1]}")
        if outcome.violations and not _sound(seed, mistake):
            return Hunted(mistake.name, number + 1, None, f"World {seed} is violated without the mistake as well.")
        if outcome.violations:
            return Hunted(mistake.name, number + 1, seed, outcome.violations[0][1])
    return Hunted(mistake.name, most)


def _sound(seed: int, mistake: Mistake) -> bool:
    """Whether the same world holds when nothing is planted: else it is not the mistake that was found."""
    forced = {name: value for name, value in mistake.forced.items() if name != "skewed"}
    return not world_of(seed, rates=mistake.rates, **forced)[1].violations


def hunt_named(name: str) -> Hunted:
    """As hunt(), by a name that travels between processes."""
    (mistake,) = (one for one in MISTAKES if one.name == name)
    return hunt(mistake)
