"""Braintree's adapter keeps the contract of adapters, with a fake Braintree that behaves as Braintree's documents describe."""

from base64 import encodebytes
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from urllib.parse import quote_plus

import pytest

from domain.money import Money
from domain.providers import PaymentProvider
from domain.webhook_events import WebhookParser
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
    InquiryContract,
    ProviderDouble,
    SignedWebhook,
    WebhookContract,
)
from tests.doubles.braintree import PRIVATE_KEY, PUBLIC_KEY, FakeBraintree, account_of, adapter, xml
from tests.doubles.faulty_server import FaultyServer
from tests.doubles.first_refund import FirstRefund
from worker.providers.braintree.webhooks import create_webhook_parser

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # the SDK calls utcnow()
SHORT_TIMEOUT = 1.0  # seconds; for calls whose response never comes


class BraintreeDouble:
    """The fake Braintree, as the contract controls a provider."""

    def __init__(self, fake: FakeBraintree, server: FaultyServer) -> None:
        self.fake, self.server = fake, server
        self._first_refund = FirstRefund(server, self._fail_refund)

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        self._first_refund.plan(fault, fails=refund_fails)
        return self._add_sale(amount, "settled")

    def pay_without_money(self, amount: Money) -> str:
        return self._add_sale(amount, "authorized")

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return str(self.fake.refund_in_control_panel(charge, amount=str(amount).split()[0])["id"])

    def open_dispute(self, charge: str) -> None:
        self.fake.add_dispute(charge)

    def refunded(self, charge: str) -> int:
        refunds = [self.fake.transactions[name] for name in self.fake.transactions[charge]["refund_ids"]]
        live = [row for row in refunds if row["status"] != "settlement_declined"]
        return sum(Money.parse(row["amount"], row["currency_iso_code"]).minor for row in live)

    def _add_sale(self, amount: Money, status: str) -> str:
        value, currency = str(amount).split()
        return self.fake.add_sale(f"s{len(self.fake.transactions)}", value, currency, status=status)

    def _fail_refund(self) -> None:
        newest = [*self.fake.transactions.values()][-1]
        newest |= {"status": "settlement_declined", "processor_settlement_response_code": "4001"}


class TestBraintree(AdapterContract, CredentialsContract, InquiryContract):
    currencies = ("EUR", "USD", "JPY", "KWD")
    refunds_on_two_pages = 51

    @pytest.fixture
    def double(self) -> Iterator[ProviderDouble]:
        fake = FakeBraintree(now=datetime.now(UTC))
        with fake.serve() as server:
            yield BraintreeDouble(fake, server)

    @pytest.fixture
    def provider(self, double: BraintreeDouble) -> PaymentProvider:
        return adapter(double.server)

    @pytest.fixture
    def impatient(self, double: BraintreeDouble) -> PaymentProvider:
        return adapter(double.server, seconds=SHORT_TIMEOUT)

    @pytest.fixture
    def rejected(self, double: BraintreeDouble) -> PaymentProvider:
        return adapter(double.server, private="another")

    @pytest.fixture
    def inquired(self, double: BraintreeDouble) -> str:
        charge = double.pay(Money(4900, "EUR"))
        double.fake.add_dispute(charge, kind="retrieval")
        return charge


class TestBraintreeWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        refund = {"id": "r10", "amount": "49.00", "refunded_transaction_id": "s10"}
        notification = {"timestamp": datetime.now(UTC), "kind": "refund_failed", "subject": {"transaction": refund}}
        payload = encodebytes(xml("notification", notification).encode())
        digest = import_module("braintree.util.crypto").Crypto.sha1_hmac_hash(PRIVATE_KEY, payload)
        signature, signed_part = quote_plus(f"{PUBLIC_KEY}|{digest}").encode(), quote_plus(payload).encode()
        body = b"bt_signature=" + signature + b"&bt_payload=" + signed_part
        return SignedWebhook("s10", "r10", {}, body, signature, signed_part)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return _parser(PRIVATE_KEY)

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return _parser("another_secret")


def _parser(private_key: str) -> WebhookParser:
    return create_webhook_parser(account_of("http://127.0.0.1:1", private=private_key), provider_timeout_seconds=1)
