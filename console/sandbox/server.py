import asyncio
import socket
from asyncio import Transport
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from console.sandbox.app import App
from console.sandbox.behaviours import Times
from console.sandbox.fault_injection import Flaws
from console.sandbox.ledger import Ledger
from console.sandbox.webhooks import Postman, Webhooks

IDLE = 75  # seconds; longer than clients keep unused connections, so that it is rarely us who close them
BACKLOG = 1024  # connections that may wait while all workers start at once


class Protocol(HttpToolsProtocol):
    """HTTP that can hang up in the middle of a call."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as its parent has it
        super().connection_made(transport)
        self.app_state = {"hang_up": transport.abort}


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    unix: Path | None = None,
    times: Times | None = None,
    webhooks: Webhooks | None = None,
    capped: bool = True,
    flaws: Flaws | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Answers until SIGTERM or SIGINT. Port 0 is any free one; ``announce`` hears the address once it can be called."""
    times = times or Times()
    ledger = Ledger(folder, times, capped=capped, tells=webhooks is not None)
    with closing(ledger), _listening(host, port, unix) as door:
        config = uvicorn.Config(
            App(ledger, times, flaws or Flaws()),
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=1,  # second; calls that are held on purpose need not be waited for
        )
        announce(f"unix://{unix}" if unix else f"http://{host}:{door.getsockname()[1]}")
        postman = Postman(webhooks, ledger, times) if webhooks else None
        uvloop.run(_run(uvicorn.Server(config), door, postman))


async def _run(server: uvicorn.Server, door: socket.socket, postman: Postman | None) -> None:
    """A postman who stumbles ends the server: webhooks that stop silently would look like a quiet day."""
    async with asyncio.TaskGroup() as both:
        rounds = both.create_task(postman.run()) if postman else None
        await server.serve(sockets=[door])
        if rounds:
            rounds.cancel()


def _listening(host: str, port: int, unix: Path | None) -> socket.socket:
    if unix is None:
        return socket.create_server((host, port), backlog=BACKLOG)
    unix.unlink(missing_ok=True)  # left by a sandbox that was killed: a living one would hold the journal's lock
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(unix))
    door.listen(BACKLOG)
    return door
