"""Canaries: a broker that restarts, is full, or is at the end of a half-open connection."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from console.servers import Servers
from domain.messages import RefundRequested
from records import Records
from tests.canaries.workers import Plain, ask, has_ended, known, state
from tests.fault_proxy import Proxy
from tests.services import Child, eventually

pytestmark = pytest.mark.slow

SURVIVES = {"imports": ["config.broker"]}


@pytest.mark.parametrize("options", [{}, SURVIVES], ids=["plain", "ours"])
def test_acknowledging_over_a_connection_that_is_gone_ends_a_plain_worker_and_not_one_on_our_transport(
    plain: Callable[..., Plain], servers: Servers, options: dict[str, object]
) -> None:
    """With late acknowledgement, this happens at every broker restart; with early acknowledgement, only for a lost child."""
    worker = plain(task_acks_late=True, **options)
    worker.send("note", "begun", 3)
    eventually(lambda: worker.notes() == ["begun"])
    servers.valkey.stop()
    servers.valkey.start()
    worker.send("note", "next")
    eventually(lambda: "Unrecoverable error" in worker.said() or "next" in worker.notes())
    if options:
        eventually(lambda: "Couldn't ack" in worker.said())
        assert not has_ended(worker.process)
    else:
        assert "'NoneType' object has no attribute 'hostname'" in worker.said(), (
            "Celery or kombu mended this: Channel in config/kombu_transport.py can go."
        )


@pytest.fixture
def fill(broker: redis.Redis) -> Iterator[Callable[[], object]]:
    """Fill the broker, so it refuses every command that needs memory."""
    before = str(broker.config_get("maxmemory")["maxmemory"])
    yield lambda: broker.config_set("maxmemory", 1)
    broker.config_set("maxmemory", before)


def test_a_full_broker_takes_the_message_and_the_worker(
    records: Records,
    broker: redis.Redis,
    fill: Callable[[], object],
    ours: Callable[..., Child],
    relay: Callable[[], Child],
) -> None:
    """The broker still delivers messages, but refuses to record them as unacknowledged. A supervisor restarts the worker."""
    worker = ours("worker")
    os.kill(worker.process.pid, signal.SIGSTOP)
    broker.config_resetstat()
    relay()
    case = ask(records)
    eventually(lambda: "cmdstat_lpush" in broker.info("commandstats"))
    fill()
    os.kill(worker.process.pid, signal.SIGCONT)
    eventually(lambda: has_ended(worker.process) or state(records, case) == "refunded")
    assert worker.process.returncode, "Celery mended this: a worker outlives a full broker."
    assert known(broker, RefundRequested.queue) == 0, "kombu mended this: a full broker loses no message."
    broker.config_set("maxmemory", 0)
    ours("its successor")
    eventually(lambda: state(records, case) == "refunded")


@pytest.mark.parametrize("options", [{}, SURVIVES], ids=["plain", "ours"])
def test_a_half_open_connection_swallows_what_a_plain_worker_asks_for_next_and_not_what_one_on_our_transport_does(
    plain: Callable[..., Plain], broker: redis.Redis, wire: Proxy, options: dict[str, object]
) -> None:
    """kombu renews the socket on which it listens, and then finds that its other socket is dead, too."""
    quick = {"socket_timeout": 3, "health_check_interval": 1}
    worker = plain(wire, broker_transport_options=quick, **options)
    worker.send("note", "before")
    eventually(lambda: worker.notes() == ["before"] and not known(broker, Plain.QUEUE))
    wire.freeze()
    eventually(lambda: "BRPOP got no reply" in worker.said())
    worker.send("note", "next")
    eventually(lambda: "Connection to broker lost" in worker.said())
    if options:
        eventually(lambda: worker.notes() == ["before", "next"])
    else:
        assert worker.notes() == ["before"]
        assert known(broker, Plain.QUEUE) == 0, "kombu mended this: Poller in config/kombu_transport.py can go."


def test_a_half_open_connection_is_given_up_within_fifteen_seconds(
    records: Records, wire: Proxy, ours: Callable[..., Child], relay: Callable[[], Child]
) -> None:
    """The connection never reports its end. Without the timeouts in config/broker.py, a worker would wait forever."""
    worker = ours("worker")
    relay()
    before = ask(records)
    eventually(lambda: state(records, before) == "refunded")
    wire.freeze()
    frozen = time.monotonic()
    case = ask(records)
    eventually(lambda: state(records, case) == "refunded")
    assert "Connection to broker lost" in worker.said(), "The connection was not half open: this test shows nothing."
    assert time.monotonic() - frozen < 15
    assert not has_ended(worker.process)
