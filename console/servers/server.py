"""What our servers share: one of each in a home, started until it answers, ended until nothing of it is left."""

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
from console.servers.signals import unbroken
from console.servers.subprocesses import Step, end, launch, tail, working_in

if TYPE_CHECKING:  # console.data_dir asks this package who the servers' user is
    from console.data_dir import DataDir

KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # some Pythons, and so the leash, do not start without it
ENVIRONMENT = {  # nothing else of ours: PGDATA and the like would lead a server astray
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    **{name: os.environ[name] for name in KEPT if name in os.environ},
}
FIRMLY: Step = (signal.SIGKILL, 5)
GLANCE = 0.01  # seconds between two looks at a server that starts


class Server(ABC):
    """One server of one home. Start it from the main thread: it stops when the thread that started it ends."""

    name: ClassVar[str]
    program: ClassVar[str]
    wheel: ClassVar[Wheel]
    steps: ClassVar[Sequence[Step]]  # how it is ended; the first is also its farewell when we are gone

    def __init__(self, data_dir: "DataDir", *, patience: float = 30.0) -> None:
        self.data_dir = data_dir
        self.patience = patience
        self.user = server_user()
        self.log = data_dir.log(self.program)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where its data is and where it works."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _before(self) -> None:
        """Makes what has to be there before it starts."""

    @abstractmethod
    def _after(self) -> None:
        """Tells it what it has to know once it answers."""

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self.running else None

    def start(self) -> Self:
        """Returns when the server answers. What an earlier life of this home left running is ended first."""
        if self.running:
            return self
        self.data_dir.create()
        self.end_leftovers()
        self._before()
        try:
            with unbroken():
                self._child = self._launch(self._command())
            self._wait(self._answers)
            self._after()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the server; nothing happens when it is not running."""
        with unbroken():
            if self._child is not None:
                end(self._child, self.steps)
                self.end_leftovers()  # PostgreSQL's helpers outlive, for a moment, a master that was killed
            self._child = None

    def end_leftovers(self) -> None:
        """Only processes that are this program and work in this home's folder; the master first, it ends the others."""
        with unbroken():
            for process in sorted(self._leftovers(), key=lambda process: process.create_time()):
                end(process, self.steps)
        if left := self._leftovers():
            raise ServerError(f"{self.name} of {self.data_dir.path} does not end: process {left[0].pid}. Use kill -9.")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _leftovers(self) -> list[psutil.Process]:
        found = []
        for process in working_in(self.folder):
            with suppress(psutil.Error):
                if process.name() == self.program:
                    found.append(process)
        return found

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        farewell = self.steps[0][0]
        return launch(command, log=self.log, env=ENVIRONMENT, cwd=self.folder, user=self.user, farewell=farewell)

    def _wait(self, fact: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.patience
        while not fact():
            if self._child is None or self._child.poll() is not None:
                raise ServerError(f"{self.name} ended while it was starting. {tail(self.log)}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} does not answer after {self.patience:g} seconds. {tail(self.log)}")
            time.sleep(GLANCE)

    def _program(self, path: str) -> str:
        installed = self.wheel.in_place() if self.user.is_us else self.wheel.copied_to(self.data_dir.bin)
        return str(installed / path)
