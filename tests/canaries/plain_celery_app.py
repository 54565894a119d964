"""A Celery application without Moneyback's corrections. The canary tests use it to show that Celery's faults still exist."""

import json
import os
import time
from pathlib import Path

from celery import Celery

app = Celery("plain", broker=os.environ["PLAIN_BROKER"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    **json.loads(os.environ["PLAIN_OPTIONS"]),
)
NOTES = Path(os.environ["PLAIN_NOTES"])


@app.task(name="note")
def note(word: str, seconds: float = 0) -> None:
    """Write a word to the file NOTES, then wait ``seconds``."""
    with NOTES.open("a") as notes:
        notes.write(f"{word}\n")
    time.sleep(seconds)


@app.task(name="close_everything")
def close_everything(word: str, seconds: float) -> None:
    """Write a word, close all files, and wait. In this way, imitate a process that takes long to exit."""
    note(word)
    os.closerange(3, 1024)
    time.sleep(seconds)
