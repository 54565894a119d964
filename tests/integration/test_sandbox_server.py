"""The sandbox keeps honest books: over HTTP, killed at named points, and with a journal that was torn."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.money import Money
from domain.providers import Declined, Paid, Unknown
from tests.contract.test_sandbox import ENOUGH, FIVE_EUROS, PATIENCE, SandboxProcess, eventually, sandbox_in
from worker.providers.sandbox import Sandbox
from worker.sandbox.behaviours import BEHAVIOURS, Times
from worker.sandbox.journal import JournalDamagedError, JournalInUseError
from worker.sandbox.ledger import Carried, Ledger
from worker.sandbox.orders import Order
from worker.sandbox.refusals import Refused

JOURNAL = "journal.jsonl"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox"), hold=0.3, latency=0.001) as process:
        yield process


def call(
    process: SandboxProcess, method: str, path: str, body: object = None, key: str | None = None
) -> urllib3.BaseHTTPResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib3.PoolManager(retries=False, timeout=PATIENCE) as pool:
        return pool.request(method, f"{process.url}{path}", body=sent if method == "POST" else None, headers=headers)


def refund(process: SandboxProcess, charge: str, key: str | None = None, amount: int = 500) -> urllib3.BaseHTTPResponse:
    order = {"charge": charge, "amount": amount, "currency": "EUR"}
    return call(process, "POST", "/v1/refunds", order, key or charge)


def an_order(charge: str = "ok_1", key: str = "key-1", amount: int = 500) -> Order:
    return Order(charge, amount, "EUR", key)


def a_ledger(folder: Path, clock: Callable[[], float] = lambda: 0.0) -> Ledger:
    return Ledger(folder, Times(), clock)


# Over HTTP


def test_a_refund_and_its_repeat_are_the_same_answer(process: SandboxProcess) -> None:
    first, second = refund(process, "ok_same"), refund(process, "ok_same")
    assert first.status == 200
    assert first.json() == {
        "id": first.json()["id"],
        "charge": "ok_same",
        "amount": 500,
        "currency": "EUR",
        "status": "succeeded",
        "key": "ok_same",
    }
    assert second.data == first.data
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_key_with_another_body_is_a_conflict(process: SandboxProcess) -> None:
    refund(process, "ok_conflict")
    answer = refund(process, "ok_conflict", amount=501)
    assert (answer.status, answer.json()["error"]["code"]) == (409, "idempotency_key_reuse")


def test_a_second_refund_names_the_first(process: SandboxProcess) -> None:
    first = refund(process, "ok_twice").json()
    answer = refund(process, "ok_twice", key="another")
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "charge_already_refunded"
    assert answer.json()["error"]["refund"] == first["id"]


def test_a_busy_answer_says_when_to_come_back(process: SandboxProcess) -> None:
    answers = [refund(process, "busy_1") for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "1"


def test_a_call_that_is_never_answered_is_held_for_a_bounded_time(process: SandboxProcess) -> None:
    assert refund(process, "hang_bounded").status == 504
    assert refund(process, "hang_bounded").status == 200


def test_a_charge_of_an_unheard_of_kind_is_an_ordinary_one(process: SandboxProcess) -> None:
    assert refund(process, "banana_1").json()["status"] == "succeeded"
    assert refund(process, "wordless").json()["status"] == "succeeded"


def test_refunds_are_found_by_key_by_charge_and_by_id(process: SandboxProcess) -> None:
    made = refund(process, "ok_find", key="the key & more").json()
    assert call(process, "GET", "/v1/refunds?key=the+key+%26+more").json() == {"data": [made]}
    assert call(process, "GET", "/v1/refunds?charge=ok_find").json() == {"data": [made]}
    assert call(process, "GET", "/v1/refunds?charge=ok_other&key=the+key+%26+more").json() == {"data": []}
    assert call(process, "GET", "/v1/refunds?key=nobody").json() == {"data": []}
    assert call(process, "GET", f"/v1/refunds/{made['id']}").json() == made


def test_all_refunds_can_be_paged_through(process: SandboxProcess) -> None:
    made = [refund(process, f"ok_page{number}").json() for number in range(5)]
    seen: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        after = f"&starting_after={seen[-1]['id']}" if seen else ""
        page = call(process, "GET", f"/v1/refunds?limit=2{after}").json()
        seen += page["data"]
    assert [refund for refund in seen if refund in made] == made
    assert len(seen) == call(process, "GET", "/v1/summary").json()["refunds"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hm?",
        b"\xff",
        b"[" * 60_000,
        [],
        {},
        {"charge": "ok_1", "amount": 500},
        {"charge": "ok_1", "amount": 500, "currency": "EUR", "payee": "me"},
        {"charge": 1, "amount": 500, "currency": "EUR"},
        {"charge": "", "amount": 500, "currency": "EUR"},
        {"charge": "ok\n1", "amount": 500, "currency": "EUR"},
        {"charge": "x" * 256, "amount": 500, "currency": "EUR"},
        {"charge": "ok_1", "amount": "500", "currency": "EUR"},
        {"charge": "ok_1", "amount": 500.0, "currency": "EUR"},
        {"charge": "ok_1", "amount": True, "currency": "EUR"},
        {"charge": "ok_1", "amount": 0, "currency": "EUR"},
        {"charge": "ok_1", "amount": -5, "currency": "EUR"},
        {"charge": "ok_1", "amount": 10**16, "currency": "EUR"},
        {"charge": "ok_1", "amount": 500, "currency": "euro"},
        {"charge": "ok_1", "amount": 500, "currency": ["EUR"]},
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_a_sentence(process: SandboxProcess, body: object) -> None:
    answer = call(process, "POST", "/v1/refunds", body, key="nonsense")
    assert answer.status == 400
    assert answer.json()["error"]["message"].endswith(".")
    assert call(process, "GET", "/v1/refunds?key=nonsense").json() == {"data": []}


@pytest.mark.parametrize("key", [None, "", "x" * 256])
def test_an_order_without_a_usable_key_is_refused(process: SandboxProcess, key: str | None) -> None:
    answer = call(process, "POST", "/v1/refunds", {"charge": "ok_keyless", "amount": 5, "currency": "EUR"}, key)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "idempotency_key_missing")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/refunds/re_nobody", 404),
        ("GET", "/v1/refunds/", 404),
        ("DELETE", "/v1/refunds", 405),
        ("POST", "/v1/summary", 405),
        ("GET", "/v1/refunds?limit=0", 400),
        ("GET", "/v1/refunds?limit=1001", 400),
        ("GET", "/v1/refunds?limit=10000000", 400),
        ("GET", "/v1/refunds?limit=many", 400),
        ("GET", "/v1/refunds?limit=²", 400),
        ("GET", "/v1/refunds?starting_after=re_nobody", 400),
    ],
)
def test_a_question_nobody_can_answer_is_refused_with_a_sentence(
    process: SandboxProcess, method: str, path: str, status: int
) -> None:
    answer = call(process, method, path)
    assert answer.status == status
    assert answer.json()["error"]["message"].endswith(".")


def test_a_body_that_is_too_large_is_refused(process: SandboxProcess) -> None:
    assert call(process, "POST", "/v1/refunds", b" " * 65_537, key="large").status == 413


def test_a_request_that_breaks_off_pays_nothing(process: SandboxProcess) -> None:
    """Although what did arrive reads like a whole order."""
    order = b'{"charge":"ok_half","amount":5,"currency":"EUR"}'
    head = b"POST /v1/refunds HTTP/1.1\r\nHost: sandbox\r\nIdempotency-Key: half\r\nContent-Length: 100\r\n\r\n"
    host, port = process.url.removeprefix("http://").split(":")
    calls = process.summary()["calls"]
    with urllib3.util.connection.create_connection((host, int(port))) as client:
        client.sendall(head + order)
    assert refund(process, "ok_after").status == 200
    assert process.summary()["calls"] == calls + 1
    assert call(process, "GET", "/v1/refunds?key=half").json() == {"data": []}


def test_the_sandbox_listens_on_a_socket_file_too(tmp_path: Path) -> None:
    door = tmp_path / "s"
    door.touch()  # as a sandbox that was killed leaves it
    with sandbox_in(tmp_path, unix=door) as process, socket.socket(socket.AF_UNIX) as client:
        assert process.url == f"unix://{door}"
        client.settimeout(PATIENCE)
        client.connect(str(door))
        client.sendall(b"GET /v1/summary HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 200")


# Killed


FIRST_CALLS = {"ok": 200, "pending": 200, "hang": None, "fail500": 500, "lost500": 500, "busy": 429, "declined": 400}


@pytest.mark.parametrize("kind", FIRST_CALLS)
def test_a_kill_after_the_first_call_is_no_second_first_call(tmp_path: Path, kind: str) -> None:
    """Each trick is played once: what was paid stays paid, what was refused counts as a call."""
    then = {"busy": [429, 200], "declined": [400]}.get(kind, [200])
    with sandbox_in(tmp_path) as process:
        answer = process.adapter(ENOUGH if kind == "hang" else PATIENCE).refund(f"{kind}_1", FIVE_EUROS, key="1")
        assert isinstance(answer, Unknown) == (FIRST_CALLS[kind] not in (200, 400))
        before = process.summary()
        assert before["calls"] == 1
        process.end()
        process.start()
        assert process.summary() == before
        assert [refund(process, f"{kind}_1", key="1").status for _ in then] == then
        assert process.summary()["duplicates"] == 0


def test_a_kill_in_full_flight_forgets_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: dict[str, Paid] = {}
    enough = Event()

    def pay_until_it_dies(adapter: Sandbox, thread: int) -> None:
        for number in range(100_000):
            key = f"{thread}-{number}"
            answer = adapter.refund(f"ok_{key}", Money(number + 1, "JPY"), key=key)
            if not isinstance(answer, Paid):
                return
            answered[key] = answer
            if len(answered) > 500:
                enough.set()

    with sandbox_in(tmp_path) as process:
        with ThreadPoolExecutor(8) as threads:
            running = [threads.submit(pay_until_it_dies, process.adapter(), thread) for thread in range(8)]
            assert enough.wait(PATIENCE)
            process.end()
            for each in running:
                each.result(PATIENCE)
        process.start()
        adapter = process.adapter()
        for key, paid in answered.items():
            assert adapter.look_up(f"ok_{key}", key=key) == paid
            assert adapter.refund(f"ok_{key}", paid.amount, key=key) == paid
        summary = process.summary()
        assert summary["duplicates"] == 0
        assert len(answered) <= summary["refunds"] <= len(answered) + 8  # paid, and killed before the answer left


def test_a_restart_keeps_the_time_at_which_a_status_turns(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        assert refund(process, "pending_1").json()["status"] == "pending"
        process.end(signal.SIGTERM)
        process.start()
        found = eventually(lambda: _with_status(process, "pending_1", "succeeded"))
        assert refund(process, "pending_1").json() == found | {"status": "pending"}


def _with_status(process: SandboxProcess, charge: str, status: str) -> dict[str, Any] | None:
    (found,) = call(process, "GET", f"/v1/refunds?charge={charge}").json()["data"]
    return found if found["status"] == status else None


# The journal


def test_a_torn_last_line_is_dropped_wherever_it_was_torn(tmp_path: Path) -> None:
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.carry_out(an_order("ok_1", "1"))
        whole = (tmp_path / JOURNAL).stat().st_size
        ledger.carry_out(an_order("ok_2", "2"))
    text = (tmp_path / JOURNAL).read_bytes()
    for torn in range(whole, len(text)):
        (tmp_path / JOURNAL).write_bytes(text[:torn])
        with closing(a_ledger(tmp_path)) as ledger:
            assert ledger.summary()["refunds"] == 1
            assert isinstance(ledger.carry_out(an_order("ok_2", "2")), Carried)
        with closing(a_ledger(tmp_path)) as ledger:
            assert ledger.summary()["refunds"] == 2


@pytest.mark.parametrize("damage", ["hm?", "[]", '{"kind":"invented"}', '{"kind":"made","refund":{"id":"re_1"}}'])
def test_a_damaged_line_in_the_middle_is_not_passed_over(tmp_path: Path, damage: str) -> None:
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.carry_out(an_order())
    good = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(f"{good}{damage}\n{good}")
    for _ in range(2):  # the first refusal does not keep the journal locked
        with pytest.raises(JournalDamagedError, match="record"):
            a_ledger(tmp_path)


def test_two_sandboxes_do_not_share_a_folder(tmp_path: Path) -> None:
    with closing(a_ledger(tmp_path)), pytest.raises(JournalInUseError, match="Another sandbox"):
        a_ledger(tmp_path)


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_refuses_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    write = os.write

    def short(file: int, line: bytes) -> int:
        if not room:
            raise OSError("No space left on device")
        return write(file, line[:room])

    with closing(a_ledger(tmp_path)) as ledger:
        ledger.carry_out(an_order("ok_1", "1"))
        with monkeypatch.context() as full:
            full.setattr("worker.sandbox.journal.os.write", short)
            with pytest.raises(OSError, match="could not be written"):
                ledger.carry_out(an_order("ok_2", "2"))
        assert ledger.summary()["refunds"] == 1
        assert isinstance(ledger.carry_out(an_order("ok_2", "2")), Carried)
    with closing(a_ledger(tmp_path)) as ledger:
        assert ledger.summary()["refunds"] == 2


def test_duplicates_are_counted_from_the_books(tmp_path: Path) -> None:
    """The ledger never makes one, so the test writes it."""
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.carry_out(an_order("ok_1", "1"))
        ledger.carry_out(an_order("ok_2", "2"))
    text = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(text + text.replace('"key":"', '"key":"again-').replace("re_", "re_again"))
    with closing(a_ledger(tmp_path)) as ledger:
        assert ledger.summary() == {
            "refunds": 4,
            "failed": 0,
            "duplicates": 2,
            "calls": 4,
            "replays": 0,
            "amounts": {"EUR": 2000},
        }


# The ledger


@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [
        ("ok", "succeeded", "succeeded"),
        ("pending", "pending", "succeeded"),
        ("latefail", "succeeded", "failed"),
        ("pendingfail", "pending", "failed"),
    ],
)
def test_a_status_turns_at_its_time(tmp_path: Path, kind: str, first: str, later: str) -> None:
    moments = [1000.0]
    with closing(a_ledger(tmp_path, lambda: moments[-1])) as ledger:
        ledger.carry_out(an_order(f"{kind}_1"))
        for moment, status in [(1002.9, first), (1003.0, later), (9999.0, later)]:
            moments.append(moment)
            (found,) = ledger.find(key="key-1", charge=None)
            assert found["status"] == status
            assert ledger.summary()["failed"] == (status == "failed")


ORDERS = st.builds(
    an_order,
    charge=st.builds("{}_{}".format, st.sampled_from([*BEHAVIOURS]), st.integers(1, 2)),
    key=st.sampled_from("abcdef"),
    amount=st.sampled_from([500, 501]),
)


@settings(max_examples=150, deadline=None)
@given(orders=st.lists(ORDERS | st.just("restart"), max_size=30))
def test_whatever_is_ordered_each_charge_and_each_key_pays_at_most_once(
    tmp_path_factory: pytest.TempPathFactory, orders: list[Order | str]
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = a_ledger(folder)
    paid: dict[str, Carried] = {}
    for order in orders:
        if isinstance(order, str):
            before = ledger.summary()
            ledger.close()
            ledger = a_ledger(folder)
            assert ledger.summary() == before
            continue
        answer = ledger.carry_out(order)
        if isinstance(answer, Refused):
            continue
        assert answer.replayed == (order.key in paid)
        assert answer.refund == paid.setdefault(order.key, answer).refund
        assert (answer.refund.charge, answer.refund.amount) == (order.charge, order.amount)
    ledger.close()
    charges = [carried.refund.charge for carried in paid.values()]
    assert len(set(charges)) == len(charges)
    assert ledger.summary()["refunds"] == len(paid)
    assert ledger.summary()["duplicates"] == 0
    assert ledger.summary()["calls"] == sum(isinstance(order, Order) for order in orders)


def test_a_refusal_is_the_same_under_every_key(process: SandboxProcess) -> None:
    answers = [process.adapter().refund("disputed_1", FIVE_EUROS, key=key) for key in ("a", "b", "a")]
    assert all(isinstance(answer, Declined) for answer in answers)
    assert len(set(answers)) == 1
