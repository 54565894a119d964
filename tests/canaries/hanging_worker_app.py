"""The product's worker, which hangs or is busy as soon as it is ready, as the variable DEAF says."""

import os
import socket
import time
from typing import Any

from celery import signals
from kombu.transport import redis

from config.broker import PERIODIC
from worker.app import app
from worker.celery_fixes import watchdog

__all__ = ["app"]

watchdog.GRACE = 1.0


def stands_still() -> None:
    """Hang in a call without a timeout."""
    here, _there = socket.socketpair()
    here.recv(1)


def asks_for_nothing() -> None:
    """Keep the event loop running, but never ask the broker for a message."""
    channel: Any = redis.Channel
    channel._brpop_start = lambda *_: None


@app.task(name="long", soft_time_limit=60, time_limit=60)
def long() -> None:
    """Take longer than a worker may be silent, as the reconciliation does."""
    time.sleep(app.conf.task_time_limit + 2 * watchdog.GRACE + watchdog.CHECK_INTERVAL)
    print("The long task is done.")  # noqa: T201  # Celery writes it to the log


def busy() -> None:
    """Use up the prefetch credits with two long tasks."""
    for _ in range(2):
        app.send_task("long", queue=PERIODIC)


@signals.worker_ready.connect
def _deafen(**_: Any) -> None:
    {how.__name__: how for how in (stands_still, asks_for_nothing, busy)}[os.environ["DEAF"]]()
