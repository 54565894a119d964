"""An HTTP server for the fake providers, with faults that a test selects."""

import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class HttpRequest:
    """A request that the server received."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """The headers, with lower-case names."""
    body: bytes


@dataclass(frozen=True)
class HttpResponse:
    """A response of a fake provider."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[], HttpResponse]
"""A function that carries out the request and returns the response."""


class FaultyServer:
    """An HTTP server that records the requests. `fault` decides how the server sends each response."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.requests: list[HttpRequest] = []
        self.fault: Fault = no_fault
        self.closing = Event()
        self._answer = answer
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request at a time, so requests cannot overlap."""
        with self._lock:
            self.requests.append(request)
            return self._answer(request)


class ClientConnection:
    """The connection to the client."""

    def __init__(self, handler: BaseHTTPRequestHandler, closing: Event) -> None:
        self._handler = handler
        self.closing = closing
        self.method = handler.command
        self.path = urlsplit(handler.path).path

    def send(self, response: HttpResponse, *, length: int | None = None, pause: float = 0.0) -> None:
        self._handler.send_response(response.status)
        for name, value in response.headers.items():
            self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(len(response.body) if length is None else length))
        self._handler.end_headers()
        if not pause:
            self._handler.wfile.write(response.body)
            return
        for byte in response.body:
            self._handler.wfile.write(bytes([byte]))
            if self.closing.wait(pause):
                return

    def reset(self) -> None:
        """Reset the connection, as after a crash of the machine. Unread bytes are lost."""
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
        connection.close()

    def close(self) -> None:
        self._handler.close_connection = True


Fault = Callable[[ClientConnection, Answer], None]


# A fault with ``after`` in its name first carries out the request. ``reset_before`` does not carry it out.


def no_fault(client: ClientConnection, answer: Answer) -> None:
    client.send(answer())


def reset_before(client: ClientConnection, answer: Answer) -> None:  # noqa: ARG001
    client.reset()


def reset_after(client: ClientConnection, answer: Answer) -> None:
    answer()
    client.reset()


def hang_after(client: ClientConnection, answer: Answer) -> None:
    answer()
    client.closing.wait()
    client.close()


def drip_after(client: ClientConnection, answer: Answer) -> None:
    """Send the response byte by byte. No socket timeout detects this, because each byte restarts the timeout."""
    client.send(answer(), pause=0.05)
    client.close()


def cut_short_after(client: ClientConnection, answer: Answer) -> None:
    response = answer()
    client.send(HttpResponse(response.status, response.body[:-5], response.headers), length=len(response.body))
    client.close()


def oversize_after(client: ClientConnection, answer: Answer) -> None:
    response = answer()
    client.send(HttpResponse(response.status, response.body + b" " * 4 * 1024 * 1024, response.headers))


def garbage_after(client: ClientConnection, answer: Answer) -> None:
    client.send(HttpResponse(answer().status, b'\xff{"id": ["<'))


def empty_after(client: ClientConnection, answer: Answer) -> None:
    client.send(HttpResponse(answer().status))


AFTER_CARRYING_OUT: tuple[Fault, ...] = (
    reset_after,
    hang_after,
    drip_after,
    cut_short_after,
    oversize_after,
    garbage_after,
    empty_after,
)


def responds_with(response: HttpResponse, *, carries_out: bool = False) -> Fault:
    """Return a fault that always sends ``response``. With ``carries_out``, it carries out the request first."""

    def fault(client: ClientConnection, answer: Answer) -> None:
        if carries_out:
            answer()
        client.send(response)

    return fault


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = HttpRequest(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
            with suppress(OSError):  # the client may have closed the connection
                server.fault(ClientConnection(self, server.closing), lambda: server.answer(request))

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server requires these names

        def finish(self) -> None:
            with suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    return Handler
