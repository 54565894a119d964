"""Runs simulated worlds: 50 in `make test`, 400 in `make test-slow`, and more with `make simulate`.

A seed determines all events of a world. A planted mistake removes a safeguard from Moneyback's code on purpose, and the
simulation must find the mistake.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted_mistakes import MISTAKES, Mistake
from tests.simulation.run import find_mistake, fingerprint, run_worlds

ROOT = Path(__file__).parents[2]
FAST_SEARCHES = 2  # the first two planted mistakes are found in a few worlds, so their tests are not slow


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(50, 400, 50))])
def test_no_invariant_is_violated(first: int) -> None:
    outcome = run_worlds(first, 50)
    assert outcome.requests > 200
    assert outcome.violations == []


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(mistake, marks=[pytest.mark.slow] if number >= FAST_SEARCHES else [])
        for number, mistake in enumerate(MISTAKES)
    ],
    ids=lambda mistake: mistake.name,
)
def test_a_planted_mistake_is_found(mistake: Mistake) -> None:
    result = find_mistake(mistake)
    assert result.seed is not None, result.detail


def test_a_seed_determines_a_world() -> None:
    assert fingerprint(11) == fingerprint(11) != fingerprint(12)


@pytest.mark.parametrize("hash_seed", ["0", *(pytest.param(seed, marks=pytest.mark.slow) for seed in ("1", "4711"))])
def test_a_world_is_the_same_in_every_process(hash_seed: str) -> None:
    program = "from tests.simulation.run import fingerprint; print(*map(fingerprint, range(5)))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert result.stdout.split() == [fingerprint(seed) for seed in range(5)]
