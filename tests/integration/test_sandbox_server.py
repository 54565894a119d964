"""The sandbox keeps honest books: over HTTP, killed at named points, and with a journal that was torn."""

import json
import os
import re
import resource
import signal
import socket
import time
from collections import Counter
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

from console.sandbox.behaviours import BEHAVIOURS, Times
from console.sandbox.disputes import Dispute
from console.sandbox.errors import ErrorResponse
from console.sandbox.fault_injection import FAULTS, FaultInjector
from console.sandbox.journal import JournalDamagedError, JournalInUseError
from console.sandbox.ledger import Ledger, RefundResult
from console.sandbox.refund_requests import RefundRequest
from domain.money import Money
from domain.providers import Declined, Paid, PaymentProvider, Unknown
from tests.doubles.sandbox import SHORT_TIMEOUT, TEST_TIMEOUT, SandboxProcess, sandbox_in
from tests.services import eventually

JOURNAL = "journal.jsonl"
FIVE_EUROS = Money(500, "EUR")
TIMES = Times()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox"), hold=0.3, latency=0.001, drip=0.005) as process:
        yield process


def call(
    process: SandboxProcess, method: str, path: str, body: object = None, key: str | None = None
) -> urllib3.BaseHTTPResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib3.PoolManager(retries=False, timeout=TEST_TIMEOUT) as pool:
        return pool.request(method, f"{process.url}{path}", body=sent if method == "POST" else None, headers=headers)


def refund(process: SandboxProcess, charge: str, key: str | None = None, amount: int = 500) -> urllib3.BaseHTTPResponse:
    order = {"charge": charge, "amount": amount, "currency": "EUR"}
    return call(process, "POST", "/v1/refunds", order, key or charge)


def an_order(charge: str = "ok_1", key: str = "key-1", amount: int = 500) -> RefundRequest:
    return RefundRequest(charge, amount, "EUR", key)


def a_ledger(folder: Path, clock: Callable[[], float] = lambda: 0.0, *, capped: bool = True) -> Ledger:
    return Ledger(folder, TIMES, clock, capped=capped)


def carried(ledger: Ledger, order: RefundRequest) -> RefundResult:
    answer = ledger.refund(order)
    assert isinstance(answer, RefundResult)
    return answer


def refused(ledger: Ledger, order: RefundRequest) -> str:
    answer = ledger.refund(order)
    assert isinstance(answer, ErrorResponse)
    return answer.code


class Clock:
    """Stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
        "created": first.json()["created"],
        "bank_reference": first.json()["bank_reference"],
    }
    assert re.fullmatch("7[0-9]{22}", first.json()["bank_reference"])
    assert 0 <= time.time() - first.json()["created"] < TEST_TIMEOUT
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
        ("GET", "/v1/disputes", 400),
        ("GET", "/v1/disputes/dp_nobody", 405),
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
        client.settimeout(TEST_TIMEOUT)
        client.connect(str(door))
        client.sendall(b"GET /v1/summary HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 200")


# Killed


FIRST_CALLS = {
    "ok": 200,
    "pending": 200,
    "hang": None,
    "blind": None,
    "garbage": None,
    "wrong": None,
    "fail500": 500,
    "lost500": 500,
    "stored500": 500,
    "busy": 429,
    "declined": 400,
    "disputed": 400,
    "elsewhere": 400,
    "broke": 400,
    "early": 400,
}
AFTERWARDS = {"busy": [429, 200], "stored500": [500, 500]}


@pytest.mark.parametrize("kind", FIRST_CALLS)
def test_a_kill_after_the_first_call_is_no_second_first_call(tmp_path: Path, kind: str) -> None:
    """Each trick is played once: what was paid stays paid, what was refused counts as a call."""
    then = AFTERWARDS.get(kind, [400] if FIRST_CALLS[kind] == 400 else [200])
    with sandbox_in(tmp_path) as process:
        answer = process.adapter(SHORT_TIMEOUT if kind in ("hang", "blind") else TEST_TIMEOUT).refund(
            f"{kind}_1", FIVE_EUROS, key="1"
        )
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

    def pay_until_it_dies(adapter: PaymentProvider, thread: int) -> None:
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
            assert enough.wait(TEST_TIMEOUT)
            process.end()
            for each in running:
                each.result(TEST_TIMEOUT)
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
        assert found
        assert refund(process, "pending_1").json() == found | {"status": "pending", "bank_reference": None}


def _with_status(process: SandboxProcess, charge: str, status: str) -> dict[str, Any] | None:
    (found,) = call(process, "GET", f"/v1/refunds?charge={charge}").json()["data"]
    return found if found["status"] == status else None


# The journal


def test_a_torn_last_line_is_dropped_wherever_it_was_torn(tmp_path: Path) -> None:
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.refund(an_order("ok_1", "1"))
        whole = (tmp_path / JOURNAL).stat().st_size
        ledger.refund(an_order("ok_2", "2"))
    text = (tmp_path / JOURNAL).read_bytes()
    for torn in range(whole, len(text)):
        (tmp_path / JOURNAL).write_bytes(text[:torn])
        with closing(a_ledger(tmp_path)) as ledger:
            assert ledger.store.summary()["refunds"] == 1
            assert isinstance(ledger.refund(an_order("ok_2", "2")), RefundResult)
        with closing(a_ledger(tmp_path)) as ledger:
            assert ledger.store.summary()["refunds"] == 2


@pytest.mark.parametrize(
    "damage",
    [
        "hm?",
        "[]",
        '{"kind":"invented"}',
        '{"kind":"made","refund":["re_1"],"webhook":false}',
        '{"kind":"made","refund":[1,2,3,4,5,6,7,8,9,10],"webhook":false}',
    ],
)
def test_a_damaged_line_in_the_middle_is_not_passed_over(tmp_path: Path, damage: str) -> None:
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.refund(an_order())
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
        ledger.refund(an_order("ok_1", "1"))
        with monkeypatch.context() as full:
            full.setattr("console.sandbox.journal.os.write", short)
            with pytest.raises(OSError, match="could not be written"):
                ledger.refund(an_order("ok_2", "2"))
        assert ledger.store.summary()["refunds"] == 1
        assert isinstance(ledger.refund(an_order("ok_2", "2")), RefundResult)
    with closing(a_ledger(tmp_path)) as ledger:
        assert ledger.store.summary()["refunds"] == 2


def test_whoever_asks_a_sandbox_with_a_full_disk_is_told_that_nothing_was_done(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        refund(process, "ok_1")
        pid, size = process._process.pid, (tmp_path / JOURNAL).stat().st_size
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        refused = [
            refund(process, "ok_2"),
            refund(process, "ok_1"),
            call(process, "POST", "/v1/disputes", {"charge": "ok_3", "status": "open"}),
        ]
        assert {(answer.status, answer.json()["error"]["code"]) for answer in refused} == {(503, "journal_unwritable")}
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert process.summary()["refunds"] == 1
        assert refund(process, "ok_2").status == refund(process, "ok_3").status == 200


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
        ledger.refund(an_order(f"{kind}_1"))
        for moment, status in [(1002.9, first), (1003.0, later), (9999.0, later)]:
            moments.append(moment)
            (found,) = ledger.store.find(key="key-1", charge=None)
            assert found["status"] == status
            assert ledger.store.summary()["failed"] == (status == "failed")


ORDERS = st.builds(
    an_order,
    charge=st.builds("{}_{}".format, st.sampled_from([*BEHAVIOURS]), st.integers(1, 2)),
    key=st.sampled_from("abcdef"),
    amount=st.sampled_from([500, 501]),
)


@settings(max_examples=200, deadline=None)
@given(orders=st.lists(ORDERS | st.just("restart"), max_size=30), capped=st.booleans())
def test_whatever_is_ordered_each_key_pays_at_most_once_and_each_charge_too_where_it_is_capped(
    tmp_path_factory: pytest.TempPathFactory, orders: list[RefundRequest | str], capped: bool
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    clock = Clock()
    ledger = a_ledger(folder, clock, capped=capped)
    paid: dict[str, RefundResult] = {}
    by_hand: set[str] = set()
    for order in orders:
        if isinstance(order, str):
            before = ledger.store.summary()
            ledger.close()
            ledger = a_ledger(folder, clock, capped=capped)
            assert ledger.store.summary() == before
            continue
        answer = ledger.refund(order)
        if isinstance(answer, ErrorResponse):
            if answer.code == "charge_already_refunded" and order.charge.startswith("elsewhere"):
                by_hand.add(order.charge)
            continue
        assert answer.replayed == (order.key in paid)
        assert answer.refund == paid.setdefault(order.key, answer).refund
        assert (answer.refund.charge, answer.refund.amount) == (order.charge, order.amount)
    ledger.close()
    clock.now += 1000  # the tardy ones are carried out, too
    charges = Counter(carried.refund.charge for carried in paid.values())
    summary = ledger.store.summary()
    assert summary["refunds"] == len(paid) + len(by_hand)
    assert summary["duplicates"] == sum(times > 1 for times in charges.values())
    assert summary["duplicates"] == 0 or not capped
    assert summary["calls"] == sum(isinstance(order, RefundRequest) for order in orders)


def test_a_refusal_is_the_same_under_every_key(process: SandboxProcess) -> None:
    answers = [process.adapter().refund("disputed_1", FIVE_EUROS, key=key) for key in ("a", "b", "a")]
    assert all(isinstance(answer, Declined) for answer in answers)
    assert len(set(answers)) == 1


# Disputes


def dispute(process: SandboxProcess, charge: str, status: str = "open") -> dict[str, Any]:
    opened = call(process, "POST", "/v1/disputes", {"charge": charge, "status": "open"}).json()
    if status == "open":
        return dict(opened)
    return dict(call(process, "POST", f"/v1/disputes/{opened['id']}", {"status": status}).json())


@pytest.mark.parametrize("status", ["open", "lost"])
def test_a_charge_that_the_bank_took_back_or_may_is_not_refunded(process: SandboxProcess, status: str) -> None:
    charge = f"ok_disputed_{status}"
    disputed = dispute(process, charge, status)
    assert disputed == {"id": disputed["id"], "charge": charge, "status": status, "created": disputed["created"]}
    assert 0 <= time.time() - disputed["created"] < TEST_TIMEOUT
    answer = refund(process, charge)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "charge_disputed")
    assert call(process, "GET", f"/v1/disputes?charge={charge}").json() == {"data": [disputed]}


def test_a_dispute_that_was_won_is_in_nobodys_way(process: SandboxProcess) -> None:
    dispute(process, "ok_won", "won")
    assert refund(process, "ok_won").status == 200
    assert refund(process, "disputed_then_won").status == 400
    (opened,) = call(process, "GET", "/v1/disputes?charge=disputed_then_won").json()["data"]
    call(process, "POST", f"/v1/disputes/{opened['id']}", {"status": "won"})
    assert refund(process, "disputed_then_won").status == 200


def test_a_refund_that_was_made_before_the_dispute_is_repeated_as_it_was(process: SandboxProcess) -> None:
    made = refund(process, "ok_before").json()
    dispute(process, "ok_before")
    assert refund(process, "ok_before").json() == made
    assert refund(process, "ok_before", key="another").json()["error"]["code"] == "charge_disputed"


@pytest.mark.parametrize(
    "body",
    [
        b"hm?",
        b"[" * 60_000,
        [],
        {"charge": "ok_1"},
        {"charge": "ok_1", "status": "won"},
        {"charge": "", "status": "open"},
        {"charge": 1, "status": "open"},
        {"charge": "ok_1", "status": "open", "amount": 1},
    ],
)
def test_a_dispute_that_makes_no_sense_is_refused_with_a_sentence(process: SandboxProcess, body: object) -> None:
    before = process.summary()["disputes"]
    answer = call(process, "POST", "/v1/disputes", body)
    assert answer.status == 400
    assert answer.json()["error"]["message"].endswith(".")
    assert process.summary()["disputes"] == before


def test_a_dispute_is_closed_once_and_one_at_a_time_is_open(process: SandboxProcess) -> None:
    opened = dispute(process, "ok_closing")
    assert call(process, "POST", "/v1/disputes", {"charge": "ok_closing", "status": "open"}).status == 409
    path = f"/v1/disputes/{opened['id']}"
    for nonsense in ({"status": "open"}, {"status": ["won"]}, {"status": "won", "why": "luck"}, {}):
        assert call(process, "POST", path, nonsense).status == 400
    assert call(process, "POST", "/v1/disputes/dp_nobody", {"status": "won"}).status == 404
    assert call(process, "POST", path, {"status": "won"}).status == 200
    assert call(process, "POST", path, {"status": "lost"}).status == 409
    again = dispute(process, "ok_closing")
    disputes = call(process, "GET", "/v1/disputes?charge=ok_closing").json()["data"]
    assert disputes == [opened | {"status": "won"}, again]


def test_a_body_about_a_dispute_that_is_too_large_is_refused(process: SandboxProcess) -> None:
    assert call(process, "POST", "/v1/disputes", b" " * 65_537).status == 413
    assert call(process, "POST", "/v1/disputes/dp_1", b" " * 65_537).status == 413


def test_a_killed_sandbox_remembers_its_disputes(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        dispute(process, "ok_lost", "lost")
        dispute(process, "ok_open")
        before = process.summary()
        assert before["disputes"] == {"open": 1, "won": 0, "lost": 1}
        process.end()
        process.start()
        assert process.summary() == before
        assert refund(process, "ok_lost").status == refund(process, "ok_open").status == 400


def test_a_dispute_crosses_a_refund(tmp_path: Path, clock: Clock) -> None:
    """It opens by itself, after the refund was made; nobody can close it before."""
    with closing(a_ledger(tmp_path, clock)) as ledger:
        made = carried(ledger, an_order("crossing_1"))
        clock.now += TIMES.turn - 0.1
        assert ledger.store.disputes_of("crossing_1") == []
        assert ledger.store.summary()["disputes"]["open"] == 0
        assert refused(ledger, an_order("crossing_1", "another")) == "charge_already_refunded"
        clock.now += 0.1
        (opened,) = ledger.store.disputes_of("crossing_1")
        assert (opened["status"], opened["created"]) == ("open", int(1000 + TIMES.turn))
        assert refused(ledger, an_order("crossing_1", "another")) == "charge_disputed"
        assert carried(ledger, an_order("crossing_1")) == RefundResult(made.refund, replayed=True)
        assert isinstance(ledger.close_dispute(opened["id"], "lost"), Dispute)
    with closing(a_ledger(tmp_path, clock)) as ledger:
        assert ledger.store.disputes_of("crossing_1") == [opened | {"status": "lost"}]


# Refusals that are stored


@pytest.mark.parametrize(
    ("kind", "refusals", "status", "code"),
    [
        ("broke", 2, 400, "insufficient_balance"),
        ("early", 2, 400, "charge_not_settled"),
        ("stored500", 1, 500, "internal_error"),
    ],
)
def test_a_stored_refusal_is_its_keys_answer_for_ever_and_a_new_key_pays(
    tmp_path: Path, kind: str, refusals: int, status: int, code: str
) -> None:
    with sandbox_in(tmp_path) as process:
        keys = [f"key-{number}" for number in range(refusals)]
        for key in keys:
            first, second = refund(process, f"{kind}_1", key), refund(process, f"{kind}_1", key)
            assert (first.status, first.json()["error"]["code"]) == (status, code)
            assert (second.status, second.data) == (first.status, first.data)
            assert "Idempotent-Replayed" not in first.headers
            assert second.headers["Idempotent-Replayed"] == "true"
        assert refund(process, f"{kind}_1", keys[0], amount=501).status == 409
        assert process.summary()["refunds"] == 0
        process.end()
        process.start()
        assert refund(process, f"{kind}_1", "new").status == 200
        for key in keys:
            again = refund(process, f"{kind}_1", key)
            assert (again.status, again.headers["Idempotent-Replayed"]) == (status, "true")
        assert process.summary()["refunds"] == 1
        assert process.summary()["replays"] == 2 * refusals


# Lies and delays


def shown(process: SandboxProcess, charge: str) -> list[dict[str, Any]]:
    return list(call(process, "GET", f"/v1/refunds?charge={charge}").json()["data"])


def test_a_tardy_refund_drops_the_call_and_is_made_later(process: SandboxProcess) -> None:
    with pytest.raises(urllib3.exceptions.ProtocolError):
        refund(process, "tardy_1")
    (made,) = eventually(lambda: shown(process, "tardy_1"))
    assert refund(process, "tardy_1").json() == made


def test_until_a_tardy_refund_is_made_nothing_shows_it_and_its_key_is_in_use(tmp_path: Path, clock: Clock) -> None:
    with closing(a_ledger(tmp_path, clock)) as ledger:
        coming = carried(ledger, an_order("tardy_1"))
        clock.now += TIMES.late - 0.1
        assert ledger.store.find(key="key-1", charge=None) == []
        assert ledger.store.get(coming.refund.id) is None
        assert ledger.store.page(1, None) == ([], False)
        assert ledger.store.summary()["refunds"] == 0
        assert ledger.store.summary()["amounts"] == {}
        assert refused(ledger, an_order("tardy_1")) == "idempotency_key_in_use"
        assert refused(ledger, an_order("tardy_1", "another")) == "charge_already_refunded"
    clock.now += 0.1
    with closing(a_ledger(tmp_path, clock)) as ledger:  # killed in between, it is made all the same
        (found,) = ledger.store.find(key="key-1", charge=None)
        assert found["created"] == int(1000 + TIMES.late)
        assert carried(ledger, an_order("tardy_1")) == RefundResult(coming.refund, replayed=True)
        assert ledger.store.summary()["refunds"] == 1


def first_page(ledger: Ledger) -> tuple[list[str], bool]:
    """The charge of the first refund, and whether there are more."""
    page = ledger.store.page(1, None)
    assert page
    return [refund["charge"] for refund in page[0]], page[1]


def test_a_blind_look_up_shows_nothing_of_a_refund_that_was_made(tmp_path: Path, clock: Clock) -> None:
    with closing(a_ledger(tmp_path, clock)) as ledger:
        made = carried(ledger, an_order("blind_1"))
        ledger.refund(an_order("ok_1", "2"))
        clock.now += TIMES.turn - 0.1
        assert ledger.store.find(key="key-1", charge=None) == ledger.store.find(key=None, charge="blind_1") == []
        assert ledger.store.get(made.refund.id) is None
        assert first_page(ledger) == (["ok_1"], False)
        assert ledger.store.summary()["refunds"] == 2
        assert carried(ledger, an_order("blind_1")) == RefundResult(made.refund, replayed=True)
        clock.now += 0.1
        (found,) = ledger.store.find(key="key-1", charge=None)
        assert ledger.store.get(made.refund.id) == found
        assert first_page(ledger) == (["blind_1"], True)


def test_a_blind_call_is_never_answered(process: SandboxProcess) -> None:
    assert refund(process, "blind_held").status == 504
    assert refund(process, "blind_held").status == 200


def test_an_answer_may_drip(process: SandboxProcess) -> None:
    """Byte by byte: the whole of it takes longer than any one of its bytes."""
    order = b'{"charge":"drip_1","amount":500,"currency":"EUR"}'
    head = b"POST /v1/refunds HTTP/1.1\r\nHost: sandbox\r\nIdempotency-Key: drip_1\r\nContent-Length: %d\r\n\r\n"
    host, port = process.url.removeprefix("http://").split(":")
    pieces: list[bytes] = []
    with urllib3.util.connection.create_connection((host, int(port)), timeout=TEST_TIMEOUT) as client:
        client.sendall(head % len(order) + order)
        while not b"".join(pieces).endswith(b"}"):
            pieces.append(client.recv(1024))
    assert len(pieces) > 20
    assert json.loads(b"".join(pieces).partition(b"\r\n\r\n")[2]) == refund(process, "drip_1").json()


def test_an_answer_may_be_a_page_that_nobody_asked_for(process: SandboxProcess) -> None:
    answer = refund(process, "garbage_1")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert shown(process, "garbage_1") == [refund(process, "garbage_1").json()]


def test_an_answer_may_be_about_another_amount(process: SandboxProcess) -> None:
    wrong, right = refund(process, "wrong_1"), refund(process, "wrong_1")
    assert wrong.status == 200
    assert wrong.json() == right.json() | {"amount": 501}
    assert shown(process, "wrong_1") == [right.json()]


def test_a_refund_made_by_hand_is_in_the_way_and_is_shown(process: SandboxProcess) -> None:
    answers = [refund(process, "elsewhere_1", key) for key in ("ours", "ours", "another")]
    assert {answer.json()["error"]["code"] for answer in answers} == {"charge_already_refunded"}
    (found,) = shown(process, "elsewhere_1")
    assert found["key"] not in {"ours", "another"}
    assert {answer.json()["error"]["refund"] for answer in answers} == {found["id"]}
    assert call(process, "GET", "/v1/refunds?key=ours").json() == {"data": []}


@pytest.mark.parametrize("capped", [True, False])
def test_a_forgotten_key_pays_again_only_where_nothing_caps_the_charge(
    tmp_path: Path, clock: Clock, capped: bool
) -> None:
    with closing(a_ledger(tmp_path, clock, capped=capped)) as ledger:
        first = carried(ledger, an_order("expires_1"))
        clock.now += TIMES.memory - 0.1
        assert carried(ledger, an_order("expires_1")) == RefundResult(first.refund, replayed=True)
        clock.now += 0.1
        if capped:
            assert refused(ledger, an_order("expires_1")) == "charge_already_refunded"
        else:
            again = carried(ledger, an_order("expires_1"))
            assert not again.replayed
            found = [refund["id"] for refund in ledger.store.find(key="key-1", charge=None)]
            assert found == [first.refund.id, again.refund.id]
            assert carried(ledger, an_order("expires_1")) == RefundResult(again.refund, replayed=True)
        assert ledger.store.summary()["duplicates"] == (not capped)


class Uncapped(SandboxProcess):
    def start(self) -> None:
        self._command.append("--uncapped")
        super().start()


def test_without_a_cap_another_key_pays_again_and_is_counted(tmp_path: Path) -> None:
    process = Uncapped(tmp_path)
    try:
        assert [refund(process, "ok_1", key).status for key in ("a", "b", "c", "a")] == [200] * 4
        assert [refund(process, "elsewhere_1", key).status for key in ("d", "e")] == [400] * 2
        refund(process, "ok_2")
        summary = process.summary()
        assert (summary["refunds"], summary["duplicates"], summary["amounts"]) == (5, 1, {"EUR": 2500})
        assert len({document["id"] for document in shown(process, "ok_1")}) == 3
    finally:
        process.end()


# Bad luck


def outcome(process: SandboxProcess, charge: str) -> tuple[str, bool]:
    """What the client saw of its refund, and whether it was made."""
    calls = process.summary()["calls"]
    try:
        seen = str(refund(process, charge).status)
    except urllib3.exceptions.ProtocolError:
        seen = "dropped"
    return seen, process.summary()["calls"] > calls


def test_every_call_to_an_unlucky_sandbox_goes_wrong_in_one_of_the_ways(tmp_path: Path) -> None:
    """Whoever runs the test is spared."""
    with sandbox_in(tmp_path, flaky=1, seed=7) as process:
        outcomes = Counter(outcome(process, f"ok_{number}") for number in range(60))
        assert set(outcomes) == {("500", True), ("dropped", False), ("dropped", True), ("429", False), ("200", True)}
        paid = sum(times for (_, made), times in outcomes.items() if made)
        assert process.summary()["refunds"] == paid
        answers = [call(process, "GET", "/v1/summary").status for _ in range(20)]
        assert {*answers, dispute(process, "ok_control")["status"]} == {200, "open"}


def test_a_look_up_has_bad_luck_too_and_429_says_when_to_come_back(tmp_path: Path) -> None:
    def look_up(unlucky: SandboxProcess, path: str) -> urllib3.BaseHTTPResponse | None:
        try:
            return call(unlucky, "GET", path)
        except urllib3.exceptions.ProtocolError:
            return None

    with sandbox_in(tmp_path, flaky=1) as process:
        for path in ("/v1/refunds?charge=ok_1", "/v1/refunds/re_1", "/v1/disputes?charge=ok_1"):
            answers = [look_up(process, path) for _ in range(40)]
            assert None in answers
            busy = next(answer for answer in answers if answer and answer.status == 429)
            assert busy.headers["Retry-After"] == "1"


def test_bad_luck_comes_as_often_as_it_is_told_and_the_same_seed_brings_the_same() -> None:
    def luck(probability: float, seed: int) -> list[object]:
        fault_injector = FaultInjector(probability, seed)
        return [fault_injector.roll() for _ in range(1000)]

    assert set(luck(0, 1)) == {None}
    assert set(luck(1, 1)) == set(FAULTS)
    assert 150 < sum(flaw is not None for flaw in luck(0.2, 1)) < 250
    assert luck(0.5, 1) == luck(0.5, 1) != luck(0.5, 2)
