"""Runs simulated worlds, one for each seed, and searches for mistakes that are planted in the product's code."""

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
INVALID_MISTAKE = re.compile(r"^BUG: .* ended with (TypeError|AttributeError|NameError)")
"""Matches a violation that proves nothing: the planted code raised an error, because it does not fit the product's code."""
FIRST_SEARCH_SEED = 1_000_000  # the first seed of the searches for mistakes; other worlds have lower seeds


@dataclass(slots=True)
class Outcome:
    """The outcome of one or more worlds."""

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
    """The seed of the world in which the mistake was found, or None."""
    detail: str = ""
    """The violation that shows the mistake, or the reason why the search ended without a result."""


@cache
def settings_and_links() -> tuple[Settings, Links]:
    """Return the settings and links of every world. Only the timer for confirmations is shorter than the default."""
    settings = Settings(
        database_url=SecretStr("postgresql://user@host/database"),
        broker_url=SecretStr("memory://"),
        secret_key=SecretStr("a secret key for simulated worlds only"),
        timers=Timers(confirmation_ttl_seconds=3 * DAY),
    )
    return settings, Links.of(settings)


def run_world(seed: int, *, traced: bool = False, **forced: Any) -> tuple[World, Outcome]:
    """Run the world of a seed to its end."""
    world = World(seed, *settings_and_links(), traced=traced, **forced)
    with patched(world), suppress(ViolatedError):
        world.run()
    violations = [(seed, sentence) for sentence in world.checker.violations]
    return world, Outcome(1, world.customers.requests, world.clock.steps, world.faults.counts, violations)


def fingerprint(seed: int) -> str:
    """Return a hash of the trace, the faults and the steps of a world."""
    world, outcome = run_world(seed, traced=True)
    assert world.trace is not None
    text = "\n".join([*world.trace, str(sorted(outcome.faults.items())), str(outcome.steps)])
    return hashlib.sha256(text.encode()).hexdigest()


def run_worlds(first: int, number: int) -> Outcome:
    """Run ``number`` worlds, starting with the seed ``first``."""
    total = Outcome()
    for seed in range(first, first + number):
        total.add(run_world(seed)[1])
    return total


def find_mistake(mistake: Mistake, max_worlds: int = MAX_WORLDS) -> SearchResult:
    """Plant a mistake, and run at most ``max_worlds`` worlds until the mistake is found."""
    for number in range(max_worlds):
        seed = FIRST_SEARCH_SEED + number
        with ExitStack() as planted:
            for create_patch in mistake.patches:
                planted.enter_context(create_patch())
            _, outcome = run_world(seed, rates=mistake.rates, **mistake.forced)
        if any(INVALID_MISTAKE.search(sentence) for _, sentence in outcome.violations):
            return SearchResult(
                mistake.name, number + 1, None, f"The planted code does not fit the product: {outcome.violations[0][1]}"
            )
        if outcome.violations and not _is_correct_without(mistake, seed):
            return SearchResult(
                mistake.name, number + 1, None, f"World {seed} also has a violation without the mistake."
            )
        if outcome.violations:
            return SearchResult(mistake.name, number + 1, seed, outcome.violations[0][1])
    return SearchResult(mistake.name, max_worlds)


def _is_correct_without(mistake: Mistake, seed: int) -> bool:
    """Run the same world without the mistake. Return True if it has no violation."""
    forced = {name: value for name, value in mistake.forced.items() if name != "skewed"}
    return not run_world(seed, rates=mistake.rates, **forced)[1].violations


def find_named_mistake(name: str) -> SearchResult:
    """Search for the mistake with this name. A search in another process gets the name, because a mistake cannot be pickled."""
    (mistake,) = (mistake for mistake in MISTAKES if mistake.name == name)
    return find_mistake(mistake)
