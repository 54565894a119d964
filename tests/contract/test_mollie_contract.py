"""Mollie's adapter keeps the contract of adapters, with a fake Mollie that behaves as Mollie's documents describe."""

import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from config.provider_accounts import MollieAccount
from domain.money import Money
from domain.providers import PaymentProvider
from domain.purchases import Dispute
from domain.webhook_events import WebhookParser
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
    PartialCaptureContract,
    ProviderDouble,
    SignedWebhook,
    WebhookContract,
)
from tests.doubles.faulty_server import FaultyServer
from tests.doubles.first_refund import FirstRefund
from tests.doubles.mollie import FakeMollie, adapter
from worker.providers.mollie.webhooks import create_webhook_parser

SHORT_TIMEOUT = 1.0  # seconds; for calls whose response never comes


class MollieDouble:
    """The fake Mollie, as the contract controls a provider."""

    def __init__(self, fake: FakeMollie, server: FaultyServer) -> None:
        self._fake, self.server = fake, server
        self._first_refund = FirstRefund(server, self._fail_refund)

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        self._first_refund.plan(fault, fails=refund_fails)
        return self._add_payment(amount, "paid")

    def pay_without_money(self, amount: Money) -> str:
        return self._add_payment(amount, "expired")

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return str(self._fake.refund_in_dashboard(charge, str(amount).split()[0])["id"])

    def open_dispute(self, charge: str) -> None:
        self._fake.add_chargeback(charge, datetime.now(UTC))

    def refunded(self, charge: str) -> int:
        live = [row for row in self._fake.refunds if row["paymentId"] == charge and row["status"] != "failed"]
        return sum(Money.parse(row["amount"]["value"], row["amount"]["currency"]).minor for row in live)

    def pay_partly(self, amount: Money, captured: Money) -> str:
        """Make a payment whose reservation was captured in part (docs.mollie.com, "Capture")."""
        value, currency = str(captured).split()
        return self._add_payment(amount, "paid", amountCaptured={"value": value, "currency": currency})

    def _add_payment(self, amount: Money, status: str, **fields: object) -> str:
        value, currency = str(amount).split()
        return self._fake.add_payment(f"tr_{len(self._fake.payments)}", value, currency, status=status, **fields)

    def _fail_refund(self) -> None:
        self._fake.refunds[-1]["status"] = "failed"


class TestMollie(AdapterContract, CredentialsContract, PartialCaptureContract):
    currencies = ("EUR", "USD", "JPY")
    dispute_of_a_bank = Dispute.LOST
    refunds_on_two_pages = 3

    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        fake = FakeMollie(now=datetime.now(UTC), page=2)
        with fake.serve() as server:
            yield MollieDouble(fake, server)

    @pytest.fixture
    def provider(self, double: MollieDouble) -> PaymentProvider:
        return adapter(double.server)

    @pytest.fixture
    def impatient(self, double: MollieDouble) -> PaymentProvider:
        return adapter(double.server, seconds=SHORT_TIMEOUT)

    @pytest.fixture
    def rejected(self, double: MollieDouble) -> PaymentProvider:
        return adapter(double.server, api_key="test_another")

    @pytest.fixture
    def partly_captured(self, double: MollieDouble) -> tuple[str, Money]:
        captured = Money(2900, "EUR")
        return double.pay_partly(Money(4900, "EUR"), captured), captured


class TestMollieWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        event = {
            "resource": "event",
            "id": "event_10",
            "type": "refund.refunded",
            "entityId": "re_1",
            "_embedded": {"entity": {"resource": "refund", "id": "re_1", "paymentId": "tr_1"}},
        }
        body = json.dumps(event).encode()
        signature = hmac.new(b"the secret", body, "sha256").hexdigest()
        return SignedWebhook("tr_1", "re_1", {"x-mollie-signature": f"sha256={signature}"}, body)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return _parser("the secret")

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return _parser("another secret")


def _parser(secret: str) -> WebhookParser:
    account = MollieAccount.model_validate({"api_key": "test_1", "webhook_secret": secret})
    return create_webhook_parser(account, provider_timeout_seconds=1)
