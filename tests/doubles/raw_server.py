"""A raw TCP server that sends invalid, slow or incomplete responses."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

THREAD_TIMEOUT = 20.0  # seconds; a test waits this long only if it fails


@contextmanager
def raw_server(respond: Callable[[socket.socket], object], *, responds_first: bool = False) -> Iterator[str]:
    """Yield the URL of a server that reads a request and passes the connection to `respond`.

    With `responds_first`, the server does not wait for a request.
    """

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            Thread(target=serve_connection, args=(connection,), daemon=True).start()

    def serve_connection(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not responds_first:
                connection.recv(65536)
            respond(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(THREAD_TIMEOUT)


def http_response(status: int, document: object, *headers: str) -> bytes:
    """Return the bytes of a response. A document becomes JSON. If ``document`` is already bytes, it stays unchanged."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} Fine", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def sends(response: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(response)


def drips(response: bytes, pause: float) -> Callable[[socket.socket], None]:
    """Return a handler that sends a response byte by byte. Each byte restarts the timeout of the client's socket."""

    def drip(connection: socket.socket) -> None:
        for byte in response:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return drip


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Flood:
    """A handler that sends an endless response. `sent` is the number of bytes that were sent."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while True:
            self.sent += connection.send(b" " * 65536)


SLOW_RESPONSES = {
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b" " * 300,
    "headers": b"HTTP/1.1 200 OK\r\nX-Patience: " + b"x" * 300,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 50,
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
}
"""Responses by name. The tests send these responses byte by byte."""

UNREADABLE = {
    "an empty body": http_response(200, b""),
    "garbage": http_response(200, b"{hm?"),
    "no UTF-8": http_response(200, b'{"id":"\xff"}'),
    "nested without end": http_response(200, b"[" * 100_000),
    "a list": http_response(200, [{}]),
    "a number of 5000 digits": http_response(200, b'{"amount":' + b"9" * 5000 + b"}"),
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "a refusal without a code": http_response(400, {"error": "no"}),
    "a refusal that is a page": http_response(400, b"<html>"),
    "a request timeout": http_response(408, {"error": {"code": "timeout"}}),
    "the status 425": http_response(425, {"error": {"code": "early"}}),
    "the status 429": http_response(429, {"error": {"code": "rate_limit"}}),
    "a server's error": http_response(503, {"error": {"code": "refund_declined"}}),
    "another protocol": b"220 mail.example ready\r\n",
    "a status only": b"HTTP/1.1 200 OK\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n{}",
    "a chunk without a valid size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    "no bytes": b"",
}
"""Responses by name. No adapter can read the outcome of a refund from these responses."""
