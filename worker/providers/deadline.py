"""Enforces one deadline for a whole HTTP call: resolve the host, connect, TLS handshake, send, and read the whole response.

The timeout of a socket does not limit a whole call. The timeout restarts with each received packet and each tried address.
The DNS resolver has no timeout. ``time_limit()`` therefore sets one deadline for all calls of the current thread inside its
``with`` block.

The private classes change how http.client, urllib3 and requests wait. Each docstring says what a class changes and why.
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

CONNECT_SECONDS = 5.0  # a healthy provider accepts a connection much faster. The reply may take until the deadline
MAX_BODY_BYTES = 2 * 1024 * 1024  # the maximum size of a reply; a page of 100 refunds has only about 200 KB
# A firewall drops a connection that was idle for minutes. A refund that is sent on such a connection gets no reply.
# Keep-alive packets prevent this.
SOCKET_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if hasattr(socket, "TCP_KEEPIDLE"):
    SOCKET_OPTIONS.append(
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    )  # idle seconds before the first keep-alive packet
NO_RETRIES = Retry(total=False, redirect=False)  # the caller decides whether to call again

_deadline: ContextVar[float] = ContextVar("deadline")
_activity: ContextVar["NetworkActivity"] = ContextVar("activity")


@dataclass
class NetworkActivity:
    """The network activity of one thread inside ``record_network_activity()``."""

    bytes_sent: bool = False
    connection_failed: bool = False

    @property
    def nothing_was_sent(self) -> bool:
        """True if certainly no host received anything: a connection failed, and no byte was sent."""
        return self.connection_failed and not self.bytes_sent


@contextmanager
def record_network_activity() -> Iterator[NetworkActivity]:
    """Record whether the calls inside the ``with`` block could have reached a host."""
    activity = NetworkActivity()
    token = _activity.set(activity)
    try:
        yield activity
    finally:
        _activity.reset(token)


class TooLargeError(HTTPError):
    """The reply is larger than any valid reply, so it was not read to its end."""


def record_connection_failure() -> None:
    """Record that this thread could not connect to a host."""
    _activity.get(NetworkActivity()).connection_failed = True


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit all calls of this thread inside the ``with`` block to ``seconds``. In nested blocks the earlier deadline applies."""
    deadline = monotonic() + seconds
    token = _deadline.set(min(_deadline.get(deadline), deadline))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining_seconds() -> float:
    """Return the seconds until the deadline. Raise TimeoutError after the deadline, LookupError outside ``time_limit()``."""
    if (seconds := _deadline.get() - monotonic()) <= 0:
        raise TimeoutError
    return seconds


def is_expired() -> bool:
    """Return whether the deadline has passed. A caller that has just caught an error uses this to find the cause."""
    return _deadline.get() <= monotonic()


def create_session(connections: int) -> requests.Session:
    """Create a thread-safe session that does not retry, does not follow redirects and keeps no cookies.

    ``connections`` is the maximum number of connections to each host. A call raises requests.Timeout after
    the deadline, and another requests.RequestException if the connection fails or the reply is too large. The session
    ignores the environment: it uses no proxy and no netrc.
    """
    session = _Session()
    session.trust_env = False
    session.headers["User-Agent"] = "Moneyback"
    for scheme in ("http://", "https://"):
        session.mount(scheme, _DeadlineAdapter(pool_maxsize=connections, pool_block=True, max_retries=NO_RETRIES))
    return session


def read_body(response: BaseHTTPResponse) -> bytes:
    """Return the whole decoded body, or raise TooLargeError. After TooLargeError the connection is not used again."""
    body = bytearray()
    try:
        with response:
            while chunk := response.read(64 * 1024, decode_content=True):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise TooLargeError(TooLargeError.__doc__)
    finally:
        response.release_conn()  # the pool counts even a closed connection as used until this call
    return bytes(body)


class _DeadlineReader(io.RawIOBase):
    """A reader of a socket. No read continues after the deadline. A socket alone applies its timeout to each packet."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock

    def readable(self) -> bool:
        """Return True, because io.RawIOBase is not readable by default."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        """Read once. The timeout is the time until the deadline."""
        self._sock.settimeout(remaining_seconds())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the wrapped reader as well, because the socket stays open until its reader is closed."""
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """A response that must be complete before the deadline. http.client limits each read, but not all reads together."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        """Put ``_DeadlineReader`` between http.client's buffer and the socket."""
        super().__init__(sock, debuglevel, method)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _DeadlineConnection(HTTPConnection):
    """A connection that has until the deadline to resolve the host, connect and send. It records whether anything was sent."""

    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that accepts the connection.

        urllib3 applies its timeout to each address of a host, and has no timeout for the resolver. Here one deadline
        applies to the resolver and all addresses. The TLS handshake gets the time until the deadline as its timeout.
        """
        failure: OSError = OSError("the host has no address")
        try:
            for family, kind, protocol, _, address in _resolve(self._dns_host, self.port):
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
        record_connection_failure()
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} did not accept the connection in time.") from failure
        raise NewConnectionError(self, f"{self.host} cannot be reached: {failure}") from failure

    def send(self, data: "ReadableBuffer") -> None:  # type: ignore[override]  # no request has a file as its body
        """Send. The timeout is the time until the deadline; http.client would use the timeout of the connection attempt."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(remaining_seconds())
        _activity.get(NetworkActivity()).bytes_sent = True
        super().send(data)


class _DeadlineHttpsConnection(_DeadlineConnection, HTTPSConnection):
    """A ``_DeadlineConnection`` with TLS."""


class _DeadlinePool(HTTPConnectionPool):
    """A pool that waits for a free connection until the deadline at most. urllib3 alone would wait without a limit."""

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002
        """Wait for a free connection until the deadline. The library ``requests`` sets no timeout for this wait."""
        return super()._get_conn(remaining_seconds())


class HttpPool(_DeadlinePool):
    """Plain HTTP connections to one host."""

    ConnectionCls = _DeadlineConnection


class _HttpsPool(_DeadlinePool, HTTPSConnectionPool):
    """HTTPS connections to one host."""

    ConnectionCls = _DeadlineHttpsConnection


class _DeadlineAdapter(HTTPAdapter):
    """An adapter that applies the deadline to a whole call.

    The library ``requests`` has a separate limit for each connect and each read.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Make the library ``requests`` use the pools of this module."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": _HttpsPool}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the deadline applies to the body as well
        timeout: object = None,  # noqa: ARG002 - time_limit() sets the deadline
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send the request and read the whole body.

        By default, the library ``requests`` reads the body later, without a limit for the size or the time, and some
        errors of urllib3 and of sockets reach the caller. In this adapter every failure is a requests.RequestException, and
        a failure after the deadline is a requests.Timeout.

        Because the body is replaced, the library finds no cookies in the response.
        """
        try:
            response = super().send(request, stream=True, verify=verify, cert=cert, proxies=proxies)
            response.raw = io.BytesIO(read_body(response.raw))
        except (requests.RequestException, HTTPError, OSError) as error:
            if is_expired():
                raise requests.Timeout("The call did not end before its deadline.", request=request) from error
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(
                f"The connection failed: {type(error).__name__}.", request=request
            ) from error
        return response


class _Session(requests.Session):
    """A session that never follows redirects, because a refund must not be sent to another address."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that the library ``requests`` returns a redirect like any other reply."""


def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """Resolve the name in a separate thread, because the resolver has no timeout. Wait for the thread only until the deadline."""
    addresses: Future[list[tuple[Any, ...]]] = Future()

    def call_resolver() -> None:
        try:
            addresses.set_result([*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            addresses.set_exception(error)

    Thread(target=call_resolver, daemon=True).start()
    return addresses.result(remaining_seconds())
