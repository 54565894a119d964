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
# Write bytecode always: the tests start many Python processes, and without bytecode each of them compiles the product.


def pytest_collection() -> None:
    """Stop the garbage collector while pytest collects the tests, because it would find nothing to free."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exclude the collected tests from later garbage collections."""
    gc.enable()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Start three workers for two CPUs, because the tests wait for processes, browsers and servers a fifth of their time."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Valkey, started once for a test run."""
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
    """Return settings with an empty database, an empty broker, folders of the test, and no provider."""
    return create_settings(servers, database, tmp_path)


@cache
def _engine_of(url: str) -> Engine:
    """Return one engine for each database, because a new engine asks the server for its version and types again."""
    return connect(url)


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """Yield the records of an empty, migrated database."""
    engine = _engine_of(settings.database_url.get_secret_value())
    yield Records(engine, settings.timers)
    engine.dispose()


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., ChildProcess]]:
    """Start services as child processes, and stop them after the test."""
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
    """Yield the URL of the sandbox provider. All tests share one process, and every test uses its own charges."""
    with sandbox_in(tmp_path_factory.mktemp("sandbox"), turn=1, late=0.6) as process:
        yield process.url


@pytest.fixture
def sandbox_settings(settings: Settings, sandbox_url: str) -> Settings:
    """Return the settings with the sandbox provider connected."""
    return settings.model_copy(update={"sandbox_url": sandbox_url})
