"""Tests of PostgreSQL with a full disk: nothing is accepted or sent until the disk has free space; then all work continues."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from string import ascii_letters
from uuid import UUID

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from config.settings import Settings
from console.data_dir import DataDir
from console.servers import Postgres
from domain.api_scopes import ALL_SCOPES
from domain.messages import RefundApproved, RefundRequested
from domain.purchases import Purchase
from domain.states import State
from producers.web.app import app
from producers.web.problems import ProblemCode
from records import DatabaseDownError, migrate
from records.unit_of_work import connect
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    assert_audit_is_clean,
    close_context,
    create_approved_cases,
    refunds_at_provider,
    state_of,
    with_long_timeouts,
)
from tests.integration._web_fixtures import serve
from tests.integration.test_api import REQUESTS_PATH, problem_document
from tests.integration.test_dispatch import make_cases_overdue
from tests.sample_data import store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.dispatch import handle

DISK_VARIABLE = "MONEYBACK_SMALL_DISK"
LONG_COMMENT = "".join(Random(1).choices(ascii_letters, k=4_000))  # random: PostgreSQL cannot compress it
SIZE = "160m"  # enough for a database cluster, a second database and a few cases
ADVICE = (
    "Only root can mount a small disk; in a container, root needs CAP_SYS_ADMIN. To run this test: "
    f"mount -t tmpfs -o size={SIZE},mode=1777 none FOLDER, and set {DISK_VARIABLE} to the folder."
)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Yield a folder on a small disk, which a test can fill without effects on other programs.

    If the environment variable MONEYBACK_SMALL_DISK names a folder on a small disk, use this folder. Otherwise, mount a disk.
    """
    if own_disk := os.environ.get(DISK_VARIABLE):
        with tempfile.TemporaryDirectory(dir=own_disk) as name:
            yield Path(name)
        return
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "none", str(folder)], capture_output=True, check=False
    )
    assert mounted.returncode == 0, f"{ADVICE} {mounted.stderr.decode()}"
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class SmallDatabase:
    """A PostgreSQL server with its data on a small disk, and a file that takes the free space of this disk."""

    def __init__(self, data_dir: DataDir, disk: Path) -> None:
        self.postgres = Postgres(data_dir.create())
        self._filler = disk / "filler"
        data = disk / "postgres"
        data.mkdir(0o700)
        os.chown(data, self.postgres.user.uid, self.postgres.user.gid)
        data_dir.postgres.rmdir()
        data_dir.postgres.symlink_to(data)

    def fill(self) -> None:
        """Write to the filler file until the disk is full."""
        with self._filler.open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4_096))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # the error ends the loop

    def exhaust_the_log(self) -> None:
        """Fill the write-ahead log until PostgreSQL needs a new log file.

        As long as the disk is full, PostgreSQL then stops with a PANIC after each start.
        """
        with suppress(psycopg.OperationalError), psycopg.connect(self.postgres.superuser_url, autocommit=True) as db:
            while True:
                db.execute("select pg_logical_emit_message(false, 'test', repeat('x', 1000000))")

        assert "PANIC" in self.postgres.log.read_text()

    def make_room(self) -> None:
        """Delete the filler file."""
        self._filler.unlink()

    def restart(self) -> bool:
        """Start PostgreSQL again, and return whether it runs."""
        return self.postgres.start().running


@pytest.fixture
def small_database() -> Iterator[SmallDatabase]:
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        data_dir = DataDir(folder / "h")
        with small_disk(folder / "disk") as disk:
            small_database = SmallDatabase(data_dir, disk)
            with small_database.postgres:
                yield small_database
            data_dir.postgres.unlink()
            shutil.rmtree(disk / "postgres")
        data_dir.clean()


@pytest.fixture
def context(small_database: SmallDatabase, sandbox_settings: Settings) -> Iterator[WorkerContext]:
    """Yield a worker context that uses the small database."""
    engine = connect(small_database.postgres.owner_url)
    migrate.migrate(engine)
    engine.dispose()
    context = create_context(
        with_long_timeouts(sandbox_settings).model_copy(
            update={"database_url": SecretStr(small_database.postgres.app_url)}
        )
    )
    yield context
    close_context(context)


@pytest.fixture
def web(context: WorkerContext) -> Iterator[httpx.Client]:
    with serve(app(context.settings)) as web:
        yield web


def fill_disk(small_database: SmallDatabase) -> None:
    small_database.fill()


def fill_disk_and_log(small_database: SmallDatabase) -> None:
    small_database.fill()
    small_database.exhaust_the_log()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [fill_disk, fill_disk_and_log])
def test_a_full_disk_stops_all_work_and_afterwards_each_case_is_paid_once(
    small_database: SmallDatabase, context: WorkerContext, web: httpx.Client, fault: Callable[[SmallDatabase], None]
) -> None:
    before, *others = [a_charged_purchase("ok") for _ in range(50)]
    store_seller_and_purchases(context.records, *others)
    (waiting,) = create_approved_cases(context, before)
    send_request = request_sender(context, web)
    fault(small_database)
    accepted = []
    for purchase in others:
        answer = send_request(purchase)
        if answer.status_code != 202:
            break
        accepted.append(UUID(answer.json()["id"]))  # the disk still had space for this case
    assert "Nothing was accepted" in problem_document(answer, ProblemCode.SERVICE_UNAVAILABLE)["detail"]
    with pytest.raises(DatabaseDownError):
        handle(context, RefundApproved, [waiting])
    assert refunds_at_provider(context, before) == []
    small_database.make_room()
    eventually(lambda: small_database.restart() and web.get("/readyz").status_code == 200)
    repeated = send_request(purchase)
    assert repeated.status_code == 202, repeated.text
    accepted.append(UUID(repeated.json()["id"]))
    make_cases_overdue(context.records)
    handle(context, RefundApproved, [waiting])
    handle(context, RefundRequested, accepted)
    paid = [before, *others[: len(accepted)]]
    assert [state_of(context.records, case) for case in (waiting, *accepted)] == [State.REFUNDED] * len(paid)
    assert [len(refunds_at_provider(context, purchase)) for purchase in paid] == [1] * len(paid)
    assert_audit_is_clean(context.records)


def request_sender(context: WorkerContext, web: httpx.Client) -> Callable[[Purchase], httpx.Response]:
    """Return a function that sends an API request about a purchase, with a long comment."""
    with context.records.work() as work:
        key = work.api_keys.create("aurora", ALL_SCOPES)[1]

    def send_request(purchase: Purchase) -> httpx.Response:
        body = {"email": purchase.email, "reference": purchase.reference, "reason": "other", "comment": LONG_COMMENT}
        headers = {"authorization": f"Bearer {key}", "idempotency-key": purchase.reference}
        return web.post(REQUESTS_PATH, json=body, headers=headers)

    return send_request
