"""What a person does on the pages of the desk. Fields and buttons are found by role, label and text, as a person finds them."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.integration._desk_fixtures import PASSWORD

APPROVE, PART, TAX, DECLINE, ASK = (
    "Approve in full",
    "Approve a part",
    "Refund the tax",
    "Decline",
    "Ask the customer",
)
"""The choices of the decision form."""

CONFIRM = "Confirm"
"""The button with which a second person confirms a decision."""

MESSAGE, REASON, AMOUNT = "Text for the customer", re.compile("^Reason"), re.compile("^Amount")
"""The labels of the fields of the decision form."""

_ALT_N = {
    "type": "keyDown",
    "modifiers": 1,
    "key": "n",
    "code": "KeyN",
    "windowsVirtualKeyCode": 78,
    "unmodifiedText": "n",
}
"""The key event of Alt and N. Playwright's own key events lack ``unmodifiedText``, with which Chromium finds an access key."""


def sign_in(page: Page, email: str) -> None:
    """Sign in with the password of the tests."""
    page.goto("/sign-in")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def take_next_task(page: Page) -> str:
    """Take the next task with the access key ``n``, and return the number of the case that the page then shows."""
    page.goto("/")
    with page.expect_navigation():
        page.context.new_cdp_session(page).send("Input.dispatchKeyEvent", _ALT_N)
    return shown_case_number(page)


def open_case(page: Page, case: object) -> None:
    page.goto(f"/cases/{case}")


def shown_case_number(page: Page) -> str:
    """Return the number in the heading of the case."""
    heading = page.get_by_role("heading", level=1, name=re.compile("^Case "))
    return heading.inner_text().removeprefix("Case ").strip()


def fill_in(page: Page, choice: str, *, message: str = "", reason: str = "", amount: str = "", **items: str) -> None:
    """Fill in the decision form, and send nothing. ``items`` are quantities by the name of the item."""
    radio(page, choice).check()
    for label, text in ((MESSAGE, message), (REASON, reason), (AMOUNT, amount)):
        if text:
            field(page, label).fill(text)
    for name, quantity in items.items():
        page.get_by_role("textbox", name=re.compile(f"^{name}")).fill(quantity)


def radio(page: Page, choice: str) -> Locator:
    """Return the radio button of a choice. The page may show a key after the choice."""
    return page.get_by_role("radio", name=re.compile(rf"^{choice}( [A-Z])?$"))


def field(page: Page, label: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("textbox", name=label)


def press(page: Page, button: str) -> int:
    """Click the button with this name, and return the status of the response."""
    return submit(page, page.get_by_role("button", name=button, exact=True))


def submit(page: Page, button: Locator) -> int:
    """Click a button that sends a form, and return the status of the response."""
    with page.expect_response(lambda response: response.request.method == "POST") as sent:
        button.click()
    return sent.value.status


def decide(page: Page, choice: str, **fields: str) -> int:
    """Fill in the decision form and send it. Return the status of the response."""
    fill_in(page, choice, **fields)
    return press(page, "Decide")


def alert(page: Page) -> Locator:
    """Return the box that says why nothing was decided."""
    return page.get_by_role("alert")
