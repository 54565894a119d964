"""Customers and their browsers, from the first page to the money."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from config.i18n import translator_for
from config.signed_links import Purpose
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.states import State
from producers.web.pages.case_copy import HEADLINES
from tests.catalogues import read_catalogue
from tests.e2e._site import DETAILS, Backend, Site, plain_text
from tests.sample_data import a_seller
from tests.services import eventually

Visit = Callable[..., Page]
STATUS = re.compile(r"/status/")
SHORT = 12  # characters: what is shorter may be a name, or a part of a word
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}

pytestmark = pytest.mark.usefixtures("backend")


def fill(page: Page, site: Site, bought: Purchase) -> None:
    """The form, from the first page on."""
    page.goto(f"{site.url}/")
    page.get_by_role("main").locator("a[href*='/refund']").first.click()
    page.locator("#email").fill(bought.email)
    page.locator("#reference").fill(bought.reference)
    page.locator("#reason").select_option("unwanted_renewal")


def ask(page: Page, site: Site, bought: Purchase) -> None:
    fill(page, site, bought)
    page.locator("form[method=post] button").click()
    expect(page).to_have_url(re.compile(r"/refund/sent"))


def confirm(page: Page) -> None:
    """The question behind the letter's link, answered with yes."""
    page.locator("#sure").check()
    page.locator("form[method=post] button").click()
    expect(page).to_have_url(STATUS)


def heading(state: State, language: str = "en") -> str:
    return translator_for(language).gettext(HEADLINES[state].heading)


def expect_heading(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(words, timeout=120_000)


def the_whole_way(page: Page, site: Site, language: str = "en") -> Purchase:
    """Request, mail, confirm, paid."""
    bought = site.add_purchase()
    ask(page, site, bought)
    page.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    confirm(page)
    expect_heading(page, heading(State.REFUNDED, language))
    assert site.count_refunds(bought) == 1
    return bought


def test_a_customer_gets_the_money_back_without_talking_to_anyone(page: Page, site: Site, backend: Backend) -> None:
    """And sees it happen: the status page tells it while it is open, and is never loaded again."""
    bought = site.add_purchase()
    ask(page, site, bought)
    page.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    expect(page.get_by_role("main")).to_contain_text("€49.00")
    expect(page.get_by_role("main")).to_contain_text("Once you confirm, this can’t be undone.")
    with backend.paused():
        confirm(page)
        expect_heading(page, heading(State.APPROVED))
        page.evaluate("document.body.dataset.opened = 'once'")
    expect_heading(page, heading(State.REFUNDED))
    expect(page.locator("body")).to_have_attribute("data-opened", "once")
    expect(page.get_by_role("list").filter(has_text="confirmed")).to_be_visible()
    assert site.count_refunds(bought) == 1


def test_who_cannot_be_refunded_at_once_learns_why_and_whom_to_ask(page: Page, site: Site) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=100)
    bought = site.add_purchase(purchased_at=long_ago)
    ask(page, site, bought)
    letter = site.wait_for_email(bought.email, Purpose.STATUS)
    page.goto(site.wait_for_link(bought.email, Purpose.STATUS))
    expect_heading(page, heading(State.WITH_SUPPORT))
    main = page.get_by_role("main")
    expect(main.get_by_role("listitem").filter(has_text=ReasonCode.OUTSIDE_WINDOW.customer)).to_be_visible()
    case = main.locator(".code").last.inner_text()
    for told in (case, "help@aurora.example"):
        expect(main).to_contain_text(told)
        assert told in plain_text(letter)
    assert site.count_refunds(bought) == 0


def test_what_is_private_about_a_purchase_is_mailed_and_opens_once(page: Page, site: Site) -> None:
    bought = site.add_purchase()
    page.goto(f"{site.url}/lookup")
    page.get_by_label("Email address").fill(bought.email)
    page.get_by_label("Reference number").fill(bought.reference.lower())
    page.get_by_role("button", name="Email me my purchase").click()
    expect(page).to_have_url(re.compile(r"/lookup/sent"))
    assert DETAILS.licence_key
    link = site.wait_for_link(bought.email, Purpose.OPEN)
    assert DETAILS.licence_key not in plain_text(site.wait_for_email(bought.email, Purpose.OPEN))
    page.goto(link)
    expect(page.get_by_role("main")).not_to_contain_text(DETAILS.licence_key)
    page.get_by_role("button", name="Show my purchase").click()
    expect(page.get_by_role("main")).to_contain_text(DETAILS.licence_key)
    page.goto(link)
    expect_heading(page, "This link has expired or was already used")


def test_who_lost_the_reference_number_is_mailed_all_of_them(page: Page, site: Site) -> None:
    first = site.add_purchase()
    second = site.add_purchase(email=first.email)
    page.goto(f"{site.url}/lookup")
    page.get_by_role("link", name="I don’t have my reference number").click()
    page.get_by_label("Email address").fill(first.email)
    page.get_by_role("button").click()
    expect(page).to_have_url(re.compile(r"/lookup/sent"))
    (letter,) = eventually(lambda: site.emails_to(first.email))
    assert first.reference in plain_text(letter)
    assert second.reference in plain_text(letter)


def test_two_tabs_that_both_confirm_refund_once(page: Page, site: Site) -> None:
    bought = site.add_purchase()
    ask(page, site, bought)
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    for tab in (page, other):
        confirm(tab)
    for tab in (page, other):
        expect_heading(tab, heading(State.REFUNDED))
    assert site.count_refunds(bought) == 1


def test_going_back_after_confirming_leads_to_the_status_again(page: Page, site: Site) -> None:
    bought = the_whole_way(page, site)
    page.go_back()
    expect(page).to_have_url(STATUS)
    expect_heading(page, heading(State.REFUNDED))
    assert site.count_refunds(bought) == 1


def test_a_double_click_is_one_request(page: Page, site: Site) -> None:
    fill(page, site, site.add_purchase())
    before = site.count_cases()
    page.locator("form[method=post] button").dblclick()
    expect(page).to_have_url(re.compile(r"/refund/sent"))
    assert site.count_cases() == before + 1


def test_a_form_that_is_sent_again_after_going_back_is_refunded_once(page: Page, site: Site) -> None:
    bought = site.add_purchase()
    ask(page, site, bought)
    page.go_back()
    page.locator("#email").fill(bought.email)
    page.locator("#reference").fill(bought.reference)
    page.locator("#reason").select_option("unwanted_renewal")
    page.locator("form[method=post] button").click()
    expect(page).to_have_url(re.compile(r"/refund/sent"))
    page.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    confirm(page)
    expect_heading(page, heading(State.REFUNDED))
    assert site.count_refunds(bought) == 1


def test_everything_works_without_javascript(visit: Visit, site: Site, backend: Backend) -> None:
    """The status page promises no news by itself then: its link shows them."""
    page = visit(java_script_enabled=False)
    bought = site.add_purchase()
    ask(page, site, bought)
    page.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    with backend.paused():
        confirm(page)
        expect_heading(page, heading(State.APPROVED))
        expect(page.get_by_text("This page updates automatically.")).not_to_be_visible()

    def is_paid() -> bool:
        if page.get_by_role("heading", level=1).inner_text() == heading(State.REFUNDED):
            return True
        page.get_by_role("link", name="Refresh").click()
        return False

    eventually(is_paid)
    assert site.count_refunds(bought) == 1


def test_everything_works_on_a_small_phone_at_night(visit: Visit, site: Site) -> None:
    the_whole_way(visit(**PHONE, color_scheme="dark"), site)


def test_everything_works_without_a_mouse(page: Page, site: Site) -> None:
    """Tab, arrows, space and enter; where one is can be seen at every step."""
    bought = site.add_purchase()
    page.goto(f"{site.url}/")
    tab_to(page, ".skip")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    tab_to(page, "main a[href*='/refund']", most=1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/refund"))
    tab_to(page, "form button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing has been sent yet")
    expect(page.locator("#email")).to_be_focused()
    page.keyboard.type(bought.email)
    tab_to(page, "#reference", most=1)
    page.keyboard.type(bought.reference)
    tab_to(page, "#reason", most=1)
    page.keyboard.press("ArrowDown")
    tab_to(page, "#refund_scope-full", most=1)
    tab_to(page, "form button")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/refund/sent"))
    page.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    tab_to(page, "#sure")
    page.keyboard.press("Space")
    tab_to(page, "form button", most=1)
    page.keyboard.press("Enter")
    expect_heading(page, heading(State.REFUNDED))
    assert site.count_refunds(bought) == 1


FOCUSED = """
selector => {
  const here = document.activeElement, ring = getComputedStyle(here);
  return [here.matches(selector), ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 2, here.outerHTML];
}
"""


def tab_to(page: Page, selector: str, *, most: int = 25) -> None:
    """Presses Tab until this has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        there, seen, element = page.evaluate(FOCUSED, selector)
        assert seen, f"Nobody sees that this has the focus: {element}"
        if there:
            return
    pytest.fail(f"{selector} has not come after {most} times Tab; the last was {element}")


def test_a_consumer_withdraws_from_the_contract_and_keeps_the_acknowledgement(page: Page, site: Site) -> None:
    """In two steps, counted from then on; only the payout waits for the mailed link."""
    bought = site.add_purchase()
    page.goto(f"{site.url}/")
    page.get_by_role("contentinfo").get_by_role("link", name="Withdraw from contract here").click()
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("Reference number").fill(bought.reference)
    page.get_by_label("Email address").fill(bought.email)
    before = site.count_cases()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("main")).to_contain_text("I hereby give notice that I withdraw from my contract")
    assert site.count_cases() == before
    page.get_by_role("button", name="Confirm withdrawal").click()
    expect_heading(page, "We’ve received your withdrawal")
    declared_at = datetime.fromisoformat(page.locator("time").get_attribute("datetime") or "")
    told, there = (
        translator_for("en").instant(declared_at),
        translator_for("en").instant(declared_at, a_seller().time_zone),
    )
    case = page.locator(".code").inner_text()
    for said in ("Ada Lovelace", bought.reference, bought.email):
        expect(page.get_by_role("main")).to_contain_text(said)
    acknowledged = eventually(lambda: [w for w in map(plain_text, site.emails_to(bought.email)) if told in w])[0]
    for said in ("Ada Lovelace", bought.reference, case):
        assert said in acknowledged
    assert site.count_refunds(bought) == 0
    page.goto(site.wait_for_link(bought.email, Purpose.CONFIRM))
    confirm(page)
    expect_heading(page, heading(State.REFUNDED))
    expect(page.get_by_role("main")).to_contain_text(there)
    assert site.count_refunds(bought) == 1


@pytest.mark.parametrize("language", ["de", pytest.param("ja", marks=pytest.mark.slow)])
def test_a_customer_is_spoken_to_in_their_language(visit: Visit, site: Site, language: str) -> None:
    """On every page and in every letter, though no link says which language it is."""
    page = visit(locale=language)
    bought = the_whole_way(page, site, language)
    expect(page.locator("html")).to_have_attribute("lang", language)
    letter = site.wait_for_email(bought.email, Purpose.CONFIRM)
    assert letter["Content-Language"] == language
    page.goto(f"{site.url}/")
    for said in (page.locator("body").inner_text(), plain_text(letter)):
        assert left_in_english(said, language) == []


def left_in_english(said: str, language: str) -> list[str]:
    """Sentences that the catalogue of this language has other words for."""
    others = [one for one in read_catalogue(language) if one.string and one.string != one.id]
    return [one.id for one in others if isinstance(one.id, str) and len(one.id) > SHORT and one.id in said]


def test_another_language_keeps_the_place(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/refund?seller=aurora")
    page.get_by_role("link", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page).to_have_url(re.compile(r"/refund\?(?=.*seller=aurora)(?=.*lang=de)"))
    expect(page.get_by_role("main")).to_contain_text("Aurora Software")
    page.get_by_role("navigation").get_by_role("link").first.click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
