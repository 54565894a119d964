"""Starts the servers and Moneyback's services, each as a process. Proxies between services and servers inject faults."""

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
from tests.chaos.kill_points import ARMED_POINTS
from tests.chaos.timers import RESTART
from tests.fault_proxy import Proxy, postgres_frame_length, redis_frame_length

ROOT = Path(__file__).parents[2]
SERVICES = ("sandbox", "relay", "worker1", "worker2", "beat", "web", "consume", "mail")
"""The services of a run with customers, the payment provider first."""
WORKERS = ("worker1", "worker2")


@dataclass(frozen=True)
class Installation:
    """One installation of Moneyback.

    The workers, the relay and the desk connect to the database and the broker through proxies. The other services connect
    directly.
    """

    data_dir: DataDir
    servers: Servers
    processes: Supervisor
    proxies: Mapping[str, Proxy]
    """The proxies with the names "database", "broker" and "provider"."""
    timers: Mapping[str, str]
    sandbox: tuple[str, ...]
    """The command-line options of the sandbox, which is the payment provider."""
    web_port: int
    desk_port: int
    services: tuple[str, ...] = SERVICES

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the services among which a fault chooses. In a run with agents, every fourth fault hits the desk."""
        return (*self.services, "desk") if "desk" in self.services else self.services

    @property
    def armed_points(self) -> Path:
        return self.data_dir.path / "armed-points"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def desk_url(self) -> str:
        return f"http://127.0.0.1:{self.desk_port}"

    @property
    def provider_socket(self) -> Path:
        return self.data_dir.path / "sandbox.sock"

    @cached_property
    def settings(self) -> Settings:
        """The settings of the test process. It connects to the database and the broker without proxies."""
        names = {name.removeprefix("MONEYBACK_").lower(): value for name, value in self.env.items()}
        return Settings.model_validate({**names, "sandbox_url": None})

    @cached_property
    def records(self) -> Records:
        return Records.of(self.settings)

    @cached_property
    def broker(self) -> redis.Redis:
        """A client that injects faults into the broker. The client never retries a command, so no fault is injected twice."""
        return redis.Redis(unix_socket_path=str(self.servers.valkey.socket), retry=Retry(NoBackoff(), 0))

    @cached_property
    def env(self) -> dict[str, str]:
        """The environment variables that all services have."""
        return {
            **self.servers.env,
            **self.timers,
            "MONEYBACK_PUBLIC_URL": self.url,
            "MONEYBACK_DESK_URL": self.desk_url,
            "MONEYBACK_DESK_TOTP_REQUIRED": "false",
            "MONEYBACK_SANDBOX_URL": f"http://127.0.0.1:{self.proxies['provider'].port}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        """Start every service. Wait until the web processes accept requests and the workers are ready."""
        for name in self.services:
            self.processes.start(Service(name, self._argv(name), self._env(name), grace=5.0))
        for name, port in (("web", self.web_port), ("desk", self.desk_port)):
            if name in self.services:
                self.processes.wait_for(name, partial(self._listens, port), seconds=60)
        for name in WORKERS:
            self.processes.wait_for(name, partial(self._is_ready, name), seconds=60)

    def pid(self, name: str) -> int | None:
        """Return the pid of a service's main process, or None if the service does not run. The process group has the same id."""
        return self.processes.pids.get(name)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to every process of a service. Return False if the service does not run."""
        pid = self.pid(name)
        with suppress(ProcessLookupError):
            if pid is not None:
                os.killpg(pid, number)
                return True
        return False

    def children(self, name: str) -> list[int]:
        """Return the pids of the child processes of a service's main process."""
        with suppress(psutil.NoSuchProcess):
            if pid := self.pid(name):
                return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []

    def _argv(self, name: str) -> tuple[str, ...]:
        launch = (sys.executable, "-m", "tests.chaos.launch")
        match name:
            case "sandbox":
                folder = str(self.data_dir.path / "sandbox")
                webhook_url = f"{self.url}/v1/webhooks/sandbox"
                options = ("--unix", str(self.provider_socket), "--webhooks", webhook_url, *self.sandbox)
                return (sys.executable, "-m", "console.sandbox", folder, *options)
            case "worker1" | "worker2":
                return (*launch, "worker", "-c", "2", "--name", f"{name}@chaos")
            case "web":
                return (*launch, "web", "--port", str(self.web_port))
            case "desk":
                return (*launch, "desk", "--port", str(self.desk_port))
            case "beat":
                return (*launch, "beat", "--schedule", str(self.data_dir.path / "beat"))
        return (*launch, name)

    def _env(self, name: str) -> dict[str, str]:
        env = self.env | {ARMED_POINTS: str(self.armed_points / name)}
        if name in (*WORKERS, "relay", "desk"):
            password = quote(self.data_dir.secrets.app_password, safe="")
            address = f"127.0.0.1:{self.proxies['database'].port}"
            env["MONEYBACK_DATABASE_URL"] = f"postgresql://moneyback:{password}@{address}/moneyback"
            env["MONEYBACK_BROKER_URL"] = f"redis://127.0.0.1:{self.proxies['broker'].port}/0"
        return env

    def _is_ready(self, name: str) -> bool:
        return b" ready" in self.data_dir.log(name).read_bytes()

    def _listens(self, port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True


@contextmanager
def running(
    timers: Mapping[str, str], sandbox: tuple[str, ...] = (), services: tuple[str, ...] = SERVICES
) -> Iterator[Installation]:
    """Yield a running installation in a temporary data directory. If the block raises an error, keep the directory."""
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/var/tmp"))
    folder.chmod(0o711)  # if root runs the test, the servers run as another user, who needs access
    data_dir = DataDir(folder / "c")
    try:
        with _started(data_dir, timers, sandbox, services) as installation:
            yield installation
    except Exception as error:
        error.add_note(f"The log files are in {data_dir.logs}.")
        raise
    except BaseException:  # Ctrl-C
        _remove(data_dir)
        raise
    _remove(data_dir)


@contextmanager
def _started(
    data_dir: DataDir, timers: Mapping[str, str], sandbox: tuple[str, ...], services: tuple[str, ...]
) -> Iterator[Installation]:
    with data_dir.lock(), Servers(data_dir) as servers, ExitStack() as proxies:
        for where, seconds in RESTART.items():
            proxies.enter_context(patch(where.replace(":", "."), seconds))
        owner = connect(servers.postgres.owner_url)
        migrate.migrate(owner)
        owner.dispose()
        installation = Installation(
            data_dir=data_dir,
            servers=servers,
            processes=Supervisor(data_dir),
            proxies={
                "database": proxies.enter_context(Proxy(data_dir.run / ".s.PGSQL.5432", postgres_frame_length)),
                "broker": proxies.enter_context(Proxy(servers.valkey.socket, redis_frame_length)),
                "provider": proxies.enter_context(Proxy(data_dir.path / "sandbox.sock", len)),
            },
            timers=timers,
            sandbox=sandbox,
            web_port=free_port(),
            desk_port=free_port(),
            services=services,
        )
        for proxy in installation.proxies.values():
            # A proxy sends each frame as one packet. Without TCP_NODELAY, it waits until the last packet is acknowledged.
            proxy._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with installation.processes:
                installation.start()
                try:
                    yield installation
                finally:
                    for name in services:
                        installation.signal(name, signal.SIGCONT)
                    for proxy in installation.proxies.values():
                        proxy.thaw()
        finally:
            installation.records.engine.dispose()
            installation.broker.close()


def _remove(data_dir: DataDir) -> None:
    data_dir.clean()
    data_dir.path.parent.rmdir()
