"""Tests of the relay, which publishes the outbox to the broker.

The relay puts up to 100 cases into one message, and takes cases from all sellers in turn. `WINDOW` is the maximum number
of messages in a queue.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from celery import Celery
from kombu import Connection
from pydantic import SecretStr

from config.broker import QUEUES, connect, queue_length
from config.settings import Settings
from domain.messages import RefundRequested
from producers.intake import accept
from records import Records
from records.case_views import CaseView
from tests.sample_data import a_policy, a_recent_purchase, a_seller, a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.celery_fixes.config import celery_options
from worker.relay import WINDOW, Relay, RelayResult

QUEUE = RefundRequested.queue


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with connect(settings) as connection:
        yield connection


@pytest.fixture
def broker(connection: Connection) -> Iterator[redis.Redis]:
    """Yield the broker, which is a primary again after the test."""
    channel: Any = connection.channel()
    client: redis.Redis = channel.client
    yield client
    client.replicaof("NO", "ONE")


@pytest.fixture
def relay(settings: Settings, records: Records) -> Relay:
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(settings))
    return Relay(settings, records, app)


def create_due_cases(records: Records, number: int, seller: str = "aurora", *, bulk: bool = False) -> list[UUID]:
    purchases = [a_recent_purchase(seller_id=seller) for _ in range(number)]
    store_seller_and_purchases(records, *purchases, seller=a_seller(id=seller), policy=a_policy(seller_id=seller))
    with records.work() as work:
        return [
            request.id
            for request in work.intake.accept([replace(a_submission(purchase), bulk=bulk) for purchase in purchases])
        ]


def receive_all(connection: Connection) -> list[list[UUID]]:
    queue = QUEUES[QUEUE](connection.channel())
    messages = []
    while message := queue.get(no_ack=True):
        (payload,), _, _ = message.payload
        messages.append(list(RefundRequested.read(payload).ids))
    return messages


def test_a_single_case_is_published_in_its_own_message(records: Records, relay: Relay, connection: Connection) -> None:
    (case,) = create_due_cases(records, 1)
    assert relay.run_once(connection) == RelayResult(messages=1, cases=1)
    assert receive_all(connection) == [[case]]
    assert relay.run_once(connection) == RelayResult(messages=0, cases=0)


def test_due_cases_are_published_in_batches_of_a_hundred(
    records: Records, relay: Relay, connection: Connection
) -> None:
    cases = create_due_cases(records, 250)
    assert relay.run_once(connection) == RelayResult(messages=3, cases=250)
    messages = receive_all(connection)
    assert [len(message) for message in messages] == [100, 100, 50]
    assert {case for message in messages for case in message} == set(cases)


def test_a_queue_never_has_more_messages_than_the_window(
    records: Records, relay: Relay, connection: Connection
) -> None:
    create_due_cases(records, (WINDOW + 5) * 100)
    assert relay.run_once(connection).messages == WINDOW
    assert relay.run_once(connection).messages == 0
    assert queue_length(connection.channel(), QUEUE) == WINDOW
    receive_all(connection)
    assert relay.run_once(connection).messages == 5


def test_many_cases_of_one_seller_do_not_delay_another_seller(
    records: Records, relay: Relay, connection: Connection
) -> None:
    create_due_cases(records, 1_000, "busy")
    (single,) = create_due_cases(records, 1, "quiet")
    relay.run_once(connection)
    assert single in receive_all(connection)[0]


def test_sellers_get_about_equal_shares_of_a_message(records: Records, relay: Relay, connection: Connection) -> None:
    seller_of_case = {case: name for name in ("a", "b", "c") for case in create_due_cases(records, 200, name)}
    relay.run_once(connection)
    per_seller = Counter(seller_of_case[case] for case in receive_all(connection)[0])
    assert set(per_seller) == {"a", "b", "c"}
    assert max(per_seller.values()) - min(per_seller.values()) <= 1


def test_the_cases_of_130_sellers_are_all_published(records: Records, relay: Relay, connection: Connection) -> None:
    cases = {case for number in range(130) for case in create_due_cases(records, 2, f"s{number:03}")}
    relay.run_once(connection)
    messages = receive_all(connection)
    assert {case for message in messages for case in message} == cases
    assert len(messages) == 3


def test_interactive_requests_are_published_before_bulk_requests(
    records: Records, relay: Relay, connection: Connection
) -> None:
    bulk = create_due_cases(records, 150, "busy", bulk=True)
    (single,) = create_due_cases(records, 1, "busy")
    relay.run_once(connection)
    messages = receive_all(connection)
    assert single in messages[0]
    assert {case for message in messages for case in message} == {single, *bulk}


def test_cases_stay_in_the_outbox_while_the_broker_is_unreachable(
    settings: Settings, records: Records, connection: Connection
) -> None:
    cases = create_due_cases(records, 3)
    unreachable = settings.model_copy(update={"broker_url": type(settings.broker_url)("redis://127.0.0.1:1/0")})
    app = Celery("unreachable", set_as_current=False)
    app.config_from_object(celery_options(unreachable))
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"), connect(unreachable) as broken_connection:
        Relay(unreachable, records, app).run_once(broken_connection)
    app = Celery("reachable", set_as_current=False)
    app.config_from_object(celery_options(settings))
    assert Relay(settings, records, app).run_once(connection).cases == 3
    assert sorted(receive_all(connection)[0]) == sorted(cases)


def test_a_relay_skips_cases_that_another_relay_has_taken(
    records: Records, relay: Relay, connection: Connection
) -> None:
    cases = create_due_cases(records, 120)
    with records.work() as work:
        taken_cases = [case for case, _ in work.outbox.take(QUEUE, room=20, after=None, bulk=False)]
        published = relay.run_once(connection).cases
    published += relay.run_once(connection).cases
    received = {case for message in receive_all(connection) for case in message}
    assert published == 100
    assert received == set(cases) - set(taken_cases)


@pytest.mark.slow
def test_in_brokerless_mode_the_relay_processes_the_cases(
    sandbox_settings: Settings, records: Records, tmp_path: Path
) -> None:
    """Refunds are executed and e-mails are sent without the broker. Only support tasks wait for the broker."""
    timers = sandbox_settings.timers.model_copy(update={"brokerless_after_seconds": 0.5})
    settings = sandbox_settings.model_copy(
        update={"broker_url": SecretStr(f"redis+socket://{tmp_path}/no-broker"), "timers": timers}
    )
    purchases = [a_recent_purchase(charge=f"{behaviour}_{uuid4()}") for behaviour in ("ok", "fail500", "declined")]
    store_seller_and_purchases(records, *purchases)
    cases = ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(settings))
    stop = threading.Event()
    thread = threading.Thread(target=Relay(settings, records, app).run, args=(stop,))
    thread.start()
    try:
        eventually(
            lambda: [view.state for view in views_of(records, cases)] == ["refunded", "refunded", "with_support"]
        )
        eventually(lambda: count_unsent_emails(records) == 0)
    finally:
        stop.set()
        thread.join()
    with records.work() as work:
        assert work.support_tasks.count_unpublished() == 1


def test_if_a_replica_has_full_queues_the_relay_processes_the_cases(
    sandbox_settings: Settings, records: Records, broker: redis.Redis
) -> None:
    """The queues are full before the failover, so the relay sends no message that the replica could refuse."""
    changes = {"brokerless_after_seconds": 0.5, "sweep_interval_seconds": 60.0}
    settings = sandbox_settings.model_copy(update={"timers": sandbox_settings.timers.model_copy(update=changes)})
    broker.lpush(QUEUE, *["a message"] * WINDOW)
    broker.replicaof("127.0.0.1", 1)
    purchases = [a_recent_purchase(charge=f"ok_{uuid4()}") for _ in range(3)]
    store_seller_and_purchases(records, *purchases)
    cases = ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(settings))
    stop = threading.Event()
    thread = threading.Thread(target=Relay(settings, records, app).run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: {view.state for view in views_of(records, cases)} == {"refunded"})
    finally:
        stop.set()
        thread.join()
    assert broker.llen(QUEUE) == WINDOW


def views_of(records: Records, cases: list[UUID]) -> list[CaseView]:
    with records.work() as work:
        views = work.case_views.get_many(cases)
    return [views[case] for case in cases]


def count_unsent_emails(records: Records) -> int:
    with records.work() as work:
        return work.case_emails.count_unsent()
