"""Checks every page and page state: accessibility, size of touch targets, width and download size."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest
from playwright.sync_api import Page, Request, ViewportSize

from config.i18n import LANGUAGES
from tests.e2e._browser import OVERFLOW, accessibility_faults
from tests.e2e._page_states import PAGE_STATES
from tests.e2e._site import Site

Visit = Callable[..., Page]
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 320, "height": 640}
MAX_BYTES = 50_000  # the maximum size of the first page, in bytes, with its styles and icon


def mark_slow(names: Iterable[str], *, but: Collection[str]) -> list[Any]:
    """Return one test parameter for each name. Mark all names as slow, except the names in ``but``.

    Each test takes seconds of CPU time.
    """
    return [pytest.param(name, marks=() if name in but else pytest.mark.slow) for name in names]


@pytest.mark.parametrize(
    "name", mark_slow(PAGE_STATES, but={"home", "refund-wrong", "confirm-parts", "status-refunded"})
)
def test_every_page_is_accessible(visit: Visit, site: Site, name: str) -> None:
    page = visit(viewport=DESKTOP)
    PAGE_STATES[name](page, site, "en")
    assert accessibility_faults(page, (DESKTOP, PHONE)) == {}


@pytest.mark.parametrize("language", mark_slow(LANGUAGES, but={"de"}))
def test_no_page_is_wider_than_a_small_phone_in_any_language(visit: Visit, site: Site, language: str) -> None:
    page = visit(viewport=PHONE)
    overflowing = []
    for name in (
        "home",
        "help-refunds",
        "lookup",
        "refund-wrong",
        "confirm-parts",
        "withdraw",
        "status-parts-with-support",
    ):
        PAGE_STATES[name](page, site, language)
        overflowing += [name] if page.evaluate(OVERFLOW) else []
    assert overflowing == []


def test_the_first_page_is_small(visit: Visit, site: Site) -> None:
    """The size is the sum of the markup, styles and icon, with their response headers, as sent over the network."""
    page = visit()
    sizes: dict[str, int] = {}

    def record_size(request: Request) -> None:
        sent = request.sizes()
        sizes[request.url] = sent["responseHeadersSize"] + sent["responseBodySize"]

    page.on("requestfinished", record_size)
    page.goto(site.url, wait_until="networkidle")
    assert len(sizes) > 1
    assert sum(sizes.values()) < MAX_BYTES, sizes
