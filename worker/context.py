"""What the tasks of one process work with: made at the first use, after the fork."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from config.settings import Settings, settings
from config.signed_links import Links
from domain.providers import PaymentProvider
from records import Records
from worker.mail_transport import MailTransport, mail_transport_for
from worker.providers import connect_providers
from worker.providers.call_pool import CallPool
from worker.providers.rate_limiter import RateLimiter


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Records, providers, letters, and hands to call with."""

    settings: Settings
    records: Records
    links: Links
    mail_transport: MailTransport
    providers: Mapping[str, PaymentProvider]
    call_pool: CallPool
    rate_limiter: RateLimiter
    monotonic: Callable[[], float] = time.monotonic

    def provider(self, name: str) -> PaymentProvider | None:
        """The adapter of this name; None where none is connected."""
        return self.providers.get(name)


def create_context(ours: Settings) -> WorkerContext:
    """Tools for these settings."""
    return WorkerContext(
        settings=ours,
        records=Records.of(ours),
        links=Links.of(ours),
        mail_transport=mail_transport_for(ours),
        providers=connect_providers(ours),
        call_pool=CallPool(ours.provider_concurrency),
        rate_limiter=RateLimiter.of(ours),
    )


@cache
def worker_context() -> WorkerContext:
    """The tools of this process."""
    return create_context(settings())
