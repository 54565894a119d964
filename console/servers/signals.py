"""Turns a stop signal into one exception, which is never raised while a child process is started or stopped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(SystemExit):
    """A stop signal arrived. If nothing catches it, the exit status is 128 + signal: 130 for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class _SignalGate:
    """Raises the first signal outside of uninterrupted blocks; ignores later signals."""

    def __init__(self) -> None:
        self.uninterrupted = 0
        self.first: int | None = None
        self.raised = False

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        self.raise_pending()

    def raise_pending(self) -> None:
        if self.first and not self.raised and not self.uninterrupted:
            self.raised = True
            raise Stopped(self.first)


_gate = _SignalGate()


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise Stopped in the block at the first SIGINT, SIGTERM or SIGHUP. Make it the outermost context."""
    _gate.first, _gate.raised = None, False
    before = {number: signal.signal(number, _gate.on_signal) for number in STOP_SIGNALS if not _by_nohup(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay a stop signal until the end of the block, so every child is known and every stop completes."""
    if threading.current_thread() is not threading.main_thread():  # signals are only raised in the main thread
        yield
        return
    _gate.uninterrupted += 1
    try:
        yield
    finally:
        _gate.uninterrupted -= 1
        if not _gate.uninterrupted:
            _gate.raise_pending()


def _by_nohup(number: signal.Signals) -> bool:
    """Return whether nohup has set this signal to be ignored."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
