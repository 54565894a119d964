"""Publishes messages from the outbox to the broker. One message carries many cases, and the sellers take turns (round robin)."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from celery import Celery
from kombu import Connection

from config.broker import check_writable, connect, is_unavailable, queue_length
from config.eviction import warn_of_eviction
from config.settings import Settings
from domain.messages import WORK_QUEUES, SupportNeeded, WorkItems
from records import DatabaseDownError, Records
from records.outbox import CHANNEL, Outbox
from worker.broker_loss import BrokerLossDetector
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.support_tasks.lost_tasks import LostTaskDetector
from worker.sweep import Sweep

log = structlog.get_logger()

WINDOW = 20
"""The maximum number of messages that one queue has in the broker.

These 20 messages contain at most 2,000 cases, which the workers process in about a second. Further messages stay in the
outbox, because the broker may lose messages and the database does not.
"""
IDLE = 1.0  # seconds; if no notification arrives in this time, the relay checks the outbox anyway


class RelayResult(NamedTuple):
    """How many messages were published, and how many cases these messages contain."""

    messages: int
    cases: int


class Relay:
    """A publisher of due messages. Several relays may run, because each row of the outbox is taken by only one relay."""

    def __init__(self, settings: Settings, records: Records, app: Celery) -> None:
        self._settings = settings
        self._records = records
        self._app = app
        self._batch_size = settings.batch_size
        self._sweep_interval = settings.timers.sweep_interval_seconds
        self._sweep = Sweep(records, retention_days=settings.retention_days)
        self._broker_loss_detector = BrokerLossDetector(records)
        self._lost_task_detector = LostTaskDetector(records)
        self._swept_at = 0.0
        self._eviction_checked = False
        self._last_sellers: dict[tuple[str, bool], str | None] = {}
        """For each queue and bulk flag: the last seller of the previous batch.

        The next batch starts with the next seller. If the value is None, the next batch starts with the first seller.
        """

    def run_once(self, connection: Connection) -> RelayResult:
        """Publish due messages for which the broker has room. Messages that could not be published stay in the outbox.

        Raise an error if the broker refuses messages, also if it has no room. Otherwise a relay would not find out that the
        broker is now a replica, because no worker can take messages from the full queues of a replica.
        """
        due_queues = self._load_due_queues()
        if not due_queues:
            return RelayResult(messages=0, cases=0)
        with connection.channel() as channel:
            check_writable(channel)
            producer = self._app.amqp.Producer(channel)
            results = [self._fill_queue(kind, producer) for queue, kind in WORK_QUEUES.items() if queue in due_queues]
        return RelayResult(sum(result.messages for result in results), sum(result.cases for result in results))

    def run(self, stop: threading.Event) -> None:
        """Publish messages after each commit that adds messages, and sweep at intervals, until ``stop`` is set.

        If the broker is unavailable for ``brokerless_after_seconds``, the relay processes the cases itself, so that refunds
        continue.
        """
        unavailable_since: float | None = None
        while not stop.is_set():
            try:
                with connect(self._settings) as connection:
                    try:
                        for is_available in self._publish_and_sweep(connection, stop):
                            unavailable_since = None if is_available else unavailable_since
                    except is_unavailable(connection) as error:
                        unavailable_since = unavailable_since or time.monotonic()
                        log.warning("broker_unavailable", error=type(error).__name__, why=str(error))
                brokerless_after = self._settings.timers.brokerless_after_seconds
                if unavailable_since and time.monotonic() - unavailable_since >= brokerless_after:
                    self._process_without_broker(stop)
            except DatabaseDownError as error:
                log.warning("database_unavailable", error=type(error).__name__)
            stop.wait(IDLE)

    def _publish_and_sweep(self, connection: Connection, stop: threading.Event) -> Iterator[bool]:
        """Publish and sweep until ``stop`` is set. After each step, yield whether the broker has accepted a command."""
        for _ in self._records.notifications(CHANNEL, IDLE):
            if stop.is_set():
                return
            if is_sweep_due := time.monotonic() - self._swept_at >= self._sweep_interval:
                self._swept_at = time.monotonic()
                self._sweep.run_once()
                self._check_broker(connection)
            yield self.run_once(connection).messages > 0 or is_sweep_due

    def _check_broker(self, connection: Connection) -> None:
        """Raise an error if the broker refuses messages. Otherwise make the support tasks due again that the broker lost."""
        with connection.channel() as channel:
            check_writable(channel)
            if not self._eviction_checked:
                warn_of_eviction(channel)
                self._eviction_checked = True
        self._broker_loss_detector.run_once(connection)
        self._lost_task_detector.run_once(connection)

    def _process_without_broker(self, stop: threading.Event) -> None:
        """Process one batch of each due queue, as a worker would.

        Support tasks wait until the broker is available, because helpdesks read the tasks from the broker.
        """
        due_queues = self._load_due_queues()
        for queue, kind in WORK_QUEUES.items():
            if queue not in due_queues or kind is SupportNeeded or stop.is_set():
                continue
            with self._records.work() as work:
                ids, _ = self._take_ids(work.outbox, queue)
            if ids:
                log.info("brokerless_batch_processed", queue=queue, cases=len(ids))
                handle(self._context, kind, ids)
                due_queues = self._load_due_queues()  # a processed case may now be due in a later queue of this loop

    @cached_property
    def _context(self) -> WorkerContext:
        return replace(create_context(self._settings), records=self._records)

    def _load_due_queues(self) -> set[str]:
        with self._records.work() as work:
            return work.outbox.queues()

    def _fill_queue(self, kind: type[WorkItems], producer: Any) -> RelayResult:  # noqa: ANN401  # kombu's producer
        """Publish messages of one queue until no message is due, or until the broker has ``WINDOW`` messages of the queue."""
        queue = kind.queue
        room = WINDOW - queue_length(producer.channel, queue)
        messages = cases = 0
        while messages < room:
            with self._records.work() as work:
                ids, is_full = self._take_ids(work.outbox, queue)
                if ids:
                    payload = kind(ids=tuple(ids)).model_dump(mode="json")
                    self._app.send_task(queue, [payload], queue=queue, producer=producer, argsrepr=f"{len(ids)} cases")
                    messages, cases = messages + 1, cases + len(ids)
            if not is_full:
                break
        return RelayResult(messages, cases)

    def _take_ids(self, outbox: Outbox, queue: str) -> tuple[list[UUID], bool]:
        """Take a batch of ids from the outbox. Return the ids, and whether the batch is full. If it is full, more ids may be due.

        Interactive cases come before bulk cases. Within each of these groups, the sellers take turns (round robin).
        """
        ids: list[UUID] = []
        for bulk in (False, True):
            while len(ids) < self._batch_size:
                room = self._batch_size - len(ids)
                last_seller = self._last_sellers.get((queue, bulk))
                rows = outbox.take(queue, room=room, after=last_seller, bulk=bulk)
                sellers = {seller for _, seller in rows}
                more_sellers = len(sellers) == room
                self._last_sellers[queue, bulk] = max(sellers) if more_sellers else None
                ids += [case_id for case_id, _ in rows]
                if last_seller is None and not more_sellers:
                    break
        return list(dict.fromkeys(ids)), len(ids) == self._batch_size  # a case may have two rows in the outbox
