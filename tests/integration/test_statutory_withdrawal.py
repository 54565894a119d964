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
from tests.integration._web_fixtures import World, a_case
from tests.sample_data import a_policy, a_recent_purchase, a_seller, settle_in

TYPED = {"name": "Ada <b>Lovelace</b>", "reference": "MB-2026-0417", "email": "ada@example.com"}


def typed(**changes: str) -> dict[str, str]:
    return TYPED | {"nonce": uuid4().hex} | changes


def declared(world: World, **changes: str) -> tuple[str, UUID]:
    """The page that acknowledges a declaration, and its case."""
    answer = world.web.post("/withdraw", data=typed(step="confirm", **changes))
    assert answer.status_code == 200
    (case,) = re.findall(r'<dd class="code">([0-9a-f-]{36})</dd>', answer.text)
    return answer.text, UUID(case)


def owed(world: World, case: UUID) -> list[str]:
    with world.records.work() as work:
        return [row.kind for row in work.run("select kind from case_emails where case_id = :case", case=case)]


def test_no_more_is_asked_than_name_contract_and_address(world: World) -> None:
    page = world.web.get("/withdraw").text
    assert re.findall(r'<input id="[^"]+" name="([^"]+)"', page) == ["name", "reference", "email"]
    assert "<h1>Withdraw from contract here</h1>" in page
    assert "<textarea" not in page
    assert "<select" not in page


def test_a_link_fills_in_what_it_knows(world: World) -> None:
    page = world.web.get("/withdraw", params={"reference": "MB-1", "email": "ada@example.com", "seller": "aurora"}).text
    assert 'value="MB-1"' in page
    assert 'value="ada@example.com"' in page
    assert "This form is for purchases from Aurora Software." in page


def test_the_first_step_shows_the_declaration_and_declares_nothing(world: World) -> None:
    before = world.fingerprint()
    page = world.web.post("/withdraw", data=typed()).text
    assert html.escape(STATEMENT.format_map(TYPED)) in page
    assert re.findall(r'<button type="submit" name="step" value="confirm">([^<]+)<', page) == ["Confirm withdrawal"]
    assert world.fingerprint() == before


def test_something_can_be_changed_before_it_is_declared(world: World) -> None:
    page = world.web.post("/withdraw", data=typed(step="change")).text
    assert 'name="name" type="text" autocomplete="name"' in page
    assert html.escape(TYPED["name"]) in page
    assert world.rows() == 0


def test_the_second_step_declares_and_acknowledges_content_date_and_time(world: World) -> None:
    page, case = declared(world)
    with world.records.work() as work:
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


def test_the_letter_is_owed_with_the_case_or_neither_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, case = declared(world)
    assert owed(world, case) == [EmailKind.WITHDRAWAL_RECEIVED]
    with world.records.work() as work:
        assert work.outbox.take("email.cases", room=10, after=None, bulk=False) == [(case, "")]
    before = world.fingerprint()

    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(StatutoryWithdrawals, "get", breaks)  # after all that is written
    assert world.web.post("/withdraw", data=typed(step="confirm")).status_code == 500
    assert world.fingerprint() == before


def test_a_declaration_sent_twice_is_one_and_is_acknowledged_the_same(world: World) -> None:
    form = typed(step="confirm")
    first, again = (world.web.post("/withdraw", data=form).text for _ in range(2))
    assert first == again
    assert world.rows() == 1


def test_a_declaration_is_acknowledged_alike_whether_or_not_there_is_such_a_purchase(world: World) -> None:
    bought = a_recent_purchase()
    settle_in(world.records, bought)
    pages = []
    for reference in (bought.reference, "MB-2026-99999"):
        page, case = declared(world, reference=reference, email=bought.email)
        at = re.search(r"<time[^>]*>[^<]*</time>", page)
        assert at
        pages.append(page.replace(reference, "REF").replace(str(case), "CASE").replace(at.group(), "AT"))
        assert owed(world, case) == [EmailKind.WITHDRAWAL_RECEIVED]
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
    world: World, step: str, changes: dict[str, str], field: str, sentence: str
) -> None:
    answer = world.web.post("/withdraw", data=typed(step=step, **changes))
    assert answer.status_code == 422
    assert sentence in answer.text
    assert f'id="{field}-error"' in answer.text
    assert re.search(rf'id="{field}"[^>]*autofocus', answer.text)
    assert world.rows() == 0


@pytest.mark.parametrize(
    "name", ["J.R.R. Tolkien", "Dr.Grace Hopper", "prof.dr. Ada Lovelace", "Müller GmbH & Co.KG", "St. John's e.V."]
)
def test_initials_titles_and_companies_are_names(world: World, name: str) -> None:
    assert world.web.post("/withdraw", data=typed(step="confirm", name=name)).status_code == 200


def test_a_declaration_speaks_the_language_of_its_page(world: World) -> None:
    answer = world.web.post("/withdraw", params={"lang": "de"}, data=typed(step="confirm"))
    statement = translator_for("de").gettext(STATEMENT, **TYPED)
    assert html.escape(statement) in answer.text
    with world.records.work() as work:
        assert work.run("select locale from cases").scalar_one() == "de"
        assert work.run("select statement from statutory_withdrawals").scalar_one() == statement


def test_the_status_page_tells_the_day_that_counts_even_when_time_ran_out(world: World) -> None:
    bought = a_recent_purchase()
    for state in (State.AWAITING_CONFIRMATION, State.EXPIRED):
        case = a_case(world.records, state, purchase=a_recent_purchase(email=bought.email))
        with world.records.work() as work:
            work.statutory_withdrawals.insert(case, "Ada", "I withdraw.")
        assert "That date counts" in world.web.get(world.path(Purpose.STATUS, case)).text
    assert "still stands" in world.web.get(world.path(Purpose.CONFIRM, case)).text


def test_a_seller_is_carried_from_the_link_to_the_case(world: World) -> None:
    page = world.web.post("/withdraw", params={"seller": "aurora"}, data=typed()).text
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert world.web.post(action, data=typed(step="confirm")).status_code == 200
    with world.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() == "aurora"


def test_support_reads_the_declaration_and_the_day_counts_from_it(world: World) -> None:
    """Judged a day later, the fourteenth day of the declaration is still the fourteenth."""
    policy = a_policy(seller_id="curie", category=Category.STATUTORY_WITHDRAWAL, days=None)
    bought = a_recent_purchase(seller_id="curie", purchased_at=datetime.now(UTC) - timedelta(days=13))
    settle_in(world.records, bought, seller=a_seller(id="curie"), policy=policy)
    _, case = declared(world, reference=bought.reference, email=bought.email)
    with world.records.work() as work:
        (found,) = work.cases.lock([case], state=State.RECEIVED)
        kept = work.statutory_withdrawals.get(case)
    assert kept
    assert found.request.received_at == kept.declared_at


def test_a_withdrawal_that_names_no_purchase_counts_and_nobody_is_asked_to_ask_again(world: World) -> None:
    _, case = declared(world, reference="MB-unknown")
    with world.records.work() as work:
        (step,) = work.cases.lock([case], state=State.RECEIVED)
        work.history.record([step.after(Event.FOUND_NO_PURCHASE, actor="test")])
    page = world.web.get(world.path(Purpose.STATUS, case)).text
    assert "its date counts" in page
    assert 'class="button"' not in page
