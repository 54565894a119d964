"""PostgreSQL's disk is full, a small one of its own: nothing is accepted, nothing is sent, and then all of it goes on."""

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
from tests.integration.test_api import ASK, problem
from tests.integration.test_dispatch import some_time_later
from tests.sample_data import store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.dispatch import handle

MINE = "MONEYBACK_SMALL_DISK"
LONG = "".join(Random(1).choices(ascii_letters, k=4_000))  # half a page of a table, however it is packed
SIZE = "160m"  # the cluster, a second database, and room for a few cases
ADVICE = (
    "Only root may mount a small disk, and in a container only with CAP_SYS_ADMIN. To run this test: "
    f"mount -t tmpfs -o size={SIZE},mode=1777 none FOLDER, and name the folder in {MINE}."
)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk that a test can fill without anybody else noticing."""
    if mine := os.environ.get(MINE):
        with tempfile.TemporaryDirectory(dir=mine) as name:
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


class Books:
    """A PostgreSQL whose data lies on a small disk, and the stone that takes up what is left of it."""

    def __init__(self, data_dir: DataDir, disk: Path) -> None:
        self.postgres = Postgres(data_dir.create())
        self._stone = disk / "stone"
        data = disk / "postgres"
        data.mkdir(0o700)
        os.chown(data, self.postgres.user.uid, self.postgres.user.gid)
        data_dir.postgres.rmdir()
        data_dir.postgres.symlink_to(data)

    def fill(self) -> None:
        """To the last byte."""
        with self._stone.open("wb", buffering=0) as stone:
            try:
                while True:
                    stone.write(bytes(4_096))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # what is sought is the end of the disk

    def exhaust_the_log(self) -> None:
        """The log needs another file, for which there is no room: PostgreSQL ends itself, as often as it is started."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.postgres.superuser_url, autocommit=True) as db:
            while True:
                db.execute("select pg_logical_emit_message(false, 'test', repeat('x', 1000000))")

        assert "PANIC" in self.postgres.log.read_text()

    def make_room(self) -> None:
        self._stone.unlink()

    def revived(self) -> bool:
        """Whoever looks after servers starts again what ended."""
        return self.postgres.start().running


@pytest.fixture
def books() -> Iterator[Books]:
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        data_dir = DataDir(folder / "h")
        with small_disk(folder / "disk") as disk:
            books = Books(data_dir, disk)
            with books.postgres:
                yield books
            data_dir.postgres.unlink()
            shutil.rmtree(disk / "postgres")
        data_dir.clean()


@pytest.fixture
def context(books: Books, sandbox_settings: Settings) -> Iterator[WorkerContext]:
    """What works on those books."""
    engine = connect(books.postgres.owner_url)
    migrate.migrate(engine)
    engine.dispose()
    context = create_context(
        with_long_timeouts(sandbox_settings).model_copy(update={"database_url": SecretStr(books.postgres.app_url)})
    )
    yield context
    close_context(context)


@pytest.fixture
def web(context: WorkerContext) -> Iterator[httpx.Client]:
    with serve(app(context.settings)) as web:
        yield web


def tables_cannot_grow(books: Books) -> None:
    books.fill()


def the_log_cannot_grow(books: Books) -> None:
    books.fill()
    books.exhaust_the_log()


@pytest.mark.slow
@pytest.mark.parametrize("strike", [tables_cannot_grow, the_log_cannot_grow])
def test_while_the_disk_is_full_nothing_is_accepted_or_sent_and_with_room_again_each_is_paid_once(
    books: Books, context: WorkerContext, web: httpx.Client, strike: Callable[[Books], None]
) -> None:
    before, *others = [a_charged_purchase("ok") for _ in range(50)]
    store_seller_and_purchases(context.records, *others)
    (waiting,) = create_approved_cases(context, before)
    ask = customers(context, web)
    strike(books)
    accepted = []
    for bought in others:
        answer = ask(bought)
        if answer.status_code != 202:
            break
        accepted.append(UUID(answer.json()["id"]))  # what the disk had room for
    assert "Nothing was accepted" in problem(answer, ProblemCode.SERVICE_UNAVAILABLE)["detail"]
    with pytest.raises(DatabaseDownError):
        handle(context, RefundApproved, [waiting])
    assert refunds_at_provider(context, before) == []
    books.make_room()
    eventually(lambda: books.revived() and web.get("/readyz").status_code == 200)
    again = ask(bought)
    assert again.status_code == 202, again.text
    accepted.append(UUID(again.json()["id"]))
    some_time_later(context.records)
    handle(context, RefundApproved, [waiting])
    handle(context, RefundRequested, accepted)
    paid = [before, *others[: len(accepted)]]
    assert [state_of(context.records, case) for case in (waiting, *accepted)] == [State.REFUNDED] * len(paid)
    assert [len(refunds_at_provider(context, one)) for one in paid] == [1] * len(paid)
    assert_audit_is_clean(context.records)


def customers(context: WorkerContext, web: httpx.Client) -> Callable[[Purchase], httpx.Response]:
    """Their seller's program asks, with much to say and a key of its own for each of them."""
    with context.records.work() as work:
        key = work.api_keys.create("aurora", ALL_SCOPES)[1]

    def ask(bought: Purchase) -> httpx.Response:
        said = {"email": bought.email, "reference": bought.reference, "reason": "other", "comment": LONG}
        headers = {"authorization": f"Bearer {key}", "idempotency-key": bought.reference}
        return web.post(ASK, json=said, headers=headers)

    return ask
