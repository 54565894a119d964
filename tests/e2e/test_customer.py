"""Customers use the site with a browser, from the first page to the refund."""

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
STATUS_URL = re.compile(r"/status/")
MIN_LENGTH = 12
"""Only English sentences with more characters are searched. A shorter text may be a name or a part of another word."""
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}

pytestmark = pytest.mark.usefixtures("backend")


def fill(page: Page, site: Site, purchase: Purchase) -> None:
    """Open the refund form from the first page, and fill it in without sending it."""
    page.goto(f"{site.url}/")
    page.get_by_role("main").locator("a[href*='/refund']").first.click()
    page.locator("#email").fill(purchase.email)
    page.locator("#reference").fill(purchase.reference)
    page.locator("#reason").select_option("unwanted_renewal")


def send_request(page: Page, site: Site, purchase: Purchase) -> None:
    """Fill in the refund form and send it."""
    fill(page, site, purchase)
    page.locator("form[method=post] button").click()
    expect(page).to_have_url(re.compile(r"/refund/sent"))


def confirm(page: Page) -> None:
    """Confirm the refund on the page of the confirmation link."""
    page.locator("#sure").check()
    page.locator("form[method=post] button").click()
    expect(page).to_have_url(STATUS_URL)


def heading(state: State, language: str = "en") -> str:
    return translator_for(language).gettext(HEADLINES[state].heading)


def expect_heading(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(words, timeout=120_000)


def request_and_confirm_refund(page: Page, site: Site, language: str = "en") -> Purchase:
    """Send a request, open the e-mailed link, confirm, and wait for the refund. Return the purchase."""
    purchase = site.add_purchase()
    send_request(page, site, purchase)
    page.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
    confirm(page)
    expect_heading(page, heading(State.REFUNDED, language))
    assert site.count_refunds(purchase) == 1
    return purchase


def test_a_customer_gets_a_refund_without_support(page: Page, site: Site, backend: Backend) -> None:
    """The open status page shows each new state, and the browser does not load the page again."""
    purchase = site.add_purchase()
    send_request(page, site, purchase)
    page.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
    expect(page.get_by_role("main")).to_contain_text("€49.00")
    expect(page.get_by_role("main")).to_contain_text("Once you confirm, this can’t be undone.")
    with backend.paused():
        confirm(page)
        expect_heading(page, heading(State.APPROVED))
        page.evaluate("document.body.dataset.loads = 'once'")
    expect_heading(page, heading(State.REFUNDED))
    expect(page.locator("body")).to_have_attribute("data-loads", "once")
    expect(page.get_by_role("list").filter(has_text="confirmed")).to_be_visible()
    assert site.count_refunds(purchase) == 1


def test_a_customer_without_a_refund_sees_the_reason_and_the_contact(page: Page, site: Site) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=100)
    purchase = site.add_purchase(purchased_at=long_ago)
    send_request(page, site, purchase)
    email = site.wait_for_email(purchase.email, Purpose.STATUS)
    page.goto(site.wait_for_link(purchase.email, Purpose.STATUS))
    expect_heading(page, heading(State.WITH_SUPPORT))
    main = page.get_by_role("main")
    expect(main.get_by_role("listitem").filter(has_text=ReasonCode.OUTSIDE_WINDOW.customer)).to_be_visible()
    case = main.locator(".code").last.inner_text()
    for text in (case, "help@aurora.example"):
        expect(main).to_contain_text(text)
        assert text in plain_text(email)
    assert site.count_refunds(purchase) == 0


def test_an_emailed_link_shows_the_private_data_of_a_purchase_once(page: Page, site: Site) -> None:
    purchase = site.add_purchase()
    page.goto(f"{site.url}/lookup")
    page.get_by_label("Email address").fill(purchase.email)
    page.get_by_label("Reference number").fill(purchase.reference.lower())
    page.get_by_role("button", name="Email me my purchase").click()
    expect(page).to_have_url(re.compile(r"/lookup/sent"))
    assert DETAILS.licence_key
    link = site.wait_for_link(purchase.email, Purpose.OPEN)
    assert DETAILS.licence_key not in plain_text(site.wait_for_email(purchase.email, Purpose.OPEN))
    page.goto(link)
    expect(page.get_by_role("main")).not_to_contain_text(DETAILS.licence_key)
    page.get_by_role("button", name="Show my purchase").click()
    expect(page.get_by_role("main")).to_contain_text(DETAILS.licence_key)
    page.goto(link)
    expect_heading(page, "This link has expired or was already used")


def test_a_customer_without_a_reference_number_gets_all_reference_numbers_by_email(page: Page, site: Site) -> None:
    first = site.add_purchase()
    second = site.add_purchase(email=first.email)
    page.goto(f"{site.url}/lookup")
    page.get_by_role("link", name="I don’t have my reference number").click()
    page.get_by_label("Email address").fill(first.email)
    page.get_by_role("button").click()
    expect(page).to_have_url(re.compile(r"/lookup/sent"))
    (email,) = eventually(lambda: site.emails_to(first.email))
    assert first.reference in plain_text(email)
    assert second.reference in plain_text(email)


def test_confirming_in_two_tabs_makes_one_refund(page: Page, site: Site) -> None:
    purchase = site.add_purchase()
    send_request(page, site, purchase)
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
    for tab in (page, other):
        confirm(tab)
    for tab in (page, other):
        expect_heading(tab, heading(State.REFUNDED))
    assert site.count_refunds(purchase) == 1


def test_going_back_after_confirming_leads_to_the_status_again(page: Page, site: Site) -> None:
    purchase = request_and_confirm_refund(page, site)
    page.go_back()
    expect(page).to_have_url(STATUS_URL)
    expect_heading(page, heading(State.REFUNDED))
    assert site.count_refunds(purchase) == 1


def test_a_double_click_sends_one_request(page: Page, site: Site) -> None:
    fill(page, site, site.add_purchase())
    before = site.count_cases()
    page.locator("form[method=post] button").dblclick()
    expect(page).to_have_url(re.compile(r"/refund/sent"))
    assert site.count_cases() == before + 1


def test_a_request_that_is_sent_again_after_going_back_is_refunded_once(page: Page, site: Site) -> None:
    purchase = site.add_purchase()
    send_request(page, site, purchase)
    page.go_back()
    page.locator("#email").fill(purchase.email)
    page.locator("#reference").fill(purchase.reference)
    page.locator("#reason").select_option("unwanted_renewal")
    page.locator("form[method=post] button").click()
    expect(page).to_have_url(re.compile(r"/refund/sent"))
    page.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
    confirm(page)
    expect_heading(page, heading(State.REFUNDED))
    assert site.count_refunds(purchase) == 1


def test_a_customer_gets_a_refund_without_javascript(visit: Visit, site: Site, backend: Backend) -> None:
    """Without JavaScript the status page does not update itself; the customer clicks the link "Refresh"."""
    page = visit(java_script_enabled=False)
    purchase = site.add_purchase()
    send_request(page, site, purchase)
    page.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
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
    assert site.count_refunds(purchase) == 1


def test_a_customer_gets_a_refund_on_a_small_phone_in_dark_mode(visit: Visit, site: Site) -> None:
    request_and_confirm_refund(visit(**PHONE, color_scheme="dark"), site)


def test_a_customer_gets_a_refund_without_a_mouse(page: Page, site: Site) -> None:
    """Tab, arrow keys, space and Enter are enough. At every step, the focused element has a visible outline."""
    purchase = site.add_purchase()
    page.goto(f"{site.url}/")
    tab_to(page, ".skip")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    tab_to(page, "main a[href*='/refund']", limit=1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/refund"))
    tab_to(page, "form button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing has been sent yet")
    expect(page.locator("#email")).to_be_focused()
    page.keyboard.type(purchase.email)
    tab_to(page, "#reference", limit=1)
    page.keyboard.type(purchase.reference)
    tab_to(page, "#reason", limit=1)
    page.keyboard.press("ArrowDown")
    tab_to(page, "#refund_scope-full", limit=1)
    tab_to(page, "form button")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/refund/sent"))
    page.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
    tab_to(page, "#sure")
    page.keyboard.press("Space")
    tab_to(page, "form button", limit=1)
    page.keyboard.press("Enter")
    expect_heading(page, heading(State.REFUNDED))
    assert site.count_refunds(purchase) == 1


FOCUSED = """
selector => {
  const focused = document.activeElement, style = getComputedStyle(focused);
  return [focused.matches(selector), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, focused.outerHTML];
}
"""


def tab_to(page: Page, selector: str, *, limit: int = 25) -> None:
    """Press Tab until an element that matches `selector` has the focus, at most `limit` times."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        is_reached, is_outlined, element = page.evaluate(FOCUSED, selector)
        assert is_outlined, f"The focused element has no visible outline: {element}"
        if is_reached:
            return
    pytest.fail(
        f"{selector} did not get the focus after {limit} presses of Tab. The last focused element was {element}"
    )


def test_a_consumer_withdraws_and_gets_an_acknowledgement(page: Page, site: Site) -> None:
    """The consumer withdraws in two steps, and the second step stores the withdrawal.

    To get the refund, the consumer must confirm it with the link in an e-mail.
    """
    purchase = site.add_purchase()
    page.goto(f"{site.url}/")
    page.get_by_role("contentinfo").get_by_role("link", name="Withdraw from contract here").click()
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("Reference number").fill(purchase.reference)
    page.get_by_label("Email address").fill(purchase.email)
    before = site.count_cases()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("main")).to_contain_text("I hereby give notice that I withdraw from my contract")
    assert site.count_cases() == before
    page.get_by_role("button", name="Confirm withdrawal").click()
    expect_heading(page, "We’ve received your withdrawal")
    declared_at = datetime.fromisoformat(page.locator("time").get_attribute("datetime") or "")
    in_utc = translator_for("en").instant(declared_at)
    in_seller_time = translator_for("en").instant(declared_at, a_seller().time_zone)
    case = page.locator(".code").inner_text()
    for text in ("Ada Lovelace", purchase.reference, purchase.email):
        expect(page.get_by_role("main")).to_contain_text(text)
    acknowledgement = eventually(
        lambda: [text for text in map(plain_text, site.emails_to(purchase.email)) if in_utc in text]
    )[0]
    for text in ("Ada Lovelace", purchase.reference, case):
        assert text in acknowledgement
    assert site.count_refunds(purchase) == 0
    page.goto(site.wait_for_link(purchase.email, Purpose.CONFIRM))
    confirm(page)
    expect_heading(page, heading(State.REFUNDED))
    expect(page.get_by_role("main")).to_contain_text(in_seller_time)
    assert site.count_refunds(purchase) == 1


@pytest.mark.parametrize("language", ["de", pytest.param("ja", marks=pytest.mark.slow)])
def test_pages_and_emails_are_in_the_customers_language(visit: Visit, site: Site, language: str) -> None:
    """Pages and e-mails are in the browser's language, although no link contains the language."""
    page = visit(locale=language)
    purchase = request_and_confirm_refund(page, site, language)
    expect(page.locator("html")).to_have_attribute("lang", language)
    email = site.wait_for_email(purchase.email, Purpose.CONFIRM)
    assert email["Content-Language"] == language
    page.goto(f"{site.url}/")
    for text in (page.locator("body").inner_text(), plain_text(email)):
        assert untranslated_sentences(text, language) == []


def untranslated_sentences(text: str, language: str) -> list[str]:
    """Return the English sentences that the text contains, although the language's catalogue has their translations."""
    entries = [entry for entry in read_catalogue(language) if entry.string and entry.string != entry.id]
    return [
        entry.id for entry in entries if isinstance(entry.id, str) and len(entry.id) > MIN_LENGTH and entry.id in text
    ]


def test_the_language_link_shows_the_same_page_in_another_language(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/refund?seller=aurora")
    page.get_by_role("link", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page).to_have_url(re.compile(r"/refund\?(?=.*seller=aurora)(?=.*lang=de)"))
    expect(page.get_by_role("main")).to_contain_text("Aurora Software")
    page.get_by_role("navigation").get_by_role("link").first.click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
