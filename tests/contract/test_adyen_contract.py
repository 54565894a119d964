"""Adyen's adapter keeps the contract of adapters, with a fake Adyen that behaves as Adyen's documents describe.

Adyen accepts every refund of a payment that it knows, and reports by webhook whether the refund was made.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from domain.money import Money
from domain.providers import Paid, PaymentProvider
from domain.webhook_events import WebhookParser
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
    ProviderDouble,
    SignedWebhook,
    WebhookContract,
)
from tests.doubles.adyen import HMAC_KEY, FakeAdyen, account, adapter, webhook
from tests.doubles.faulty_server import FaultyServer
from tests.doubles.first_refund import FirstRefund
from worker.providers.adyen.webhooks import create_webhook_parser

SHORT_TIMEOUT = 1.0  # seconds; for calls whose response never comes
OTHER_HMAC_KEY = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"


class AdyenDouble:
    """The fake Adyen, as the contract controls a provider."""

    def __init__(self, fake: FakeAdyen, server: FaultyServer) -> None:
        self.fake, self.server = fake, server
        self._first_refund = FirstRefund(server, self._fail_refund)
        self._failed: set[str] = set()

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        self._first_refund.plan(fault, fails=refund_fails)
        return self.fake.add_payment(f"{len(self.fake.payments):016}", amount.minor, amount.currency)

    def pay_without_money(self, amount: Money) -> str:
        return self.pay(Money(0, amount.currency))

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return self.fake.refund_in_customer_area(charge, amount.minor)

    def open_dispute(self, charge: str) -> None:
        """Do nothing, because Adyen's API shows no disputes."""

    def refunded(self, charge: str) -> int:
        names = [row["pspReference"] for row in self.fake.refunds if row["paymentPspReference"] == charge]
        outcomes = [self.fake.outcome(name) for name in names if name not in self._failed]
        return sum(item["amount"]["value"] for item in outcomes if item["success"] == "true")

    def _fail_refund(self) -> None:
        self._failed.add(self.fake.refunds[-1]["pspReference"])


class TestAdyen(AdapterContract, CredentialsContract):
    currencies = ("EUR", "USD", "JPY", "KWD")

    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        fake = FakeAdyen(now=datetime.now(UTC))
        with FaultyServer(fake.answer) as server:
            yield AdyenDouble(fake, server)

    @pytest.fixture
    def provider(self, double: AdyenDouble) -> PaymentProvider:
        return adapter(double.server.url)

    @pytest.fixture
    def impatient(self, double: AdyenDouble) -> PaymentProvider:
        return adapter(double.server.url, seconds=SHORT_TIMEOUT)

    @pytest.fixture
    def rejected(self, double: AdyenDouble) -> PaymentProvider:
        return adapter(double.server.url, api_key="another key")


class TestAdyenWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        fake = FakeAdyen()
        charge = fake.add_payment("8835000000000010", 4900)
        refund = fake.refund_in_customer_area(charge, 4900)
        item, paid = fake.outcome(refund), Paid(refund, Money(4900, "EUR"))
        signature = item["additionalData"]["hmacSignature"].encode()
        return SignedWebhook(charge, refund, {}, webhook(item), signature, signed_part=charge.encode(), reported=paid)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return _parser(HMAC_KEY)

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return _parser(OTHER_HMAC_KEY)


def _parser(hmac_key: str) -> WebhookParser:
    return create_webhook_parser(account("http://127.0.0.1:1", hmac_key=hmac_key), provider_timeout_seconds=1)
