"""A provider's own list of refunds, page by page, at the provider's pace."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from domain.providers import Page, PaymentProvider, Unknown
from worker.asking import guarded
from worker.tools import Tools

TRIES = 5  # of one page
PATIENCE = 60.0  # seconds for a page's turn at the provider's pace


def pages(tools: Tools, provider: str, since: datetime) -> Iterator[Page | Unknown]:
    """Every page since then; an Unknown ends it, and says why the rest could not be read."""
    adapter = tools.provider(provider)
    if adapter is None or not adapter.capabilities.lists:
        yield Unknown(f"The provider {provider} is not connected here, or cannot list its refunds.")
        return
    after: str | None = None
    while True:
        page = _page(tools, provider, adapter, since, after)
        yield page
        if isinstance(page, Unknown) or page.after is None:
            return
        after = page.after


def _page(tools: Tools, provider: str, adapter: PaymentProvider, since: datetime, after: str | None) -> Page | Unknown:
    known = adapter.capabilities
    page: Page | Unknown = Unknown("The provider was not asked.")
    for _ in range(TRIES):
        if not tools.pace.take(provider, known.calls_per_second, until=tools.monotonic() + PATIENCE):
            return Unknown("The provider's rate limit left no time to ask.")
        page = guarded(provider, partial(adapter.page, since, after))
        if isinstance(page, Page):
            moves_on = page.after is None or page.after != after
            return page if moves_on else Unknown("The provider's list does not move on.")
        tools.pace.hold_off(provider, known.calls_per_second, page.again_in or 1.0)
    return page
