"""Every page and every state of one, as axe, a thumb, a small window and the network see it."""

from collections.abc import Callable, Collection, Iterable
from itertools import product
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Request, ViewportSize

from config.i18n import LANGUAGES
from tests.e2e._browser import accessibility_violations
from tests.e2e._page_states import PAGE_STATES
from tests.e2e._site import Site

Visit = Callable[..., Page]
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 320, "height": 640}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LARGEST = 50_000  # bytes of the first page, with all that it needs

SMALL = """
() => [...document.querySelectorAll(
  "button, summary, select, textarea, input:not([type=hidden], [type=radio], [type=checkbox]), .choice, .button, .brand, "
  + "nav a, .languages a, .list a, .ways a"
)].filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 43.5)
  .map(one => `${one.outerHTML.slice(0, 80)}: ${one.getBoundingClientRect().height}px`)
"""
"""What a thumb has to hit and cannot: all but links within a sentence."""
WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def mark_slow(names: Iterable[str], *, but: Collection[str]) -> list[Any]:
    """Return one parameter for each name, marked slow unless the name is in ``but``. A page takes seconds of CPU."""
    return [pytest.param(name, marks=() if name in but else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", mark_slow(PAGE_STATES, but={"home", "refund-wrong", "confirm", "status-refunded"}))
def test_nobody_is_shut_out(visit: Visit, site: Site, name: str) -> None:
    """axe finds nothing, wide or narrow, by day or at night; nothing is too small for a thumb, or wider than a phone."""
    page = visit(viewport=DESK)
    PAGE_STATES[name](page, site, "en")
    found = {}
    for size, scheme in product((DESK, PHONE), SCHEMES):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        found[f"{size['width']}, {scheme}"] = accessibility_violations(page)
    assert {how: faults for how, faults in found.items() if faults} == {}
    assert page.evaluate(SMALL) == []
    assert page.evaluate(WIDE) == 0


@pytest.mark.parametrize("language", mark_slow(LANGUAGES, but={"de"}))
def test_no_language_is_too_long_for_a_small_phone(visit: Visit, site: Site, language: str) -> None:
    page = visit(viewport=PHONE)
    wide = []
    for name in ("home", "help-refunds", "lookup", "refund-wrong", "confirm", "withdraw", "status-with-support"):
        PAGE_STATES[name](page, site, language)
        wide += [name] if page.evaluate(WIDE) else []
    assert wide == []


def test_the_first_page_weighs_less_than_a_picture(visit: Visit, site: Site) -> None:
    """Markup, styles and icon together, as they cross the network."""
    page = visit()
    sizes: dict[str, int] = {}

    def weigh(request: Request) -> None:
        crossed = request.sizes()
        sizes[request.url] = crossed["responseHeadersSize"] + crossed["responseBodySize"]

    page.on("requestfinished", weigh)
    page.goto(site.url, wait_until="networkidle")
    assert len(sizes) > 1
    assert sum(sizes.values()) < LARGEST, sizes
