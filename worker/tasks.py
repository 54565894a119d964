"""The tasks, one a lane. Each reads its message, does its work, and answers with a count that Flower shows.

A task that fails is not tried again by Celery: the row still says what is to be done, and the sweep sends it again.
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


def _ids(kind: type[WorkItems], payload: object) -> list[UUID]:
    """The cases in a message. One that nobody can read is kept for a person, and names no case."""
    try:
        return list(kind.read(payload).ids)
    except UnreadableError as error:
        with worker_context().records.work() as work:
            work.dead_letters.keep(kind.queue, json.dumps(payload).encode(), str(error))
        log.warning("message_unreadable", queue=kind.queue, why=str(error))
        return []


def _task(kind: type[WorkItems]) -> Callable[[object], int]:
    def work_on(payload: object) -> int:
        ids = _ids(kind, payload)
        if ids:
            handle(worker_context(), kind, ids)
        return len(ids)

    return work_on


for message in HANDLERS:  # a task is named after its queue
    app.task(name=message.queue)(_task(message))


@app.task(name="sweep")
def sweep() -> int:
    """What beat sends; the relay's process sweeps as well, so that a broker that is away stops neither."""
    return Sweep(worker_context().records).run_once()


@app.task(name="reconcile", soft_time_limit=3_600, time_limit=3_900)  # seconds: a provider's list may be long
def reconcile() -> int:
    """What beat sends once a day: yesterday's and the week's refunds held against each provider's own list."""
    return reconcile_all(worker_context(), timedelta(days=8))
