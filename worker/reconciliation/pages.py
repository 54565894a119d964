"""A provider's own list of refunds, page by page, at the provider's pace."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from domain.providers import PaymentProvider, RefundPage, Unknown
from worker.context import WorkerContext
from worker.provider_client import guarded

TRIES = 5  # of one page
PATIENCE = 60.0  # seconds for a page's turn at the provider's pace


def pages(context: WorkerContext, provider: str, since: datetime) -> Iterator[RefundPage | Unknown]:
    """Every page since then; an Unknown ends it, and says why the rest could not be read."""
    adapter = context.provider(provider)
    if adapter is None or not adapter.capabilities.lists_refunds:
        yield Unknown(f"The provider {provider} is not connected here, or cannot list its refunds.")
        return
    after: str | None = None
    while True:
        page = _page(context, provider, adapter, since, after)
        yield page
        if isinstance(page, Unknown) or page.next_cursor is None:
            return
        after = page.next_cursor


def _page(
    context: WorkerContext, provider: str, adapter: PaymentProvider, since: datetime, after: str | None
) -> RefundPage | Unknown:
    known = adapter.capabilities
    page: RefundPage | Unknown = Unknown("The provider was not asked.")
    for _ in range(TRIES):
        if not context.rate_limiter.acquire(provider, known.calls_per_second, until=context.monotonic() + PATIENCE):
            return Unknown("The provider's rate limit left no time to ask.")
        page = guarded(provider, partial(adapter.list_refunds, since, after))
        if isinstance(page, RefundPage):
            moves_on = page.next_cursor is None or page.next_cursor != after
            return page if moves_on else Unknown("The provider's list does not move on.")
        context.rate_limiter.pause(provider, known.calls_per_second, page.retry_after or 1.0)
    return page
