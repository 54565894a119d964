"""The timers of a chaos run: in the order of the default timers, but short."""

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
"""Constants without a setting, which are hours in the product."""

RESTART = {"console.supervisor:MAX_PAUSE": 1.0}
"""The supervisor's longest pause before a restart. It is short here, because a service that is down meets no fault."""

SANDBOX = {"turn": 1.0, "late": 0.6, "again": 0.5, "memory": 86_400.0}
"""The delays of the sandbox provider. It keeps idempotency keys as long as its adapter expects."""

DRAIN_LIMIT = 120.0
"""Seconds after the last fault until no work may remain: a lease, three deliveries of a case that crashes its workers
(6 s apart), and one second for every CASES_PER_SECOND cases of the backlog."""

CASES_PER_SECOND = 25
"""The lowest throughput of two workers with two processes each, on a busy machine."""


def environment() -> dict[str, str]:
    """Return the environment variables of the timers. Rate limits are off, because all customers share one address."""
    return {f"MONEYBACK_{name.upper()}": str(value) for name, value in TIMERS.items()} | {
        "MONEYBACK_RATE_LIMITS_ENABLED": "false"
    }
