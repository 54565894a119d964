"""Starts child processes that end when their parent ends, stops processes in steps, and finds processes by their folder."""

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

POLL_INTERVAL = 0.01  # seconds between two checks whether a process has ended
PARENT_DEATH = Path(__file__).with_name("parent_death.py")
LOG_LIMIT = 10_000_000  # bytes; a longer log is rotated when its program starts again
TAIL = 4_000  # bytes; an error message repeats at most this much of the end of a log

Step = tuple[signal.Signals, float]
"""A signal that stops a process, and the seconds to wait for the end of the process."""


def launch(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    user: User | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, which Ctrl-C does not reach.

    When this process ends, the child gets the signal `on_parent_death`.
    """
    owner = "-" if user is None or user.is_current else f"{user.uid}:{user.gid}"
    wrapper = (sys.executable, "-I", "-S", str(PARENT_DEATH), str(os.getpid()), str(int(on_parent_death)), owner)
    _rotate(log)
    with log.open("ab") as stream:
        return subprocess.Popen(
            (*wrapper, *argv),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes] | psutil.Process, steps: Sequence[Step]) -> None:
    """Send the signal of each step, and wait at most the seconds of the step. Return when the process ends or after all steps.

    No signal is sent to another process that has got the same pid.
    """
    for number, seconds in steps:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        deadline = time.monotonic() + seconds
        while not has_ended(process):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_INTERVAL)
        else:
            return


def has_ended(process: subprocess.Popen[bytes] | psutil.Process) -> bool:
    """Return whether the process has ended. A zombie counts as ended, because a container may never reap it."""
    if isinstance(process, subprocess.Popen):
        return process.poll() is not None
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def working_in(folder: Path) -> Iterator[psutil.Process]:
    """Yield the processes whose working directory is this folder or a folder in it."""
    data_folder = folder.resolve()
    for process in psutil.process_iter():
        try:
            cwd = Path(process.cwd())
        except (psutil.Error, OSError):  # another user's process, or it has just ended
            continue
        if cwd == data_folder or data_folder in cwd.parents:
            yield process


def tail(log: Path) -> str:
    """Return a sentence that contains the end of a program's log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL))
            text = stream.read().decode(errors="replace").strip()
    except OSError:
        text = ""
    return f"Its log {log} ends with:\n{text}" if text else f"Its log {log} is empty."


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".old"))
