"""A canary: a child process ends slowly while its Celery worker connects to the broker again.

In this case, a plain worker, which lacks Moneyback's corrections, ends too.
"""

from collections.abc import Callable

import pytest

from console.servers import Servers
from tests.canaries.workers import PlainWorker
from tests.services import eventually

pytestmark = pytest.mark.slow

WITH_CORRECTION = {"worker_pool": "worker.celery_fixes.pool:TaskPool"}


@pytest.mark.parametrize("options", [{}, WITH_CORRECTION], ids=["plain", "product"])
def test_a_child_that_ends_slowly_ends_only_a_plain_worker(
    start_plain_worker: Callable[..., PlainWorker], servers: Servers, options: dict[str, str]
) -> None:
    worker = start_plain_worker(**options)
    worker.send("close_everything", "closed", 5)
    eventually(lambda: worker.notes() == ["closed"])
    servers.valkey.stop()
    servers.valkey.start()
    worker.send("note", "next")
    eventually(lambda: "Unrecoverable error" in worker.read_log() or "next" in worker.notes())
    if options:
        assert worker.notes() == ["closed", "next"]
    else:
        assert "file descriptor is None" in worker.read_log(), (
            "Celery or kombu has corrected the fault, so worker/celery_fixes/pool.py can be removed."
        )
