"""`python -m tests.screenshots`: takes screenshots of every page in each of its states, in two widths and three languages.

The pages of the desk are only in English. Their names start with `desk-`.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from tests.debian_packages import NotInstalledError, find_or_install
from tests.e2e import _desk_page_states as desk
from tests.e2e._browser import chromium
from tests.e2e._desk_site import DeskSite
from tests.e2e._page_states import PAGE_STATES
from tests.e2e._site import Site, run_site
from tests.integration._desk_fixtures import running_desk
from tests.services import running_servers

ROOT = Path(__file__).parents[2]
ALBUM = ROOT / "build" / "screenshots"
README_PICTURE = ROOT / "docs" / "images" / "refund-form.png"
README_SIZE: ViewportSize = {"width": 720, "height": 845}
LANGUAGES = ("en", "de", "ja")
SIZES: tuple[ViewportSize, ...] = ({"width": 1280, "height": 900}, {"width": 360, "height": 740})
DESK_SIZES: tuple[ViewportSize, ...] = ({"width": 1200, "height": 900}, {"width": 400, "height": 740})
DESK = "desk-"
FONT = "/usr/share/fonts/truetype/vlgothic/VL-Gothic-Regular.ttf"
"""The smallest Japanese font of Debian. Without a Japanese font, Japanese text would be empty boxes."""

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Every page of Moneyback</title>
<style>body { font: 16px/1.5 sans-serif; margin: 2rem; } div { display: flex; gap: 1rem; overflow-x: auto; align-items: start; }
img { height: 22rem; border: 1px solid #999; }</style></head><body><h1>Every page of Moneyback</h1>
"""


def main(names: list[str]) -> None:
    """Take screenshots of the named pages, or of all pages if `names` is empty.

    If the only name is `readme`, take the picture that README.md shows.
    """
    if names == ["readme"]:
        _take_for_readme()
        return
    find_or_install("fonts-vlgothic", FONT)
    if not names:
        shutil.rmtree(ALBUM, ignore_errors=True)
    ALBUM.mkdir(parents=True, exist_ok=True)
    with (
        running_servers() as servers,
        tempfile.TemporaryDirectory() as folder,
        run_site(servers, None, Path(folder)) as site,
        running_desk(site.settings, site.records, totp_required=False) as running,
        chromium() as browser,
    ):
        for language in LANGUAGES:
            for size in SIZES:
                _take(browser, site, [name for name in PAGE_STATES if not names or name in names], language, size)
        for name, state in desk.PAGE_STATES.items():
            if not names or f"{DESK}{name}" in names:
                _take_desk(browser, DeskSite(site, running), name, state)
    (ALBUM / "index.html").write_text(_index(), encoding="utf-8")
    sys.stdout.write(f"{len(list(ALBUM.glob('*.png')))} pictures: {ALBUM / 'index.html'}\n")


def _take_for_readme() -> None:
    """Take the README's picture: the English refund form, filled in."""
    README_PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with (
        running_servers() as servers,
        tempfile.TemporaryDirectory() as folder,
        run_site(servers, None, Path(folder)) as site,
        chromium() as browser,
    ):
        page = browser.new_page(locale="en", viewport=README_SIZE)
        PAGE_STATES["refund"](page, site, "en")
        page.locator("#email").fill("ada@example.com")
        page.locator("#reason").select_option(index=1)
        page.locator("h1").click()  # so that no field shows a focus ring
        page.screenshot(path=README_PICTURE)
    sys.stdout.write(f"{README_PICTURE}\n")


def _take(browser: Browser, site: Site, names: list[str], language: str, size: ViewportSize) -> None:
    context = browser.new_context(locale=language, viewport=size)
    page = context.new_page()
    for name in names:
        PAGE_STATES[name](page, site, language)
        page.screenshot(path=ALBUM / f"{name}.{language}.{size['width']}.png", full_page=True)
    context.close()


def _take_desk(browser: Browser, desk_site: DeskSite, name: str, state: desk.PageState) -> None:
    context = browser.new_context(locale="en", viewport=DESK_SIZES[0], base_url=desk_site.url)
    page = context.new_page()
    state.steps(page, desk_site)
    for size in DESK_SIZES:
        page.set_viewport_size(size)
        page.screenshot(path=ALBUM / f"{DESK}{name}.{size['width']}.png", full_page=True)
    context.close()


def _index() -> str:
    files = {
        name: [f"{name}.{language}.{size['width']}" for language in LANGUAGES for size in SIZES] for name in PAGE_STATES
    }
    files |= {DESK + name: [f"{DESK}{name}.{size['width']}" for size in DESK_SIZES] for name in desk.PAGE_STATES}
    rows = []
    for name, pictures in files.items():
        links = "".join(
            f'<a href="{file}.png"><img src="{file}.png" alt="{file}" loading="lazy"></a>' for file in pictures
        )
        rows.append(f"<h2>{name}</h2><div>{links}</div>")
    return f"{_HEAD}{''.join(rows)}</body></html>\n"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except NotInstalledError as error:
        sys.exit(str(error))
