"""Tests of envelope(). If kombu cannot parse the bytes of a message, envelope() wraps them in a valid envelope.

kombu itself does not handle the parse error.
"""

import base64
import json
from typing import Any

import pytest
import redis
from kombu.transport import redis as redis_transport

from config.kombu_transport import Channel, Client, envelope

VALID_ENVELOPE = {"body": "e30=", "properties": {"delivery_tag": "1", "body_encoding": "base64"}}


def body_of(raw: bytes) -> bytes:
    """Return the body that a consumer reads from the envelope of these bytes."""
    parsed = json.loads(envelope(raw))
    assert parsed["properties"]["body_encoding"] == "base64"
    return base64.b64decode(parsed["body"])


def test_an_envelope_that_kombu_can_parse_is_not_changed() -> None:
    raw = json.dumps(VALID_ENVELOPE).encode()
    assert envelope(raw) is raw


@pytest.mark.parametrize(
    "raw",
    [
        b"not JSON",
        b"\xff\xfe{\x00}\x00",
        json.dumps(VALID_ENVELOPE).encode("utf-16"),
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        json.dumps([VALID_ENVELOPE, "", "refund.evaluate"]).encode(),
        json.dumps(VALID_ENVELOPE | {"body": None}).encode(),
        json.dumps(VALID_ENVELOPE | {"body": "x"}).encode(),
        json.dumps(VALID_ENVELOPE | {"properties": {"delivery_tag": 1}}).encode(),
        json.dumps(VALID_ENVELOPE | {"headers": {"__type__": "decimal", "__value__": "no number"}}).encode(),
        json.dumps(VALID_ENVELOPE | {"headers": {"__type__": "datetime", "__value__": 5}}).encode(),
    ],
)
def test_bytes_that_kombu_cannot_parse_become_the_body_of_an_envelope(raw: bytes) -> None:
    assert body_of(raw) == raw


class OneResponse:
    """A connection to a broker that always returns the same response."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def read_response(self, **_: Any) -> Any:
        return self._response


@pytest.mark.parametrize(
    ("command", "response"), [("BRPOP", None), ("RPOP", None), ("HGET", b"no envelope"), ("BRPOP", [b"queue", b"{}"])]
)
def test_the_client_changes_only_responses_that_contain_a_message(command: str, response: Any) -> None:
    parsed = Client().parse_response(OneResponse(response), command)
    assert parsed == ((b"queue", envelope_of(b"{}", parsed)) if response == [b"queue", b"{}"] else response)


def envelope_of(body: bytes, parsed: Any) -> bytes:
    """Return the envelope of a parsed response, and check its body."""
    raw: bytes = parsed[1]
    assert base64.b64decode(json.loads(raw)["body"]) == body
    return raw


def test_a_kombu_version_with_another_redis_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherClient(redis.Redis):
        pass

    monkeypatch.setattr(redis_transport.Channel, "_get_client", lambda _: OtherClient)
    with pytest.raises(Exception, match=r"not with redis\.Redis\. Adapt Client in config/kombu_transport\.py"):
        Channel._get_client(object.__new__(Channel))
