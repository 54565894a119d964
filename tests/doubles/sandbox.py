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

TEST_TIMEOUT = 20.0  # seconds; a test waits this long only if it fails
SHORT_TIMEOUT = 1.5  # seconds, for calls that get no response; a normal response takes less time


class SandboxProcess:
    """A running sandbox provider. Its delays are short, because the tests wait for them."""

    def __init__(self, folder: Path, **options: float | str | Path) -> None:
        self._command = ["console.sandbox", str(folder), "--turn=0.2", "--late=0.1"]
        self._command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.start()

    def start(self) -> None:
        self._process = Forked(*self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "The sandbox did not start. Its error output is above."

    def end(self, stop_signal: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(stop_signal)
        self._process.wait(TEST_TIMEOUT)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def adapter(self, seconds: float = TEST_TIMEOUT) -> PaymentProvider:
        return create_adapter(SandboxAccount(url=self.url), provider_timeout_seconds=seconds, connections=50)

    def summary(self) -> dict[str, Any]:
        return dict(urllib3.request("GET", f"{self.url}/v1/summary", retries=False).json())

    def register(self, charge: str, amount: int = 4900, currency: str = "EUR", **fields: Any) -> dict[str, Any]:
        """Register a payment, so that the sandbox knows its amount."""
        return self.post("/v1/payments", {"charge": charge, "amount": amount, "currency": currency, **fields})

    def refund_by_hand(self, charge: str, amount: int, currency: str = "EUR", **fields: Any) -> dict[str, Any]:
        """Refund a part of a payment as a person does it in the provider's dashboard."""
        return self.post("/v1/dashboard/refunds", {"charge": charge, "amount": amount, "currency": currency, **fields})

    def open_dispute(self, charge: str, status: str = "open") -> dict[str, Any]:
        return self.post("/v1/disputes", {"charge": charge, "status": status})

    def change_dispute(self, dispute_id: str, status: str) -> dict[str, Any]:
        return self.post(f"/v1/disputes/{dispute_id}", {"status": status})

    def post(self, path: str, document: object) -> dict[str, Any]:
        response = urllib3.request("POST", f"{self.url}{path}", json=document, retries=False)
        assert response.status == 200, response.data
        return dict(response.json())


@contextmanager
def sandbox_in(folder: Path, **options: float | str | Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(folder, **options)
    try:
        yield process
    finally:
        process.end()
