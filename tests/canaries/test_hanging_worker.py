"""Tests that a worker ends itself if it stops consuming messages. Then its supervisor can restart it."""

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
def faulty_worker(settings: Settings, log: Path, fault: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the product's worker with one process. `fault` names the fault that hanging_worker_app.py causes in it."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "hanging_worker_app", "worker", "-c", "1"],
            env=os.environ | environment(settings) | {"PYTHONPATH": str(Path(__file__).parent), "WORKER_FAULT": fault},
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


@pytest.mark.parametrize("fault", ["hang_in_call", "stop_polling"])
def test_a_hanging_worker_ends_with_a_stack_trace(settings: Settings, tmp_path: Path, fault: str) -> None:
    log = tmp_path / "log"
    with faulty_worker(settings, log, fault) as process:
        eventually(lambda: has_ended(process))
    assert process.returncode == -signal.SIGALRM
    assert "most recent call first" in log.read_text()


def test_a_worker_with_long_tasks_does_not_end(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with faulty_worker(settings, log, "run_long_tasks") as process:
        eventually(lambda: has_ended(process) or "The long task is done." in log.read_text())
        assert not has_ended(process), log.read_text()
