"""Tests of the statutory withdrawal: two steps, only the allowed fields, and always an acknowledgement."""

import html
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from config.i18n import translator_for
from config.signed_links import Purpose
from domain.emails import EmailKind
from domain.policies import Category
from domain.states import Event, State
from producers.web.pages.statutory_withdrawal import STATEMENT
from records.statutory_withdrawals import StatutoryWithdrawals
from tests.integration._web_fixtures import Site, a_case
from tests.sample_data import a_policy, a_recent_purchase, a_seller, store_seller_and_purchases

INPUT = {"name": "Ada <b>Lovelace</b>", "reference": "MB-2026-0417", "email": "ada@example.com"}


def form_data(**changes: str) -> dict[str, str]:
    return INPUT | {"nonce": uuid4().hex} | changes


def send_withdrawal(site: Site, **changes: str) -> tuple[str, UUID]:
    """Send a withdrawal, and return the page with the acknowledgement and the case's id."""
    response = site.web.post("/withdraw", data=form_data(step="confirm", **changes))
    assert response.status_code == 200
    (number,) = re.findall(r'<dd class="code">([\dA-Z]{4}-[\dA-Z]{4}-[\dA-Z])</dd>', response.text)
    with site.records.work() as work:
        view = work.case_views.find(number)
    assert view
    return response.text, view.id


def email_kinds_of(site: Site, case: UUID) -> list[str]:
    with site.records.work() as work:
        return [row.kind for row in work.run("select kind from case_emails where case_id = :case", case=case)]


def test_the_form_asks_only_for_name_reference_and_address(site: Site) -> None:
    page = site.web.get("/withdraw").text
    assert re.findall(r'<input id="[^"]+" name="([^"]+)"', page) == ["name", "reference", "email"]
    assert "<h1>Withdraw from contract here</h1>" in page
    assert "<textarea" not in page
    assert "<select" not in page


def test_a_link_fills_in_the_form(site: Site) -> None:
    page = site.web.get("/withdraw", params={"reference": "MB-1", "email": "ada@example.com", "seller": "aurora"}).text
    assert 'value="MB-1"' in page
    assert 'value="ada@example.com"' in page
    assert "This form is for purchases from Aurora Software." in page


def test_the_first_step_shows_the_statement_and_stores_nothing(site: Site) -> None:
    before = site.fingerprint()
    page = site.web.post("/withdraw", data=form_data()).text
    assert html.escape(STATEMENT.format_map(INPUT)) in page
    assert re.findall(r'<button type="submit" name="step" value="confirm">([^<]+)<', page) == ["Confirm withdrawal"]
    assert site.fingerprint() == before


def test_the_input_can_be_changed_before_the_confirmation(site: Site) -> None:
    page = site.web.post("/withdraw", data=form_data(step="change")).text
    assert 'name="name" type="text" autocomplete="name"' in page
    assert html.escape(INPUT["name"]) in page
    assert site.count_cases() == 0


def test_the_second_step_stores_the_statement_and_shows_its_time(site: Site) -> None:
    page, case = send_withdrawal(site)
    with site.records.work() as work:
        withdrawal = work.statutory_withdrawals.get(case)
        view = work.case_views.get(case)
    assert withdrawal
    assert view
    assert (withdrawal.name, withdrawal.statement) == (INPUT["name"], STATEMENT.format_map(INPUT))
    assert withdrawal.declared_at == view.received_at == view.declared_at  # the time of the submission counts
    for expected in (
        withdrawal.statement,
        withdrawal.name,
        INPUT["reference"],
        INPUT["email"],
        translator_for("en").instant(withdrawal.declared_at),
    ):
        assert html.escape(expected) in page


def test_the_case_and_its_email_are_stored_together(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _, case = send_withdrawal(site)
    assert email_kinds_of(site, case) == [EmailKind.WITHDRAWAL_RECEIVED]
    with site.records.work() as work:
        assert work.outbox.take("email.cases", room=10, after=None, bulk=False) == [(case, "")]
    before = site.fingerprint()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(StatutoryWithdrawals, "get", fail)  # called after all rows are written
    assert site.web.post("/withdraw", data=form_data(step="confirm")).status_code == 500
    assert site.fingerprint() == before


def test_a_repeated_withdrawal_creates_one_case_and_shows_the_same_page(site: Site) -> None:
    form = form_data(step="confirm")
    first, second = (site.web.post("/withdraw", data=form).text for _ in range(2))
    assert first == second
    assert site.count_cases() == 1


def test_the_page_does_not_reveal_if_the_purchase_exists(site: Site) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(site.records, purchase)
    pages = []
    for reference in (purchase.reference, "MB-2026-99999"):
        page, case = send_withdrawal(site, reference=reference, email=purchase.email)
        timestamp = re.search(r"<time[^>]*>[^<]*</time>", page)
        assert timestamp
        pages.append(
            page.replace(reference, "REF").replace(site.case_number(case), "CASE").replace(timestamp.group(), "AT")
        )
        assert email_kinds_of(site, case) == [EmailKind.WITHDRAWAL_RECEIVED]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"name": " "}, "name", "Enter your name."),
        ({"name": "x" * 101}, "name", "This is too long. Use up to 100 characters."),
        ({"name": "Win at https://evil.example"}, "name", "Enter only your name."),
        ({"name": "Claim your prize at evil-shop.com/win now"}, "name", "Enter only your name."),
        ({"name": "Ada of evil.co.uk"}, "name", "Enter only your name."),
        ({"reference": "paypal-secure.com"}, "reference", "This doesn’t look like a reference number."),
        ({"reference": "www.evil.example"}, "reference", "This doesn’t look like a reference number."),
        ({"reference": ""}, "reference", "Enter the reference number of your purchase."),
        ({"email": "ada"}, "email", "Enter a complete email address"),
        ({"email": "ada@example.com\nBcc: all@example.com"}, "email", "Enter a complete email address"),
    ],
)
@pytest.mark.parametrize("step", ["", "confirm"])
def test_an_invalid_withdrawal_is_shown_again_with_an_error(
    site: Site, step: str, changes: dict[str, str], field: str, sentence: str
) -> None:
    response = site.web.post("/withdraw", data=form_data(step=step, **changes))
    assert response.status_code == 422
    assert sentence in response.text
    assert f'id="{field}-error"' in response.text
    assert re.search(rf'id="{field}"[^>]*autofocus', response.text)
    assert site.count_cases() == 0


@pytest.mark.parametrize(
    "name", ["J.R.R. Tolkien", "Dr.Grace Hopper", "prof.dr. Ada Lovelace", "Müller GmbH & Co.KG", "St. John's e.V."]
)
def test_initials_titles_and_companies_are_valid_names(site: Site, name: str) -> None:
    assert site.web.post("/withdraw", data=form_data(step="confirm", name=name)).status_code == 200


def test_a_statement_has_the_language_of_its_page(site: Site) -> None:
    response = site.web.post("/withdraw", params={"lang": "de"}, data=form_data(step="confirm"))
    statement = translator_for("de").gettext(STATEMENT, **INPUT)
    assert html.escape(statement) in response.text
    with site.records.work() as work:
        assert work.run("select locale from cases").scalar_one() == "de"
        assert work.run("select statement from statutory_withdrawals").scalar_one() == statement


def test_the_status_page_shows_the_withdrawal_date_of_an_expired_case(site: Site) -> None:
    purchase = a_recent_purchase()
    for state in (State.AWAITING_CONFIRMATION, State.EXPIRED):
        case = a_case(site.records, state, purchase=a_recent_purchase(email=purchase.email))
        with site.records.work() as work:
            work.statutory_withdrawals.insert(case, "Ada", "I withdraw.")
        assert "That date counts" in site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert "still stands" in site.web.get(site.link_path(Purpose.CONFIRM, case)).text


def test_the_case_gets_the_seller_of_the_link(site: Site) -> None:
    page = site.web.post("/withdraw", params={"seller": "aurora"}, data=form_data()).text
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert site.web.post(action, data=form_data(step="confirm")).status_code == 200
    with site.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() == "aurora"


def test_the_request_has_the_time_of_the_declaration(site: Site) -> None:
    """The rules use the time of the declaration. So a withdrawal on the last allowed day is in time, even if evaluated later."""
    policy = a_policy(seller_id="curie", category=Category.STATUTORY_WITHDRAWAL, days=None)
    purchase = a_recent_purchase(seller_id="curie", purchased_at=datetime.now(UTC) - timedelta(days=13))
    store_seller_and_purchases(site.records, purchase, seller=a_seller(id="curie"), policy=policy)
    _, case = send_withdrawal(site, reference=purchase.reference, email=purchase.email)
    with site.records.work() as work:
        (locked_case,) = work.cases.lock([case], state=State.RECEIVED)
        withdrawal = work.statutory_withdrawals.get(case)
    assert withdrawal
    assert locked_case.request.received_at == withdrawal.declared_at


def test_the_status_page_of_an_unmatched_withdrawal_offers_no_second_request(site: Site) -> None:
    _, case = send_withdrawal(site, reference="MB-unknown")
    with site.records.work() as work:
        (step,) = work.cases.lock([case], state=State.RECEIVED)
        work.history.record([step.after(Event.FOUND_NO_PURCHASE, actor="test")])
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert "counts from the day you sent it" in page
    assert 'class="button"' not in page
