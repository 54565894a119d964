"""Starts services as child processes by forking, without a new Python interpreter for each process.

A new interpreter needs one to two seconds of CPU to import the product, and the tests start hundreds of processes. The fork
server is a process with one thread. It imports the product once, and forks to start a service. The child gets its own
arguments, environment, folder, standard streams and session, and then runs its module as ``python -m`` does.

Tests that check how a process starts use `subprocess`, not the fork server. These tests are in tests/e2e and tests/integration.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

ROOT = Path(__file__).parents[2]
START_VARIABLES = ("LD_PRELOAD", "PYTHONPATH", "PYTHONHASHSEED")
"""Environment variables that the loader and Python read only when a process starts."""


def needs_new_python(env: Mapping[str, str]) -> bool:
    """Return True if START_VARIABLES have other values in ``env`` than in this process.

    A forked process would ignore the values in ``env``.
    """
    return any(env.get(name) != os.environ.get(name) for name in START_VARIABLES)


class Forked:
    """A started process, with the attributes and methods of `subprocess.Popen` that the tests use."""

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] | None = None,
    ) -> None:
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._lock = threading.Lock()
        self._status, remote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps the messages apart
        devnull = os.open(os.devnull, os.O_RDWR)
        descriptors = [devnull]
        if stdout == subprocess.PIPE:
            local_end, stdout = os.pipe()
            self.stdout = os.fdopen(local_end, encoding="utf-8")
            descriptors.append(stdout)
        out = devnull if stdout == subprocess.DEVNULL else stdout if isinstance(stdout, int) else stdout.fileno()
        streams = [devnull if stdin == subprocess.DEVNULL else stdin, out]
        match stderr:
            case None:
                streams.append(2)
            case subprocess.STDOUT:
                streams.append(out)
            case int():
                streams.append(stderr)
            case _:
                streams.append(stderr.fileno())
        request = json.dumps([arguments, dict(os.environ if env is None else env), str(folder)])
        _server().send(request.encode(), [*streams, remote_end.fileno()])
        remote_end.close()
        for descriptor in descriptors:
            os.close(descriptor)
        self.pid = int(self._status.recv(32))

    def poll(self) -> int | None:
        return self._exit_status(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._exit_status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _exit_status(self, timeout: float | None) -> int | None:
        """Wait at most `timeout` seconds for the exit status. Return None if the process still runs.

        Until the fork server has sent this status, no other process gets the pid, so a signal reaches only this process.
        """
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
                self.returncode = int(self._status.recv(32))
                self._status.close()
            return self.returncode


def run(*arguments: str, env: Mapping[str, str], folder: Path = ROOT, stdin: int = subprocess.DEVNULL) -> "Ran":
    """Run a module to its end, as `subprocess.run` does."""
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        code = Forked(*arguments, env=env, folder=folder, stdin=stdin, stdout=out, stderr=err).wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


Ran = subprocess.CompletedProcess[str]


class _Server:
    """Starts the fork server, and sends requests to it."""

    def __init__(self) -> None:
        local_end, remote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._socket = local_end
        with remote_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(remote_end.fileno())],
                cwd=ROOT,
                env={**os.environ, "COLUMNS": "240"},  # the library rich reads the width of tables when it is imported
                stdin=subprocess.DEVNULL,
                pass_fds=[remote_end.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def send(self, request: bytes, descriptors: Sequence[int]) -> None:
        with self._lock:
            socket.send_fds(self._socket, [request], descriptors)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def _server() -> _Server:
    return _Server()
