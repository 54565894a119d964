"""Creates the adapters and webhook parsers of the connected provider accounts.

Each provider has a package, and all packages have the same layout (``ProviderSpec.package``). A package is imported only when
it is needed, because an SDK is slow to import and may not be installed.
"""

from importlib import import_module
from types import ModuleType

from config.connected_providers import connected_accounts
from config.extras import require
from config.provider_accounts import PROVIDERS
from config.provider_plugins import Account
from config.settings import Settings
from domain.providers import Capabilities, PaymentProvider, provider_of
from domain.webhook_events import WebhookParser


def connect_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """Create an adapter for each connected account. Return a dictionary from the name of an account to its adapter.

    Each process calls this function once, because adapters keep their connections open. Raise RefusedError if the SDK
    of a connected provider is not installed.
    """
    seconds, connections = settings.timers.provider_timeout_seconds, settings.provider_concurrency
    accounts = _load_accounts(settings)
    return {name: create_adapter(name, account, seconds, connections) for name, account in accounts.items()}


def create_adapter(name: str, account: Account, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for the account ``name``."""
    module = _module_of(name, "adapter")
    adapter: PaymentProvider = module.create_adapter(
        account, provider_timeout_seconds=provider_timeout_seconds, connections=connections
    )
    return adapter


def create_webhook_parsers(settings: Settings) -> dict[str, WebhookParser]:
    """Create a webhook parser for each connected account. Return a dictionary from the name of an account to its parser.

    Raise RefusedError if the SDK of a connected provider is not installed.
    """
    seconds = settings.timers.provider_timeout_seconds
    return {
        name: _module_of(name, "webhooks").create_webhook_parser(account, provider_timeout_seconds=seconds)
        for name, account in _load_accounts(settings).items()
    }


def capabilities(provider: str) -> Capabilities:
    """Return what a provider can do. The provider need not be connected. ``provider`` may be the name of an account."""
    provider_capabilities = _module_of(provider, "codes").CAPABILITIES
    assert isinstance(provider_capabilities, Capabilities)
    return provider_capabilities


def _module_of(name: str, module: str) -> ModuleType:
    return import_module(f"{PROVIDERS[provider_of(name)].package}.{module}")


def _load_accounts(settings: Settings) -> dict[str, Account]:
    accounts = connected_accounts(settings)
    require(*accounts)
    return accounts
