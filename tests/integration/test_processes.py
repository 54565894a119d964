"""Tests of the supervisor. If it gets a signal or its terminal is closed, it ends all processes. It restarts crashed services.

The first tests start a `Driver`: a small console in a separate process, with Valkey, a supervisor and three services.
"""

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
STARTS_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""
LOGS_SIGTERM = """
import signal, sys, time
def write_name(*_):
    open(sys.argv[1], "a").write(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, write_name)
open(sys.argv[1] + sys.argv[2], "w").close()
time.sleep(600)
"""
SIGTERM_IGNORER = (sys.executable, "-c", IGNORES_SIGTERM)
CHILD_STARTER = (sys.executable, "-c", STARTS_A_CHILD)
SIGTERM_LOGGER = (sys.executable, "-c", LOGS_SIGTERM)
"""The commands of three services. A test adds a file's path to a command. The service creates or writes this file."""
DRIVER = """
import fcntl, json, os, signal, sys, termios
from pathlib import Path
from console.data_dir import DataDir
from console.supervisor import Service, Supervisor, stop_on_signals
from console.servers import Valkey

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, and the console respects nohup
folder, services, wants_terminal = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] == "terminal"
if wants_terminal:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
data_dir = DataDir(folder / "h")
with stop_on_signals(), data_dir.lock(), Valkey(data_dir) as valkey, Supervisor(data_dir, report=print) as processes:
    for name, argv in services.items():
        processes.start(Service(name, argv, grace=1))
        processes.wait_for(name, (folder / name).exists if len(argv) > 3 else lambda: True)
    pids = {"valkey": valkey.pid, **processes.pids}
    (folder / "pids.new").write_text(json.dumps(pids))
    (folder / "pids.new").rename(folder / "pids")
    processes.wait(lambda: print("running", flush=True) if (folder / "print").exists() else None)
"""


def eventually(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"The condition is still false after {seconds} seconds."
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def was_restarted(processes: Supervisor, old_pid: int) -> bool:
    return processes.pids.get("worker") not in (None, old_pid)


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
    """A small console in a separate process."""

    def __init__(self, folder: Path, terminal: int | None = None) -> None:
        self.folder = folder
        services = {"sleeper": SLEEPER, "stubborn": (*SIGTERM_IGNORER, str(folder / "stubborn"))}
        services["parent"] = (*CHILD_STARTER, str(folder / "parent"))
        mode = "terminal" if terminal is not None else "plain"
        stream = subprocess.PIPE if terminal is None else terminal
        self.process = subprocess.Popen(
            (sys.executable, "-c", DRIVER, str(folder), json.dumps(services), mode),
            cwd=ROOT,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _has_written_pids(self) -> bool:
        """Return whether all processes run, or the console has ended. A file that is being written is still empty."""
        files = [self.folder / name for name in ("pids", "parent")]
        return self.process.poll() is not None or all(file.exists() and file.read_text() for file in files)

    def pids(self) -> list[int]:
        """Wait until all processes of the driver run, and return their pids."""
        eventually(self._has_written_pids, 30)
        assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
        pids = [*json.loads((self.folder / "pids").read_text()).values(), int((self.folder / "parent").read_text())]
        assert len(pids) == 5
        assert not any(has_ended(pid) for pid in pids)
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
    ("signal_number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal_ends_all_processes_and_sets_the_exit_status(
    driver: Driver, signal_number: signal.Signals, status: int
) -> None:
    pids = driver.pids()
    driver.process.send_signal(signal_number)
    assert driver.process.wait(20) == status
    assert all(has_ended(pid) for pid in pids)


def test_repeated_interrupts_leave_no_process(driver: Driver) -> None:
    pids = driver.pids()
    while driver.process.poll() is None:
        driver.process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    assert driver.process.returncode in (130, -signal.SIGINT)  # -SIGINT: Python was already shutting down
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux can send a signal to a child process when its parent ends"
)
def test_if_the_console_is_killed_services_end_unless_they_ignore_sigterm(driver: Driver) -> None:
    pids = driver.pids()
    stubborn = json.loads((driver.folder / "pids").read_text())["stubborn"]
    # Linux sends SIGTERM only to direct children of the killed console, so the child process of the service "parent" continues.
    orphan = int((driver.folder / "parent").read_text())
    driver.process.kill()
    eventually(lambda: all(has_ended(pid) for pid in pids if pid not in (stubborn, orphan)))
    for pid in (stubborn, orphan):
        os.kill(pid, signal.SIGKILL)


def test_a_console_with_a_closed_output_pipe_ends_all_processes(driver: Driver) -> None:
    pids = driver.pids()
    assert driver.process.stdout
    driver.process.stdout.close()
    (driver.folder / "print").touch()  # the console prints a line, which fails because the pipe is closed
    assert driver.process.wait(20) != 0
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.parametrize("end", ["ctrl-c", "closed"])
def test_ctrl_c_or_a_closed_terminal_ends_all_processes(folder: Path, end: str) -> None:
    controller, terminal = pty.openpty()
    driver = Driver(folder, terminal=terminal)
    os.close(terminal)
    pids = driver.pids()
    if end == "ctrl-c":
        os.write(controller, b"\x03")
        assert driver.process.wait(20) == 130
        os.close(controller)
    else:
        (driver.folder / "print").touch()
        os.close(controller)
        assert driver.process.wait(20) == 129
    assert all(has_ended(pid) for pid in pids)


def test_a_killed_service_is_restarted_each_time(data_dir: DataDir) -> None:
    reports: list[str] = []
    with Supervisor(data_dir, report=reports.append) as processes:
        processes.start(Service("worker", SLEEPER))
        for _ in range(2):
            old_pid = processes.pids["worker"]
            os.kill(old_pid, signal.SIGKILL)
            eventually(partial(was_restarted, processes, old_pid))
        last_pid = processes.pids["worker"]
    assert has_ended(last_pid)
    assert reports == [
        "worker has ended with status -9; it is restarted in 0.5 seconds.",
        "worker has ended with status -9; it is restarted in 1 seconds.",
    ]


def test_the_child_of_a_killed_service_is_ended(data_dir: DataDir, folder: Path) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("parent", (*CHILD_STARTER, str(folder / "child")), restart=False))
        processes.wait_for("parent", lambda: (folder / "child").exists() and bool((folder / "child").read_text()))
        child = int((folder / "child").read_text())
        os.kill(processes.pids["parent"], signal.SIGKILL)
        eventually(lambda: has_ended(child))
        eventually(lambda: "parent has ended with status -9." in data_dir.log("processes").read_text())


def test_each_service_receives_sigterm_once(data_dir: DataDir, folder: Path) -> None:
    log = folder / "sigterm.log"
    with Supervisor(data_dir) as processes:
        for name in "abc":
            processes.start(Service(name, (*SIGTERM_LOGGER, str(log), name)))
            processes.wait_for(name, Path(f"{log}{name}").exists)
        os.kill(processes.pids["a"], signal.SIGKILL)
        Path(f"{log}a").unlink()
        processes.wait_for("b", Path(f"{log}a").exists)  # wait until the supervisor has restarted the service "a"
        processes.stop()
        processes.stop()
    assert sorted(log.read_text()) == ["a", "b", "c"]


def test_a_service_that_ignores_sigterm_is_killed_after_its_grace_period(data_dir: DataDir, folder: Path) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("stubborn", (*SIGTERM_IGNORER, str(folder / "ready")), grace=0.2))
        processes.wait_for("stubborn", (folder / "ready").exists)
        pid = processes.pids["stubborn"]
    assert has_ended(pid)


def test_waiting_for_a_crashed_service_fails_with_its_last_output(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        for restart in (True, False):
            service = Service(f"web-{restart}", (sys.executable, "-c", "exit('The port is taken.')"), restart=restart)
            processes.start(service)
            with pytest.raises(ServiceError, match=r"(?s)ended while it was starting.*The port is taken\."):
                processes.wait_for(service, lambda: False)


def test_waiting_for_a_service_has_a_timeout(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("web", SLEEPER))
        with pytest.raises(ServiceError, match=r"not ready after 0\.2 seconds"):
            processes.wait_for("web", lambda: False, 0.2)


def test_the_error_for_a_missing_program_contains_its_path(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("web", ("/no/such/program",)))
        with pytest.raises(ServiceError, match="/no/such/program cannot be started: No such file"):
            processes.wait_for("web", lambda: False)


def test_wait_raises_an_error_if_a_service_without_restart_ends(data_dir: DataDir) -> None:
    with Supervisor(data_dir) as processes:
        processes.start(Service("story", (sys.executable, "-c", "print('The end.')"), restart=False))
        with pytest.raises(ServiceError, match=r"(?s)story has ended.*The end\."):
            processes.wait()


def test_a_service_gets_its_environment_and_is_started_once(data_dir: DataDir, folder: Path) -> None:
    program = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['MONEYBACK_PUBLIC_URL'])"
    service = Service(
        "web", (sys.executable, "-c", program, str(folder / "url")), {"MONEYBACK_PUBLIC_URL": "http://here"}, False
    )
    with Supervisor(data_dir) as processes:
        processes.start(service)
        eventually(lambda: (folder / "url").exists() and (folder / "url").read_text() == "http://here")
        with pytest.raises(ServiceError, match="started already"):
            processes.start(service)


def test_a_signal_during_an_uninterrupted_block_takes_effect_after_the_block() -> None:
    done = []

    def work() -> None:
        with stop_on_signals():
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
                done.append("in the block")
            done.append("after the block")

    with pytest.raises(Stopped) as stopped:
        work()
    assert done == ["in the block"]
    assert (stopped.value.signal, stopped.value.code) == (signal.SIGTERM, 143)


def test_a_console_under_nohup_ignores_a_closed_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
