"""Consumes the queues to which other systems publish CloudEvents: requests, answers of customers, and decisions of support.

``_HANDLERS`` is the table of the queues.
"""

import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from kombu import Connection, Consumer, Message
from kombu.mixins import ConsumerMixin

from config.broker import QUEUES, connect, raw_body
from config.settings import Settings
from domain.errors import RefusedError, UnreadableError
from domain.messages import INCOMING_QUEUES, IncomingAnswer, IncomingDecision, IncomingEvent, IncomingRequest
from domain.requests import Channel
from domain.support_decisions import DecidedBy
from producers import decisions
from producers.decisions import AnswerSubmission
from producers.intake import accept_one, submission
from records import DatabaseDownError, Records

log = structlog.get_logger()


class QueueConsumer(ConsumerMixin):
    """A consumer that accepts one message at a time, and acknowledges a message after the commit of its effect.

    Therefore no message is lost. If the broker delivers a message twice, both deliveries have the same idempotency key,
    so they have only one effect.
    """

    def __init__(self, connection: Connection, records: Records, stop: threading.Event) -> None:
        self.connection = connection
        self._records = records
        self._stop = stop

    def on_iteration(self) -> None:
        """Stop between two messages if the process must end."""
        self.should_stop = self._stop.is_set()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Consumer]:  # noqa: ANN401, ARG002  # kombu's signature
        """Return a consumer for each queue."""
        return [
            consumer(
                [QUEUES[queue]],
                on_message=partial(self.on_message, queue),
                on_decode_error=partial(self.on_undecodable, queue),
                accept=["json"],
                prefetch_count=100,
            )
            for queue in INCOMING_QUEUES
        ]

    def on_message(self, queue: str, message: Message) -> None:
        """Accept one message. If the database is unavailable, wait a second and put the message back on the queue."""
        body = raw_body(message)
        try:
            consume(self._records, queue, body)
        except DatabaseDownError:
            log.warning("database_unavailable", queue=queue)
            self._stop.wait(1)
            message.requeue()
            return
        message.ack()

    def on_undecodable(self, queue: str, message: Message, _error: Exception) -> None:
        """Accept a message that kombu cannot decompress. Its headers may be wrong, so the bytes are read unchanged."""
        self.on_message(queue, message)


def consume(records: Records, queue: str, body: bytes) -> None:
    """Accept the message in ``body``. If it is invalid or causes an unexpected error, store a dead letter.

    The dead letter contains the body. Later messages do not wait for this message.
    """
    try:
        _HANDLERS[queue](records, parse(queue, body))
    except RefusedError as error:
        _store_dead_letter(records, queue, body, str(error))
        # The log does not contain the reason, because the reason may quote the customer.
        log.warning("message_unreadable", queue=queue)
    except DatabaseDownError:
        raise
    except Exception as error:
        _store_dead_letter(
            records,
            queue,
            body,
            f"The program failed on this message ({type(error).__name__}). Redrive the message after the fix.",
        )
        log.exception("message_handler_crashed", queue=queue)


def _accept_request(records: Records, incoming: IncomingRequest) -> None:
    seller = incoming.data.seller
    with records.work() as work:
        if seller is not None and work.sellers.get(seller) is None:
            raise UnreadableError(f"There is no seller {seller!r}. Add this seller with `moneyback sellers add`.")
    source = f"queue:{incoming.source}"
    accept_one(records, submission(incoming.data.request, Channel.QUEUE, source=source, key=incoming.id, seller=seller))


def _accept_answer(records: Records, incoming: IncomingAnswer) -> None:
    answer = AnswerSubmission(
        case_id=incoming.data.case_id,
        text=incoming.data.answer.text,
        channel=Channel.QUEUE,
        source=f"queue:{incoming.source}",
        key=incoming.id,
    )
    decisions.answer(records, answer)


def _accept_decision(records: Records, incoming: IncomingDecision) -> None:
    """Store a decision. All decisions of one source count as decisions of one person, whatever agent the message names."""
    source = f"queue:{incoming.source}"
    decision = decisions.Submission(
        case_id=incoming.data.case_id,
        decision=incoming.data.decision,
        revision=incoming.data.revision,
        source=source,
        key=incoming.id,
        by=DecidedBy(id=source, name=incoming.data.agent or incoming.source),
    )
    decisions.decide(records, decision)


_HANDLERS: Mapping[str, Callable[[Records, Any], None]] = {
    IncomingRequest.queue: _accept_request,
    IncomingAnswer.queue: _accept_answer,
    IncomingDecision.queue: _accept_decision,
}
"""The function that accepts the messages of each queue."""


def _store_dead_letter(records: Records, queue: str, body: bytes, reason: str) -> None:
    with records.work() as work:
        work.dead_letters.keep(queue, body, reason)


def parse(queue: str, body: bytes) -> IncomingEvent:
    """Return the message in ``body``, or raise UnreadableError with the reason."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The message is not valid JSON: {error}.") from None
    return INCOMING_QUEUES[queue].read(payload)


def serve(settings: Settings, stop: threading.Event) -> None:
    """Consume the queues until ``stop`` is set."""
    with connect(settings) as connection:
        QueueConsumer(connection, Records.of(settings), stop).run()
