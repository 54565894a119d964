"""Withdrawal by law: two steps, nothing more asked than may be, and an acknowledgement whatever is found."""

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

TYPED = {"name": "Ada <b>Lovelace</b>", "reference": "MB-2026-0417", "email": "ada@example.com"}


def typed(**changes: str) -> dict[str, str]:
    return TYPED | {"nonce": uuid4().hex} | changes


def declared(site: Site, **changes: str) -> tuple[str, UUID]:
    """The page that acknowledges a declaration, and its case."""
    answer = site.web.post("/withdraw", data=typed(step="confirm", **changes))
    assert answer.status_code == 200
    (case,) = re.findall(r'<dd class="code">([0-9a-f-]{36})</dd>', answer.text)
    return answer.text, UUID(case)


def owed(site: Site, case: UUID) -> list[str]:
    with site.records.work() as work:
        return [row.kind for row in work.run("select kind from case_emails where case_id = :case", case=case)]


def test_no_more_is_asked_than_name_contract_and_address(site: Site) -> None:
    page = site.web.get("/withdraw").text
    assert re.findall(r'<input id="[^"]+" name="([^"]+)"', page) == ["name", "reference", "email"]
    assert "<h1>Withdraw from contract here</h1>" in page
    assert "<textarea" not in page
    assert "<select" not in page


def test_a_link_fills_in_what_it_knows(site: Site) -> None:
    page = site.web.get("/withdraw", params={"reference": "MB-1", "email": "ada@example.com", "seller": "aurora"}).text
    assert 'value="MB-1"' in page
    assert 'value="ada@example.com"' in page
    assert "This form is for purchases from Aurora Software." in page


def test_the_first_step_shows_the_declaration_and_declares_nothing(site: Site) -> None:
    before = site.fingerprint()
    page = site.web.post("/withdraw", data=typed()).text
    assert html.escape(STATEMENT.format_map(TYPED)) in page
    assert re.findall(r'<button type="submit" name="step" value="confirm">([^<]+)<', page) == ["Confirm withdrawal"]
    assert site.fingerprint() == before


def test_something_can_be_changed_before_it_is_declared(site: Site) -> None:
    page = site.web.post("/withdraw", data=typed(step="change")).text
    assert 'name="name" type="text" autocomplete="name"' in page
    assert html.escape(TYPED["name"]) in page
    assert site.count_cases() == 0


def test_the_second_step_declares_and_acknowledges_content_date_and_time(site: Site) -> None:
    page, case = declared(site)
    with site.records.work() as work:
        kept = work.statutory_withdrawals.get(case)
        view = work.case_views.get(case)
    assert kept
    assert view
    assert (kept.name, kept.statement) == (TYPED["name"], STATEMENT.format_map(TYPED))
    assert kept.declared_at == view.received_at == view.declared_at  # it counts from its submission
    for shown in (
        kept.statement,
        kept.name,
        TYPED["reference"],
        TYPED["email"],
        translator_for("en").instant(kept.declared_at),
    ):
        assert html.escape(shown) in page


def test_the_letter_is_owed_with_the_case_or_neither_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _, case = declared(site)
    assert owed(site, case) == [EmailKind.WITHDRAWAL_RECEIVED]
    with site.records.work() as work:
        assert work.outbox.take("email.cases", room=10, after=None, bulk=False) == [(case, "")]
    before = site.fingerprint()

    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(StatutoryWithdrawals, "get", breaks)  # after all that is written
    assert site.web.post("/withdraw", data=typed(step="confirm")).status_code == 500
    assert site.fingerprint() == before


def test_a_declaration_sent_twice_is_one_and_is_acknowledged_the_same(site: Site) -> None:
    form = typed(step="confirm")
    first, again = (site.web.post("/withdraw", data=form).text for _ in range(2))
    assert first == again
    assert site.count_cases() == 1


def test_a_declaration_is_acknowledged_alike_whether_or_not_there_is_such_a_purchase(site: Site) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(site.records, bought)
    pages = []
    for reference in (bought.reference, "MB-2026-99999"):
        page, case = declared(site, reference=reference, email=bought.email)
        at = re.search(r"<time[^>]*>[^<]*</time>", page)
        assert at
        pages.append(page.replace(reference, "REF").replace(str(case), "CASE").replace(at.group(), "AT"))
        assert owed(site, case) == [EmailKind.WITHDRAWAL_RECEIVED]
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
def test_what_cannot_be_declared_is_shown_again_with_a_sentence(
    site: Site, step: str, changes: dict[str, str], field: str, sentence: str
) -> None:
    answer = site.web.post("/withdraw", data=typed(step=step, **changes))
    assert answer.status_code == 422
    assert sentence in answer.text
    assert f'id="{field}-error"' in answer.text
    assert re.search(rf'id="{field}"[^>]*autofocus', answer.text)
    assert site.count_cases() == 0


@pytest.mark.parametrize(
    "name", ["J.R.R. Tolkien", "Dr.Grace Hopper", "prof.dr. Ada Lovelace", "Müller GmbH & Co.KG", "St. John's e.V."]
)
def test_initials_titles_and_companies_are_names(site: Site, name: str) -> None:
    assert site.web.post("/withdraw", data=typed(step="confirm", name=name)).status_code == 200


def test_a_declaration_speaks_the_language_of_its_page(site: Site) -> None:
    answer = site.web.post("/withdraw", params={"lang": "de"}, data=typed(step="confirm"))
    statement = translator_for("de").gettext(STATEMENT, **TYPED)
    assert html.escape(statement) in answer.text
    with site.records.work() as work:
        assert work.run("select locale from cases").scalar_one() == "de"
        assert work.run("select statement from statutory_withdrawals").scalar_one() == statement


def test_the_status_page_tells_the_day_that_counts_even_when_time_ran_out(site: Site) -> None:
    bought = a_recent_purchase()
    for state in (State.AWAITING_CONFIRMATION, State.EXPIRED):
        case = a_case(site.records, state, purchase=a_recent_purchase(email=bought.email))
        with site.records.work() as work:
            work.statutory_withdrawals.insert(case, "Ada", "I withdraw.")
        assert "That date counts" in site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert "still stands" in site.web.get(site.link_path(Purpose.CONFIRM, case)).text


def test_a_seller_is_carried_from_the_link_to_the_case(site: Site) -> None:
    page = site.web.post("/withdraw", params={"seller": "aurora"}, data=typed()).text
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert site.web.post(action, data=typed(step="confirm")).status_code == 200
    with site.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() == "aurora"


def test_support_reads_the_declaration_and_the_day_counts_from_it(site: Site) -> None:
    """Judged a day later, the fourteenth day of the declaration is still the fourteenth."""
    policy = a_policy(seller_id="curie", category=Category.STATUTORY_WITHDRAWAL, days=None)
    bought = a_recent_purchase(seller_id="curie", purchased_at=datetime.now(UTC) - timedelta(days=13))
    store_seller_and_purchases(site.records, bought, seller=a_seller(id="curie"), policy=policy)
    _, case = declared(site, reference=bought.reference, email=bought.email)
    with site.records.work() as work:
        (found,) = work.cases.lock([case], state=State.RECEIVED)
        kept = work.statutory_withdrawals.get(case)
    assert kept
    assert found.request.received_at == kept.declared_at


def test_a_withdrawal_that_names_no_purchase_counts_and_nobody_is_asked_to_ask_again(site: Site) -> None:
    _, case = declared(site, reference="MB-unknown")
    with site.records.work() as work:
        (step,) = work.cases.lock([case], state=State.RECEIVED)
        work.history.record([step.after(Event.FOUND_NO_PURCHASE, actor="test")])
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert "its date counts" in page
    assert 'class="button"' not in page
