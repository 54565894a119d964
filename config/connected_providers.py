"""The providers that the settings connect, and our accounts with them."""

from config.provider_accounts import ACCOUNTS, Account, SandboxAccount
from config.settings import Settings


def connected_accounts(settings: Settings) -> dict[str, Account]:
    """Return our account with each connected provider. The keys are the names of the providers."""
    accounts: dict[str, Account] = {name: ACCOUNTS[name]() for name in settings.providers}
    if settings.sandbox_url:
        accounts.setdefault("sandbox", SandboxAccount(url=settings.sandbox_url))
    return accounts
