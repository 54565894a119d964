"""Starts the services of the local stack, restarts services that crash, and stops all services at the end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from console.data_dir import DataDir
from console.servers.errors import ServiceError
from console.servers.signals import Stopped, stop_on_signals, uninterrupted
from console.servers.subprocesses import launch, tail

__all__ = ["Service", "ServiceError", "Stopped", "Supervisor", "stop_on_signals"]

POLL_INTERVAL = 0.05  # seconds between two checks of the services
FIRST_PAUSE, MAX_PAUSE = 0.5, 10.0
"""Seconds before a crashed service is restarted. Each crash doubles the pause, up to MAX_PAUSE."""
STEADY = 30.0  # seconds; if a service ran longer than this before a crash, the next pause is FIRST_PAUSE


@dataclass(frozen=True)
class Service:
    """One process. It gets the environment of the supervisor and `env`. If `log` is None, the log is in the data directory."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # contains passwords
    restart: bool = True
    log: Path | None = None
    grace: float = 10.0  # seconds; the maximum time between SIGTERM and SIGKILL


class _Run:
    """A service and its current process."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.crashes = 0
        self.crashes_before_ready = 0  # the value of `crashes` when the service was last ready
        self.pause = FIRST_PAUSE
        self.start()

    def start(self) -> None:
        self.restart_at: float | None = None
        self.started_at = time.monotonic()
        environment = os.environ | self.service.env
        self.process = launch(self.service.argv, log=self.log, env=environment)

    def has_ended(self) -> bool:
        """Return whether the process has ended. Do not reap the process, because reap() must first kill the rest of its group."""
        if self.process.returncode is not None:
            return True
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return True

    def reap(self) -> int:
        """Kill the other processes of the group, reap the ended process, and return its exit status."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # macOS does not allow a signal to a group of zombies
                os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the process, and do not wait. All services get SIGTERM first, so that they end in parallel."""
        if self.process.returncode is None and not self.has_ended():
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Wait at most `grace` seconds until the process ends. Then kill its process group."""
        if self.process.returncode is None and not self.has_ended():
            deadline = time.monotonic() + self.service.grace
            while not self.has_ended() and time.monotonic() < deadline:
                time.sleep(POLL_INTERVAL / 5)
        self.reap()


class Supervisor:
    """Starts services, and restarts services that crash. At the end of the `with` block, it stops them in reverse order."""

    def __init__(self, data_dir: DataDir, report: Callable[[str], None] | None = None) -> None:
        self.data_dir = data_dir
        self._write = report or self._log
        self._runs: list[_Run] = []
        self._lock = threading.RLock()
        self._stopping, self._all_ended = threading.Event(), threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Return the pids of the running services, by name."""
        with self._lock:
            return {run.service.name: run.process.pid for run in self._runs if not run.has_ended()}

    def start(self, service: Service) -> None:
        with uninterrupted(), self._lock:
            if any(run.service.name == service.name for run in self._runs):
                raise ServiceError(f"The service {service.name} has been started already.")
            self._runs.append(_Run(service, service.log or self.data_dir.log(service.name)))

    def wait_for(self, service: Service | str, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until `ready()` returns True. If `ready()` raises OSError, such as a refused connection, continue to wait.

        Raise ServiceError if the service ends, or is not ready after `seconds`.
        """
        run = self._run(service if isinstance(service, str) else service.name)
        deadline = time.monotonic() + seconds
        while not _is_ready(ready):
            if run.crashes > run.crashes_before_ready or (run.has_ended() and not run.service.restart):
                raise ServiceError(f"{run.service.name} ended while it was starting. {tail(run.log)}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{run.service.name} is not ready after {seconds:g} seconds. {tail(run.log)}")
            time.sleep(POLL_INTERVAL)
        run.crashes_before_ready = run.crashes

    def wait(self, tick: Callable[[], object] = lambda: None) -> None:
        """Wait until a stop signal raises Stopped. Call `tick` about once a second.

        Raise ServiceError if a service with `restart=False` ends.
        """
        while True:
            for run in self._runs:
                if not run.service.restart and run.has_ended():
                    raise ServiceError(f"{run.service.name} has ended. {tail(run.log)}")
            tick()
            self._stopping.wait(1)

    def run_once(self) -> list[str]:
        """Reap services that crashed, and restart services after their pause. Return the names of the restarted services."""
        with self._lock:
            if self._stopping.is_set():
                return []
            return [run.service.name for run in self._runs if self._restart_if_due(run)]

    def stop(self) -> None:
        """Stop all services, the last one first. A second call does nothing."""
        with uninterrupted():
            self._stopping.set()
            with self._lock:
                for run in reversed(self._runs):
                    run.terminate()
                while self._runs:
                    self._runs[-1].stop()
                    self._runs.pop()
            self._all_ended.set()
            if self._watcher is not None:
                self._watcher.join()
                self._watcher = None

    def __enter__(self) -> Self:
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        """Restart crashed services until stop() has ended all services.

        This thread must not end earlier, because Linux ends a service if the thread that started the service ends.
        """
        while not self._all_ended.wait(POLL_INTERVAL):
            self.run_once()

    def _restart_if_due(self, run: _Run) -> bool:
        now = time.monotonic()
        if run.restart_at is None and run.has_ended() and run.process.returncode is None:
            self._handle_exit(run, now)
        if run.restart_at is None or run.restart_at > now:
            return False
        run.start()
        return True

    def _handle_exit(self, run: _Run, now: float) -> None:
        status = run.reap()
        run.crashes += 1
        if not run.service.restart:
            self._report(f"{run.service.name} has ended with status {status}.")
            return
        if now - run.started_at > STEADY:
            run.pause = FIRST_PAUSE
        self._report(f"{run.service.name} has ended with status {status}; it is restarted in {run.pause:g} seconds.")
        run.restart_at = now + run.pause
        run.pause = min(run.pause * 2, MAX_PAUSE)

    def _run(self, name: str) -> _Run:
        return next(run for run in self._runs if run.service.name == name)

    def _report(self, sentence: str) -> None:
        with suppress(OSError, ValueError):  # the terminal or the file may be closed
            self._write(sentence)

    def _log(self, sentence: str) -> None:
        with self.data_dir.log("processes").open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")


def _is_ready(ready: Callable[[], bool]) -> bool:
    with suppress(OSError):
        return ready()
    return False
