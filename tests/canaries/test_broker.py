"""Canaries: a broker that restarts, a full broker, and a half-open connection to the broker."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from console.servers import Servers
from records import Records
from tests.canaries.workers import PlainWorker, count_messages, has_ended, request_refund, state_of
from tests.fault_proxy import Proxy
from tests.services import ChildProcess, eventually

pytestmark = pytest.mark.slow

WITH_CORRECTION = {"imports": ["config.broker"]}  # config.broker installs the product's transport


@pytest.mark.parametrize("options", [{}, WITH_CORRECTION], ids=["plain", "product"])
def test_acknowledging_on_a_closed_connection_ends_only_a_plain_worker(
    start_plain_worker: Callable[..., PlainWorker], servers: Servers, options: dict[str, object]
) -> None:
    """The broker restarts during the task, and the worker acknowledges the message after the task.

    An acknowledgement after the task shows the fault without a crash. With an acknowledgement before the task, a child process
    would have to crash.
    """
    worker = start_plain_worker(task_acks_late=True, **options)
    worker.send("note", "begun", 3)
    eventually(lambda: worker.notes() == ["begun"])
    servers.valkey.stop()
    servers.valkey.start()
    worker.send("note", "next")
    eventually(lambda: "Unrecoverable error" in worker.read_log() or "next" in worker.notes())
    if options:
        eventually(lambda: "Couldn't ack" in worker.read_log())
        assert not has_ended(worker.process)
    else:
        assert "'NoneType' object has no attribute 'hostname'" in worker.read_log(), (
            "Celery or kombu corrected this fault: remove Channel from config/kombu_transport.py."
        )


@pytest.fixture
def fill_broker(broker: redis.Redis) -> Iterator[Callable[[], object]]:
    """Yield a function that fills the broker's memory. Then the broker refuses every command that needs memory."""
    before = str(broker.config_get("maxmemory")["maxmemory"])
    yield lambda: broker.config_set("maxmemory", 1)
    broker.config_set("maxmemory", before)


@pytest.mark.parametrize("options", [{}, WITH_CORRECTION], ids=["plain", "product"])
def test_a_full_broker_loses_a_message_and_ends_only_a_plain_worker(
    start_plain_worker: Callable[..., PlainWorker],
    broker: redis.Redis,
    fill_broker: Callable[[], object],
    options: dict[str, object],
) -> None:
    """A full broker delivers a message, but cannot store it as unacknowledged."""
    worker = start_plain_worker(**options)
    os.kill(worker.process.pid, signal.SIGSTOP)
    eventually(lambda: not any(client["cmd"] == "brpop" and "b" in client["flags"] for client in broker.client_list()))
    worker.send("note", "first")
    fill_broker()
    os.kill(worker.process.pid, signal.SIGCONT)
    eventually(lambda: has_ended(worker.process) or "first" in worker.notes())
    if options:
        assert not has_ended(worker.process)
    else:
        assert worker.process.returncode, "Celery has corrected the fault that a full broker ends a worker."
        assert count_messages(broker, PlainWorker.QUEUE) == 0, (
            "kombu has corrected the fault that a full broker loses a message: remove QoS from config/kombu_transport.py."
        )


@pytest.mark.parametrize("options", [{}, WITH_CORRECTION], ids=["plain", "product"])
def test_a_failover_ends_only_a_plain_worker(
    start_plain_worker: Callable[..., PlainWorker], broker: redis.Redis, options: dict[str, object]
) -> None:
    """The broker becomes a replica while the worker waits for a message, and a primary again."""
    worker = start_plain_worker(**options)
    broker.replicaof("127.0.0.1", 1)
    broker.replicaof("NO", "ONE")
    worker.send("note", "next")
    eventually(lambda: has_ended(worker.process) or "next" in worker.notes())
    assert has_ended(worker.process) is not bool(options), (
        "Celery or kombu has corrected this fault: remove config/broker_refusals.py."
    )


@pytest.mark.parametrize("options", [{}, WITH_CORRECTION], ids=["plain", "product"])
def test_after_a_half_open_connection_only_a_plain_worker_loses_a_message(
    start_plain_worker: Callable[..., PlainWorker], broker: redis.Redis, proxy: Proxy, options: dict[str, object]
) -> None:
    """kombu reopens the socket with which it polls, and only then detects that another of its sockets is half open."""
    short_timeouts = {"socket_timeout": 3, "health_check_interval": 1}
    worker = start_plain_worker(proxy, broker_transport_options=short_timeouts, **options)
    worker.send("note", "before")
    eventually(lambda: worker.notes() == ["before"] and not count_messages(broker, PlainWorker.QUEUE))
    eventually(lambda: proxy.is_answered(b"EXEC"))  # the worker has the response to its acknowledgement
    proxy.freeze()
    eventually(lambda: "BRPOP got no reply" in worker.read_log())
    worker.send("note", "next")
    eventually(lambda: "Connection to broker lost" in worker.read_log())
    if options:
        eventually(lambda: worker.notes() == ["before", "next"])
    else:
        assert worker.notes() == ["before"]
        assert count_messages(broker, PlainWorker.QUEUE) == 0, (
            "kombu corrected this fault: remove Poller from config/kombu_transport.py."
        )


def test_a_half_open_connection_is_closed_within_fifteen_seconds(
    records: Records,
    proxy: Proxy,
    start_product_worker: Callable[..., ChildProcess],
    start_relay: Callable[[], ChildProcess],
) -> None:
    """A half-open connection reports no error. Without the timeouts in config/broker.py, a worker would wait forever."""
    worker = start_product_worker("worker")
    start_relay()
    before = request_refund(records)
    eventually(lambda: state_of(records, before) == "refunded")
    proxy.freeze()
    frozen = time.monotonic()
    case = request_refund(records)
    eventually(lambda: state_of(records, case) == "refunded")
    assert "Connection to broker lost" in worker.read_log(), "No connection was half open, so this test proves nothing."
    assert time.monotonic() - frozen < 15
    assert not has_ended(worker.process)
