"""The queue that upstream forms publish on: what can be read is a case, what cannot is kept."""

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
from tests.sample_data import a_recent_purchase, settle_in
from tests.services import Child, eventually

QUEUE = IncomingRequest.queue


def an_event(**changes: Any) -> dict[str, Any]:
    bought = a_recent_purchase()
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "form-1",
        "source": "aurora/form",
        "type": "moneyback.refund_requested.v1",
        "data": {
            "seller": "aurora",
            "request": {"email": bought.email, "reference": bought.reference, "reason": "dissatisfied"},
        },
    }
    return event | changes


def cases(records: Records) -> int:
    with records.work() as work:
        return len(work.case_views.search())


def dead(records: Records) -> list[tuple[str, bytes, str]]:
    with records.work() as work:
        return [(message.queue, message.body, message.why) for message in work.dead_letters.list_all()]


def test_an_event_delivered_twice_is_one_case(records: Records) -> None:
    settle_in(records)
    body = json.dumps(an_event()).encode()
    consume(records, body)
    consume(records, body)
    assert (cases(records), dead(records)) == (1, [])


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
def test_what_nobody_can_read_is_kept_byte_for_byte(records: Records, body: bytes, why: str) -> None:
    settle_in(records)
    consume(records, body)
    assert cases(records) == 0
    ((queue, kept, said),) = dead(records)
    assert (queue, kept) == (QUEUE, body)
    assert why in said


def test_what_breaks_its_reader_is_kept_and_the_next_one_read(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_in(records)
    with monkeypatch.context() as broken:
        broken.setattr(producers.queue_consumer, "accept_one", lambda *_: 1 // 0)
        consume(records, body := json.dumps(an_event()).encode())
    ((_, kept, why),) = dead(records)
    assert (kept, why.split("(")[1].split(")")[0]) == (body, "ZeroDivisionError")
    consume(records, body)
    assert cases(records) == 1


def test_one_id_for_two_requests_is_for_a_person(records: Records) -> None:
    settle_in(records)
    consume(records, json.dumps(an_event()).encode())
    consume(records, json.dumps(an_event()).encode())  # another purchase, the same id
    assert cases(records) == 1
    assert "different request" in dead(records)[0][2]


def test_the_process_takes_kombus_messages_and_plain_ones(
    records: Records, settings: Settings, servers: Servers, start: Callable[..., Child]
) -> None:
    settle_in(records)
    start("consume", "consume")
    with connect(settings) as connection:
        producer = connection.Producer(exchange=DIRECT, routing_key=QUEUE, serializer="json")
        producer.publish(an_event(id="by kombu"))
        with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
            broker.lpush(QUEUE, json.dumps(an_event(id="by hand")))
            broker.lpush(QUEUE, b"\x00 garbage")
        eventually(lambda: cases(records) == 2 and len(dead(records)) == 1)
        eventually(lambda: queue_length(connection.channel(), QUEUE) == 0)
    assert dead(records)[0][1] == b"\x00 garbage"


# Any broker


@pytest.fixture
def anywhere(records: Records, settings: Settings) -> Iterator[Connection]:
    """A broker of kombu's that is not Redis, with a feed that reads from it."""
    settle_in(records)
    stop = threading.Event()
    away = settings.model_copy(update={"broker_url": SecretStr("memory://")})
    with connect(away) as reading, connect(away) as writing:
        feed = threading.Thread(target=QueueConsumer(reading, records, stop).run)
        feed.start()
        yield writing
        stop.set()
        feed.join()
        QUEUES[QUEUE](writing.default_channel).purge()


@pytest.mark.parametrize(
    "media", ["application/json", "application/cloudevents+json", "application/octet-stream", None], ids=str
)
def test_raw_json_is_read_from_any_broker_whatever_it_is_said_to_be(
    records: Records, anywhere: Connection, media: str | None
) -> None:
    body = json.dumps(an_event()).encode()
    for _ in range(3):
        anywhere.Producer(exchange=DIRECT, routing_key=QUEUE).publish(
            body, content_type=media or "application/data", content_encoding="binary"
        )
    anywhere.Producer(exchange=DIRECT, routing_key=QUEUE).publish(
        b"\xff no JSON", content_type="application/json", content_encoding="binary"
    )
    eventually(lambda: len(dead(records)) == 1)
    assert (cases(records), dead(records)[0][1]) == (1, b"\xff no JSON")
    assert queue_length(anywhere.channel(), QUEUE) == 0


# Acknowledged


def test_a_message_is_acknowledged_after_its_commit_and_not_before(
    records: Records, servers: Servers, start: Callable[..., Child]
) -> None:
    settle_in(records)
    event = an_event()
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker, records.work() as work:
        earlier = submission(
            RefundRequest(**event["data"]["request"]), Channel.QUEUE, source="queue:aurora/form", key="form-1"
        )
        work.intake.accept([earlier])  # not committed: whoever brings the same must wait to see what becomes of it
        start("consume", "consume")
        broker.lpush(QUEUE, json.dumps(event))
        eventually(lambda: broker.hlen("unacked") == 1)
        eventually(lambda: waits(records))
        assert broker.hlen("unacked") == 1
        work.connection.rollback()
        eventually(lambda: cases(records) == 1)
        eventually(lambda: broker.hlen("unacked") == 0)
        assert broker.llen(QUEUE) == 0


def waits(records: Records) -> bool:
    """Whether somebody waits for another's transaction."""
    with records.work() as work:
        return bool(work.run("select count(*) from pg_stat_activity where wait_event_type = 'Lock'").scalar_one())


def test_what_a_dead_feed_had_committed_makes_no_second_case(
    records: Records, servers: Servers, start: Callable[..., Child]
) -> None:
    settle_in(records)
    body = json.dumps(an_event())
    consume(records, body.encode())  # and died before the acknowledgement: the broker delivers it again
    start("consume", "consume")
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        broker.lpush(QUEUE, body)
        eventually(lambda: broker.llen(QUEUE) == 0)
        eventually(lambda: broker.hlen("unacked") == 0)
    assert cases(records) == 1
    assert dead(records) == []


# Hostile

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


def test_no_envelope_stops_the_feed_and_each_is_kept(
    records: Records, servers: Servers, start: Callable[..., Child]
) -> None:
    settle_in(records)
    child = start("consume", "consume")
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        for envelope in ENVELOPES:
            broker.lpush(QUEUE, json.dumps(envelope))
        broker.lpush(QUEUE, json.dumps(an_event()))
        eventually(
            lambda: (cases(records), len(dead(records))) == (1, len(ENVELOPES)) or child.process.poll() is not None
        )
    assert child.process.poll() is None, child.said()
