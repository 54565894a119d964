"""Our accounts with the payment providers: one block of settings each, read when MONEYBACK_PROVIDERS names it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from config.settings import FromEnvironment


def _https(url: str) -> str:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ValueError("A provider is called by https; only one on this machine may be http.")
    return url.rstrip("/")


Base = Annotated[str, AfterValidator(_https)]


class StripeAccount(FromEnvironment):
    """Stripe. A restricted key that may write refunds and read charges and disputes is enough."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_STRIPE_", extra="ignore", frozen=True)

    api_key: SecretStr = Field(description="secret or restricted key: refunds write; charges and disputes read")
    api_base: Base = Field("https://api.stripe.com", description="where the API is")
    webhook_secret: SecretStr | None = Field(None, description="whsec_…; while it changes, both with a comma between")


class PayPalAccount(FromEnvironment):
    """PayPal."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_PAYPAL_", extra="ignore", frozen=True)

    client_id: SecretStr = Field(description="the REST app's client id")
    client_secret: SecretStr = Field(description="the REST app's secret")
    api_base: Base = Field("https://api-m.paypal.com", description="where the API is")
    webhook_id: str | None = Field(None, description="the webhook's id, which its signatures cover")


class AdyenAccount(FromEnvironment):
    """Adyen. Keys are remembered by one regional endpoint: never change API_BASE while refunds are under way."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_ADYEN_", extra="ignore", frozen=True)

    api_key: SecretStr = Field(description="API key of a web service user with the role for refunds")
    merchant_account: str = Field(description="the merchant account that took the payments")
    api_base: Base = Field(description="https://{prefix}-checkout-live.adyenpayments.com/checkout, or the test one's")
    hmac_key: SecretStr | None = Field(
        None, description="of the webhook, in hex; while it changes, both with a comma between"
    )


class BraintreeAccount(FromEnvironment):
    """Braintree."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_BRAINTREE_", extra="ignore", frozen=True)

    environment: Literal["sandbox", "production"] = Field("production", description="which of Braintree's two worlds")
    merchant_id: str = Field(description="the merchant id")
    public_key: str = Field(description="the public key; webhooks are signed under it")
    private_key: SecretStr = Field(description="the private key")
    api_base: Base | None = Field(None, description="another address than the environment's own")


class MollieAccount(FromEnvironment):
    """Mollie."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_MOLLIE_", extra="ignore", frozen=True)

    api_key: SecretStr = Field(description="live_… or test_…")
    api_base: Base = Field("https://api.mollie.com", description="where the API is")
    webhook_secret: SecretStr | None = Field(None, description="of signed webhooks; without it they only make us look")


class SandboxAccount(FromEnvironment):
    """The sandbox provider, for trying things out."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_SANDBOX_", extra="ignore", frozen=True)

    url: str = Field(description="where it listens, like http://127.0.0.1:8003")
    webhook_secret: SecretStr = Field(SecretStr("sandbox"), description="what its webhooks are signed with")


Account = StripeAccount | PayPalAccount | AdyenAccount | BraintreeAccount | MollieAccount | SandboxAccount

ACCOUNTS: dict[str, type[Account]] = {
    "stripe": StripeAccount,
    "paypal": PayPalAccount,
    "adyen": AdyenAccount,
    "braintree": BraintreeAccount,
    "mollie": MollieAccount,
    "sandbox": SandboxAccount,
}
"""By the name that a purchase carries."""
