"""The relay: from the outbox to the broker, many cases a message, every seller in turn."""

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

from config.broker import connect, is_unavailable, queue_length
from config.settings import Settings
from domain.messages import WORK_QUEUES, SupportNeeded, WorkItems
from records import DatabaseDownError, Records
from records.outbox import CHANNEL, Outbox
from worker.broker_loss import BrokerLossDetector
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.sweep import Sweep

log = structlog.get_logger()

WINDOW = (
    20  # messages of one lane in the broker at the most: 2,000 cases, a second's work; the rest waits where it is safe
)
IDLE = 1.0  # seconds without a notification after which the outbox is looked at all the same


class RelayResult(NamedTuple):
    """What one round published."""

    messages: int
    cases: int


class Relay:
    """Publishes what is due. Two may run: a row is taken by one of them."""

    def __init__(self, settings: Settings, records: Records, app: Celery) -> None:
        self._settings = settings
        self._records = records
        self._app = app
        self._batch = settings.batch_size
        self._pause = settings.timers.sweep_interval_seconds
        self._sweep = Sweep(records)
        self._remembering = BrokerLossDetector(records)
        self._swept_at = 0.0
        self._after: dict[tuple[str, bool], str | None] = {}

    def run_once(self, connection: Connection) -> RelayResult:
        """Publishes what is due and has room in the broker. What could not be published stays in the outbox."""
        due = self._due()
        if not due:
            return RelayResult(messages=0, cases=0)
        with connection.channel() as channel:
            producer = self._app.amqp.Producer(channel)
            rounds = [self._fill(message, producer) for lane, message in WORK_QUEUES.items() if lane in due]
        return RelayResult(sum(moved.messages for moved in rounds), sum(moved.cases for moved in rounds))

    def run(self, stop: threading.Event) -> None:
        """Publishes whenever something is committed, and sweeps now and then, until told to stop.

        While the broker is away for long the cases are worked on here: accepted requests end without it.
        """
        away_since: float | None = None
        while not stop.is_set():
            try:
                with connect(self._settings) as connection:
                    try:
                        for moved in self._run(connection, stop):
                            away_since = None if moved.messages else away_since
                    except is_unavailable(connection) as error:
                        away_since = away_since or time.monotonic()
                        log.warning("broker_unavailable", error=type(error).__name__)
                if away_since and time.monotonic() - away_since >= self._settings.timers.brokerless_after_seconds:
                    self._direct(stop)
            except DatabaseDownError as error:
                log.warning("database_unavailable", error=type(error).__name__)
            stop.wait(IDLE)

    def _run(self, connection: Connection, stop: threading.Event) -> Iterator[RelayResult]:
        for _ in self._records.notifications(CHANNEL, IDLE):
            if stop.is_set():
                return
            if time.monotonic() - self._swept_at >= self._pause:
                self._swept_at = time.monotonic()
                self._sweep.run_once()
                self._remembering.run_once(connection)
            yield self.run_once(connection)

    def _direct(self, stop: threading.Event) -> None:
        """Works on what is due as a worker would, a batch a lane; only tasks for helpdesks must wait for the broker."""
        due = self._due()
        for lane, kind in WORK_QUEUES.items():
            if lane not in due or kind is SupportNeeded or stop.is_set():
                continue
            with self._records.work() as work:
                ids, _ = self._take(work.outbox, lane)
            if ids:
                log.info("brokerless_batch_processed", lane=lane, cases=len(ids))
                handle(self._tools, kind, ids)
                due = self._due()  # what this was about may go on in the next lane

    @cached_property
    def _tools(self) -> WorkerContext:
        return replace(create_context(self._settings), records=self._records)

    def _due(self) -> set[str]:
        with self._records.work() as work:
            return work.outbox.queues()

    def _fill(self, message: type[WorkItems], producer: Any) -> RelayResult:  # noqa: ANN401  # as above
        lane = message.queue
        room = WINDOW - queue_length(producer.channel, lane)
        messages = cases = 0
        while messages < room:
            with self._records.work() as work:
                ids, full = self._take(work.outbox, lane)
                if ids:
                    payload = message(ids=tuple(ids)).model_dump(mode="json")
                    self._app.send_task(lane, [payload], queue=lane, producer=producer, argsrepr=f"{len(ids)} cases")
                    messages, cases = messages + 1, cases + len(ids)
            if not full:
                break
        return RelayResult(messages, cases)

    def _take(self, outbox: Outbox, lane: str) -> tuple[list[UUID], bool]:
        """Interactive cases before bulk ones, round robin over the sellers of each; and whether more may be waiting."""
        ids: list[UUID] = []
        for bulk in (False, True):
            while len(ids) < self._batch:
                room = self._batch - len(ids)
                after = self._after.get((lane, bulk))
                rows = outbox.take(lane, room=room, after=after, bulk=bulk)
                sellers = {seller for _, seller in rows}
                more_sellers = len(sellers) == room
                self._after[lane, bulk] = max(sellers) if more_sellers else None
                ids += [case for case, _ in rows]
                if after is None and not more_sellers:
                    break
        return list(dict.fromkeys(ids)), len(ids) == self._batch  # a case due twice is due once
