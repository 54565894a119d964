"""Runs worlds by their seeds, and searches for planted mistakes."""

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

MAX_WORLDS = 1_500  # the search for one planted mistake ends after this number of worlds
MISFIT = re.compile(r"^BUG: .* ended with (TypeError|AttributeError|NameError)")
"""The error of a planted function that does not fit the product, which proves nothing."""
FIRST_SEARCH_SEED = 1_000_000  # the first seed of the searches; the campaign uses lower seeds


@dataclass(slots=True)
class Outcome:
    """The outcome of one world or of many."""

    worlds: int = 0
    requests: int = 0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Add another outcome to this one."""
        self.worlds += other.worlds
        self.requests += other.requests
        self.steps += other.steps
        self.faults += other.faults
        self.violations += other.violations


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of the search for a planted mistake."""

    name: str
    worlds: int
    seed: int | None = None
    how: str = ""


@cache
def wiring() -> tuple[Settings, Links]:
    """Return the settings and links of every world: the default timers, except for a shorter confirmation time."""
    settings = Settings(
        database_url=SecretStr("postgresql://nobody@nowhere/none"),
        broker_url=SecretStr("memory://"),
        secret_key=SecretStr("only for worlds that end in a moment"),
        timers=Timers(confirmation_ttl_seconds=3 * DAY),
    )
    return settings, Links.of(settings)


def world_of(seed: int, *, traced: bool = False, **forced: Any) -> tuple[World, Outcome]:
    """Run the world of a seed to its end."""
    world = World(seed, *wiring(), traced=traced, **forced)
    with patched(world), suppress(ViolatedError):
        world.run()
    found = [(seed, sentence) for sentence in world.checker.violations]
    return world, Outcome(1, world.customers.requests, world.clock.steps, world.faults.counts, found)


def fingerprint(seed: int) -> str:
    """Return a hash of everything that happened in a world."""
    world, outcome = world_of(seed, traced=True)
    assert world.trace is not None
    told = "\n".join([*world.trace, str(sorted(outcome.faults.items())), str(outcome.steps)])
    return hashlib.sha256(told.encode()).hexdigest()


def worlds(first: int, number: int) -> Outcome:
    """Run ``number`` worlds, starting with the seed ``first``."""
    total = Outcome()
    for seed in range(first, first + number):
        total.add(world_of(seed)[1])
    return total


def find_mistake(mistake: Mistake, most: int = MAX_WORLDS) -> SearchResult:
    """Plant a mistake, and run worlds until it is found."""
    for number in range(most):
        seed = FIRST_SEARCH_SEED + number
        with ExitStack() as planted:
            for plant in mistake.plants:
                planted.enter_context(plant())
            _, outcome = world_of(seed, rates=mistake.rates, **mistake.forced)
        if any(MISFIT.search(sentence) for _, sentence in outcome.violations):
            return SearchResult(
                mistake.name, number + 1, None, f"It does not fit the product: {outcome.violations[0][1]}"
            )
        if outcome.violations and not _sound(seed, mistake):
            return SearchResult(
                mistake.name, number + 1, None, f"World {seed} has a violation without the mistake, too."
            )
        if outcome.violations:
            return SearchResult(mistake.name, number + 1, seed, outcome.violations[0][1])
    return SearchResult(mistake.name, most)


def _sound(seed: int, mistake: Mistake) -> bool:
    """Return whether the same world has no violation without the mistake."""
    forced = {name: value for name, value in mistake.forced.items() if name != "skewed"}
    return not world_of(seed, rates=mistake.rates, **forced)[1].violations


def find_named_mistake(name: str) -> SearchResult:
    """Search for the mistake with this name. Names can be sent between processes."""
    (mistake,) = (one for one in MISTAKES if one.name == name)
    return find_mistake(mistake)
