"""The providers that the settings connect, and our accounts with them."""

from config.provider_accounts import ACCOUNTS, Account, SandboxAccount
from config.settings import Settings


def connected_accounts(settings: Settings) -> dict[str, Account]:
    """Return the accounts of the connected providers by the name of the provider."""
    accounts: dict[str, Account] = {name: ACCOUNTS[name]() for name in settings.providers}
    if settings.sandbox_url:
        accounts.setdefault("sandbox", SandboxAccount(url=settings.sandbox_url))
    return accounts
