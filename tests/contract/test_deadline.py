"""A call to a provider ends at its deadline. A request is not sent again and is not redirected."""

import gzip
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from urllib3.exceptions import HTTPError

from tests.doubles.raw_server import SLOW_RESPONSES, Flood, drips, http_response, raw_server, resets, sends
from worker.providers import deadline
from worker.providers.deadline import (
    MAX_BODY_BYTES,
    NO_RETRIES,
    HttpPool,
    create_session,
    is_expired,
    read_body,
    remaining_seconds,
    time_limit,
)

TEST_TIMEOUT = 20.0  # seconds; only reached if a test fails
SHORT_TIMEOUT = 0.4  # seconds; for calls whose response comes too late
MAX_CALL_SECONDS = 1.5  # the maximum duration of a call with SHORT_TIMEOUT, even on a slow machine


def get(url: str, seconds: float = TEST_TIMEOUT, **options: Any) -> requests.Response:
    with time_limit(seconds):
        return create_session(1).get(url, **options)


@contextmanager
def times_out() -> Iterator[None]:
    """Check that the code in the `with` block raises a timeout within MAX_CALL_SECONDS."""
    began = time.monotonic()
    with pytest.raises(requests.Timeout):
        yield
    assert time.monotonic() - began < MAX_CALL_SECONDS


# A call ends at its deadline


@pytest.mark.parametrize("response", SLOW_RESPONSES.values(), ids=SLOW_RESPONSES.keys())
def test_a_slow_response_times_out(response: bytes) -> None:
    with raw_server(drips(response, SHORT_TIMEOUT / 10)) as url, times_out():
        get(url, SHORT_TIMEOUT)


def test_a_missing_response_times_out() -> None:
    done = Event()
    with raw_server(lambda _: done.wait(TEST_TIMEOUT)) as url, times_out():
        get(url, SHORT_TIMEOUT)
    done.set()


def test_sending_a_body_times_out() -> None:
    """The server stops reading, so sending the body blocks."""
    done = Event()
    with raw_server(lambda _: done.wait(TEST_TIMEOUT)) as url, times_out(), time_limit(SHORT_TIMEOUT):
        create_session(1).post(url, data=b" " * 50_000_000)
    done.set()


def test_a_hanging_name_lookup_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(TEST_TIMEOUT) and [])
    with times_out():
        get("http://provider.example/", SHORT_TIMEOUT)
    done.set()


def test_a_host_with_many_hanging_addresses_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with full_listener() as address:
        resolve(monkeypatch, *[address] * 10)
        with times_out():
            get("http://provider.example/", SHORT_TIMEOUT)


def test_after_a_hanging_address_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "CONNECT_SECONDS", 0.1)
    with full_listener() as hanging, raw_server(sends(http_response(200, {}))) as url:
        resolve(monkeypatch, hanging, ("127.0.0.1", int(url.rpartition(":")[2])))
        assert get("http://provider.example/").json() == {}


def test_waiting_for_a_free_connection_times_out() -> None:
    connected, done = Event(), Event()

    def hold(_: object) -> None:
        connected.set()
        done.wait(TEST_TIMEOUT)

    with raw_server(hold) as url, ThreadPoolExecutor(1) as threads:
        session = create_session(1)

        def use_the_connection() -> None:
            with time_limit(TEST_TIMEOUT), pytest.raises(requests.ConnectionError):
                session.get(url)

        first_call = threads.submit(use_the_connection)
        assert connected.wait(TEST_TIMEOUT)
        with times_out(), time_limit(SHORT_TIMEOUT):
            session.get(url)
        done.set()
        first_call.result()


def test_a_slow_tls_handshake_times_out() -> None:
    hello = (
        b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x03" * 100
    )  # the first bytes of a TLS handshake message of 16 kB
    with raw_server(drips(hello, SHORT_TIMEOUT / 10)) as url, times_out():
        get(url.replace("http://", "https://"), SHORT_TIMEOUT)


def test_a_slow_response_over_tls_times_out(tls: "Tls") -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b" " * 300
    with tls.server(drips(response, SHORT_TIMEOUT / 10)) as url, times_out():
        get(url, SHORT_TIMEOUT, verify=str(tls.file))


def test_the_earlier_of_two_nested_deadlines_applies() -> None:
    with time_limit(1), time_limit(TEST_TIMEOUT):
        assert remaining_seconds() <= 1
    with time_limit(TEST_TIMEOUT), time_limit(1):
        assert remaining_seconds() <= 1
    with time_limit(TEST_TIMEOUT):
        with time_limit(0):
            assert is_expired()
        assert not is_expired()


def test_no_connection_is_opened_after_the_deadline() -> None:
    connections: list[socket.socket] = []
    with raw_server(connections.append) as url, times_out():
        get(url, 0)
    assert connections == []


def test_a_call_without_a_deadline_is_an_error() -> None:
    with pytest.raises(LookupError):
        create_session(1).get("http://127.0.0.1:9/")


def test_each_thread_has_its_own_deadline() -> None:
    with time_limit(TEST_TIMEOUT), ThreadPoolExecutor(1) as threads, pytest.raises(LookupError):
        threads.submit(remaining_seconds).result()


# Errors other than timeouts


@pytest.mark.parametrize("respond", [resets, sends(b""), sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")])
def test_a_broken_connection_is_not_a_timeout(respond: Callable[[socket.socket], None]) -> None:
    with raw_server(respond) as url, pytest.raises(requests.ConnectionError) as error:
        get(url)
    assert not isinstance(error.value, requests.Timeout)


def test_an_unknown_host_is_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(requests.ConnectionError, match="NewConnectionError"):
        get("http://provider.example/")


def test_an_untrusted_certificate_is_an_error(tls: "Tls") -> None:
    with tls.server(sends(http_response(200, {}))) as url:
        assert get(url, verify=str(tls.file)).json() == {}
        with pytest.raises(requests.exceptions.SSLError):
            get(url)


def test_reading_an_endless_response_stops() -> None:
    flood = Flood()
    with raw_server(flood) as url, pytest.raises(requests.ConnectionError, match="TooLargeError"):
        get(url)
    assert flood.sent < 100_000_000


def test_reading_a_decompression_bomb_stops() -> None:
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES * 20))
    compressed = sends(http_response(200, bomb, "Content-Encoding: gzip"))
    with raw_server(compressed) as url, pytest.raises(requests.ConnectionError, match="TooLargeError"):
        get(url)


FAULTS: dict[str, Callable[[socket.socket], object]] = {
    "a reset": resets,
    "a slow response": drips(SLOW_RESPONSES["a body"], SHORT_TIMEOUT / 10),
    "an endless response": Flood(),
    "half a response": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
    "invalid gzip": sends(http_response(200, b"text", "Content-Encoding: gzip")),
    "another protocol": sends(b"220 mail.example ready\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_only_connection_is_free_again_after_a_fault(fault: Callable[[socket.socket], object]) -> None:
    responses = [fault, fault, sends(http_response(200, {}))]

    def respond(connection: socket.socket) -> None:
        responses.pop(0)(connection)

    with raw_server(respond) as url:
        session = create_session(1)
        for _ in range(2):
            with time_limit(SHORT_TIMEOUT), pytest.raises(requests.RequestException):
                session.get(url)
        with time_limit(TEST_TIMEOUT):
            assert session.get(url).json() == {}


def test_a_gzip_response_is_decompressed() -> None:
    with raw_server(sends(http_response(200, gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip"))) as url:
        assert get(url).json() == {"a": 1}


# A request is not sent again and is not redirected


class _RecordingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    received: list[tuple[str, str | None, int]]
    """The path, the cookie and the client port of each request."""
    status: int

    def do_GET(self) -> None:
        self.received.append((self.path, self.headers["Cookie"], self.client_address[1]))
        self.send_response(self.status)
        for name, value in (("Location", "/elsewhere"), ("Set-Cookie", "a=b; Path=/"), ("Content-Length", "2")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def recording_server(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str | None, int]]]]:
    handler = type("Handler", (_RecordingHandler,), {"received": [], "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.received  # type: ignore[attr-defined]
        server.shutdown()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 408, 429, 500, 503])
def test_no_status_causes_a_retry_or_a_redirect(status: int) -> None:
    with recording_server(status) as (url, received):
        assert get(f"{url}/here").status_code == status
    assert [path for path, _, _ in received] == ["/here"]


def test_connections_are_reused_without_cookies() -> None:
    with recording_server() as (url, received), time_limit(TEST_TIMEOUT):
        session = create_session(1)
        for _ in range(3):
            session.get(url)
    assert [cookie for _, cookie, _ in received] == [None, None, None]
    assert len({port for _, _, port in received}) == 1


def test_a_pooled_connection_has_keepalive() -> None:
    with recording_server() as (url, _), time_limit(TEST_TIMEOUT):
        pool = HttpPool("127.0.0.1", int(url.rpartition(":")[2]), maxsize=1, block=True)
        read_body(pool.urlopen("GET", "/", retries=NO_RETRIES, preload_content=False))
        pooled = pool._get_conn()
        assert pooled.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert pooled.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        pooled.close()


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with recording_server() as (url, received):
        assert get(url).status_code == 200
    assert len(received) == 1


def test_many_threads_can_use_one_session() -> None:
    with recording_server() as (url, received), ThreadPoolExecutor(20) as threads:
        session = create_session(3)

        def get_path(number: int) -> int:
            with time_limit(TEST_TIMEOUT):
                return session.get(f"{url}/{number}").status_code

        assert list(threads.map(get_path, range(100))) == [200] * 100
    assert len({path for path, _, _ in received}) == 100
    assert len({port for _, _, port in received}) <= 3


# Without a session


def test_a_call_with_a_pool_and_no_session_ends_at_the_deadline() -> None:
    with raw_server(drips(SLOW_RESPONSES["a body"], SHORT_TIMEOUT / 10)) as url:
        pool = HttpPool("127.0.0.1", int(url.rpartition(":")[2]), maxsize=1, block=True)
        began = time.monotonic()
        with time_limit(SHORT_TIMEOUT), pytest.raises((HTTPError, OSError)):
            read_body(pool.urlopen("GET", "/", retries=NO_RETRIES, preload_content=False))
        assert time.monotonic() - began < MAX_CALL_SECONDS


# Helpers


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Resolve every host name to these addresses."""
    results = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: results)


@contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """Yield an address to which no client can connect, because its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        clients = []
        while True:
            client = socket.socket()
            clients.append(client)
            client.settimeout(0.2)
            try:
                client.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()
        for client in clients:
            client.close()


class Tls:
    """Starts servers with a self-signed certificate. A client trusts the servers if it gets the certificate file `file`."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.file = folder / "certificate.pem"
        self.file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.file)

    @contextmanager
    def server(self, respond: Callable[[socket.socket], object]) -> Iterator[str]:
        def respond_over_tls(connection: socket.socket) -> None:
            with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as tls_connection:
                tls_connection.recv(65536)
                respond(tls_connection)

        with raw_server(respond_over_tls, responds_first=True) as url:
            yield url.replace("http://", "https://")


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)
