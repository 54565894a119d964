"""Agents decide refund requests on the desk with a browser. Each test also looks at the provider and at the records."""

import time
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from config.i18n import translator_for
from config.signed_links import Purpose
from domain.desk_roles import Role
from domain.emails import EmailKind
from domain.money import Money
from domain.purchases import Purchase, PurchaseItem
from domain.reason_codes import ReasonCode
from domain.states import State
from producers import decisions
from tests.e2e import _desk_pages as pages
from tests.e2e._desk_pages import APPROVE, ASK, DECLINE, PART, TAX
from tests.e2e._desk_site import DeskSite
from tests.e2e._site import plain_text
from tests.e2e.test_customer import expect_heading, heading, send_request
from tests.integration import _question_fixtures
from tests.services import eventually
from worker.emails.case_copy import EMAILS, OF_A_PART, Copy

Visit = Callable[..., Page]
GERMAN = "de-DE"
TRIES = 20
PHOTO = PurchaseItem(id="AP4", name="Aurora Photo 4", quantity=2, amount=2900, tax=463)
FONTS = PurchaseItem(id="AF", name="Aurora Fonts", quantity=1, amount=2000, tax=319)

pytestmark = pytest.mark.usefixtures("backend")


def wait_for_letter(desk_site: DeskSite, purchase: Purchase, copy: Copy) -> str:
    """Wait for the e-mail with this subject to the customer of the purchase, in German. Return its text."""
    return plain_text(eventually(lambda: letters(desk_site, purchase, copy))[0])


def letters(desk_site: DeskSite, purchase: Purchase, copy: Copy) -> list[EmailMessage]:
    """Return the e-mails with this subject to the customer of the purchase, in German."""
    subject = translator_for("de").gettext(copy.subject).format(reference=purchase.reference)
    return [email for email in desk_site.site.emails_to(purchase.email) if email["Subject"] == subject]


def test_a_request_that_the_rules_refuse_is_approved_paid_and_told(
    visit: Visit, visit_desk: Visit, desk_site: DeskSite
) -> None:
    """The whole way, in two browsers: the customer's browser speaks German, and the agent's browser English."""
    seller = desk_site.add_seller()
    purchase = desk_site.add_purchase(seller)
    desk_site.add_user(Role.AGENT, seller, name="clara", password=True)
    customer, agent = visit(locale=GERMAN), visit_desk()
    send_request(customer, desk_site.site, purchase)
    wait_for_letter(desk_site, purchase, EMAILS[EmailKind.WITH_SUPPORT])

    pages.sign_in(agent, f"clara@{seller}.example")
    number = pages.take_next_task(agent)
    expect(agent.get_by_role("main")).to_contain_text(ReasonCode.OUTSIDE_WINDOW.support)
    assert (
        pages.decide(agent, APPROVE, reason="The fault was reported in time.", message="Danke für Ihre Geduld.") == 303
    )
    assert pages.shown_case_number(agent) == number

    assert "Danke für Ihre Geduld." in wait_for_letter(desk_site, purchase, EMAILS[EmailKind.REFUNDED])
    customer.goto(desk_site.site.wait_for_link(purchase.email, Purpose.STATUS))
    expect_heading(customer, heading(State.REFUNDED, "de"))
    expect(customer.get_by_role("main")).to_contain_text("49,00 €".replace(" ", "\xa0"))
    case = desk_site.case_of(purchase)
    assert case
    assert desk_site.decisions(case) == [("approve", "applied")]
    desk_site.assert_refunded(purchase, 4900)
    agent.reload()
    expect(agent.get_by_role("main")).to_contain_text("refunded")


@pytest.mark.slow
def test_a_request_is_on_the_desk_within_a_second(visit: Visit, visit_desk: Visit, desk_site: DeskSite) -> None:
    """The time runs from the answer to the customer's form until an agent's list shows the case.

    It contains the commit, the relay, the broker, the rules in the worker, and the load of the list. The fastest of twenty
    requests counts, because the other processes of a busy machine delay most of them.
    """
    seller = desk_site.add_seller()
    customer, agent = visit(), visit_desk(desk_site.add_user(Role.AGENT, seller))
    seconds: list[float] = []
    while len(seconds) < TRIES and min(seconds, default=1.0) >= 1:
        purchase = desk_site.add_purchase(seller)
        send_request(customer, desk_site.site, purchase)
        answered_at = time.monotonic()
        case = eventually(lambda purchase=purchase: desk_site.case_of(purchase))  # type: ignore[misc]
        eventually(lambda case=case: agent.goto("/") and agent.locator(f"a[href^='/cases/{case}']").count())  # type: ignore[misc]
        seconds.append(time.monotonic() - answered_at)
    assert min(seconds) < 1, seconds


@pytest.fixture
def seller(desk_site: DeskSite) -> str:
    return desk_site.add_seller()


@pytest.fixture
def purchase(desk_site: DeskSite, seller: str) -> Purchase:
    return desk_site.add_purchase(seller, tax=782, items=(PHOTO, FONTS))


@pytest.fixture
def case(desk_site: DeskSite, purchase: Purchase) -> UUID:
    """Return a case with support, whose customer reads German."""
    return desk_site.request_refund(purchase, locale="de")


@pytest.fixture
def agent(visit_desk: Visit, desk_site: DeskSite, seller: str, case: UUID) -> Page:
    """Return the browser of an agent, who has taken the case."""
    page = visit_desk(desk_site.add_user(Role.AGENT, seller, name="clara"))
    pages.take_next_task(page)
    expect(page).to_have_url(f"{desk_site.url}/cases/{case}")
    return page


@pytest.mark.parametrize(
    ("choice", "fields", "amount"),
    [
        pytest.param(PART, {"amount": "12.50"}, 1250, id="amount"),
        pytest.param(PART, {"Aurora Photo 4": "1"}, 1450, id="item", marks=pytest.mark.slow),
        pytest.param(TAX, {}, 782, id="tax", marks=pytest.mark.slow),
    ],
)
def test_an_agent_refunds_a_part(
    agent: Page, desk_site: DeskSite, purchase: Purchase, case: UUID, choice: str, fields: dict[str, Any], amount: int
) -> None:
    assert pages.decide(agent, choice, reason="Goodwill.", message="Das ist ein Teil.", **fields) == 303
    desk_site.wait_for(case, State.REFUNDED)
    told = wait_for_letter(desk_site, purchase, OF_A_PART[EmailKind.REFUNDED])
    assert "Das ist ein Teil." in told
    assert translator_for("de").money(Money(amount, "EUR")) in told
    desk_site.assert_refunded(purchase, amount)


def test_an_agent_declines_with_a_message(agent: Page, desk_site: DeskSite, purchase: Purchase, case: UUID) -> None:
    assert pages.decide(agent, DECLINE, message="Die Frist ist abgelaufen.") == 303
    assert desk_site.state(case) is State.DECLINED
    assert "Die Frist ist abgelaufen." in wait_for_letter(desk_site, purchase, EMAILS[EmailKind.DECLINED])
    desk_site.assert_refunded(purchase)


@pytest.mark.usefixtures("mail_service")
def test_a_question_is_answered_by_email_and_the_case_comes_up_again(
    agent: Page, desk_site: DeskSite, purchase: Purchase, case: UUID
) -> None:
    assert pages.decide(agent, ASK, message="Welche Lizenz meinen Sie?") == 303
    assert "Welche Lizenz meinen Sie?" in wait_for_letter(desk_site, purchase, EMAILS[EmailKind.QUESTION])
    (question,) = letters(desk_site, purchase, EMAILS[EmailKind.QUESTION])
    deliver(desk_site, reply_to(question, purchase.email, "Ich meine die zweite Lizenz."))
    eventually(lambda: _question_fixtures.answers(desk_site.site.records, case))

    pages.take_next_task(agent)
    expect(agent).to_have_url(f"{desk_site.url}/cases/{case}")
    for text in ("Welche Lizenz meinen Sie?", "Ich meine die zweite Lizenz."):
        expect(agent.get_by_role("main")).to_contain_text(text)
    desk_site.assert_refunded(purchase)
    assert pages.decide(agent, APPROVE, reason="The second licence never worked.") == 303
    desk_site.wait_for(case, State.REFUNDED)
    wait_for_letter(desk_site, purchase, EMAILS[EmailKind.REFUNDED])
    assert desk_site.decisions(case) == [("ask", "applied"), ("approve", "applied")]
    desk_site.assert_refunded(purchase, 4900)


def reply_to(email: EmailMessage, sender: str, text: str) -> EmailMessage:
    """Return the reply that a customer's mail program sends: the text above the quoted e-mail."""
    reply = EmailMessage()
    reply["From"], reply["To"], reply["Subject"] = f"Ada <{sender}>", email["From"], f"AW: {email['Subject']}"
    reply["Message-ID"] = f"<reply-to-{email['Message-ID'].strip('<>')}"
    reply["In-Reply-To"] = reply["References"] = email["Message-ID"]
    quoted = "\n".join(f"> {line}" for line in plain_text(email).splitlines())
    reply.set_content(f"{text}\n\nAm 30.11.2026 um 10:00 schrieb Moneyback:\n{quoted}\n")
    return reply


def deliver(desk_site: DeskSite, email: EmailMessage) -> None:
    """Deliver an e-mail as a mail server does: first the whole file, then its name in the folder of new e-mails."""
    folder = desk_site.site.settings.incoming_mail_dir
    assert folder
    name = f"{time.time():.6f}.{email['Message-ID'].strip('<>')[:40]}.test"
    (folder / "tmp" / name).write_bytes(email.as_bytes())
    (folder / "tmp" / name).rename(folder / "new" / name)


def test_an_approval_is_undone_before_the_refund_is_sent(
    agent: Page,
    desk_site: DeskSite,
    seller: str,
    purchase: Purchase,
    case: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time for *Undo* is a minute here, because ten seconds may pass on a busy machine before the test clicks."""
    monkeypatch.setattr(decisions, "UNDO_SECONDS", 60.0)
    desk_site.set_limits(seller, undo_above=Money(1000, "EUR"))
    assert pages.decide(agent, APPROVE, reason="Goodwill.") == 303
    assert pages.press(agent, "Undo") == 303
    assert desk_site.state(case) is State.WITH_SUPPORT
    expect(agent.get_by_role("button", name="Undo")).to_have_count(0)
    assert pages.decide(agent, DECLINE, message="Leider nein.") == 303
    assert "Leider nein." in wait_for_letter(desk_site, purchase, EMAILS[EmailKind.DECLINED])
    assert letters(desk_site, purchase, EMAILS[EmailKind.APPROVED]) == []
    assert desk_site.decisions(case) == [("approve", "undone"), ("decline", "applied")]
    desk_site.assert_refunded(purchase)


def test_without_undo_the_refund_is_sent_when_the_time_is_over(
    agent: Page,
    desk_site: DeskSite,
    seller: str,
    purchase: Purchase,
    case: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "UNDO_SECONDS", 1.0)
    desk_site.set_limits(seller, undo_above=Money(1000, "EUR"))
    assert pages.decide(agent, APPROVE, reason="Goodwill.") == 303
    desk_site.wait_for(case, State.REFUNDED)
    agent.reload()
    expect(agent.get_by_role("button", name="Undo")).to_have_count(0)
    desk_site.assert_refunded(purchase, 4900)


def test_a_decision_on_a_stale_screen_is_refused_and_nothing_typed_is_lost(
    visit: Visit, agent: Page, desk_site: DeskSite, purchase: Purchase, case: UUID
) -> None:
    """The customer answers while the agent types a decision."""
    assert pages.decide(agent, ASK, message="Welche Lizenz meinen Sie?") == 303
    pages.open_case(agent, case)
    pages.fill_in(agent, DECLINE, message="Ohne Ihre Antwort geht es nicht.")
    customer = visit(locale=GERMAN)
    customer.goto(desk_site.site.wait_for_link(purchase.email, Purpose.ANSWER))
    customer.get_by_role("textbox").fill("Ich meine die zweite Lizenz.")
    assert pages.submit(customer, customer.get_by_role("main").get_by_role("button")) == 303

    assert pages.press(agent, "Decide") == 409
    expect(pages.alert(agent)).to_contain_text("Nothing was decided")
    expect(pages.alert(agent)).to_contain_text("The customer answered.")
    expect(agent.get_by_role("main")).to_contain_text("Ich meine die zweite Lizenz.")
    expect(pages.radio(agent, DECLINE)).to_be_checked()
    expect(pages.field(agent, pages.MESSAGE)).to_have_value("Ohne Ihre Antwort geht es nicht.")
    assert desk_site.decisions(case) == [("ask", "applied")]
    desk_site.assert_refunded(purchase)

    assert pages.decide(agent, PART, amount="20", reason="One licence.", message="Danke für die Antwort.") == 303
    desk_site.wait_for(case, State.REFUNDED)
    assert desk_site.decisions(case) == [("ask", "applied"), ("approve", "applied")]
    desk_site.assert_refunded(purchase, 2000)


def test_above_the_limit_a_second_person_confirms(
    visit_desk: Visit, desk_site: DeskSite, seller: str, purchase: Purchase, case: UUID
) -> None:
    desk_site.set_limits(seller, four_eyes_above=Money(1000, "EUR"))
    lea, max_ = (visit_desk(desk_site.add_user(Role.LEAD, seller, name=name)) for name in ("lea", "max"))
    pages.take_next_task(lea)
    assert pages.decide(lea, APPROVE, reason="Goodwill.") == 303
    expect(lea.get_by_role("main")).to_contain_text("second person")
    expect(lea.get_by_role("button", name=pages.CONFIRM)).to_have_count(0)
    assert desk_site.state(case) is State.WITH_SUPPORT
    assert desk_site.decisions(case) == [("approve", "proposed")]

    pages.open_case(max_, case)
    for text in ("Goodwill.", "€49.00", ReasonCode.OUTSIDE_WINDOW.support):
        expect(max_.get_by_role("region", name="Waits for a second person")).to_contain_text(text)
    assert pages.press(max_, pages.CONFIRM) == 303
    desk_site.wait_for(case, State.REFUNDED)
    assert desk_site.decisions(case) == [("approve", "applied")]
    desk_site.assert_refunded(purchase, 4900)
