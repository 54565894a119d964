"""Fixtures of the browser tests: a browser, the site, and a check after each test that no page had a fault.

Playwright's event loop runs in the thread of the tests. While a browser is open, no other test can start an event loop.
Therefore each test file opens a browser and closes it at the end. Playwright's pytest plugin is not used, because the plugin
would keep one browser open until all tests have ended.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page

from console.servers import Servers
from tests.debian_packages import NotInstalledError
from tests.e2e._browser import PageMonitor, chromium
from tests.e2e._desk_site import DeskSite
from tests.e2e._site import Backend, Site, run_site
from tests.integration._desk_fixtures import running_desk
from tests.services import ChildProcess, environment


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


@pytest.fixture(scope="module")
def desk_site(site: Site) -> Iterator[DeskSite]:
    """Run the desk next to the site. No role needs a second factor."""
    with running_desk(site.settings, site.records, totp_required=False) as desk:
        yield DeskSite(site, desk)


@pytest.fixture
def mail_service(site: Site, tmp_path: Path) -> Iterator[ChildProcess]:
    """Run the service that reads the e-mails of customers."""
    child = ChildProcess("mail", environment(site.settings), "mail", log=tmp_path)
    yield child
    child.kill()


@pytest.fixture
def expected_faults() -> list[str]:
    """Return the faults of pages that a test causes. The test adds them."""
    return []


@pytest.fixture
def open_empty_page(browser: Browser, expected_faults: list[str]) -> Iterator[Callable[..., Page]]:
    """Yield a function that opens an empty page for these sites. If a page has a fault that is not expected, the test fails."""
    monitors: list[PageMonitor] = []

    def open_page(*site_urls: str, **options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB"} | options)
        monitors.append(PageMonitor(context, *site_urls))
        return context.new_page()

    yield open_page
    for context in browser.contexts:
        context.close()
    assert [fault for monitor in monitors for fault in monitor.faults] == expected_faults


@pytest.fixture
def visit(open_empty_page: Callable[..., Page], site: Site) -> Callable[..., Page]:
    """Return a function that opens an empty page of the site with the given browser options."""
    return partial(open_empty_page, site.url)


@pytest.fixture
def page(visit: Callable[..., Page]) -> Page:
    """Return an empty page in a customer's browser."""
    return visit()


@pytest.fixture
def visit_desk(open_empty_page: Callable[..., Page], desk_site: DeskSite) -> Callable[..., Page]:
    """Return a function that opens an empty page of the desk, with a session of the user. Paths are paths of the desk."""

    def open_page(user: UUID | None = None, **options: Any) -> Page:
        page = open_empty_page(desk_site.url, desk_site.site.url, base_url=desk_site.url, **options)
        if user:
            desk_site.enter(page, user)
        return page

    return open_page
