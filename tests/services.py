"""Starts and stops the real servers and services of the tests, on their own sockets. Uses no other server."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import LiteralString, TypeVar
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
from tests.fork_server import Forked, needs_a_fresh_python

TEMPLATE = "moneyback_template"
Fact = TypeVar("Fact")
QUICK = Timers(
    provider_timeout_seconds=1,
    task_soft_time_limit_seconds=3,
    task_time_limit_seconds=4,
    lease_seconds=5,
    resend_after_seconds=5,
    poll_initial_seconds=0.3,
    sweep_interval_seconds=0.3,
    confirmation_ttl_seconds=3_600,
)
"""Timers in the order of the default timers, but short enough for tests."""


def eventually(fact: Callable[[], Fact], *, seconds: float = 120) -> Fact:
    """Wait until `fact()` is true, and return its value. The limit is long, so that a busy machine does not reach it."""
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < deadline, f"This did not come true within {seconds:g} s: {fact}"
        time.sleep(0.02)
    return found


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Yield PostgreSQL and Valkey in a temporary data directory, with a migrated template database."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)  # for root, the servers run as another user, who must enter the folder
        data_dir = DataDir(Path(folder) / "t")
        with data_dir.lock(), Servers(data_dir) as servers:
            for setting in (
                "fsync",
                "full_page_writes",
                "synchronous_commit",
            ):  # tests need not survive a power failure
                _keep(servers, f"alter system set {setting} = off")
            _keep(servers, "select pg_reload_conf()")
            _keep(servers, f'create database "{TEMPLATE}" owner moneyback_owner')
            engine = connect(of_database(servers.postgres.owner_url, TEMPLATE))
            migrate.migrate(engine)
            engine.dispose()
            yield servers
        data_dir.clean()


@contextmanager
def fresh_database(servers: Servers) -> Iterator[str]:
    """Yield the name of a new database, cloned from the template in milliseconds."""
    name = f"t_{uuid4().hex[:12]}"
    _keep(servers, f'create database "{name}" template "{TEMPLATE}" owner moneyback_owner')
    yield name
    if kept := _kept.pop(name, None):
        kept.close()
    _keep(servers, f'drop database "{name}" with (force)')


def emptied(servers: Servers, database: str) -> None:
    """Delete all rows and restart all sequences, which costs a tenth of a new database."""
    connection = _connection(servers, database)
    connection.execute(sql.SQL("; ").join(map(sql.SQL, _emptying(connection))))


def left_alone(servers: Servers, database: str) -> None:
    """Terminate all other connections to a database, so they cannot write into the next test."""
    _connection(servers, database).execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


_kept: dict[str, psycopg.Connection] = {}


def _connection(servers: Servers, database: str) -> psycopg.Connection:
    """Return a superuser's connection without triggers. It is kept for later tests, unless a test ended it."""
    if database in _kept:
        with suppress(psycopg.OperationalError):
            _kept[database].execute("")
            return _kept[database]
        _kept[database].close()
    url = of_database(servers.postgres.superuser_url, database)
    _kept[database] = connection = psycopg.connect(url, autocommit=True)
    connection.execute("set session_replication_role = replica")
    return connection


def _emptying(connection: psycopg.Connection) -> list[LiteralString]:
    """Return the statements that empty a database. For a few rows, deleting is much faster than truncating."""
    return [
        row[0]
        for row in connection.execute(
            "select format('delete from %I', tablename) from pg_tables"
            " where schemaname = 'public' and tablename <> 'alembic_version'"
            " union all select format('alter sequence %I restart', sequencename) from pg_sequences"
            " where schemaname = 'public' and last_value is not null"
        )
    ]


def of_database(url: str, name: str) -> str:
    """Return a URL with another database name."""
    parts = urlsplit(url)
    return parts._replace(path=f"/{name}").geturl()


def tampering(servers: Servers, database: str, statement: str) -> None:
    """Execute a statement as a superuser without triggers, as an attacker with access to the server could."""
    with psycopg.connect(of_database(servers.postgres.superuser_url, database), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(sql.SQL(statement))  # a statement of the tests


def settings_of(servers: Servers, database: str, folder: Path) -> Settings:
    """Return settings for a database, with an emptied broker, maildirs in a folder, and no provider."""
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        broker.flushall()  # the tests started this server
    for box in ("outbox", "inbox"):
        for part in ("cur", "new", "tmp"):
            (folder / box / part).mkdir(parents=True)
    return Settings(
        database_url=SecretStr(of_database(servers.postgres.app_url, database)),
        database_owner_url=SecretStr(of_database(servers.postgres.owner_url, database)),
        broker_url=SecretStr(servers.valkey.url),
        secret_key=SecretStr("only for tests, and long enough to sign with"),
        public_url="http://testserver",
        sent_mail_dir=folder / "outbox",
        incoming_mail_dir=folder / "inbox",
        limits=Limits(rate_limits_enabled=False),  # a test simulates many customers in one network
        timers=QUICK,
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


class Child:
    """One service as a child process, with its log."""

    def __init__(self, name: str, env: Mapping[str, str], *verb: str, log: Path) -> None:
        self.name = name
        self.log = log / f"{name}.log"
        self.process = self._started({**os.environ, **env}, verb)

    def _started(self, env: Mapping[str, str], verb: Sequence[str]) -> Process:
        with self.log.open("ab") as out:
            if not needs_a_fresh_python(env):
                return Forked("console", *verb, env=env, stdout=out, stderr=subprocess.STDOUT)
            return subprocess.Popen(
                [sys.executable, "-m", "console", *verb],
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

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def _keep(servers: Servers, statement: str) -> None:
    with psycopg.connect(servers.postgres.superuser_url, autocommit=True) as connection:
        connection.execute(statement)  # a statement of the tests
