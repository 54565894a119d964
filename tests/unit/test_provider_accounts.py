"""The URL of a provider account must use https. Only a URL of this machine may use http."""

import pytest
from pydantic import ValidationError

from config.provider_accounts import PROVIDERS, PayPalAccount, StripeAccount

LOOKALIKES = [
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost@evil.example",
    "http://127.0.0.1:80@evil.example",
    "http://localhost:x@evil.example/http://127.0.0.1",
]
"""URLs that begin like a URL of this machine, but belong to another host."""


def paypal(url: str) -> PayPalAccount:
    return PayPalAccount.model_validate({"client_id": "id", "client_secret": "secret", "api_base": url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8003", "http://localhost", "http://[::1]:8003", "https://api.example"]
)
def test_a_url_with_https_or_of_this_machine_is_accepted(url: str) -> None:
    assert StripeAccount.model_validate({"api_key": "sk_test_1", "api_base": f"{url}/"}).api_base == url


@pytest.mark.parametrize(
    "url", [*LOOKALIKES, "http://api.stripe.com", "ftp://127.0.0.1", "https://", "api.stripe.com", ""]
)
def test_an_invalid_or_unencrypted_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="Use https"):
        StripeAccount.model_validate({"api_key": "sk_test_1", "api_base": url})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8003", "http://localhost:1", "https://api-m.sandbox.paypal.com"])
def test_an_account_on_this_machine_or_in_paypals_sandbox_is_a_test_account(url: str) -> None:
    assert PROVIDERS["paypal"].is_test_account(paypal(url))


@pytest.mark.parametrize("url", ["https://api-m.paypal.com", *(url.replace("http:", "https:") for url in LOOKALIKES)])
def test_an_account_on_another_host_is_not_a_test_account(url: str) -> None:
    assert not PROVIDERS["paypal"].is_test_account(paypal(url))
