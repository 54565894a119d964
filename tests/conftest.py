"""Fixtures: the violence and the machinery live here, so that the tests stay plain."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config.settings import Settings, Timers
from console.servers import Servers
from records import Records
from records.work import connect
from tests.services import Child, environment, eventually, fresh_database, of_database, running_servers

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
        child.stop()


@pytest.fixture
def sandbox_port() -> int:
    """A port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def sandbox(start: Callable[..., Child], settings: Settings, sandbox_port: int, tmp_path: Path) -> Settings:
    """The sandbox provider as a process, and the settings that name it."""
    start("sandbox", "sandbox", "--port", str(sandbox_port), "--folder", str(tmp_path / "sandbox"))
    eventually(lambda: _listens(sandbox_port))
    return settings.model_copy(update={"sandbox_url": f"http://127.0.0.1:{sandbox_port}"})


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
