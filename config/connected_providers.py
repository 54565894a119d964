"""Reads from the settings which providers are connected, and our account with each of these providers."""

from config.provider_accounts import ACCOUNTS, Account, SandboxAccount
from config.settings import Settings


def connected_accounts(settings: Settings) -> dict[str, Account]:
    """Return our account with each connected provider. The key is the name of the provider."""
    accounts: dict[str, Account] = {name: ACCOUNTS[name]() for name in settings.providers}
    if settings.sandbox_url:
        accounts.setdefault("sandbox", SandboxAccount(url=settings.sandbox_url))
    return accounts
