"""Runs the sandbox provider as a child process."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from config.provider_accounts import SandboxAccount
from domain.providers import PaymentProvider
from tests.fork_server import Forked
from worker.providers.sandbox.adapter import create_adapter

PATIENCE = 20.0  # seconds that a test waits for a fact; only reached if the test fails
ENOUGH = 1.5  # seconds; enough for a response, but not for a call that is never answered


class SandboxProcess:
    """A running sandbox. Its delays are short, because the tests wait for them."""

    def __init__(self, folder: Path, **options: float | str | Path) -> None:
        self._command = ["console.sandbox", str(folder), "--turn=0.2", "--late=0.1"]
        self._command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.start()

    def start(self) -> None:
        self._process = Forked(*self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "The sandbox did not start; its output is above."

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def adapter(self, seconds: float = PATIENCE) -> PaymentProvider:
        return create_adapter(SandboxAccount(url=self.url), provider_timeout_seconds=seconds, connections=50)

    def summary(self) -> dict[str, Any]:
        return dict(urllib3.request("GET", f"{self.url}/v1/summary", retries=False).json())


@contextmanager
def sandbox_in(folder: Path, **options: float | str | Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(folder, **options)
    try:
        yield process
    finally:
        process.end()
