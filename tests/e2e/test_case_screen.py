"""The case screen of the desk in a browser: accessibility, keys, what the provider reports, and drafts that survive failures."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from console.desk import create_desk
from console.servers import Servers
from domain.desk_roles import Role
from domain.states import State
from records import Records
from tests.e2e._browser import PageMonitor, accessibility_faults
from tests.e2e.test_pages import DESKTOP
from tests.integration._desk_fixtures import Desk
from tests.integration._question_fixtures import ask
from tests.integration._web_fixtures import a_case, serve
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import create_settings, fresh_database

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def desk(servers: Servers, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Yield a desk that asks the sandbox."""
    with fresh_database(servers) as database, socket.socket() as listener, ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        settings = create_settings(servers, database, tmp_path_factory.mktemp("desk"))
        desk_settings = settings.desk.model_copy(
            update={"totp_required": False, "url": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        )
        settings = settings.model_copy(update={"desk": desk_settings, "sandbox_url": sandbox_url})
        records = Records.of(settings)
        store_seller_and_purchases(records)
        with serve(create_desk(settings), listener) as web:
            yield Desk(settings, records, web, clients)
        records.engine.dispose()


@pytest.fixture
def case(desk: Desk) -> UUID:
    """Return a case with a question and an answer's place, whose customer reads German."""
    case = ask(desk.records, a_case(desk.records, State.WITH_SUPPORT, purchase=a_recent_purchase()))
    with desk.records.work() as work:
        work.run("update cases set locale = 'de', comment = 'Es startet nicht.' where id = :case", case=case)
    return case


@pytest.fixture
def context(browser: Browser, desk: Desk, case: UUID) -> Iterator[BrowserContext]:
    """Yield a browser of an agent. If a page has a fault, the test fails."""
    context = browser.new_context(locale="en-GB", viewport=DESKTOP)
    monitor = PageMonitor(context, desk.settings.desk.url)
    token = desk.sign_in(Role.AGENT, email=f"{case}@desk.example").cookies["moneyback-desk"]
    context.add_cookies([{"name": "moneyback-desk", "value": token, "url": desk.settings.desk.url}])
    yield context
    context.close()
    assert monitor.faults == []


@pytest.fixture
def page(context: BrowserContext, desk: Desk, case: UUID) -> Page:
    """Return the page of the case."""
    page = context.new_page()
    page.goto(f"{desk.settings.desk.url}/cases/{case}")
    return page


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def is_chosen(page: Page, choice: str) -> bool:
    return page.locator(f'[name="choice"][value="{choice}"]').is_checked()


@pytest.mark.parametrize("width", [1200, 400])
def test_the_case_is_accessible_and_fits_the_screen(page: Page, width: int) -> None:
    page.get_by_text("Approve a part P").click()
    for details in page.locator("main details").all():
        details.evaluate("details => { details.open = true; }")
    assert accessibility_faults(page, [{"width": width, "height": 900}]) == {}


def test_the_provider_is_asked_after_the_page_is_shown(page: Page) -> None:
    expect(page.locator("#provider-0")).to_contain_text("Sandbox shows")
    expect(page.locator("#provider-0")).not_to_contain_text("Ask Sandbox")


def test_letters_alone_choose_and_do_nothing_while_a_field_has_the_focus(page: Page) -> None:
    for key, choice in {"a": "full", "p": "partial", "d": "decline", "r": "ask"}.items():
        press(page, key)
        assert is_chosen(page, choice)
    press(page, "j")
    expect(page.locator("#text")).to_be_focused()
    press(page, "a", "d")
    assert page.locator("#text").input_value() == "ad"
    assert is_chosen(page, "ask")
    page.get_by_text("Keys", exact=True).click()
    page.get_by_role("button", name="Turn the letters alone off").click()
    press(page, "a")
    assert is_chosen(page, "ask")
    page.reload()
    press(page, "a")
    assert not is_chosen(page, "full")


def test_the_form_shows_only_the_fields_of_the_choice(page: Page) -> None:
    fields = {"amount": "#amount", "rules": ".when-approval", "reference": "#reference", "message": "#message"}
    shown = {}
    for choice in ("full", "partial", "vat", "decline", "ask", "refunded_elsewhere", "rematch", "close"):
        page.locator(f'[name="choice"][value="{choice}"]').check()
        shown[choice] = {name for name, selector in fields.items() if page.locator(selector).is_visible()}
    assert shown == {
        "full": {"rules", "message"},
        "partial": {"amount", "rules", "message"},
        "vat": {"amount", "rules", "message"},
        "decline": {"message"},
        "ask": {"message"},
        "refunded_elsewhere": {"amount", "message"},
        "rematch": {"reference"},
        "close": set(),
    }


def test_n_takes_the_next_task(desk: Desk, page: Page) -> None:
    a_case(desk.records, State.WITH_SUPPORT)
    with page.expect_request(lambda request: request.url.endswith("/tasks/next")):
        press(page, "n")
    expect(page.locator("h1")).to_contain_text("Case")


def test_a_draft_is_saved_while_the_agent_types(page: Page) -> None:
    press(page, "d")
    page.locator("#message").fill("The policy allows 30 days.")
    expect(page.locator("[data-draft-status]")).to_have_text("Your draft is saved.")
    page.reload()
    assert page.locator("#message").input_value() == "The policy allows 30 days."
    assert is_chosen(page, "decline")


def test_text_typed_just_before_the_page_is_closed_is_not_lost(context: BrowserContext, page: Page) -> None:
    address = page.url
    page.locator("#message").fill("Typed, and closed at once.")
    page.close()
    again = context.new_page()
    again.goto(address)
    expect(again.locator("#message")).to_have_value("Typed, and closed at once.")


def test_a_draft_that_the_server_cannot_save_is_kept_in_the_browser(browser: Browser, desk: Desk, case: UUID) -> None:
    context = browser.new_context(locale="en-GB")
    token = desk.sign_in(Role.AGENT, email=f"other.{case}@desk.example").cookies["moneyback-desk"]
    context.add_cookies([{"name": "moneyback-desk", "value": token, "url": desk.settings.desk.url}])
    page = context.new_page()
    address = f"{desk.settings.desk.url}/cases/{case}"
    page.goto(address)

    context.set_offline(True)
    page.locator("#message").fill("A text of ten minutes.")
    expect(page.locator("[data-draft-status]")).to_contain_text("It is kept in this browser")
    page.close()
    context.set_offline(False)
    again = context.new_page()
    again.goto(address)
    expect(again.locator("#message")).to_have_value("A text of ten minutes.")
    expect(again.locator("[data-draft-status]")).to_have_text("Your draft is saved.")
    context.close()


def test_after_a_decision_its_text_does_not_come_back(page: Page) -> None:
    press(page, "r")
    page.locator("#message").fill("Which of the two?")
    page.get_by_role("button", name="Decide", exact=True).click()
    page.wait_for_load_state("networkidle")
    expect(page.locator("#thread + ol")).to_contain_text("Which of the two?")
    assert page.locator("#message").input_value() == ""
    assert page.evaluate("() => localStorage.length") == 0


def test_a_preview_shows_the_typed_text_in_the_customers_language(page: Page) -> None:
    press(page, "p")
    page.locator("#amount").fill("12.50")
    page.locator("#message").fill("Gerne.")
    page.locator("#message").press("Tab")
    page.get_by_role("button", name="Preview the email").click()
    expect(page.locator("#email > .email-text")).to_contain_text("12,50 €")
    expect(page.locator("#email > .email-text")).to_contain_text("> Gerne.")
    assert page.locator("#amount").input_value() == "12.50"


def test_the_page_works_without_a_script(browser: Browser, desk: Desk, case: UUID) -> None:
    context = browser.new_context(locale="en-GB", java_script_enabled=False)
    token = desk.sign_in(Role.AGENT, email=f"plain.{case}@desk.example").cookies["moneyback-desk"]
    context.add_cookies([{"name": "moneyback-desk", "value": token, "url": desk.settings.desk.url}])
    page = context.new_page()
    page.goto(f"{desk.settings.desk.url}/cases/{case}")
    page.get_by_role("link", name="Ask Sandbox what it says now").click()
    expect(page.locator("h1")).to_contain_text("Sandbox about the payment")
    page.get_by_role("link", name="← Case").click()
    page.locator('label[accesskey="d"]').click()
    page.locator("#message").fill("The policy allows 30 days.")
    page.get_by_role("button", name="Save as a draft").click()
    assert page.locator("#message").input_value() == "The policy allows 30 days."
    page.get_by_role("button", name="Decide", exact=True).click()
    expect(page.locator("main")).to_contain_text("Declined")
    context.close()
