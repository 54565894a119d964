"""A signal that asks us to stop becomes an exception, once, and never in the middle of starting or stopping a child."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASK_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(SystemExit):
    """A signal asked us to stop. Uncaught, it is the exit status 128 + signal: 130 for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class _Gate:
    """The first signal is raised once nothing unbroken is under way; further ones are ignored."""

    def __init__(self) -> None:
        self.unbroken = 0
        self.first: int | None = None
        self.raised = False

    def heard(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        self.answer()

    def answer(self) -> None:
        if self.first and not self.raised and not self.unbroken:
            self.raised = True
            raise Stopped(self.first)


_gate = _Gate()


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Stopped in the block, once. The outermost of a program's contexts."""
    _gate.first, _gate.raised = None, False
    before = {number: signal.signal(number, _gate.heard) for number in ASK_TO_STOP if not _by_nohup(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unbroken() -> Iterator[None]:
    """A signal that arrives in here is answered after it: no child is forgotten, no stop is left half done."""
    if threading.current_thread() is not threading.main_thread():  # signals are only raised in the main thread
        yield
        return
    _gate.unbroken += 1
    try:
        yield
    finally:
        _gate.unbroken -= 1
        if not _gate.unbroken:
            _gate.answer()


def _by_nohup(number: signal.Signals) -> bool:
    """A terminal that goes away is no reason to stop for somebody who asked for nohup."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
