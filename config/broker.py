"""The queues of the broker, and the connections to the broker."""

import json
from typing import Any
from urllib.parse import urlsplit

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.transport import redis as redis_transport

from config import kombu_transport
from config.settings import Settings
from domain.messages import INCOMING_QUEUES, WORK_QUEUES, ContactSupport, SupportTaskEvent

DIRECT = Exchange("", type="direct")
"""The default exchange.

Moneyback uses no named exchange. If the broker lost its data, a named exchange would have no bindings, and would drop
messages silently.
"""

PERIODIC = "ticks"
"""The queue of the periodic tasks that Celery beat sends.

Periodic tasks are not sent to a queue of cases, because they would fill that queue while the workers are busy. The
relay publishes nothing to a full queue, so it would then publish no cases.
"""

QUEUES = {
    name: Queue(name, DIRECT, routing_key=name)
    for name in (*WORK_QUEUES, PERIODIC, ContactSupport.queue, SupportTaskEvent.queue, *INCOMING_QUEUES)
}

TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,  # longer than any task may run, so that no running task is delivered again
    "unacked_restore_interval": 10,
    # On a half-open connection, a worker receives no message and no error. Without these options, the worker would wait for
    # ever. The worker reads messages with the Redis command BRPOP, which normally returns within 1 second. With these
    # options, the worker detects within 5 seconds that a BRPOP has not returned. After that, the worker waits at most
    # 2 seconds for each of its three sockets.
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 2,
    "retry_on_timeout": False,
}


kombu_transport.register()


def connect(settings: Settings) -> Connection:
    """Return a connection to the broker. It connects at its first use. If connecting fails, it raises an error within seconds."""
    return Connection(settings.broker_url.get_secret_value(), transport_options=TRANSPORT_OPTIONS, connect_timeout=2)


def is_unavailable(connection: Connection) -> tuple[type[Exception], ...]:
    """Return the exceptions that this connection raises if the broker is unavailable, full or restarting."""
    untyped: Any = connection  # the stubs of kombu are incomplete
    return (OperationalError, *untyped.connection_errors, *untyped.channel_errors)


def queue_length(channel: Any, queue: str) -> int:  # noqa: ANN401  # kombu's channel; its stubs are incomplete
    """Return the number of messages in a queue."""
    bound_queue: Any = QUEUES[queue](channel)
    return int(bound_queue.queue_declare().message_count)


def redis_client(channel: Any) -> Any:  # noqa: ANN401  # kombu's channel; its stubs are incomplete
    """Return the Redis client of a channel; None if the broker is not Redis."""
    return getattr(channel, "client", None)


def check_writable(channel: Any) -> None:  # noqa: ANN401  # kombu's channel; its stubs are incomplete
    """Raise CommandRefusedError if Redis refuses to store a message, for example because the server is a replica.

    A replica answers commands that only read. ZADD XX changes no key, because no message has the id "". But the server refuses
    the command if it would refuse a message. kombu uses the same command and the same key, so our user may use them.
    """
    if client := redis_client(channel):
        client.zadd(redis_transport.Channel.unacked_index_key, {"": 0}, xx=True)


def raw_body(message: Any) -> bytes:  # noqa: ANN401  # kombu's message
    """Return the body of a message as bytes.

    The bytes are the original bytes, except if the transport has already parsed the body. Then the body is encoded again.
    """
    body = message.body
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()


def redis_url(settings: Settings) -> str | None:
    """Return the URL of the broker as redis-py expects it; None if the broker is not Redis.

    The rate limits store their counters in Redis at this URL, because all processes share the counters.
    """
    url = settings.broker_url.get_secret_value()
    if not urlsplit(url).scheme.startswith("redis"):
        return None
    return url.replace("redis+socket://", "unix://").replace("?virtual_host=", "?db=")
