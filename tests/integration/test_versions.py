"""Tests of workers of two releases that run at the same time, with a database that was migrated for a third, later release.

There is no earlier release yet. Therefore, the older worker is a worker of this version that does not read one of the queues.
The migration for the later release adds a column and a table.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from config.settings import Settings
from console.servers import Servers
from domain.inquiry_emails import InquiryEmailKind
from domain.messages import WORK_QUEUES, InquiryEmailsDue
from records import Records
from records.audit import audit
from records.unit_of_work import connect
from tests.canaries.workers import request_refund, state_of
from tests.integration.test_worker import count_refunds
from tests.services import ChildProcess, create_settings, environment, eventually, fresh_database, tamper

LATER_MIGRATION = (
    "alter table cases add column later text not null default ''; create table later_table (id bigint primary key)"
)
"""A migration that only adds a column and a table, so that workers of an earlier release can continue."""


@pytest.fixture
def settings(servers: Servers, tmp_path: Path, sandbox_url: str) -> Iterator[Settings]:
    with fresh_database(servers) as database:
        tamper(servers, database, LATER_MIGRATION)
        yield create_settings(servers, database, tmp_path).model_copy(update={"sandbox_url": sandbox_url})


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    engine = connect(settings.database_url.get_secret_value())
    yield Records(engine, settings.timers)
    engine.dispose()


class OlderWorker(ChildProcess):
    """A worker that simulates an earlier release: it does not read the queue of inquiry e-mails."""

    def __init__(self, settings: Settings, folder: Path) -> None:  # starts Celery instead of `moneyback worker`
        self.name, self.log = "older", folder / "older.log"
        queues = ",".join(queue for queue in WORK_QUEUES if queue != InquiryEmailsDue.queue)
        options = ["worker", "-c", "1", "-Q", queues, "-n", "older"]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "previous_release_worker", *options],
                env=os.environ | environment(settings) | {"PYTHONPATH": str(Path(__file__).parent)},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@pytest.fixture
def older_worker(settings: Settings, tmp_path: Path) -> Iterator[ChildProcess]:
    worker = OlderWorker(settings, tmp_path)
    yield worker
    worker.kill()


def newer_worker(start: Callable[..., ChildProcess]) -> ChildProcess:
    worker = start("newer", "worker", "-c", "1")
    eventually(lambda: "ready" in worker.read_log())
    return worker


def a_due_inquiry_email(records: Records) -> UUID:
    with records.work() as work:
        return work.inquiry_emails.enqueue(kind=InquiryEmailKind.REFERENCES, email="ada@example.com", locale="en")


def is_sent(records: Records, email: UUID) -> bool:
    with records.work() as work:
        return bool(work.run("select sent_at is not null from inquiry_emails where id = :id", id=email).scalar_one())


@pytest.mark.slow
def test_a_rollback_to_an_older_worker_loses_no_case(
    settings: Settings, records: Records, start: Callable[..., ChildProcess], older_worker: ChildProcess
) -> None:
    """Only newer workers read the queue of inquiry e-mails. While only the older worker runs, a message waits in this queue."""
    start("relay", "relay")
    eventually(lambda: "ready" in older_worker.read_log())
    newer = newer_worker(start)
    cases = [request_refund(records, behaviour) for behaviour in ("ok", "hang", "fail500", "pending", "ok", "ok")]
    first = a_due_inquiry_email(records)
    eventually(lambda: [state_of(records, case) for case in cases] == ["refunded"] * 6)
    eventually(lambda: is_sent(records, first))
    newer.kill()
    cases += [request_refund(records), request_refund(records, "hang")]
    second = a_due_inquiry_email(records)
    eventually(lambda: [state_of(records, case) for case in cases] == ["refunded"] * 8)
    assert not is_sent(records, second)
    assert older_worker.process.poll() is None
    newer_worker(start)
    eventually(lambda: is_sent(records, second))
    assert [count_refunds(settings, records, case) for case in cases] == [1] * 8
    with records.work() as work:
        assert work.dead_letters.list_all() == []
        assert audit(work).faults == []
    assert "message_unreadable" not in older_worker.read_log()
