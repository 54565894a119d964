"""The transport: kombu's own for Redis, mended where bytes or a socket at their worst would end a worker or a message."""

import base64
import json
import uuid
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as redis_transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import ConnectionError as RedisConnectionError

from domain.errors import MoneybackError


def envelope(raw: bytes) -> bytes:
    """Returns the bytes of a queue if kombu can open them as its envelope, or an envelope with these bytes as its body.

    kombu's Redis transport opens the envelope outside of every error handler. Bytes that are no JSON end the worker that
    takes them, and the message is lost. In an envelope they reach the consumer, which keeps them for support.
    """
    try:
        found = loads(bytes_to_str(raw))
    except Exception:  # noqa: BLE001  # kombu decodes dates and numbers in it too, and these raise what they like
        found = None
    readable = isinstance(found, dict) and _can_be_opened(found)
    return raw if readable else json.dumps(_wrapped(raw)).encode()


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


class Client(redis.Redis):
    """redis-py's client. A message that it takes off a queue is always an envelope that kombu can open."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:  # noqa: ANN401  # redis-py's signature
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]  # stubs lag
        if answer and command_name == "BRPOP":  # kombu reads queues with it
            queue, message = answer
            return queue, envelope(message)
        return envelope(answer) if answer and command_name == "RPOP" else answer  # basic_get of kombu


class Channel(redis_transport.Channel):
    """kombu's own, which may be asked for something when its connection is gone: that is an error of the connection.

    A request may outlive its connection, and is acknowledged over it all the same when its child was lost. kombu 5.7
    then stumbles over the missing address with an AttributeError, which no one expects and which ends Celery's worker.
    """

    def _get_client(self) -> type[redis.Redis]:
        kombus = super()._get_client()  # type: ignore[misc]  # its stubs lag
        if kombus is not redis.Redis:
            raise MoneybackError(
                f"kombu reads queues with {kombus} and not with redis.Redis: change config/kombu_transport.py."
            )
        return Client

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: ANN401  # kombu's signature
        if self.connection.client is None:
            raise RedisConnectionError("The connection of this channel was closed.")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]  # as above

    @property
    def asks(self) -> bool:
        """Whether a BRPOP is under way."""
        return bool(self._in_poll)  # type: ignore[attr-defined]  # as above

    def hang_up(self) -> None:
        """Every socket of this channel is closed; whoever wants one dials anew."""
        self._disconnect_pools()  # type: ignore[attr-defined]  # as above


class Poller(redis_transport.MultiChannelPoller):
    """kombu's own, which gives the whole connection up when one of its sockets has proved to be half open.

    kombu 5.7 closes the silent socket alone and asks again over a new one, while the other sockets of the same worker
    are just as dead. What comes then is taken, and lost with its consumer as soon as the next of them is found dead.
    """

    def maybe_check_brpop_health(self) -> None:
        asking: list[Channel] = [channel for channel in self._channels if channel.asks]  # type: ignore[attr-defined]
        super().maybe_check_brpop_health()  # type: ignore[misc]  # the stubs lag
        if not all(channel.asks for channel in asking):
            for channel in asking:
                channel.hang_up()  # a new socket says goodbye in no time, a dead one after its time-out
            raise RedisConnectionError("A connection to the broker is half open: it is given up as a whole.")


class Transport(redis_transport.Transport):
    """kombu's own, which tells a message without an envelope which queue it lay on."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # kombu's signature
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def _deliver(self, message: Any, queue: str | None) -> None:  # noqa: ANN401  # whatever a stranger put there
        told = message["properties"].get("delivery_info")
        info = told if isinstance(told, dict) else {}
        where = {"exchange": info.get("exchange") or "", "routing_key": info.get("routing_key") or queue}
        message["properties"]["delivery_info"] = (
            info | where
        )  # without both it is popped, and never gets into `unacked`
        super()._deliver(message, queue)


def register() -> None:
    """From now on this is what kombu dials redis:// with, in this process."""
    for alias in ("redis", "rediss"):  # redis+socket is redis to kombu
        TRANSPORT_ALIASES[alias] = f"{__name__}:{Transport.__name__}"
