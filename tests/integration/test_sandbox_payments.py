"""Tests of the sandbox's payments: they are registered, survive a restart, and limit the refunds of a charge."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import urllib3

from console.sandbox.behaviours import Times
from console.sandbox.errors import ErrorResponse
from console.sandbox.ledger import Ledger, RefundResult
from console.sandbox.payments import Payment
from console.sandbox.refund_requests import RefundRequest
from console.sandbox.refunds import Refund
from console.sandbox.rows import PageQuery
from domain.money import Money
from domain.providers import Paid, PaymentStatus, WaitingForApproval
from tests.doubles.sandbox import SandboxProcess, sandbox_in

TIMES = Times()
FIRST_PAGE = PageQuery(limit=100, starting_after=None, since=0)


class Clock:
    """A clock whose time a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_request(charge: str, amount: int = 500, key: str | None = "key-1") -> RefundRequest:
    return RefundRequest(charge, amount, "EUR", key)


def error_code(result: object) -> str:
    assert isinstance(result, ErrorResponse)
    return result.code


def post(process: SandboxProcess, path: str, body: object) -> tuple[int, dict[str, Any]]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = urllib3.request("POST", f"{process.url}{path}", body=sent, retries=False)
    return response.status, dict(response.json())


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with sandbox_in(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


A_PAYMENT = {"charge": "ok_1", "amount": 4900, "currency": "EUR"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hm?",
        b"[" * 60_000,
        [],
        {},
        {"charge": "ok_1", "amount": 4900},
        A_PAYMENT | {"charge": ""},
        A_PAYMENT | {"charge": "x" * 256},
        A_PAYMENT | {"amount": 0},
        A_PAYMENT | {"amount": "4900"},
        A_PAYMENT | {"amount": True},
        A_PAYMENT | {"currency": "euro"},
        A_PAYMENT | {"currency": ["EUR"]},
        A_PAYMENT | {"status": "refunded"},
        A_PAYMENT | {"method": 7},
        A_PAYMENT | {"email": "a\nb"},
        A_PAYMENT | {"tax": -1},
        A_PAYMENT | {"metadata": ["seller"]},
        A_PAYMENT | {"metadata": {"seller": 7}},
        A_PAYMENT | {"created": "today"},
        A_PAYMENT | {"refunded": 1},
    ],
)
def test_an_invalid_registration_gets_an_error_message(process: SandboxProcess, body: object) -> None:
    status, document = post(process, "/v1/payments", body)
    assert status == 400
    assert document["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        b"hm?",
        [],
        A_PAYMENT | {"amount": 0},
        A_PAYMENT | {"currency": "euro"},
        A_PAYMENT | {"charge": None},
        A_PAYMENT | {"becomes": "succeeded"},
        A_PAYMENT | {"key": "key-1"},
    ],
)
def test_an_invalid_refund_by_hand_gets_an_error_message(process: SandboxProcess, body: object) -> None:
    status, document = post(process, "/v1/dashboard/refunds", body)
    assert (status, document["error"]["code"]) == (400, "invalid_dashboard_refund")


def test_bodies_that_are_too_large_are_refused(process: SandboxProcess) -> None:
    for path in ("/v1/payments", "/v1/dashboard/refunds"):
        assert post(process, path, b" " * 65_537)[0] == 413


def test_another_payment_with_the_same_charge_is_refused(process: SandboxProcess) -> None:
    registered = process.register("ok_registered", 4900, tax=0)
    assert process.register("ok_registered", 4900, tax=0, created=1) == registered
    for change in ({"amount": 4901}, {"currency": "USD"}, {"email": "bob@example.com"}):
        body = {"charge": "ok_registered", "amount": 4900, "currency": "EUR", "tax": 0} | change
        assert post(process, "/v1/payments", body)[1]["error"]["code"] == "payment_exists"


def test_payments_and_approvals_survive_a_kill(tmp_path: Path) -> None:
    with sandbox_in(tmp_path, turn=60) as process:
        adapter, price = process.adapter(), Money(4900, "EUR")
        for charge in ("ok_1", "approval_1", "part_1", "chargeback_1"):
            process.register(charge, metadata={"seller": "kumo"})
        process.refund_by_hand("ok_1", 1000)
        adapter.refund("approval_1", price, key="key-1")
        before = [adapter.payment(charge) for charge in ("ok_1", "approval_1", "part_1", "chargeback_1")]
        process.end()
        process.start()
        adapter = process.adapter()
        assert [adapter.payment(charge) for charge in ("ok_1", "approval_1", "part_1", "chargeback_1")] == before
        assert [status.refunded for status in before if isinstance(status, PaymentStatus)] == [1000, 0, 980, 0]
        assert adapter.refund("approval_1", price, key="key-1") == WaitingForApproval("approval_required")
        assert process.summary()["approval_requests"] == 1


def test_a_registered_payment_is_refunded_in_parts_up_to_its_amount(tmp_path: Path, clock: Clock) -> None:
    with closing(Ledger(tmp_path, TIMES, clock)) as ledger:
        ledger.register(Payment("ok_1", 1000, "EUR"))
        assert isinstance(ledger.refund(a_request("ok_1", 400, "key-1")), RefundResult)
        assert isinstance(ledger.refund_by_hand(a_request("ok_1", 400, None), fails=False), Refund)
        assert error_code(ledger.refund(a_request("ok_1", 201, "key-2"))) == "amount_exceeds_unrefunded"
        assert (
            error_code(ledger.refund_by_hand(a_request("ok_1", 201, None), fails=False)) == "amount_exceeds_unrefunded"
        )
        assert isinstance(ledger.refund(a_request("ok_1", 200, "key-3")), RefundResult)
        assert error_code(ledger.refund(a_request("ok_1", 1, "key-4"))) == "charge_already_refunded"
        assert ledger.store.summary()["duplicates"] == 0
        assert ledger.store.summary()["amounts"] == {"EUR": 1000}


def test_an_uncapped_sandbox_refunds_more_than_the_payment(tmp_path: Path, clock: Clock) -> None:
    with closing(Ledger(tmp_path, TIMES, clock, capped=False)) as ledger:
        ledger.register(Payment("ok_1", 1000, "EUR"))
        for key in ("key-1", "key-2"):
            assert isinstance(ledger.refund(a_request("ok_1", 600, key)), RefundResult)
        assert ledger.store.summary()["duplicates"] == 1


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("missing", "no_such_charge"), ("voided", "charge_not_captured"), ("chargeback", "charge_disputed")],
)
def test_a_refund_by_hand_has_the_same_limits(tmp_path: Path, behaviour: str, code: str) -> None:
    with closing(Ledger(tmp_path, TIMES)) as ledger:
        assert error_code(ledger.refund_by_hand(a_request(f"{behaviour}_1", 500, None), fails=False)) == code


@pytest.mark.parametrize("status", ["pending", "canceled", "requires_action"])
def test_a_refund_changes_its_status_once(tmp_path: Path, clock: Clock, status: str) -> None:
    behaviour, later = {
        "pending": ("pending", "succeeded"),
        "canceled": ("canceled", "canceled"),
        "requires_action": ("action", "succeeded"),
    }[status]
    with closing(Ledger(tmp_path, TIMES, clock)) as ledger:
        ledger.register(Payment(f"{behaviour}_1", 500, "EUR"))
        ledger.refund(a_request(f"{behaviour}_1"))
        assert ledger.store.payment_document(f"{behaviour}_1")["refunded"] == 500
        clock.now += TIMES.turn
        (found,) = ledger.store.find(key="key-1", charge=None)
        assert found["status"] == later
        assert ledger.store.payment_document(f"{behaviour}_1")["refunded"] == (0 if later == "canceled" else 500)


@pytest.mark.parametrize("capped", [True, False])
def test_two_approval_requests_pay_twice_only_if_the_ledger_is_uncapped(
    tmp_path: Path, clock: Clock, capped: bool
) -> None:
    with closing(Ledger(tmp_path, TIMES, clock, capped=capped)) as ledger:
        for key in ("key-1", "key-2"):
            assert error_code(ledger.refund(a_request("approval_1", key=key))) == "approval_required"
        assert ledger.store.page(FIRST_PAGE) == ([], False)
        clock.now += TIMES.turn
        page = ledger.store.page(FIRST_PAGE)
        assert page
        assert [row["status"] for row in page.rows] == ["succeeded"] * (1 if capped else 2)
        summary = ledger.store.summary()
        assert (summary["approval_requests"], summary["duplicates"]) == (2, 0 if capped else 1)


def test_a_denied_approval_pays_nothing(tmp_path: Path, clock: Clock) -> None:
    with closing(Ledger(tmp_path, TIMES, clock)) as ledger:
        assert error_code(ledger.refund(a_request("denied_1"))) == "approval_required"
        clock.now += TIMES.turn
        assert [row["status"] for row in ledger.store.find(key="key-1", charge=None)] == ["canceled"]
        assert ledger.store.page(FIRST_PAGE) == ([], False)
        assert ledger.store.summary()["refunds"] == 0


def test_a_look_at_a_payment_has_random_faults(tmp_path: Path) -> None:
    with sandbox_in(tmp_path, flaky=1) as process:
        statuses = set()
        for _ in range(40):
            try:
                statuses.add(urllib3.request("GET", f"{process.url}/v1/payments/ok_1", retries=False).status)
            except urllib3.exceptions.ProtocolError:
                statuses.add(0)
        assert {0, 429, 500} <= statuses
        assert process.register("ok_2")["amount"] == 4900  # only tests register payments, so they get no faults


def test_the_refund_of_a_registered_payment_is_paid(process: SandboxProcess) -> None:
    process.register("ok_paid", 500)
    paid = process.adapter().refund("ok_paid", Money(500, "EUR"), key="paid")
    assert isinstance(paid, Paid)
