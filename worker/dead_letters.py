"""Publishes dead letters to their queues again, unchanged."""

import json
from contextlib import suppress

from celery import Celery

from domain.messages import WORK_QUEUES
from records import Records


def redrive(records: Records, app: Celery, ids: list[int]) -> int:
    """Publish the dead letters with these ids to their queues again. Return the number of published messages.

    A message that still cannot be read becomes a dead letter again.
    """
    with records.work() as work, app.connection_for_write() as connection:
        dead_letters = work.dead_letters.redrive(ids)
        producer = app.amqp.Producer(connection.channel())
        for dead_letter in dead_letters:
            payload = _read_object(dead_letter.body)
            if dead_letter.queue in WORK_QUEUES and payload is not None:
                app.send_task(
                    dead_letter.queue, [payload], queue=dead_letter.queue, producer=producer, argsrepr="redriven"
                )
            else:
                producer.publish(
                    dead_letter.body,
                    exchange="",
                    routing_key=dead_letter.queue,
                    content_type="application/json",
                    content_encoding="utf-8",
                )
    return len(dead_letters)


def _read_object(body: bytes) -> dict[str, object] | None:
    """Return the JSON object in ``body``, or None if the body is not a JSON object."""
    with suppress(ValueError):
        payload = json.loads(body)
        return payload if isinstance(payload, dict) else None
    return None
