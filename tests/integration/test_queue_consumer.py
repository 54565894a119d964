"""Tests of the queue to which other systems publish refund requests.

A readable message becomes a case. An unreadable message becomes a dead letter.
"""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection
from pydantic import SecretStr

import producers.queue_consumer
from config.broker import DIRECT, QUEUES, connect, queue_length
from config.settings import Settings
from console.servers import Servers
from domain.messages import IncomingRequest
from domain.requests import Channel, RefundRequest
from producers.intake import submission
from producers.queue_consumer import QueueConsumer, consume
from records import Records
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import ChildProcess, eventually

QUEUE = IncomingRequest.queue


def an_event(**changes: Any) -> dict[str, Any]:
    purchase = a_recent_purchase()
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "form-1",
        "source": "aurora/form",
        "type": "moneyback.refund_requested.v1",
        "data": {
            "seller": "aurora",
            "request": {"email": purchase.email, "reference": purchase.reference, "reason": "dissatisfied"},
        },
    }
    return event | changes


def count_cases(records: Records) -> int:
    with records.work() as work:
        return len(work.case_views.search())


def dead_letters(records: Records) -> list[tuple[str, bytes, str]]:
    with records.work() as work:
        return [(message.queue, message.body, message.why) for message in work.dead_letters.list_all()]


def test_an_event_that_is_delivered_twice_creates_one_case(records: Records) -> None:
    store_seller_and_purchases(records)
    body = json.dumps(an_event()).encode()
    consume(records, QUEUE, body)
    consume(records, QUEUE, body)
    assert (count_cases(records), dead_letters(records)) == (1, [])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no JSON", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (json.dumps(an_event(id="a\0b")).encode(), "id: "),
        (json.dumps(an_event(source="a\0b")).encode(), "source: "),
        (json.dumps(an_event(data=an_event()["data"] | {"seller": "a\0b"})).encode(), "data.seller: "),
        (json.dumps(an_event() | {"a\0b": 1}).encode(), "a\N{SYMBOL FOR NULL}b: Extra inputs are not permitted"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (json.dumps(an_event(type="moneyback.refund_requested.v2")).encode(), "type: Input should be"),
        (json.dumps(an_event(colour="blue")).encode(), "colour: Extra inputs are not permitted"),
        (
            json.dumps(an_event(data={"seller": "nobody", "request": an_event()["data"]["request"]})).encode(),
            "no seller 'nobody'",
        ),
        (json.dumps(an_event(data={"request": {"email": "x"}})).encode(), "data.request.email"),
        (b"[]", "valid dictionary"),
    ],
)
def test_an_unreadable_message_is_stored_unchanged(records: Records, body: bytes, why: str) -> None:
    store_seller_and_purchases(records)
    consume(records, QUEUE, body)
    assert count_cases(records) == 0
    ((queue, stored_body, stored_reason),) = dead_letters(records)
    assert (queue, stored_body) == (QUEUE, body)
    assert why in stored_reason


def test_a_message_that_causes_an_error_is_stored_and_the_next_message_is_read(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_seller_and_purchases(records)
    with monkeypatch.context() as patch:
        patch.setattr(producers.queue_consumer, "accept_one", lambda *_: 1 // 0)
        consume(records, QUEUE, body := json.dumps(an_event()).encode())
    ((_, stored_body, why),) = dead_letters(records)
    assert (stored_body, why.split("(")[1].split(")")[0]) == (body, "ZeroDivisionError")
    consume(records, QUEUE, body)
    assert count_cases(records) == 1


def test_another_request_with_the_same_event_id_becomes_a_dead_letter(records: Records) -> None:
    store_seller_and_purchases(records)
    consume(records, QUEUE, json.dumps(an_event()).encode())
    consume(records, QUEUE, json.dumps(an_event()).encode())  # another purchase with the same event id
    assert count_cases(records) == 1
    assert "different request" in dead_letters(records)[0][2]


def test_the_consumer_reads_kombu_messages_and_plain_json(
    records: Records, settings: Settings, servers: Servers, start: Callable[..., ChildProcess]
) -> None:
    store_seller_and_purchases(records)
    start("consume", "consume")
    with connect(settings) as connection:
        producer = connection.Producer(exchange=DIRECT, routing_key=QUEUE, serializer="json")
        producer.publish(an_event(id="by kombu"))
        with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
            broker.lpush(QUEUE, json.dumps(an_event(id="plain")))
            broker.lpush(QUEUE, b"\x00 garbage")
        eventually(lambda: count_cases(records) == 2 and len(dead_letters(records)) == 1)
        eventually(lambda: queue_length(connection.channel(), QUEUE) == 0)
    assert dead_letters(records)[0][1] == b"\x00 garbage"


# Kombu's in-memory broker


@pytest.fixture
def connection(records: Records, settings: Settings) -> Iterator[Connection]:
    """Yield a connection to kombu's in-memory broker, from which a queue consumer reads."""
    store_seller_and_purchases(records)
    stop = threading.Event()
    memory_settings = settings.model_copy(update={"broker_url": SecretStr("memory://")})
    with connect(memory_settings) as consumer_connection, connect(memory_settings) as publisher_connection:
        consumer = threading.Thread(target=QueueConsumer(consumer_connection, records, stop).run)
        consumer.start()
        yield publisher_connection
        stop.set()
        consumer.join()
        QUEUES[QUEUE](publisher_connection.default_channel).purge()


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/cloudevents+json", "application/octet-stream", None], ids=str
)
def test_json_is_read_with_any_content_type(records: Records, connection: Connection, content_type: str | None) -> None:
    body = json.dumps(an_event()).encode()
    for _ in range(3):
        connection.Producer(exchange=DIRECT, routing_key=QUEUE).publish(
            body, content_type=content_type or "application/data", content_encoding="binary"
        )
    connection.Producer(exchange=DIRECT, routing_key=QUEUE).publish(
        b"\xff no JSON", content_type="application/json", content_encoding="binary"
    )
    eventually(lambda: len(dead_letters(records)) == 1)
    assert (count_cases(records), dead_letters(records)[0][1]) == (1, b"\xff no JSON")
    assert queue_length(connection.channel(), QUEUE) == 0


# Acknowledgement


def test_a_message_is_acknowledged_only_after_its_case_is_committed(
    records: Records, servers: Servers, start: Callable[..., ChildProcess]
) -> None:
    store_seller_and_purchases(records)
    event = an_event()
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker, records.work() as work:
        submitted = submission(
            RefundRequest(**event["data"]["request"]), Channel.QUEUE, source="queue:aurora/form", key="form-1"
        )
        work.intake.accept([submitted])  # not committed, so the consumer waits for this transaction
        start("consume", "consume")
        broker.lpush(QUEUE, json.dumps(event))
        eventually(lambda: broker.hlen("unacked") == 1)
        eventually(lambda: waits_for_lock(records))
        assert broker.hlen("unacked") == 1
        work.connection.rollback()
        eventually(lambda: count_cases(records) == 1)
        eventually(lambda: broker.hlen("unacked") == 0)
        assert broker.llen(QUEUE) == 0


def waits_for_lock(records: Records) -> bool:
    """Return True if a connection waits for the transaction of another connection."""
    with records.work() as work:
        return bool(work.run("select count(*) from pg_stat_activity where wait_event_type = 'Lock'").scalar_one())


def test_a_message_of_a_crashed_consumer_creates_no_second_case(
    records: Records, servers: Servers, start: Callable[..., ChildProcess]
) -> None:
    store_seller_and_purchases(records)
    body = json.dumps(an_event())
    # As after a crash: the case is committed, but the message was not acknowledged. The broker delivers the message again.
    consume(records, QUEUE, body.encode())
    start("consume", "consume")
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        broker.lpush(QUEUE, body)
        eventually(lambda: broker.llen(QUEUE) == 0)
        eventually(lambda: broker.hlen("unacked") == 0)
    assert count_cases(records) == 1
    assert dead_letters(records) == []


# Invalid envelopes

ENVELOPES: list[Any] = [
    {"body": "!!! not base64", "properties": {"body_encoding": "base64", "delivery_tag": "1"}},
    {"body": "e30=", "properties": {"body_encoding": "base64"}},
    {"body": "e30=", "properties": {"body_encoding": "rot13", "delivery_tag": "2"}},
    {
        "body": "e30=",
        "properties": {"delivery_tag": "3", "body_encoding": "base64"},
        "headers": {"compression": "gzip"},
    },
    {"body": 7, "properties": {"delivery_tag": "4"}},
    {"body": {"a": 1}, "properties": {"delivery_tag": "5", "body_encoding": "base64"}},
    {"body": "e30=", "properties": {"delivery_tag": "6", "body_encoding": "base64"}, "content-encoding": "no-such"},
    [{"body": "e30="}],
    [{"body": "e30=", "properties": {"delivery_tag": "7"}}, "", "somewhere"],
]


def test_an_invalid_envelope_is_stored_and_does_not_stop_the_consumer(
    records: Records, servers: Servers, start: Callable[..., ChildProcess]
) -> None:
    store_seller_and_purchases(records)
    child = start("consume", "consume")
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        for envelope in ENVELOPES:
            broker.lpush(QUEUE, json.dumps(envelope))
        broker.lpush(QUEUE, json.dumps(an_event()))
        eventually(
            lambda: (
                (count_cases(records), len(dead_letters(records))) == (1, len(ENVELOPES))
                or child.process.poll() is not None
            )
        )
    assert child.process.poll() is None, child.read_log()
