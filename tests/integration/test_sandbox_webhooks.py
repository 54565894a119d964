"""Tests of the sandbox's webhooks: they are signed, repeated until acknowledged, and faulty for some charges."""

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
from domain.providers import DisputeStatus, Failed, Paid, Pending, WaitingForApproval
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent
from tests.doubles.sandbox import TEST_TIMEOUT, SandboxProcess, sandbox_in
from tests.services import ChildProcess, eventually
from worker.providers.sandbox.webhooks import create_webhook_parser

FIVE_EUROS = Money(500, "EUR")


class Received(NamedTuple):
    """A webhook that the receiver got."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def parse(self, secret: str = "sandbox") -> WebhookEvent | InvalidSignature | UnreadableWebhook:
        """Parse the webhook with the parser of Moneyback."""
        account = SandboxAccount(url="http://127.0.0.1:1", webhook_secret=SecretStr(secret))
        parsed = create_webhook_parser(account, provider_timeout_seconds=1).read(
            self.headers, self.body, datetime.now(UTC)
        )
        return parsed if isinstance(parsed, InvalidSignature | UnreadableWebhook) else parsed[0]


class Receiver:
    """A receiver of webhooks. It uses each of the `statuses` for one response, and 204 for all later responses."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.refuses = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(headers, body))
                response = receiver.statuses.pop(0) if receiver.statuses else 204
                self.send_response(503 if receiver.refuses else response)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/webhooks/sandbox"

    def webhooks_for(self, charge: str) -> list[Received]:
        return [received for received in [*self.received] if received.event["data"]["charge"] == charge]

    def types(self, charge: str) -> list[str]:
        return [received.event["type"] for received in self.webhooks_for(charge)]


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiver.server:
        thread = Thread(target=receiver.server.serve_forever, args=(0.01,))
        thread.start()
        yield receiver
        receiver.server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SandboxProcess, Receiver]]:
    """Yield a sandbox and a receiver that several tests share. Each test has its own charges."""
    folder = tmp_path_factory.mktemp("sandbox")
    with run_receiver() as receiver, sandbox_in(folder, webhooks=receiver.url, turn=0.5) as process:
        yield process, receiver


def post(url: str, path: str, document: object, key: str = "") -> dict[str, Any]:
    headers = {"Idempotency-Key": key}
    response = urllib3.request(
        "POST", f"{url}{path}", json=document, headers=headers, retries=False, timeout=TEST_TIMEOUT
    )
    assert response.status == 200, response.data
    return dict(response.json())


def refund(url: str, charge: str) -> dict[str, Any]:
    return post(url, "/v1/refunds", {"charge": charge, "amount": 500, "currency": "EUR"}, key=f"key of {charge}")


def finished_summary(process: SandboxProcess) -> dict[str, int] | None:
    """Return the numbers of webhooks from the sandbox's summary, or None if a webhook is still waiting."""
    webhooks = process.summary()["webhooks"]
    return None if webhooks["waiting"] else dict(webhooks)


def test_the_sandbox_sends_a_signed_webhook_for_a_refund(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    refund_json = refund(process.url, "ok_1")
    (webhook,) = eventually(lambda: receiver.webhooks_for("ok_1"))
    assert webhook.event == {
        "id": webhook.event["id"],
        "type": "refund.created",
        "created": refund_json["created"],
        "data": refund_json,
    }
    assert webhook.event["id"].startswith("ev_")
    assert webhook.headers["content-type"] == "application/json"
    event = webhook.parse()
    assert isinstance(event, WebhookEvent)
    assert (event.event_id, event.charge, event.refund_id) == (webhook.event["id"], "ok_1", refund_json["id"])
    assert event.reported == Paid(refund_json["id"], FIVE_EUROS)
    assert isinstance(webhook.parse("another secret"), InvalidSignature)


@pytest.mark.parametrize(
    ("behaviour", "first", "later"),
    [("pending", Pending, Paid), ("pendingfail", Pending, Failed), ("latefail", Paid, Failed)],
)
def test_the_sandbox_sends_a_webhook_for_a_changed_status(
    shared: tuple[SandboxProcess, Receiver], behaviour: str, first: type, later: type
) -> None:
    process, receiver = shared
    charge = f"{behaviour}_turns"
    refund(process.url, charge)
    eventually(lambda: len(receiver.webhooks_for(charge)) == 2)
    assert receiver.types(charge) == ["refund.created", "refund.updated"]
    events = [received.parse() for received in receiver.webhooks_for(charge)]
    assert [type(event.reported) for event in events if isinstance(event, WebhookEvent)] == [first, later]
    found = urllib3.request("GET", f"{process.url}/v1/refunds?charge={charge}", retries=False).json()["data"]
    assert receiver.webhooks_for(charge)[1].event["data"] == found[0]


def test_the_webhook_of_a_tardy_refund_is_sent_when_the_refund_is_made(shared: tuple[SandboxProcess, Receiver]) -> None:
    """The refund call for a tardy charge gets no response. The sandbox makes the refund some time later."""
    process, receiver = shared
    with pytest.raises(urllib3.exceptions.ProtocolError):
        refund(process.url, "tardy_1")
    (webhook,) = eventually(lambda: receiver.webhooks_for("tardy_1"))
    found = urllib3.request("GET", f"{process.url}/v1/refunds?charge=tardy_1", retries=False).json()["data"]
    assert [webhook.event["data"]] == found


@pytest.mark.parametrize(("end", "status"), [("won", Dispute.WON), ("lost", Dispute.LOST)])
def test_webhooks_are_sent_when_a_dispute_opens_and_closes(
    shared: tuple[SandboxProcess, Receiver], end: str, status: Dispute
) -> None:
    process, receiver = shared
    charge = f"ok_{end}"
    opened = post(process.url, "/v1/disputes", {"charge": charge, "status": "open"})
    eventually(lambda: len(receiver.webhooks_for(charge)) == 1)
    post(process.url, f"/v1/disputes/{opened['id']}", {"status": end})
    eventually(lambda: len(receiver.webhooks_for(charge)) == 2)
    assert receiver.types(charge) == ["dispute.opened", f"dispute.{end}"]
    events = [received.parse() for received in receiver.webhooks_for(charge)]
    reported = [event.reported for event in events if isinstance(event, WebhookEvent)]
    assert reported == [DisputeStatus(Dispute.OPEN, opened["id"]), DisputeStatus(status, opened["id"])]
    assert len({received.event["id"] for received in receiver.webhooks_for(charge)}) == 2


def test_a_webhook_is_sent_for_the_dispute_of_a_crossing_charge(shared: tuple[SandboxProcess, Receiver]) -> None:
    """The sandbox opens a dispute about a crossing charge some time after the refund."""
    process, receiver = shared
    refund(process.url, "crossing_1")
    eventually(lambda: receiver.types("crossing_1") == ["refund.created", "dispute.opened"])
    disputes = urllib3.request("GET", f"{process.url}/v1/disputes?charge=crossing_1", retries=False).json()["data"]
    assert receiver.webhooks_for("crossing_1")[1].event["data"] == disputes[0]


@pytest.mark.parametrize("charge", ["ok_bought", "pending_bought", "dupes_bought"])
def test_a_webhook_is_sent_for_a_registered_payment(shared: tuple[SandboxProcess, Receiver], charge: str) -> None:
    process, receiver = shared
    payment = process.register(charge, email="ada@example.com")
    process.register(charge, email="ada@example.com")
    eventually(lambda: receiver.webhooks_for(charge))
    eventually(lambda: finished_summary(process))
    webhooks = receiver.webhooks_for(charge)
    assert webhooks[0].event["data"] | {"refunded": 0, "disputes": []} == payment
    assert {received.event["type"] for received in webhooks} == {"payment.succeeded"}
    assert len({received.event["id"] for received in webhooks}) == 1
    event = webhooks[0].parse()
    assert isinstance(event, WebhookEvent)
    assert (event.subject, event.charge) == (Subject.PURCHASE, charge)


def test_no_webhook_is_sent_for_a_payment_that_was_not_captured(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    for behaviour in ("authorized", "voided", "unpaid"):
        process.register(f"{behaviour}_1")
    process.register("ok_after_voided")
    eventually(lambda: receiver.webhooks_for("ok_after_voided"))
    eventually(lambda: finished_summary(process))
    assert not [received for received in receiver.received if received.event["data"].get("status") == "voided"]


def test_webhooks_are_sent_for_an_inquiry_and_the_dispute_that_follows(
    shared: tuple[SandboxProcess, Receiver],
) -> None:
    process, receiver = shared
    inquiry = process.open_dispute("ok_inquiry", "inquiry")
    eventually(lambda: len(receiver.webhooks_for("ok_inquiry")) == 1)
    process.change_dispute(inquiry["id"], "open")
    eventually(lambda: len(receiver.webhooks_for("ok_inquiry")) == 2)
    assert receiver.types("ok_inquiry") == ["dispute.inquiry", "dispute.opened"]


def test_the_webhooks_of_an_approval_report_nothing_before_the_approval(
    shared: tuple[SandboxProcess, Receiver],
) -> None:
    process, receiver = shared
    adapter = process.adapter()
    assert adapter.refund("approval_1", FIVE_EUROS, key="approval") == WaitingForApproval("approval_required")
    eventually(lambda: receiver.types("approval_1") == ["refund.created", "refund.updated"])
    events = [received.parse() for received in receiver.webhooks_for("approval_1")]
    reported = [event.reported for event in events if isinstance(event, WebhookEvent)]
    assert reported[0] is None
    assert isinstance(reported[1], Paid)


@pytest.mark.parametrize(
    ("behaviour", "field", "value"),
    [("nullcharge", "charge", None), ("nullstatus", "status", None), ("oldcurrency", "currency", "bgn")],
)
def test_the_webhook_of_an_unreadable_refund_by_hand_names_no_payment_of_ours(
    tmp_path: Path, receiver: Receiver, behaviour: str, field: str, value: object
) -> None:
    with sandbox_in(tmp_path, webhooks=receiver.url) as process:
        refund_json = process.refund_by_hand(f"{behaviour}_1", 500)
        eventually(lambda: receiver.received)
        assert (refund_json["key"], refund_json[field]) == (None, value)
        unreadable = receiver.received[0].parse()
        assert isinstance(unreadable, UnreadableWebhook)
        assert refund_json["id"] in unreadable.ids


# Faults. The first part of a charge's id, such as ``mute``, selects the behaviour of the sandbox.


def test_for_a_dupes_charge_each_webhook_is_sent_three_times(shared: tuple[SandboxProcess, Receiver]) -> None:
    process, receiver = shared
    refund(process.url, "dupes_1")
    eventually(lambda: len(receiver.webhooks_for("dupes_1")) == 6)
    eventually(lambda: finished_summary(process))
    assert Counter(receiver.types("dupes_1")) == {"refund.created": 3, "refund.updated": 3}
    assert len({received.event["id"] for received in receiver.webhooks_for("dupes_1")}) == 2


def test_for_a_shuffle_charge_the_first_webhook_is_sent_last(tmp_path: Path, receiver: Receiver) -> None:
    with sandbox_in(tmp_path, webhooks=receiver.url, late=1) as process:
        refund(process.url, "shuffle_1")
        opened = post(process.url, "/v1/disputes", {"charge": "shuffle_1", "status": "open"})
        post(process.url, f"/v1/disputes/{opened['id']}", {"status": "won"})
        eventually(lambda: len(receiver.webhooks_for("shuffle_1")) == 4)
        types = receiver.types("shuffle_1")
        assert types.index("refund.updated") < types.index("refund.created")
        assert types.index("dispute.won") < types.index("dispute.opened")


def test_for_a_mute_charge_no_webhook_is_sent(shared: tuple[SandboxProcess, Receiver]) -> None:
    """The status of the mute refund changes, but no webhook reports the change. Webhooks for another charge are sent."""
    process, receiver = shared
    refund(process.url, "mute_1")
    opened = post(process.url, "/v1/disputes", {"charge": "mute_1", "status": "open"})
    refund(process.url, "pending_after_mute")
    eventually(lambda: receiver.types("pending_after_mute") == ["refund.created", "refund.updated"])
    post(process.url, f"/v1/disputes/{opened['id']}", {"status": "won"})
    found = urllib3.request("GET", f"{process.url}/v1/refunds?charge=mute_1", retries=False).json()["data"]
    assert found[0]["status"] == "succeeded"
    eventually(lambda: finished_summary(process))
    assert receiver.webhooks_for("mute_1") == []


def test_for_a_forge_charge_invalid_webhooks_have_the_id_of_the_valid_webhook(
    shared: tuple[SandboxProcess, Receiver],
) -> None:
    process, receiver = shared
    refund_json = refund(process.url, "forge_1")
    eventually(lambda: len(receiver.webhooks_for("forge_1")) == 5)
    *invalid, valid = receiver.webhooks_for("forge_1")
    assert {received.event["data"]["status"] for received in invalid} == {"failed"}
    assert {received.event["id"] for received in invalid} == {valid.event["id"]}
    assert {type(received.parse()) for received in invalid} == {InvalidSignature}
    reasons = {str(received.parse()) for received in invalid}
    assert len(reasons) == 3  # no signature, a wrong signature, an expired signature
    event = valid.parse()
    assert isinstance(event, WebhookEvent)
    assert event.reported == Paid(refund_json["id"], FIVE_EUROS)


# Repeats until the acknowledgement


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_webhook_is_repeated_until_it_is_acknowledged(tmp_path: Path, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status] * 3
    with sandbox_in(tmp_path, webhooks=receiver.url, again=0.01) as process:
        refund(process.url, "ok_1")
        assert eventually(lambda: finished_summary(process)) == {"sent": 1, "failed": 0, "waiting": 0}
        assert len(receiver.received) == 4
        assert len({received.body for received in receiver.received}) == 1


def test_an_unacknowledged_webhook_fails_permanently(tmp_path: Path, receiver: Receiver) -> None:
    receiver.refuses = True
    with sandbox_in(tmp_path, webhooks=receiver.url, again=0.001) as process:
        refund(process.url, "ok_1")
        assert eventually(lambda: finished_summary(process)) == {"sent": 0, "failed": 1, "waiting": 0}
        assert len(receiver.received) == len(PAUSES)
        process.end()
        process.start()
        receiver.refuses = False
        refund(process.url, "ok_2")
        assert eventually(lambda: finished_summary(process)) == {"sent": 1, "failed": 1, "waiting": 0}
        assert len(receiver.webhooks_for("ok_1")) == len(PAUSES)


def test_a_webhook_to_an_unreachable_receiver_fails(tmp_path: Path) -> None:
    with sandbox_in(tmp_path, webhooks=f"http://127.0.0.1:{a_free_port()}", again=0.001) as process:
        refund(process.url, "ok_1")
        assert eventually(lambda: finished_summary(process)) == {"sent": 0, "failed": 1, "waiting": 0}


@pytest.mark.parametrize("stop_signal", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_restarted_sandbox_sends_the_unacknowledged_webhooks(
    tmp_path: Path, receiver: Receiver, stop_signal: signal.Signals
) -> None:
    """Acknowledged webhooks are not repeated. Events that occur while the sandbox is stopped are sent after the restart."""
    with sandbox_in(tmp_path, webhooks=receiver.url, turn=0.5) as process:
        refund(process.url, "ok_acknowledged")
        eventually(lambda: finished_summary(process))
        receiver.refuses = True
        refund(process.url, "pending_repeated")
        eventually(lambda: receiver.webhooks_for("pending_repeated"))
        assert process.summary()["webhooks"] == {"sent": 1, "failed": 0, "waiting": 2}
        process.end(stop_signal)
        receiver.refuses = False
        receiver.received.clear()
        process.start()
        assert eventually(lambda: finished_summary(process)) == {"sent": 3, "failed": 0, "waiting": 0}
        assert set(receiver.types("pending_repeated")) == {"refund.created", "refund.updated"}
        assert receiver.webhooks_for("ok_acknowledged") == []


def test_events_before_webhooks_were_enabled_are_never_sent(tmp_path: Path, receiver: Receiver) -> None:
    with sandbox_in(tmp_path) as process:
        refund(process.url, "crossing_unsent")
        assert process.summary()["webhooks"] == {"sent": 0, "failed": 0, "waiting": 0}
    with sandbox_in(tmp_path, webhooks=receiver.url) as process:
        refund(process.url, "ok_sent")
        eventually(lambda: finished_summary(process))
        assert [received.event["data"]["charge"] for received in receiver.received] == ["ok_sent"]


def test_an_event_keeps_its_id_after_a_restart(tmp_path: Path) -> None:
    """At each start, the sandbox reads its journal and creates the events again. So an id must not be random."""

    def waiting_events() -> dict[str, Any]:
        with closing(Ledger(tmp_path, Times(), lambda: 1000.0, sends_webhooks=True)) as ledger:
            ledger.refund(RefundRequest("pending_1", 500, "EUR", "key-1"))
            return dict(ledger.store.outbox.waiting)

    first = waiting_events()
    assert len(first) == 2
    assert waiting_events() == first


def test_with_two_secrets_each_webhook_has_two_signatures(tmp_path: Path, receiver: Receiver) -> None:
    with sandbox_in(tmp_path, webhooks=receiver.url, secret="new, old") as process:
        refund(process.url, "ok_1")
        (webhook,) = eventually(lambda: receiver.webhooks_for("ok_1"))
        assert isinstance(webhook.parse("new"), WebhookEvent)
        assert isinstance(webhook.parse("old"), WebhookEvent)
        assert isinstance(webhook.parse("other"), InvalidSignature)


def test_the_sandbox_command_signs_with_the_secret_from_the_environment(tmp_path: Path, receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{(port := a_free_port())}"
    env = {"MONEYBACK_SANDBOX_WEBHOOK_SECRET": "from the environment"}
    options = ("--port", str(port), "--folder", str(tmp_path / "sandbox"), "--webhooks", receiver.url)
    child = ChildProcess("sandbox", env, "sandbox", *options, log=tmp_path)
    try:
        eventually(lambda: is_ready(url))
        refund(url, "ok_1")
        (webhook,) = eventually(lambda: receiver.webhooks_for("ok_1"))
        assert isinstance(webhook.parse("from the environment"), WebhookEvent)
    finally:
        child.kill()


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/v1/summary", retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
