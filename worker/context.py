"""Contains the services that Celery tasks use. Each process creates its services at the first use, after the fork."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from config.connected_providers import sellers_of
from config.settings import Settings, settings
from config.signed_links import Links
from domain.providers import PaymentProvider
from records import Records
from worker.helpdesks import Helpdesks, connect_helpdesks
from worker.mail_transport import MailTransport, mail_transport_for
from worker.providers import connect_providers
from worker.providers.call_pool import CallPool
from worker.providers.rate_limiter import RateLimiter


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The services of one process: records, providers, e-mail, and the pool and the rate limiter for provider calls."""

    settings: Settings
    records: Records
    links: Links
    mail_transport: MailTransport
    providers: Mapping[str, PaymentProvider]
    call_pool: CallPool
    rate_limiter: RateLimiter
    account_sellers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The sellers to whom each provider account belongs. An account without sellers belongs to every seller."""
    helpdesks: Helpdesks = field(default_factory=Helpdesks)
    monotonic: Callable[[], float] = time.monotonic

    def provider(self, name: str) -> PaymentProvider | None:
        """Return the adapter of the provider ``name``, or None if that provider is not connected."""
        return self.providers.get(name)


def create_context(worker_settings: Settings) -> WorkerContext:
    """Create the services for these settings."""
    mail_transport = mail_transport_for(worker_settings)
    return WorkerContext(
        settings=worker_settings,
        records=Records.of(worker_settings),
        links=Links.of(worker_settings),
        mail_transport=mail_transport,
        providers=connect_providers(worker_settings),
        call_pool=CallPool(worker_settings.provider_concurrency),
        rate_limiter=RateLimiter.of(worker_settings),
        account_sellers=sellers_of(worker_settings),
        helpdesks=connect_helpdesks(worker_settings, mail_transport),
    )


@cache
def worker_context() -> WorkerContext:
    """Return the services of this process."""
    return create_context(settings())
