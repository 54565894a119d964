"""Workers of yesterday and of today side by side, on a database that is ready for tomorrow; and back again."""

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
from tests.canaries.workers import ask, state
from tests.integration.test_worker import refunds
from tests.services import Child, environment, eventually, fresh_database, settings_of, tampering

TOMORROW = "alter table cases add column tomorrow text not null default 'not yet'; create table tomorrows (id bigint primary key)"
"""What a migration may do while workers of the version before it are at work: it adds."""


@pytest.fixture
def settings(servers: Servers, tmp_path: Path, sandbox_url: str) -> Iterator[Settings]:
    with fresh_database(servers) as database:
        tampering(servers, database, TOMORROW)
        yield settings_of(servers, database, tmp_path).model_copy(update={"sandbox_url": sandbox_url})


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    engine = connect(settings.database_url.get_secret_value())
    yield Records(engine, settings.timers)
    engine.dispose()


class Yesterday(Child):
    """A worker of the version before."""

    def __init__(self, settings: Settings, log: Path) -> None:  # as its parent, with another program
        self.name, self.log = "yesterday", log / "yesterday.log"
        here = str(Path(__file__).parent)
        lanes = ",".join(lane for lane in WORK_QUEUES if lane != InquiryEmailsDue.queue)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "previous_release_worker",
                    "worker",
                    "-c",
                    "1",
                    "-Q",
                    lanes,
                    "-n",
                    "yesterday",
                ],
                env=os.environ | environment(settings) | {"PYTHONPATH": here},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@pytest.fixture
def yesterday(settings: Settings, tmp_path: Path) -> Iterator[Child]:
    worker = Yesterday(settings, tmp_path)
    yield worker
    worker.kill()


def today(start: Callable[..., Child]) -> Child:
    worker = start("today", "worker", "-c", "1")
    eventually(lambda: "ready" in worker.said())
    return worker


def an_owed_note(records: Records) -> UUID:
    with records.work() as work:
        return work.inquiry_emails.enqueue(kind=InquiryEmailKind.REFERENCES, email="ada@example.com", locale="en")


def left(records: Records, note: UUID) -> bool:
    with records.work() as work:
        return bool(work.run("select sent_at is not null from inquiry_emails where id = :note", note=note).scalar_one())


def test_yesterdays_worker_and_todays_share_the_work_and_a_roll_back_loses_nothing(
    settings: Settings, records: Records, start: Callable[..., Child], yesterday: Child
) -> None:
    """What is new waits for those who know it; the workers of the version before take, and throw away, none of it."""
    start("relay", "relay")
    eventually(lambda: "ready" in yesterday.said())
    new = today(start)
    cases = [ask(records, behaviour) for behaviour in ("ok", "hang", "fail500", "pending", "ok", "ok")]
    note = an_owed_note(records)
    eventually(lambda: [state(records, case) for case in cases] == ["refunded"] * 6)
    eventually(lambda: left(records, note))
    new.kill()
    cases += [ask(records), ask(records, "hang")]
    later = an_owed_note(records)
    eventually(lambda: [state(records, case) for case in cases] == ["refunded"] * 8)
    assert not left(records, later)
    assert yesterday.process.poll() is None
    today(start)
    eventually(lambda: left(records, later))
    assert [refunds(settings, records, case) for case in cases] == [1] * 8
    with records.work() as work:
        assert work.dead_letters.list_all() == []
        assert audit(work).faults == []
    assert "message_unreadable" not in yesterday.said()
