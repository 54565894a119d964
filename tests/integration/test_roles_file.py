"""Tests of the file `roles.sql`, with which an operator creates the database and its roles on an own server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from console.data_dir import DataDir
from console.servers import Postgres
from console.servers.postgres import BIN, ROLES
from records import migrate
from tests import fork_server
from tests.services import environment, with_database

PASSWORDS = {"OWNER_PASSWORD": "of-the-owner", "APP_PASSWORD": "of-the-services"}
ADMINISTRATORS = {
    "a superuser": "superuser",
    "an administrator of a managed server": "createrole createdb",
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Yield a PostgreSQL server of its own, because roles belong to the whole server."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)  # the user of the server must be able to enter the folder
        data_dir = DataDir(Path(folder) / "h")
        with data_dir.lock():
            postgres = Postgres(data_dir)
            postgres.start()
            yield postgres
            postgres.stop()
        data_dir.clean()


@pytest.fixture
def empty(postgres: Postgres) -> Postgres:
    """Return the server without the database and the roles of Moneyback."""
    with psycopg.connect(postgres.superuser_url, autocommit=True) as connection:
        connection.execute("drop database if exists moneyback with (force)")
        for role in ("moneyback", "moneyback_app", "moneyback_owner", "keeper"):
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))
    return postgres


def url(postgres: Postgres, user: str, password: str, database: str) -> str:
    parts = urlsplit(with_database(postgres.superuser_url, database))
    return parts._replace(netloc=f"{user}:{password}@").geturl()


def run_roles_file(postgres: Postgres, administrator: str) -> subprocess.CompletedProcess[str]:
    """Run the command of deploy/postgres/README.md. The server's user may not read the checkout, so psql gets a copy."""
    psql = next(postgres.data_dir.bin.rglob(Path(BIN).name + "/psql"))
    copy = postgres.data_dir.path / "roles.sql"
    shutil.copy(ROLES, copy)
    return subprocess.run(
        [str(psql), "--no-psqlrc", f"--file={copy}", url(postgres, administrator, "k", "postgres")],
        env={**os.environ, **PASSWORDS},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("rights", ADMINISTRATORS.values(), ids=ADMINISTRATORS)
def test_the_file_creates_what_the_migration_needs(empty: Postgres, settings: Settings, rights: str) -> None:
    with psycopg.connect(empty.superuser_url, autocommit=True) as connection:
        connection.execute(f"create role keeper login {rights} password 'k'".encode())
    for _ in range(2):
        ran = run_roles_file(empty, "keeper")
        assert ran.returncode == 0, ran.stderr
    urls = {
        "MONEYBACK_DATABASE_OWNER_URL": url(empty, "moneyback_owner", "of-the-owner", "moneyback"),
        "MONEYBACK_DATABASE_URL": url(empty, "moneyback", "of-the-services", "moneyback"),
    }
    migrated = fork_server.run("console", "migrate", env={**os.environ, **environment(settings), **urls})
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert migrated.stdout == f"The database is at version {migrate.latest_revision()}.\n"


def test_a_user_that_may_not_create_roles_is_told_so(empty: Postgres) -> None:
    with psycopg.connect(empty.superuser_url, autocommit=True) as connection:
        connection.execute("create role keeper login password 'k'")
    ran = run_roles_file(empty, "keeper")
    assert (ran.returncode, "permission denied to create role" in ran.stderr) == (3, True)
