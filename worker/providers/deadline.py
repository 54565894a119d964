"""One deadline for a whole call: resolving, connecting, shaking hands, sending, and reading to the end.

A socket's own timeout begins anew with every drop, a resolver has none, and a host with ten addresses is tried ten
times. Here all of it ends at one moment, which ``within()`` sets for what the thread sends inside it.
"""

import http.client
import io
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

CONNECT_SECONDS = 5.0  # a provider that is up accepts in much less; the rest of the time is for its answer
LARGEST = 2 * 1024 * 1024  # bytes of an answer; a page of a hundred refunds has about 200 KB
# A firewall forgets a connection that was silent for minutes, and nobody answers the next refund that is sent on it.
OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if hasattr(socket, "TCP_KEEPIDLE"):
    OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60))  # seconds
ONCE = Retry(total=False, redirect=False)  # whether to call again is for the caller to say

_ends: ContextVar[float] = ContextVar("ends")
_wire: ContextVar["Wire"] = ContextVar("wire")


@dataclass
class Wire:
    """What became of the calls that a thread made inside ``watched()``."""

    sent: bool = False
    refused: bool = False

    @property
    def nobody_reached(self) -> bool:
        """For certain: a host was called that did not accept, and not a byte was sent to any."""
        return self.refused and not self.sent


@contextmanager
def watched() -> Iterator[Wire]:
    """Tells whether what this thread asks for inside could have reached anybody."""
    wire = Wire()
    before = _wire.set(wire)
    try:
        yield wire
    finally:
        _wire.reset(before)


class TooLargeError(HTTPError):
    """The answer is larger than any that makes sense; it was not read to its end."""


def did_not_accept() -> None:
    """A host that this thread called took no connection."""
    _wire.get(Wire()).refused = True


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What this thread sends inside ends by then. A call inside a call keeps to the earlier of the two deadlines."""
    ends = monotonic() + seconds
    before = _ends.set(min(_ends.get(ends), ends))
    try:
        yield
    finally:
        _ends.reset(before)


def left() -> float:
    """Seconds until the deadline. Raises TimeoutError when it is over, LookupError outside of ``within()``."""
    if (seconds := _ends.get() - monotonic()) <= 0:
        raise TimeoutError
    return seconds


def is_over() -> bool:
    """Whether what failed just now failed because the time was up."""
    return _ends.get() <= monotonic()


def session(connections: int) -> requests.Session:
    """For SDKs: so many connections to a host at most; retries nothing, follows nothing, keeps no cookie.

    Raises requests.Timeout when the time is up, and another requests.RequestException when the connection fails or
    the answer is too large. Threads may share it. Nothing is taken from the environment: no proxy, no netrc.
    """
    made = _Session()
    made.trust_env = False
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter(pool_maxsize=connections, pool_block=True, max_retries=ONCE))
    return made


def read(response: BaseHTTPResponse) -> bytes:
    """The whole body, unpacked. Raises TooLargeError, and then the connection is not used again."""
    body = bytearray()
    try:
        with response:
            while piece := response.read(64 * 1024, decode_content=True):
                body += piece
                if len(body) > LARGEST:
                    raise TooLargeError(TooLargeError.__doc__)
    finally:
        response.release_conn()  # closed or not: its place in the pool must not be lost
    return bytes(body)


class _Drops(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        self._sock.settimeout(left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp = io.BufferedReader(_Drops(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Any of the host's addresses; what is left of the time is for shaking hands, where there is TLS."""
        trouble: OSError = OSError("it has no address")
        try:
            for family, kind, protocol, _, address in _addresses(self._dns_host, self.port):
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.settimeout(min(CONNECT_SECONDS, left()))
                    for option in OPTIONS:
                        sock.setsockopt(*option)
                    sock.connect(address)
                    sock.settimeout(left())
                except OSError as error:
                    sock.close()
                    trouble = error
                else:
                    return sock
        except OSError as error:  # nobody knows the name
            trouble = error
        did_not_accept()
        if isinstance(trouble, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} did not accept in time.") from trouble
        raise NewConnectionError(self, f"{self.host} cannot be reached: {trouble}") from trouble

    def send(self, data: "ReadableBuffer") -> None:  # type: ignore[override]  # we send no files
        if self.sock is None:
            self.connect()
        self.sock.settimeout(left())
        _wire.get(Wire()).sent = True
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Waiting(HTTPConnectionPool):
    """A pool of which nobody waits for a connection longer than his call may last."""

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002
        return super()._get_conn(left())


class Pool(_Waiting):
    """For those who need no SDK: connections to one host, by http."""

    ConnectionCls = _Connection


class _SecurePool(_Waiting, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": _SecurePool}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the deadline is for the body, too
        timeout: object = None,  # noqa: ARG002 - the deadline is within()'s
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        try:
            response = super().send(request, stream=True, verify=verify, cert=cert, proxies=proxies)
            response.raw = io.BytesIO(read(response.raw))
        except (requests.RequestException, HTTPError, OSError) as error:
            if is_over():
                raise requests.Timeout("The time for the call is up.", request=request) from error
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(
                f"The connection failed: {type(error).__name__}.", request=request
            ) from error
        return response


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """A redirect is an answer like any other: money is not sent after it."""


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """The resolver knows no deadline, so a thread asks it, which may be left behind."""
    answer: Future[list[tuple[Any, ...]]] = Future()

    def ask() -> None:
        try:
            answer.set_result([*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except BaseException as error:  # noqa: BLE001 - the one who waits is told
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    return answer.result(left())
