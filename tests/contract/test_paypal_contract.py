"""PayPal's adapter keeps the contract of adapters, with a fake PayPal that behaves as PayPal's documents describe."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from domain.money import Money
from domain.providers import Failed, NotFound, PaymentProvider
from domain.webhook_events import WebhookParser
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
    InquiryContract,
    ProviderDouble,
    SignedWebhook,
    WebhookContract,
    a_key,
)
from tests.doubles.faulty_server import FaultyServer
from tests.doubles.first_refund import FirstRefund
from tests.doubles.paypal import FakePayPal, adapter
from tests.doubles.paypal_certificates import KEY, SIGNER_NAME, WEBHOOK_ID, Authority, pem, signed
from worker.providers.paypal.resources import format_time
from worker.providers.paypal.webhook_certificates import CertificateCache
from worker.providers.paypal.webhooks import PayPalWebhookParser

SHORT_TIMEOUT = 1.0  # seconds; for calls whose response never comes
CAPTURES = "https://api.paypal.com/v2/payments/captures"


class PayPalDouble:
    """The fake PayPal, as the contract controls a provider. Each payment has its own order, or none."""

    def __init__(self, fake: FakePayPal, server: FaultyServer, *, with_orders: bool) -> None:
        self.fake, self.server, self._with_orders = fake, server, with_orders
        self._first_refund = FirstRefund(server, self._fail_refund)

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        self._first_refund.plan(fault, fails=refund_fails)
        return self._add_capture(amount, "COMPLETED")

    def pay_without_money(self, amount: Money) -> str:
        return self._add_capture(amount, "DECLINED")

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return self.fake.refund_by_hand(charge, str(amount).split()[0])

    def open_dispute(self, charge: str) -> None:
        self.fake.dispute(charge, "OPEN", stage="CHARGEBACK")

    def refunded(self, charge: str) -> int:
        currency = self.fake.captures[charge]["amount"]["currency_code"]
        return Money.parse(str(self.fake.refunded_amount(charge)), currency).minor

    def _add_capture(self, amount: Money, status: str) -> str:
        (value, currency), number = str(amount).split(), len(self.fake.captures)
        order = f"O{number}" if self._with_orders else None
        created = format_time(self.fake.now)
        return self.fake.add_capture(f"C{number}", value, currency, order=order, status=status, create_time=created)

    def _fail_refund(self) -> None:
        self.fake.fail(self.fake.refunds[-1]["id"])


class TestPayPal(AdapterContract, CredentialsContract, InquiryContract):
    currencies = ("EUR", "USD", "JPY")
    refunds_on_two_pages = 501

    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        fake = FakePayPal(now=datetime.now(UTC))
        with fake.serve() as server:
            yield PayPalDouble(fake, server, with_orders=True)

    @pytest.fixture
    def provider(self, double: PayPalDouble) -> PaymentProvider:
        return adapter(double.server.url)

    @pytest.fixture
    def impatient(self, double: PayPalDouble) -> PaymentProvider:
        return adapter(double.server.url, seconds=SHORT_TIMEOUT)

    @pytest.fixture
    def rejected(self, double: PayPalDouble) -> PaymentProvider:
        return adapter(double.server.url, secret="another")

    @pytest.fixture
    def inquired(self, double: PayPalDouble) -> str:
        charge = double.pay(Money(4900, "EUR"))
        double.fake.dispute(charge, "OPEN", stage="INQUIRY")
        return charge


class TestPayPalSubscriptions(TestPayPal):
    """The payments of a subscription have no order, so refunds come from the search."""

    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        fake = FakePayPal(now=datetime.now(UTC))
        with fake.serve() as server:
            yield PayPalDouble(fake, server, with_orders=False)

    def test_a_refund_that_fails_later_is_found_as_failed(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        """The capture looks as if it had no refund. So the refund is sent again, and PayPal returns the refund that failed."""
        amount, key = Money(4900, "EUR"), a_key()
        charge = double.pay(amount, refund_fails=True)
        provider.refund(charge, amount, key=key)
        assert provider.look_up(charge, key=key) == NotFound()
        assert isinstance(provider.refund(charge, amount, key=key), Failed)
        assert double.refunded(charge) == 0


class TestPayPalWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        refund = {"id": "R10", "status": "FAILED", "links": [{"rel": "up", "href": f"{CAPTURES}/C10"}]}
        body = json.dumps({"id": "WH-10", "event_type": "PAYMENT.REFUND.FAILED", "resource": refund}).encode()
        return SignedWebhook("C10", "R10", signed(body, sent_at=format_time(datetime.now(UTC))), body)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return _parser(WEBHOOK_ID)

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return _parser("8PT597110X687430L")


def _parser(webhook_id: str) -> WebhookParser:
    """Return the parser of a webhook. Its certificates are valid now."""
    root = Authority("A Trusted Root", now=datetime.now(UTC))
    chain = pem(root.issue(SIGNER_NAME, KEY))
    return PayPalWebhookParser(webhook_id, CertificateCache(lambda _: chain, [root.certificate]))
