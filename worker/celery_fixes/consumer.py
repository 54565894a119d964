"""Stores a message as a dead letter if it is not a call of one of our tasks. Celery itself would discard such a message.

If the broker refuses commands for a while, the consumer waits between two attempts to connect. When the consumer is connected, it
warns if the broker may delete messages.
"""

import time
from contextlib import suppress
from typing import Any

import structlog
from celery.worker import consumer

from config.broker import is_unavailable, raw_body
from config.broker_refusals import CommandRefusedError
from config.eviction import warn_of_eviction
from records import DatabaseDownError
from worker.context import worker_context

log = structlog.get_logger()

PAUSE = (
    1.0  # seconds between two attempts to connect to a broker that refuses commands; Celery would try without a pause
)


class Consumer(consumer.Consumer):
    """A consumer that stores a dead letter in each of the four cases in which Celery cannot run a message."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Log the error. If the broker refuses commands, wait, because Celery can connect again at once, but to no effect."""
        if isinstance(exc, CommandRefusedError):
            log.warning("broker_unavailable", error=type(exc).__name__, why=str(exc))
            time.sleep(PAUSE)
        else:
            super().on_connection_error_after_connected(exc)

    def on_ready(self) -> None:
        """Warn if the broker may delete messages. The server may be another one after each connection."""
        super().on_ready()
        with (
            self.app.connection_for_read() as connection,
            suppress(*is_unavailable(connection)),
            connection.channel() as channel,
        ):
            warn_of_eviction(channel)

    def on_unknown_message(self, body: object, message: Any) -> None:  # noqa: ANN401, ARG002  # Celery's signature
        self._store(message, "This is not a message of Celery.")

    def on_unknown_task(self, body: object, message: Any, exc: Exception) -> None:  # noqa: ANN401, ARG002  # Celery's signature
        self._store(message, f"This worker has no task named {message.headers.get('task')!r}.")

    def on_invalid_task(self, body: object, message: Any, exc: Exception) -> None:  # noqa: ANN401, ARG002  # Celery's signature
        self._store(message, f"This message is not a call of a task: {exc}")

    def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ANN401  # Celery's signature
        self._store(message, f"This message cannot be decoded: {exc}")

    def _store(self, message: Any, why: str) -> None:  # noqa: ANN401  # kombu's message
        """Store the message as a dead letter, and acknowledge it."""
        queue = (message.delivery_info or {}).get("routing_key") or "unknown"
        try:
            with worker_context().records.work() as work:
                work.dead_letters.keep(queue, raw_body(message), why)
        except DatabaseDownError:
            log.exception("message_not_stored", queue=queue)
            return  # without an acknowledgement, so the broker delivers the message again after the visibility timeout
        log.warning("message_unreadable", queue=queue, why=why)
        message.ack()
