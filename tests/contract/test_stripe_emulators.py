"""Tests of the Stripe adapter with two emulators of Stripe by other authors: localstripe and stripe-stateful-mock.

In test names, "unknown" means that the adapter returns Unknown, because it cannot know what happened at the provider.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import requests
import stripe
from pydantic import SecretStr

from config.provider_accounts import StripeAccount
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    ListedPurchase,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    RefundPage,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature
from tests.services import eventually
from tests.stripe_emulators.node_packages import HERE, find_program, install_packages
from worker.providers.deadline import create_session, time_limit
from worker.providers.stripe.adapter import create_adapter
from worker.providers.stripe.errors import ErrorResult, result_of_error
from worker.providers.stripe.resources import parse_dispute
from worker.providers.stripe.webhooks import StripeWebhookParser

pytestmark = pytest.mark.slow

TEST_TIMEOUT = 20.0  # seconds; a test waits this long only if it fails
API_KEY = "sk_test_for_emulators_only"
SECRET = "whsec_for_emulators_only"
FIVE_DOLLARS = Money(500, "USD")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Emulator:
    """An emulator of Stripe's API, as a process on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url

    def adapter(self, api_key: str = API_KEY) -> PaymentProvider:
        account = StripeAccount.model_validate({"api_key": api_key, "api_base": self.url})
        return create_adapter(account, provider_timeout_seconds=TEST_TIMEOUT, connections=2)

    def post(self, path: str, **fields: object) -> dict[str, Any]:
        answer = requests.post(f"{self.url}{path}", data=fields, auth=(API_KEY, ""), timeout=TEST_TIMEOUT)
        assert answer.ok, answer.text
        return dict(answer.json()) if answer.content else {}

    def get(self, path: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}{path}", auth=(API_KEY, ""), timeout=TEST_TIMEOUT)
        assert answer.ok, answer.text
        return dict(answer.json())


@contextmanager
def run_emulator(command: Sequence[str], **options: Any) -> Iterator[Emulator]:
    """Run an emulator. The first line of the emulator's output is its port number."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port.isdecimal(), f"The emulator did not start: {command}"
        yield Emulator(f"http://127.0.0.1:{port}")
        process.kill()


# localstripe: payment intents, and webhooks


@pytest.fixture(scope="module")
def localstripe() -> Iterator[Emulator]:
    with run_emulator([sys.executable, str(HERE / "localstripe_server.py")], stderr=subprocess.DEVNULL) as running:
        yield running


@pytest.fixture
def intent(localstripe: Emulator) -> str:
    """Return the id of a payment intent of five dollars that was paid."""
    card = {"card[number]": "4242424242424242", "card[exp_month]": 12, "card[exp_year]": 2040, "card[cvc]": "123"}
    method = localstripe.post("/v1/payment_methods", type="card", **card)
    payment = localstripe.post(
        "/v1/payment_intents", amount=500, currency="usd", payment_method=method["id"], confirm="true"
    )
    assert payment["status"] == "succeeded"
    return str(payment["id"])


def test_a_payment_intent_is_refunded_and_found_again(localstripe: Emulator, intent: str) -> None:
    adapter = localstripe.adapter()
    assert adapter.look_up(intent, key="key-1") == NotFound()
    paid = adapter.refund(intent, FIVE_DOLLARS, key="key-1")
    assert isinstance(paid, Paid)
    assert adapter.look_up(intent, key="key-1") == paid
    assert adapter.look_up(intent, key="key-2") == ExternalRefund(paid.refund_id, FIVE_DOLLARS)


def test_the_charge_of_a_payment_intent_is_refunded_and_found_again(localstripe: Emulator, intent: str) -> None:
    adapter = localstripe.adapter()
    charge = localstripe.get(f"/v1/payment_intents/{intent}")["latest_charge"]["id"]
    paid = adapter.refund(charge, FIVE_DOLLARS, key="key-1")
    assert isinstance(paid, Paid)
    assert adapter.look_up(charge, key="key-1") == paid


def test_a_payment_is_shown_by_both_of_its_ids(localstripe: Emulator, intent: str) -> None:
    adapter = localstripe.adapter()
    charge = localstripe.get(f"/v1/payment_intents/{intent}")["latest_charge"]["id"]
    for refunded in (0, 200):
        shown = PaymentStatus(captured=FIVE_DOLLARS, refunded=refunded, code="succeeded")
        assert adapter.payment(intent) == adapter.payment(charge) == shown
        assert isinstance(adapter.refund(charge, Money(200, "USD"), key="key-1"), Paid)


def test_a_payment_is_a_purchase_with_both_of_its_ids(localstripe: Emulator, intent: str) -> None:
    charge = localstripe.get(f"/v1/payment_intents/{intent}")["latest_charge"]["id"]
    for payment in (intent, charge):
        purchase = localstripe.adapter().purchase(payment)
        assert isinstance(purchase, ListedPurchase)
        assert (purchase.charge, purchase.other_ids, purchase.amount) == (intent, (charge,), FIVE_DOLLARS)


def test_a_refund_with_credentials_that_localstripe_refuses_is_unknown(localstripe: Emulator, intent: str) -> None:
    unknown = localstripe.adapter("pk_of_the_wrong_kind").refund(intent, FIVE_DOLLARS, key="key-1")
    assert unknown == Unknown("Stripe refuses our credentials: 401.", invalid_credentials=True)


def test_the_signature_of_a_localstripe_webhook_is_verified(
    localstripe: Emulator, request: pytest.FixtureRequest
) -> None:
    with run_webhook_receiver() as (url, received):
        localstripe.post("/_config/webhooks/ours", url=url, secret=SECRET)
        request.getfixturevalue("intent")
        headers, body = received.get(timeout=TEST_TIMEOUT)
        now = datetime.now(UTC)
        assert StripeWebhookParser(SecretStr(SECRET)).read(headers, body, now) == []
        assert isinstance(StripeWebhookParser(SecretStr("whsec_other")).read(headers, body, now), InvalidSignature)
        assert isinstance(StripeWebhookParser(SecretStr(SECRET)).read(headers, body + b" ", now), InvalidSignature)


class _WebhookHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.put(({name.lower(): value for name, value in self.headers.items()}, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def run_webhook_receiver() -> Iterator[tuple[str, "Queue[tuple[dict[str, str], bytes]]"]]:
    """Yield the URL of a webhook receiver, and the queue of the received webhooks."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _WebhookHandler) as server:
        received: Queue[tuple[dict[str, str], bytes]] = Queue()
        server.received = received  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()


# stripe-stateful-mock: idempotency keys, declines and errors


@pytest.fixture(scope="module")
def mock(pytestconfig: pytest.Config) -> Iterator[Emulator]:
    folder = install_packages(Path(pytestconfig.cache.mkdir("stripe_emulators")))
    command = [find_program("node"), "-r", str(HERE / "loopback.js"), "node_modules/stripe-stateful-mock/dist/cli.js"]
    with run_emulator(command, cwd=folder, env={"PORT": "0", "LOG_LEVEL": "error"}) as running:
        yield running


@pytest.fixture
def charge(mock: Emulator) -> str:
    return str(mock.post("/v1/charges", amount=500, currency="usd", source="tok_visa")["id"])


@pytest.fixture
def key() -> str:
    return uuid4().hex


def test_two_calls_with_the_same_key_pay_once(mock: Emulator, charge: str, key: str) -> None:
    paid = mock.adapter().refund(charge, FIVE_DOLLARS, key=key)
    assert isinstance(paid, Paid)
    assert mock.adapter().refund(charge, FIVE_DOLLARS, key=key) == paid
    assert mock.get(f"/v1/charges/{charge}")["amount_refunded"] == 500


def test_a_refund_with_a_used_key_and_another_amount_is_unknown(mock: Emulator, charge: str, key: str) -> None:
    mock.adapter().refund(charge, Money(100, "USD"), key=key)
    other = mock.adapter().refund(charge, Money(200, "USD"), key=key)
    assert isinstance(other, Unknown), "The refund with this key may have been made."


def test_a_call_with_a_second_key_is_declined_and_its_lookup_finds_the_first_refund(
    mock: Emulator, charge: str, key: str
) -> None:
    paid = mock.adapter().refund(charge, FIVE_DOLLARS, key=key)
    assert isinstance(paid, Paid)
    again = mock.adapter().refund(charge, FIVE_DOLLARS, key=f"{key}-again")
    assert again == Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")
    assert mock.adapter().look_up(charge, key=f"{key}-again") == ExternalRefund(paid.refund_id, FIVE_DOLLARS)
    assert mock.adapter().look_up(charge, key=key) == paid


def test_a_refund_above_the_remaining_amount_must_be_looked_up(mock: Emulator, charge: str, key: str) -> None:
    mock.adapter().refund(charge, Money(100, "USD"), key=key)
    declined = mock.adapter().refund(charge, FIVE_DOLLARS, key=f"{key}-again")
    assert declined == Declined(DeclineReason.ALREADY_REFUNDED, "invalid_request_error")


def test_a_charge_is_shown_with_its_refunds(mock: Emulator, charge: str, key: str) -> None:
    shown = PaymentStatus(captured=FIVE_DOLLARS, method="credit_card", code="succeeded")
    assert mock.adapter().payment(charge) == shown
    mock.adapter().refund(charge, Money(100, "USD"), key=key)
    assert mock.adapter().payment(charge) == replace(shown, refunded=100)
    assert mock.adapter().payment("ch_nobody") == Declined(DeclineReason.PERMANENT, "resource_missing")


def test_an_authorised_charge_captured_nothing(mock: Emulator) -> None:
    charge = mock.post("/v1/charges", amount=500, currency="usd", source="tok_visa", capture="false")["id"]
    status = mock.adapter().payment(charge)
    assert isinstance(status, PaymentStatus)
    assert (status.captured, status.code) == (None, "uncaptured")
    assert mock.adapter().purchase(charge) == Declined(DeclineReason.NOT_CAPTURED, "uncaptured")


def test_a_charge_is_a_purchase(mock: Emulator) -> None:
    fields = {"metadata[order]": "1001", "description": "A poster", "receipt_email": "ada@example.com"}
    charge = mock.post("/v1/charges", amount=500, currency="usd", source="tok_visa", **fields)["id"]
    purchase = mock.adapter().purchase(charge)
    assert isinstance(purchase, ListedPurchase)
    assert (purchase.charge, purchase.product, purchase.email) == (charge, "A poster", "ada@example.com")
    assert purchase.references == {"metadata.order": "1001"}


def test_a_disputed_charge_is_not_refunded(mock: Emulator, key: str) -> None:
    charge = mock.post("/v1/charges", amount=500, currency="usd", source="tok_createDispute")["id"]
    dispute = eventually(lambda: mock.get(f"/v1/charges/{charge}")["dispute"])
    assert mock.adapter().refund(charge, FIVE_DOLLARS, key=key) == Declined(DeclineReason.DISPUTED, "charge_disputed")
    assert parse_dispute(mock.get(f"/v1/disputes/{dispute}")) == DisputeStatus(Dispute.OPEN, dispute)


def test_a_refund_of_a_charge_that_does_not_exist_is_declined(mock: Emulator, key: str) -> None:
    assert mock.adapter().refund("ch_nobody", FIVE_DOLLARS, key=key) == Declined(
        DeclineReason.PERMANENT, "resource_missing"
    )


def test_no_refund_is_found_for_a_charge_without_a_refund(mock: Emulator, charge: str, key: str) -> None:
    assert mock.adapter().look_up(charge, key=key) == NotFound()


def test_a_refund_is_in_the_list_of_refunds(mock: Emulator, charge: str, key: str) -> None:
    paid = mock.adapter().refund(charge, FIVE_DOLLARS, key=key)
    page = mock.adapter().list_refunds(LONG_AGO, None)
    assert isinstance(page, RefundPage)
    found = [refund for refund in page.refunds if refund.charge == charge]
    assert [(Paid(listed.refund_id, listed.amount), listed.status, listed.key) for listed in found] == [
        (paid, RefundStatus.PAID, key)
    ]


def test_a_refund_with_credentials_that_the_mock_refuses_is_unknown(mock: Emulator, charge: str, key: str) -> None:
    unknown = mock.adapter("rk_of_the_wrong_kind").refund(charge, FIVE_DOLLARS, key=key)
    assert unknown == Unknown("Stripe refuses our credentials: 401.", invalid_credentials=True)


def test_error_responses_of_the_mock_are_parsed(mock: Emulator, key: str) -> None:
    """The mock returns these errors only if a charge is created. The adapter creates no charges, so the test uses the SDK."""
    client = stripe.StripeClient(
        API_KEY, base_addresses={"api": mock.url}, http_client=stripe.RequestsClient(session=create_session(1))
    )

    def result_of_charge(token: str) -> ErrorResult:
        with time_limit(TEST_TIMEOUT), pytest.raises(stripe.StripeError) as raised:
            client.v1.charges.create(
                {"amount": 500, "currency": "usd", "source": token}, {"idempotency_key": f"{key}{token}"}
            )
        return result_of_error(raised.value)

    assert result_of_charge("tok_429") == Unknown("Stripe answered 429.")
    assert result_of_charge("tok_429") == Unknown("Stripe answered 429.")
    assert result_of_charge("tok_500") == Unknown("Stripe answered 500.")
    assert result_of_charge("tok_500") == Unknown("Stripe answered 500.", replayed=True)
