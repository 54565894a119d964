"""The providers that are connected here, by the name that a purchase carries."""

from config.settings import Settings
from domain.providers import PaymentProvider
from worker.providers.sandbox import Sandbox


def connected(settings: Settings) -> dict[str, PaymentProvider]:
    """An adapter for each provider that the settings wire, made once a process: it keeps its connections open."""
    providers: dict[str, PaymentProvider] = {}
    if settings.sandbox_url:
        providers["sandbox"] = Sandbox(
            settings.sandbox_url,
            http_seconds=settings.timers.http_seconds,
            calls_side_by_side=settings.calls_side_by_side,
        )
    return providers
