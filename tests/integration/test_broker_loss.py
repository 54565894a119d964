"""A broker that forgot is told again what helpdesks may not have read."""

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


def with_support(records: Records, number: int) -> list[UUID]:
    """Cases that came to support."""
    bought = [a_recent_purchase() for _ in range(number)]
    store_seller_and_purchases(records, *bought)
    found = ids_of(accept(records, [a_submission(one) for one in bought]))
    with records.work() as work:
        evidence = {"reasons": [{"code": "x", "sentence": "X."}]}
        cases = work.cases.lock(found, state=State.RECEIVED)
        work.history.record([case.after(Event.FOUND_NOT_ELIGIBLE, actor="test", evidence=evidence) for case in cases])
    return found


def read(connection: Connection) -> list[ContactSupport]:
    """What a helpdesk reads."""
    queue = QUEUES[ContactSupport.queue](connection.channel())
    found = []
    while message := queue.get(no_ack=True):
        found.append(ContactSupport.read(message.payload))
    return found


def waiting(records: Records) -> int:
    with records.work() as work:
        return work.support_tasks.count_unpublished()


def test_what_waits_for_a_person_is_on_the_queue_again_after_the_broker_forgot(
    records: Records, settings: Settings, context: WorkerContext, connection: Connection, broker: redis.Redis
) -> None:
    waits, went_on = cases = with_support(records, 2)
    publish(context, cases)
    first = {task.data.case_id: task for task in read(connection)}
    assert set(first) == set(cases)
    with records.work() as work:
        held = work.cases.lock([went_on], state=State.WITH_SUPPORT)
        work.history.record([case.after(Event.SUPPORT_DECLINED, actor="test") for case in held])
    broker.flushall()
    with relaying(settings, records):
        eventually(lambda: broker.exists(MARKER_KEY))
    assert waiting(records) == 1
    publish(context, cases)
    assert read(connection) == [first[waits]]


@contextmanager
def relaying(settings: Settings, records: Records) -> Iterator[None]:
    """A relay that sweeps all the time."""
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(settings))
    quick = settings.model_copy(update={"timers": settings.timers.model_copy(update={"sweep_interval_seconds": 0.1})})
    stop = threading.Event()
    thread = threading.Thread(target=Relay(quick, records, app).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_broker_that_remembers_is_told_nothing_again(
    records: Records, context: WorkerContext, connection: Connection, broker: redis.Redis
) -> None:
    publish(context, with_support(records, 1))
    remembering = BrokerLossDetector(records)
    assert remembering.run_once(connection) == 1, "nobody has marked it before"
    assert remembering.run_once(connection) == 0
    assert broker.keys(f"{MARKER_KEY}*") == [MARKER_KEY.encode()]


class Interrupted(Records):
    """Somebody does something to the broker after each transaction, before anybody else comes."""

    def __init__(self, records: Records, broker: redis.Redis) -> None:
        super().__init__(records.engine, records.timers)
        self._broker = broker

    @contextmanager
    def work(self) -> Iterator[UnitOfWork]:
        with super().work() as work:
            yield work
        self._broker.flushall()


def test_a_broker_that_forgets_once_more_meanwhile_is_asked_again(
    records: Records, connection: Connection, broker: redis.Redis
) -> None:
    with pytest.raises(redis.ResponseError, match="no such key"):
        BrokerLossDetector(Interrupted(records, broker)).run_once(connection)
    assert not broker.exists(MARKER_KEY)
    BrokerLossDetector(records).run_once(connection)
    assert broker.exists(MARKER_KEY)


def test_a_task_that_was_on_its_way_when_the_broker_forgot_is_published_again(
    records: Records, connection: Connection
) -> None:
    cases = with_support(records, 1)
    with records.work() as work:
        on_its_way = work.support_tasks.claim(cases, seconds=60)
    BrokerLossDetector(records).run_once(connection)
    with records.work() as work:
        work.support_tasks.mark_published(on_its_way)
    assert waiting(records) == 1
