"""Stripe's adapter keeps the contract of adapters, with a fake Stripe that has Stripe's formats and errors."""

import json
import time
from collections.abc import Iterator, Mapping
from threading import Event

import pytest
import stripe

from config.provider_accounts import StripeAccount
from domain.money import Money
from domain.providers import PaymentProvider
from domain.webhook_events import WebhookParser
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
    InquiryContract,
    PartialCaptureContract,
    ProviderDouble,
    SignedWebhook,
    WebhookContract,
)
from tests.doubles.stripe import Answer, FakeStripe, error_response, run_fake_stripe
from worker.providers.stripe.webhooks import create_webhook_parser

SHORT_TIMEOUT = 1.0  # seconds; for calls whose response never comes


class StripeDouble:
    """The fake Stripe. The next fault is for the first refund. A payment is a charge, or the payment intent of a charge."""

    def __init__(self, fake: FakeStripe, *, with_intents: bool) -> None:
        self.fake, self.closing, self._with_intents = fake, Event(), with_intents
        self._fault: Fault | None = None
        self._answer, self._refund_fails = fake.answer, False
        fake.clock = int(time.time())
        fake.answer = self._answer_with_fault  # type: ignore[method-assign]

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        self._fault, self._refund_fails = fault, refund_fails
        return self._add_charge(amount)

    def pay_without_money(self, amount: Money) -> str:
        return self._add_charge(amount, status="failed")

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return self.fake.refund_by_hand(self._name(charge), amount.minor)

    def open_dispute(self, charge: str) -> None:
        self.dispute(charge, "needs_response")

    def dispute(self, charge: str, status: str) -> None:
        self.fake.dispute(self._name(charge), status)

    def refunded(self, charge: str) -> int:
        name = self._name(charge)
        live = [row for row in self.fake.refunds if row["charge"] == name and row["status"] != "failed"]
        return sum(row["amount"] for row in live)

    def pay_partly(self, amount: Money, captured: Money) -> str:
        return self._add_charge(amount, captured=captured.minor)

    def _add_charge(self, amount: Money, **fields: str | int) -> str:
        name = f"ch_{len(self.fake.charges)}"
        intent = {"payment_intent": f"pi_{name}"} if self._with_intents else {}
        self.fake.add_charge(name, amount.minor, currency=amount.currency.lower(), **intent, **fields)
        return intent.get("payment_intent", name)

    def _name(self, charge: str) -> str:
        """Return the id of the charge."""
        return charge.removeprefix("pi_")

    def _answer_with_fault(self, method: str, target: str, headers: Mapping[str, str], body: str) -> Answer:
        if method != "POST":
            return self._answer(method, target, headers, body)
        fault, self._fault = self._fault, None
        broken = error_response(500, None, "api_error")
        if fault is Fault.ERROR_BEFORE:
            return broken
        answer = self._answer(method, target, headers, body)
        if self._refund_fails:  # the bank returns the money after the response
            self.fake.refunds[0]["status"] = "failed"
        if fault is Fault.NO_REPLY:
            self.closing.wait()
        return broken if fault else answer


class TestStripe(AdapterContract, CredentialsContract, InquiryContract, PartialCaptureContract):
    currencies = ("EUR", "USD", "JPY")
    refunds_on_two_pages = 101

    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        with run_fake_stripe() as fake:
            double = StripeDouble(fake, with_intents=False)
            yield double
            double.closing.set()

    @pytest.fixture
    def provider(self, double: StripeDouble) -> PaymentProvider:
        return double.fake.adapter()

    @pytest.fixture
    def impatient(self, double: StripeDouble) -> PaymentProvider:
        return double.fake.adapter(SHORT_TIMEOUT)

    @pytest.fixture
    def rejected(self, double: StripeDouble) -> PaymentProvider:
        return double.fake.adapter(api_key="rk_test_another")

    @pytest.fixture
    def inquired(self, double: StripeDouble) -> str:
        charge = double.pay(Money(4900, "EUR"))
        double.dispute(charge, "warning_needs_response")
        return charge

    @pytest.fixture
    def partly_captured(self, double: StripeDouble) -> tuple[str, Money]:
        captured = Money(2900, "EUR")
        return double.pay_partly(Money(4900, "EUR"), captured), captured


class TestStripePaymentIntents(TestStripe):
    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        with run_fake_stripe() as fake:
            double = StripeDouble(fake, with_intents=True)
            yield double
            double.closing.set()


class TestStripeWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        refund = {"id": "re_1", "object": "refund", "charge": "ch_10", "payment_intent": None, "status": "failed"}
        event = {"id": "evt_1", "object": "event", "type": "refund.updated", "data": {"object": refund}}
        body = json.dumps(event).encode()
        signature = stripe.WebhookSignature.generate_signature_header(body.decode(), "the secret", int(time.time()))
        return SignedWebhook("ch_10", "re_1", {"stripe-signature": str(signature)}, body)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return _parser("the secret")

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return _parser("another secret")


def _parser(secret: str) -> WebhookParser:
    account = StripeAccount.model_validate({"api_key": "rk_test_1", "webhook_secret": secret})
    return create_webhook_parser(account, provider_timeout_seconds=1)
