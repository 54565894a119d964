"""Tests of a broker that refuses commands for a while: no service ends, and no request is lost.

Source: "Redis error messages" in the documentation of Redis. Each test makes a real broker refuse commands.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from uuid import UUID, uuid4

import pytest
import redis

from config.settings import Settings
from console.servers import Servers
from domain.messages import IncomingRequest
from producers.intake import accept
from records import Records
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import ChildProcess, create_settings, environment, eventually, fresh_database

DEAD_PORT = 1  # no server listens on this port
SERVICES = ("worker", "relay", "consume", "beat")
NEVER_ENDS = "while true do end"


@pytest.fixture(scope="module")
def broker(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        yield broker


@contextmanager
def configured(broker: redis.Redis, **values: str) -> Iterator[None]:
    """Set parameters of the broker, and restore them."""
    names = {name.replace("_", "-"): value for name, value in values.items()}
    before = {name: str(broker.config_get(name)[name]) for name in names}
    for name, value in names.items():
        broker.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            broker.config_set(name, value)


@contextmanager
def replica(broker: redis.Redis, _: Servers) -> Iterator[None]:
    """Make the broker a replica, as a failover does."""
    broker.replicaof("127.0.0.1", DEAD_PORT)
    try:
        yield
    finally:
        broker.replicaof("NO", "ONE")


@contextmanager
def replica_without_data(broker: redis.Redis, servers: Servers) -> Iterator[None]:
    """Make the broker a replica that refuses to read, because it has lost its primary."""
    with configured(broker, replica_serve_stale_data="no"), replica(broker, servers):
        yield


@contextmanager
def unwritable_disk(broker: redis.Redis, servers: Servers) -> Iterator[None]:
    """Make the broker fail to write its snapshot."""
    folder = servers.valkey.folder
    mode = folder.stat().st_mode
    with configured(broker, save="3600 1"):
        folder.chmod(0o555)
        try:
            save_snapshot(broker, "err")
            yield
        finally:
            folder.chmod(mode)
            save_snapshot(broker, "ok")


def save_snapshot(broker: redis.Redis, status: str) -> None:
    def is_saved() -> bool:
        with suppress(redis.ResponseError):  # the server may still save the previous snapshot
            broker.bgsave()
        return bool(broker.info("persistence")["rdb_last_bgsave_status"] == status)

    eventually(is_saved)


@contextmanager
def unblocked_clients(broker: redis.Redis, _: Servers) -> Iterator[None]:
    """Make the broker end the commands that wait for a message.

    A consumer that handles a message does not wait at this moment. So the commands of later moments are ended too.
    """
    ended = threading.Event()

    def unblock() -> None:
        while not ended.wait(0.05):
            for client in broker.client_list():
                if client["cmd"] == "brpop":
                    broker.client_unblock(int(client["id"]), error=True)

    thread = threading.Thread(target=unblock)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def too_few_replicas(broker: redis.Redis, _: Servers) -> Iterator[None]:
    """Make the broker wait for a replica."""
    with configured(broker, min_replicas_to_write="1"):
        yield


@contextmanager
def full_memory(broker: redis.Redis, _: Servers) -> Iterator[None]:
    """Fill the memory of the broker."""
    with configured(broker, maxmemory="1"):
        yield


@contextmanager
def endless_script(broker: redis.Redis, servers: Servers) -> Iterator[None]:
    """Make the broker run a script that never ends."""

    def run_script() -> None:
        with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as client, suppress(redis.ResponseError):
            client.eval(NEVER_ENDS, 0)

    with configured(broker, busy_reply_threshold="1"):
        thread = threading.Thread(target=run_script)
        thread.start()
        try:
            eventually(lambda: is_busy(broker))
            yield
        finally:
            broker.script_kill()
            thread.join()


def is_busy(broker: redis.Redis) -> bool:
    try:
        broker.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


REFUSALS = {
    "READONLY": replica,
    "UNBLOCKED": unblocked_clients,
    "MASTERDOWN": replica_without_data,
    "MISCONF": unwritable_disk,
    "NOREPLICAS": too_few_replicas,
    "OOM": full_memory,
    "BUSY": endless_script,
}
"""For each prefix of an error: a context manager that makes the broker refuse commands with this error."""
AFFECTED = {"OOM": {"relay", "beat"}, "UNBLOCKED": {"worker", "consume"}, "BUSY": {"relay", "beat"}}
"""For each prefix: the services that wait. A full broker still delivers messages. Only consumers wait for messages, and a busy
broker answers them only when its script has ended."""


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Yield settings with one database for all tests of this module."""
    with fresh_database(servers) as database:
        yield create_settings(servers, database, tmp_path_factory.mktemp("refusals"))


@pytest.fixture(scope="module")
def services(
    settings: Settings, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ChildProcess]]:
    """Yield a running worker, relay, queue consumer and beat, which all tests of this module share."""
    folder = tmp_path_factory.mktemp("logs")
    env = environment(settings.model_copy(update={"sandbox_url": sandbox_url}))
    options: dict[str, Sequence[str]] = {"worker": ("-c", "2"), "beat": ("--schedule", str(folder / "schedule"))}
    children = {name: ChildProcess(name, env, name, *options.get(name, ()), log=folder) for name in SERVICES}
    eventually(lambda: "ready" in children["worker"].read_log())
    yield children
    for child in children.values():
        child.kill()


def request_refund(records: Records) -> UUID:
    purchase = a_recent_purchase(charge=f"ok_{uuid4().hex}")
    store_seller_and_purchases(records, purchase)
    return ids_of(accept(records, [a_submission(purchase)]))[0]


def state_of(records: Records, case: UUID) -> str:
    with records.work() as work:
        return work.case_views.get_many([case])[case].state


def count_cases(records: Records) -> int:
    with records.work() as work:
        return len(work.case_views.search())


def publish_request(broker: redis.Redis, records: Records) -> None:
    """Publish a request to the queue of other systems, as plain JSON."""
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    request = {"email": purchase.email, "reference": purchase.reference, "reason": "dissatisfied"}
    event = {
        "specversion": "1.0",
        "id": uuid4().hex,
        "source": "aurora/form",
        "type": "moneyback.refund_requested.v1",
        "data": {"seller": "aurora", "request": request},
    }
    broker.lpush(IncomingRequest.queue, json.dumps(event))


@pytest.mark.parametrize("prefix", REFUSALS)
def test_the_services_wait_while_the_broker_refuses_commands(
    prefix: str, records: Records, servers: Servers, broker: redis.Redis, services: dict[str, ChildProcess]
) -> None:
    publish_request(broker, records)
    before = request_refund(records)
    eventually(lambda: state_of(records, before) == "refunded")
    eventually(lambda: not broker.llen(IncomingRequest.queue))
    cases = count_cases(records)
    logs = {name: log_reader(child) for name, child in services.items()}
    with REFUSALS[prefix](broker, servers):
        case = request_refund(records)
        for name in AFFECTED.get(prefix, SERVICES):
            eventually(partial(is_refused, logs[name]))
    assert any(f"({prefix})" in log() for log in logs.values())
    publish_request(broker, records)
    eventually(lambda: state_of(records, case) == "refunded")
    eventually(lambda: count_cases(records) == cases + 2)
    assert [name for name, child in services.items() if child.process.poll() is not None] == []


def test_a_request_is_accepted_although_the_memory_of_the_broker_is_full(
    records: Records, broker: redis.Redis, services: dict[str, ChildProcess]
) -> None:
    """A full broker delivers a message, but cannot store it as unacknowledged. kombu would lose such a message."""
    cases = count_cases(records)
    log = log_reader(services["consume"])
    with configured(broker, maxmemory="256mb"), broker.pipeline(transaction=True) as pipeline:
        publish_request(pipeline, records)
        pipeline.config_set("maxmemory", 1)
        pipeline.execute()
        eventually(lambda: count_cases(records) == cases + 1)
    assert "delivery_not_stored" in log()


def is_refused(log: Callable[[], str]) -> bool:
    return "refuses commands" in log()


def log_reader(child: ChildProcess) -> Callable[[], str]:
    """Return a function that returns the log of a service from now on."""
    start = len(child.read_log())
    return lambda: child.read_log()[start:]
