"""The sandbox tells what happens, signed, until it was heard; and on request it tells it badly."""

import json
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
import urllib3
from pydantic import SecretStr

from config.provider_accounts import SandboxAccount
from console.sandbox.behaviours import Times
from console.sandbox.ledger import Ledger
from console.sandbox.refund_requests import RefundRequest
from console.sandbox.webhooks import PAUSES
from domain.money import Money
from domain.providers import DisputeStatus, Failed, Paid, Pending
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, WebhookEvent
from tests.doubles.sandbox import TEST_TIMEOUT, SandboxProcess, sandbox_in
from tests.services import ChildProcess, eventually
from worker.providers.sandbox.webhooks import create_webhook_parser

FIVE_EUROS = Money(500, "EUR")


class Received(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def read(self, secret: str = "sandbox") -> WebhookEvent | InvalidSignature:
        """As the product's own reader reads it."""
        account = SandboxAccount(url="http://127.0.0.1:1", webhook_secret=SecretStr(secret))
        read = create_webhook_parser(account, provider_timeout_seconds=1).read(
            self.headers, self.body, datetime.now(UTC)
        )
        return read if isinstance(read, InvalidSignature) else read[0]


class Receiver:
    """Whoever is told. It answers what ``answers`` has, and 204 when that is used up."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.refuses = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(headers, body))
                answer = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(503 if receiver.refuses else answer)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the tests say what arrived."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/webhooks/sandbox"

    def told(self, charge: str) -> list[Received]:
        return [received for received in [*self.received] if received.event["data"]["charge"] == charge]

    def types(self, charge: str) -> list[str]:
        return [received.event["type"] for received in self.told(charge)]


@contextmanager
def listening() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiver.server:
        thread = Thread(target=receiver.server.serve_forever, args=(0.01,))
        thread.start()
        yield receiver
        receiver.server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SandboxProcess, Receiver]]:
    """One of each for all tests that do not disturb them: every test has charges of its own."""
    folder = tmp_path_factory.mktemp("sandbox")
    with listening() as receiver, sandbox_in(folder, webhooks=receiver.url, turn=0.5) as process:
        yield process, receiver


def post(url: str, path: str, document: object, key: str = "") -> dict[str, Any]:
    headers = {"Idempotency-Key": key}
    answer = urllib3.request(
        "POST", f"{url}{path}", json=document, headers=headers, retries=False, timeout=TEST_TIMEOUT
    )
    assert answer.status == 200, answer.data
    return dict(answer.json())


def refund(url: str, charge: str) -> dict[str, Any]:
    return post(url, "/v1/refunds", {"charge": charge, "amount": 500, "currency": "EUR"}, key=f"key of {charge}")


def all_told(process: SandboxProcess) -> dict[str, int] | None:
    """What the summary says of the webhooks, once nothing waits."""
    webhooks = process.summary()["webhooks"]
    return None if webhooks["waiting"] else dict(webhooks)


def test_a_refund_is_told_and_signed(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    made = refund(process.url, "ok_1")
    (told,) = eventually(lambda: receiver.told("ok_1"))
    assert told.event == {
        "id": told.event["id"],
        "type": "refund.created",
        "created": made["created"],
        "data": made,
    }
    assert told.event["id"].startswith("ev_")
    assert told.headers["content-type"] == "application/json"
    notice = told.read()
    assert isinstance(notice, WebhookEvent)
    assert (notice.event_id, notice.charge, notice.refund_id) == (told.event["id"], "ok_1", made["id"])
    assert notice.reported == Paid(made["id"], FIVE_EUROS)
    assert isinstance(told.read("another secret"), InvalidSignature)


@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [("pending", Pending, Paid), ("pendingfail", Pending, Failed), ("latefail", Paid, Failed)],
)
def test_a_status_that_turns_is_told_when_it_turned(
    shared: tuple[SandboxProcess, Receiver], kind: str, first: type, later: type
) -> None:
    process, receiver = shared
    charge = f"{kind}_turns"
    refund(process.url, charge)
    eventually(lambda: len(receiver.told(charge)) == 2)
    assert receiver.types(charge) == ["refund.created", "refund.updated"]
    notices = [received.read() for received in receiver.told(charge)]
    assert [type(notice.reported) for notice in notices if isinstance(notice, WebhookEvent)] == [first, later]
    found = urllib3.request("GET", f"{process.url}/v1/refunds?charge={charge}", retries=False).json()["data"]
    assert receiver.told(charge)[1].event["data"] == found[0]


def test_a_tardy_refund_is_told_once_it_is_made(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    with pytest.raises(urllib3.exceptions.ProtocolError):
        refund(process.url, "tardy_1")
    (told,) = eventually(lambda: receiver.told("tardy_1"))
    found = urllib3.request("GET", f"{process.url}/v1/refunds?charge=tardy_1", retries=False).json()["data"]
    assert [told.event["data"]] == found


@pytest.mark.parametrize(("end", "stands"), [("won", Dispute.WON), ("lost", Dispute.LOST)])
def test_a_dispute_is_told_as_it_opens_and_as_it_ends(
    shared: tuple[SandboxProcess, Receiver], end: str, stands: Dispute
) -> None:
    process, receiver = shared
    charge = f"ok_{end}"
    opened = post(process.url, "/v1/disputes", {"charge": charge, "status": "open"})
    eventually(lambda: len(receiver.told(charge)) == 1)
    post(process.url, f"/v1/disputes/{opened['id']}", {"status": end})
    eventually(lambda: len(receiver.told(charge)) == 2)
    assert receiver.types(charge) == ["dispute.opened", f"dispute.{end}"]
    notices = [received.read() for received in receiver.told(charge)]
    said = [notice.reported for notice in notices if isinstance(notice, WebhookEvent)]
    assert said == [DisputeStatus(Dispute.OPEN, opened["id"]), DisputeStatus(stands, opened["id"])]
    assert len({received.event["id"] for received in receiver.told(charge)}) == 2


def test_a_dispute_that_crosses_a_refund_is_told(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    refund(process.url, "crossing_1")
    eventually(lambda: receiver.types("crossing_1") == ["refund.created", "dispute.opened"])
    disputes = urllib3.request("GET", f"{process.url}/v1/disputes?charge=crossing_1", retries=False).json()["data"]
    assert receiver.told("crossing_1")[1].event["data"] == disputes[0]


# Misbehaving on request


def test_dupes_are_told_three_times_each(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    refund(process.url, "dupes_1")
    eventually(lambda: len(receiver.told("dupes_1")) == 6)
    eventually(lambda: all_told(process))
    assert Counter(receiver.types("dupes_1")) == {"refund.created": 3, "refund.updated": 3}
    assert len({received.event["id"] for received in receiver.told("dupes_1")}) == 2


def test_a_shuffled_beginning_is_told_after_the_end(tmp_path: Path, receiver: Receiver) -> None:
    with sandbox_in(tmp_path, webhooks=receiver.url, late=1) as process:
        refund(process.url, "shuffle_1")
        opened = post(process.url, "/v1/disputes", {"charge": "shuffle_1", "status": "open"})
        post(process.url, f"/v1/disputes/{opened['id']}", {"status": "won"})
        eventually(lambda: len(receiver.told("shuffle_1")) == 4)
        told = receiver.types("shuffle_1")
        assert told.index("refund.updated") < told.index("refund.created")
        assert told.index("dispute.won") < told.index("dispute.opened")


def test_of_a_mute_charge_nothing_is_told(shared: tuple[SandboxProcess, Receiver]) -> None:
    """Although its status turned, and what happened afterwards to another charge was told."""
    process, receiver = shared
    refund(process.url, "mute_1")
    opened = post(process.url, "/v1/disputes", {"charge": "mute_1", "status": "open"})
    refund(process.url, "pending_after_mute")
    eventually(lambda: receiver.types("pending_after_mute") == ["refund.created", "refund.updated"])
    post(process.url, f"/v1/disputes/{opened['id']}", {"status": "won"})
    found = urllib3.request("GET", f"{process.url}/v1/refunds?charge=mute_1", retries=False).json()["data"]
    assert found[0]["status"] == "succeeded"
    eventually(lambda: all_told(process))
    assert receiver.told("mute_1") == []


def test_a_forger_lies_under_the_id_of_the_true_event(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    made = refund(process.url, "forge_1")
    eventually(lambda: len(receiver.told("forge_1")) == 5)
    *forged, true = receiver.told("forge_1")
    assert {received.event["data"]["status"] for received in forged} == {"failed"}
    assert {received.event["id"] for received in forged} == {true.event["id"]}
    assert {type(received.read()) for received in forged} == {InvalidSignature}
    assert len({str(received.read()) for received in forged}) == 3  # unsigned, by others, out of date
    notice = true.read()
    assert isinstance(notice, WebhookEvent)
    assert notice.reported == Paid(made["id"], FIVE_EUROS)


# Until it was heard


@pytest.mark.parametrize("status", [500, 404, 302])
def test_an_event_is_told_again_until_it_is_acknowledged(tmp_path: Path, receiver: Receiver, status: int) -> None:
    receiver.answers = [status] * 3
    with sandbox_in(tmp_path, webhooks=receiver.url, again=0.01) as process:
        refund(process.url, "ok_1")
        assert eventually(lambda: all_told(process)) == {"sent": 1, "failed": 0, "waiting": 0}
        assert len(receiver.received) == 4
        assert len({received.body for received in receiver.received}) == 1


def test_an_event_that_nobody_acknowledges_is_given_up_for_good(tmp_path: Path, receiver: Receiver) -> None:
    receiver.refuses = True
    with sandbox_in(tmp_path, webhooks=receiver.url, again=0.001) as process:
        refund(process.url, "ok_1")
        assert eventually(lambda: all_told(process)) == {"sent": 0, "failed": 1, "waiting": 0}
        assert len(receiver.received) == len(PAUSES)
        process.end()
        process.start()
        receiver.refuses = False
        refund(process.url, "ok_2")
        assert eventually(lambda: all_told(process)) == {"sent": 1, "failed": 1, "waiting": 0}
        assert len(receiver.told("ok_1")) == len(PAUSES)


def test_a_receiver_that_is_not_there_is_given_up_too(tmp_path: Path) -> None:
    with sandbox_in(tmp_path, webhooks=f"http://127.0.0.1:{a_free_port()}", again=0.001) as process:
        refund(process.url, "ok_1")
        assert eventually(lambda: all_told(process)) == {"sent": 0, "failed": 1, "waiting": 0}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_restarted_sandbox_goes_on_telling(tmp_path: Path, receiver: Receiver, how: signal.Signals) -> None:
    """What was heard is not told again; what was not, and what happened while it was away, is."""
    with sandbox_in(tmp_path, webhooks=receiver.url, turn=0.5) as process:
        refund(process.url, "ok_heard")
        eventually(lambda: all_told(process))
        receiver.refuses = True
        refund(process.url, "pending_unheard")
        eventually(lambda: receiver.told("pending_unheard"))
        assert process.summary()["webhooks"] == {"sent": 1, "failed": 0, "waiting": 2}
        process.end(how)
        receiver.refuses = False
        receiver.received.clear()
        process.start()
        assert eventually(lambda: all_told(process)) == {"sent": 3, "failed": 0, "waiting": 0}
        assert set(receiver.types("pending_unheard")) == {"refund.created", "refund.updated"}
        assert receiver.told("ok_heard") == []


def test_what_happened_while_nobody_wanted_webhooks_is_never_told(tmp_path: Path, receiver: Receiver) -> None:
    with sandbox_in(tmp_path) as process:
        refund(process.url, "crossing_untold")
        assert process.summary()["webhooks"] == {"sent": 0, "failed": 0, "waiting": 0}
    with sandbox_in(tmp_path, webhooks=receiver.url) as process:
        refund(process.url, "ok_told")
        eventually(lambda: all_told(process))
        assert [received.event["data"]["charge"] for received in receiver.received] == ["ok_told"]


def test_an_event_keeps_its_id_when_it_is_read_from_the_journal(tmp_path: Path) -> None:
    def waiting() -> dict[str, Any]:
        with closing(Ledger(tmp_path, Times(), lambda: 1000.0, sends_webhooks=True)) as ledger:
            ledger.refund(RefundRequest("pending_1", 500, "EUR", "key-1"))
            return dict(ledger.store.outbox.waiting)

    first = waiting()
    assert len(first) == 2
    assert waiting() == first


def test_a_secret_that_changes_signs_twice(tmp_path: Path, receiver: Receiver) -> None:
    with sandbox_in(tmp_path, webhooks=receiver.url, secret="new, old") as process:
        refund(process.url, "ok_1")
        (told,) = eventually(lambda: receiver.told("ok_1"))
        assert isinstance(told.read("new"), WebhookEvent)
        assert isinstance(told.read("old"), WebhookEvent)
        assert isinstance(told.read("other"), InvalidSignature)


def test_moneyback_sandbox_signs_with_the_secret_of_its_account(tmp_path: Path, receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{(port := a_free_port())}"
    env = {"MONEYBACK_SANDBOX_WEBHOOK_SECRET": "from the environment"}
    options = ("--port", str(port), "--folder", str(tmp_path / "sandbox"), "--webhooks", receiver.url)
    child = ChildProcess("sandbox", env, "sandbox", *options, log=tmp_path)
    try:
        eventually(lambda: answers(url))
        refund(url, "ok_1")
        (told,) = eventually(lambda: receiver.told("ok_1"))
        assert isinstance(told.read("from the environment"), WebhookEvent)
    finally:
        child.kill()


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        return int(nobody.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/v1/summary", retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
