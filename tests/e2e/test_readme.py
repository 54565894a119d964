"""Runs the commands of README.md. `NOT_RUN` contains the commands that these tests do not run, each with the reason."""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from tests import fork_server
from tests.e2e._readme import README, ROOT, blocks, section
from tests.sample_data import a_recent_purchase, charge_of
from tests.services import environment, eventually, only_stack

BLOCKS = blocks(README)
COMMANDS = [command for block in BLOCKS for command in block]
SET_UP = BLOCKS[-1]
STRIPE = {command for block in blocks(section("Your own Stripe test refund")) for command in block}
NOT_RUN = {
    "make setup": "the tests run in the virtual environment that this command creates",
    "OWNER_PASSWORD='…' APP_PASSWORD='…' psql --no-psqlrc --file=console/servers/roles.sql "
    "'postgresql://postgres@db/postgres'": "the servers of the tests run this file",
    "make quick": "runs only tests that make test also runs",
    "make test": "runs the tests in test_readme that are not slow",
    "make test-slow": "runs the slow tests in test_readme",
    "make check": "runs in the pipeline before the tests",
    "make simulate": "tests/simulation runs a shorter simulation",
    "make chaos": "tests/chaos runs a shorter chaos test",
    "make pages": "takes minutes; the tests in test_pages measure one page",
    "make desk-load": "takes minutes; the tests in test_desk_queue read the same pages",
    "make screenshots": "takes minutes; the tests in test_pages open the same pages",
    "make languages": "the tests in test_catalogues check the collected sentences",
    "./moneyback relay": "is run by the tests in test_worker",
    "./moneyback worker -c 4": "is run by the tests in test_worker",
    "./moneyback web": "is started by make demo",
    "./moneyback mail": "is started by make demo",
    "./moneyback consume": "is started by make demo",
    "./moneyback desk": "is started by make up",
    "./moneyback beat": "is started by make up",
    "./moneyback flower": "is started by make up",
    "./moneyback migrate": "is run by the tests in test_console",
}
RUN = {"make demo", "make up", "make bench"}


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield the path of a new data directory, so that the tests do not use the data directory of a developer.

    The path is short, because sockets are created in the directory, and the path of a socket has a maximum length.
    """
    with only_stack(), tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "h"


_MAKE_VARIABLES = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
"""The variables that make sets if it runs these tests. The make processes of the tests must not get these variables."""


def make(target: str, home: Path, arguments: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["make", target, f"ARGS={arguments}"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in _MAKE_VARIABLES}
        | {"MONEYBACK_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_every_command_of_the_readme_is_run_or_is_in_not_run() -> None:
    unlisted = [c for c in COMMANDS if c not in {*NOT_RUN, *RUN, *SET_UP, *STRIPE} and not c.startswith("export ")]
    assert unlisted == []
    assert set(NOT_RUN) | RUN <= set(COMMANDS)


@pytest.mark.slow
def test_make_demo_works_twice_in_a_row(home: Path) -> None:
    for _ in range(2):
        run = make("demo", home, "--json")
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err + out
        result = json.loads(out)
        states = Counter(case["state"] for case in result["cases"])
        assert len(result["cases"]) >= 24
        assert {case["channel"] for case in result["cases"]} == {"web", "api", "email", "queue"}
        assert len({case["seller"] for case in result["cases"] if case["seller"]}) == 3
        assert result["provider"] == {"refunds": states["refunded"], "duplicates": 0}
        assert result["support_tasks"] == states["with_support"]
        assert result["emails_sent"] > states["refunded"]
        assert all(case["reasons"] for case in result["cases"] if case["state"] == "with_support")
        assert result["seconds"] < 60


@pytest.mark.slow
def test_make_up_starts_the_printed_pages_and_ends_them_at_ctrl_c(home: Path) -> None:
    run = make("up", home)
    assert run.stdout
    output = ""
    for line in run.stdout:
        output += line
        if "Ctrl-C" in line:
            break
    pages = re.findall(r"http://127\.0\.0\.1:\d+\S*", output)
    assert len(pages) == 5
    assert "one-time password" in " ".join(output.replace("│", " ").split())
    *open_pages, flower = pages
    for page in open_pages:
        with urllib.request.urlopen(page) as response:
            assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(flower)
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode != 0
    for page in pages:
        eventually(lambda page=page: _is_gone(page))  # type: ignore[misc]


def _is_gone(page: str) -> bool:
    try:
        urllib.request.urlopen(page, timeout=1)
    except OSError as error:
        return not isinstance(error, urllib.error.HTTPError)
    return False


@pytest.mark.slow
def test_make_bench_prints_positive_figures(home: Path) -> None:
    run = make("bench", home, "-n 100 --json")
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    result = json.loads(out)
    assert all(result[name] > 0 for name in ("refunds_per_s", "refunds_per_s_unbatched", "cpu_ms", "p50_ms", "p99_ms"))


def test_the_set_up_commands_create_a_seller_with_purchases(settings: Settings, tmp_path: Path) -> None:
    purchase = a_recent_purchase()
    row = {
        "seller": purchase.seller_id,
        "reference": purchase.reference,
        "email": purchase.email,
        "product": purchase.product,
        "amount": purchase.amount,
        "currency": purchase.currency,
        "method": purchase.payments[0].method,
        "provider": purchase.payments[0].provider,
        "charge": charge_of(purchase),
        "purchased_at": purchase.purchased_at.isoformat(),
    }
    (tmp_path / "purchases.jsonl").write_text(json.dumps(row))
    outputs = []
    for command in SET_UP:
        program, *arguments = shlex.split(command)
        assert program == "./moneyback"
        run = fork_server.run("console", *arguments, env={**os.environ, **environment(settings)}, folder=tmp_path)
        assert run.returncode == 0, (command, run.stdout, run.stderr)
        outputs.append(run.stdout)
    assert "1 new purchases" in outputs[3]
    assert "agrees with the history" in " ".join(outputs[-1].split())
