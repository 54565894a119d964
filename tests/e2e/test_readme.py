"""The README's commands do what it says: each of them is run here, or named below with the reason why not."""

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
from tests.sample_data import a_recent_purchase
from tests.services import environment, eventually

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [
    [line.removeprefix("$ ").partition("  #")[0].strip() for line in block.splitlines() if line.startswith("$ ")]
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
]
COMMANDS = [command for block in BLOCKS for command in block]
SET_UP = BLOCKS[-1]
NOT_RUN = {
    "make quick": "is a part of make test",
    "make test": "is what runs this",
    "make test-slow": "is the other half of what runs this",
    "make check": "is the gate before the tests",
    "make simulate": "runs, shorter, in tests/simulation",
    "make chaos": "runs, shorter, in tests/chaos",
    "make pages": "measures for minutes; test_pages weighs the first page",
    "make screenshots": "draws for minutes; test_pages sees the same pages",
    "make languages": "test_catalogues holds what it gathers",
    "moneyback relay": "runs in test_worker",
    "moneyback worker -c 4": "runs in test_worker",
    "moneyback web": "runs in the demo",
    "moneyback mail": "runs in the demo",
    "moneyback consume": "runs in the demo",
    "moneyback desk": "runs under make up",
    "moneyback beat": "runs under make up",
    "moneyback flower": "runs under make up",
    "moneyback migrate": "runs in test_console",
}
RUN = {"make demo", "make up", "make bench"}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of this test's own, so that nobody's demo is disturbed; short, for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "h"


_OURS = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # of the make that runs the tests, not of this one


def make(target: str, home: Path, arguments: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["make", target, f"ARGS={arguments}"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in _OURS} | {"MONEYBACK_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_every_command_is_run_or_has_its_reason() -> None:
    unnamed = [
        c for c in COMMANDS if c not in NOT_RUN and c not in RUN and c not in SET_UP and not c.startswith("export ")
    ]
    assert unnamed == []
    assert set(NOT_RUN) | RUN <= set(COMMANDS)


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)], ids=["once", "twice in a row"])
def test_make_demo_shows_the_main_job(home: Path, times: int) -> None:
    for _ in range(times):
        run = make("demo", home, "--json")
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
        told = json.loads(out)
        states = Counter(case["state"] for case in told["cases"])
        assert len(told["cases"]) >= 24
        assert {case["channel"] for case in told["cases"]} == {"web", "api", "email", "queue"}
        assert len({case["seller"] for case in told["cases"] if case["seller"]}) == 3
        assert told["provider"] == {"refunds": states["refunded"], "duplicates": 0}
        assert told["support_tasks"] == states["with_support"]
        assert told["emails_sent"] > states["refunded"]
        assert all(case["reasons"] for case in told["cases"] if case["state"] == "with_support")
        assert told["seconds"] < 60


def test_make_up_prints_addresses_that_answer_and_stops_at_ctrl_c(home: Path) -> None:
    run = make("up", home)
    assert run.stdout
    shown = ""
    for line in run.stdout:
        shown += line
        if "Ctrl-C" in line:
            break
    pages = re.findall(r"http://127\.0\.0\.1:\d+\S*", shown)
    assert len(pages) == 5
    *open_pages, flower = pages
    for page in open_pages:
        with urllib.request.urlopen(page) as answer:
            assert answer.status == 200
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
def test_make_bench_prints_its_figures(home: Path) -> None:
    run = make("bench", home, "-n 100 --json")
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    told = json.loads(out)
    assert all(told[name] > 0 for name in ("refunds_per_s", "refunds_per_s_unbatched", "cpu_ms", "p50_ms", "p99_ms"))


def test_the_commands_that_set_a_seller_up(settings: Settings, tmp_path: Path) -> None:
    bought = a_recent_purchase()
    row = {
        "seller": bought.seller_id,
        "reference": bought.reference,
        "email": bought.email,
        "product": bought.product,
        "amount": bought.amount,
        "currency": bought.currency,
        "method": bought.method,
        "provider": bought.provider,
        "charge": bought.charge,
        "purchased_at": bought.purchased_at.isoformat(),
    }
    (tmp_path / "purchases.jsonl").write_text(json.dumps(row))
    told = []
    for command in SET_UP:
        program, *words = shlex.split(command)
        assert program == "moneyback"
        run = fork_server.run("console", *words, env={**os.environ, **environment(settings)}, folder=tmp_path)
        assert run.returncode == 0, (command, run.stdout, run.stderr)
        told.append(run.stdout)
    assert "1 new purchases" in told[3]
    assert "the books balance" in " ".join(told[-1].split())
