"""Starts and stops the servers and services that the tests need. Each server has its own socket."""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, LiteralString, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import redis
from psycopg import sql
from pydantic import SecretStr

from config.rate_limits import Limits
from config.settings import Settings, Timers
from console.data_dir import DataDir
from console.servers import Servers
from records import migrate
from records.unit_of_work import connect
from tests.fork_server import Forked, needs_new_python

TEMPLATE_DATABASE = "moneyback_template"
Fact = TypeVar("Fact")
SHORT_TIMERS = Timers(
    provider_timeout_seconds=1,
    task_soft_time_limit_seconds=3,
    task_time_limit_seconds=4,
    lease_seconds=5,
    resend_after_seconds=5,
    poll_initial_seconds=0.3,
    sweep_interval_seconds=0.3,
    confirmation_ttl_seconds=3_600,
)
"""Short timers for tests. A timer that is longer than another by default is longer here, too."""


def eventually(fact: Callable[[], Fact], *, seconds: float = 120) -> Fact:
    """Wait until `fact()` is true, and return its value. The default timeout is long, because a busy machine is slow."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        assert time.monotonic() < deadline, f"After {seconds:g} s, this is still false: {fact}"
        time.sleep(0.02)
    return value


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Yield PostgreSQL and Valkey in a temporary data directory, with a migrated template database."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder:
        # If root runs the tests, the servers run as another user, who needs access to the folder.
        Path(folder).chmod(0o711)
        data_dir = DataDir(Path(folder) / "t")
        with data_dir.lock(), Servers(data_dir) as servers:
            # the data of the tests need not survive a power failure
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                _execute_as_superuser(servers, f"alter system set {setting} = off")
            _execute_as_superuser(servers, "select pg_reload_conf()")
            _execute_as_superuser(servers, f'create database "{TEMPLATE_DATABASE}" owner moneyback_owner')
            engine = connect(with_database(servers.postgres.owner_url, TEMPLATE_DATABASE))
            migrate.migrate(engine)
            engine.dispose()
            yield servers
        data_dir.clean()


@contextmanager
def only_stack() -> Iterator[None]:
    """Wait until no other test runs all services. Two stacks that start at the same moment choose the same ports."""
    with Path(tempfile.gettempdir(), f"moneyback-tests-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def fresh_database(servers: Servers) -> Iterator[str]:
    """Yield the name of a new database, cloned from the template in milliseconds."""
    name = f"t_{uuid4().hex[:12]}"
    _execute_as_superuser(servers, f'create database "{name}" template "{TEMPLATE_DATABASE}" owner moneyback_owner')
    yield name
    if connection := _open_connections.pop(name, None):
        connection.close()
    _execute_as_superuser(servers, f'drop database "{name}" with (force)')


def empty_database(servers: Servers, database: str) -> None:
    """Delete all rows and restart all sequences. A new database would take ten times as long."""
    connection = _connection(servers, database)
    connection.execute(sql.SQL("; ").join(map(sql.SQL, _delete_statements(connection))))


def close_other_connections(servers: Servers, database: str) -> None:
    """Close the connections of other clients to a database, because a client could write during the next test."""
    _connection(servers, database).execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


_open_connections: dict[str, psycopg.Connection] = {}


def _connection(servers: Servers, database: str) -> psycopg.Connection:
    """Return a superuser's connection that executes no triggers. Later tests use the same connection if it is still open."""
    if database in _open_connections:
        with suppress(psycopg.OperationalError):
            _open_connections[database].execute("")
            return _open_connections[database]
        _open_connections[database].close()
    url = with_database(servers.postgres.superuser_url, database)
    _open_connections[database] = connection = psycopg.connect(url, autocommit=True)
    connection.execute("set session_replication_role = replica")
    return connection


def _delete_statements(connection: psycopg.Connection) -> list[LiteralString]:
    """Return the statements that empty a database. With few rows, DELETE is much faster than TRUNCATE."""
    return [
        row[0]
        for row in connection.execute(
            "select format('delete from %I', tablename) from pg_tables"
            " where schemaname = 'public' and tablename <> 'alembic_version'"
            " union all select format('alter sequence %I restart', sequencename) from pg_sequences"
            " where schemaname = 'public' and last_value is not null"
        )
    ]


def with_database(url: str, name: str) -> str:
    """Return the URL with another database name."""
    parts = urlsplit(url)
    return parts._replace(path=f"/{name}").geturl()


def tamper(servers: Servers, database: str, statement: str) -> None:
    """Execute a statement as a superuser, with triggers disabled. An attacker with access to the server could do the same."""
    with psycopg.connect(with_database(servers.postgres.superuser_url, database), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(sql.SQL(statement))  # a test wrote the statement, so it is safe


@cache
def _broker(socket: str) -> redis.Redis:
    """Return the client of a broker. The tests share this client, because creating a client takes 8 ms."""
    return redis.Redis(unix_socket_path=socket)


def create_settings(servers: Servers, database: str, folder: Path) -> Settings:
    """Empty the broker, and return settings with a database, with maildirs in a folder, and without a provider."""
    _broker(str(servers.valkey.socket)).flushall()  # safe, because the tests started this broker
    for mailbox in ("outbox", "inbox"):
        for part in ("cur", "new", "tmp"):
            (folder / mailbox / part).mkdir(parents=True)
    return Settings(
        database_url=SecretStr(with_database(servers.postgres.app_url, database)),
        database_owner_url=SecretStr(with_database(servers.postgres.owner_url, database)),
        broker_url=SecretStr(servers.valkey.url),
        secret_key=SecretStr("only for tests, and long enough to sign with"),
        public_url="http://testserver",
        sent_mail_dir=folder / "outbox",
        incoming_mail_dir=folder / "inbox",
        # Rate limits are off, because a test sends the requests of many customers from one network address.
        limits=Limits(rate_limits_enabled=False),
        timers=SHORT_TIMERS,
    )


def offline_settings(**values: Any) -> Settings:
    """Return settings with ``values``, for tests that use no servers."""
    return Settings(
        database_url=SecretStr("postgresql://nowhere/none"),
        broker_url=SecretStr("memory://"),
        secret_key=SecretStr("only for tests, and long enough to sign with"),
        **values,
    )


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of the settings, for a child process."""
    env = {
        "MONEYBACK_DATABASE_URL": settings.database_url.get_secret_value(),
        "MONEYBACK_BROKER_URL": settings.broker_url.get_secret_value(),
        "MONEYBACK_SECRET_KEY": settings.secret_key.get_secret_value(),
        "MONEYBACK_PUBLIC_URL": settings.public_url,
        "MONEYBACK_SANDBOX_URL": settings.sandbox_url or "",
        "MONEYBACK_SENT_MAIL_DIR": str(settings.sent_mail_dir),
        "MONEYBACK_INCOMING_MAIL_DIR": str(settings.incoming_mail_dir),
        "MONEYBACK_BATCH_SIZE": str(settings.batch_size),
        "MONEYBACK_RATE_LIMITS_ENABLED": str(settings.limits.rate_limits_enabled),
    }
    return env | {f"MONEYBACK_{name.upper()}": str(value) for name, value in settings.timers.model_dump().items()}


Process = subprocess.Popen[bytes] | Forked


class ChildProcess:
    """One service as a child process, and the log file of the process."""

    def __init__(self, name: str, env: Mapping[str, str], *arguments: str, log: Path) -> None:
        self.name = name
        self.log = log / f"{name}.log"
        self.process = self._start({**os.environ, **env}, arguments)

    def _start(self, env: Mapping[str, str], arguments: Sequence[str]) -> Process:
        with self.log.open("ab") as out:
            if not needs_new_python(env):
                return Forked("console", *arguments, env=env, stdout=out, stderr=subprocess.STDOUT)
            return subprocess.Popen(
                [sys.executable, "-m", "console", *arguments],
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def read_log(self) -> str:
        """Return the whole output of the process."""
        return self.log.read_text(errors="replace")


def _execute_as_superuser(servers: Servers, statement: str) -> None:
    with psycopg.connect(servers.postgres.superuser_url, autocommit=True) as connection:
        connection.execute(statement)  # safe: each statement is written in this file
