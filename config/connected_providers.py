"""The providers that the settings connect: their accounts, and the packages that are missing for them."""

from config.provider_accounts import ACCOUNTS, PROVIDERS, Account, SandboxAccount
from config.settings import Settings
from domain.errors import RefusedError


class MissingExtraError(RefusedError):
    """A connected provider needs a package that is not installed."""

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"The provider {provider} needs a package that is not installed. Run: pip install 'moneyback[{provider}]'"
        )


def connected_accounts(settings: Settings) -> dict[str, Account]:
    """Return the accounts of the connected providers by the name of the provider."""
    accounts: dict[str, Account] = {name: ACCOUNTS[name]() for name in settings.providers}
    if settings.sandbox_url:
        accounts.setdefault("sandbox", SandboxAccount(url=settings.sandbox_url))
    return accounts


def missing_extras(settings: Settings) -> list[str]:
    """Return the connected providers whose package is not installed. An extra has the name of its provider."""
    return [name for name in connected_accounts(settings) if not PROVIDERS[name].is_installed]
