"""Computes how long a worker waits before it polls a provider again, or sends a deferred refund again."""

import random
from datetime import timedelta

from config.settings import Timers

MAX_POLL_DELAY = 1_800.0  # maximum seconds between two polls; after an outage, a provider is polled within half an hour
MAX_RETRY_DELAY = 6 * 3_600.0  # maximum seconds between two operations of one case
MAX_DOUBLINGS = 16  # with 16 doublings every delay is above its maximum, and more doublings could overflow a float


def poll_delay(timers: Timers, polls: int) -> float:
    """Return the seconds until a provider is polled again. The delay doubles with each poll, up to half an hour."""
    return min(MAX_POLL_DELAY, _double_delay(timers, polls))


def plan_delay(timers: Timers, polls: int, max_delay: timedelta) -> float:
    """Return the seconds until an accepted refund is polled again. The delay doubles with each poll, up to ``max_delay``."""
    return min(max_delay.total_seconds(), _double_delay(timers, polls))


def retry_delay(timers: Timers, attempt: int) -> float:
    """Return the seconds until a deferred refund is sent again, as a new operation. The delay doubles with each attempt."""
    return min(MAX_RETRY_DELAY, _double_delay(timers, attempt))


def jitter() -> float:
    """Return a random factor for a delay, so that refunds that failed at the same time are retried at different times."""
    return random.uniform(0.8, 1.2)  # noqa: S311  # spreads calls over time, and protects no secret


def _double_delay(timers: Timers, doublings: int) -> float:
    return timers.poll_initial_seconds * 2.0 ** min(doublings, MAX_DOUBLINGS)
