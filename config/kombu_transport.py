"""kombu's Redis transport, with fixes for some faults of kombu. Each of these faults can stop a worker or lose a message.

kombu sends each message in an envelope: a JSON object with the body and the delivery information.
"""

import base64
import json
import uuid
from typing import Any

import redis
import structlog
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as redis_transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.lock import Lock

from config.broker_refusals import CommandRefusedError, RefusalReader
from domain.errors import MoneybackError

log = structlog.get_logger()


def envelope(raw: bytes) -> bytes:
    """Return ``raw`` if kombu can open it as an envelope; otherwise return an envelope with ``raw`` as its body.

    No error handler is active when kombu's Redis transport opens an envelope. Without this function, a worker that received
    bytes that are not JSON would stop, and the message would be lost. With an envelope around them, the bytes reach the
    consumer, which stores them as a dead letter.
    """
    try:
        content = loads(bytes_to_str(raw))
    except Exception:  # noqa: BLE001  # kombu also decodes dates and numbers, which can raise various exceptions
        content = None
    is_readable = isinstance(content, dict) and _can_be_opened(content)
    return raw if is_readable else json.dumps(_wrap(raw)).encode()


def _wrap(body: bytes) -> dict[str, Any]:
    """Return an envelope with ``body`` as its body."""
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
    """Return True if kombu can decode the body of this envelope. If kombu cannot decode a body, the worker stops."""
    body, properties = envelope.get("body"), envelope.get("properties")
    if not (isinstance(properties, dict) and isinstance(properties.get("delivery_tag"), str) and isinstance(body, str)):
        return False
    try:
        base64.b64decode(body)
    except ValueError:
        return properties.get("body_encoding") is None
    return properties.get("body_encoding") in {None, "base64"}


class Client(redis.Redis):
    """A redis-py client that returns each message of a queue as an envelope that kombu can open."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:  # noqa: ANN401  # redis-py's signature
        """Parse a response, and wrap a message that kombu cannot open."""
        response = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]  # incomplete stubs
        if response and command_name == "BRPOP":  # kombu consumes queues with BRPOP
            queue, message = response
            return queue, envelope(message)
        return envelope(response) if response and command_name == "RPOP" else response  # basic_get of kombu uses RPOP

    def lock(self, name: str, timeout: float | None = None) -> Lock:  # type: ignore[override]  # kombu uses no other parameter
        """Return a lock that expires when it is released."""
        return ExpiringLock(self, name, timeout=timeout)


class ExpiringLock(Lock):
    """A lock that is released without the command DEL.

    kombu releases a lock every 100 seconds in each worker. The count of DEL commands shows whether a queue may have been
    deleted (worker/support_tasks/lost_tasks.py), so our own processes must not use DEL.
    """

    lua_release = None  # otherwise redis-py would use the script of its own class, if that script is already loaded
    LUA_RELEASE_SCRIPT = Lock.LUA_RELEASE_SCRIPT.replace(
        "redis.call('del', KEYS[1])", "redis.call('pexpire', KEYS[1], 1)"
    )


class QoS(redis_transport.QoS):
    """The unacknowledged messages of a channel, also of a broker that cannot store them.

    kombu first removes a message from its queue, and then stores the message as unacknowledged. If the memory of the broker
    is full, the broker refuses only the second command, and kombu loses the message.
    """

    def append(self, message: Any, delivery_tag: str) -> None:  # noqa: ANN401  # kombu's message
        """Store a message as unacknowledged. If the broker refuses the command, deliver the message nevertheless.

        If this process crashes before it has processed such a message, the message is lost.
        """
        try:
            super().append(message, delivery_tag)
        except CommandRefusedError as error:
            log.warning("delivery_not_stored", why=str(error))
            virtual.QoS.append(self, message, delivery_tag)


class Channel(redis_transport.Channel):
    """A channel that raises a connection error if its connection was closed, or if the broker refuses commands for a while.

    If the process that ran a task was lost, Celery acknowledges the task's message over a closed connection. kombu 5.7 then
    raises an AttributeError, because a closed connection has no address. The AttributeError stops Celery's worker.
    """

    QoS = QoS

    def _get_client(self) -> type[redis.Redis]:
        """Return the class of the client; raise MoneybackError if kombu uses another class than redis.Redis."""
        client = super()._get_client()  # type: ignore[misc]  # the stubs are incomplete
        if client is not redis.Redis:
            raise MoneybackError(
                f"kombu reads queues with {client}, not with redis.Redis. Adapt Client in config/kombu_transport.py."
            )
        return Client

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: ANN401  # kombu's signature
        """Return the parameters of a connection to Redis; raise ConnectionError if this channel's connection is closed."""
        if self.connection.client is None:
            raise RedisConnectionError("The connection of this channel was closed.")
        params = super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]  # the stubs are incomplete
        params["connection_class"] = type("Connection", (RefusalReader, params["connection_class"]), {})
        return params

    @property
    def is_polling(self) -> bool:
        """True if a BRPOP is in progress."""
        return bool(self._in_poll)  # type: ignore[attr-defined]  # the stubs are incomplete

    def close_sockets(self) -> None:
        """Close all sockets of this channel. The next command opens a new socket."""
        self._disconnect_pools()  # type: ignore[attr-defined]  # the stubs are incomplete


class Poller(redis_transport.MultiChannelPoller):
    """A poller that closes all sockets of the connection if one of these sockets is half open.

    kombu 5.7 closes only the half-open socket and polls over a new socket, although the other sockets of the worker are
    half open, too. The new socket receives messages. When kombu finds the next half-open socket, it drops the consumer, and
    the messages that the new socket received are lost.
    """

    def maybe_check_brpop_health(self) -> None:
        """Let kombu check the polling sockets. If kombu closed one of them, close them all and raise ConnectionError."""
        polling: list[Channel] = [channel for channel in self._channels if channel.is_polling]  # type: ignore[attr-defined]
        super().maybe_check_brpop_health()  # type: ignore[misc]  # the stubs are incomplete
        if not all(channel.is_polling for channel in polling):
            for channel in polling:
                channel.close_sockets()  # a new socket closes immediately; a half-open socket closes after its timeout
            raise RedisConnectionError("A socket to the broker is half open, so the whole connection was closed.")


class Transport(redis_transport.Transport):
    """A transport that completes the delivery information of a message that another program published."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # kombu's signature
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401  # JSON of another program
        received = message["properties"].get("delivery_info")
        info = received if isinstance(received, dict) else {}
        route = {"exchange": info.get("exchange") or "", "routing_key": info.get("routing_key") or queue}
        # If a message has no exchange or no routing key, kombu removes it from its queue, but does not add it to `unacked`.
        message["properties"]["delivery_info"] = info | route
        super()._deliver(message, queue)


def register() -> None:
    """Make kombu use this transport for redis:// and rediss:// in this process."""
    for alias in ("redis", "rediss"):  # kombu treats redis+socket as redis
        TRANSPORT_ALIASES[alias] = f"{__name__}:{Transport.__name__}"
