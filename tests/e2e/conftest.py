"""Fixtures of the browser tests: a browser, the site, and a check after each test that no page had a fault.

Playwright's event loop runs in the thread of the tests. While a browser is open, no other test can start an event loop.
Therefore each test file opens a browser and closes it at the end. Playwright's pytest plugin is not used, because the plugin
would keep one browser open until all tests have ended.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from console.servers import Servers
from tests.debian_packages import NotInstalledError
from tests.e2e._browser import PageMonitor, chromium
from tests.e2e._site import Backend, Site, run_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as browser:
            yield browser
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site(servers: Servers, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield the site. No worker and no relay run with it."""
    with run_site(servers, sandbox_url, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def backend(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Run a worker and the relay for the site."""
    with Backend(site, tmp_path_factory.mktemp("backend")) as backend:
        yield backend


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Yield a function that opens an empty page with the given browser options. If a page has a fault, the test fails."""
    monitors: list[PageMonitor] = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB"} | options)
        monitors.append(PageMonitor(context, site.url))
        return context.new_page()

    yield open_page
    for context in browser.contexts:
        context.close()
    assert [fault for monitor in monitors for fault in monitor.faults] == []


@pytest.fixture
def page(visit: Callable[..., Page]) -> Page:
    """Return an empty page in a customer's browser."""
    return visit()
