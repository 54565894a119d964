"""Every part of the product as a process, on servers of its own, with the network between them in our hands."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings
from console.data_dir import DataDir
from console.servers import Servers
from console.stack import free_port
from console.supervisor import Service, Supervisor
from records import Records, migrate
from records.unit_of_work import connect
from tests.chaos.kill_points import FUSES
from tests.chaos.timers import RESTART
from tests.proxy import Proxy, postgres, resp

ROOT = Path(__file__).parents[2]
NAMES = ("sandbox", "relay", "worker1", "worker2", "beat", "web", "consume", "mail")
WORKERS = ("worker1", "worker2")


@dataclass(frozen=True)
class Parts:
    """One installation. The workers and the relay reach everything through proxies; the others reach it directly."""

    data_dir: DataDir
    servers: Servers
    processes: Supervisor
    ways: Mapping[str, Proxy]
    """From the workers and the relay to the database, to the broker, to the provider."""
    timers: Mapping[str, str]
    sandbox: tuple[str, ...]
    """The provider's options."""
    web: int

    @property
    def fuses(self) -> Path:
        return self.data_dir.path / "fuses"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    @property
    def provider_socket(self) -> Path:
        return self.data_dir.path / "sandbox.sock"

    @cached_property
    def settings(self) -> Settings:
        """As the parts have them, for what a test does itself."""
        names = {name.removeprefix("MONEYBACK_").lower(): value for name, value in self.env.items()}
        return Settings.model_validate({**names, "sandbox_url": None})

    @cached_property
    def records(self) -> Records:
        return Records.of(self.settings)

    @cached_property
    def broker(self) -> redis.Redis:
        """For what is done to it: once, and never again because an answer was lost."""
        return redis.Redis(unix_socket_path=str(self.servers.valkey.socket), retry=Retry(NoBackoff(), 0))

    @cached_property
    def env(self) -> dict[str, str]:
        """What every part is told."""
        return {
            **self.servers.env,
            **self.timers,
            "MONEYBACK_PUBLIC_URL": self.url,
            "MONEYBACK_SANDBOX_URL": f"http://127.0.0.1:{self.ways['provider'].port}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        """Start every part, and return when requests can come in."""
        for name in NAMES:
            self.processes.start(Service(name, self._argv(name), self._env(name), grace=5.0))
        self.processes.wait_for("web", self._listens, seconds=60)
        for name in WORKERS:
            self.processes.wait_for(name, partial(self._is_ready, name), seconds=60)

    def pid(self, name: str) -> int | None:
        """The part's process, which leads a group of its own; None while it is down."""
        return self.processes.pids.get(name)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send it to every process of this part."""
        pid = self.pid(name)
        with suppress(ProcessLookupError):
            if pid is not None:
                os.killpg(pid, number)
                return True
        return False

    def children(self, name: str) -> list[int]:
        """The processes of this part but the first."""
        with suppress(psutil.NoSuchProcess):
            if pid := self.pid(name):
                return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []

    def _argv(self, name: str) -> tuple[str, ...]:
        ours = (sys.executable, "-m", "tests.chaos.launch")
        match name:
            case "sandbox":
                folder = str(self.data_dir.path / "sandbox")
                hook = f"{self.url}/v1/webhooks/sandbox"
                words = ("--unix", str(self.provider_socket), "--webhooks", hook, *self.sandbox)
                return (sys.executable, "-m", "console.sandbox", folder, *words)
            case "worker1" | "worker2":
                return (*ours, "worker", "-c", "2", "--name", f"{name}@chaos")
            case "web":
                return (*ours, "web", "--port", str(self.web))
            case "beat":
                return (*ours, "beat", "--schedule", str(self.data_dir.path / "beat"))
        return (*ours, name)

    def _env(self, name: str) -> dict[str, str]:
        env = self.env | {FUSES: str(self.fuses / name)}
        if name in (*WORKERS, "relay"):
            password = quote(self.data_dir.secrets.app_password, safe="")
            address = f"127.0.0.1:{self.ways['database'].port}"
            env["MONEYBACK_DATABASE_URL"] = f"postgresql://moneyback:{password}@{address}/moneyback"
            env["MONEYBACK_BROKER_URL"] = f"redis://127.0.0.1:{self.ways['broker'].port}/0"
        return env

    def _is_ready(self, name: str) -> bool:
        return b" ready" in self.data_dir.log(name).read_bytes()

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.web), 1):
            return True


@contextmanager
def running(timers: Mapping[str, str], sandbox: tuple[str, ...] = ()) -> Iterator[Parts]:
    """Servers, proxies and parts in a throwaway home. An error names the home, which is kept then, with its logs."""
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/var/tmp"))
    folder.chmod(0o711)  # as root the servers are another user, who must pass through
    data_dir = DataDir(folder / "c")
    try:
        with _started(data_dir, timers, sandbox) as parts:
            yield parts
    except Exception as error:
        error.add_note(f"The logs are in {data_dir.logs}.")
        raise
    except BaseException:  # somebody pressed Ctrl-C
        _remove(data_dir)
        raise
    _remove(data_dir)


@contextmanager
def _started(data_dir: DataDir, timers: Mapping[str, str], sandbox: tuple[str, ...]) -> Iterator[Parts]:
    with data_dir.lock(), Servers(data_dir) as servers, ExitStack() as ways:
        for where, seconds in RESTART.items():
            ways.enter_context(patch(where.replace(":", "."), seconds))
        owner = connect(servers.postgres.owner_url)
        migrate.migrate(owner)
        owner.dispose()
        parts = Parts(
            data_dir=data_dir,
            servers=servers,
            processes=Supervisor(data_dir),
            ways={
                "database": ways.enter_context(Proxy(data_dir.run / ".s.PGSQL.5432", postgres)),
                "broker": ways.enter_context(Proxy(servers.valkey.socket, resp)),
                "provider": ways.enter_context(Proxy(data_dir.path / "sandbox.sock", len)),
            },
            timers=timers,
            sandbox=sandbox,
            web=free_port(),
        )
        for way in parts.ways.values():  # a frame is a packet: none waits until the one before was acknowledged
            way._door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with parts.processes:
                parts.start()
                try:
                    yield parts
                finally:
                    for name in NAMES:
                        parts.signal(name, signal.SIGCONT)
                    for way in parts.ways.values():
                        way.thaw()
        finally:
            parts.records.engine.dispose()
            parts.broker.close()


def _remove(data_dir: DataDir) -> None:
    data_dir.clean()
    data_dir.path.parent.rmdir()
