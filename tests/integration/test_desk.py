"""Tests of the desk, the web pages on which support reads cases. The tests use HTTP and a real database."""

import re
from html import unescape
from uuid import UUID

import httpx
import pytest

from domain import case_numbers
from domain.desk_roles import Role
from domain.reason_codes import ReasonCode
from domain.states import State
from producers.mail.ingest import MailIngest, RawMail
from producers.mail.sender_authentication import SenderAuthenticator
from producers.web.middleware import DESK_HEADERS
from records import Records
from tests.integration._desk_fixtures import Desk
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_payment, a_recent_purchase, store_seller_and_purchases


@pytest.fixture
def agent(desk: Desk) -> httpx.Client:
    """Return a client of the desk that is signed in as an agent for all sellers."""
    return desk.sign_in(Role.AGENT)


def test_an_empty_desk_shows_a_message(agent: httpx.Client) -> None:
    assert "No cases are waiting for a decision." in agent.get("/").text


def test_the_desk_lists_waiting_cases_with_every_reason(agent: httpx.Client, records: Records) -> None:
    waiting = a_case(records, State.WITH_SUPPORT)
    decided = a_case(records, State.DECLINED)
    page = agent.get("/").text
    with records.work() as work:
        number = work.case_views.numbers([waiting])[waiting]
    assert f'href="/cases/{waiting}" class="code">{number}</a>' in page
    assert str(decided) not in page
    assert "aurora" in page
    assert " UTC</time>" in page
    for code in (ReasonCode.OUTSIDE_WINDOW, ReasonCode.SERIAL_REFUNDS):
        assert code.support in unescape(page)


def test_the_desk_lists_flagged_emails_with_their_texts(agent: httpx.Client, records: Records) -> None:
    emails = agent.get("/emails").headers["location"]
    assert "No open task is like this." in agent.get(emails).text
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    question = a_mail("How do I <b>install</b> it? My card is 4111 1111 1111 1111.", subject="A question")
    threat = a_mail(f"Refund {purchase.reference} or my lawyer calls.", sender=purchase.email, subject="Last warning")
    MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(
        records, [RawMail(mail, len(mail)) for mail in (question, threat, a_mail(sender="bob@example.com"))]
    )
    page = agent.get(emails).text
    with records.work() as work:
        (case,) = work.run("select id from cases where email = :email", email=purchase.email).scalars()
        evidences = work.run("select evidence from support_tasks where kind = 'flagged_mail'").scalars().all()
    assert page.count("<article") == len(evidences) == 2
    assert all(evidence.keys() == {"mail_id", "mail_kind"} for evidence in evidences)
    pages = {
        subject: agent.get(path).text
        for path, subject in re.findall(r'<a href="(/tasks/[^"]*)">Email: ([^<]*)</a>', page)
    }
    assert "How do I &lt;b&gt;install&lt;/b&gt; it? My card is [card number removed]." in pages["A question"]
    with records.work() as work:
        number = work.case_views.numbers([case])[case]
    assert f'href="/cases/{case}" class="code">{number}</a>' in pages["Last warning"]


@pytest.mark.parametrize("state", State)
def test_a_case_is_shown_with_its_whole_history(agent: httpx.Client, records: Records, state: State) -> None:
    purchase = a_recent_purchase(product="<i>Aurora</i>")
    case = a_case(records, state, purchase=purchase)
    page = agent.get(f"/cases/{case}").text
    assert "<i>Aurora" not in page
    assert purchase.email in page
    with records.work() as work:
        history = work.history.for_case(case)
    for row in history:
        assert f'<td class="code">{row.event}</td>' in page
    assert page.count("<tr>") == len(history) + 1


def without_nonces(page: str) -> str:
    """Return the page without the ids of its forms, which are new each time."""
    return re.sub(r'name="nonce" value="[^"]*"', "", page)


def test_a_case_is_found_by_the_case_number_that_a_customer_says(agent: httpx.Client, records: Records) -> None:
    case = a_case(records, State.WITH_SUPPORT)
    by_id = without_nonces(agent.get(f"/cases/{case}").text)
    with records.work() as work:
        number = work.case_views.numbers([case])[case]
    assert f'<h1>Case <span class="code">{number}</span></h1>' in by_id
    for typed in (number, number.lower(), f"case no. {number.replace('-', ' ')}"):
        assert agent.get("/", params={"q": typed}).headers["location"] == f"/cases/{case}"
        found = (agent.get("/cases", params={"case": typed}), agent.get(f"/cases/{typed}"))
        assert {without_nonces(page.text) for page in found} == {by_id}


def test_the_desk_says_that_a_case_number_is_mistyped(agent: httpx.Client) -> None:
    mistyped = case_numbers.EXAMPLE[:-1] + "H"
    page = agent.get("/cases", params={"case": mistyped})
    assert page.status_code == 404
    assert f"The case number '{mistyped}' has a wrong character." in unescape(page.text)


@pytest.mark.parametrize(
    "path",
    [
        "/cases/nothing",
        f"/cases/{case_numbers.EXAMPLE}",
        f"/cases/{UUID(int=4)}",
        "/refund",
        "/docs",
        "/openapi.json",
        "/v1",
    ],
)
def test_an_unknown_path_of_the_desk_is_not_found(agent: httpx.Client, path: str) -> None:
    assert agent.get(path).status_code == 404


def test_reading_a_case_changes_nothing(desk: Desk, agent: httpx.Client, records: Records) -> None:
    case = a_case(records, State.WITH_SUPPORT)
    before = fingerprint(records)
    for method in ("POST", "PUT", "DELETE"):
        assert agent.request(method, f"/cases/{case}").status_code == 405
    auditor = desk.sign_in(Role.AUDITOR)
    for client in (agent, auditor):
        assert client.get(f"/cases/{case}").status_code == 200
    assert fingerprint(records) == before
    assert "<form" not in auditor.get(f"/cases/{case}").text.partition("<footer")[0]


def fingerprint(records: Records) -> list[object]:
    """Return what a decision, a note or a taken task would change."""
    with records.work() as work:
        return [
            work.run("select id, seq, state from cases order by id").all(),
            work.run("select id, assigned_to, assigned_until, closed_at from support_tasks order by id").all(),
            work.run("select count(*) from support_decisions").scalar_one(),
            work.run("select count(*) from case_notes").scalar_one(),
        ]


def test_the_desk_sends_the_security_headers(agent: httpx.Client) -> None:
    for path in ("/", "/nothing"):
        for name, value in DESK_HEADERS.items():
            assert agent.get(path).headers[name] == value


def test_the_desk_shows_each_payment_of_an_order_with_its_charge(agent: httpx.Client, records: Records) -> None:
    payments = (
        a_payment(charge="ch_1", amount=2000),
        a_payment(provider="shop", charge="gift 1", amount=2900, method="gift_card"),
        a_payment(charge="ch_2", amount=2000, duplicate=True),
    )
    case = a_case(records, State.WITH_SUPPORT, purchase=a_recent_purchase(payments=payments))
    page = agent.get(f"/cases/{case}").text
    for shown in ("Payment at shop", "gift 1", "€29.00", "Gift card", "ch_1", "ch_2", "charged twice"):
        assert shown in page
