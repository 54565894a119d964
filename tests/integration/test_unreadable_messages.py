"""Messages of strangers that are more than a few wrong bytes: code, ten megabytes. Workers stay, no case moves."""

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

LANE = RefundRequested.queue
LARGE = 10_000_000  # bytes
UNHURRIED = {
    "MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "60",
    "MONEYBACK_TASK_TIME_LIMIT_SECONDS": "70",
    "MONEYBACK_LEASE_SECONDS": "80",
}
"""Limits that a busy machine keeps while it reads so much: these tests are not about limits."""


class Intruder:
    """What is run by whoever unpickles it."""

    def __init__(self, footprint: Path) -> None:
        self._footprint = footprint

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._footprint,)


@pytest.fixture
def stranger(servers: Servers) -> Celery:
    """A program that knows our broker and the names of our tasks, and has its own ideas of what to send."""
    return Celery("stranger", broker=servers.valkey.url, set_as_current=False)


@pytest.fixture
def worker(start: Callable[..., ChildProcess], sandbox_url: str) -> ChildProcess:
    """A worker, with the relay that feeds it."""
    start("relay", "relay")
    worker = start("worker", "worker", "-c", "1", MONEYBACK_SANDBOX_URL=sandbox_url, **UNHURRIED)
    eventually(lambda: "ready" in worker.read_log())
    return worker


def dead(records: Records) -> list[tuple[str, int, str]]:
    """Queue, length and fault of what was kept for a person."""
    with records.work() as work:
        rows = work.run("select queue, length(body), why from dead_letters order by id")
        return [tuple(row) for row in rows]


def test_pickled_code_is_kept_and_not_run(
    records: Records, stranger: Celery, worker: ChildProcess, tmp_path: Path
) -> None:
    footprint = tmp_path / "footprint"
    stranger.send_task(LANE, [Intruder(footprint)], queue=LANE, serializer="pickle")
    ((queue, _, why),) = eventually(lambda: dead(records))
    assert queue == LANE
    assert "pickle" in why
    assert not footprint.exists()
    assert worker.process.poll() is None


@pytest.mark.slow
def test_ten_megabytes_are_kept_in_full_and_hold_up_nobody(
    records: Records, servers: Servers, stranger: Celery, worker: ChildProcess
) -> None:
    ids = [str(uuid4()) for _ in range(LARGE // 40)]
    stranger.send_task(LANE, [{"version": 1, "ids": ids}], queue=LANE)
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        broker.lpush(LANE, b"x" * LARGE)
    eventually(lambda: len(dead(records)) == 2)
    many, large = dead(records)
    assert "at most 100 items" in many[2]
    assert "cannot be decoded" in large[2]
    assert large[1] == LARGE
    case = request_refund(records)
    eventually(lambda: state_of(records, case) == "refunded")
    assert worker.process.poll() is None
