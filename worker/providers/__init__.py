"""Creates the adapters and webhook parsers of the connected payment providers.

The code of each provider is the package of its name, and all packages have the same layout. They are imported only when
they are needed, because an SDK takes time and may not be installed.
"""

from importlib import import_module

from config.provider_accounts import Account, MissingExtraError, connected_accounts, missing_extras
from config.settings import Settings
from domain.providers import Capabilities, PaymentProvider
from domain.webhook_events import WebhookParser


def connected(settings: Settings) -> dict[str, PaymentProvider]:
    """Creates the adapter of each connected provider. Call it once a process: adapters keep connections open."""
    seconds, connections = settings.timers.provider_timeout_seconds, settings.provider_concurrency
    return {
        name: import_module(f"{__name__}.{name}.adapter").create_adapter(
            account, provider_timeout_seconds=seconds, connections=connections
        )
        for name, account in _accounts(settings).items()
    }


def readers(settings: Settings) -> dict[str, WebhookParser]:
    """Creates the webhook parser of each connected provider."""
    seconds = settings.timers.provider_timeout_seconds
    return {
        name: import_module(f"{__name__}.{name}.webhooks").create_webhook_parser(
            account, provider_timeout_seconds=seconds
        )
        for name, account in _accounts(settings).items()
    }


def capabilities(provider: str) -> Capabilities:
    """Returns what a provider can do, whether it is connected or not."""
    declared = import_module(f"{__name__}.{provider}.codes").CAPABILITIES
    assert isinstance(declared, Capabilities)
    return declared


def _accounts(settings: Settings) -> dict[str, Account]:
    """Raises MissingExtraError."""
    for provider in missing_extras(settings):
        raise MissingExtraError(provider)
    return connected_accounts(settings)
