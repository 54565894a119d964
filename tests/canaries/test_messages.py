"""Canaries: ways in which Celery loses a message. That is harmless, because the sweep publishes overdue cases again."""

import os
import signal
from collections.abc import Callable

import pytest
import redis

from domain.messages import RefundRequested
from records import Records
from tests.canaries.workers import Plain, ask, children, has_ended, known, state
from tests.fault_proxy import Proxy
from tests.services import Child, eventually

pytestmark = pytest.mark.slow


def test_an_answer_lost_on_its_way_takes_the_message_with_it(
    records: Records, broker: redis.Redis, wire: Proxy, ours: Callable[[], Child], relay: Callable[[], Child]
) -> None:
    """The broker deletes a message when it answers BRPOP; kombu records the message only after it has read the answer."""
    worker = ours()
    loss = wire.cut(asked=b"BRPOP", answered=RefundRequested.queue.encode())
    relay()
    case = ask(records)
    assert loss.made.wait(20), "kombu mended this: it takes messages with something better than BRPOP."
    assert known(broker, RefundRequested.queue) == 0, "kombu mended this: a message whose answer is lost is kept."
    eventually(lambda: state(records, case) == "refunded")
    assert not has_ended(worker.process)


def test_a_child_killed_in_mid_task_takes_the_message_with_it(
    records: Records, broker: redis.Redis, ours: Callable[[], Child], relay: Callable[[], Child]
) -> None:
    """With early acknowledgement, a message is deleted when its task starts. With late, the loss of the child deletes it."""
    worker = ours()
    publisher = relay()
    case = ask(records, "hang")
    eventually(lambda: state(records, case) == "refunding")
    publisher.kill()
    for child in children(worker.process):
        os.kill(child, signal.SIGKILL)
    assert known(broker, RefundRequested.queue) == 0, "Celery mended this: the message of a lost child is kept."
    relay()
    eventually(lambda: state(records, case) == "refunded")
    assert not has_ended(worker.process)


def test_bytes_that_are_no_envelope_end_a_plain_worker(plain: Callable[..., Plain], broker: redis.Redis) -> None:
    """In the product, config/kombu_transport.py puts such bytes into an envelope, and they become dead letters."""
    worker = plain()
    broker.lpush(Plain.QUEUE, b"this is no JSON")
    worker.send("note", "next")
    eventually(lambda: has_ended(worker.process) or worker.notes())
    assert not worker.notes(), (
        "kombu mended this: envelope() in config/kombu_transport.py can go, if such bytes end in `dead`."
    )
    assert worker.process.returncode
    assert "JSONDecodeError" in worker.said()
