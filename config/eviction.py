"""Checks the eviction policy of the broker. With any policy but ``noeviction``, Redis deletes keys, and a queue is a key.

Source: "Key eviction" in the documentation of Redis.
"""

from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from redis.exceptions import ResponseError

from config.broker import redis_client

log = structlog.get_logger()

NO_EVICTION = "noeviction"


class EvictionCheck(NamedTuple):
    """The result of the check: whether the broker keeps every message, and a sentence for operators."""

    ok: bool
    message: str


def check_eviction(channel: Any) -> EvictionCheck:  # noqa: ANN401  # kombu's channel; its stubs are incomplete
    """Return whether the broker of this channel keeps every message when its memory is full.

    A limit of 0 (``maxmemory``) makes no difference: a policy that evicts is a fault that shows as soon as a limit is set.
    """
    client = redis_client(channel)
    if client is None:
        return EvictionCheck(ok=True, message="Only Redis and Valkey evict keys.")
    policy = _read_policy(client)
    if policy is None:
        advice = f"Make sure that maxmemory-policy is {NO_EVICTION}."
        refused = "The eviction policy cannot be checked, because the broker refuses INFO and CONFIG GET."
        return EvictionCheck(ok=True, message=f"{refused} {advice}")
    if policy == NO_EVICTION:
        return EvictionCheck(ok=True, message="The broker deletes no message when its memory is full.")
    fault = f"The broker may delete messages when its memory is full, because maxmemory-policy is {policy}."
    advice = f"Set it to {NO_EVICTION} in the configuration or the parameter group of the broker."
    return EvictionCheck(ok=False, message=f"{fault} {advice}")


def warn_of_eviction(channel: Any) -> None:  # noqa: ANN401  # kombu's channel; its stubs are incomplete
    """Log a warning if the broker of this channel may delete messages."""
    check = check_eviction(channel)
    if not check.ok:
        log.warning("broker_evicts_messages", why=check.message)


def _read_policy(client: Any) -> str | None:  # noqa: ANN401  # kombu's Redis client
    """Return the eviction policy; None if the broker does not tell it. Managed brokers often refuse CONFIG GET, some INFO."""
    for command, argument, field in (
        (client.info, "memory", "maxmemory_policy"),
        (client.config_get, "maxmemory-policy", "maxmemory-policy"),
    ):
        with suppress(ResponseError):
            if policy := command(argument).get(field):
                return str(policy)
    return None
