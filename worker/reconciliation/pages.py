"""Lists a provider's refunds page by page, within the provider's rate limit."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from domain.providers import PaymentProvider, RefundPage, Unknown
from worker.context import WorkerContext
from worker.provider_client import catch_adapter_errors

MAX_ATTEMPTS = 5  # the maximum number of calls for one page
RATE_LIMIT_TIMEOUT = 60.0  # the maximum wait, in seconds, until the provider's rate limit allows the call


def list_refund_pages(context: WorkerContext, provider: str, since: datetime) -> Iterator[RefundPage | Unknown]:
    """Yield every page of the refunds that were created since the time ``since``.

    If the list cannot be read to its end, the last item is ``Unknown`` with the reason.
    """
    adapter = context.provider(provider)
    if adapter is None or not adapter.capabilities.lists_refunds:
        yield Unknown(f"The provider {provider} is not connected, or cannot list its refunds.")
        return
    cursor: str | None = None
    while True:
        page = _fetch_page(context, provider, adapter, since, cursor)
        yield page
        if isinstance(page, Unknown) or page.next_cursor is None:
            return
        cursor = page.next_cursor


def _fetch_page(
    context: WorkerContext, provider: str, adapter: PaymentProvider, since: datetime, cursor: str | None
) -> RefundPage | Unknown:
    per_second = adapter.capabilities.calls_per_second
    page: RefundPage | Unknown = Unknown("The provider was not called.")
    for _ in range(MAX_ATTEMPTS):
        if not context.rate_limiter.acquire(provider, per_second, until=context.monotonic() + RATE_LIMIT_TIMEOUT):
            return Unknown(f"The provider's rate limit allowed no call within {RATE_LIMIT_TIMEOUT:g} seconds.")
        page = catch_adapter_errors(provider, partial(adapter.list_refunds, since, cursor))
        if isinstance(page, RefundPage):
            has_advanced = page.next_cursor is None or page.next_cursor != cursor
            return page if has_advanced else Unknown("The provider's list returns the same page again.")
        context.rate_limiter.pause(provider, per_second, page.retry_after or 1.0)
    return page
