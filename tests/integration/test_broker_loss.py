"""Tests of broker loss: if the broker loses its data, Moneyback publishes the open support tasks again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery
from kombu import Connection

from config.broker import QUEUES, connect
from config.settings import Settings
from domain.messages import ContactSupport
from domain.states import Event, State
from producers.intake import accept
from records import Records, UnitOfWork
from tests.integration import _provider_fixtures
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.broker_loss import MARKER_KEY, BrokerLossDetector
from worker.celery_fixes.config import celery_options
from worker.context import WorkerContext
from worker.relay import Relay
from worker.support_tasks.publishing import publish


@pytest.fixture
def context(settings: Settings) -> Iterator[WorkerContext]:
    yield from _provider_fixtures.open_context(settings)


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with connect(settings) as connection:
        yield connection


@pytest.fixture
def broker(connection: Connection) -> redis.Redis:
    channel: Any = connection.channel()
    client: redis.Redis = channel.client
    return client


def create_support_cases(records: Records, number: int) -> list[UUID]:
    """Create cases in the state "with_support"."""
    purchases = [a_recent_purchase() for _ in range(number)]
    store_seller_and_purchases(records, *purchases)
    case_ids = ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))
    with records.work() as work:
        evidence = {"reasons": [{"code": "x", "sentence": "X."}]}
        cases = work.cases.lock(case_ids, state=State.RECEIVED)
        work.history.record([case.after(Event.FOUND_NOT_ELIGIBLE, actor="test", evidence=evidence) for case in cases])
    return case_ids


def read_support_tasks(connection: Connection) -> list[ContactSupport]:
    """Read all published support tasks, as a helpdesk does."""
    queue = QUEUES[ContactSupport.queue](connection.channel())
    tasks = []
    while message := queue.get(no_ack=True):
        tasks.append(ContactSupport.read(message.payload))
    return tasks


def count_unpublished(records: Records) -> int:
    with records.work() as work:
        return work.support_tasks.count_unpublished()


def test_open_support_tasks_are_published_again_after_broker_loss(
    records: Records, settings: Settings, context: WorkerContext, connection: Connection, broker: redis.Redis
) -> None:
    waiting, decided = cases = create_support_cases(records, 2)
    publish(context, cases)
    first = {task.data.case_id: task for task in read_support_tasks(connection)}
    assert set(first) == set(cases)
    with records.work() as work:
        locked = work.cases.lock([decided], state=State.WITH_SUPPORT)
        work.history.record([case.after(Event.SUPPORT_DECLINED, actor="test") for case in locked])
    broker.flushall()
    with running_relay(settings, records):
        eventually(lambda: broker.exists(MARKER_KEY))
    assert count_unpublished(records) == 1
    publish(context, cases)
    assert read_support_tasks(connection) == [first[waiting]]


@contextmanager
def running_relay(settings: Settings, records: Records) -> Iterator[None]:
    """Run a relay that sweeps ten times a second."""
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(settings))
    fast_settings = settings.model_copy(
        update={"timers": settings.timers.model_copy(update={"sweep_interval_seconds": 0.1})}
    )
    stop = threading.Event()
    thread = threading.Thread(target=Relay(fast_settings, records, app).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_support_tasks_are_published_again_only_if_the_broker_has_no_marker(
    records: Records, context: WorkerContext, connection: Connection, broker: redis.Redis
) -> None:
    publish(context, create_support_cases(records, 1))
    detector = BrokerLossDetector(records)
    assert detector.run_once(connection) == 1, "The broker has no marker yet, so the support task is published again."
    assert detector.run_once(connection) == 0
    assert broker.keys(f"{MARKER_KEY}*") == [MARKER_KEY.encode()]


class RecordsWithBrokerLoss(Records):
    """A Records object that deletes all data of the broker after each transaction."""

    def __init__(self, records: Records, broker: redis.Redis) -> None:
        super().__init__(records.engine, records.timers)
        self._broker = broker

    @contextmanager
    def work(self) -> Iterator[UnitOfWork]:
        with super().work() as work:
            yield work
        self._broker.flushall()


def test_a_broker_that_loses_its_data_during_the_check_is_checked_again(
    records: Records, connection: Connection, broker: redis.Redis
) -> None:
    with pytest.raises(redis.ResponseError, match="no such key"):
        BrokerLossDetector(RecordsWithBrokerLoss(records, broker)).run_once(connection)
    assert not broker.exists(MARKER_KEY)
    BrokerLossDetector(records).run_once(connection)
    assert broker.exists(MARKER_KEY)


def test_a_task_claimed_during_broker_loss_is_published_again(records: Records, connection: Connection) -> None:
    cases = create_support_cases(records, 1)
    with records.work() as work:
        claimed = work.support_tasks.claim(cases, seconds=60)
    BrokerLossDetector(records).run_once(connection)
    with records.work() as work:
        work.support_tasks.mark_published(claimed)
    assert count_unpublished(records) == 1
