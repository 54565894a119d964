"""The services of `demo`, `up` and `bench`, with their ports and environment variables."""

import secrets
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.data_dir import DataDir
from console.servers import Servers
from console.supervisor import Service


def free_port(preferred: int = 0) -> int:
    """Return the first free port on 127.0.0.1 that is not below `preferred`. If `preferred` is 0, return any free port."""
    for port in range(preferred, preferred + 100) if preferred else [0]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    return free_port()


@dataclass(frozen=True)
class Stack:
    """The services that use one data directory and the servers in this directory."""

    data_dir: DataDir
    servers: Servers
    timers: Mapping[str, str] = field(default_factory=dict)
    web: int = field(default_factory=lambda: free_port(8000))
    desk: int = field(default_factory=lambda: free_port(8101))
    flower: int = field(default_factory=lambda: free_port(5555))
    sandbox: int = field(default_factory=lambda: free_port(8203))
    flower_login: str = field(default_factory=lambda: f"ops:{secrets.token_urlsafe(9)}", repr=False)
    webhook_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def public_url(self) -> str:
        """Return the address of the web service."""
        return f"http://127.0.0.1:{self.web}"

    @property
    def desk_url(self) -> str:
        """Return the address of the desk."""
        return f"http://127.0.0.1:{self.desk}"

    @property
    def sandbox_url(self) -> str:
        """Return the address of the sandbox."""
        return f"http://127.0.0.1:{self.sandbox}"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment variables of every service."""
        return {
            **self.servers.env,
            "MONEYBACK_PUBLIC_URL": self.public_url,
            "MONEYBACK_DESK_URL": self.desk_url,
            "MONEYBACK_DESK_TOTP_REQUIRED": "false",  # a trial on one machine needs no second factor
            "MONEYBACK_SANDBOX_URL": self.sandbox_url,
            "MONEYBACK_SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
            "MONEYBACK_MAILBOX_PAGE": "true",
            "MONEYBACK_FLOWER_LOGIN": self.flower_login,
            "PYTHONUNBUFFERED": "1",
            **self.timers,
        }

    def service(self, name: str, *options: str) -> Service:
        """Return the service that the command `name` runs."""
        arguments = {
            "web": ("--port", str(self.web)),
            "desk": ("--port", str(self.desk)),
            "flower": ("--port", str(self.flower)),
            "sandbox": ("--port", str(self.sandbox), "--folder", str(self.data_dir.path / "sandbox")),
            "beat": ("--schedule", str(self.data_dir.path / "beat")),
        }.get(name, ())
        return Service(name, (sys.executable, "-P", "-m", "console", name, *arguments, *options), self.env)

    def services(self, names: Sequence[str]) -> dict[str, Service]:
        """Return the services with these names, by name.

        If `names` contains `sandbox` and `web`, the sandbox sends its webhooks to the web service.
        """
        webhooks = ("--webhooks", f"{self.public_url}/v1/webhooks/sandbox") if "web" in names else ()
        return {name: self.service(name, *(webhooks if name == "sandbox" else ())) for name in names}

    def answers(self, service: str, path: str = "/") -> bool:
        """Return whether a page of this service has the status 200."""
        port = {"web": self.web, "desk": self.desk, "sandbox": self.sandbox}[service]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004  # OK

    def flower_listens(self) -> bool:
        """Return whether Flower accepts connections. No page is requested, because every page needs the login."""
        with socket.create_connection(("127.0.0.1", self.flower), 1):
            return True
