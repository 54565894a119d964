"""Tests a short chaos run, a short race of concurrent requests, and their helpers.

Longer runs are started with `make chaos` and `python -m tests.chaos.race`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.chaos.customers import customers
from tests.chaos.kill_points import ARMED_POINTS, POINTS, Action, arm, disarm_all, take_triggered
from tests.chaos.plan import KILLS, OTHER_FAULTS, plan
from tests.chaos.race import CONCURRENCY, race
from tests.chaos.run import RunOptions, run
from tests.chaos.timers import SHORTENED_FOR

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_with_faults_each_request_ends_once_and_nothing_is_paid_twice() -> None:
    reports: list[str] = []
    outcome = run(RunOptions(seconds=12, seed=7, requests=36, kills=5), reports.append)
    assert outcome.succeeded, outcome.figures()
    assert outcome.checks.accepted >= 36
    assert outcome.fault_injector.kills > 0
    assert outcome.checks.states["refunded"] > 0


@pytest.mark.slow
def test_fifty_concurrent_requests_for_one_purchase_pay_once() -> None:
    result = race(rounds=4, seed=7)
    assert result.succeeded, result
    assert (result.requests, result.refunds, result.duplicates) == (4 * CONCURRENCY, 4, 4 * (CONCURRENCY - 1))


def test_the_same_seed_gives_the_same_plan() -> None:
    faults, repeated = plan(60, 20, Random(3)), plan(60, 20, Random(3))
    assert [(f.at, f.kind, f.rng.random()) for f in faults] == [(f.at, f.kind, f.rng.random()) for f in repeated]
    assert sum(fault.kind in KILLS for fault in faults) == sum(fault.kind in OTHER_FAULTS for fault in faults) == 20
    planned = [customer.requests for customer in customers(50, 60, Random(3))]
    assert planned == [customer.requests for customer in customers(50, 60, Random(3))]


@pytest.fixture
def product_env(tmp_path: Path) -> dict[str, str]:
    """Return the environment variables that the product's modules need. The database and the broker in the URLs do not exist."""
    settings = {"DATABASE_URL": "postgresql://user@/test", "BROKER_URL": "redis://broker", "SECRET_KEY": "s" * 32}
    variables = {f"MONEYBACK_{name}": value for name, value in settings.items()}
    return {**os.environ, **variables, ARMED_POINTS: str(tmp_path / "worker1")}


@pytest.mark.parametrize("service", ["worker1", "desk"])
def test_every_kill_point_exists_in_the_product(product_env: dict[str, str], tmp_path: Path, service: str) -> None:
    program = (
        "from tests.chaos.kill_points import PRODUCERS, install\n"
        "from tests.chaos.launch import prepare\n"
        "prepare()\n"
        "for service in ('relay', 'desk', *PRODUCERS): install(service)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=product_env | {ARMED_POINTS: str(tmp_path / service)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(point.services for point in POINTS.values())
    assert SHORTENED_FOR[service]


@pytest.mark.parametrize("action", [Action.KILL_PROCESS, Action.KILL_SERVICE])
def test_a_kill_point_is_triggered_once_at_the_end_of_its_countdown(tmp_path: Path, action: Action) -> None:
    arm(tmp_path, "service", "a point", 3, action)
    program = "from tests.chaos.kill_points import reach\nfor n in range(9): print(n, flush=True); reach('a point')"
    env = {**os.environ, ARMED_POINTS: str(tmp_path / "service")}
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True)
        for _ in range(2)
    ]
    assert [process.returncode for process in processes] == [-signal.SIGKILL, 0]
    assert [len(process.stdout.split()) for process in processes] == [3, 9]
    assert list(take_triggered(tmp_path)) == [("service", "a point", action)]
    assert (list(take_triggered(tmp_path)), disarm_all(tmp_path)) == ([], 0)
