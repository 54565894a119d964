"""Canaries: a lost acknowledgement keeps its prefetch credit, and a worker without credits silently stops consuming."""

from collections.abc import Callable

import pytest
import redis

from records import Records
from tests.canaries.workers import Plain, ask, has_ended, state
from tests.fault_proxy import Proxy
from tests.services import Child, eventually

pytestmark = pytest.mark.slow


def is_deaf(broker: redis.Redis) -> bool:
    """Return whether no client asked for a message for three seconds; a worker with a credit asks every second."""
    idle = [int(client["idle"]) for client in broker.client_list() if client["cmd"] == "brpop"]
    return bool(idle) and min(idle) >= 3


def test_a_plain_worker_is_deaf_after_as_many_lost_acknowledgements_as_it_has_processes(
    plain: Callable[..., Plain], wire: Proxy, broker: redis.Redis
) -> None:
    worker = plain(wire)
    for word in ("first", "second"):
        loss = wire.cut(asked=b"HDEL")
        worker.send("note", word)
        assert loss.made.wait(10)
    worker.send("note", "third")
    eventually(lambda: is_deaf(broker) or "third" in worker.notes())
    assert worker.notes() == ["first", "second"], (
        "kombu mended this: _restore_credits() in worker/celery_fixes/watchdog.py can go."
    )
    assert broker.llen(Plain.QUEUE) == 1
    assert not has_ended(worker.process)


def test_our_worker_gets_its_credits_back(
    records: Records, wire: Proxy, ours: Callable[[], Child], relay: Callable[[], Child]
) -> None:
    worker = ours()
    relay()
    cases = []
    for _ in range(4):
        loss = wire.cut(asked=b"HDEL")
        cases.append(ask(records))
        assert loss.made.wait(20)
    cases.append(ask(records))
    eventually(lambda: {state(records, case) for case in cases} == {"refunded"})
    assert worker.said().count("prefetch_credit_restored") >= 2
    assert not has_ended(worker.process)
