"""The providers that are connected here, by the name that a purchase carries. Each is a package of this one.

A package has ``connect(account, *, provider_timeout_seconds, connections)``, which makes its adapter, and ``reader(account, *,
provider_timeout_seconds)``, which makes the reader of its webhooks. It is imported when it is named: an SDK takes its time.
"""

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from config.accounts import ACCOUNTS, Account, SandboxAccount
from config.settings import Settings
from domain.notices import WebhookReader
from domain.providers import PaymentProvider


def connected(settings: Settings) -> dict[str, PaymentProvider]:
    """An adapter for each provider that the settings wire, made once a process: it keeps its connections open."""
    return {
        name: package.connect(
            account,
            provider_timeout_seconds=settings.timers.provider_timeout_seconds,
            connections=settings.provider_concurrency,
        )
        for name, package, account in _wired(settings)
    }


def readers(settings: Settings) -> dict[str, WebhookReader]:
    """A reader of webhooks for each of them."""
    return {
        name: package.reader(account, provider_timeout_seconds=settings.timers.provider_timeout_seconds)
        for name, package, account in _wired(settings)
    }


def _wired(settings: Settings) -> Iterator[tuple[str, ModuleType, Account]]:
    for name in settings.providers:
        yield name, import_module(f"worker.providers.{name}"), ACCOUNTS[name]()
    if settings.sandbox_url and "sandbox" not in settings.providers:
        yield "sandbox", import_module("worker.providers.sandbox"), SandboxAccount(url=settings.sandbox_url)
