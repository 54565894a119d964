"""The machine's own Chromium, watched: what goes wrong on a page without being seen fails the test that met it."""

from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from tests.debian_packages import installed

_ALONE = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A browser that asks for nothing but our pages."""
_RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
"""All of axe's rules, with the one that is off unless asked for: whether targets are large enough (WCAG 2.2 AA)."""
_STATUS = "Failed to load resource: the server responded with a status of"
"""What the console says of every answer that is no success, even of a page that is meant to be none. Answers are watched."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Raises NotInstalledError where there is none and none can be installed."""
    path = installed("chromium", "chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_ALONE)
        yield browser
        browser.close()


class Watch:
    """Everything that a customer would not see: errors, refusals of the CSP, requests that failed or went elsewhere."""

    def __init__(self, context: BrowserContext, home: str) -> None:
        self.faults: list[str] = []
        self._home = f"{home}/"
        context.set_default_timeout(60_000)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_STATUS):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._home, "data:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the reader went on before it came
            self.faults.append(f"failed: {request.url} ({request.failure})")

    def _response(self, response: Response) -> None:
        page = response.request.resource_type == "document"
        if response.status >= (500 if page else 400):
            self.faults.append(f"answered with {response.status}: {response.url}")


def axe(page: Page) -> list[str]:
    """What axe finds on this page as it is now, a sentence each."""
    found = Axe().run(page, options=_RULES).response["violations"]
    return [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}" for one in found]
