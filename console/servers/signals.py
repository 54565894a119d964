"""Turns a stop signal into one exception, which is never raised while a child process is started or stopped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(SystemExit):
    """A stop signal arrived. If nothing catches it, the exit status is 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class _SignalGate:
    """Raises Stopped for the first signal, as soon as no uninterrupted block is active. Later signals are ignored."""

    def __init__(self) -> None:
        self.uninterrupted = 0
        self.first_signal: int | None = None
        self.raised = False

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.first_signal = self.first_signal or number
        self.raise_pending()

    def raise_pending(self) -> None:
        if self.first_signal and not self.raised and not self.uninterrupted:
            self.raised = True
            raise Stopped(self.first_signal)


_gate = _SignalGate()


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise Stopped in the block at the first SIGINT, SIGTERM or SIGHUP. This must be the outermost context manager."""
    _gate.first_signal, _gate.raised = None, False
    handled = [number for number in STOP_SIGNALS if not _is_ignored_by_nohup(number)]
    previous_handlers = {number: signal.signal(number, _gate.on_signal) for number in handled}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay a stop signal until the end of the block, so that no start and no stop of a child process is interrupted."""
    if threading.current_thread() is not threading.main_thread():  # Python handles signals only in the main thread
        yield
        return
    _gate.uninterrupted += 1
    try:
        yield
    finally:
        _gate.uninterrupted -= 1
        if not _gate.uninterrupted:
            _gate.raise_pending()


def _is_ignored_by_nohup(number: signal.Signals) -> bool:
    """Return True if this signal is SIGHUP and nohup makes this program ignore it."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
