"""A child process: started on a leash, ended step by step, recognised by the folder it works in."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from console.servers.os_user import User

GLANCE = 0.01  # seconds between two looks at a process that ends
LEASH = Path(__file__).with_name("parent_death.py")
LOG_LIMIT = 10_000_000  # bytes; a longer log is put aside when its program starts again
LAST_WORDS = 4_000  # bytes of a log that are worth repeating in an error

Step = tuple[signal.Signals, float]


def launch(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    user: User | None = None,
    farewell: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """A child in a session of its own: Ctrl-C reaches only us, and `farewell` reaches it when we are gone."""
    owner = "-" if user is None or user.is_us else f"{user.uid}:{user.gid}"
    leash = (sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(farewell)), owner)
    _put_aside(log)
    with log.open("ab") as stream:
        return subprocess.Popen(
            (*leash, *argv),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes] | psutil.Process, steps: Sequence[Step]) -> None:
    """Each step is a signal and the seconds it is given; psutil and Popen both know when the number is another's."""
    for number, seconds in steps:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        deadline = time.monotonic() + seconds
        while not has_ended(process):
            if time.monotonic() > deadline:
                break
            time.sleep(GLANCE)
        else:
            return


def has_ended(process: subprocess.Popen[bytes] | psutil.Process) -> bool:
    """A zombie has ended too: a container's first process may never collect it."""
    if isinstance(process, subprocess.Popen):
        return process.poll() is not None
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def working_in(folder: Path) -> Iterator[psutil.Process]:
    """The processes whose working directory is this folder or inside it: our servers work where their data is."""
    here = folder.resolve()
    for process in psutil.process_iter():
        try:
            there = Path(process.cwd())
        except (psutil.Error, OSError):  # another user's, or gone meanwhile
            continue
        if there == here or here in there.parents:
            yield process


def tail(log: Path) -> str:
    """What a program said last."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LAST_WORDS))
            words = stream.read().decode(errors="replace").strip()
    except OSError:
        words = ""
    return f"It said last, in {log}:\n{words}" if words else f"It said nothing in {log}."


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".old"))
