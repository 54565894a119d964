"""The addresses of the pages on which the providers show a payment to the seller's staff."""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from pydantic import ValidationError

from config.connected_providers import connected_accounts
from config.provider_accounts import PROVIDERS, BraintreeAccount, StripeAccount
from config.provider_plugins import Account
from config.settings import Settings
from domain.errors import RefusedError
from domain.providers import provider_of

PageOf = Callable[[str, Account, bool], str]
"""Returns the address of the page of a charge. The last argument is True for a test account."""


def _stripe(charge: str, account: Account, is_test: bool) -> str:
    connected = account.connected_account if isinstance(account, StripeAccount) else None
    parts = [connected, "test" if is_test else None, "payments", charge]
    return f"https://dashboard.stripe.com/{'/'.join(filter(None, parts))}"


def _paypal(charge: str, _: Account, is_test: bool) -> str:
    return f"https://www.{'sandbox.' if is_test else ''}paypal.com/activity/payment/{charge}"


def _adyen(charge: str, _: Account, is_test: bool) -> str:
    host = f"ca-{'test' if is_test else 'live'}.adyen.com"
    return f"https://{host}/ca/ca/accounts/showTx.shtml?pspReference={charge}&txType=Payment"


def _braintree(charge: str, account: Account, is_test: bool) -> str:
    assert isinstance(account, BraintreeAccount)
    host = "sandbox" if is_test else "www"
    return f"https://{host}.braintreegateway.com/merchants/{quote(account.merchant_id, safe='')}/transactions/{charge}"


def _mollie(charge: str, _: Account, __: bool) -> str:  # one dashboard shows live and test payments
    return f"https://my.mollie.com/dashboard/payments/{charge}"


_PAGES: Mapping[str, PageOf] = {
    "stripe": _stripe,
    "paypal": _paypal,
    "adyen": _adyen,
    "braintree": _braintree,
    "mollie": _mollie,
}
"""The page of each provider. The sandbox has no page, and no page of a provider of another package is known."""


class ProviderLinks:
    """Links to the pages of payments in the connected accounts."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts

    @classmethod
    def of(cls, settings: Settings) -> "ProviderLinks":
        """Return the links for these settings. If the desk has not the settings of an account, there are no links."""
        try:
            return cls(connected_accounts(settings))
        except (RefusedError, ValidationError):
            return cls({})

    def to(self, provider: str, charge: str) -> str | None:
        """Return the address of the page of a payment. None if the account is not connected or its provider has no page."""
        account, page_of = self._accounts.get(provider), _PAGES.get(provider_of(provider))
        if account is None or page_of is None:
            return None
        is_test = PROVIDERS[provider_of(provider)].is_test_account(account)
        return page_of(quote(charge, safe=""), account, is_test)
