"""Garbage for a while: hypothesis makes it, a reader must answer every time, and soon."""

import os
from collections.abc import Callable
from time import monotonic, thread_time
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("MONEYBACK_FUZZ_SECONDS", "1"))  # at each door; a minute when it is asked for
SOON = 5.0  # seconds of this thread's own work on one piece of garbage

Garbage = TypeVar("Garbage")


def thrown(garbage: SearchStrategy[Garbage], at: Callable[[Garbage], object]) -> int:
    """Throw garbage for so long, new garbage every time; a failure is shrunk and shown. How much was thrown."""
    count = 0

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(garbage)
    def throw(piece: Garbage) -> None:
        nonlocal count
        began = thread_time()
        at(piece)
        assert thread_time() - began < SOON
        count += 1

    until = monotonic() + SECONDS
    while monotonic() < until:
        throw()
    return count
