"""Enforces one deadline for a whole HTTP call: resolve, connect, TLS handshake, send, and read to the end.

A socket timeout starts anew with each received packet, a resolver has no timeout, and a host with ten addresses is
tried ten times. ``time_limit()`` sets one deadline for everything that the current thread sends inside it.
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

CONNECT_SECONDS = 5.0  # a healthy provider accepts much faster; the rest of the time is for its reply
MAX_BODY_BYTES = 2 * 1024 * 1024  # a page of a hundred refunds has about 200 KB
# A firewall drops a connection that was idle for minutes, and a refund that is sent on it gets no reply.
SOCKET_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if hasattr(socket, "TCP_KEEPIDLE"):
    SOCKET_OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60))  # seconds
NO_RETRIES = Retry(total=False, redirect=False)  # the caller decides whether to call again

_deadline: ContextVar[float] = ContextVar("deadline")
_wire: ContextVar["Wire"] = ContextVar("wire")


@dataclass
class Wire:
    """Records what the calls of a thread inside ``watched()`` put on the wire."""

    sent: bool = False
    refused: bool = False

    @property
    def nobody_reached(self) -> bool:
        """Whether it is certain that no host received anything: a connection was refused, and no byte was sent."""
        return self.refused and not self.sent


@contextmanager
def watched() -> Iterator[Wire]:
    """Yields a record of whether the calls inside could have reached a host."""
    wire = Wire()
    before = _wire.set(wire)
    try:
        yield wire
    finally:
        _wire.reset(before)


class TooLargeError(HTTPError):
    """The reply is larger than any valid reply, so it was not read to its end."""


def did_not_accept() -> None:
    """Records that a host refused a connection of this thread."""
    _wire.get(Wire()).refused = True


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limits everything that this thread sends inside. In a nested call the earlier of the two deadlines holds."""
    deadline = monotonic() + seconds
    before = _deadline.set(min(_deadline.get(deadline), deadline))
    try:
        yield
    finally:
        _deadline.reset(before)


def remaining_seconds() -> float:
    """Returns the seconds until the deadline. Raises TimeoutError after it, LookupError outside of ``time_limit()``."""
    if (seconds := _deadline.get() - monotonic()) <= 0:
        raise TimeoutError
    return seconds


def is_expired() -> bool:
    """Returns whether the deadline has passed, so that it explains an error that was just caught."""
    return _deadline.get() <= monotonic()


def create_session(connections: int) -> requests.Session:
    """Creates a thread-safe session that does not retry, does not follow redirects and keeps no cookies.

    ``connections`` is the maximum for each host. A call raises requests.Timeout after the deadline, and another
    requests.RequestException when the connection fails or the reply is too large. The session ignores the
    environment: it uses no proxy and no netrc.
    """
    session = _Session()
    session.trust_env = False
    session.headers["User-Agent"] = "Moneyback"
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=connections, pool_block=True, max_retries=NO_RETRIES))
    return session


def read_body(response: BaseHTTPResponse) -> bytes:
    """Returns the whole decoded body. Raises TooLargeError, and then the connection is not used again."""
    body = bytearray()
    try:
        with response:
            while chunk := response.read(64 * 1024, decode_content=True):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise TooLargeError(TooLargeError.__doc__)
    finally:
        response.release_conn()  # even a closed connection must give its place in the pool back
    return bytes(body)


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        self._sock.settimeout(remaining_seconds())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connects to the first address that accepts. The remaining time is for the TLS handshake, if there is one."""
        failure: OSError = OSError("it has no address")
        try:
            for family, kind, protocol, _, address in _addresses(self._dns_host, self.port):
                sock = socket.socket(family, kind, protocol)
                try:
                    sock.settimeout(min(CONNECT_SECONDS, remaining_seconds()))
                    for option in SOCKET_OPTIONS:
                        sock.setsockopt(*option)
                    sock.connect(address)
                    sock.settimeout(remaining_seconds())
                except OSError as error:
                    sock.close()
                    failure = error
                else:
                    return sock
        except OSError as error:  # the name cannot be resolved
            failure = error
        did_not_accept()
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} did not accept in time.") from failure
        raise NewConnectionError(self, f"{self.host} cannot be reached: {failure}") from failure

    def send(self, data: "ReadableBuffer") -> None:  # type: ignore[override]  # requests here have no file as body
        if self.sock is None:
            self.connect()
        self.sock.settimeout(remaining_seconds())
        _wire.get(Wire()).sent = True
        super().send(data)


class _HttpsConnection(_Connection, HTTPSConnection):
    pass


class _DeadlinePool(HTTPConnectionPool):
    """Waits for a free connection no longer than until the deadline."""

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002
        return super()._get_conn(remaining_seconds())


class HttpPool(_DeadlinePool):
    """Keeps plain HTTP connections to one host."""

    ConnectionCls = _Connection


class _HttpsPool(_DeadlinePool, HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": _HttpsPool}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the deadline holds for the body as well
        timeout: object = None,  # noqa: ARG002 - time_limit() sets the deadline
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        try:
            response = super().send(request, stream=True, verify=verify, cert=cert, proxies=proxies)
            response.raw = io.BytesIO(read_body(response.raw))
        except (requests.RequestException, HTTPError, OSError) as error:
            if is_expired():
                raise requests.Timeout("The time for the call is up.", request=request) from error
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(
                f"The connection failed: {type(error).__name__}.", request=request
            ) from error
        return response


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Returns None, so that a redirect is a reply like any other: a refund is never sent to another address."""


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """Resolves the name in a thread of its own: the resolver has no timeout, so after the deadline the thread is left."""
    addresses: Future[list[tuple[Any, ...]]] = Future()

    def resolve() -> None:
        try:
            addresses.set_result([*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            addresses.set_exception(error)

    Thread(target=resolve, daemon=True).start()
    return addresses.result(remaining_seconds())
