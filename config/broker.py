"""The broker: its queues, how it is dialled, and what becomes of bytes that are no message."""

import base64
import json
import uuid
from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as redis_transport
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import Settings
from domain.messages import LANES, ContactSupport, IncomingRequest

DIRECT = Exchange("", type="direct")
"""The default exchange: a named one forgets its bindings when the broker loses its memory, and then drops silently."""

TICKS = "ticks"
"""What beat asks for now and then. In a lane they would gather while workers are busy, and keep the relay from filling it."""

QUEUES = {
    name: Queue(name, DIRECT, routing_key=name) for name in (*LANES, TICKS, ContactSupport.queue, IncomingRequest.queue)
}

TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,  # longer than any task may run: a running one is not delivered again
    "unacked_restore_interval": 10,
    "socket_timeout": 5,  # without these a half-open connection leaves a worker alive, silent and deaf
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 3,  # noticed within 7 seconds (BRPOP's 1 and two of these), given up within 5 more
    "retry_on_timeout": False,
}


def connect(settings: Settings) -> Connection:
    """A connection to the broker, dialled at its first use; one that cannot be had fails within seconds."""
    return Connection(settings.broker_url.get_secret_value(), transport_options=TRANSPORT_OPTIONS, connect_timeout=5)


def away(connection: Connection) -> tuple[type[Exception], ...]:
    """What a broker that is away, full or restarting raises through this connection."""
    kombu: Any = connection  # its stubs lag
    return (OperationalError, *kombu.connection_errors, *kombu.channel_errors)


def depth(channel: Any, queue: str) -> int:  # noqa: ANN401  # kombu's channel, whose stubs lag
    """How many messages wait in a queue."""
    bound: Any = QUEUES[queue](channel)
    return int(bound.queue_declare().message_count)


def _envelope(raw: str | bytes, **options: Any) -> Any:  # noqa: ANN401  # whatever a stranger put on a queue
    """What lies on a queue, as kombu's envelope; bytes that are none become the body of one.

    kombu's Redis transport reads its envelope outside of every handler: bytes that are no JSON end the worker that
    pops them, and the message with it. In an envelope they reach the consumer, which keeps them for a person.
    """
    try:
        found = _loads(raw, **options)
    except ValueError:
        found = None
    if isinstance(found, dict) and _can_be_opened(found):
        return found
    if isinstance(found, list) and found and isinstance(found[0], dict) and "body" in found[0]:
        return found  # an entry of `unacked`: an envelope, its exchange and its routing key
    return _wrapped(raw.encode() if isinstance(raw, str) else raw)


def _wrapped(body: bytes) -> dict[str, Any]:
    """An envelope around these bytes."""
    return {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": ""},
            "delivery_mode": 2,
            "priority": 0,
        },
    }


def _can_be_opened(envelope: dict[str, Any]) -> bool:
    """Whether kombu can take the body out of this envelope; it tries outside of every handler, too."""
    body, properties = envelope.get("body"), envelope.get("properties")
    if not (isinstance(properties, dict) and isinstance(properties.get("delivery_tag"), str) and isinstance(body, str)):
        return False
    try:
        base64.b64decode(body)
    except ValueError:
        return properties.get("body_encoding") is None
    return properties.get("body_encoding") in {None, "base64"}


class Channel(redis_transport.Channel):
    """kombu's own, which may be asked for something when its connection is gone: that is an error of the connection.

    A request may outlive its connection, and is acknowledged over it all the same when its child was lost. kombu 5.7
    then stumbles over the missing address with an AttributeError, which no one expects and which ends Celery's worker.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: ANN401  # kombu's signature
        if self.connection.client is None:
            raise RedisConnectionError("The connection of this channel was closed.")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]  # its stubs lag


class Transport(redis_transport.Transport):
    """kombu's own, which tells a message without an envelope which queue it lay on."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401  # whatever a stranger put there
        if not isinstance(message, dict):  # an entry of `unacked`, which a stranger put on a queue
            message = _wrapped(json.dumps(message).encode())
        told = message["properties"].get("delivery_info")
        info = told if isinstance(told, dict) else {}
        where = {"exchange": info.get("exchange") or "", "routing_key": info.get("routing_key") or queue}
        message["properties"]["delivery_info"] = (
            info | where
        )  # without both it is popped, and never gets into `unacked`
        super()._deliver(message, queue)


for alias in ("redis", "rediss"):  # redis+socket is redis to kombu
    TRANSPORT_ALIASES[alias] = "config.broker:Transport"

_transport: Any = redis_transport  # its stubs do not know what it imports
_loads = _transport.loads
_transport.loads = _envelope


def raw_body(message: Any) -> bytes:  # noqa: ANN401  # kombu's message
    """A message's body, byte for byte as far as the transport kept it."""
    body = message.body
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()
