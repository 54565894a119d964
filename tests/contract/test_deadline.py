"""Whatever a provider or the network does, a call ends at its deadline, and nothing is sent twice or elsewhere."""

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

PATIENCE = 20.0  # seconds; reached only when something is broken
HURRY = 0.4  # seconds; the deadline of a call that is about to be kept waiting
LATE = 1.5  # seconds; a call that ends after them has forgotten its deadline


def ask(url: str, seconds: float = PATIENCE, **options: Any) -> requests.Response:
    with time_limit(seconds):
        return create_session(1).get(url, **options)


@contextmanager
def in_time() -> Iterator[None]:
    """What happens inside runs out of time, and soon."""
    began = time.monotonic()
    with pytest.raises(requests.Timeout):
        yield
    assert time.monotonic() - began < LATE


# Ends in time


@pytest.mark.parametrize("answer", SLOW_RESPONSES.values(), ids=SLOW_RESPONSES.keys())
def test_an_answer_that_drips_in(answer: bytes) -> None:
    with raw_server(drips(answer, HURRY / 10)) as url, in_time():
        ask(url, HURRY)


def test_an_answer_that_never_comes() -> None:
    done = Event()
    with raw_server(lambda _: done.wait(PATIENCE)) as url, in_time():
        ask(url, HURRY)
    done.set()


def test_a_body_that_nobody_takes() -> None:
    """The server reads a little and then no more, so that sending blocks."""
    done = Event()
    with raw_server(lambda _: done.wait(PATIENCE)) as url, in_time(), time_limit(HURRY):
        create_session(1).post(url, data=b" " * 50_000_000)
    done.set()


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(PATIENCE) and [])
    with in_time():
        ask("http://provider.example/", HURRY)
    done.set()


def test_a_host_with_many_addresses_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_closed_door() as address:
        resolve(monkeypatch, *[address] * 10)
        with in_time():
            ask("http://provider.example/", HURRY)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "CONNECT_SECONDS", 0.1)
    with a_closed_door() as closed, raw_server(sends(http_response(200, {}))) as url:
        resolve(monkeypatch, closed, ("127.0.0.1", int(url.rpartition(":")[2])))
        assert ask("http://provider.example/").json() == {}


def test_a_pool_whose_connections_are_all_in_use() -> None:
    taken, done = Event(), Event()

    def hold(_: object) -> None:
        taken.set()
        done.wait(PATIENCE)

    with raw_server(hold) as url, ThreadPoolExecutor(1) as threads:
        shared = create_session(1)

        def occupy() -> None:
            with time_limit(PATIENCE), pytest.raises(requests.ConnectionError):
                shared.get(url)

        occupied = threads.submit(occupy)
        assert taken.wait(PATIENCE)
        with in_time(), time_limit(HURRY):
            shared.get(url)
        done.set()
        occupied.result()


def test_a_handshake_that_drips_in() -> None:
    hello = (
        b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x03" * 100
    )  # a server's greeting that is sixteen kilobytes long
    with raw_server(drips(hello, HURRY / 10)) as url, in_time():
        ask(url.replace("http://", "https://"), HURRY)


def test_an_answer_that_drips_in_by_tls(tls: "Tls") -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b" " * 300
    with tls.server(drips(answer, HURRY / 10)) as url, in_time():
        ask(url, HURRY, verify=str(tls.file))


def test_a_call_inside_a_call_keeps_to_the_earlier_deadline() -> None:
    with time_limit(1), time_limit(PATIENCE):
        assert remaining_seconds() <= 1
    with time_limit(PATIENCE), time_limit(1):
        assert remaining_seconds() <= 1
    with time_limit(PATIENCE):
        with time_limit(0):
            assert is_expired()
        assert not is_expired()


def test_when_the_time_is_up_nothing_is_sent() -> None:
    heard: list[socket.socket] = []
    with raw_server(heard.append) as url, in_time():
        ask(url, 0)
    assert heard == []


def test_who_sets_no_deadline_is_told() -> None:
    with pytest.raises(LookupError):
        create_session(1).get("http://127.0.0.1:9/")


def test_each_thread_has_a_deadline_of_its_own() -> None:
    with time_limit(PATIENCE), ThreadPoolExecutor(1) as threads, pytest.raises(LookupError):
        threads.submit(remaining_seconds).result()


# Trouble that is no lack of time


@pytest.mark.parametrize("trouble", [resets, sends(b""), sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")])
def test_a_broken_connection_is_no_timeout(trouble: Callable[[socket.socket], None]) -> None:
    with raw_server(trouble) as url, pytest.raises(requests.ConnectionError) as error:
        ask(url)
    assert not isinstance(error.value, requests.Timeout)


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(requests.ConnectionError, match="NewConnectionError"):
        ask("http://provider.example/")


def test_a_stranger_behind_tls(tls: "Tls") -> None:
    with tls.server(sends(http_response(200, {}))) as url:
        assert ask(url, verify=str(tls.file)).json() == {}
        with pytest.raises(requests.exceptions.SSLError):
            ask(url)


def test_an_answer_without_end_is_not_read_to_it() -> None:
    flood = Flood()
    with raw_server(flood) as url, pytest.raises(requests.ConnectionError, match="TooLargeError"):
        ask(url)
    assert flood.sent < 100_000_000


def test_a_small_answer_that_unpacks_to_a_large_one() -> None:
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES * 20))
    packed = sends(http_response(200, bomb, "Content-Encoding: gzip"))
    with raw_server(packed) as url, pytest.raises(requests.ConnectionError, match="TooLargeError"):
        ask(url)


FLAWS: dict[str, Callable[[socket.socket], object]] = {
    "a reset": resets,
    "a drip": drips(SLOW_RESPONSES["a body"], HURRY / 10),
    "a flood": Flood(),
    "half an answer": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
    "no gzip": sends(http_response(200, b"hm?", "Content-Encoding: gzip")),
    "another protocol": sends(b"220 mail.example ready\r\n"),
}


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=FLAWS.keys())
def test_no_trouble_keeps_a_connection_of_the_pool(flaw: Callable[[socket.socket], object]) -> None:
    answers = [flaw, flaw, sends(http_response(200, {}))]

    def next_one(connection: socket.socket) -> None:
        answers.pop(0)(connection)

    with raw_server(next_one) as url:
        ours = create_session(1)
        for _ in range(2):
            with time_limit(HURRY), pytest.raises(requests.RequestException):
                ours.get(url)
        with time_limit(PATIENCE):
            assert ours.get(url).json() == {}


def test_a_packed_answer_is_unpacked() -> None:
    with raw_server(sends(http_response(200, gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip"))) as url:
        assert ask(url).json() == {"a": 1}


# Nothing is sent twice or elsewhere


class _Counting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    asked: list[tuple[str, str | None, int]]
    status: int

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Cookie"], self.client_address[1]))
        self.send_response(self.status)
        for name, value in (("Location", "/elsewhere"), ("Set-Cookie", "a=b; Path=/"), ("Content-Length", "2")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Its log says nothing."""


@contextmanager
def counting(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str | None, int]]]]:
    handler = type("Counting", (_Counting,), {"asked": [], "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
        server.shutdown()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 408, 429, 500, 503])
def test_no_answer_makes_it_call_again(status: int) -> None:
    with counting(status) as (url, asked):
        assert ask(f"{url}/here").status_code == status
    assert [path for path, _, _ in asked] == ["/here"]


def test_connections_are_kept_and_cookies_are_not() -> None:
    with counting() as (url, asked), time_limit(PATIENCE):
        ours = create_session(1)
        for _ in range(3):
            ours.get(url)
    assert [cookie for _, cookie, _ in asked] == [None, None, None]
    assert len({port for _, _, port in asked}) == 1


def test_a_connection_that_is_kept_is_kept_alive() -> None:
    with counting() as (url, _), time_limit(PATIENCE):
        pool = HttpPool("127.0.0.1", int(url.rpartition(":")[2]), maxsize=1, block=True)
        read_body(pool.urlopen("GET", "/", retries=NO_RETRIES, preload_content=False))
        kept = pool._get_conn()
        assert kept.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert kept.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        kept.close()


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with counting() as (url, asked):
        assert ask(url).status_code == 200
    assert len(asked) == 1


def test_threads_share_a_session() -> None:
    with counting() as (url, asked), ThreadPoolExecutor(20) as threads:
        ours = create_session(3)

        def one(number: int) -> int:
            with time_limit(PATIENCE):
                return ours.get(f"{url}/{number}").status_code

        assert list(threads.map(one, range(100))) == [200] * 100
    assert len({path for path, _, _ in asked}) == 100
    assert len({port for _, _, port in asked}) <= 3


# Without a session


def test_a_plain_pool_keeps_the_deadline_too() -> None:
    with raw_server(drips(SLOW_RESPONSES["a body"], HURRY / 10)) as url:
        pool = HttpPool("127.0.0.1", int(url.rpartition(":")[2]), maxsize=1, block=True)
        began = time.monotonic()
        with time_limit(HURRY), pytest.raises((HTTPError, OSError)):
            read_body(pool.urlopen("GET", "/", retries=NO_RETRIES, preload_content=False))
        assert time.monotonic() - began < LATE


# Doors


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Every name has these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@contextmanager
def a_closed_door() -> Iterator[tuple[str, int]]:
    """An address that does not answer: its queue is full, and it drops whoever comes."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        waiting = []
        while True:
            one = socket.socket()
            waiting.append(one)
            one.settimeout(0.2)
            try:
                one.connect(door.getsockname())
            except TimeoutError:
                break
        yield door.getsockname()
        for one in waiting:
            one.close()


class Tls:
    """A server with a certificate of its own; who is to trust it is given the file."""

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
    def server(self, answers: Callable[[socket.socket], object]) -> Iterator[str]:
        def secured(connection: socket.socket) -> None:
            with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as inside:
                inside.recv(65536)
                answers(inside)

        with raw_server(secured, responds_first=True) as url:
            yield url.replace("http://", "https://")


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)
