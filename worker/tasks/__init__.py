"""The tasks, one a lane. Each reads its message, does its work, and answers with a count that Flower shows.

A task that fails is not tried again by Celery: the row still says what is to be done, and the sweep sends it again.
"""

import json
from collections.abc import Callable
from uuid import UUID

import structlog

from domain.errors import UnreadableError
from domain.messages import Cases, LettersDue, RefundApproved, RefundRequested, RefundUnsettled, SupportNeeded
from worker.app import app
from worker.judging import judge
from worker.letters.sending import send
from worker.paying import pay
from worker.settling import settle as settle_cases
from worker.support import publish
from worker.sweep import Sweep
from worker.tools import Tools, tools

log = structlog.get_logger()


def _ids(kind: type[Cases], payload: object) -> list[UUID]:
    """The cases in a message. One that nobody can read is kept for a person, and names no case."""
    try:
        return list(kind.read(payload).case_ids)
    except UnreadableError as error:
        with tools().records.work() as work:
            work.dead.keep(kind.queue, json.dumps(payload).encode(), str(error))
        log.warning("message_unreadable", queue=kind.queue, why=str(error))
        return []


def _run(kind: type[Cases], payload: object, do: Callable[[Tools, list[UUID]], object]) -> int:
    ids = _ids(kind, payload)
    if ids:
        do(tools(), ids)
    return len(ids)


@app.task(name=RefundRequested.queue)
def evaluate(payload: object) -> int:
    """Judges cases, and goes straight on with those that may be paid: their commit stands alone, the sweep covers it."""
    return _run(RefundRequested, payload, _judge_and_pay)


def _judge_and_pay(ours: Tools, ids: list[UUID]) -> None:
    with ours.records.work() as work:
        approved = judge(work, ours, ids)
    if approved:
        pay(ours, approved)


@app.task(name=RefundApproved.queue)
def execute(payload: object) -> int:
    """Pays cases that were confirmed."""
    return _run(RefundApproved, payload, pay)


@app.task(name=RefundUnsettled.queue)
def settle(payload: object) -> int:
    """Finds out what became of refunds whose outcome is unknown or still open."""
    return _run(RefundUnsettled, payload, settle_cases)


@app.task(name=SupportNeeded.queue)
def contact_support(payload: object) -> int:
    """Puts tasks for people on ``support.contact``."""
    return _run(SupportNeeded, payload, publish)


@app.task(name=LettersDue.queue)
def letters(payload: object) -> int:
    """Sends letters."""
    return _run(LettersDue, payload, send)


@app.task(name="sweep")
def sweep() -> int:
    """What beat sends; the relay's process sweeps as well, so that a broker that is away stops neither."""
    return sum(Sweep(tools().records).run_once())
