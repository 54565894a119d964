"""The supervisor, watched from outside: a small driver is started, signalled and killed, and nothing may be left."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from console.data_dir import DataDir
from console.servers.errors import ServiceError
from console.servers.signals import uninterrupted
from console.supervisor import Service, Stopped, Supervisor, stop_on_signals

ROOT = Path(__file__).parents[2]
SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
IGNORES_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(600)
"""
HAS_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""
KEEPS_A_DIARY = """
import signal, sys, time
def bye(*_):
    open(sys.argv[1], "a").write(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, bye)
open(sys.argv[1] + sys.argv[2], "w").close()
time.sleep(600)
"""
STUBBORN = (sys.executable, "-c", IGNORES_SIGTERM)
PARENT = (sys.executable, "-c", HAS_A_CHILD)
POLITE = (sys.executable, "-c", KEEPS_A_DIARY)
DRIVER = """
import fcntl, json, os, sys, termios
from pathlib import Path
from console.data_dir import DataDir
from console.supervisor import Service, Supervisor, stop_on_signals
from console.servers import Valkey

folder, parts, wants_terminal = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] == "terminal"
if wants_terminal:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
data_dir = DataDir(folder / "h")
with stop_on_signals(), data_dir.lock(), Valkey(data_dir) as valkey, Supervisor(data_dir, report=print) as processes:
    for name, argv in parts.items():
        processes.start(Service(name, argv, grace=1))
        processes.wait_for(name, (folder / name).exists if len(argv) > 3 else lambda: True)
    told = {"valkey": valkey.pid, **processes.pids}
    (folder / "told.new").write_text(json.dumps(told))
    (folder / "told.new").rename(folder / "told")
    processes.wait(lambda: print("all is well", flush=True) if (folder / "chatty").exists() else None)
"""


def eventually(fact: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_another(processes: Supervisor, first: int) -> bool:
    return processes.pids.get("worker") not in (None, first)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def data_dir(folder: Path) -> Iterator[DataDir]:
    data_dir = DataDir(folder / "h").create()
    yield data_dir
    data_dir.clean()


class Driver:
    """A console in small, in a process of its own."""

    def __init__(self, folder: Path, terminal: int | None = None) -> None:
        self.folder = folder
        parts = {"sleeper": SLEEPER, "stubborn": (*STUBBORN, str(folder / "stubborn"))}
        parts["parent"] = (*PARENT, str(folder / "parent"))
        how = "terminal" if terminal is not None else "plain"
        stream = subprocess.PIPE if terminal is None else terminal
        self.process = subprocess.Popen(
            (sys.executable, "-c", DRIVER, str(folder), json.dumps(parts), how),
            cwd=ROOT,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def pids(self) -> list[int]:
        """Everybody below the driver, once all of them are there."""
        eventually(lambda: (self.folder / "told").exists() or self.process.poll() is not None, 30)
        assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
        pids = [*json.loads((self.folder / "told").read_text()).values(), int((self.folder / "parent").read_text())]
        assert len(pids) == 5
        assert not any(gone(pid) for pid in pids)
        return pids


@pytest.fixture
def driver(folder: Path) -> Iterator[Driver]:
    driver = Driver(folder)
    yield driver
    driver.process.kill()
    driver.process.wait()
    if driver.process.stdout:
        driver.process.stdout.close()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal_ends_everybody_and_is_the_exit_status(driver: Driver, number: signal.Signals, status: int) -> None:
    pids = driver.pids()
    driver.process.send_signal(number)
    assert driver.process.wait(20) == status
    assert all(gone(pid) for pid in pids)


def test_impatience_leaves_nobody_behind(driver: Driver) -> None:
    pids = driver.pids()
    while driver.process.poll() is None:
        driver.process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    assert driver.process.returncode in (130, -signal.SIGINT)  # the latter when Python itself was already closing
    assert all(gone(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children when we are gone")
def test_nobody_outlives_a_console_that_was_killed_but_who_ignores_sigterm(driver: Driver) -> None:
    pids = driver.pids()
    stubborn = json.loads((driver.folder / "told").read_text())["stubborn"]
    orphan = int((driver.folder / "parent").read_text())  # nobody's leash: its parent has to end it, and ours does not
    driver.process.kill()
    eventually(lambda: all(gone(pid) for pid in pids if pid not in (stubborn, orphan)))
    for pid in (stubborn, orphan):
        os.kill(pid, signal.SIGKILL)


def test_a_reader_that_went_away_does_not_prevent_the_stop(driver: Driver) -> None:
    pids = driver.pids()
    assert driver.process.stdout
    driver.process.stdout.close()
    (driver.folder / "chatty").touch()  # its next word breaks the pipe
    assert driver.process.wait(20) != 0
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("ending", ["ctrl-c", "closed"])
def test_a_real_terminal_ends_everybody(folder: Path, ending: str) -> None:
    ours, theirs = pty.openpty()
    driver = Driver(folder, terminal=theirs)
    os.close(theirs)
    pids = driver.pids()
    if ending == "ctrl-c":
        os.write(ours, b"\x03")
        assert driver.process.wait(20) == 130
        os.close(ours)
    else:
        (driver.folder / "chatty").touch()
        os.close(ours)
        assert driver.process.wait(20) == 129
    assert all(gone(pid) for pid in pids)


def test_a_part_that_was_killed_is_started_again_and_again(data_dir: DataDir) -> None:
    told: list[str] = []
    with Supervisor(data_dir, report=told.append) as processes:
        processes.start(Service("worker", SLEEPER))
        for _ in range(2):
            first = processes.pids["worker"]
            os.kill(first, signal.SIGKILL)
            eventually(partial(is_another, processes, first))
        last = processes.pids["worker"]
    assert gone(last)
    assert told == [
        "worker has ended with status -9; it is restarted in 0.5 seconds.",
        "worker has ended with status -9; it is restarted in 1 seconds.",
    ]


def test_what_a_part_leaves_behind_is_ended_with_it(data_dir: DataDir, folder: Path) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("parent", (*PARENT, str(folder / "child")), restart=False))
        processes.wait_for("parent", lambda: (folder / "child").exists() and bool((folder / "child").read_text()))
        child = int((folder / "child").read_text())
        os.kill(processes.pids["parent"], signal.SIGKILL)
        eventually(lambda: gone(child))
        eventually(lambda: "parent has ended with status -9." in data_dir.log("processes").read_text())


def test_every_part_is_asked_to_stop_once(data_dir: DataDir, folder: Path) -> None:
    diary = folder / "diary"
    with Supervisor(data_dir) as processes:
        for name in "abc":
            processes.start(Service(name, (*POLITE, str(diary), name)))
            processes.wait_for(name, Path(f"{diary}{name}").exists)
        os.kill(processes.pids["a"], signal.SIGKILL)
        Path(f"{diary}a").unlink()
        processes.wait_for("b", Path(f"{diary}a").exists)  # a was started again, by the watcher
        processes.stop()
        processes.stop()
    assert sorted(diary.read_text()) == ["a", "b", "c"]


def test_a_stubborn_part_is_ended_after_its_grace(data_dir: DataDir, folder: Path) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("stubborn", (*STUBBORN, str(folder / "ready")), grace=0.2))
        processes.wait_for("stubborn", (folder / "ready").exists)
        pid = processes.pids["stubborn"]
    assert gone(pid)


def test_waiting_for_a_part_that_died_fails_with_its_last_words(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        for restart in (True, False):
            part = Service(f"web-{restart}", (sys.executable, "-c", "exit('The port is taken.')"), restart=restart)
            processes.start(part)
            with pytest.raises(ServiceError, match=r"(?s)ended while it was starting.*The port is taken\."):
                processes.wait_for(part, lambda: False)


def test_waiting_for_a_part_ends_in_time(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("web", SLEEPER))
        with pytest.raises(ServiceError, match=r"not ready after 0\.2 seconds"):
            processes.wait_for("web", lambda: False, 0.2)


def test_a_program_that_is_not_there_is_named(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("web", ("/no/such/program",)))
        with pytest.raises(ServiceError, match="/no/such/program cannot be started: No such file"):
            processes.wait_for("web", lambda: False)


def test_waiting_ends_when_a_part_has_ended_that_is_not_started_again(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("story", (sys.executable, "-c", "print('The end.')"), restart=False))
        with pytest.raises(ServiceError, match=r"(?s)story has ended.*The end\."):
            processes.wait()


def test_a_part_is_told_its_surroundings(data_dir: DataDir, folder: Path) -> None:
    say = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['MONEYBACK_PUBLIC_URL'])"
    part = Service(
        "web", (sys.executable, "-c", say, str(folder / "said")), {"MONEYBACK_PUBLIC_URL": "http://here"}, False
    )
    with Supervisor(data_dir) as processes:
        processes.start(part)
        eventually(lambda: (folder / "said").exists() and (folder / "said").read_text() == "http://here")
        with pytest.raises(ServiceError, match="started already"):
            processes.start(part)


def test_a_signal_in_the_middle_of_something_is_answered_after_it() -> None:
    done = []

    def work() -> None:
        with stop_on_signals():
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
                done.append("all of it")
            done.append("and more")

    with pytest.raises(Stopped) as stopped:
        work()
    assert done == ["all of it"]
    assert (stopped.value.signal, stopped.value.code) == (signal.SIGTERM, 143)


def test_a_terminal_that_goes_away_is_nothing_to_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
