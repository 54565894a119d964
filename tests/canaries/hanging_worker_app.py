"""The product's worker with a planted fault. The environment variable `WORKER_FAULT` names the function that causes the fault."""

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


def hang_in_call() -> None:
    """Hang in a call without a timeout."""
    receiver, _sender = socket.socketpair()
    receiver.recv(1)


def stop_polling() -> None:
    """Keep the event loop running, but never request a message from the broker."""
    channel: Any = redis.Channel
    channel._brpop_start = lambda *_: None


@app.task(name="long", soft_time_limit=60, time_limit=60)
def long_task() -> None:
    """Run for longer than the watchdog's timeout, like reconciliation. The worker does not poll during the task."""
    time.sleep(app.conf.task_time_limit + 2 * watchdog.GRACE + watchdog.CHECK_INTERVAL)
    print("The long task is done.")  # noqa: T201  # Celery writes it to the log


def run_long_tasks() -> None:
    """Use all prefetch credits for two long tasks. With each free credit, a worker may request one message."""
    for _ in range(2):
        app.send_task("long", queue=PERIODIC)


@signals.worker_ready.connect
def _plant_fault(**_: Any) -> None:
    {fault.__name__: fault for fault in (hang_in_call, stop_polling, run_long_tasks)}[os.environ["WORKER_FAULT"]]()
