"""Tests of a broker that may delete messages when its memory is full.

The doctor reports the fault, and relay and worker log a warning.
"""

import json
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from config.eviction import check_eviction
from config.settings import Settings
from console.servers import Servers
from tests import fork_server
from tests.services import ChildProcess, environment, eventually

EVICTING = (
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)


@pytest.fixture
def broker(servers: Servers, settings: Settings) -> Iterator[redis.Redis]:  # noqa: ARG001  # the fixture `settings` empties the broker
    """Yield the broker. Restore its limit and its policy after the test."""
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        before = {name: str(broker.config_get(name)[name]) for name in ("maxmemory", "maxmemory-policy")}
        yield broker
        for name, value in before.items():
            broker.config_set(name, value)
        broker.acl_deluser("guest")


def run_doctor(settings: Settings) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run `moneyback doctor`. Return its exit code and its checks by name."""
    run = fork_server.run("console", "doctor", "--json", env={**os.environ, **environment(settings)})
    return run.returncode, {check["name"]: check for check in json.loads(run.stdout)["checks"]}


@pytest.mark.parametrize("limit", ["0", "100mb"])
@pytest.mark.parametrize("policy", EVICTING)
def test_the_doctor_fails_if_the_broker_may_delete_messages(
    settings: Settings, broker: redis.Redis, policy: str, limit: str
) -> None:
    broker.config_set("maxmemory", limit)
    broker.config_set("maxmemory-policy", policy)
    code, checks = run_doctor(settings)
    assert (code, checks["broker"]["ok"], checks["broker memory"]["ok"]) == (1, True, False)
    assert f"maxmemory-policy is {policy}. Set it to noeviction" in checks["broker memory"]["message"]


def test_the_doctor_passes_if_the_broker_deletes_no_message(settings: Settings, broker: redis.Redis) -> None:
    broker.config_set("maxmemory-policy", "noeviction")
    code, checks = run_doctor(settings)
    assert (code, checks["broker memory"]["ok"]) == (0, True)


@pytest.mark.parametrize(
    ("refused", "ok", "sentence"),
    [
        (("-config",), False, "maxmemory-policy is allkeys-lru"),
        (("-info",), False, "maxmemory-policy is allkeys-lru"),
        (("-config", "-info"), True, "cannot be checked"),
        (("-@dangerous", "+info"), False, "maxmemory-policy is allkeys-lru"),
        (("-@admin", "-@dangerous"), True, "cannot be checked"),
    ],
    ids=str,
)
def test_the_policy_is_checked_as_far_as_the_user_may(
    servers: Servers, broker: redis.Redis, refused: tuple[str, ...], ok: bool, sentence: str
) -> None:
    """The administrators of a managed broker often forbid some commands."""
    broker.config_set("maxmemory-policy", "allkeys-lru")
    rules = ["reset", "on", "nopass", "~*", "&*", "+@all", *refused]
    broker.execute_command("ACL", "SETUSER", "guest", *rules)  # type: ignore[no-untyped-call]  # incomplete stubs
    password = "any"  # the user has no password
    with redis.Redis(unix_socket_path=str(servers.valkey.socket), username="guest", password=password) as guest:
        check = check_eviction(SimpleNamespace(client=guest))
    assert check.ok is ok
    assert sentence in check.message


def test_a_broker_that_is_not_redis_deletes_no_key() -> None:
    assert check_eviction(SimpleNamespace()).ok


@pytest.mark.parametrize("refusal", [{"maxmemory": "1"}, {"min-replicas-to-write": "1"}], ids=str)
def test_the_doctor_fails_if_the_broker_refuses_messages(
    settings: Settings, broker: redis.Redis, refusal: dict[str, str]
) -> None:
    before = {name: str(broker.config_get(name)[name]) for name in refusal}
    for name, value in refusal.items():
        broker.config_set(name, value)
    code, checks = run_doctor(settings)
    for name, value in before.items():
        broker.config_set(name, value)
    assert (code, checks["broker"]["ok"]) == (1, False)
    assert "The broker is unavailable: The broker refuses commands, because" in checks["broker"]["message"]


@pytest.mark.parametrize("service", ["relay", "worker"])
def test_a_service_warns_at_its_start_if_the_broker_may_delete_messages(
    broker: redis.Redis, start: Callable[..., ChildProcess], service: str
) -> None:
    broker.config_set("maxmemory-policy", "volatile-ttl")
    child = start(service, service)
    eventually(lambda: "broker_evicts_messages" in child.read_log())
    assert "maxmemory-policy is volatile-ttl" in child.read_log()
