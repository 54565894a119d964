"""A fault-injecting proxy between a client and a server: it loses the frames that a test names."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

Frames = Callable[[bytes], int]
"""Returns the length of the first frame in the bytes; 0 if the frame is incomplete."""


def resp(data: bytes) -> int:
    """Return the length of the first value of the Redis protocol, versions 2 and 3."""
    at = data.find(b"\r\n") + 2
    if at == 1:
        return 0
    kind, head = data[:1], data[1 : at - 2]
    if kind in b"$=!":
        at += int(head) + 2 if int(head) >= 0 else 0
        return at if len(data) >= at else 0
    if kind in b"*~>%":
        for _ in range(int(head) * (2 if kind == b"%" else 1)):
            size = resp(data[at:])
            if not size:
                return 0
            at += size
    return at


def postgres(data: bytes) -> int:
    """Return the length of the first message of PostgreSQL's protocol, version 3."""
    if len(data) == 1:
        return 1  # the response to an SSLRequest: one byte, without a length
    head = 1 if data[0] else 0  # the first messages of a connection have no type byte, and a length below 2^24
    size = head + int.from_bytes(data[head : head + 4])
    return size if len(data) >= max(size, head + 4) else 0


class Cut:
    """One loss: the frame with the given bytes is dropped, and its connection ends."""

    def __init__(self, asked: bytes, answered: bytes | None) -> None:
        self.asked = asked
        self.answered = answered
        self.made = threading.Event()

    def is_here(self, asked: bytes, answer: bytes | None) -> bool:
        if self.made.is_set() or self.asked not in asked:
            return False
        if (answer is None) != (self.answered is None) or (self.answered or b"") not in (answer or b""):
            return False
        self.made.set()
        return True


class Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.asked = b""  # the frames since the last response
        self.flows = threading.Event()
        self.flows.set()

    def close(self) -> None:
        self.flows.set()
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # close() alone does not wake the thread that reads from the socket


class Proxy:
    """Listens on a port of 127.0.0.1, and forwards whole frames to a Unix socket and back."""

    def __init__(self, server: Path, frames: Frames) -> None:
        self._server = str(server)
        self._frames = frames
        self._links: list[Link] = []
        self._cuts: list[Cut] = []
        self._threads: list[threading.Thread] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]

    def cut(self, *, asked: bytes, answered: bytes | None = None) -> Cut:
        """Lose the next request that contains ``asked``; with ``answered``, the next such response to such a request."""
        cut = Cut(asked, answered)
        self._cuts.append(cut)
        return cut

    def freeze(self) -> None:
        """Stop forwarding on all open connections; new connections work."""
        for link in tuple(self._links):
            link.flows.clear()

    def thaw(self) -> None:
        """Forward again, including the bytes that were held back."""
        for link in tuple(self._links):
            link.flows.set()

    def close_all(self) -> None:
        """Close every open connection."""
        for link in tuple(self._links):
            link.close()

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.close_all()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._door.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._server)
                except OSError:  # the server is down, so the client's connection is closed, too
                    server.close()
                    client.close()
                    continue
                link = Link(client, server)
                self._links.append(link)
                self._run(self._serve, link)

    def _serve(self, link: Link) -> None:
        back = threading.Thread(target=self._pass_on, args=(link, link.server, link.client), daemon=True)
        back.start()
        self._pass_on(link, link.client, link.server)
        back.join()
        self._links.remove(link)
        link.client.close()
        link.server.close()

    def _pass_on(self, link: Link, source: socket.socket, target: socket.socket) -> None:
        waiting = b""
        with suppress(OSError):
            while data := source.recv(65_536):
                waiting += data
                while size := self._frames(waiting) if waiting else 0:
                    frame, waiting = waiting[:size], waiting[size:]
                    link.flows.wait()
                    if self._is_lost(link, frame, answer=source is link.server):
                        break
                    target.sendall(frame)
                else:
                    continue
                break
        link.flows.wait()  # a frozen connection does not end either
        link.close()

    def _is_lost(self, link: Link, frame: bytes, *, answer: bool) -> bool:
        if answer:
            asked, link.asked = link.asked, b""
            return any(cut.is_here(asked, frame) for cut in self._cuts)
        link.asked += frame
        return any(cut.is_here(frame, None) for cut in self._cuts)
