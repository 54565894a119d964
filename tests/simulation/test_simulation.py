"""Runs the simulation: a few worlds in `make test`, some hundreds in `make test-slow`, more with `make simulate`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted_mistakes import MISTAKES, Mistake
from tests.simulation.run import find_mistake, fingerprint, worlds

ROOT = Path(__file__).parents[2]
SOON_FOUND = 2  # planted mistakes that the simulation finds in a few worlds


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(50, 400, 50))])
def test_everything_holds_whatever_goes_wrong(first: int) -> None:
    outcome = worlds(first, 50)
    assert outcome.requests > 200
    assert outcome.violations == []


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(mistake, marks=[pytest.mark.slow] if number >= SOON_FOUND else [])
        for number, mistake in enumerate(MISTAKES)
    ],
    ids=lambda mistake: mistake.name,
)
def test_a_planted_mistake_is_found(mistake: Mistake) -> None:
    results = find_mistake(mistake)
    assert results.seed is not None, results.how


def test_a_seed_is_a_world() -> None:
    assert fingerprint(11) == fingerprint(11) != fingerprint(12)


@pytest.mark.parametrize("hash_seed", ["0", *(pytest.param(seed, marks=pytest.mark.slow) for seed in ("1", "4711"))])
def test_a_world_is_the_same_in_every_process(hash_seed: str) -> None:
    program = "from tests.simulation.run import fingerprint; print(*map(fingerprint, range(5)))"
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert told.stdout.split() == [fingerprint(seed) for seed in range(5)]
