"""Defines the Celery tasks: one task for each queue, and two tasks that Celery's scheduler (beat) sends at intervals.

Each task returns a count, which Flower shows.

Celery does not retry a failed task. The rows of the task are still due in the database, and the sweep publishes them again.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from domain.errors import UnreadableError
from domain.messages import WorkItems
from worker.app import app
from worker.context import worker_context
from worker.dispatch import HANDLERS, handle
from worker.reconciliation.run import reconcile_all
from worker.sweep import Sweep

log = structlog.get_logger()


def _read_ids(kind: type[WorkItems], payload: object) -> list[UUID]:
    """Return the ids in a message. If the message cannot be read, store it as a dead letter for support, and return no ids."""
    try:
        return list(kind.read(payload).ids)
    except UnreadableError as error:
        with worker_context().records.work() as work:
            work.dead_letters.keep(kind.queue, json.dumps(payload).encode(), str(error))
        log.warning("message_unreadable", queue=kind.queue, why=str(error))
        return []


def _create_task(kind: type[WorkItems]) -> Callable[[object], int]:
    def process_message(payload: object) -> int:
        ids = _read_ids(kind, payload)
        if ids:
            handle(worker_context(), kind, ids)
        return len(ids)

    return process_message


for message in HANDLERS:  # the name of a task is the name of its queue
    app.task(name=message.queue)(_create_task(message))


@app.task(name="sweep")
def sweep() -> int:
    """Run a sweep. Beat sends this task. If the broker is unavailable, beat cannot send it, so the relay also runs sweeps."""
    context = worker_context()
    return Sweep(context.records, retention_days=context.settings.retention_days).run_once()


@app.task(name="reconcile", soft_time_limit=3_600, time_limit=3_900)  # seconds: a provider's list may be long
def reconcile() -> int:
    """Compare the refunds of the last eight days with each provider's list. Beat sends this task once a day."""
    return reconcile_all(worker_context(), timedelta(days=8))


@app.task(name="reconcile_weekly", soft_time_limit=6 * 3_600, time_limit=6 * 3_600 + 300)  # seconds, as above
def reconcile_weekly() -> int:
    """Compare older refunds with each provider's list, because a refund may fail after weeks. Beat sends this task weekly."""
    context = worker_context()
    return reconcile_all(context, timedelta(days=context.settings.weekly_reconciliation_days))
