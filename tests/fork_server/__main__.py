"""The fork server: imports the services' modules, except for modules that read the environment, and forks."""

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

MAX_REQUEST = 1 << 20  # bytes of one request: arguments and environment


class Start(NamedTuple):
    """The module and environment of a child; three file descriptors are sent with it."""

    words: list[str]
    env: dict[str, str]
    folder: str


def _serve(listener: socket.socket) -> Start:
    """Fork for each request until the tests close the socket. Returns only in the children."""
    children: dict[int, socket.socket] = {}
    ended, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(ended, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    while True:
        ready, _, _ = select.select([listener.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
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
    """Report the exit status of ended children to the tests, before their pids are free again."""
    for pid in list(children):
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
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


def _run_module(words: Sequence[str]) -> None:
    """Run a module as ``python -m`` does, and also the module that it replaces itself with."""
    execv = os.execv

    def replaced(path: str, argv: list[str]) -> None:
        if path != sys.executable or argv[1] != "-m":
            execv(path, argv)
        _run_module(argv[2:])
        sys.exit(0)

    os.execv = replaced  # type: ignore[assignment]
    sys.argv = [words[0], *words[1:]]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    _run_module(_serve(socket.socket(fileno=int(sys.argv[1]))).words)
