"""A simulated broker, which may lose, repeat and delay messages, and lose all data.

This module also replaces the parts of kombu and Celery that the relay uses.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from redis.exceptions import ResponseError

from tests.simulation.clock import Clock
from tests.simulation.faults import Faults
from worker.relay import WINDOW


class BrokerUnavailableError(Exception):
    """The broker is unavailable, or the outcome of a command is unknown."""


class Broker:
    """The broker's queues and keys, and the network between the broker and its clients."""

    def __init__(
        self, clock: Clock, faults: Faults, deliver: Callable[[str, Any], None], kill_at: Callable[[str], None]
    ) -> None:
        self._clock, self._faults, self._deliver, self._kill_at = clock, faults, deliver, kill_at
        self.unavailable_until = 0.0
        self.in_transit: Counter[str] = Counter()
        """For each queue: the number of published messages that have not arrived at the broker."""
        self.count_queued: Callable[[str], int] = lambda _: 0
        """A function that counts the waiting messages of a queue: they have arrived, and no worker has taken them."""
        self.generation = 0
        """The number of times that the broker lost its data."""
        self.keys: set[str] = set()
        self.task_publications: Counter[UUID] = Counter()
        """For each support task id: the number of times that the task was published."""
        self.unread_tasks: set[UUID] = set()
        """The ids of the support tasks that were published, but that no helpdesk has read."""

    @property
    def unavailable(self) -> bool:
        """Return whether the broker is unavailable."""
        return self._clock.now < self.unavailable_until

    def lose_data(self) -> None:
        """Lose all messages and keys, as FLUSHALL does."""
        self.generation += 1
        self.in_transit.clear()
        self.keys.clear()
        self.unread_tasks.clear()
        self._faults.count("broker_data_lost")

    @contextmanager
    def command(self) -> Iterator[None]:
        """Run the block as a command to the broker. The command may fail, or the calling process may be killed."""
        self._kill_at("before publishing")
        if self.unavailable or self._faults.happens("publish_failed"):
            raise BrokerUnavailableError
        yield
        self._kill_at("after publishing")
        if self._faults.happens("publish_unknown"):
            raise BrokerUnavailableError

    def publish(self, queue: str, payload: Any) -> None:
        """Publish a message, as LPUSH does."""
        with self.command():
            self._send(queue, payload)

    def _send(self, queue: str, payload: Any) -> None:
        if self._faults.happens("message_lost"):
            return
        for _ in range(self._faults.random.choice([2, 2, 5]) if self._faults.happens("message_repeated") else 1):
            max_delay = (
                self._faults.random.choice([10.0, 300.0, 7_200.0]) if self._faults.happens("message_late") else 0.01
            )
            self.in_transit[queue] += 1
            self._clock.later(max_delay * self._faults.random.random(), self._arrive, queue, payload, self.generation)

    def _arrive(self, queue: str, payload: Any, generation: int) -> None:
        if generation == self.generation:
            self.in_transit[queue] -= 1
            self._deliver(queue, payload)

    # The methods that the relay calls

    @contextmanager
    def connect(self, settings: object) -> Iterator[Any]:  # noqa: ARG002  # the parameters of config.broker.connect
        """Yield a connection. The connection is opened at its first use."""
        yield SimpleNamespace(channel=self._channel, Producer=lambda **_: self)

    @contextmanager
    def _channel(self) -> Iterator["Broker"]:
        if self.unavailable:
            raise BrokerUnavailableError
        yield self

    @property
    def client(self) -> "Keys":
        """The Redis client of kombu's channel."""
        return Keys(self)

    def queue_length(self, channel: object, queue: str) -> int:  # noqa: ARG002  # the parameters of config.broker.queue_length
        """Return the number of messages that wait in a queue."""
        if self.unavailable:
            raise BrokerUnavailableError
        return self._length(queue)

    def has_room(self, queue: str) -> bool:
        """Return whether the queue is short enough that the relay publishes to it."""
        return self._length(queue) < WINDOW

    def _length(self, queue: str) -> int:
        return self.in_transit[queue] + self.count_queued(queue)


class Keys:
    """The Redis commands for keys, as far as the relay uses them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def zadd(self, *_: object, xx: bool) -> None:  # noqa: ARG002  # a command that changes nothing
        """Fail if the broker is unavailable, as each command does."""
        if self._broker.unavailable:
            raise BrokerUnavailableError

    def info(self, section: str) -> dict[str, str]:  # noqa: ARG002  # the simulation has no statistics of the broker
        """Refuse to return statistics, as brokers of some providers do."""
        raise ResponseError

    config_get = info

    def exists(self, name: str) -> bool:
        """Return whether a key exists, as EXISTS does."""
        if self._broker.unavailable:
            raise BrokerUnavailableError
        return name in self._broker.keys

    def set(self, name: str, value: str) -> None:  # noqa: ARG002  # only the existence of a key matters
        """Set a key, as SET does."""
        with self._broker.command():
            self._broker.keys.add(name)

    def rename(self, name: str, other: str) -> None:
        """Rename a key, as RENAME does. Raise an error if the key does not exist."""
        with self._broker.command():
            if name not in self._broker.keys:
                raise BrokerUnavailableError
            self._broker.keys.remove(name)
            self._broker.keys.add(other)


class App:
    """The part of a Celery application that the relay uses."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.amqp = SimpleNamespace(Producer=lambda channel: SimpleNamespace(channel=channel))

    def send_task(self, name: str, args: list[Any], **_: object) -> None:
        """Publish one message."""
        self._broker.publish(name, args[0])


class Helpdesk:
    """The queue of support tasks: the relay publishes to it, and a helpdesk reads it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.read_tasks: set[UUID] = set()

    def consume(self) -> None:
        """Consume all support tasks of the queue."""
        if not self._broker.unavailable:
            self.read_tasks |= self._broker.unread_tasks
            self._broker.unread_tasks.clear()

    @contextmanager
    def connect(self, settings: object) -> Iterator[Any]:  # noqa: ARG002  # the parameters of config.broker.connect
        """Yield a connection with a producer."""
        yield SimpleNamespace(Producer=lambda **_: self)

    def publish(self, event: Mapping[str, Any], message_id: str, **_: object) -> None:
        """Publish one support task."""
        assert event["id"] == message_id
        with self._broker.command():
            self._broker.task_publications[UUID(message_id)] += 1
            self._broker.unread_tasks.add(UUID(message_id))
