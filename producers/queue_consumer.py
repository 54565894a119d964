"""The feed: refund requests that upstream forms publish on ``refund.requests``, as CloudEvents in JSON."""

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
    """Takes one message at a time; each is acknowledged after its commit, so that none is lost or counted twice."""

    def __init__(self, connection: Connection, records: Records, stop: threading.Event) -> None:
        self.connection = connection
        self._records = records
        self._stop = stop

    def on_iteration(self) -> None:
        """Stops between two messages."""
        self.should_stop = self._stop.is_set()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Consumer]:  # noqa: ANN401, ARG002  # kombu's signature
        queues = [QUEUES[IncomingRequest.queue]]
        reading = consumer(queues, on_message=self.on_message, accept=["json"], prefetch_count=100)
        reading.on_decode_error = self.on_packed
        return [reading]

    def on_message(self, message: Message) -> None:
        """Accepts one request. What nobody can read is kept in ``dead``; a database that is away leaves it unacknowledged."""
        body = raw_body(message)
        try:
            consume(self._records, body)
        except DatabaseDownError:
            log.warning("database_unavailable", queue=IncomingRequest.queue)
            self._stop.wait(1)
            message.requeue()
            return
        message.ack()

    def on_packed(self, message: Message, _: Exception) -> None:
        """Takes one that says it is compressed, and is not: its bytes are read as they are."""
        self.on_message(message)


def consume(records: Records, body: bytes) -> None:
    """Accepts the request in these bytes, or keeps them for a person: the next one must not wait for that."""
    try:
        _accept(records, read(body))
    except RefusedError as error:
        _bury(records, body, str(error))
        log.warning("message_unreadable", queue=IncomingRequest.queue)  # why may quote the customer: it is kept
    except DatabaseDownError:
        raise
    except Exception as error:
        _bury(
            records,
            body,
            f"It broke its reader ({type(error).__name__}): put it back on its queue once that is mended.",
        )
        log.exception("message_handler_crashed", queue=IncomingRequest.queue)


def _accept(records: Records, incoming: IncomingRequest) -> None:
    seller = incoming.data.seller
    with records.work() as work:
        if seller is not None and work.sellers.get(seller) is None:
            raise UnreadableError(f"There is no seller {seller!r} here.")
    source = f"queue:{incoming.source}"
    asked = submission(incoming.data.request, Channel.QUEUE, source=source, key=incoming.id, seller=seller)
    accept_one(records, asked)


def _bury(records: Records, body: bytes, why: str) -> None:
    with records.work() as work:
        work.dead_letters.keep(IncomingRequest.queue, body, why)


def read(body: bytes) -> IncomingRequest:
    """The request in these bytes, or an UnreadableError that says what is wrong with them."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"This is no JSON: {error}.") from None
    return IncomingRequest.read(payload)


def serve(settings: Settings, stop: threading.Event) -> None:
    """Reads the queue until told to stop."""
    with connect(settings) as connection:
        QueueConsumer(connection, Records.of(settings), stop).run()
