"""A browser for every customer, and what it complained about at the end of each test.

The plugin keeps one Playwright for a whole run. It runs an event loop in the tests' own thread, where no later test could
start one, so here it lives no longer than a file of tests.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from console.servers import Servers
from tests.debian_packages import NotInstalledError
from tests.e2e._browser import Watch, chromium
from tests.e2e._site import Crew, Town, a_town


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as browser:
            yield browser
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def town(servers: Servers, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The web, with nobody behind it."""
    with a_town(servers, sandbox_url, tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.fixture(scope="module")
def crew(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Those who work behind the web."""
    with Crew(town, tmp_path_factory.mktemp("crew")) as crew:
        yield crew


@pytest.fixture
def visit(browser: Browser, town: Town) -> Iterator[Callable[..., Page]]:
    """A customer with a browser like this: an empty page. Nothing may go wrong in it that the test does not see."""
    watches: list[Watch] = []

    def visitor(**browser_like: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB"} | browser_like)
        watches.append(Watch(context, town.url))
        return context.new_page()

    yield visitor
    for context in browser.contexts:
        context.close()
    assert [fault for watch in watches for fault in watch.faults] == []


@pytest.fixture
def page(visit: Callable[..., Page]) -> Page:
    """A customer's page."""
    return visit()
