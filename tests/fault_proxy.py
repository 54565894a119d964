"""A fault-injecting proxy between a client and a server. It drops the frames that a test chooses."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

FrameLength = Callable[[bytes], int]
"""A function that returns the length of the first frame in the bytes, or 0 if the frame is incomplete."""


def redis_frame_length(data: bytes) -> int:
    """Return the length of the first value in the bytes, in the Redis protocol, version 2 or 3."""
    at = data.find(b"\r\n") + 2
    if at == 1:
        return 0
    kind, head = data[:1], data[1 : at - 2]
    if kind in b"$=!":
        at += int(head) + 2 if int(head) >= 0 else 0
        return at if len(data) >= at else 0
    if kind in b"*~>%":
        for _ in range(int(head) * (2 if kind == b"%" else 1)):
            size = redis_frame_length(data[at:])
            if not size:
                return 0
            at += size
    return at


def postgres_frame_length(data: bytes) -> int:
    """Return the length of the first message in the bytes, in PostgreSQL's protocol, version 3."""
    if len(data) == 1:
        return 1  # the response to an SSLRequest: one byte, without a length
    head = 1 if data[0] else 0  # the first messages of a connection start with their length, whose first byte is 0
    size = head + int.from_bytes(data[head : head + 4])
    return size if len(data) >= max(size, head + 4) else 0


class Loss:
    """One injected fault: the proxy drops the frame that contains the given bytes, and closes the connection."""

    def __init__(self, request: bytes, response: bytes | None) -> None:
        self.request = request
        self.response = response
        self.happened = threading.Event()

    def applies_to(self, request: bytes, response: bytes | None) -> bool:
        """Return whether the proxy drops this frame. A loss applies to one frame only."""
        if self.happened.is_set() or self.request not in request:
            return False
        if (response is None) != (self.response is None) or (self.response or b"") not in (response or b""):
            return False
        self.happened.set()
        return True


class ProxiedConnection:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.request = b""  # the client's frames since the server's last response
        self.unanswered: list[bytes] = []  # the client's frames whose responses were not forwarded yet
        self.is_flowing = threading.Event()
        self.is_flowing.set()

    def close(self) -> None:
        self.is_flowing.set()
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # close() alone does not wake the thread that reads from the socket


class Proxy:
    """Listens on a port of 127.0.0.1, and forwards whole frames to a Unix socket and back."""

    def __init__(self, server: Path, frame_length: FrameLength) -> None:
        self._server = str(server)
        self._frame_length = frame_length
        self._connections: list[ProxiedConnection] = []
        self._losses: list[Loss] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def lose(self, *, request: bytes, response: bytes | None = None) -> Loss:
        """Drop the next request that contains ``request``.

        If ``response`` is given, forward all requests. Drop the first response with the bytes ``response`` to a request with
        the bytes ``request``.
        """
        loss = Loss(request, response)
        self._losses.append(loss)
        return loss

    def is_answered(self, request: bytes) -> bool:
        """Return whether the responses to all requests that contain ``request`` were forwarded.

        The server must send one response for each request.
        """
        return not any(request in frame for connection in self._connections for frame in connection.unanswered)

    def freeze(self) -> None:
        """Stop forwarding on all connections that are open now. Later connections work."""
        for connection in tuple(self._connections):
            connection.is_flowing.clear()

    def thaw(self) -> None:
        """Forward again, first the bytes that arrived while the connections were frozen."""
        for connection in tuple(self._connections):
            connection.is_flowing.set()

    def close_all(self) -> None:
        """Close every open connection."""
        for connection in tuple(self._connections):
            connection.close()

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.close_all()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._server)
                except OSError:  # the server is down, so close the client's connection
                    server.close()
                    client.close()
                    continue
                connection = ProxiedConnection(client, server)
                self._connections.append(connection)
                self._run(self._serve, connection)

    def _serve(self, connection: ProxiedConnection) -> None:
        back = threading.Thread(
            target=self._forward, args=(connection, connection.server, connection.client), daemon=True
        )
        back.start()
        self._forward(connection, connection.client, connection.server)
        back.join()
        self._connections.remove(connection)
        connection.client.close()
        connection.server.close()

    def _forward(self, connection: ProxiedConnection, source: socket.socket, target: socket.socket) -> None:
        buffer = b""
        with suppress(OSError):
            while data := source.recv(65_536):
                buffer += data
                while size := self._frame_length(buffer) if buffer else 0:
                    frame, buffer = buffer[:size], buffer[size:]
                    connection.is_flowing.wait()
                    is_response = source is connection.server
                    if self._is_lost(connection, frame, is_response=is_response):
                        break
                    if not is_response:
                        connection.unanswered.append(frame)
                    target.sendall(frame)
                    if is_response and connection.unanswered:
                        connection.unanswered.pop(0)
                else:
                    continue
                break
        connection.is_flowing.wait()  # a connection is not closed while it is frozen
        connection.close()

    def _is_lost(self, connection: ProxiedConnection, frame: bytes, *, is_response: bool) -> bool:
        if is_response:
            request, connection.request = connection.request, b""
            return any(loss.applies_to(request, frame) for loss in self._losses)
        connection.request += frame
        return any(loss.applies_to(frame, None) for loss in self._losses)
