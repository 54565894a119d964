"""Helpers of the canary tests: a Celery worker that runs without Moneyback's code, and functions for messages and cases."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import redis
from celery import Celery

from producers.intake import accept
from records import Records
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import Process

QUIET_OPTIONS = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class PlainWorker:
    """A worker with two processes. It runs the Celery app in plain_celery_app.py."""

    QUEUE = "celery"

    def __init__(self, url: str, folder: Path, **options: object) -> None:
        self._url = url
        self._log, self._notes = folder / "plain.log", folder / "notes"
        self._notes.touch()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "plain_celery_app",
                    "worker",
                    "-c",
                    "2",
                    "-l",
                    "INFO",
                    *QUIET_OPTIONS,
                ],
                env=os.environ
                | {"PYTHONPATH": str(Path(__file__).parent), "PLAIN_BROKER": url}
                | {"PLAIN_OPTIONS": json.dumps(options), "PLAIN_NOTES": str(self._notes)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, task: str, *arguments: object) -> None:
        with Celery(broker=self._url) as app, app.connection_for_write() as connection:
            app.send_task(task, arguments, connection=connection)

    def notes(self) -> list[str]:
        """Return the words that the tasks wrote to the notes file."""
        return self._notes.read_text().split()

    def read_log(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()


def has_ended(process: Process) -> bool:
    return process.poll() is not None


def children(process: Process) -> list[int]:
    """Return the ids of the processes in a worker's pool."""
    return [child.pid for child in psutil.Process(process.pid).children()]


def count_messages(broker: redis.Redis, queue: str) -> int:
    """Return the number of messages that wait in a queue, plus the unacknowledged messages of all queues."""
    return broker.llen(queue) + broker.hlen("unacked")


def request_refund(records: Records, behaviour: str = "ok") -> UUID:
    """Accept a refund request and return its case id. `behaviour` selects how the sandbox provider answers the refund call."""
    purchase = a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}")
    store_seller_and_purchases(records, purchase)
    return ids_of(accept(records, [a_submission(purchase)]))[0]


def state_of(records: Records, case: UUID) -> str:
    with records.work() as work:
        return work.case_views.get_many([case])[case].state
