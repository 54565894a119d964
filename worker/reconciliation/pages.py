"""Reads the lists of a provider page by page, within the provider's rate limit."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import TypeVar

from domain.providers import DisputePage, PaymentProvider, PurchasePage, RefundPage, Unknown
from worker.context import WorkerContext
from worker.provider_client import catch_adapter_errors

MAX_ATTEMPTS = 5  # the maximum number of calls for one page
RATE_LIMIT_TIMEOUT = 60.0  # the maximum wait, in seconds, until the provider's rate limit allows the call

Page = TypeVar("Page", RefundPage, DisputePage, PurchasePage)
ListCall = Callable[[datetime, str | None], Page | Unknown]


def list_refund_pages(context: WorkerContext, provider: str, since: datetime) -> Iterator[RefundPage | Unknown]:
    """Yield every page of the refunds that were created since the time ``since``.

    If the list cannot be read to its end, the last item is ``Unknown`` with the reason.
    """
    adapter = context.provider(provider)
    if adapter is not None and not adapter.capabilities.lists_refunds:
        yield Unknown(f"The provider {provider} cannot list its refunds.")
        return
    yield from list_pages(context, provider, since, lambda adapter: adapter.list_refunds, RefundPage)


def list_pages(
    context: WorkerContext,
    provider: str,
    since: datetime,
    choose: Callable[[PaymentProvider], ListCall[Page]],
    kind: type[Page],
    *,
    after: str | None = None,
) -> Iterator[Page | Unknown]:
    """Yield every page of a list since the time ``since``. ``choose`` returns the method of the adapter that lists.

    ``after`` is the cursor at which the list continues. If the list cannot be read to its end, the last item is ``Unknown``.
    """
    adapter = context.provider(provider)
    if adapter is None:
        yield Unknown(f"The provider {provider} is not connected.")
        return
    call, cursor = choose(adapter), after
    while True:
        page = _fetch_page(context, provider, adapter, partial(call, since, cursor), kind)
        if isinstance(page, Unknown):
            yield page
            return
        if page.next_cursor is not None and page.next_cursor == cursor:
            yield Unknown("The provider's list returns the same page again.")
            return
        yield page
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def _fetch_page(
    context: WorkerContext,
    provider: str,
    adapter: PaymentProvider,
    call: Callable[[], Page | Unknown],
    kind: type[Page],
) -> Page | Unknown:
    per_second = adapter.capabilities.calls_per_second
    page: Page | Unknown = Unknown("The provider was not called.")
    for _ in range(MAX_ATTEMPTS):
        if not context.rate_limiter.acquire(provider, per_second, until=context.monotonic() + RATE_LIMIT_TIMEOUT):
            return Unknown(f"The provider's rate limit allowed no call within {RATE_LIMIT_TIMEOUT:g} seconds.")
        page = catch_adapter_errors(provider, call)
        if isinstance(page, kind):
            return page
        assert isinstance(page, Unknown), "a list call returns a page or Unknown"
        context.rate_limiter.pause(provider, per_second, page.retry_after or 1.0)
    return page
