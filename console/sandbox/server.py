"""Runs the HTTP API and the webhook sender of the sandbox in one process."""

import asyncio
import socket
from asyncio import Transport
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from console.sandbox.app import App
from console.sandbox.behaviours import Times
from console.sandbox.fault_injection import FaultInjector
from console.sandbox.ledger import Ledger
from console.sandbox.webhooks import Webhooks, WebhookSender

KEEP_ALIVE = 75  # seconds; longer than clients keep unused connections, so that the client closes a connection first
BACKLOG = 1024  # the maximum number of waiting connections; many wait if all workers start at the same time


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with a way to abort the connection of a call."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # the signature of the parent class
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
    fault_injector: FaultInjector | None = None,
    missing_permissions: Collection[str] = (),
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes any free port; ``announce`` is called with the address."""
    times = times or Times()
    ledger = Ledger(folder, times, capped=capped, sends_webhooks=webhooks is not None)
    with closing(ledger), _listening(host, port, unix) as listener:
        config = uvicorn.Config(
            App(ledger, times, fault_injector or FaultInjector(), missing_permissions),
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,  # second; the server does not wait longer for calls that hang on purpose
        )
        announce(f"unix://{unix}" if unix else f"http://{host}:{listener.getsockname()[1]}")
        sender = WebhookSender(webhooks, ledger, times) if webhooks else None
        uvloop.run(_run(uvicorn.Server(config), listener, sender))


async def _run(server: uvicorn.Server, listener: socket.socket, sender: WebhookSender | None) -> None:
    """Run the API and the webhook sender. If the sender fails, the server also ends, so that the failure is visible."""
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(sender.run()) if sender else None
        await server.serve(sockets=[listener])
        if sending:
            sending.cancel()


def _listening(host: str, port: int, unix: Path | None) -> socket.socket:
    if unix is None:
        return socket.create_server((host, port), backlog=BACKLOG)
    # A killed sandbox may have left its socket. No running sandbox uses the socket, because it would have locked the journal.
    unix.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(unix))
    listener.listen(BACKLOG)
    return listener
