"""The registry of the payment providers, and the settings of our accounts with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from config.environment_variables import FromEnvironment
from config.loopback import is_loopback


def _require_https(url: str) -> str:
    """Return the URL without a slash at its end.

    An https URL is valid. An http URL is valid only if its host is this machine. For any other URL, raise ValueError.
    """
    parts = urlsplit(url)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("Use https for the address of a provider. Only a provider on this machine may use http.")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_require_https)]


class Account(FromEnvironment):
    """The settings of our account with a payment provider. The environment variables of each provider have their own prefix."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    seller_metadata: str | None = Field(
        None,
        min_length=1,
        description="name of the field in a payment's metadata that contains the id of the payment's seller",
    )

    def seller_in(self, metadata: object) -> str | None:
        """Return the seller that a payment's metadata names. None if ``seller_metadata`` is not set or the field has no text."""
        seller = metadata.get(self.seller_metadata) if isinstance(metadata, Mapping) else None
        return seller.strip() or None if isinstance(seller, str) else None


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


_ONLY_RECONCILIATION = "so Moneyback refuses every webhook, and only the reconciliation finds a refund that fails later"


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A payment provider. Its adapter is in the package worker/providers/<name of the provider>/."""

    account: type[Account]
    test_setting: str
    """The setting that shows whether an account moves real money."""
    test_values: tuple[str, ...]
    """In a test account, the value of this setting starts with one of these texts, or is a URL whose host is this machine."""
    webhook_setting: str
    """The setting that is needed to verify webhooks."""
    without_webhook_setting: str = _ONLY_RECONCILIATION
    """The consequence of a missing ``webhook_setting``, as the end of a sentence."""
    accepts_unsigned_webhooks: bool = False
    extra_package: str | None = None
    """The package that only this provider needs. The extra moneyback[<name of the provider>] installs it."""

    def is_test_account(self, account: Account) -> bool:
        """Return whether this account certainly moves no real money."""
        value = _setting_text(account, self.test_setting)
        return value.startswith(self.test_values) or is_loopback(urlsplit(value).hostname or "")

    def can_verify_webhooks(self, account: Account) -> bool:
        """Return whether the account has the setting that verifies webhooks."""
        return bool(_setting_text(account, self.webhook_setting))


PROVIDERS: dict[str, ProviderSpec] = {
    "stripe": ProviderSpec(
        account=StripeAccount,
        test_setting="api_key",
        test_values=("sk_test_", "rk_test_"),
        webhook_setting="webhook_secret",
        extra_package="stripe",
    ),
    "paypal": ProviderSpec(
        account=PayPalAccount,
        test_setting="api_base",
        test_values=("https://api-m.sandbox.paypal.com",),
        webhook_setting="webhook_id",
        extra_package="cryptography",  # verifies the certificates with which PayPal signs webhooks
    ),
    "adyen": ProviderSpec(
        account=AdyenAccount,
        test_setting="api_base",
        test_values=("https://checkout-test.adyen.com",),
        webhook_setting="hmac_key",
        without_webhook_setting="so Moneyback refuses every webhook, and no other source reports the outcome at Adyen",
    ),
    "braintree": ProviderSpec(
        account=BraintreeAccount,
        test_setting="environment",
        test_values=("sandbox",),
        webhook_setting="private_key",
        extra_package="braintree",
    ),
    "mollie": ProviderSpec(
        account=MollieAccount,
        test_setting="api_key",
        test_values=("test_",),
        webhook_setting="webhook_secret",
        without_webhook_setting="so Moneyback accepts unsigned webhooks, and each webhook only starts a lookup of the payment",
        accepts_unsigned_webhooks=True,
    ),
    "sandbox": ProviderSpec(
        account=SandboxAccount,
        test_setting="url",
        test_values=("",),  # every URL starts with the empty text, so a sandbox account is always a test account
        webhook_setting="webhook_secret",
    ),
}
"""All providers by name. The field ``provider`` of a purchase contains one of these names."""

ACCOUNTS: dict[str, type[Account]] = {name: spec.account for name, spec in PROVIDERS.items()}


def _setting_text(account: Account, setting: str) -> str:
    """Return the value of a setting as text, even if it is a secret. Return an empty text if the setting is not set."""
    value = getattr(account, setting)
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value or "")
