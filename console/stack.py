"""Every part as a process: the list is the architecture. `demo` runs those it needs, `up` runs them all."""

import secrets
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.home import Home
from console.processes import Part
from console.servers import Servers


def free_port(wanted: int = 0) -> int:
    """This port of the loopback address, or the next one that nobody listens on."""
    for port in range(wanted, wanted + 100) if wanted else [0]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    return free_port()


@dataclass(frozen=True)
class Stack:
    """The parts of one home, wired to its servers."""

    home: Home
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
        """Where the pages are."""
        return f"http://127.0.0.1:{self.web}"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox answers."""
        return f"http://127.0.0.1:{self.sandbox}"

    @property
    def env(self) -> dict[str, str]:
        """What every part has to be told."""
        return {
            **self.servers.env,
            "MONEYBACK_PUBLIC_URL": self.public_url,
            "MONEYBACK_SANDBOX_URL": self.sandbox_url,
            "MONEYBACK_SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
            "MONEYBACK_MAILBOX_PAGE": "true",
            "MONEYBACK_FLOWER_LOGIN": self.flower_login,
            "PYTHONUNBUFFERED": "1",
            **self.timers,
        }

    def part(self, name: str, *options: str) -> Part:
        """One part, by its verb."""
        words = {
            "web": ("--port", str(self.web)),
            "desk": ("--port", str(self.desk)),
            "flower": ("--port", str(self.flower)),
            "sandbox": ("--port", str(self.sandbox), "--folder", str(self.home.path / "sandbox")),
            "beat": ("--schedule", str(self.home.path / "beat")),
        }.get(name, ())
        return Part(name, (sys.executable, "-P", "-m", "console", name, *words, *options), self.env)

    def parts(self, names: Sequence[str]) -> dict[str, Part]:
        """These parts, by name; the sandbox tells what happens there to the web, if that is one of them."""
        told = ("--webhooks", f"{self.public_url}/v1/webhooks/sandbox") if "web" in names else ()
        return {name: self.part(name, *(told if name == "sandbox" else ())) for name in names}

    def answers(self, part: str, path: str = "/") -> bool:
        """Whether this part's page answers."""
        port = {"web": self.web, "desk": self.desk, "sandbox": self.sandbox}[part]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004  # OK

    def flower_listens(self) -> bool:
        """Whether Flower answers; its pages ask for the login."""
        with socket.create_connection(("127.0.0.1", self.flower), 1):
            return True
