"""Tests of dangerous messages from other programs: pickled code, and messages of ten megabytes.

The workers continue, and no case changes.
"""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery

from console.servers import Servers
from domain.messages import RefundRequested
from records import Records
from tests.canaries.workers import request_refund, state_of
from tests.services import ChildProcess, eventually

QUEUE = RefundRequested.queue
LARGE = 10_000_000  # bytes
LONG_TIME_LIMITS = {
    "MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "60",
    "MONEYBACK_TASK_TIME_LIMIT_SECONDS": "70",
    "MONEYBACK_LEASE_SECONDS": "80",
}
"""Long time limits, because these tests are not about time limits, and a large message takes long to read."""


class FileCreator:
    """An object that creates a file when it is unpickled."""

    def __init__(self, created_file: Path) -> None:
        self._file = created_file

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._file,)


@pytest.fixture
def attacker(servers: Servers) -> Celery:
    """Return a Celery application of an attacker, who can access the broker and knows the task names."""
    return Celery("attacker", broker=servers.valkey.url, set_as_current=False)


@pytest.fixture
def worker(start: Callable[..., ChildProcess], sandbox_url: str) -> ChildProcess:
    """Start the relay and a worker, and return the worker."""
    start("relay", "relay")
    worker = start("worker", "worker", "-c", "1", MONEYBACK_SANDBOX_URL=sandbox_url, **LONG_TIME_LIMITS)
    eventually(lambda: "ready" in worker.read_log())
    return worker


def dead_letters(records: Records) -> list[tuple[str, int, str]]:
    """Return queue, length and error of each dead letter."""
    with records.work() as work:
        rows = work.run("select queue, length(body), why from dead_letters order by id")
        return [tuple(row) for row in rows]


def test_pickled_code_is_stored_and_not_run(
    records: Records, attacker: Celery, worker: ChildProcess, tmp_path: Path
) -> None:
    created_file = tmp_path / "footprint"
    attacker.send_task(QUEUE, [FileCreator(created_file)], queue=QUEUE, serializer="pickle")
    ((queue, _, why),) = eventually(lambda: dead_letters(records))
    assert queue == QUEUE
    assert "pickle" in why
    assert not created_file.exists()
    assert worker.process.poll() is None


@pytest.mark.slow
def test_messages_of_ten_megabytes_are_stored_and_delay_no_case(
    records: Records, servers: Servers, attacker: Celery, worker: ChildProcess
) -> None:
    ids = [str(uuid4()) for _ in range(LARGE // 40)]
    attacker.send_task(QUEUE, [{"version": 1, "ids": ids}], queue=QUEUE)
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        broker.lpush(QUEUE, b"x" * LARGE)
    eventually(lambda: len(dead_letters(records)) == 2)
    too_many_ids, too_large = dead_letters(records)
    assert "at most 100 items" in too_many_ids[2]
    assert "cannot be decoded" in too_large[2]
    assert too_large[1] == LARGE
    case = request_refund(records)
    eventually(lambda: state_of(records, case) == "refunded")
    assert worker.process.poll() is None
