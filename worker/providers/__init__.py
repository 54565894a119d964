"""Creates the adapters and webhook parsers of the connected payment providers.

Each provider has a package with its name, and all packages have the same layout. A package is imported only when it is
needed, because an SDK is slow to import and may not be installed.
"""

from importlib import import_module

from config.connected_providers import connected_accounts
from config.extras import require
from config.provider_accounts import Account
from config.settings import Settings
from domain.providers import Capabilities, PaymentProvider
from domain.webhook_events import WebhookParser


def connect_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """Create an adapter for each connected provider. Return a dictionary from the name of a provider to its adapter.

    Each process calls this function once, because adapters keep their connections open. Raise RefusedError if the SDK
    of a connected provider is not installed.
    """
    seconds, connections = settings.timers.provider_timeout_seconds, settings.provider_concurrency
    return {
        name: import_module(f"{__name__}.{name}.adapter").create_adapter(
            account, provider_timeout_seconds=seconds, connections=connections
        )
        for name, account in _load_accounts(settings).items()
    }


def create_webhook_parsers(settings: Settings) -> dict[str, WebhookParser]:
    """Create a webhook parser for each connected provider. Return a dictionary from the name of a provider to its parser.

    Raise RefusedError if the SDK of a connected provider is not installed.
    """
    seconds = settings.timers.provider_timeout_seconds
    return {
        name: import_module(f"{__name__}.{name}.webhooks").create_webhook_parser(
            account, provider_timeout_seconds=seconds
        )
        for name, account in _load_accounts(settings).items()
    }


def capabilities(provider: str) -> Capabilities:
    """Return what a provider can do. The provider need not be connected."""
    provider_capabilities = import_module(f"{__name__}.{provider}.codes").CAPABILITIES
    assert isinstance(provider_capabilities, Capabilities)
    return provider_capabilities


def _load_accounts(settings: Settings) -> dict[str, Account]:
    accounts = connected_accounts(settings)
    require(*accounts)
    return accounts
