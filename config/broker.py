"""The broker: its queues, and how it is dialled."""

import json
from typing import Any
from urllib.parse import urlsplit

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

from config import kombu_transport
from config.settings import Settings
from domain.messages import WORK_QUEUES, ContactSupport, IncomingRequest

DIRECT = Exchange("", type="direct")
"""The default exchange: a named one forgets its bindings when the broker loses its memory, and then drops silently."""

PERIODIC = "ticks"
"""What beat asks for now and then. In a lane they would gather while workers are busy, and keep the relay from filling it."""

QUEUES = {
    name: Queue(name, DIRECT, routing_key=name)
    for name in (*WORK_QUEUES, PERIODIC, ContactSupport.queue, IncomingRequest.queue)
}

TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,  # longer than any task may run: a running one is not delivered again
    "unacked_restore_interval": 10,
    # A half-open connection leaves a worker alive, silent and deaf. Without these it is so for ever; with them a worker
    # waits for each of its dead sockets once (three at the most), and within 5 seconds finds that BRPOP's 1 is over.
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 2,
    "retry_on_timeout": False,
}


kombu_transport.register()


def connect(settings: Settings) -> Connection:
    """A connection to the broker, dialled at its first use; one that cannot be had fails within seconds."""
    return Connection(settings.broker_url.get_secret_value(), transport_options=TRANSPORT_OPTIONS, connect_timeout=2)


def is_unavailable(connection: Connection) -> tuple[type[Exception], ...]:
    """What a broker that is away, full or restarting raises through this connection."""
    kombu: Any = connection  # its stubs lag
    return (OperationalError, *kombu.connection_errors, *kombu.channel_errors)


def queue_length(channel: Any, queue: str) -> int:  # noqa: ANN401  # kombu's channel, whose stubs lag
    """How many messages wait in a queue."""
    bound: Any = QUEUES[queue](channel)
    return int(bound.queue_declare().message_count)


def raw_body(message: Any) -> bytes:  # noqa: ANN401  # kombu's message
    """A message's body, byte for byte as far as the transport kept it."""
    body = message.body
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()


def redis_url(settings: Settings) -> str | None:
    """Return the URL of the broker as redis-py expects it; None if the broker is not Redis.

    The processes share the counters of the rate limits there.
    """
    url = settings.broker_url.get_secret_value()
    if not urlsplit(url).scheme.startswith("redis"):
        return None
    return url.replace("redis+socket://", "unix://").replace("?virtual_host=", "?db=")
