"""Canaries: a worker that no longer consumes ends itself, so its supervisor can restart it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from config.settings import Settings
from tests.canaries.workers import has_ended
from tests.services import environment, eventually

pytestmark = pytest.mark.slow


@contextmanager
def deaf(settings: Settings, log: Path, how: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the product's worker with one process that hangs in the way ``how``."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "hanging_worker_app", "worker", "-c", "1"],
            env=os.environ | environment(settings) | {"PYTHONPATH": str(Path(__file__).parent), "DEAF": how},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # the worker and its child have ended
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["stands_still", "asks_for_nothing"])
def test_a_deaf_worker_ends_and_says_where_it_stood(settings: Settings, tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    with deaf(settings, log, how) as process:
        eventually(lambda: has_ended(process))
    assert process.returncode == -signal.SIGALRM
    assert "most recent call first" in log.read_text()


def test_a_worker_whose_only_process_is_busy_for_long_is_not_deaf(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with deaf(settings, log, "busy") as process:
        eventually(lambda: has_ended(process) or "The long task is done." in log.read_text())
        assert not has_ended(process), log.read_text()
