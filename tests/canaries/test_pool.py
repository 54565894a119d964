"""Canaries: the effect of a lost child on Celery's process pool."""

from collections.abc import Callable

import pytest

from console.servers import Servers
from tests.canaries.workers import Plain
from tests.services import eventually

pytestmark = pytest.mark.slow

SURVIVES = {"worker_pool": "worker.celery_fixes.pool:TaskPool"}


@pytest.mark.parametrize("options", [{}, SURVIVES], ids=["plain", "ours"])
def test_a_child_that_is_not_quite_gone_when_the_broker_comes_back_ends_a_plain_worker_and_not_ours(
    plain: Callable[..., Plain], servers: Servers, options: dict[str, str]
) -> None:
    worker = plain(**options)
    worker.send("close_everything", "closed", 5)
    eventually(lambda: worker.notes() == ["closed"])
    servers.valkey.stop()
    servers.valkey.start()
    worker.send("note", "next")
    eventually(lambda: "Unrecoverable error" in worker.said() or "next" in worker.notes())
    if options:
        assert worker.notes() == ["closed", "next"]
    else:
        assert "file descriptor is None" in worker.said(), (
            "Celery or kombu mended this: worker/celery_fixes/pool.py can go."
        )
