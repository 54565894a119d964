"""The providers we know, by the name that a purchase carries."""

from collections.abc import Callable
from functools import cache

from config.settings import Settings, settings
from domain.providers import PaymentProvider
from worker.providers.sandbox import Sandbox


def _sandbox(settings: Settings) -> PaymentProvider:
    return Sandbox(
        settings.sandbox_url,
        http_seconds=settings.timers.http_seconds,
        calls_side_by_side=settings.calls_side_by_side,
    )


PROVIDERS: dict[str, Callable[[Settings], PaymentProvider]] = {
    "sandbox": _sandbox,
}


class UnknownProviderError(LookupError):
    """A purchase names a provider that has no adapter here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no provider {name!r}; the known ones are: {', '.join(sorted(PROVIDERS))}.")


def provider(name: str) -> PaymentProvider:
    """The adapter of this name: one per process, because it keeps its connections open."""
    if name not in PROVIDERS:
        raise UnknownProviderError(name)
    return _open(name)


@cache
def _open(name: str) -> PaymentProvider:
    return PROVIDERS[name](settings())
