"""The timers of a chaos run. They are shorter than the default timers, but sorted by length they have the same order."""

from datetime import timedelta
from typing import Any

TIMERS = {
    "provider_timeout_seconds": 2.0,
    "task_soft_time_limit_seconds": 5.0,
    "task_time_limit_seconds": 6.0,
    "lease_seconds": 8.0,
    "resend_after_seconds": 4.0,
    "poll_initial_seconds": 0.5,
    "sweep_interval_seconds": 1.0,
    "brokerless_after_seconds": 6.0,
}

SHORTENED: dict[str, Any] = {
    "worker.providers.call_pool:MAX_WAIT_SECONDS": 0.3,
    "worker.refunds.backoff:MAX_POLL_DELAY": 4.0,
    "worker.refunds.backoff:MAX_RETRY_DELAY": 4.0,
    "worker.refunds.recording:MIN_LOOKUP_INTERVAL": timedelta(seconds=2),
    "worker.refunds.give_up:IN_FLIGHT_FOR": timedelta(seconds=20),  # longer than any call of Moneyback takes
}
"""The values of constants that have no setting. In the product, their values are up to six hours."""

RESTART = {"console.supervisor:MAX_PAUSE": 1.0}
"""The supervisor's longest pause in seconds before a restart.

It is short, because no fault can affect a service that does not run.
"""

SANDBOX = {"turn": 1.0, "late": 0.6, "again": 0.5, "memory": 86_400.0}
"""The time options of the sandbox provider, in seconds.

`memory` is the lifetime of idempotency keys. The adapter expects this lifetime.
"""

DRAIN_LIMIT = 120.0
"""The seconds after the last fault after which no work may remain. Open cases add time: see CASES_PER_SECOND.

The limit covers a lease, and three deliveries, 6 s apart, of a case that crashes its workers.
"""

CASES_PER_SECOND = 25
"""The lowest throughput of two workers with two processes each, on a busy machine."""


def environment() -> dict[str, str]:
    """Return the environment variables of the timers. Rate limits are off, because all customers share one address."""
    return {f"MONEYBACK_{name.upper()}": str(value) for name, value in TIMERS.items()} | {
        "MONEYBACK_RATE_LIMITS_ENABLED": "false"
    }
