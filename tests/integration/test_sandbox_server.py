"""Tests of the sandbox provider: its HTTP API, its journal of refunds and disputes, and its ledger of refunds.

The prefix of a charge, such as "pending" in "pending_1", selects the behaviour of the sandbox.
"""

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
from console.sandbox.rows import PageQuery
from domain.money import Money
from domain.providers import Declined, Paid, PaymentProvider, Unknown
from tests.doubles.sandbox import SHORT_TIMEOUT, TEST_TIMEOUT, SandboxProcess, sandbox_in
from tests.services import eventually

JOURNAL = "journal.jsonl"
FIVE_EUROS = Money(500, "EUR")
TIMES = Times()
ONE_ROW = PageQuery(limit=1, starting_after=None, since=0)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox"), hold=0.3, latency=0.001, drip=0.005) as process:
        yield process


def send(
    process: SandboxProcess, method: str, path: str, body: object = None, key: str | None = None
) -> urllib3.BaseHTTPResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib3.PoolManager(retries=False, timeout=TEST_TIMEOUT) as pool:
        return pool.request(method, f"{process.url}{path}", body=sent if method == "POST" else None, headers=headers)


def refund(process: SandboxProcess, charge: str, key: str | None = None, amount: int = 500) -> urllib3.BaseHTTPResponse:
    request = {"charge": charge, "amount": amount, "currency": "EUR"}
    return send(process, "POST", "/v1/refunds", request, key or charge)


def a_request(charge: str = "ok_1", key: str = "key-1", amount: int = 500) -> RefundRequest:
    return RefundRequest(charge, amount, "EUR", key)


def a_ledger(folder: Path, clock: Callable[[], float] = lambda: 0.0, *, capped: bool = True) -> Ledger:
    """Return a ledger. A capped ledger refuses a second refund of a charge, even with another key."""
    return Ledger(folder, TIMES, clock, capped=capped)


def refund_result(ledger: Ledger, request: RefundRequest) -> RefundResult:
    response = ledger.refund(request)
    assert isinstance(response, RefundResult)
    return response


def error_code(ledger: Ledger, request: RefundRequest) -> str:
    response = ledger.refund(request)
    assert isinstance(response, ErrorResponse)
    return response.code


class Clock:
    """A clock whose time a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# Over HTTP


def test_a_repeated_refund_gets_the_same_response(process: SandboxProcess) -> None:
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


def test_a_used_key_with_another_amount_is_a_conflict(process: SandboxProcess) -> None:
    refund(process, "ok_conflict")
    response = refund(process, "ok_conflict", amount=501)
    assert (response.status, response.json()["error"]["code"]) == (409, "idempotency_key_reuse")


def test_the_error_for_a_second_refund_contains_the_id_of_the_first_refund(process: SandboxProcess) -> None:
    first = refund(process, "ok_twice").json()
    response = refund(process, "ok_twice", key="another")
    assert response.status == 400
    assert response.json()["error"]["code"] == "charge_already_refunded"
    assert response.json()["error"]["refund"] == first["id"]


def test_a_429_response_has_a_retry_after_header(process: SandboxProcess) -> None:
    responses = [refund(process, "busy_1") for _ in range(3)]
    assert [response.status for response in responses] == [429, 429, 200]
    assert responses[0].headers["Retry-After"] == "1"


def test_the_first_call_for_a_hang_charge_gets_a_504_response(process: SandboxProcess) -> None:
    assert refund(process, "hang_bounded").status == 504
    assert refund(process, "hang_bounded").status == 200


def test_a_charge_with_an_unknown_prefix_is_refunded_normally(process: SandboxProcess) -> None:
    assert refund(process, "banana_1").json()["status"] == "succeeded"
    assert refund(process, "wordless").json()["status"] == "succeeded"


def test_a_refund_is_found_by_its_key_charge_or_id(process: SandboxProcess) -> None:
    refund_json = refund(process, "ok_find", key="the key & more").json()
    assert send(process, "GET", "/v1/refunds?key=the+key+%26+more").json() == {"data": [refund_json]}
    assert send(process, "GET", "/v1/refunds?charge=ok_find").json() == {"data": [refund_json]}
    assert send(process, "GET", "/v1/refunds?charge=ok_other&key=the+key+%26+more").json() == {"data": []}
    assert send(process, "GET", "/v1/refunds?key=nobody").json() == {"data": []}
    assert send(process, "GET", f"/v1/refunds/{refund_json['id']}").json() == refund_json


def test_the_pages_of_the_list_contain_all_refunds(process: SandboxProcess) -> None:
    refunds = [refund(process, f"ok_page{number}").json() for number in range(5)]
    listed: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        after = f"&starting_after={listed[-1]['id']}" if listed else ""
        page = send(process, "GET", f"/v1/refunds?limit=2{after}").json()
        listed += page["data"]
    assert [refund for refund in listed if refund in refunds] == refunds
    assert len(listed) == send(process, "GET", "/v1/summary").json()["refunds"]


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
def test_an_invalid_refund_request_gets_an_error_message(process: SandboxProcess, body: object) -> None:
    response = send(process, "POST", "/v1/refunds", body, key="nonsense")
    assert response.status == 400
    assert response.json()["error"]["message"].endswith(".")
    assert send(process, "GET", "/v1/refunds?key=nonsense").json() == {"data": []}


@pytest.mark.parametrize("key", [None, "", "x" * 256])
def test_a_refund_request_without_a_valid_key_is_refused(process: SandboxProcess, key: str | None) -> None:
    response = send(process, "POST", "/v1/refunds", {"charge": "ok_keyless", "amount": 5, "currency": "EUR"}, key)
    assert (response.status, response.json()["error"]["code"]) == (400, "idempotency_key_missing")


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
        ("GET", "/v1/refunds?since=yesterday", 400),
        ("GET", "/v1/disputes?limit=0", 400),
        ("GET", "/v1/disputes?starting_after=dp_nobody", 400),
        ("GET", "/v1/disputes/dp_nobody", 405),
        ("GET", "/v1/payments?starting_after=ok_nobody", 400),
        ("GET", "/v1/payments?since=-1", 400),
        ("GET", "/v1/payments/", 404),
        ("GET", "/v1/payments/missing_1", 404),
        ("DELETE", "/v1/payments/ok_1", 405),
        ("GET", "/v1/dashboard/refunds", 405),
    ],
)
def test_an_invalid_query_gets_an_error_message(process: SandboxProcess, method: str, path: str, status: int) -> None:
    response = send(process, method, path)
    assert response.status == status
    assert response.json()["error"]["message"].endswith(".")


def test_a_body_that_is_too_large_is_refused(process: SandboxProcess) -> None:
    assert send(process, "POST", "/v1/refunds", b" " * 65_537, key="large").status == 413


def test_an_incomplete_request_pays_nothing(process: SandboxProcess) -> None:
    """The client sends valid JSON and closes the connection, but Content-Length is larger than the JSON."""
    request = b'{"charge":"ok_half","amount":5,"currency":"EUR"}'
    head = b"POST /v1/refunds HTTP/1.1\r\nHost: sandbox\r\nIdempotency-Key: half\r\nContent-Length: 100\r\n\r\n"
    host, port = process.url.removeprefix("http://").split(":")
    calls = process.summary()["calls"]
    with urllib3.util.connection.create_connection((host, int(port))) as client:
        client.sendall(head + request)
    assert refund(process, "ok_after").status == 200
    assert process.summary()["calls"] == calls + 1
    assert send(process, "GET", "/v1/refunds?key=half").json() == {"data": []}


def test_the_sandbox_can_listen_on_a_unix_socket(tmp_path: Path) -> None:
    socket_path = tmp_path / "s"
    socket_path.touch()  # if an earlier sandbox was killed, the file of its socket still exists
    with sandbox_in(tmp_path, unix=socket_path) as process, socket.socket(socket.AF_UNIX) as client:
        assert process.url == f"unix://{socket_path}"
        client.settimeout(TEST_TIMEOUT)
        client.connect(str(socket_path))
        client.sendall(b"GET /v1/summary HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 200")


# The sandbox is killed


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
"""The HTTP status of the first response, by behaviour. None: the client gets no response, or an incorrect response."""
LATER_STATUSES = {"busy": [429, 200], "stored500": [500, 500]}
"""The HTTP statuses of the second and the third response, for two behaviours.

For every other behaviour, only the second response is tested: 400 if the first status was 400, and otherwise 200.
"""


@pytest.mark.parametrize("behaviour", FIRST_CALLS)
def test_a_restart_between_two_calls_does_not_change_the_later_responses(tmp_path: Path, behaviour: str) -> None:
    """After the first call, the sandbox is killed and restarted. It responds to the second call as if it had never stopped."""
    later_statuses = LATER_STATUSES.get(behaviour, [400] if FIRST_CALLS[behaviour] == 400 else [200])
    with sandbox_in(tmp_path) as process:
        response = process.adapter(SHORT_TIMEOUT if behaviour in ("hang", "blind") else TEST_TIMEOUT).refund(
            f"{behaviour}_1", FIVE_EUROS, key="1"
        )
        assert isinstance(response, Unknown) == (FIRST_CALLS[behaviour] not in (200, 400))
        before = process.summary()
        assert before["calls"] == 1
        process.end()
        process.start()
        assert process.summary() == before
        assert [refund(process, f"{behaviour}_1", key="1").status for _ in later_statuses] == later_statuses
        assert process.summary()["duplicates"] == 0


def test_after_a_kill_and_a_restart_every_confirmed_refund_still_exists(tmp_path: Path) -> None:
    paid_by_key: dict[str, Paid] = {}
    enough_paid = Event()

    def pay_until_killed(adapter: PaymentProvider, thread: int) -> None:
        for number in range(100_000):
            key = f"{thread}-{number}"
            response = adapter.refund(f"ok_{key}", Money(number + 1, "JPY"), key=key)
            if not isinstance(response, Paid):
                return
            paid_by_key[key] = response
            if len(paid_by_key) > 500:
                enough_paid.set()

    with sandbox_in(tmp_path) as process:
        with ThreadPoolExecutor(8) as threads:
            futures = [threads.submit(pay_until_killed, process.adapter(), thread) for thread in range(8)]
            assert enough_paid.wait(TEST_TIMEOUT)
            process.end()
            for future in futures:
                future.result(TEST_TIMEOUT)
        process.start()
        adapter = process.adapter()
        for key, paid in paid_by_key.items():
            assert adapter.look_up(f"ok_{key}", key=key) == paid
            assert adapter.refund(f"ok_{key}", paid.amount, key=key) == paid
        summary = process.summary()
        assert summary["duplicates"] == 0
        unanswered = summary["refunds"] - len(paid_by_key)
        assert 0 <= unanswered <= 8  # each of the 8 threads can have at most one paid refund whose response was lost


def test_a_pending_refund_succeeds_after_a_restart(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        assert refund(process, "pending_1").json()["status"] == "pending"
        process.end(signal.SIGTERM)
        process.start()
        found = eventually(lambda: _with_status(process, "pending_1", "succeeded"))
        assert found
        assert refund(process, "pending_1").json() == found | {"status": "pending", "bank_reference": None}


def _with_status(process: SandboxProcess, charge: str, status: str) -> dict[str, Any] | None:
    (found,) = send(process, "GET", f"/v1/refunds?charge={charge}").json()["data"]
    return found if found["status"] == status else None


# The journal


def test_the_sandbox_ignores_an_incomplete_last_line_of_the_journal(tmp_path: Path) -> None:
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.refund(a_request("ok_1", "1"))
        complete_size = (tmp_path / JOURNAL).stat().st_size
        ledger.refund(a_request("ok_2", "2"))
    text = (tmp_path / JOURNAL).read_bytes()
    for size in range(complete_size, len(text)):
        (tmp_path / JOURNAL).write_bytes(text[:size])
        with closing(a_ledger(tmp_path)) as ledger:
            assert ledger.store.summary()["refunds"] == 1
            assert isinstance(ledger.refund(a_request("ok_2", "2")), RefundResult)
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
def test_a_damaged_line_before_the_last_line_of_the_journal_is_an_error(tmp_path: Path, damage: str) -> None:
    with closing(a_ledger(tmp_path)) as ledger:
        ledger.refund(a_request())
    valid_lines = (tmp_path / JOURNAL).read_text()
    (tmp_path / JOURNAL).write_text(f"{valid_lines}{damage}\n{valid_lines}")
    for _ in range(2):  # the first start released the lock of the journal, so the second start also finds the damage
        with pytest.raises(JournalDamagedError, match="record"):
            a_ledger(tmp_path)


def test_two_sandboxes_cannot_use_the_same_folder(tmp_path: Path) -> None:
    with closing(a_ledger(tmp_path)), pytest.raises(JournalInUseError, match="Another sandbox"):
        a_ledger(tmp_path)


@pytest.mark.parametrize("written", [0, 10])
def test_a_full_disk_causes_an_error_and_no_incomplete_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    write = os.write

    def write_partly(file: int, line: bytes) -> int:
        if not written:
            raise OSError("No space left on device")
        return write(file, line[:written])

    with closing(a_ledger(tmp_path)) as ledger:
        ledger.refund(a_request("ok_1", "1"))
        with monkeypatch.context() as patch:
            patch.setattr("console.sandbox.journal.os.write", write_partly)
            with pytest.raises(OSError, match="could not be written"):
                ledger.refund(a_request("ok_2", "2"))
        assert ledger.store.summary()["refunds"] == 1
        assert isinstance(ledger.refund(a_request("ok_2", "2")), RefundResult)
    with closing(a_ledger(tmp_path)) as ledger:
        assert ledger.store.summary()["refunds"] == 2


def test_a_sandbox_with_a_full_disk_answers_503_and_stores_nothing(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        refund(process, "ok_1")
        pid, size = process._process.pid, (tmp_path / JOURNAL).stat().st_size
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        responses = [
            refund(process, "ok_2"),
            refund(process, "ok_1"),
            send(process, "POST", "/v1/disputes", {"charge": "ok_3", "status": "open"}),
        ]
        assert {(response.status, response.json()["error"]["code"]) for response in responses} == {
            (503, "journal_unwritable")
        }
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert process.summary()["refunds"] == 1
        assert refund(process, "ok_2").status == refund(process, "ok_3").status == 200


# The ledger


@pytest.mark.parametrize(
    ("behaviour", "first", "later"),
    [
        ("ok", "succeeded", "succeeded"),
        ("pending", "pending", "succeeded"),
        ("latefail", "succeeded", "failed"),
        ("pendingfail", "pending", "failed"),
    ],
)
def test_a_refund_has_its_final_status_after_three_seconds(
    tmp_path: Path, behaviour: str, first: str, later: str
) -> None:
    instants = [1000.0]
    with closing(a_ledger(tmp_path, lambda: instants[-1])) as ledger:
        ledger.refund(a_request(f"{behaviour}_1"))
        for instant, status in [(1002.9, first), (1003.0, later), (9999.0, later)]:
            instants.append(instant)
            (found,) = ledger.store.find(key="key-1", charge=None)
            assert found["status"] == status
            assert ledger.store.summary()["failed"] == (status == "failed")


REQUESTS = st.builds(
    a_request,
    charge=st.builds("{}_{}".format, st.sampled_from([*BEHAVIOURS]), st.integers(1, 2)),
    key=st.sampled_from("abcdef"),
    amount=st.sampled_from([500, 501]),
)


@settings(max_examples=200, deadline=None)
@given(requests=st.lists(REQUESTS | st.just("restart"), max_size=30), capped=st.booleans())
def test_a_key_makes_one_refund_and_a_capped_ledger_refunds_a_charge_once(
    tmp_path_factory: pytest.TempPathFactory, requests: list[RefundRequest | str], capped: bool
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    clock = Clock()
    ledger = a_ledger(folder, clock, capped=capped)
    paid: dict[str, RefundResult] = {}
    external_charges: set[str] = set()
    approvals: set[tuple[str, str | None]] = set()  # a capped sandbox approves one refund of a charge
    for request in requests:
        if isinstance(request, str):
            before = ledger.store.summary()
            ledger.close()
            ledger = a_ledger(folder, clock, capped=capped)
            assert ledger.store.summary() == before
            continue
        response = ledger.refund(request)
        if isinstance(response, ErrorResponse):
            if response.code == "approval_required" and request.charge.startswith("approval"):
                approvals.add((request.charge, None if capped else request.key))
            if response.code == "charge_already_refunded" and request.charge.startswith(("elsewhere", "part")):
                external_charges.add(request.charge)
            continue
        assert response.replayed == (request.key in paid)
        assert response.refund == paid.setdefault(str(request.key), response).refund
        assert (response.refund.charge, response.refund.amount) == (request.charge, request.amount)
    ledger.close()
    clock.now += 1000  # now the sandbox has made all delayed and all approved refunds
    charges = Counter([*(result.refund.charge for result in paid.values()), *(charge for charge, _ in approvals)])
    summary = ledger.store.summary()
    assert summary["refunds"] == len(paid) + len(external_charges) + len(approvals)
    assert summary["duplicates"] == sum(count > 1 for count in charges.values())
    assert summary["duplicates"] == 0 or not capped
    assert summary["calls"] == sum(isinstance(request, RefundRequest) for request in requests)


def test_a_decline_is_the_same_for_every_key(process: SandboxProcess) -> None:
    responses = [process.adapter().refund("disputed_1", FIVE_EUROS, key=key) for key in ("a", "b", "a")]
    assert all(isinstance(response, Declined) for response in responses)
    assert len(set(responses)) == 1


# Disputes


def dispute(process: SandboxProcess, charge: str, status: str = "open") -> dict[str, Any]:
    open_dispute = send(process, "POST", "/v1/disputes", {"charge": charge, "status": "open"}).json()
    if status == "open":
        return dict(open_dispute)
    return dict(send(process, "POST", f"/v1/disputes/{open_dispute['id']}", {"status": status}).json())


@pytest.mark.parametrize("status", ["open", "lost"])
def test_a_charge_with_an_open_or_lost_dispute_is_not_refunded(process: SandboxProcess, status: str) -> None:
    charge = f"ok_disputed_{status}"
    disputed = dispute(process, charge, status)
    created = disputed["created"]
    respond_by = created + 7 * 86_400 if status == "open" else None
    assert disputed == {
        "id": disputed["id"],
        "charge": charge,
        "status": status,
        "created": created,
        "respond_by": respond_by,
    }
    assert 0 <= time.time() - disputed["created"] < TEST_TIMEOUT
    response = refund(process, charge)
    assert (response.status, response.json()["error"]["code"]) == (400, "charge_disputed")
    assert send(process, "GET", f"/v1/disputes?charge={charge}").json() == {"data": [disputed]}


def test_a_charge_with_a_won_dispute_is_refunded(process: SandboxProcess) -> None:
    dispute(process, "ok_won", "won")
    assert refund(process, "ok_won").status == 200
    assert refund(process, "disputed_then_won").status == 400
    (open_dispute,) = send(process, "GET", "/v1/disputes?charge=disputed_then_won").json()["data"]
    send(process, "POST", f"/v1/disputes/{open_dispute['id']}", {"status": "won"})
    assert refund(process, "disputed_then_won").status == 200


def test_after_a_dispute_the_same_key_returns_the_earlier_refund(process: SandboxProcess) -> None:
    refund_json = refund(process, "ok_before").json()
    dispute(process, "ok_before")
    assert refund(process, "ok_before").json() == refund_json
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
def test_an_invalid_dispute_gets_an_error_message(process: SandboxProcess, body: object) -> None:
    before = process.summary()["disputes"]
    response = send(process, "POST", "/v1/disputes", body)
    assert response.status == 400
    assert response.json()["error"]["message"].endswith(".")
    assert process.summary()["disputes"] == before


def test_a_charge_has_at_most_one_open_dispute_and_a_dispute_is_closed_once(process: SandboxProcess) -> None:
    open_dispute = dispute(process, "ok_closing")
    assert send(process, "POST", "/v1/disputes", {"charge": "ok_closing", "status": "open"}).status == 409
    path = f"/v1/disputes/{open_dispute['id']}"
    assert send(process, "POST", path, {"status": "open"}).status == 409
    for invalid in ({"status": "inquiry"}, {"status": ["won"]}, {"status": "won", "why": "luck"}, {}):
        assert send(process, "POST", path, invalid).status == 400
    assert send(process, "POST", "/v1/disputes/dp_nobody", {"status": "won"}).status == 404
    assert send(process, "POST", path, {"status": "won"}).status == 200
    assert send(process, "POST", path, {"status": "lost"}).status == 409
    second = dispute(process, "ok_closing")
    disputes = send(process, "GET", "/v1/disputes?charge=ok_closing").json()["data"]
    assert disputes == [open_dispute | {"status": "won", "respond_by": None}, second]


def test_a_dispute_with_a_body_that_is_too_large_is_refused(process: SandboxProcess) -> None:
    assert send(process, "POST", "/v1/disputes", b" " * 65_537).status == 413
    assert send(process, "POST", "/v1/disputes/dp_1", b" " * 65_537).status == 413


def test_after_a_kill_and_a_restart_the_disputes_still_exist(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        dispute(process, "ok_lost", "lost")
        dispute(process, "ok_open")
        before = process.summary()
        assert before["disputes"] == {"inquiry": 0, "open": 1, "won": 0, "lost": 1}
        process.end()
        process.start()
        assert process.summary() == before
        assert refund(process, "ok_lost").status == refund(process, "ok_open").status == 400


def test_a_crossing_charge_gets_a_dispute_after_its_refund(tmp_path: Path, clock: Clock) -> None:
    """The sandbox opens a dispute of the charge when ``TIMES.turn`` seconds have passed since the refund."""
    with closing(a_ledger(tmp_path, clock)) as ledger:
        first = refund_result(ledger, a_request("crossing_1"))
        clock.now += TIMES.turn - 0.1
        assert ledger.store.disputes_of("crossing_1") == []
        assert ledger.store.summary()["disputes"]["open"] == 0
        assert error_code(ledger, a_request("crossing_1", "another")) == "charge_already_refunded"
        clock.now += 0.1
        (open_dispute,) = ledger.store.disputes_of("crossing_1")
        assert (open_dispute["status"], open_dispute["created"]) == ("open", int(1000 + TIMES.turn))
        assert error_code(ledger, a_request("crossing_1", "another")) == "charge_disputed"
        assert refund_result(ledger, a_request("crossing_1")) == RefundResult(first.refund, replayed=True)
        assert isinstance(ledger.change_dispute(open_dispute["id"], "lost"), Dispute)
    with closing(a_ledger(tmp_path, clock)) as ledger:
        assert ledger.store.disputes_of("crossing_1") == [open_dispute | {"status": "lost", "respond_by": None}]


# Stored errors


@pytest.mark.parametrize(
    ("behaviour", "refusals", "status", "code"),
    [
        ("broke", 2, 400, "insufficient_balance"),
        ("early", 2, 400, "charge_not_settled"),
        ("stored500", 1, 500, "internal_error"),
    ],
)
def test_a_stored_error_is_returned_again_for_the_same_key_but_a_new_key_pays(
    tmp_path: Path, behaviour: str, refusals: int, status: int, code: str
) -> None:
    with sandbox_in(tmp_path) as process:
        keys = [f"key-{number}" for number in range(refusals)]
        for key in keys:
            first, second = refund(process, f"{behaviour}_1", key), refund(process, f"{behaviour}_1", key)
            assert (first.status, first.json()["error"]["code"]) == (status, code)
            assert (second.status, second.data) == (first.status, first.data)
            assert "Idempotent-Replayed" not in first.headers
            assert second.headers["Idempotent-Replayed"] == "true"
        assert refund(process, f"{behaviour}_1", keys[0], amount=501).status == 409
        assert process.summary()["refunds"] == 0
        process.end()
        process.start()
        assert refund(process, f"{behaviour}_1", "new").status == 200
        for key in keys:
            second = refund(process, f"{behaviour}_1", key)
            assert (second.status, second.headers["Idempotent-Replayed"]) == (status, "true")
        assert process.summary()["refunds"] == 1
        assert process.summary()["replays"] == 2 * refusals


# Wrong and delayed responses


def listed_refunds(process: SandboxProcess, charge: str) -> list[dict[str, Any]]:
    return list(send(process, "GET", f"/v1/refunds?charge={charge}").json()["data"])


def test_the_refund_of_a_tardy_charge_is_made_after_its_connection_was_closed(process: SandboxProcess) -> None:
    with pytest.raises(urllib3.exceptions.ProtocolError):
        refund(process, "tardy_1")
    (refund_json,) = eventually(lambda: listed_refunds(process, "tardy_1"))
    assert refund(process, "tardy_1").json() == refund_json


def test_a_tardy_refund_is_invisible_and_its_key_is_in_use_until_it_is_made(tmp_path: Path, clock: Clock) -> None:
    with closing(a_ledger(tmp_path, clock)) as ledger:
        tardy_refund = refund_result(ledger, a_request("tardy_1"))
        clock.now += TIMES.late - 0.1
        assert ledger.store.find(key="key-1", charge=None) == []
        assert ledger.store.get(tardy_refund.refund.id) is None
        assert ledger.store.page(ONE_ROW) == ([], False)
        assert ledger.store.summary()["refunds"] == 0
        assert ledger.store.summary()["amounts"] == {}
        assert error_code(ledger, a_request("tardy_1")) == "idempotency_key_in_use"
        assert error_code(ledger, a_request("tardy_1", "another")) == "charge_already_refunded"
    clock.now += 0.1
    with closing(a_ledger(tmp_path, clock)) as ledger:  # a restart after the call, before the refund is made
        (found,) = ledger.store.find(key="key-1", charge=None)
        assert found["created"] == int(1000 + TIMES.late)
        assert refund_result(ledger, a_request("tardy_1")) == RefundResult(tardy_refund.refund, replayed=True)
        assert ledger.store.summary()["refunds"] == 1


def first_page(ledger: Ledger) -> tuple[list[str], bool]:
    """Return a list with the charge of the first refund, and True if there are more refunds."""
    page = ledger.store.page(ONE_ROW)
    assert page
    return [refund["charge"] for refund in page[0]], page[1]


def test_the_refund_of_a_blind_charge_is_invisible_for_some_seconds(tmp_path: Path, clock: Clock) -> None:
    with closing(a_ledger(tmp_path, clock)) as ledger:
        first = refund_result(ledger, a_request("blind_1"))
        ledger.refund(a_request("ok_1", "2"))
        clock.now += TIMES.turn - 0.1
        assert ledger.store.find(key="key-1", charge=None) == ledger.store.find(key=None, charge="blind_1") == []
        assert ledger.store.get(first.refund.id) is None
        assert first_page(ledger) == (["ok_1"], False)
        assert ledger.store.summary()["refunds"] == 2
        assert refund_result(ledger, a_request("blind_1")) == RefundResult(first.refund, replayed=True)
        clock.now += 0.1
        (found,) = ledger.store.find(key="key-1", charge=None)
        assert ledger.store.get(first.refund.id) == found
        assert first_page(ledger) == (["blind_1"], True)


def test_the_first_call_for_a_blind_charge_gets_a_504_response(process: SandboxProcess) -> None:
    assert refund(process, "blind_held").status == 504
    assert refund(process, "blind_held").status == 200


def test_a_drip_charge_gets_its_response_byte_by_byte(process: SandboxProcess) -> None:
    request = b'{"charge":"drip_1","amount":500,"currency":"EUR"}'
    head = b"POST /v1/refunds HTTP/1.1\r\nHost: sandbox\r\nIdempotency-Key: drip_1\r\nContent-Length: %d\r\n\r\n"
    host, port = process.url.removeprefix("http://").split(":")
    pieces: list[bytes] = []
    with urllib3.util.connection.create_connection((host, int(port)), timeout=TEST_TIMEOUT) as client:
        client.sendall(head % len(request) + request)
        while not b"".join(pieces).endswith(b"}"):
            pieces.append(client.recv(1024))
    assert len(pieces) > 20
    assert json.loads(b"".join(pieces).partition(b"\r\n\r\n")[2]) == refund(process, "drip_1").json()


def test_a_garbage_charge_gets_an_html_response(process: SandboxProcess) -> None:
    response = refund(process, "garbage_1")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html")
    with pytest.raises(json.JSONDecodeError):
        response.json()
    assert listed_refunds(process, "garbage_1") == [refund(process, "garbage_1").json()]


def test_a_wrong_charge_gets_a_response_with_another_amount(process: SandboxProcess) -> None:
    incorrect, correct = refund(process, "wrong_1"), refund(process, "wrong_1")
    assert incorrect.status == 200
    assert incorrect.json() == correct.json() | {"amount": 501}
    assert listed_refunds(process, "wrong_1") == [correct.json()]


def test_an_elsewhere_charge_has_an_external_refund(process: SandboxProcess) -> None:
    responses = [refund(process, "elsewhere_1", key) for key in ("ours", "ours", "another")]
    assert {response.json()["error"]["code"] for response in responses} == {"charge_already_refunded"}
    (found,) = listed_refunds(process, "elsewhere_1")
    assert found["key"] not in {"ours", "another"}
    assert {response.json()["error"]["refund"] for response in responses} == {found["id"]}
    assert send(process, "GET", "/v1/refunds?key=ours").json() == {"data": []}


@pytest.mark.parametrize("capped", [True, False])
def test_an_expired_key_pays_again_only_if_the_ledger_is_uncapped(tmp_path: Path, clock: Clock, capped: bool) -> None:
    with closing(a_ledger(tmp_path, clock, capped=capped)) as ledger:
        first = refund_result(ledger, a_request("expires_1"))
        clock.now += TIMES.memory - 0.1
        assert refund_result(ledger, a_request("expires_1")) == RefundResult(first.refund, replayed=True)
        clock.now += 0.1
        if capped:
            assert error_code(ledger, a_request("expires_1")) == "charge_already_refunded"
        else:
            second = refund_result(ledger, a_request("expires_1"))
            assert not second.replayed
            found = [refund["id"] for refund in ledger.store.find(key="key-1", charge=None)]
            assert found == [first.refund.id, second.refund.id]
            assert refund_result(ledger, a_request("expires_1")) == RefundResult(second.refund, replayed=True)
        assert ledger.store.summary()["duplicates"] == (not capped)


class UncappedSandbox(SandboxProcess):
    """A sandbox that refunds a charge again if the key is new. Some providers do this."""

    def start(self) -> None:
        self._command.append("--uncapped")
        super().start()


def test_an_uncapped_sandbox_refunds_a_charge_once_for_each_key(tmp_path: Path) -> None:
    process = UncappedSandbox(tmp_path)
    try:
        assert [refund(process, "ok_1", key).status for key in ("a", "b", "c", "a")] == [200] * 4
        assert [refund(process, "elsewhere_1", key).status for key in ("d", "e")] == [400] * 2
        refund(process, "ok_2")
        summary = process.summary()
        assert (summary["refunds"], summary["duplicates"], summary["amounts"]) == (5, 1, {"EUR": 2500})
        assert len({document["id"] for document in listed_refunds(process, "ok_1")}) == 3
    finally:
        process.end()


# Random faults


def outcome(process: SandboxProcess, charge: str) -> tuple[str, bool]:
    """Refund a charge. Return the status that the client got or "dropped", and True if the sandbox carried out the call."""
    calls = process.summary()["calls"]
    try:
        client_result = str(refund(process, charge).status)
    except urllib3.exceptions.ProtocolError:
        client_result = "dropped"
    return client_result, process.summary()["calls"] > calls


def test_every_refund_call_to_a_flaky_sandbox_has_a_fault(tmp_path: Path) -> None:
    """A 200 response comes late, which is also a fault.

    Calls that read the summary or open a dispute have no faults, because only tests send these calls.
    """
    with sandbox_in(tmp_path, flaky=1, seed=7) as process:
        outcomes = Counter(outcome(process, f"ok_{number}") for number in range(60))
        assert set(outcomes) == {("500", True), ("dropped", False), ("dropped", True), ("429", False), ("200", True)}
        paid = sum(count for (_, carried_out), count in outcomes.items() if carried_out)
        assert process.summary()["refunds"] == paid
        responses = [send(process, "GET", "/v1/summary").status for _ in range(20)]
        assert {*responses, dispute(process, "ok_control")["status"]} == {200, "open"}


def test_lookups_of_a_flaky_sandbox_have_faults(tmp_path: Path) -> None:
    def look_up(flaky_sandbox: SandboxProcess, path: str) -> urllib3.BaseHTTPResponse | None:
        try:
            return send(flaky_sandbox, "GET", path)
        except urllib3.exceptions.ProtocolError:
            return None

    with sandbox_in(tmp_path, flaky=1) as process:
        for path in ("/v1/refunds?charge=ok_1", "/v1/refunds/re_1", "/v1/disputes?charge=ok_1"):
            responses = [look_up(process, path) for _ in range(40)]
            assert None in responses
            too_many = next(response for response in responses if response and response.status == 429)
            assert too_many.headers["Retry-After"] == "1"


def test_the_probability_and_the_seed_determine_the_faults() -> None:
    def rolls(probability: float, seed: int) -> list[object]:
        fault_injector = FaultInjector(probability, seed)
        return [fault_injector.roll() for _ in range(1000)]

    assert set(rolls(0, 1)) == {None}
    assert set(rolls(1, 1)) == set(FAULTS)
    assert 150 < sum(fault is not None for fault in rolls(0.2, 1)) < 250
    assert rolls(0.5, 1) == rolls(0.5, 1) != rolls(0.5, 2)
