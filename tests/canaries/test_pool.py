"""What a lost child does to Celery's pool of processes."""

from collections.abc import Callable

import pytest

from console.servers import Servers
from tests.canaries.workers import Plain, has_ended
from tests.services import eventually

SURVIVES = {"worker_pool": "worker.pool:TaskPool"}
MENDED = "Celery or kombu mended this: worker/pool.py can go."


@pytest.mark.parametrize("options", [{}, SURVIVES])
def test_a_child_that_is_not_quite_gone_when_the_broker_comes_back(
    plain: Callable[..., Plain], servers: Servers, options: dict[str, str]
) -> None:
    """It ends a plain worker, and not one with our pool."""
    worker = plain(**options)
    worker.send("close_everything", "closed", 5)
    eventually(lambda: worker.notes() == ["closed"])
    servers.valkey.stop()
    servers.valkey.start()
    if options:
        worker.send("note", "next")
        eventually(lambda: worker.notes() == ["closed", "next"])
    else:
        eventually(lambda: has_ended(worker.process))
        assert "file descriptor is None" in worker.said(), MENDED
