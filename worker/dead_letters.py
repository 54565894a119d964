"""Redriving: messages that nobody could read go back to the queue they came from, as they came."""

import json
from contextlib import suppress

from celery import Celery

from domain.messages import WORK_QUEUES
from records import Records


def redrive(records: Records, app: Celery, ids: list[int]) -> int:
    """Puts these messages back and returns how many; one that still cannot be read comes to rest in ``dead`` again."""
    with records.work() as work, app.connection_for_write() as connection:
        messages = work.dead_letters.redrive(ids)
        producer = app.amqp.Producer(connection.channel())
        for message in messages:
            payload = _payload(message.body)
            if message.queue in WORK_QUEUES and payload is not None:
                app.send_task(message.queue, [payload], queue=message.queue, producer=producer, argsrepr="redriven")
            else:
                producer.publish(
                    message.body,
                    exchange="",
                    routing_key=message.queue,
                    content_type="application/json",
                    content_encoding="utf-8",
                )
    return len(messages)


def _payload(body: bytes) -> dict[str, object] | None:
    with suppress(ValueError):
        found = json.loads(body)
        return found if isinstance(found, dict) else None
    return None
