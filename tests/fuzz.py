"""Runs a reader on random input from Hypothesis for some seconds. The reader must return, and quickly."""

import os
from collections.abc import Callable
from time import monotonic, thread_time
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("MONEYBACK_FUZZ_SECONDS", "1"))  # for each reader
MAX_CPU_SECONDS = 5.0  # CPU seconds of this thread for one input

Input = TypeVar("Input")


def run_fuzz(inputs: SearchStrategy[Input], reader: Callable[[Input], object]) -> int:
    """Call ``reader`` with new random inputs for SECONDS, and return their number. Hypothesis shrinks a failing input."""
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
        began = thread_time()
        reader(value)
        assert thread_time() - began < MAX_CPU_SECONDS
        count += 1

    until = monotonic() + SECONDS
    while monotonic() < until:
        call()
    return count
