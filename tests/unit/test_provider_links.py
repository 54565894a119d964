"""The addresses of the pages on which providers show a payment."""

from typing import Any

import pytest

from config.provider_accounts import ACCOUNTS
from config.provider_plugins import Account
from producers.desk.provider_links import ProviderLinks

SETTINGS: dict[str, dict[str, Any]] = {
    "stripe": {"api_key": "sk_live_1"},
    "stripe:test": {"api_key": "rk_test_1"},
    "stripe:connect": {"api_key": "sk_live_1", "connected_account": "acct_1"},
    "stripe:connect-test": {"api_key": "sk_test_1", "connected_account": "acct_1"},
    "paypal": {"client_id": "x", "client_secret": "x"},
    "paypal:test": {"client_id": "x", "client_secret": "x", "api_base": "https://api-m.sandbox.paypal.com"},
    "adyen": {
        "api_key": "x",
        "merchant_account": "M",
        "api_base": "https://1-checkout-live.adyenpayments.com/checkout",
    },
    "adyen:test": {"api_key": "x", "merchant_account": "M", "api_base": "https://checkout-test.adyen.com"},
    "braintree": {"merchant_id": "mer/1", "public_key": "x", "private_key": "x"},
    "braintree:test": {"merchant_id": "mer1", "public_key": "x", "private_key": "x", "environment": "sandbox"},
    "mollie": {"api_key": "live_1"},
    "mollie:test": {"api_key": "test_1"},
    "sandbox": {"url": "http://127.0.0.1:8003"},
}


@pytest.fixture
def links() -> ProviderLinks:
    accounts: dict[str, Account] = {
        name: ACCOUNTS[name.partition(":")[0]].model_validate(values) for name, values in SETTINGS.items()
    }
    return ProviderLinks(accounts)


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("stripe", "https://dashboard.stripe.com/payments/id_1"),
        ("stripe:test", "https://dashboard.stripe.com/test/payments/id_1"),
        ("stripe:connect", "https://dashboard.stripe.com/acct_1/payments/id_1"),
        ("stripe:connect-test", "https://dashboard.stripe.com/acct_1/test/payments/id_1"),
        ("paypal", "https://www.paypal.com/activity/payment/id_1"),
        ("paypal:test", "https://www.sandbox.paypal.com/activity/payment/id_1"),
        ("adyen", "https://ca-live.adyen.com/ca/ca/accounts/showTx.shtml?pspReference=id_1&txType=Payment"),
        ("adyen:test", "https://ca-test.adyen.com/ca/ca/accounts/showTx.shtml?pspReference=id_1&txType=Payment"),
        ("braintree", "https://www.braintreegateway.com/merchants/mer%2F1/transactions/id_1"),
        ("braintree:test", "https://sandbox.braintreegateway.com/merchants/mer1/transactions/id_1"),
        ("mollie", "https://my.mollie.com/dashboard/payments/id_1"),
        ("mollie:test", "https://my.mollie.com/dashboard/payments/id_1"),
        ("sandbox", None),
        ("stripe:unknown", None),
        ("shop", None),
    ],
)
def test_a_payment_has_a_page_at_its_provider(links: ProviderLinks, provider: str, address: str | None) -> None:
    assert links.to(provider, "id_1") == address


def test_a_charge_cannot_lead_to_another_page(links: ProviderLinks) -> None:
    assert links.to("stripe", "../x?y#z") == "https://dashboard.stripe.com/payments/..%2Fx%3Fy%23z"
