"""Everything that a customer can come to see: the way there, on pages whose cases stand still."""

from collections.abc import Callable, Mapping
from uuid import UUID

from playwright.sync_api import Page

from config.signed_links import Purpose
from domain.cases import Evidence
from domain.inquiry_emails import InquiryEmailKind
from domain.providers import DeclineReason
from domain.states import Event, State
from tests.e2e._site import Town
from tests.integration._web_fixtures import REASONS, Happened, a_case, goes_on

Way = Callable[[Page, Town, str], None]
"""Goes there. The string is a language, for the address."""

PARTIAL = "#refund_scope-partial"


def to(path: str) -> Way:
    """A page with an address of its own."""

    def way(page: Page, town: Town, language: str) -> None:
        page.goto(f"{town.url}{path}{'&' if '?' in path else '?'}lang={language}")

    return way


def then(before: Way, *acts: Callable[[Page], object]) -> Way:
    """What is done on a page."""

    def way(page: Page, town: Town, language: str) -> None:
        before(page, town, language)
        for act in acts:
            act(page)

    return way


def standing(state: State, purpose: Purpose = Purpose.STATUS, path: str = "") -> Way:
    """A page about a case in this state."""

    def way(page: Page, town: Town, language: str) -> None:
        page.goto(f"{town.url}{_case(town, state, purpose)}{path}?lang={language}")

    return way


def after(state: State, *steps: Happened) -> Way:
    """The status page of a case that went on from this state."""

    def way(page: Page, town: Town, language: str) -> None:
        case = goes_on(town.records, a_case(town.records, state, purchase=town.sold()), *steps)
        page.goto(f"{town.links.to(Purpose.STATUS, case)}?lang={language}")

    return way


def unmatched(page: Page, town: Town, language: str) -> None:
    """A withdrawal by law that names no purchase."""
    then(to("/withdraw"), DECLARED, send, send)(page, town, language)
    case = UUID(page.locator("main .code").last.inner_text())
    goes_on(town.records, case, (State.RECEIVED, Event.FOUND_NO_PURCHASE, {}))
    page.goto(f"{town.links.to(Purpose.STATUS, case)}?lang={language}")


def opened(page: Page, town: Town, language: str) -> None:
    """A purchase, behind the link that its customer was mailed."""
    closed(page, town, language)
    send(page)


def closed(page: Page, town: Town, language: str) -> None:
    """The button behind that link."""
    bought = town.sold()
    with town.records.work() as work:
        note = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email=bought.email, locale=language, reference=bought.reference
        )
    with town.records.work() as work:
        work.inquiry_emails.claim([note], seconds=60)
    page.goto(f"{town.links.to(Purpose.OPEN, note)}?lang={language}")


def used(page: Page, town: Town, language: str) -> None:
    """That link, a second time."""
    opened(page, town, language)
    page.goto(page.url)


def send(page: Page) -> None:
    """The form's button."""
    page.locator("main form[method=post] button").first.click()
    page.wait_for_load_state()


def fill(**values: str) -> Callable[[Page], None]:
    """What is typed into fields, by their ids."""

    def typed(page: Page) -> None:
        for field, value in values.items():
            page.locator(f"#{field}").fill(value)

    return typed


def press(selector: str) -> Callable[[Page], None]:
    return lambda page: page.locator(selector).click()


def _case(town: Town, state: State, purpose: Purpose) -> str:
    evidence: Evidence = {"reasons": REASONS} if state is State.WITH_SUPPORT else {"refund": "re_5Yq2mC"}
    case: UUID = a_case(town.records, state, purchase=town.sold(), evidence=evidence)
    return town.links.to(purpose, case).removeprefix(town.url)


DECLARED = fill(name="Ada Lovelace", reference="MB-2026-0417", email="ada@example.com")

SIGHTS: Mapping[str, Way] = {
    "home": to("/"),
    "home-found": to("/?q=refund"),
    "home-nothing-found": to("/?q=zeppelin"),
    "help-payment": to("/help/payment"),
    "help-delivery": to("/help/delivery"),
    "help-refunds": to("/help/refunds"),
    "shop": to("/s/aurora"),
    "shop-refund": to("/refund?seller=aurora"),
    "lookup": to("/lookup"),
    "lookup-lost": to("/lookup?ask=references"),
    "lookup-wrong": then(to("/lookup"), send),
    "lookup-sent": to("/lookup/sent"),
    "open": closed,
    "opened": opened,
    "open-late": used,
    "refund": to("/refund?reference=MB-2026-0417"),
    "refund-partial": then(to("/refund"), press("#refund_scope-partial")),
    "refund-vat": then(to("/refund"), press("#refund_scope-vat")),
    "refund-wrong": then(to("/refund"), fill(email="ada@", comment="Hello"), send),
    "refund-sent": to("/refund/sent"),
    "confirm": standing(State.AWAITING_CONFIRMATION, Purpose.CONFIRM),
    "confirm-unsure": then(standing(State.AWAITING_CONFIRMATION, Purpose.CONFIRM), send),
    "confirm-late": standing(State.EXPIRED, Purpose.CONFIRM),
    "keep": standing(State.AWAITING_CONFIRMATION, Purpose.CONFIRM, "/cancel"),
    "withdraw": to("/withdraw"),
    "withdraw-wrong": then(to("/withdraw"), send),
    "withdraw-sure": then(to("/withdraw"), DECLARED, send),
    "cancelled": then(to("/withdraw"), DECLARED, send, send),
    **{f"status-{state.value.replace('_', '-')}": standing(state) for state in State},
    "status-approved-held": after(State.APPROVED, (State.APPROVED, Event.PUT_ON_HOLD, {})),
    "status-approved-not-now": after(State.REFUNDING, (State.REFUNDING, Event.REFUND_DEFERRED, {"code": "x"})),
    "status-approved-no-balance": after(
        State.REFUNDING,
        (State.REFUNDING, Event.REFUND_DEFERRED, {"code": "x", "refusal": DeclineReason.INSUFFICIENT_BALANCE}),
    ),
    "status-refunding-unclear": after(State.REFUNDING, (State.REFUNDING, Event.OUTCOME_UNKNOWN, {})),
    "status-refunded-bank-reference": after(
        State.REFUNDED, (State.REFUNDED, Event.BANK_REFERENCE_RECEIVED, {"bank_reference": "74537604221431003881865"})
    ),
    "status-returned": after(State.REFUNDED, (State.REFUNDED, Event.PROVIDER_FAILED_LATE, {"reasons": REASONS})),
    "status-withdrawal-unmatched": unmatched,
    "not-found": to("/nowhere"),
    "docs": to("/docs"),
    "problem": to("/problems/validation_failed"),
    "mailbox": to("/mailbox"),
}
"""By the name of a picture of it."""
