"""What every provider's adapter keeps, and the sandbox's adapter keeping it; then an adapter that is told nonsense."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, TypeVar

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

import worker
from config.settings import Settings
from domain.money import Money
from domain.providers import Absent, Answer, Declined, Paid, PaymentProvider, Pending, Refusal, Unknown
from worker.providers import connected
from worker.providers.sandbox import Sandbox

T = TypeVar("T")
FIVE_EUROS = Money(500, "EUR")
PATIENCE = 20.0  # seconds until a fact we wait for is given up; reached only when something is broken
HURRY = 0.4  # seconds; the deadline of a client that is about to be kept waiting
ENOUGH = 1.5  # seconds; enough to be understood, not enough for a call that is never answered


def eventually(fact: Callable[[], T | None]) -> T:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if (seen := fact()) is not None:
            return seen
        time.sleep(0.01)
    raise AssertionError("What the test waits for did not happen.")


class SandboxProcess:
    """The provider's server, started for real; its times are short, because the tests wait for them."""

    def __init__(self, folder: Path, **options: float | Path) -> None:
        self._command = [sys.executable, "-m", "worker.sandbox", str(folder), "--turn=0.2", "--late=0.1"]
        self._command += [f"--{name}={value}" for name, value in options.items()]
        self.start()

    def start(self) -> None:
        root = Path(worker.__file__).parent.parent
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=root)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "The sandbox did not start; what it says is above."

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(how)
        self._process.communicate(timeout=PATIENCE)

    def adapter(self, seconds: float = PATIENCE) -> Sandbox:
        return Sandbox(self.url, http_seconds=seconds, calls_side_by_side=50)

    def summary(self) -> dict[str, Any]:
        return dict(urllib3.request("GET", f"{self.url}/v1/summary", retries=False).json())


@contextmanager
def sandbox_in(folder: Path, **options: float | Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(folder, **options)
    try:
        yield process
    finally:
        process.end()


class ProviderContract:
    """A provider's tests give it ``provider`` and ``impatient``, and charges that behave as their kind says."""

    def charge(self, kind: str) -> str:
        return f"{kind}_{uuid.uuid4().hex}"

    def test_the_same_key_pays_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        first = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(first, Paid)
        assert first.amount == FIVE_EUROS
        assert provider.refund(charge, FIVE_EUROS, key=charge) == first
        assert provider.look_up(charge, key=charge) == first

    def test_another_key_for_the_same_charge_is_refused(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        paid = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(paid, Paid)
        again = provider.refund(charge, FIVE_EUROS, key=f"{charge}-again")
        assert isinstance(again, Declined)
        assert again.refusal is Refusal.ALREADY_REFUNDED

    def test_a_refund_made_elsewhere_is_not_taken_for_ours(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        paid = provider.refund(charge, FIVE_EUROS, key=f"{charge}-elsewhere")
        assert isinstance(paid, Paid)
        assert provider.look_up(charge, key=charge) == Declined(Refusal.ALREADY_REFUNDED, code=paid.refund_id)

    def test_a_key_serves_one_refund_only(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Paid)
        other = provider.refund(self.charge("ok"), FIVE_EUROS, key=charge)
        assert isinstance(other, Declined)
        assert other.refusal is Refusal.PERMANENT

    def test_a_charge_nobody_refunded_is_absent(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        assert provider.look_up(charge, key=charge) == Absent()

    def test_a_timeout_is_unknown_not_declined(self, provider: PaymentProvider, impatient: PaymentProvider) -> None:
        charge = self.charge("hang")
        assert isinstance(impatient.refund(charge, FIVE_EUROS, key=charge), Unknown)
        found = provider.look_up(charge, key=charge)
        assert isinstance(found, Paid)
        assert provider.refund(charge, FIVE_EUROS, key=charge) == found

    def test_an_error_after_paying_is_unknown_and_the_look_up_finds_it_paid(self, provider: PaymentProvider) -> None:
        charge = self.charge("fail500")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Unknown)
        found = provider.look_up(charge, key=charge)
        assert isinstance(found, Paid)
        assert provider.refund(charge, FIVE_EUROS, key=charge) == found

    def test_an_error_before_paying_is_unknown_and_the_repeat_pays(self, provider: PaymentProvider) -> None:
        charge = self.charge("lost500")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Unknown)
        assert provider.look_up(charge, key=charge) == Absent()
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Paid)

    def test_a_busy_provider_is_unknown_then_pays_with_the_same_key(self, provider: PaymentProvider) -> None:
        charge = self.charge("busy")
        answers = [provider.refund(charge, FIVE_EUROS, key=charge) for _ in range(3)]
        assert [type(answer) for answer in answers] == [Unknown, Unknown, Paid]

    def test_a_slow_answer_is_waited_for(self, provider: PaymentProvider) -> None:
        charge = self.charge("slow")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Paid)

    def test_a_pending_refund_becomes_paid(self, provider: PaymentProvider) -> None:
        charge = self.charge("pending")
        pending = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(pending, Pending)
        paid = eventually(lambda: _of_type(Paid, provider.look_up(charge, key=charge)))
        assert paid == Paid(pending.refund_id, FIVE_EUROS)

    @pytest.mark.parametrize(("kind", "first"), [("latefail", Paid), ("pendingfail", Pending)])
    def test_a_refund_that_fails_later_is_seen(self, provider: PaymentProvider, kind: str, first: type) -> None:
        charge = self.charge(kind)
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), first)
        failed = eventually(lambda: _of_type(Declined, provider.look_up(charge, key=charge)))
        assert failed == Declined(Refusal.PERMANENT, code="failed")

    @pytest.mark.parametrize(
        ("kind", "refusal"),
        [("declined", Refusal.PERMANENT), ("closed", Refusal.PERMANENT), ("disputed", Refusal.DISPUTED)],
    )
    def test_a_refusal_has_its_class(self, provider: PaymentProvider, kind: str, refusal: Refusal) -> None:
        charge = self.charge(kind)
        declined = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(declined, Declined)
        assert declined.refusal is refusal
        assert provider.look_up(charge, key=charge) == Absent()

    def test_fifty_callers_with_one_key_pay_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        answers = _at_once(lambda _: provider.refund(charge, FIVE_EUROS, key=charge))
        assert {type(answer) for answer in answers} == {Paid}
        assert len(set(answers)) == 1

    def test_fifty_callers_with_fifty_keys_pay_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        answers = _at_once(lambda number: provider.refund(charge, FIVE_EUROS, key=f"{charge}-{number}"))
        assert sum(isinstance(answer, Paid) for answer in answers) == 1
        refusals = {answer.refusal for answer in answers if isinstance(answer, Declined)}
        assert refusals == {Refusal.ALREADY_REFUNDED}

    def test_keys_are_promised_to_live_longer_than_any_retry(self, provider: PaymentProvider) -> None:
        assert provider.capabilities.keys_live.total_seconds() >= 3600


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox")) as process:
        yield process
        assert process.summary()["duplicates"] == 0


class TestSandbox(ProviderContract):
    @pytest.fixture
    def provider(self, process: SandboxProcess) -> PaymentProvider:
        return process.adapter()

    @pytest.fixture
    def impatient(self, process: SandboxProcess) -> PaymentProvider:
        return process.adapter(ENOUGH)

    def test_a_restarted_sandbox_is_found_again(self, tmp_path: Path) -> None:
        with sandbox_in(tmp_path) as process:
            adapter = process.adapter()
            paid = adapter.refund("ok_1", FIVE_EUROS, key="1")
            process.end()
            assert isinstance(adapter.look_up("ok_1", key="1"), Unknown)
            process.start()
            assert process.adapter().look_up("ok_1", key="1") == paid


def _of_type(kind: type[T], answer: object) -> T | None:
    return answer if isinstance(answer, kind) else None


def _at_once(call: Callable[[int], Answer]) -> list[Answer]:
    together = Barrier(50)

    def one(number: int) -> Answer:
        together.wait(PATIENCE)
        return call(number)

    with ThreadPoolExecutor(50) as threads:
        return list(threads.map(one, range(50)))


# An adapter that is told nonsense


@contextmanager
def a_server_that(answers: Callable[[socket.socket], None]) -> Iterator[str]:
    """Reads what it is asked, then does as it likes with the connection."""

    def serve() -> None:
        while True:
            try:
                connection, _ = door.accept()
            except OSError:
                return
            Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answers(connection)

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


def ask(url: str, seconds: float = PATIENCE) -> Answer:
    return Sandbox(url, http_seconds=seconds, calls_side_by_side=1).refund("ok_1", FIVE_EUROS, key="case-1")


def say(status: int, document: object) -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return b"HTTP/1.1 %d Fine\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


A_REFUND = {
    "id": "re_1",
    "charge": "ok_1",
    "amount": 500,
    "currency": "EUR",
    "status": "succeeded",
    "key": "case-1",
}


def test_a_sound_answer_is_paid() -> None:
    """So that what follows is refused for its own fault only."""
    with a_server_that(lambda connection: connection.sendall(say(200, A_REFUND))) as url:
        assert ask(url) == Paid("re_1", FIVE_EUROS)


NONSENSE = {
    "an empty body": say(200, b""),
    "garbage": say(200, b"{hm?"),
    "no UTF-8": say(200, b'{"id":"\xff"}'),
    "nested without end": say(200, b"[" * 100_000),
    "a list": say(200, [A_REFUND]),
    "a number of 5000 digits": say(200, b'{"amount":' + b"9" * 5000 + b"}"),
    "another amount": say(200, A_REFUND | {"amount": 501}),
    "an amount that is true": say(200, A_REFUND | {"amount": True}),
    "an amount with decimals": say(200, A_REFUND | {"amount": 500.0}),
    "an amount in words": say(200, A_REFUND | {"amount": "500"}),
    "another currency": say(200, A_REFUND | {"currency": "USD"}),
    "no currency": say(200, A_REFUND | {"currency": "€"}),
    "a list of currencies": say(200, A_REFUND | {"currency": ["EUR"]}),
    "another charge": say(200, A_REFUND | {"charge": "ok_2"}),
    "another key": say(200, A_REFUND | {"key": "case-2"}),
    "a new status": say(200, A_REFUND | {"status": "on its way"}),
    "a list of statuses": say(200, A_REFUND | {"status": ["succeeded"]}),
    "no id": say(200, {name: value for name, value in A_REFUND.items() if name != "id"}),
    "an empty id": say(200, A_REFUND | {"id": ""}),
    "an id as long as a book": say(200, A_REFUND | {"id": "x" * 10_000}),
    "created": say(201, A_REFUND),
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "a refusal without a word": say(400, {"error": "no"}),
    "a refusal that is a page": say(403, b"<html>"),
    "a refusal with a list for a word": say(400, {"error": {"code": ["refund_declined"]}}),
    "a key in use": say(409, {"error": {"code": "idempotency_key_in_use"}}),
    "a request timeout": say(408, {"error": {"code": "timeout"}}),
    "too early": say(425, {"error": {"code": "early"}}),
    "a server's error": say(503, {"error": {"code": "refund_declined"}}),
    "another protocol": b"220 mail.example ready\r\n",
    "a status only": b"HTTP/1.1 200 OK\r\n",
    "half a body": say(200, A_REFUND)[:-20],
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n{}",
    "chunks of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_an_answer_nobody_can_read_is_unknown(answer: bytes) -> None:
    with a_server_that(lambda connection: connection.sendall(answer)) as url:
        unknown = ask(url)
    assert isinstance(unknown, Unknown)
    assert unknown.why.endswith(".")


def test_a_reset_connection_is_unknown() -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with a_server_that(reset) as url:
        assert isinstance(ask(url), Unknown)


def test_a_refused_connection_is_unknown() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert ask(f"http://127.0.0.1:{closed.getsockname()[1]}") == Unknown("The sandbox cannot be reached.")


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while True:
            sent += connection.send(b" " * 65536)

    with a_server_that(flood) as url:
        assert isinstance(ask(url), Unknown)
    assert sent < 100_000_000


DRIPS = {
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b" " * 300,
    "headers": b"HTTP/1.1 200 OK\r\nX-Patience: " + b"x" * 300,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 50,
}


@pytest.mark.parametrize("answer", DRIPS.values(), ids=DRIPS.keys())
def test_an_answer_that_drips_in_ends_at_the_deadline(answer: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        for drop in answer:
            connection.sendall(bytes([drop]))
            time.sleep(HURRY / 10)  # each drop comes long before a timeout that begins anew with it

    with a_server_that(drip) as url:
        assert ask(url, HURRY) == Unknown("The sandbox did not answer within 0.4 seconds.")


def test_interim_answers_do_not_put_off_the_deadline() -> None:
    def soon(connection: socket.socket) -> None:
        for _ in range(500):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(HURRY / 40)
        connection.sendall(say(200, A_REFUND))

    with a_server_that(soon) as url:
        assert ask(url, HURRY) == Unknown("The sandbox did not answer within 0.4 seconds.")


def test_a_look_up_has_one_deadline_for_both_its_questions() -> None:
    def answer_late(connection: socket.socket) -> None:
        time.sleep(HURRY * 0.75)
        connection.sendall(say(200, {"data": []}))

    with a_server_that(answer_late) as url:
        adapter = Sandbox(url, http_seconds=HURRY, calls_side_by_side=1)
        assert isinstance(adapter.look_up("ok_1", key="case-1"), Unknown)


NO_LISTS = {
    "no list": say(200, {"data": {}}),
    "a row that is no refund": say(200, {"data": [A_REFUND, 7]}),
    "another charge's refund": say(200, {"data": [A_REFUND | {"charge": "ok_2"}]}),
    "a refusal": say(404, {"error": {"code": "not_found"}}),
    "garbage": say(200, b"hm?"),
}


@pytest.mark.parametrize("answer", NO_LISTS.values(), ids=NO_LISTS.keys())
def test_a_look_up_that_cannot_be_read_is_unknown(answer: bytes) -> None:
    with a_server_that(lambda connection: connection.sendall(answer)) as url:
        adapter = Sandbox(url, http_seconds=PATIENCE, calls_side_by_side=1)
        assert isinstance(adapter.look_up("ok_1", key="case-1"), Unknown)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422])
def test_a_word_we_never_heard_is_a_refusal_for_good(status: int) -> None:
    with a_server_that(lambda connection: connection.sendall(say(status, {"error": {"code": "moon_phase"}}))) as url:
        assert ask(url) == Declined(Refusal.PERMANENT, code="moon_phase")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*A_REFUND, "error", "code"]), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(answer=st.binary(max_size=200) | st.builds(say, st.sampled_from([200, 202, 400, 409, 500]), JSON))
def test_nothing_but_our_own_refund_is_taken_for_paid(answer: bytes) -> None:
    with a_server_that(lambda connection: connection.sendall(answer)) as url:
        assert isinstance(ask(url, 5), Unknown | Declined)


# The registry


def settings_with(sandbox_url: str | None) -> Settings:
    return Settings.model_validate(
        {
            "database_url": "postgresql://db",
            "broker_url": "redis://broker",
            "secret_key": "x" * 32,
            "sandbox_url": sandbox_url,
        },
    )


def test_only_what_the_settings_wire_is_connected() -> None:
    assert connected(settings_with(None)) == {}
    assert isinstance(connected(settings_with("http://127.0.0.1:8790"))["sandbox"], Sandbox)
