"""Consumes refund requests from the queue ``refund.requests``, to which other systems publish CloudEvents in JSON."""

import json
import threading
from typing import Any

import structlog
from kombu import Connection, Consumer, Message
from kombu.mixins import ConsumerMixin

from config.broker import QUEUES, connect, raw_body
from config.settings import Settings
from domain.errors import RefusedError, UnreadableError
from domain.messages import IncomingRequest
from domain.requests import Channel
from producers.intake import accept_one, submission
from records import DatabaseDownError, Records

log = structlog.get_logger()


class QueueConsumer(ConsumerMixin):
    """A consumer that accepts one message at a time, and acknowledges a message after the commit of its case.

    Therefore no message is lost. If the broker delivers a message twice, both deliveries have the same idempotency key,
    so only one case is created.
    """

    def __init__(self, connection: Connection, records: Records, stop: threading.Event) -> None:
        self.connection = connection
        self._records = records
        self._stop = stop

    def on_iteration(self) -> None:
        """Stop between two messages if the process must end."""
        self.should_stop = self._stop.is_set()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Consumer]:  # noqa: ANN401, ARG002  # kombu's signature
        """Return the consumer of the queue."""
        queues = [QUEUES[IncomingRequest.queue]]
        return [consumer(queues, on_message=self.on_message, accept=["json"], prefetch_count=100)]

    def on_message(self, message: Message) -> None:
        """Accept one request. If the database is unavailable, wait a second and put the message back on the queue."""
        body = raw_body(message)
        try:
            consume(self._records, body)
        except DatabaseDownError:
            log.warning("database_unavailable", queue=IncomingRequest.queue)
            self._stop.wait(1)
            message.requeue()
            return
        message.ack()

    def on_decode_error(self, message: Message, _error: Exception) -> None:
        """Accept a message that kombu cannot decompress. Its headers may be wrong, so the bytes are read unchanged."""
        self.on_message(message)


def consume(records: Records, body: bytes) -> None:
    """Accept the request in ``body``. If the request is invalid or causes an unexpected error, store a dead letter.

    The dead letter contains the body. Later messages do not wait for this message.
    """
    try:
        _accept(records, parse(body))
    except RefusedError as error:
        _store_dead_letter(records, body, str(error))
        # The log does not contain the reason, because the reason may quote the customer.
        log.warning("message_unreadable", queue=IncomingRequest.queue)
    except DatabaseDownError:
        raise
    except Exception as error:
        _store_dead_letter(
            records,
            body,
            f"The program failed on this message ({type(error).__name__}). Redrive the message after the fix.",
        )
        log.exception("message_handler_crashed", queue=IncomingRequest.queue)


def _accept(records: Records, incoming: IncomingRequest) -> None:
    seller = incoming.data.seller
    with records.work() as work:
        if seller is not None and work.sellers.get(seller) is None:
            raise UnreadableError(f"There is no seller {seller!r}. Add this seller with `moneyback sellers add`.")
    source = f"queue:{incoming.source}"
    accept_one(records, submission(incoming.data.request, Channel.QUEUE, source=source, key=incoming.id, seller=seller))


def _store_dead_letter(records: Records, body: bytes, reason: str) -> None:
    with records.work() as work:
        work.dead_letters.keep(IncomingRequest.queue, body, reason)


def parse(body: bytes) -> IncomingRequest:
    """Return the request in ``body``, or raise UnreadableError with the reason."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The message is not valid JSON: {error}.") from None
    return IncomingRequest.read(payload)


def serve(settings: Settings, stop: threading.Event) -> None:
    """Consume the queue until ``stop`` is set."""
    with connect(settings) as connection:
        QueueConsumer(connection, Records.of(settings), stop).run()
