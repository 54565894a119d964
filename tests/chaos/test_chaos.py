"""Tests a short chaos run, a short race, and their helpers. `make chaos` and `python -m tests.chaos.race` run longer."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.chaos.customers import customers
from tests.chaos.kill_points import FUSES, POINTS, End, burnt, lay, undone
from tests.chaos.plan import KILLS, OTHER_FAULTS, plan
from tests.chaos.race import CONCURRENCY, race
from tests.chaos.run import RunOptions, run
from tests.chaos.timers import SHORTENED

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_whatever_dies_each_request_ends_once_and_nothing_is_paid_twice() -> None:
    reports: list[str] = []
    outcome = run(RunOptions(seconds=12, seed=7, requests=36, kills=5), reports.append)
    assert outcome.succeeded, outcome.figures()
    assert outcome.books.accepted >= 36
    assert outcome.fault_injector.kills > 0
    assert outcome.books.states["refunded"] > 0


@pytest.mark.slow
def test_a_purchase_that_is_asked_for_fifty_times_at_once_is_paid_once() -> None:
    result = race(rounds=4, seed=7)
    assert result.succeeded, result
    assert (result.requests, result.refunds, result.duplicates) == (4 * CONCURRENCY, 4, 4 * (CONCURRENCY - 1))


def test_the_same_seed_is_the_same_plan() -> None:
    one, other = plan(60, 20, Random(3)), plan(60, 20, Random(3))
    assert [(f.at, f.kind, f.rng.random()) for f in one] == [(f.at, f.kind, f.rng.random()) for f in other]
    assert sum(fault.kind in KILLS for fault in one) == sum(fault.kind in OTHER_FAULTS for fault in one) == 20
    planned = [customer.requests for customer in customers(50, 60, Random(3))]
    assert planned == [customer.requests for customer in customers(50, 60, Random(3))]


@pytest.fixture
def product(tmp_path: Path) -> dict[str, str]:
    """The environment variables that the product's modules need; no connection is made."""
    settings = {"DATABASE_URL": "postgresql://nobody@/nowhere", "BROKER_URL": "redis://nowhere", "SECRET_KEY": "s" * 32}
    named = {f"MONEYBACK_{name}": value for name, value in settings.items()}
    return {**os.environ, **named, FUSES: str(tmp_path / "worker1")}


def test_every_point_is_a_place_in_the_product(product: dict[str, str]) -> None:
    program = (
        "from tests.chaos.kill_points import POINTS, find, install, DIRECT, PRODUCERS\n"
        "from tests.chaos.launch import prepare\n"
        "prepare()\n"
        "for part in ('relay', *PRODUCERS): install(part)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=product, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(point.parts for point in POINTS.values())
    assert SHORTENED


@pytest.mark.parametrize(("end", "signalled"), [(End.CHILD, signal.SIGKILL), (End.WHOLE, signal.SIGKILL)])
def test_a_fuse_burns_once_at_its_pass(tmp_path: Path, end: End, signalled: signal.Signals) -> None:
    lay(tmp_path, "part", "a point", 3, end)
    program = "from tests.chaos.kill_points import passed\nfor n in range(9): print(n, flush=True); passed('a point')"
    env = {**os.environ, FUSES: str(tmp_path / "part")}
    command = [sys.executable, "-c", program]
    passes = [
        subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True)
        for _ in range(2)
    ]
    assert [done.returncode for done in passes] == [-signalled, 0]
    assert [len(done.stdout.split()) for done in passes] == [3, 9]
    assert list(burnt(tmp_path)) == [("part", "a point", end)]
    assert (list(burnt(tmp_path)), undone(tmp_path)) == ([], 0)
