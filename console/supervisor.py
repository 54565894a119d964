"""Keeps the product's own processes running, and ends all of them: the list of parts is the architecture."""

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
from console.servers.signals import Stopped, stop_on_signals, unbroken
from console.servers.subprocesses import launch, tail

__all__ = ["Service", "ServiceError", "Stopped", "Supervisor", "stop_on_signals"]

GLANCE = 0.05  # seconds between two looks at the parts
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds before a part that died is started again; doubled each time
STEADY = 30.0  # seconds; a part that ran longer than the longest pause is healthy again


@dataclass(frozen=True)
class Service:
    """One process. `env` is added to our own environment; the log is the home's unless told otherwise."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # has passwords in it
    restart: bool = True
    log: Path | None = None
    grace: float = 10.0  # seconds between asking it to stop and ending it


class _Run:
    """A part and its present process."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.crashes = 0
        self.excused = 0  # deaths before it was last seen to be ready
        self.pause = FIRST_PAUSE
        self.start()

    def start(self) -> None:
        self.due: float | None = None
        self.since = time.monotonic()
        environment = os.environ | self.service.env
        self.process = launch(self.service.argv, log=self.log, env=environment)

    def has_ended(self) -> bool:
        """Asked without collecting it: until then nobody else gets its number, so its group may safely be ended."""
        if self.process.returncode is not None:
            return True
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return True

    def reap(self) -> int:
        """Collects a process that has ended, after ending what it left behind in its group."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies may not be signalled
                os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def ask(self) -> None:
        """Asks it to stop. All are asked before the first is waited for: together they take as long as the slowest."""
        if self.process.returncode is None and not self.has_ended():
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Waits for its end, for the length of its grace; then SIGKILL for whatever is left of its group."""
        if self.process.returncode is None and not self.has_ended():
            deadline = time.monotonic() + self.service.grace
            while not self.has_ended() and time.monotonic() < deadline:
                time.sleep(GLANCE / 5)
        self.reap()


class Supervisor:
    """Starts parts, starts them again when they die, and stops them in reverse order, however the block is left."""

    def __init__(self, data_dir: DataDir, tell: Callable[[str], None] | None = None) -> None:
        self.data_dir = data_dir
        self._tell = tell or self._write_down
        self._runs: list[_Run] = []
        self._lock = threading.RLock()
        self._stopping, self._over = threading.Event(), threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def pids(self) -> dict[str, int]:
        """The parts that run now."""
        with self._lock:
            return {run.service.name: run.process.pid for run in self._runs if not run.has_ended()}

    def start(self, service: Service) -> None:
        with unbroken(), self._lock:
            if any(run.service.name == service.name for run in self._runs):
                raise ServiceError(f"The part {service.name} has been started already.")
            self._runs.append(_Run(service, service.log or self.data_dir.log(service.name)))

    def wait_for(self, service: Service | str, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Returns when `ready()` says so; a connection that is refused is not ready yet."""
        run = self._run(service if isinstance(service, str) else service.name)
        deadline = time.monotonic() + seconds
        while not _yes(ready):
            if run.crashes > run.excused or (run.has_ended() and not run.service.restart):
                raise ServiceError(f"{run.service.name} ended while it was starting. {tail(run.log)}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{run.service.name} is not ready after {seconds:g} seconds. {tail(run.log)}")
            time.sleep(GLANCE)
        run.excused = run.crashes

    def wait(self, tend: Callable[[], object] = lambda: None) -> None:
        """Until a signal, or until a part that is not started again has ended. `tend` is called about once a second."""
        while True:
            for run in self._runs:
                if not run.service.restart and run.has_ended():
                    raise ServiceError(f"{run.service.name} has ended. {tail(run.log)}")
            tend()
            self._stopping.wait(1)

    def run_once(self) -> list[str]:
        """Buries the parts that died and starts those whose pause is over; the names of the latter."""
        with self._lock:
            if self._stopping.is_set():
                return []
            return [run.service.name for run in self._runs if self._look_after(run)]

    def stop(self) -> None:
        """The last one started is the first to be asked, and to be waited for; nothing happens the second time."""
        with unbroken():
            self._stopping.set()
            with self._lock:
                for run in reversed(self._runs):
                    run.ask()
                while self._runs:
                    self._runs[-1].stop()
                    self._runs.pop()
            self._over.set()
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
        """Stays until all parts have ended: one that it started again is told to stop when this thread ends."""
        while not self._over.wait(GLANCE):
            self.run_once()

    def _look_after(self, run: _Run) -> bool:
        now = time.monotonic()
        if run.due is None and run.has_ended() and run.process.returncode is None:
            self._exited(run, now)
        if run.due is None or run.due > now:
            return False
        run.start()
        return True

    def _exited(self, run: _Run, now: float) -> None:
        status = run.reap()
        run.crashes += 1
        if not run.service.restart:
            self._say(f"{run.service.name} has ended with status {status}.")
            return
        if now - run.since > STEADY:
            run.pause = FIRST_PAUSE
        self._say(f"{run.service.name} has ended with status {status}; it is started again in {run.pause:g} seconds.")
        run.due = now + run.pause
        run.pause = min(run.pause * 2, LONGEST_PAUSE)

    def _run(self, name: str) -> _Run:
        return next(run for run in self._runs if run.service.name == name)

    def _say(self, words: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that went away, a file that is closed
            self._tell(words)

    def _write_down(self, words: str) -> None:
        with self.data_dir.log("processes").open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n")


def _yes(ready: Callable[[], bool]) -> bool:
    with suppress(OSError):
        return ready()
    return False
