"""The base class of PostgreSQL and Valkey: starts, checks and stops a server with all its processes."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import psutil

from console.servers.binaries import Wheel
from console.servers.errors import ServerError
from console.servers.os_user import server_user
from console.servers.signals import uninterrupted
from console.servers.subprocesses import Step, end, launch, tail, working_in

if TYPE_CHECKING:  # not imported at run time, because console.data_dir imports this package
    from console.data_dir import DataDir

# A server is started through the Python script parent_death.py. Some installations of Python do not start without these
# variables.
PASSED_VARIABLES = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)
ENVIRONMENT = {  # a server gets no other variable, because PGDATA and similar variables would change a server's settings
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    **{name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ},
}
KILL: Step = (signal.SIGKILL, 5)
POLL_INTERVAL = 0.01  # seconds between two checks of a server that starts


class Server(ABC):
    """One server of one data directory. Start it from the main thread, because it stops when the thread that started it ends."""

    name: ClassVar[str]
    program: ClassVar[str]
    wheel: ClassVar[Wheel]
    steps: ClassVar[Sequence[Step]]  # the signals that stop the server; the first is also sent when this process ends

    def __init__(self, data_dir: "DataDir", *, timeout: float = 30.0) -> None:
        self.data_dir = data_dir
        self.timeout = timeout
        self.user = server_user()
        self.log = data_dir.log(self.program)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder of the server's data, which is also its working directory."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _prepare(self) -> None:
        """Prepare the folder before the server starts."""

    @abstractmethod
    def _set_up(self) -> None:
        """Set the server up after it has answered for the first time."""

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self.running else None

    def start(self) -> Self:
        """Start the server and wait until it answers. Processes that are left from an earlier run are stopped first."""
        if self.running:
            return self
        self.data_dir.create()
        self.end_leftovers()
        self._prepare()
        try:
            with uninterrupted():
                self._child = self._launch(self._command())
            self._wait(self._answers)
            self._set_up()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server, if it runs."""
        with uninterrupted():
            if self._child is not None:
                end(self._child, self.steps)
                self.end_leftovers()  # if PostgreSQL's main process was killed, its helper processes run a moment longer
            self._child = None

    def end_leftovers(self) -> None:
        """Stop the server's processes that still use its folder, the oldest first. The oldest process stops the others."""
        with uninterrupted():
            for process in sorted(self._leftovers(), key=lambda process: process.create_time()):
                end(process, self.steps)
        if remaining := self._leftovers():
            raise ServerError(f"{self.name} in {self.data_dir.path} does not stop. Run `kill -9 {remaining[0].pid}`.")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _leftovers(self) -> list[psutil.Process]:
        leftovers = []
        for process in working_in(self.folder):
            with suppress(psutil.Error):
                if process.name() == self.program:
                    leftovers.append(process)
        return leftovers

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        on_parent_death = self.steps[0][0]
        return launch(
            command, log=self.log, env=ENVIRONMENT, cwd=self.folder, user=self.user, on_parent_death=on_parent_death
        )

    def _wait(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.timeout
        while not is_ready():
            if self._child is None or self._child.poll() is not None:
                raise ServerError(f"{self.name} ended while it was starting. {tail(self.log)}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} does not answer after {self.timeout:g} seconds. {tail(self.log)}")
            time.sleep(POLL_INTERVAL)

    def _program(self, path: str) -> str:
        installed = self.wheel.in_place() if self.user.is_current else self.wheel.copied_to(self.data_dir.bin)
        return str(installed / path)
