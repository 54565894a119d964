"""Runs this machine's Chromium, and collects the faults of pages: script errors, CSP violations and failed requests."""

from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

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

    def __init__(self, context: BrowserContext, site_url: str) -> None:
        self.faults: list[str] = []
        self._site_url = f"{site_url}/"
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
        if not request.url.startswith((self._site_url, "data:")):
            self.faults.append(f"request to another host: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the test opened another page before the response
            self.faults.append(f"failed: {request.url} ({request.failure})")

    def _response(self, response: Response) -> None:
        is_page = response.request.resource_type == "document"
        if response.status >= (500 if is_page else 400):
            self.faults.append(f"response {response.status}: {response.url}")


def accessibility_violations(page: Page) -> list[str]:
    """Run axe on the page in its current state, and return a sentence for each violation."""
    violations = Axe().run(page, options=_AXE_OPTIONS).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {[node['html'] for node in violation['nodes']]}"
        for violation in violations
    ]
