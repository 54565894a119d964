"""The times of a run of chaos: the order of the real timers, in seconds that a run can outlast many times."""

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
    "worker.providers.call_pool:SLOW": 0.3,
    "worker.refunds.backoff:MAX_POLL_DELAY": 4.0,
    "worker.refunds.backoff:MAX_RETRY_DELAY": 4.0,
    "worker.refunds.recording:LOOK_UPS_APART": timedelta(seconds=2),
    "worker.refunds.give_up:IN_FLIGHT_FOR": timedelta(seconds=20),  # longer than anything of ours can be under way
}
"""Constants that no setting changes: hours in the product."""

RESTART = {"console.supervisor:MAX_PAUSE": 1.0}
"""The supervisor's patience with a part that keeps dying: here it is not the part's fault, and who is dead meets no fault."""

SANDBOX = {"turn": 1.0, "late": 0.6, "again": 0.5, "memory": 86_400.0}
"""How long things take at the provider. It remembers keys for as long as its adapter believes."""

BOUND = 120.0
"""Within so many seconds after the last fault everything has come to rest: a lease, three deliveries of a case that end
its workers (6 s apart, at the pace of the lane), and a second for every CATCHING_UP cases that the faults have left."""

CATCHING_UP = 25
"""Cases a second that two workers of two processes catch up with at the least, beside all that this machine has to do."""


def environment() -> dict[str, str]:
    """These times as a process of the product reads them; all the customers are one machine, so no brake is on."""
    return {f"MONEYBACK_{name.upper()}": str(value) for name, value in TIMERS.items()} | {
        "MONEYBACK_RATE_LIMITS_ENABLED": "false"
    }
