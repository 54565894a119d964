"""Fixtures that all tests share: servers, databases, settings, services and the sandbox."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine

from config.settings import Settings
from console.servers import Servers
from records import Records
from records.unit_of_work import connect
from tests.doubles.sandbox import sandbox_in
from tests.services import (
    ChildProcess,
    close_other_connections,
    create_settings,
    empty_database,
    environment,
    fresh_database,
    running_servers,
)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# From here on, Python writes bytecode files. Otherwise, each Python process that a test starts would compile Moneyback again.


def pytest_collection() -> None:
    """Turn the garbage collector off while pytest searches for tests, because it would find nothing to free."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Turn the garbage collector on again. It no longer checks the objects that exist now, such as the tests."""
    gc.enable()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Start three test processes for every two CPUs, because tests often wait for processes, browsers and servers."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Yield PostgreSQL and Valkey, which are started once for a test run."""
    with running_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def _database(servers: Servers) -> Iterator[str]:
    with fresh_database(servers) as name:
        yield name


@pytest.fixture
def database(servers: Servers, _database: str) -> str:
    """Return the name of an empty database without other connections."""
    close_other_connections(servers, _database)
    empty_database(servers, _database)
    return _database


@pytest.fixture
def settings(servers: Servers, database: str, tmp_path: Path) -> Settings:
    """Return settings with an empty database, an empty broker, new folders, and no provider."""
    return create_settings(servers, database, tmp_path)


@cache
def _engine_of(url: str) -> Engine:
    """Return the same engine for the same database, because a new engine first asks the server for its version and types."""
    return connect(url)


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """Yield the records of an empty, migrated database."""
    engine = _engine_of(settings.database_url.get_secret_value())
    yield Records(engine, settings.timers)
    engine.dispose()


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """Yield a function that starts a service as a child process. The services are stopped after the test."""
    children: list[ChildProcess] = []

    def start_child(name: str, *arguments: str, **env: str) -> ChildProcess:
        child = ChildProcess(name, environment(settings) | env, *arguments, log=tmp_path)
        children.append(child)
        return child

    yield start_child
    for child in reversed(children):
        child.kill()


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of the sandbox provider. All tests use the same process, but each test has its own charges."""
    with sandbox_in(tmp_path_factory.mktemp("sandbox"), turn=1, late=0.6) as process:
        yield process.url


@pytest.fixture
def sandbox_settings(settings: Settings, sandbox_url: str) -> Settings:
    """Return settings with the sandbox provider as the only provider."""
    return settings.model_copy(update={"sandbox_url": sandbox_url})
