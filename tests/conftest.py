"""Fixtures that all tests share: servers, databases, settings, services and the sandbox."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from console.servers import Servers
from records import Records
from records.unit_of_work import connect
from tests.doubles.sandbox import sandbox_in
from tests.services import (
    Child,
    emptied,
    environment,
    fresh_database,
    left_alone,
    running_servers,
    settings_of,
)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Bytecode is always written, because the tests start many Python processes, and each would compile the product again.


def pytest_collection() -> None:
    """Stop the garbage collector during the collection of the tests, where it would find nothing."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exclude the collected tests from later garbage collections."""
    gc.enable()
    gc.freeze()


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
    left_alone(servers, _database)
    emptied(servers, _database)
    return _database


@pytest.fixture
def settings(servers: Servers, database: str, tmp_path: Path) -> Settings:
    """Return settings with an empty database, an empty broker, folders of the test, and no provider."""
    return settings_of(servers, database, tmp_path)


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    """Yield the records of an empty, migrated database."""
    engine = connect(settings.database_url.get_secret_value())
    yield Records(engine, settings.timers)
    engine.dispose()


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start services as child processes, and stop them after the test."""
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
    """Yield the URL of the sandbox provider, one process for the test run. Every test uses its own charges."""
    with sandbox_in(tmp_path_factory.mktemp("sandbox"), turn=1, late=0.6) as process:
        yield process.url


@pytest.fixture
def sandbox(settings: Settings, sandbox_url: str) -> Settings:
    """Return the settings with the sandbox provider connected."""
    return settings.model_copy(update={"sandbox_url": sandbox_url})
