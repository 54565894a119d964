"""Canaries: tests that fail when Celery or kombu has corrected a known fault.

Such a fault loses a message or ends a worker. No refund is lost, because the sweep publishes overdue cases again.
"""

import os
import signal
from collections.abc import Callable

import pytest
import redis

from domain.messages import RefundRequested
from records import Records
from tests.canaries.workers import PlainWorker, children, count_messages, has_ended, request_refund, state_of
from tests.fault_proxy import Proxy
from tests.services import ChildProcess, eventually

pytestmark = pytest.mark.slow


def test_a_lost_response_loses_the_message(
    records: Records,
    broker: redis.Redis,
    proxy: Proxy,
    start_product_worker: Callable[[], ChildProcess],
    start_relay: Callable[[], ChildProcess],
) -> None:
    """The broker deletes a message when it responds to BRPOP. kombu stores the message only when it has read the response."""
    worker = start_product_worker()
    loss = proxy.lose(request=b"BRPOP", response=RefundRequested.queue.encode())
    start_relay()
    case = request_refund(records)
    assert loss.happened.wait(20), "kombu has corrected this fault, because it no longer uses BRPOP."
    assert count_messages(broker, RefundRequested.queue) == 0, (
        "kombu has corrected this fault, because the broker still has the message although the response was lost."
    )
    eventually(lambda: state_of(records, case) == "refunded")
    assert not has_ended(worker.process)


def test_a_kill_of_a_child_during_a_task_loses_the_message(
    records: Records,
    broker: redis.Redis,
    start_product_worker: Callable[[], ChildProcess],
    start_relay: Callable[[], ChildProcess],
) -> None:
    """A worker of Moneyback deletes a message before it runs the task.

    With late acknowledgement, Celery would also delete the message of a killed child.
    """
    worker = start_product_worker()
    publisher = start_relay()
    case = request_refund(records, "hang")
    eventually(lambda: state_of(records, case) == "refunding")
    publisher.kill()
    for child in children(worker.process):
        os.kill(child, signal.SIGKILL)
    assert count_messages(broker, RefundRequested.queue) == 0, (
        "Celery has corrected this fault, because the broker still has the message of the killed child."
    )
    start_relay()
    eventually(lambda: state_of(records, case) == "refunded")
    assert not has_ended(worker.process)


def test_a_message_that_is_not_json_ends_a_plain_worker(
    start_plain_worker: Callable[..., PlainWorker], broker: redis.Redis
) -> None:
    """In the product, config/kombu_transport.py wraps invalid bytes in an envelope, so they become dead letters."""
    worker = start_plain_worker()
    broker.lpush(PlainWorker.QUEUE, b"this is no JSON")
    worker.send("note", "next")
    eventually(lambda: has_ended(worker.process) or worker.notes())
    assert not worker.notes(), (
        "kombu has corrected this fault. If invalid bytes become dead letters without envelope(), "
        "remove envelope() from config/kombu_transport.py."
    )
    assert worker.process.returncode
    assert "JSONDecodeError" in worker.read_log()
