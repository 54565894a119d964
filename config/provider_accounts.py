"""Registers the payment providers, and reads the account of each provider that MONEYBACK_PROVIDERS names."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from config.settings import FromEnvironment, Settings
from domain.errors import RefusedError


def _https(url: str) -> str:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ValueError("Use https for the address of a provider. Only a provider on this machine may use http.")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_https)]


class Account(FromEnvironment):
    """Holds the settings of our account with one payment provider, which are environment variables with its prefix."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)


class StripeAccount(Account):
    """Stripe. A restricted key that may write refunds and read charges and disputes is enough."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_STRIPE_")

    api_key: SecretStr = Field(description="secret or restricted key: refunds write; charges and disputes read")
    api_base: BaseUrl = Field("https://api.stripe.com", description="where the API is")
    webhook_secret: SecretStr | None = Field(None, description="whsec_…; while it changes, both with a comma between")


class PayPalAccount(Account):
    """PayPal."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_PAYPAL_")

    client_id: SecretStr = Field(description="the REST app's client id")
    client_secret: SecretStr = Field(description="the REST app's secret")
    api_base: BaseUrl = Field("https://api-m.paypal.com", description="where the API is")
    webhook_id: str | None = Field(None, description="the webhook's id, which its signatures cover")


class AdyenAccount(Account):
    """Adyen. Keys are remembered by one regional endpoint: never change API_BASE while refunds are under way."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_ADYEN_")

    api_key: SecretStr = Field(description="API key of a web service user with the role for refunds")
    merchant_account: str = Field(description="the merchant account that took the payments")
    api_base: BaseUrl = Field(
        description="https://{prefix}-checkout-live.adyenpayments.com/checkout, or the test one's"
    )
    hmac_key: SecretStr | None = Field(
        None, description="of the webhook, in hex; while it changes, both with a comma between"
    )


class BraintreeAccount(Account):
    """Braintree."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_BRAINTREE_")

    environment: Literal["sandbox", "production"] = Field("production", description="which of Braintree's two worlds")
    merchant_id: str = Field(description="the merchant id")
    public_key: str = Field(description="the public key; webhooks are signed under it")
    private_key: SecretStr = Field(description="the private key")
    api_base: BaseUrl | None = Field(None, description="another address than the environment's own")


class MollieAccount(Account):
    """Mollie."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_MOLLIE_")

    api_key: SecretStr = Field(description="live_… or test_…")
    api_base: BaseUrl = Field("https://api.mollie.com", description="where the API is")
    webhook_secret: SecretStr | None = Field(None, description="of signed webhooks; without it they only make us look")


class SandboxAccount(Account):
    """The sandbox provider, for trying things out."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_SANDBOX_")

    url: str = Field(description="where it listens, like http://127.0.0.1:8003")
    webhook_secret: SecretStr = Field(SecretStr("sandbox"), description="what its webhooks are signed with")


_LATE = "so every webhook is refused: only reconciliation notices a refund that fails later"
_THIS_MACHINE = ("http://127.0.0.1", "http://localhost")


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """Describes one payment provider. Its code is the package of its name in worker/providers/."""

    account: type[Account]
    test_setting: str
    """The setting that shows whether an account moves real money."""
    test_values: tuple[str, ...]
    """What that setting begins with in a test account."""
    webhook_setting: str
    """The setting without which no webhook can be verified."""
    without_webhook_setting: str = _LATE
    """What happens without that setting; it ends a sentence."""
    accepts_unsigned_webhooks: bool = False
    extra_package: str | None = None
    """The package that only this provider needs. The extra moneyback[<name of the provider>] installs it."""

    def is_test_account(self, account: Account) -> bool:
        """Returns whether this account certainly moves no real money."""
        return _text(account, self.test_setting).startswith(self.test_values)

    def can_verify_webhooks(self, account: Account) -> bool:
        """Returns whether the account has what is needed to verify webhooks."""
        return bool(_text(account, self.webhook_setting))

    @property
    def is_installed(self) -> bool:
        """Returns whether the package that only this provider needs is installed."""
        return self.extra_package is None or find_spec(self.extra_package) is not None


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
        test_values=("https://api-m.sandbox.paypal.com", *_THIS_MACHINE),
        webhook_setting="webhook_id",
        extra_package="cryptography",  # verifies the certificates that sign webhooks
    ),
    "adyen": ProviderSpec(
        account=AdyenAccount,
        test_setting="api_base",
        test_values=("https://checkout-test.adyen.com", *_THIS_MACHINE),
        webhook_setting="hmac_key",
        without_webhook_setting="so every webhook is refused: nothing else reports what became of a refund at Adyen",
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
        without_webhook_setting="so classic webhooks are accepted, which only make a worker look the payment up",
        accepts_unsigned_webhooks=True,
    ),
    "sandbox": ProviderSpec(
        account=SandboxAccount,
        test_setting="url",
        test_values=("",),
        webhook_setting="webhook_secret",
    ),
}
"""The only list of the providers. The key is the name that a purchase carries."""

ACCOUNTS: dict[str, type[Account]] = {name: spec.account for name, spec in PROVIDERS.items()}


class MissingExtraError(RefusedError):
    """A connected provider needs a package that is not installed."""

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"The provider {provider} needs a package that is not installed. Run: pip install 'moneyback[{provider}]'"
        )


def connected_accounts(settings: Settings) -> dict[str, Account]:
    """Returns the account of each connected provider, by the provider's name."""
    accounts: dict[str, Account] = {name: ACCOUNTS[name]() for name in settings.providers}
    if settings.sandbox_url:
        accounts.setdefault("sandbox", SandboxAccount(url=settings.sandbox_url))
    return accounts


def missing_extras(settings: Settings) -> list[str]:
    """Returns the connected providers whose package is not installed. The name of the extra is the provider's name."""
    return [name for name in connected_accounts(settings) if not PROVIDERS[name].is_installed]


def _text(account: Account, setting: str) -> str:
    value = getattr(account, setting)
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value or "")
