"""Tests of support tasks that the broker lost although it kept its other data: they are published again.

A helpdesk also removes tasks from the queue, when it reads them. These tasks are not published again.
"""

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis
from kombu import Connection
from pydantic import SecretStr

from config.broker import QUEUES, connect
from config.settings import Settings
from console.servers import Servers
from domain.messages import ContactSupport
from domain.states import Event, State
from records import Records
from tests.integration.test_broker_loss import (
    count_unpublished,
    create_support_cases,
    read_support_tasks,
    running_relay,
)
from tests.services import ChildProcess, eventually
from worker.broker_loss import MARKER_KEY, BrokerLossDetector
from worker.context import WorkerContext
from worker.support_tasks import lost_tasks
from worker.support_tasks.lost_tasks import Checkpoint, LostTaskDetector
from worker.support_tasks.publishing import publish

QUEUE = ContactSupport.queue


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with connect(settings) as connection:
        yield connection


@pytest.fixture
def broker(servers: Servers, settings: Settings) -> Iterator[redis.Redis]:  # noqa: ARG001  # the fixture `settings` empties the broker
    """Yield the broker. Restore its limit and its policy after the test."""
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        before = {name: str(broker.config_get(name)[name]) for name in ("maxmemory", "maxmemory-policy")}
        yield broker
        for name, value in before.items():
            broker.config_set(name, value)


@pytest.fixture
def check(records: Records, connection: Connection) -> Callable[[], int]:
    """Return a function that does what the relay does in each sweep. It returns the number of tasks that it makes due again."""

    def run_checks() -> int:
        return BrokerLossDetector(records).run_once(connection) + LostTaskDetector(records).run_once(connection)

    run_checks()
    return run_checks


def evict(broker: redis.Redis, policy: str) -> None:
    """Fill the memory of the broker until it evicts the queue."""
    broker.config_set("maxmemory-policy", policy)
    broker.config_set("maxmemory", broker.info("memory")["used_memory"] + 500_000)
    for number in range(100_000):
        broker.set(f"other:{number}", "x" * 10_000)
        if not broker.exists(QUEUE):
            return
    pytest.fail("The broker does not evict the queue.")


def delete_in_transaction(broker: redis.Redis) -> None:
    with broker.pipeline(transaction=True) as pipeline:
        pipeline.delete(QUEUE)
        pipeline.execute()


LOSSES: dict[str, Callable[[redis.Redis], object]] = {
    "evicted, least recently used": lambda broker: evict(broker, "allkeys-lru"),
    "evicted, least frequently used": lambda broker: evict(broker, "allkeys-lfu"),
    "evicted, at random": lambda broker: evict(broker, "allkeys-random"),
    "DEL": lambda broker: broker.delete(QUEUE),
    "UNLINK": lambda broker: broker.unlink(QUEUE),
    "RENAME": lambda broker: broker.rename(QUEUE, "other"),
    "RENAME of another queue to this queue": lambda broker: [broker.lpush("other", "x"), broker.rename("other", QUEUE)],
    "MOVE": lambda broker: broker.move(QUEUE, 5),
    "SWAPDB": lambda broker: broker.swapdb(0, 5),
    "FLUSHDB": lambda broker: broker.flushdb(),
    "FLUSHALL": lambda broker: broker.flushall(),
    "a script": lambda broker: broker.eval("redis.call('del', KEYS[1])", 1, QUEUE),
    "a transaction": delete_in_transaction,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_support_tasks_in_a_lost_queue_are_published_again(
    loss: str, settings: Settings, records: Records, context: WorkerContext, broker: redis.Redis
) -> None:
    cases = create_support_cases(records, 3)
    publish(context, cases)
    ids = unread_ids(broker)
    with running_relay(settings, records):
        eventually(lambda: Checkpoint.parse(marker_of(broker)))
        LOSSES[loss](broker)
        assert not unread_ids(broker)
        eventually(lambda: count_unpublished(records) == 3, seconds=25)
        publish(context, cases)
    assert unread_ids(broker) == ids
    assert len(ids) == 3


def test_a_worker_and_a_relay_publish_evicted_support_tasks_again(
    records: Records, broker: redis.Redis, start: Callable[..., ChildProcess]
) -> None:
    cases = create_support_cases(records, 3)
    start("worker", "worker", "-c", "2")
    start("relay", "relay")
    eventually(lambda: len(unread_ids(broker)) == len(cases) and Checkpoint.parse(marker_of(broker)))
    ids = unread_ids(broker)
    evict(broker, "allkeys-lru")
    broker.config_set("maxmemory", 0)
    eventually(lambda: unread_ids(broker) == ids, seconds=25)


def marker_of(broker: redis.Redis) -> bytes | None:
    marker: Any = broker.get(MARKER_KEY)
    return None if marker is None else bytes(marker)


def unread_ids(broker: redis.Redis) -> set[str]:
    """Return the ids of the support tasks in the queue."""
    messages: Any = broker.lrange(QUEUE, 0, -1)
    bodies = [json.loads(message)["body"] for message in messages if message != b"x"]
    return {json.loads(base64.b64decode(body))["id"] for body in bodies}


def test_only_missing_support_tasks_are_published_again(
    records: Records, context: WorkerContext, connection: Connection, broker: redis.Redis, check: Callable[[], int]
) -> None:
    """The queue is lost between two publications. A helpdesk keeps one task unacknowledged."""
    publish(context, create_support_cases(records, 1))
    message = QUEUES[QUEUE](connection.channel()).get()
    assert message is not None
    publish(context, create_support_cases(records, 2))
    broker.delete(QUEUE)
    publish(context, create_support_cases(records, 1))
    assert check() == 2
    assert check() == 0
    message.ack()


def test_a_task_that_is_published_during_the_check_is_not_published_again(
    records: Records,
    context: WorkerContext,
    broker: redis.Redis,
    check: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_unread = lost_tasks._read_unread
    late = create_support_cases(records, 2)

    def read_and_publish(client: Any, queue: str, *, every: bool) -> Iterator[UUID]:
        yield from read_unread(client, queue, every=every)
        publish(context, late)

    monkeypatch.setattr(lost_tasks, "_read_unread", read_and_publish)
    broker.set("other", 1)
    broker.delete("other")
    assert check() == 0
    monkeypatch.undo()
    broker.delete(QUEUE)
    assert check() == 2


@pytest.mark.parametrize("pause", ["the relay was stopped", "the relay ran"])
def test_a_loss_is_detected_by_the_next_check(
    records: Records, context: WorkerContext, broker: redis.Redis, check: Callable[[], int], pause: str
) -> None:
    publish(context, create_support_cases(records, 3))
    if pause == "the relay ran":
        assert check() == 0
    broker.delete(QUEUE)
    assert check() == 3


def read_with_kombu(connection: Connection) -> object:
    """Read the tasks as a consumer that acknowledges each task."""
    messages: list[Any] = []
    with connection.clone() as helpdesk, helpdesk.channel() as channel:
        with helpdesk.Consumer([QUEUES[QUEUE](channel)], on_message=messages.append, channel=channel):
            while len(messages) < 3:
                helpdesk.drain_events(timeout=5)
        for message in messages:
            message.ack()
    return messages


READERS: dict[str, Callable[[redis.Redis, Connection], object]] = {
    "kombu": lambda _, connection: read_with_kombu(connection),
    "kombu without acknowledgements": lambda _, connection: read_support_tasks(connection),
    "RPOP": lambda broker, _: [broker.rpop(QUEUE) for _ in range(4)],
    "RPOP with a count": lambda broker, _: broker.rpop(QUEUE, 10),
    "BRPOP": lambda broker, _: [broker.brpop(QUEUE, 1) for _ in range(3)],
    "LPOP, the newest task first": lambda broker, _: [broker.lpop(QUEUE) for _ in range(3)],
    "LMOVE": lambda broker, _: [broker.lmove(QUEUE, "open") for _ in range(3)],
    "RPOPLPUSH": lambda broker, _: [broker.rpoplpush(QUEUE, "open") for _ in range(3)],
    "LMPOP": lambda broker, _: broker.lmpop(1, QUEUE, direction="RIGHT", count=9),
    "LTRIM": lambda broker, _: broker.ltrim(QUEUE, 1, 0),
}


@pytest.mark.parametrize("reader", READERS)
def test_support_tasks_that_a_helpdesk_has_read_are_not_published_again(
    reader: str,
    records: Records,
    context: WorkerContext,
    broker: redis.Redis,
    connection: Connection,
    check: Callable[[], int],
) -> None:
    publish(context, create_support_cases(records, 3))
    assert check() == 0
    READERS[reader](broker, connection)
    assert not unread_ids(broker)
    assert [check() for _ in range(5)] == [0] * 5
    assert count_unpublished(records) == 0


@pytest.mark.parametrize("other_loss", ["evicted", "DEL", "RENAME"])
def test_a_task_that_was_read_before_another_key_is_removed_is_not_published_again(
    other_loss: str,
    records: Records,
    context: WorkerContext,
    broker: redis.Redis,
    connection: Connection,
    check: Callable[[], int],
) -> None:
    publish(context, create_support_cases(records, 3))
    read_support_tasks(connection)
    move_publications(records, created="1 hour", published="1 minute")
    assert check() == 0
    broker.set("other", "")
    match other_loss:
        case "evicted":
            broker.config_set("maxmemory-policy", "allkeys-lru")
            broker.config_set("maxmemory", 1)
            eventually(lambda: broker.info("stats")["evicted_keys"])
            broker.config_set("maxmemory", 0)
            broker.config_set("maxmemory-policy", "noeviction")
        case "DEL":
            broker.delete("other")
        case "RENAME":
            broker.rename("other", "another")
    assert LostTaskDetector(records).run_once(connection) == 0


def move_publications(records: Records, *, created: str, published: str) -> None:
    """Move all support tasks into the past."""
    with records.work() as work:
        work.run(
            "update support_tasks set created_at = now() - cast(:created as interval),"
            " published_at = now() - cast(:published as interval)",
            created=created,
            published=published,
        )


@pytest.mark.parametrize(
    ("age", "published", "is_due"),
    [
        ("1 second", "1 second", True),  # published at once, lost at once
        ("1 hour", "59 minutes", True),
        ("30 days", "29 days", True),
        ("1 hour", "31 minutes", True),
        ("1 hour", "29 minutes", False),  # published again 31 minutes after its creation
        ("30 days", "1 day", False),
    ],
)
def test_a_task_is_published_again_when_its_age_has_doubled(
    records: Records,
    context: WorkerContext,
    broker: redis.Redis,
    check: Callable[[], int],
    age: str,
    published: str,
    is_due: bool,
) -> None:
    """A helpdesk that reads its queue with RENAME gets a task only a few times, and a lost task is published soon."""
    cases = create_support_cases(records, 1)
    publish(context, cases)
    move_publications(records, created=age, published=published)
    assert check() == 0
    broker.rename(QUEUE, "read")
    assert check() == 1
    assert check() == 0
    publish(context, cases)
    assert broker.llen(QUEUE) == is_due


def test_a_task_of_a_closed_case_is_not_published_again(
    records: Records, context: WorkerContext, broker: redis.Redis, check: Callable[[], int]
) -> None:
    decided, _ = cases = create_support_cases(records, 2)
    publish(context, cases)
    with records.work() as work:
        locked = work.cases.lock([decided], state=State.WITH_SUPPORT)
        work.history.record([case.after(Event.SUPPORT_DECLINED, actor="test") for case in locked])
    broker.delete(QUEUE)
    assert check() == 1


def test_messages_of_other_programs_do_not_disturb_the_check(
    records: Records, context: WorkerContext, broker: redis.Redis, check: Callable[[], int]
) -> None:
    publish(context, create_support_cases(records, 2))
    broker.rpush(QUEUE, "x", "{}", "[]", "3", b"\xff", '{"properties": {"message_id": 5}}', '{"properties": null}')
    broker.delete("other")
    assert check() == 0
    broker.delete(QUEUE)
    assert check() == 2


def test_without_statistics_only_the_loss_of_all_data_is_detected(
    settings: Settings, records: Records, context: WorkerContext, broker: redis.Redis, check: Callable[[], int]
) -> None:
    rules = ["reset", "on", "nopass", "~*", "&*", "+@all", "-info"]
    broker.execute_command("ACL", "SETUSER", "guest", *rules)  # type: ignore[no-untyped-call]  # incomplete stubs
    url = settings.broker_url.get_secret_value().replace("://", "://guest:any@")
    with connect(settings.model_copy(update={"broker_url": SecretStr(url)})) as connection:
        publish(context, create_support_cases(records, 1))
        broker.delete(QUEUE)
        assert LostTaskDetector(records).run_once(connection) == 0
        broker.flushdb()
        assert BrokerLossDetector(records).run_once(connection) == 1
    broker.acl_deluser("guest")
    assert check() == 0


def test_the_locks_of_workers_do_not_count_as_removed_keys(connection: Connection, broker: redis.Redis) -> None:
    channel: Any = connection.channel()
    broker.config_resetstat()
    for _ in range(3):
        lock, other = (channel.client.lock("lock", timeout=60) for _ in range(2))
        eventually(partial(lock.acquire, blocking=False))
        assert not other.acquire(blocking=False)
        lock.release()
    assert "cmdstat_del" not in broker.info("commandstats")
