"""Delays: how long a worker waits before it polls a provider again, or sends a deferred refund again."""

import random
from datetime import timedelta

from config.settings import Timers

MAX_POLL_DELAY = 1_800.0  # seconds: half an hour after a provider works again, the worker notices
MAX_RETRY_DELAY = 6 * 3_600.0  # seconds between two operations of one case
MAX_DOUBLINGS = 16  # more of them overflow every limit


def poll_delay(timers: Timers, polls: int) -> float:
    """Returns the seconds until a provider is polled again: they double, up to half an hour."""
    return min(MAX_POLL_DELAY, _doubled(timers, polls))


def plan_delay(timers: Timers, polls: int, longest: timedelta) -> float:
    """Returns the seconds until a refund that the provider accepted is polled again: they double, up to ``longest``."""
    return min(longest.total_seconds(), _doubled(timers, polls))


def retry_delay(timers: Timers, attempt: int) -> float:
    """Returns the seconds until a deferred refund is sent again, as a new operation."""
    return min(MAX_RETRY_DELAY, _doubled(timers, attempt))


def jitter() -> float:
    """Returns a factor for a delay, because refunds that failed together must not all be retried together."""
    return random.uniform(0.8, 1.2)  # noqa: S311  # spreads calls over time, protects nothing


def _doubled(timers: Timers, times: int) -> float:
    return timers.poll_initial_seconds * 2.0 ** min(times, MAX_DOUBLINGS)
