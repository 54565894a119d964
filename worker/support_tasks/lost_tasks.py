"""Publishes support tasks again if the broker lost one of their queues, although the broker kept its other data.

A helpdesk removes the tasks that it reads, so an empty queue is normal. Redis does not record who removed a message, but it
counts the evicted keys and the calls of each command. If these counts did not change since the last check, no queue was removed
as a whole, and helpdesks have read all tasks that are missing. If the counts did change, the missing tasks were read or are lost.
Then they are published again with the same ids. Helpdesks drop duplicates by the id.

Source: "INFO" in the documentation of Redis. If the broker refuses INFO, only the loss of all data is detected
(worker/broker_loss.py).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self
from uuid import UUID

import structlog
from kombu import Connection
from kombu.transport.redis import Channel
from pydantic import AwareDatetime, BaseModel, ValidationError
from redis.exceptions import ResponseError

from config.broker import redis_client
from domain.messages import ContactSupport, SupportTaskEvent
from records import Records, UnitOfWork
from records.support_task_events import SupportTaskEvents
from records.support_tasks import SupportTasks
from worker.broker_loss import MARKER_KEY

log = structlog.get_logger()

REMOVING_COMMANDS = (
    *("del", "unlink", "rename", "renamenx", "move", "migrate", "copy", "restore"),
    *("flushdb", "flushall", "swapdb"),
)
"""The commands that remove or replace a whole key. Commands that remove single messages are left out: helpdesks use them."""


QUEUES: Mapping[str, Callable[[UnitOfWork], SupportTasks | SupportTaskEvents]] = {
    ContactSupport.queue: lambda work: work.support_tasks,
    SupportTaskEvent.queue: lambda work: work.support_task_events,
}
"""The queues of support tasks, each with the table that says what was published."""


class Checkpoint(BaseModel):
    """The result of a check, which is stored in the broker marker until the next check."""

    removals: str
    """A text that changes each time that a key may have been removed, and when the server starts."""
    read_before: dict[str, AwareDatetime]
    """For each queue: helpdesks have read all tasks that were published before this instant, or they were published again."""

    @classmethod
    def parse(cls, marker: bytes | None) -> Self | None:
        """Return the checkpoint in a broker marker. A new marker contains no checkpoint."""
        with suppress(ValidationError):
            return cls.model_validate_json(marker or b"")
        return None


class LostTaskDetector:
    """A detector of lost support tasks. Detectors may run in several processes, and share the checkpoint in the broker."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def run_once(self, connection: Connection) -> int:
        """Make the open support tasks due again that are missing in the queue and may be lost. Return the number of tasks.

        The counts are read before the queues. If a key is removed during the check, the next check finds other counts. A task
        that is published during the check may be missing among the messages that were read before; the next check looks for
        it. The checkpoint replaces an existing marker only, because a missing marker shows that the broker lost all its data.
        """
        with connection.channel() as channel:
            client = redis_client(channel)
            if client is None or (removals := _read_removals(client)) is None:
                return 0
            previous = Checkpoint.parse(client.get(MARKER_KEY))
            is_doubtful = previous is not None and previous.removals != removals
            with self._records.work() as work:
                began = work.now
            unread = {queue: list(_read_unread(client, queue, every=is_doubtful)) for queue in QUEUES}
            lost, read_before = 0, {}
            with self._records.work() as work:
                for queue, published_of in QUEUES.items():
                    published = published_of(work)
                    if previous is not None and is_doubtful:
                        lost += published.publish_missing_again(
                            unread[queue], since=previous.read_before[queue], until=began
                        )
                    read_before[queue] = published.read_before(unread[queue], at=began)
            checkpoint = Checkpoint(removals=removals, read_before=read_before)
            client.set(MARKER_KEY, checkpoint.model_dump_json(), xx=True)
        if lost:
            log.warning("support_tasks_lost", tasks=lost)
        return lost


def _read_removals(client: Any) -> str | None:  # noqa: ANN401  # kombu's Redis client
    """Return the run of the server and the number of removed keys; None if the broker refuses to tell them."""
    try:
        info = client.info("all")
    except ResponseError:
        return None
    calls = (info.get(f"cmdstat_{command}", {}).get("calls", 0) for command in REMOVING_COMMANDS)
    return f"{info.get('run_id')} {info.get('evicted_keys', 0) + sum(calls)}"


def _read_unread(client: Any, queue: str, *, every: bool) -> Iterator[UUID]:  # noqa: ANN401  # kombu's Redis client
    """Yield the ids of the oldest task in the queue, and of the tasks that helpdesks have not acknowledged.

    With ``every``, yield the ids of all tasks in the queue. New messages are added at the start of the list.
    """
    yield from _ids_of(client.lrange(queue, 0 if every else -1, -1), queue)
    yield from _ids_of(client.hvals(Channel.unacked_key), queue)


def _ids_of(messages: Iterable[bytes], queue: str) -> Iterator[UUID]:
    """Yield the ids of the tasks in kombu's envelopes. An unacknowledged message is a list that starts with the envelope.

    The unacknowledged messages of all queues are together. The id of an event of version 2 starts with the id of the task. Other
    programs may add messages to the broker. A message without such an id is not a support task.
    """
    for message in messages:
        with suppress(ValueError, LookupError, TypeError):
            content = json.loads(message)
            properties = (content[0] if isinstance(content, list) else content)["properties"]
            if properties["delivery_info"]["routing_key"] == queue:
                yield UUID(str(properties["message_id"]).partition("/")[0])
