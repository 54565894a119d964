"""The timers of a chaos run. They are shorter than the default timers, and their order by length is the same."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tests.chaos.kill_points import DESK, PROCESSING

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
    "worker.refunds.give_up:IN_FLIGHT_FOR": timedelta(seconds=20),  # longer than any call to the provider takes
    "worker.webhook_events.processing:WAIT_FOR_OTHER_REFUND": 3.0,
}
"""Shorter values for constants that have no setting. In the product, these constants are up to six hours long."""

LEASE_SECONDS = 3.0
"""How long a task is an agent's after the last action of the agent."""

SHORTENED_AT_DESK: dict[str, Any] = {
    "producers.desk.queue:LEASE_SECONDS": LEASE_SECONDS,
    "producers.decisions:UNDO_SECONDS": 4.0,
}
"""Shorter values for constants of the desk. In the product, these constants are 10 minutes and 10 seconds."""

SHORTENED_FOR: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(PROCESSING, SHORTENED),
    **dict.fromkeys(DESK, SHORTENED_AT_DESK),
}
"""The shortened constants of each service."""

RESTART = {"console.supervisor:MAX_PAUSE": 1.0}
"""The supervisor's longest pause before it restarts a service, in seconds.

The pause is short, because faults cannot affect a service that does not run.
"""

SANDBOX = {"turn": 1.0, "late": 0.6, "again": 0.5, "memory": 86_400.0}
"""The time options of the sandbox provider, in seconds.

`memory` is the time for which the sandbox stores idempotency keys. The sandbox's adapter expects 24 hours.
"""

DRAIN_LIMIT = 120.0
"""The maximum time in seconds from the last fault until no work remains. Open cases extend this limit: see CASES_PER_SECOND.

This limit is longer than a lease. It is also longer than the three deliveries, 6 s apart, of a case that crashes workers.
"""

CASES_PER_SECOND = 25
"""The lowest throughput of two workers with two processes each, on a busy machine."""


def environment() -> dict[str, str]:
    """Return the environment variables of the timers. Rate limits are off, because all customers have the same IP address."""
    return {f"MONEYBACK_{name.upper()}": str(value) for name, value in TIMERS.items()} | {
        "MONEYBACK_RATE_LIMITS_ENABLED": "false"
    }
