"""Our accounts with payment providers, as the settings name them: which are connected, and what each lacks."""

from importlib import import_module

from config.accounts import ACCOUNTS, Account, BraintreeAccount, SandboxAccount
from config.settings import Settings
from domain.providers import Capabilities

ADAPTERS = {
    "stripe": "Stripe",
    "paypal": "PayPal",
    "adyen": "Adyen",
    "braintree": "Braintree",
    "mollie": "Mollie",
    "sandbox": "Sandbox",
}
"""The class of each provider's adapter."""

_LOCAL = ("http://127.0.0.1", "http://localhost")
_TESTS = {
    "stripe": ("api_key", ("sk_test_", "rk_test_")),
    "paypal": ("api_base", ("https://api-m.sandbox.paypal.com", *_LOCAL)),
    "adyen": ("api_base", ("https://checkout-test.adyen.com", *_LOCAL)),
    "braintree": ("environment", ("sandbox",)),
    "mollie": ("api_key", ("test_",)),
    "sandbox": ("url", ("",)),
}
"""Which setting says that an account moves no money, and how it begins then."""

PROOFS = {
    "stripe": "webhook_secret",
    "paypal": "webhook_id",
    "adyen": "hmac_key",
    "mollie": "webhook_secret",
    "sandbox": "webhook_secret",
}
"""The setting that proves a provider's webhooks; Braintree signs with the keys of its API."""


def accounts(settings: Settings) -> dict[str, Account]:
    """The account of each provider that is connected here."""
    named: dict[str, Account] = {name: ACCOUNTS[name]() for name in settings.providers}
    if settings.sandbox_url:
        named.setdefault("sandbox", SandboxAccount(url=settings.sandbox_url))
    return named


def capabilities(provider: str) -> Capabilities:
    """What this provider's adapter can do, whether it is connected or not."""
    known = getattr(import_module(f"worker.providers.{provider}.adapter"), ADAPTERS[provider]).capabilities
    assert isinstance(known, Capabilities)
    return known


def is_for_tests(provider: str, account: Account) -> bool:
    """Whether this account surely moves no money."""
    setting, beginnings = _TESTS[provider]
    return _value(account, setting).startswith(beginnings)


def is_proven(provider: str, account: Account) -> bool:
    """Whether this account's webhooks can be proven to be its provider's."""
    return isinstance(account, BraintreeAccount) or bool(_value(account, PROOFS[provider]))


def _value(account: Account, setting: str) -> str:
    value = getattr(account, setting)
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value or "")
