"""A worker that hears nothing more ends, and its supervisor starts another."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from tests.canaries.workers import has_ended
from tests.services import environment, eventually


@pytest.mark.parametrize("how", ["stands_still", "asks_for_nothing"])
def test_a_deaf_worker_ends_and_says_where_it_stood(settings: Settings, tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "deaf", "worker", "-c", "1"],
            env=os.environ | environment(settings) | {"PYTHONPATH": str(Path(__file__).parent), "DEAF": how},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            eventually(lambda: has_ended(process))
        finally:
            process.kill()
    assert process.returncode == -signal.SIGALRM
    assert "most recent call first" in log.read_text()
