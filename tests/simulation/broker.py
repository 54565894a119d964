"""A broker that loses, repeats, delays and forgets; and what the relay and the worker hold it by, in place of kombu."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from tests.simulation.clock import Clock
from tests.simulation.faults import Faults
from worker.relay import WINDOW


class BrokerAwayError(Exception):
    """The broker does not answer, or nobody knows whether it did what was asked."""


class Broker:
    """Queues, and the network before them."""

    def __init__(
        self, clock: Clock, faults: Faults, deliver: Callable[[str, Any], None], die: Callable[[str], None]
    ) -> None:
        self._clock, self._faults, self._deliver, self._die = clock, faults, deliver, die
        self.away_until = 0.0
        self.waiting: Counter[str] = Counter()
        self.queued: Callable[[str], int] = lambda _: 0
        """How many messages of a lane have arrived, and were not taken by a worker."""
        self.generation = 0
        self.keys: set[str] = set()
        self.tasks: Counter[UUID] = Counter()
        """Tasks for helpdesks, by their event's id, and how often each was published."""
        self.unread: set[UUID] = set()
        """Those of them that lie on the queue."""

    @property
    def away(self) -> bool:
        """Whether nobody can reach it."""
        return self._clock.now < self.away_until

    def forget(self) -> None:
        """FLUSHALL: whatever waited is gone, and every key."""
        self.generation += 1
        self.waiting.clear()
        self.keys.clear()
        self.unread.clear()
        self._faults.noted("broker_forgets")

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Around what is published: over a network, by somebody who may end."""
        self._die("before publishing")
        if self.away or self._faults.happens("publish_failed"):
            raise BrokerAwayError
        yield
        self._die("after publishing")
        if self._faults.happens("publish_unknown"):
            raise BrokerAwayError

    def publish(self, lane: str, payload: Any) -> None:
        """LPUSH."""
        with self.reached():
            self._send(lane, payload)

    def _send(self, lane: str, payload: Any) -> None:
        if self._faults.happens("message_lost"):
            return
        for _ in range(self._faults.random.choice([2, 2, 5]) if self._faults.happens("message_repeated") else 1):
            late = self._faults.random.choice([10.0, 300.0, 7_200.0]) if self._faults.happens("message_late") else 0.01
            self.waiting[lane] += 1
            self._clock.later(late * self._faults.random.random(), self._arrive, lane, payload, self.generation)

    def _arrive(self, lane: str, payload: Any, generation: int) -> None:
        if generation == self.generation:
            self.waiting[lane] -= 1
            self._deliver(lane, payload)

    # What the relay holds it by

    @contextmanager
    def connect(self, settings: object) -> Iterator[Any]:  # noqa: ARG002  # as config.broker.connect
        """A connection, dialled at its first use."""
        yield SimpleNamespace(channel=self._channel, Producer=lambda **_: self)

    @contextmanager
    def _channel(self) -> Iterator["Broker"]:
        if self.away:
            raise BrokerAwayError
        yield self

    @property
    def client(self) -> "Keys":
        """As of kombu's channel."""
        return Keys(self)

    def depth(self, channel: object, lane: str) -> int:  # noqa: ARG002  # as config.broker.depth
        """How many messages wait in this lane."""
        if self.away:
            raise BrokerAwayError
        return self._depth(lane)

    def has_room(self, lane: str) -> bool:
        """Whether the relay would publish into this lane."""
        return self._depth(lane) < WINDOW

    def _depth(self, lane: str) -> int:
        return self.waiting[lane] + self.queued(lane)


class Keys:
    """As much of Redis' keys as the relay uses."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def exists(self, name: str) -> bool:
        """Whether the key is there."""
        if self._broker.away:
            raise BrokerAwayError
        return name in self._broker.keys

    def set(self, name: str, value: str) -> None:  # noqa: ARG002  # as the real one: that it is there says everything
        """SET."""
        with self._broker.reached():
            self._broker.keys.add(name)

    def rename(self, name: str, other: str) -> None:
        """RENAME, which a key refuses that is not there."""
        with self._broker.reached():
            if name not in self._broker.keys:
                raise BrokerAwayError
            self._broker.keys.remove(name)
            self._broker.keys.add(other)


class App:
    """As much of Celery as the relay uses."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.amqp = SimpleNamespace(Producer=lambda channel: SimpleNamespace(channel=channel))

    def send_task(self, lane: str, args: list[Any], **_: object) -> None:
        """One message."""
        self._broker.publish(lane, args[0])


class Helpdesk:
    """The connection on which tasks for people leave, and who reads them now and then."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.read: set[UUID] = set()

    def look(self) -> None:
        """Read what lies on the queue."""
        if not self._broker.away:
            self.read |= self._broker.unread
            self._broker.unread.clear()

    @contextmanager
    def connect(self, settings: object) -> Iterator[Any]:  # noqa: ARG002  # as config.broker.connect
        """A connection with a producer."""
        yield SimpleNamespace(Producer=lambda **_: self)

    def publish(self, event: Mapping[str, Any], message_id: str) -> None:
        """One task on the queue that helpdesks read."""
        assert event["id"] == message_id
        with self._broker.reached():
            self._broker.tasks[UUID(message_id)] += 1
            self._broker.unread.add(UUID(message_id))
