"""Calls a parser with random input from Hypothesis for some seconds. Every call must return quickly."""

import os
from collections.abc import Callable
from time import monotonic, thread_time
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("MONEYBACK_FUZZ_SECONDS", "1"))  # seconds for each parser
MAX_CPU_SECONDS = 5.0  # the maximum CPU time for one input

Input = TypeVar("Input")


def run_fuzz(inputs: SearchStrategy[Input], parse: Callable[[Input], object]) -> int:
    """Call ``parse`` with random inputs for SECONDS seconds. Return the number of calls. Hypothesis shrinks a failing input."""
    count = 0

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def call(value: Input) -> None:
        nonlocal count
        started = thread_time()
        parse(value)
        assert thread_time() - started < MAX_CPU_SECONDS
        count += 1

    until = monotonic() + SECONDS
    while monotonic() < until:
        call()
    return count
