"""Tests of a fault of kombu, which Moneyback corrects: lost acknowledgements use up the prefetch credits of a worker.

A prefetch credit allows a worker to request one message. A worker without credits stops consuming, and logs nothing.
"""

from collections.abc import Callable

import pytest
import redis

from records import Records
from tests.canaries.workers import PlainWorker, has_ended, request_refund, state_of
from tests.fault_proxy import Proxy
from tests.services import ChildProcess, eventually

pytestmark = pytest.mark.slow


def stopped_polling(broker: redis.Redis) -> bool:
    """Return True if the last poll of every worker is three or more seconds ago.

    A worker with a free credit polls every second.
    """
    idle_seconds = [int(client["idle"]) for client in broker.client_list() if client["cmd"] == "brpop"]
    return bool(idle_seconds) and min(idle_seconds) >= 3


def test_a_plain_worker_stops_consuming_after_one_lost_acknowledgement_per_process(
    start_plain_worker: Callable[..., PlainWorker], proxy: Proxy, broker: redis.Redis
) -> None:
    worker = start_plain_worker(proxy)
    for word in ("first", "second"):
        loss = proxy.lose(request=b"HDEL")
        worker.send("note", word)
        assert loss.happened.wait(10)
    worker.send("note", "third")
    eventually(lambda: stopped_polling(broker) or "third" in worker.notes())
    assert worker.notes() == ["first", "second"], (
        "kombu no longer has this fault. Remove _restore_credits() from worker/celery_fixes/watchdog.py."
    )
    assert broker.llen(PlainWorker.QUEUE) == 1
    assert not has_ended(worker.process)


def test_the_product_worker_gets_its_credits_back(
    records: Records,
    proxy: Proxy,
    start_product_worker: Callable[[], ChildProcess],
    start_relay: Callable[[], ChildProcess],
) -> None:
    worker = start_product_worker()
    start_relay()
    cases = []
    for _ in range(4):
        loss = proxy.lose(request=b"HDEL")
        cases.append(request_refund(records))
        assert loss.happened.wait(20)
    cases.append(request_refund(records))
    eventually(lambda: {state_of(records, case) for case in cases} == {"refunded"})
    assert worker.read_log().count("prefetch_credit_restored") >= 2
    assert not has_ended(worker.process)
