"""The queue of the desk in a browser: its keys, its numbers, and its layout on a phone and without JavaScript."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from config.settings import Settings
from domain.desk_roles import Role
from domain.states import State
from producers.mail.ingest import MailIngest, RawMail
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from tests.e2e._browser import OVERFLOW, SMALL_TARGETS, PageMonitor, accessibility_violations
from tests.integration._desk_fixtures import Desk, running_desk
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.integration._web_fixtures import a_case

PHONE = {"width": 400, "height": 800}
Open = Callable[..., Page]


@pytest.fixture
def desk(settings: Settings, records: Records) -> Iterator[Desk]:
    """Yield a desk with three cases and a flagged e-mail."""
    with running_desk(settings, records, totp_required=False) as desk:
        for _ in range(3):
            a_case(records, State.WITH_SUPPORT)
        mail = a_mail("How do I install it?", subject="A question " * 20, sender="eve@example.com")
        MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(records, [RawMail(mail, len(mail))])
        yield desk


@pytest.fixture
def open_as_agent(desk: Desk, browser: Browser) -> Iterator[Open]:
    """Yield a function that opens an empty page of a signed-in agent. If a page has a fault, the test fails."""
    contexts: list[tuple[BrowserContext, PageMonitor]] = []
    url = str(desk.web.base_url)

    def open_page(**options: Any) -> Page:
        token = desk.sign_in(Role.AGENT, email=f"agent{len(contexts)}@desk.example").cookies["moneyback-desk"]
        context = browser.new_context(base_url=url, locale="en-GB", **options)
        context.add_cookies([{"name": "moneyback-desk", "value": token, "url": url}])
        contexts.append((context, PageMonitor(context, url.rstrip("/"))))
        return context.new_page()

    yield open_page
    for context, _ in contexts:
        context.close()
    assert [fault for _, monitor in contexts for fault in monitor.faults] == []


def test_the_queue_is_worked_with_keys(open_as_agent: Open) -> None:
    page = open_as_agent()
    page.goto("/")
    links = page.locator(".task h2 a")
    for key, number in (("j", 0), ("j", 1), ("k", 0), ("k", 0), ("j", 1)):
        page.keyboard.press(key)
        expect(links.nth(number)).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("njk/")
    expect(page.locator("#q")).to_have_value("njk/")
    page.locator("h1").click()
    page.keyboard.press("n")
    page.wait_for_url("**/cases/*")


def test_the_numbers_of_the_views_stay_current(open_as_agent: Open) -> None:
    page = open_as_agent()
    page.clock.install()
    page.goto("/")
    number = page.locator('[data-view="unclaimed"]')
    expect(number).to_have_text("4")
    page.request.post("/tasks/next", form={"seller": ""}, headers={"sec-fetch-site": "same-origin"})
    page.clock.fast_forward(16_000)
    expect(number).to_have_text("3")
    expect(page.locator('[data-seller="aurora"]')).to_have_text("aurora (3)")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.clock.fast_forward(10 * 60_000)
    page.clock.run_for(60_000)
    assert requests == [], "a page that nobody looks at must not keep the session alive"


def test_the_page_warns_before_a_task_returns_to_the_queue(open_as_agent: Open) -> None:
    page = open_as_agent()
    page.clock.install()
    page.request.post("/tasks/next", form={"seller": ""}, headers={"sec-fetch-site": "same-origin"})
    page.goto("/?view=mine")
    warning = page.locator("[data-lease-warning]")
    expect(warning).to_be_hidden()
    page.clock.fast_forward(9 * 60_000)
    expect(warning).to_have_text("It soon returns to the queue.")
    page.clock.fast_forward(2 * 60_000)
    expect(warning).to_have_text("It is in the queue again.")


@pytest.mark.parametrize("javascript", [True, False])
def test_the_pages_fit_on_a_phone_and_work_without_javascript(open_as_agent: Open, *, javascript: bool) -> None:
    page = open_as_agent(viewport=PHONE, java_script_enabled=javascript)
    page.goto("/")
    page.get_by_text("Filters").click()
    page.get_by_label("Why it needs you").select_option("flagged_mail")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 open task")
    check(page, with_axe=javascript)
    page.locator(".task h2 a").click()
    page.get_by_role("button", name="Take this task").click()
    page.get_by_text("Snooze this task").click()
    page.get_by_label("Date and time").fill("2020-01-01T10:00")
    check(page, with_axe=javascript)
    page.get_by_role("button", name="Snooze", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The task was not snoozed")


def check(page: Page, *, with_axe: bool) -> None:
    """Check the layout of the page. The browser runs the scripts of a test also if it runs none of the page."""
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(SMALL_TARGETS) == []
    if with_axe:
        assert accessibility_violations(page) == []
