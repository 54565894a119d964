"""Bytes of strangers on a queue: kombu opens every envelope outside of its error handlers, so it must be able to."""

import base64
import json
from typing import Any

import pytest
import redis
from kombu.transport import redis as redis_transport

from config.kombu_transport import Channel, Client, envelope

GOOD = {"body": "e30=", "properties": {"delivery_tag": "1", "body_encoding": "base64"}}


def inner(raw: bytes) -> bytes:
    """The body, as a consumer reads it."""
    found = json.loads(envelope(raw))
    assert found["properties"]["body_encoding"] == "base64"
    return base64.b64decode(found["body"])


def test_what_kombu_can_open_stays_as_it_is() -> None:
    raw = json.dumps(GOOD).encode()
    assert envelope(raw) is raw


@pytest.mark.parametrize(
    "raw",
    [
        b"this is no JSON",
        b"\xff\xfe{\x00}\x00",
        json.dumps(GOOD).encode("utf-16"),
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        json.dumps([GOOD, "", "refund.evaluate"]).encode(),
        json.dumps(GOOD | {"body": None}).encode(),
        json.dumps(GOOD | {"body": "x"}).encode(),
        json.dumps(GOOD | {"properties": {"delivery_tag": 1}}).encode(),
        json.dumps(GOOD | {"headers": {"__type__": "decimal", "__value__": "no number"}}).encode(),
        json.dumps(GOOD | {"headers": {"__type__": "datetime", "__value__": 5}}).encode(),
    ],
)
def test_what_kombu_cannot_open_becomes_the_body_of_an_envelope_byte_for_byte(raw: bytes) -> None:
    assert inner(raw) == raw


class Answers:
    """A connection to a broker that has one answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read_response(self, **_: Any) -> Any:
        return self._answer


@pytest.mark.parametrize(
    ("command", "answer"), [("BRPOP", None), ("RPOP", None), ("HGET", b"no envelope"), ("BRPOP", [b"queue", b"{}"])]
)
def test_the_client_changes_only_the_messages_that_it_takes_off_a_queue(command: str, answer: Any) -> None:
    found = Client().parse_response(Answers(answer), command)
    assert found == ((b"queue", envelope_of(b"{}", found)) if answer == [b"queue", b"{}"] else answer)


def envelope_of(body: bytes, found: Any) -> bytes:
    """The envelope in this answer, which has this body."""
    raw: bytes = found[1]
    assert base64.b64decode(json.loads(raw)["body"]) == body
    return raw


def test_a_kombu_that_reads_queues_with_another_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Another(redis.Redis):
        pass

    monkeypatch.setattr(redis_transport.Channel, "_get_client", lambda _: Another)
    with pytest.raises(Exception, match=r"not with redis\.Redis: change config/kombu_transport\.py"):
        Channel._get_client(object.__new__(Channel))
