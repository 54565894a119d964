"""The fork server. It imports the modules of Moneyback's services once. To start a service, it forks a child process.

The fork server imports no module that reads environment variables during its import, because each child has its own
environment.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import celery.concurrency.prefork  # noqa: F401
import uvicorn.protocols.http.auto  # noqa: F401

import config.broker  # noqa: F401
import console.sandbox.server  # noqa: F401
import producers.web.app  # noqa: F401
import worker.relay  # noqa: F401

MAX_REQUEST = 1 << 20  # bytes, at most; a request contains the arguments and the environment of a child


class Start(NamedTuple):
    """A request to start a child. A test also sends the child's standard streams, and a socket for the exit status."""

    arguments: list[str]
    env: dict[str, str]
    folder: str


def _serve(listener: socket.socket) -> Start:
    """Fork a child for each request until the tests close the socket. Only a child returns from this function."""
    children: dict[int, socket.socket] = {}
    wakeup_read, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wakeup_read, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the test process handles Ctrl-C
    while True:
        ready, _, _ = select.select([listener.fileno(), wakeup_read], [], [])
        if wakeup_read in ready:
            os.read(wakeup_read, 4096)
            _report(children)
        if listener.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(listener, MAX_REQUEST, 4)
            if not message:
                _kill_children(children)
            *streams, status = descriptors
            pid = os.fork()
            if not pid:
                for inherited in (listener, *children.values()):
                    inherited.close()
                return _set_up_child(Start(*json.loads(message)), streams)
            for stream in streams:
                os.close(stream)
            children[pid] = socket.socket(fileno=status)
            children[pid].send(str(pid).encode())


def _report(children: dict[int, socket.socket]) -> None:
    """Send the exit statuses of ended children to the tests. Only after that, let the kernel reuse their pids."""
    for pid in list(children):
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is not None:
            code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
            with children.pop(pid) as status:
                status.send(str(code).encode())
            os.waitpid(pid, 0)


def _kill_children(children: dict[int, socket.socket]) -> NoReturn:
    for pid in children:
        os.killpg(pid, signal.SIGKILL)
    os._exit(0)


def _set_up_child(start: Start, streams: Sequence[int]) -> Start:
    """Set up the session, signals, streams and environment of a child."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(len(streams), 256)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(start.env)
    time.tzset()
    os.chdir(start.folder)
    sys.path[0] = start.folder
    return start


def _run_module(arguments: Sequence[str]) -> None:
    """Run a module as `python -m` does. If it calls `os.execv` to start a second module, run that module in the same process."""
    execv = os.execv

    def run_new_module(path: str, argv: list[str]) -> None:
        if path != sys.executable or argv[1] != "-m":
            execv(path, argv)
        _run_module(argv[2:])
        sys.exit(0)

    os.execv = run_new_module  # type: ignore[assignment]
    sys.argv = [arguments[0], *arguments[1:]]
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    _run_module(_serve(socket.socket(fileno=int(sys.argv[1]))).arguments)
