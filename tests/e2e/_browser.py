"""Runs this machine's Chromium, and collects the faults of pages: script errors, CSP violations and failed requests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    ViewportSize,
    sync_playwright,
)

from tests.debian_packages import find_or_install

_CHROMIUM_ARGUMENTS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Options that stop Chromium's own requests, so that it loads only the pages under test."""
_AXE_OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
"""Options of axe, the accessibility checker: all default rules, and the rule for the size of buttons and links (WCAG 2.2 AA)."""
SMALL_TARGETS = """
() => [...document.querySelectorAll(
  "button, summary, select, textarea, input:not([type=hidden], [type=radio], [type=checkbox]), .choice, .button, .brand, "
  + "nav a, .languages a, .list a, .ways a"
)].filter(target => target.checkVisibility() && target.getBoundingClientRect().height < 43.5)
  .map(target => `${target.outerHTML.slice(0, 80)}: ${target.getBoundingClientRect().height}px`)
"""
"""A script that returns the touch targets that are less than 44 pixels high. Links within a sentence may be smaller."""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_STATUS_MESSAGE = "Failed to load resource: the server responded with a status of"
"""Chromium's console message for a response with an error status. `_console` ignores it; `_response` checks the status."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser. Raise NotInstalledError if Chromium is missing and cannot be installed."""
    path = find_or_install("chromium", "chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class PageMonitor:
    """Collects faults that a customer does not see: script errors, CSP violations, failed requests, requests to other hosts."""

    def __init__(self, context: BrowserContext, *site_urls: str) -> None:
        self.faults: list[str] = []
        self._allowed = (*(f"{url}/" for url in site_urls), "data:")
        context.set_default_timeout(60_000)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_STATUS_MESSAGE):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self._allowed):
            self.faults.append(f"request to another host: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the test opened another page before the response
            self.faults.append(f"failed: {request.url} ({request.failure})")

    def _response(self, response: Response) -> None:
        is_page = response.request.resource_type == "document"
        if response.status >= (500 if is_page else 400):
            self.faults.append(f"response {response.status}: {response.url}")


def accessibility_faults(page: Page, sizes: Sequence[ViewportSize]) -> dict[str, list[str]]:
    """Return the faults of the page at these sizes and in two colour schemes.

    The faults are violations that the accessibility checker axe finds, touch targets that are too small, and a page that is
    wider than the screen.
    """
    faults = {}
    for size in sizes:
        page.set_viewport_size(size)
        for scheme in _SCHEMES:
            page.emulate_media(color_scheme=scheme)
            faults[f"{size['width']}, {scheme}"] = accessibility_violations(page)
        faults[f"{size['width']}, small targets"] = page.evaluate(SMALL_TARGETS)
        overflow = page.evaluate(OVERFLOW)
        faults[f"{size['width']}, overflow"] = [f"{overflow} pixels"] if overflow else []
    return {variant: found for variant, found in faults.items() if found}


def accessibility_violations(page: Page) -> list[str]:
    """Run axe on the page in its current state, and return a sentence for each violation."""
    violations = Axe().run(page, options=_AXE_OPTIONS).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {[node['html'] for node in violation['nodes']]}"
        for violation in violations
    ]
