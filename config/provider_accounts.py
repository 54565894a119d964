"""The payment providers that are part of Moneyback, and the settings of our accounts with them."""

from importlib.metadata import EntryPoint
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from config.provider_plugins import GROUP, Account, BaseUrl, ProviderRegistry, ProviderSpec


class StripeAccount(Account):
    """Stripe. A restricted key that may write refunds and read charges, payment intents and disputes is enough.

    The import of purchases also reads customers and invoices.
    """

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_STRIPE_")

    api_key: SecretStr = Field(
        description="secret key, or restricted key that may write refunds and read charges, payment intents and disputes"
    )
    api_base: BaseUrl = Field("https://api.stripe.com", description="URL of the API")
    webhook_secret: SecretStr | None = Field(
        None, description="webhook secret, whsec_…; during a change, the old and the new secret, separated by a comma"
    )
    connected_account: str | None = Field(
        None, description="connected account of the payments, acct_…, if the key belongs to a Connect platform"
    )
    reverse_transfer: bool | None = Field(
        None,
        description="for Connect platforms: whether the seller's account pays the refund of a destination charge (true), "
        "or the platform alone (false); without this setting, destination charges are not refunded",
    )
    refund_application_fee: bool | None = Field(
        None, description="for Connect platforms: whether the platform returns its application fee; default: no"
    )


class PayPalAccount(Account):
    """PayPal."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_PAYPAL_")

    client_id: SecretStr = Field(description="client id of the REST app")
    client_secret: SecretStr = Field(description="secret of the REST app")
    api_base: BaseUrl = Field("https://api-m.paypal.com", description="URL of the API")
    webhook_id: str | None = Field(
        None, description="id of the webhook; PayPal's signatures of webhooks include this id"
    )
    auth_assertion_payer_id: str | None = Field(
        None,
        min_length=1,
        description="for partners: PayPal account id of the seller for whom the partner's REST app acts",
    )


class AdyenAccount(Account):
    """Adyen. Each regional endpoint has its own idempotency keys, so never change API_BASE while refunds are in progress."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_ADYEN_")

    api_key: SecretStr = Field(description="API key of a web service user with the role for refunds")
    merchant_account: str = Field(description="merchant account of the payments")
    api_base: BaseUrl = Field(
        description="URL of the API: https://{prefix}-checkout-live.adyenpayments.com/checkout, or the URL for tests"
    )
    hmac_key: SecretStr | None = Field(
        None,
        description="HMAC key of the webhook, in hex; during a change, the old and the new key, separated by a comma",
    )


class BraintreeAccount(Account):
    """Braintree."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_BRAINTREE_")

    environment: Literal["sandbox", "production"] = Field("production", description="environment of the account")
    merchant_id: str = Field(description="merchant id")
    public_key: str = Field(description="public key; Braintree's signatures of webhooks include this key")
    private_key: SecretStr = Field(description="private key")
    api_base: BaseUrl | None = Field(None, description="URL of the API; default: Braintree's URL for the environment")


class MollieAccount(Account):
    """Mollie."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_MOLLIE_")

    api_key: SecretStr = Field(description="API key, live_… or test_…")
    api_base: BaseUrl = Field("https://api.mollie.com", description="URL of the API")
    webhook_secret: SecretStr | None = Field(
        None,
        description="secret that signs the webhooks; without this secret, a webhook only starts a lookup of the payment",
    )


class SandboxAccount(Account):
    """The sandbox provider, for tests and demos."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_SANDBOX_")

    url: str = Field(description="URL of the sandbox, such as http://127.0.0.1:8003")
    webhook_secret: SecretStr = Field(SecretStr("sandbox"), description="secret that signs the webhooks")


STRIPE = ProviderSpec(
    package="worker.providers.stripe",
    account=StripeAccount,
    test_setting="api_key",
    test_values=("sk_test_", "rk_test_"),
    webhook_setting="webhook_secret",
    extra_package="stripe",
)
PAYPAL = ProviderSpec(
    package="worker.providers.paypal",
    account=PayPalAccount,
    test_setting="api_base",
    test_values=("https://api-m.sandbox.paypal.com",),
    webhook_setting="webhook_id",
    extra_package="cryptography",  # verifies the certificates with which PayPal signs webhooks
)
ADYEN = ProviderSpec(
    package="worker.providers.adyen",
    account=AdyenAccount,
    test_setting="api_base",
    test_values=("https://checkout-test.adyen.com",),
    webhook_setting="hmac_key",
    without_webhook_setting="so Moneyback refuses every webhook, and no other source reports the outcome at Adyen",
)
BRAINTREE = ProviderSpec(
    package="worker.providers.braintree",
    account=BraintreeAccount,
    test_setting="environment",
    test_values=("sandbox",),
    webhook_setting="private_key",
    extra_package="braintree",
)
MOLLIE = ProviderSpec(
    package="worker.providers.mollie",
    account=MollieAccount,
    test_setting="api_key",
    test_values=("test_",),
    webhook_setting="webhook_secret",
    without_webhook_setting="so Moneyback accepts unsigned webhooks, and each webhook only starts a lookup of the payment",
    accepts_unsigned_webhooks=True,
)
SANDBOX = ProviderSpec(
    package="worker.providers.sandbox",
    account=SandboxAccount,
    test_setting="url",
    test_values=("",),  # every URL starts with the empty text, so a sandbox account is always a test account
    webhook_setting="webhook_secret",
)

OWN = {
    "stripe": STRIPE,
    "paypal": PAYPAL,
    "adyen": ADYEN,
    "braintree": BRAINTREE,
    "mollie": MOLLIE,
    "sandbox": SANDBOX,
}
"""Our own providers by name. pyproject.toml names them as entry points, like the package of any other provider."""

ACCOUNTS: dict[str, type[Account]] = {name: spec.account for name, spec in OWN.items()}

PROVIDERS = ProviderRegistry(EntryPoint(name, f"{__name__}:{name.upper()}", GROUP) for name in OWN)
"""Our own providers, and the providers of other installed packages. ``provider_of`` gives the name of an account's provider.

Our own entry points are not read from the installed package, because a checkout may be newer than its installation.
"""
