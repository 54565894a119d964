"""Fixtures: the violence and the machinery live here, so that the tests stay plain."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config.settings import Settings, Timers
from console.servers import Servers
from records import Records
from records.work import connect
from tests.services import Child, environment, fresh_database, of_database, running_servers

QUICK = Timers(
    http_seconds=1,
    soft_seconds=3,
    hard_seconds=4,
    lease_seconds=5,
    lane_seconds=5,
    settle_seconds=0.3,
    sweep_seconds=0.3,
    confirm_seconds=3_600,
)
"""The order of the real timers, in seconds that a test can wait."""


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Valkey, started once, for this run only."""
    with running_servers() as servers:
        yield servers


@pytest.fixture
def database(servers: Servers) -> Iterator[str]:
    """The name of a fresh database."""
    with fresh_database(servers) as name:
        yield name


@pytest.fixture
def settings(servers: Servers, database: str, tmp_path: Path) -> Settings:
    """Wired to this test's own database, an emptied broker, folders and no provider."""
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        broker.flushall()  # ours: we started it
    for folder in ("outbox", "inbox"):
        for part in ("cur", "new", "tmp"):
            (tmp_path / folder / part).mkdir(parents=True)
    return Settings(
        database_url=SecretStr(of_database(servers.postgres.app_url, database)),
        database_owner_url=SecretStr(of_database(servers.postgres.owner_url, database)),
        broker_url=SecretStr(servers.valkey.url),
        secret_key=SecretStr("only for tests, and long enough to sign with"),
        public_url="http://testserver",
        outbox_dir=tmp_path / "outbox",
        inbox_dir=tmp_path / "inbox",
        timers=QUICK,
    )


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """The records of a fresh, migrated database."""
    engine = connect(settings.database_url.get_secret_value())
    yield Records(engine, settings.timers)
    engine.dispose()


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts a part of the product as a process of its own; all are stopped at the end."""
    children: list[Child] = []

    def starter(name: str, *verb: str, **env: str) -> Child:
        child = Child(name, environment(settings) | env, *verb, log=tmp_path)
        children.append(child)
        return child

    yield starter
    for child in reversed(children):
        child.kill()


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sandbox provider as a process, for the whole run: every test has charges of its own."""
    folder = tmp_path_factory.mktemp("sandbox")
    command = [sys.executable, "-m", "worker.sandbox", str(folder), "--turn", "1", "--late", "0.6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def sandbox(settings: Settings, sandbox_url: str) -> Settings:
    """The settings, with the sandbox provider connected."""
    return settings.model_copy(update={"sandbox_url": sandbox_url})
