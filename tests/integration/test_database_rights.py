"""Tests of `moneyback migrate` in a database of an operator: each missing role and right is one sentence."""

import os
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from console.servers import Servers
from records import migrate
from tests import fork_server
from tests.services import environment, with_database

PASSWORD = "a-password-for-tests"


class Operator:
    """An operator's PostgreSQL server, with one empty database and users of this database."""

    def __init__(self, servers: Servers, settings: Settings) -> None:
        self.servers, self.settings = servers, settings
        self.database = f"shop_{uuid4().hex[:8]}"
        self.users: list[str] = []
        self.execute("create database {}", self.database)

    def execute(self, statement: str, *names: str, database: str = "postgres") -> None:
        url = with_database(self.servers.postgres.superuser_url, database)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def add_user(self, name: str) -> str:
        """Create a user that may log in. Return the name of the user, which no other test uses."""
        user = f"{name}_{uuid4().hex[:8]}"
        self.execute(f"create role {{}} login password '{PASSWORD}'", user)
        self.users.append(user)
        return user

    def grant(self, statement: str, *names: str) -> None:
        self.execute(statement, *names, database=self.database)

    def url(self, user: str, password: str = PASSWORD) -> str:
        host = self.servers.postgres.superuser_url.partition("?")[2]
        return f"postgresql://{user}:{password}@/{self.database}?{host}"

    def migrate(self, owner: str, service: str, password: str = PASSWORD) -> tuple[int, str]:
        """Run `moneyback migrate` with these users. Return its exit code, and what it printed."""
        urls = {
            "MONEYBACK_DATABASE_OWNER_URL": self.url(owner, password),
            "MONEYBACK_DATABASE_URL": self.url(service),
        }
        ended = fork_server.run("console", "migrate", env={**os.environ, **environment(self.settings), **urls})
        return ended.returncode, ended.stdout + ended.stderr

    def clean(self) -> None:
        self.execute("drop database {} with (force)", self.database)
        for user in self.users:
            with suppress(psycopg.errors.DependentObjectsStillExist):
                self.execute("drop role {}", user)


@pytest.fixture
def operator(servers: Servers, settings: Settings) -> Iterator[Operator]:
    operator = Operator(servers, settings)
    yield operator
    operator.clean()


def test_a_user_that_may_not_create_tables_is_told_which_statement_helps(operator: Operator) -> None:
    owner = operator.add_user("owner")
    code, printed = operator.migrate(owner, owner)
    statement = f'GRANT CREATE ON SCHEMA public TO "{owner}"'
    assert (code, printed) == (
        2,
        (
            f"The user {owner} may not create tables in the database {operator.database}. Run as a superuser in this database: "
            f"{statement}\n"
        ),
    )


def test_after_the_statement_of_the_error_the_migration_runs(operator: Operator) -> None:
    owner = operator.add_user("owner")
    _, printed = operator.migrate(owner, owner)
    statement = printed.partition("Run as a superuser in this database: ")[2].strip()
    operator.execute(statement, database=operator.database)
    assert operator.migrate(owner, owner) == (0, f"The database is at version {migrate.latest_revision()}.\n")


def test_a_user_of_the_services_that_may_not_use_the_tables_is_told_which_statement_helps(operator: Operator) -> None:
    owner, service = operator.add_user("owner"), operator.add_user("service")
    operator.grant("grant create on schema public to {}", owner)
    code, printed = operator.migrate(owner, service)
    assert (code, printed) == (
        2,
        (
            f"The tables are ready, but the user {service} in MONEYBACK_DATABASE_URL may not use them. Run as a superuser: "
            f'GRANT moneyback_app TO "{service}"\n'
        ),
    )
    operator.execute(printed.partition("Run as a superuser: ")[2].strip())
    assert operator.migrate(owner, service)[0] == 0


@pytest.mark.parametrize(("owner", "password"), [("nobody_of_this_name", PASSWORD), (None, "wrong")])
def test_an_unknown_user_or_password_is_told_how_to_create_the_roles(
    operator: Operator, owner: str | None, password: str
) -> None:
    code, printed = operator.migrate(owner or operator.add_user("owner"), "nobody", password)
    assert (code, printed.startswith("The database refuses the connection: password authentication failed")) == (
        2,
        True,
    )
    assert "roles.sql creates the database and its roles" in printed


def test_a_missing_database_is_told_how_to_create_it(operator: Operator) -> None:
    owner = operator.add_user("owner")
    operator.execute("drop database {}", operator.database)
    code, printed = operator.migrate(owner, owner)
    operator.execute("create database {}", operator.database)
    assert (code, f'database "{operator.database}" does not exist' in printed) == (2, True)


def test_a_service_without_the_role_of_the_services_ends_with_a_sentence(operator: Operator) -> None:
    owner, service = operator.add_user("owner"), operator.add_user("service")
    operator.grant("grant create on schema public to {}", owner)
    assert operator.migrate(owner, owner)[0] == 0
    env = {**os.environ, **environment(operator.settings), "MONEYBACK_DATABASE_URL": operator.url(service)}
    ended = fork_server.run("console", "cases", "list", env=env)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert ended.stderr.startswith("The database refuses this command: permission denied for table")
