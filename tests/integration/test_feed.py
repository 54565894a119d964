"""The queue that upstream forms publish on: what can be read is a case, what cannot is kept."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from config.broker import DIRECT, connect, depth
from config.settings import Settings
from console.servers import Servers
from domain.messages import IncomingRequest
from producers.feed import take
from records import Records
from tests.cast import a_recent_purchase, settle_in
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
        return len(work.views.search())


def dead(records: Records) -> list[tuple[str, bytes, str]]:
    with records.work() as work:
        return [(message.queue, message.body, message.why) for message in work.dead.all()]


def test_an_event_delivered_twice_is_one_case(records: Records) -> None:
    settle_in(records)
    body = json.dumps(an_event()).encode()
    take(records, body)
    take(records, body)
    assert (cases(records), dead(records)) == (1, [])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no JSON", "This is no JSON"),
        (b"\xff\xfe\x00", "This is no JSON"),
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
    take(records, body)
    assert cases(records) == 0
    ((queue, kept, said),) = dead(records)
    assert (queue, kept) == (QUEUE, body)
    assert why in said


def test_one_id_for_two_requests_is_for_a_person(records: Records) -> None:
    settle_in(records)
    take(records, json.dumps(an_event()).encode())
    take(records, json.dumps(an_event()).encode())  # another purchase, the same id
    assert cases(records) == 1
    assert "different request" in dead(records)[0][2]


def test_the_process_takes_kombus_messages_and_plain_ones(
    records: Records, settings: Settings, servers: Servers, start: Callable[..., Child]
) -> None:
    settle_in(records)
    start("feed", "feed")
    with connect(settings) as connection:
        producer = connection.Producer(exchange=DIRECT, routing_key=QUEUE, serializer="json")
        producer.publish(an_event(id="by kombu"))
        with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
            broker.lpush(QUEUE, json.dumps(an_event(id="by hand")))
            broker.lpush(QUEUE, b"\x00 garbage")
        eventually(lambda: cases(records) == 2 and len(dead(records)) == 1)
        eventually(lambda: depth(connection.channel(), QUEUE) == 0)
    assert dead(records)[0][1] == b"\x00 garbage"
