"""Every page and page state that a customer can see, with the steps that open it. No worker runs, so the cases do not change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from playwright.sync_api import Page

from config.signed_links import Purpose
from domain.cases import Evidence
from domain.inquiry_emails import InquiryEmailKind
from domain.providers import DeclineReason
from domain.purchases import Purchase
from domain.states import Event, State
from tests.e2e._site import Site
from tests.integration._question_fixtures import a_case_with_question
from tests.integration._web_fixtures import REASONS, Step, a_case, record_steps
from tests.sample_data import a_payment

Route = Callable[[Page, Site, str], None]
"""A function that opens a page in a language, such as `de`."""


def open_path(path: str) -> Route:
    """Return a route to the page with this path."""

    def open_page(page: Page, site: Site, language: str) -> None:
        page.goto(f"{site.url}{path}{'&' if '?' in path else '?'}lang={language}")

    return open_page


def act_on(route: Route, *actions: Callable[[Page], object]) -> Route:
    """Return a route that opens the page of ``route``, and then performs the actions on this page."""

    def open_page(page: Page, site: Site, language: str) -> None:
        route(page, site, language)
        for action in actions:
            action(page)

    return open_page


def open_case(state: State, purpose: Purpose = Purpose.STATUS, path: str = "") -> Route:
    """Return a route to a page about a new case in the state `state`."""

    def open_page(page: Page, site: Site, language: str) -> None:
        page.goto(f"{site.url}{_case_path(site, state, purpose)}{path}?lang={language}")

    return open_page


def open_status_after(state: State, *steps: Step) -> Route:
    """Return a route to the status page of a new case. The case first reaches `state`, then takes `steps`."""

    def open_page(page: Page, site: Site, language: str) -> None:
        case = record_steps(site.records, a_case(site.records, state, purchase=site.add_purchase()), *steps)
        page.goto(f"{site.links.to(Purpose.STATUS, case)}?lang={language}")

    return open_page


def open_question(page: Page, site: Site, language: str) -> None:
    """Open the page on which a customer answers a question of support."""
    case = a_case_with_question(site.records, site.add_purchase())
    page.goto(f"{site.links.to(Purpose.ANSWER, case)}?lang={language}")


PARTS = (
    {"amount": 2000},
    {"amount": 1400, "method": "paypal"},
    {"amount": 1500, "method": "gift_card", "provider": "shop", "charge": "gift 1"},
)
SECOND_CHARGE: tuple[dict[str, Any], ...] = ({}, {"duplicate": True})


def open_order(
    payments: Sequence[Mapping[str, Any]], state: State, *steps: Step, purpose: Purpose = Purpose.STATUS
) -> Route:
    """Return a route to a page about an order with these payments. Support refunds the payments at the provider ``shop``.

    If the case is beyond the confirmation, the first payment is refunded.
    """

    def open_page(page: Page, site: Site, language: str) -> None:
        purchase = site.add_purchase(payments=tuple(a_payment(**payment) for payment in payments))
        about = replace(purchase, payments=purchase.duplicates or purchase.payments)
        details = [
            {"method": item.method, "duplicate": item.duplicate, "for_support": item.provider == "shop"}
            for item in about.payments
        ]
        evidence: Evidence = {"purchase": about.snapshot, "payments": details, "reasons": REASONS}
        case = a_case(site.records, state, purchase=purchase, evidence=evidence)
        if state is not State.AWAITING_CONFIRMATION:
            store_operation(site, case, purchase, status="pending" if steps else "paid")
        page.goto(f"{site.links.to(purpose, record_steps(site.records, case, *steps))}?lang={language}")

    return open_page


def store_operation(site: Site, case: UUID, purchase: Purchase, *, status: str, amount: int | None = None) -> None:
    """Store a refund of the first payment of a purchase, in full or of this amount."""
    first = purchase.payments[0]
    with site.records.work() as work:
        work.run(
            "insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, "
            "first_sent_at, last_sent_at, status) values (:case, 1, :provider, :charge, :amount, 'EUR', :key, '', now(), "
            "now(), :status)",
            case=case,
            provider=first.provider,
            charge=first.charge,
            amount=amount or first.amount,
            key=str(case),
            status=status,
        )


def open_unmatched_withdrawal(page: Page, site: Site, language: str) -> None:
    """Open the status page of a statutory withdrawal that matches no purchase."""
    act_on(open_path("/withdraw"), FILL_WITHDRAWAL, submit_form, submit_form)(page, site, language)
    with site.records.work() as work:
        view = work.case_views.find(page.locator("main .code").last.inner_text())
    assert view
    record_steps(site.records, view.id, (State.RECEIVED, Event.FOUND_NO_PURCHASE, {}))
    page.goto(f"{site.links.to(Purpose.STATUS, view.id)}?lang={language}")


def open_purchase(page: Page, site: Site, language: str) -> None:
    """Open a purchase with the link in the customer's e-mail."""
    open_purchase_link(page, site, language)
    submit_form(page)


def open_purchase_link(page: Page, site: Site, language: str) -> None:
    """Open the link in the customer's e-mail. The link's page has a button that shows the purchase."""
    purchase = site.add_purchase()
    with site.records.work() as work:
        email_id = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email=purchase.email, locale=language, reference=purchase.reference
        )
    with site.records.work() as work:
        work.inquiry_emails.claim([email_id], seconds=60)
    page.goto(f"{site.links.to(Purpose.OPEN, email_id)}?lang={language}")


def open_used_link(page: Page, site: Site, language: str) -> None:
    """Open the link of the customer's e-mail again, after the purchase was shown."""
    open_purchase(page, site, language)
    page.goto(page.url)


def submit_form(page: Page) -> None:
    """Click the form's button, and wait for the next page."""
    page.locator("main form[method=post] button").first.click()
    page.wait_for_load_state()


def fill(**values: str) -> Callable[[Page], None]:
    """Return an action that types values into fields. The names of the arguments are the ids of the fields."""

    def type_values(page: Page) -> None:
        for field, value in values.items():
            page.locator(f"#{field}").fill(value)

    return type_values


def click(selector: str) -> Callable[[Page], None]:
    return lambda page: page.locator(selector).click()


def _case_path(site: Site, state: State, purpose: Purpose) -> str:
    evidence: Evidence = {"reasons": REASONS} if state is State.WITH_SUPPORT else {"refund": "re_5Yq2mC"}
    case: UUID = a_case(site.records, state, purchase=site.add_purchase(), evidence=evidence)
    return site.links.to(purpose, case).removeprefix(site.url)


FILL_WITHDRAWAL = fill(name="Ada Lovelace", reference="MB-2026-0417", email="ada@example.com")

PAGE_STATES: Mapping[str, Route] = {
    "home": open_path("/"),
    "home-found": open_path("/?q=refund"),
    "home-nothing-found": open_path("/?q=zeppelin"),
    "help-payment": open_path("/help/payment"),
    "help-delivery": open_path("/help/delivery"),
    "help-refunds": open_path("/help/refunds"),
    "shop": open_path("/s/aurora"),
    "shop-refund": open_path("/refund?seller=aurora"),
    "lookup": open_path("/lookup"),
    "lookup-lost": open_path("/lookup?ask=references"),
    "lookup-wrong": act_on(open_path("/lookup"), submit_form),
    "lookup-sent": open_path("/lookup/sent"),
    "open": open_purchase_link,
    "opened": open_purchase,
    "open-late": open_used_link,
    "refund": open_path("/refund?reference=MB-2026-0417"),
    "refund-partial": act_on(open_path("/refund"), click("#refund_scope-partial")),
    "refund-vat": act_on(open_path("/refund"), click("#refund_scope-vat")),
    "refund-wrong": act_on(open_path("/refund"), fill(email="ada@", comment="Hello"), submit_form),
    "refund-sent": open_path("/refund/sent"),
    "confirm": open_case(State.AWAITING_CONFIRMATION, Purpose.CONFIRM),
    "confirm-unsure": act_on(open_case(State.AWAITING_CONFIRMATION, Purpose.CONFIRM), submit_form),
    "confirm-parts": open_order(PARTS, State.AWAITING_CONFIRMATION, purpose=Purpose.CONFIRM),
    "confirm-second-charge": open_order(SECOND_CHARGE, State.AWAITING_CONFIRMATION, purpose=Purpose.CONFIRM),
    "confirm-late": open_case(State.EXPIRED, Purpose.CONFIRM),
    "keep": open_case(State.AWAITING_CONFIRMATION, Purpose.CONFIRM, "/cancel"),
    "answer": open_question,
    "answer-wrong": act_on(open_question, submit_form),
    "answer-sent": act_on(open_question, fill(text="The second one."), submit_form),
    "answer-not-needed": open_case(State.WITH_SUPPORT, Purpose.ANSWER),
    "withdraw": open_path("/withdraw"),
    "withdraw-wrong": act_on(open_path("/withdraw"), submit_form),
    "withdraw-sure": act_on(open_path("/withdraw"), FILL_WITHDRAWAL, submit_form),
    "cancelled": act_on(open_path("/withdraw"), FILL_WITHDRAWAL, submit_form, submit_form),
    **{f"status-{state.value.replace('_', '-')}": open_case(state) for state in State},
    "status-approved-held": open_status_after(State.APPROVED, (State.APPROVED, Event.PUT_ON_HOLD, {})),
    "status-approved-not-now": open_status_after(
        State.REFUNDING, (State.REFUNDING, Event.REFUND_DEFERRED, {"code": "x"})
    ),
    "status-approved-no-balance": open_status_after(
        State.REFUNDING,
        (State.REFUNDING, Event.REFUND_DEFERRED, {"code": "x", "refusal": DeclineReason.INSUFFICIENT_BALANCE}),
    ),
    "status-refunding-unclear": open_status_after(State.REFUNDING, (State.REFUNDING, Event.OUTCOME_UNKNOWN, {})),
    "status-refunded-bank-reference": open_status_after(
        State.REFUNDED, (State.REFUNDED, Event.BANK_REFERENCE_RECEIVED, {"bank_reference": "74537604221431003881865"})
    ),
    "status-returned": open_status_after(
        State.REFUNDED, (State.REFUNDED, Event.PROVIDER_FAILED_LATE, {"reasons": REASONS})
    ),
    "status-parts": open_order(PARTS, State.REFUNDING),
    "status-parts-with-support": open_order(PARTS, State.WITH_SUPPORT),
    "status-must-act": open_order(
        [{}],
        State.REFUNDING,
        (State.REFUNDING, Event.CUSTOMER_ACTION_REQUIRED, {"refund": "re_1", "customer_must_act": True}),
    ),
    "status-superseded": open_status_after(State.WITH_SUPPORT, (State.WITH_SUPPORT, Event.SUPERSEDED, {})),
    "status-withdrawal-unmatched": open_unmatched_withdrawal,
    "not-found": open_path("/nowhere"),
    "docs": open_path("/docs"),
    "problem": open_path("/problems/validation_failed"),
    "mailbox": open_path("/mailbox"),
}
"""The route to each page state, by the name of its screenshot."""
