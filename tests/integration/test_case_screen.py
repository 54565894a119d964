"""The case screen: what it shows, the e-mail before it goes, and what happens to typed text when the database is unavailable."""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event

from config.settings import Settings
from domain.desk_roles import Role
from domain.money import Money
from domain.purchases import Dispute, Purchase, PurchaseItem
from domain.reason_codes import ReasonCode
from domain.states import State
from producers.desk.app import app
from producers.desk.case_file import load
from records import Records
from records.purchase_reports import store_purchases
from tests.integration._desk_fixtures import Desk
from tests.integration._question_fixtures import ask
from tests.integration._web_fixtures import a_case, serve
from tests.integration.test_desk_decisions import decide, fields_of, state_of
from tests.integration.test_mail_answers import a_reply, ingest, letter_of
from tests.integration.test_rows_read import rows_read
from tests.sample_data import a_payment, a_recent_purchase, a_seller, store_seller_and_purchases
from worker.context import create_context
from worker.emails.case_emails import send_case_emails

MAX_STATEMENTS = 15
"""One statement reads the session, and fourteen read the page."""
ITEM = PurchaseItem(id="photo", name="Aurora Photo 4", quantity=2, amount=4900, tax=782)
TOO_OLD = "45 days after the purchase; policy version 1 allows 30."


@pytest.fixture
def agent(desk: Desk) -> httpx.Client:
    return desk.sign_in(Role.AGENT, email="clara@desk.example")


@pytest.fixture
def purchase() -> Purchase:
    """Return a purchase with two items and its tax, paid with two payments."""
    payments = (a_payment(amount=4900), a_payment(amount=1500, method="paypal"))
    return a_recent_purchase(email="ada@example.com", items=(ITEM,), tax=782, payments=payments)


@pytest.fixture
def case(desk: Desk, purchase: Purchase) -> UUID:
    """Return a German customer's case with support."""
    case = a_case(desk.records, State.WITH_SUPPORT, purchase=purchase)
    with desk.records.work() as work:
        work.run("update cases set locale = 'de', comment = 'Es startet nicht.' where id = :case", case=case)
    return case


def text_of(page: str) -> str:
    """Return the text of a page without its markup, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


# The e-mail before it goes


def shown_email(page: str) -> tuple[str, str]:
    """Return the subject and the text of the e-mail that a preview shows."""
    (shown,) = re.findall(r'<details class="preview" id="email" open>(.*?)</details>', page, re.DOTALL)
    subject = re.findall(r"<summary>Email to the customer, in \w+: (.*?)</summary>", shown, re.DOTALL)[0]
    text = re.findall(r'<div class="email-text"[^>]*>(.*?)</div>', shown, re.DOTALL)[0]
    return unescape(subject), without_links(unescape(text))


def without_links(text: str) -> str:
    return re.sub(r"https?://\S+", "LINK", text).strip()


def sent_email(desk: Desk, case: UUID) -> tuple[str, str]:
    """Let the worker send the due e-mails of a case. Return the subject and the text of the newest of them."""
    with desk.records.work() as work:
        work.run("delete from case_emails where decided_seq = 0")  # those that were due before the decision
        work.run("update case_emails set claimed_until = 'epoch'")  # an undo makes an e-mail wait
    context = create_context(desk.settings)
    send_case_emails(context, [case])
    context.records.engine.dispose()
    assert desk.settings.sent_mail_dir
    (file,) = (desk.settings.sent_mail_dir / "new").iterdir()
    email = message_from_bytes(file.read_bytes(), EmailMessage, policy=default)
    body = email.get_body(("plain",))
    assert body
    return email["Subject"], without_links(body.get_content())


@pytest.mark.parametrize(
    "fields",
    [
        {"choice": "full", "reason": "Reported in time.", "message": "Gerne.\n\nViele Grüße <Clara>"},
        {"choice": "partial", "amount": "12,50", "reason": "Half."},
        {"choice": "partial", "item.photo": "1", "reason": "One of two.", "message": "Ein Stück."},
        {"choice": "vat", "reason": "The VAT ID is valid."},
        {"choice": "decline", "message": "The policy allows 30 days."},
        {"choice": "ask", "message": "Which licence? My card is 4111 1111 1111 1111."},
        {"choice": "refunded_elsewhere", "reason": "Bank transfer.", "message": "By bank transfer."},
    ],
    ids=lambda fields: "-".join([fields["choice"], *(name for name in fields if name.startswith("item"))]),
)
def test_the_previewed_email_is_the_email_that_the_worker_sends(
    desk: Desk, agent: httpx.Client, case: UUID, fields: dict[str, str]
) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(undo_above=Money(1, "EUR")))  # the undo must not change the e-mail
    preview = decide(agent, case, **fields, do="preview")
    assert preview.status_code == 200
    assert state_of(desk.records, case) == State.WITH_SUPPORT, "A preview decides nothing."
    assert decide(agent, case, **fields).status_code == 303
    assert shown_email(preview.text) == sent_email(desk, case)


def test_a_preview_keeps_what_was_typed_and_has_links_that_do_not_work(
    desk: Desk, agent: httpx.Client, case: UUID
) -> None:
    page = decide(agent, case, choice="ask", message="Which licence?", do="preview").text
    assert ">Which licence?</textarea>" in page
    assert '<input type="radio" name="choice" value="ask" checked>' in page
    links = re.findall(r"https?://[^\s<]+/answer/([^\s<]+)", page)
    assert links
    assert all(token not in page for token in _real_tokens(desk.settings, case))


def _real_tokens(settings: Settings, case: UUID) -> list[str]:
    from config.signed_links import Links, Purpose  # noqa: PLC0415  # only this test reads signed links

    return [Links.of(settings).to(purpose, case).rpartition("/")[2] for purpose in Purpose]


def test_each_choice_shows_its_email_before_anything_is_typed(agent: httpx.Client, case: UUID) -> None:
    page = text_of(agent.get(f"/cases/{case}").text)
    for subject in (
        "in German: Ihre Erstattung für",
        "wurde genehmigt",
        "wurde abgelehnt",
        "Eine Frage zu Ihrer Erstattungsanfrage",
        "The same email in English Your refund was declined",
        "> [Your text]",
        "Enter the amount to refund, or the quantity of an item.",
        "No email goes now. The rules evaluate the request again",
        "No email goes to the customer.",
    ):
        assert subject in page


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"four_eyes_above": Money(1000, "EUR")}, "The email goes when a second person has confirmed the decision."),
        (
            {"undo_above": Money(1000, "EUR")},
            "This email goes after 10 seconds. Until then, you can undo the decision.",
        ),
        ({}, "This email goes at once, and another email with your text when the refund is sent."),
    ],
)
def test_the_page_says_when_the_email_about_an_approval_goes(
    desk: Desk, agent: httpx.Client, case: UUID, limits: dict[str, Money], sentence: str
) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(**limits))
    assert sentence in text_of(agent.get(f"/cases/{case}").text)


def test_a_case_offers_only_the_choices_that_its_state_allows(desk: Desk, agent: httpx.Client) -> None:
    offered = {
        state: set(re.findall(r'name="choice" value="(\w+)"', agent.get(f"/cases/{a_case(desk.records, state)}").text))
        for state in (State.WITH_SUPPORT, State.REFUNDED, State.DECLINED, State.UNMATCHED, State.REFUNDING)
    }
    approvals = {"full", "partial", "vat"}
    assert offered == {
        State.WITH_SUPPORT: {*approvals, "decline", "ask", "refunded_elsewhere", "rematch", "close"},
        State.REFUNDED: approvals,
        State.DECLINED: approvals,
        State.UNMATCHED: {"rematch"},
        State.REFUNDING: set(),
    }


# What the page shows


def test_the_page_shows_everything_in_the_order_in_which_an_agent_reads(desk: Desk, agent: httpx.Client) -> None:
    clocks = '[{"name": "seller_answer", "whose": "seller", "due": "2026-01-05T10:00:00Z", "started": "2026-01-02T10:00:00Z"}]'
    reasons = [{"code": ReasonCode.OUTSIDE_WINDOW, "sentence": ReasonCode.OUTSIDE_WINDOW.support, "detail": TOO_OLD}]
    rules = {"within_window": "outside_window", "untouched": "kept", "undisputed": "kept"}
    other = a_case(
        desk.records, State.WITH_SUPPORT, purchase=a_recent_purchase(), evidence={"reasons": reasons, "rules": rules}
    )
    with desk.records.work() as work:
        work.run(
            "update support_tasks set clocks = cast(:clocks as jsonb) where case_id = :case", clocks=clocks, case=other
        )
        work.desk.add_note(uuid4(), other, agent="user:lea", agent_name="Lea", text="Called the bank.")
    page = text_of(agent.get(f"/cases/{other}").text.partition('<div class="pair">')[2])
    shown = [
        "The request",
        "reads English",
        "the full amount back for Aurora Photo 4",
        "€49.00 paid, €49.00 left to refund",
        "The customer should have an answer",
        "Waits for support",
        f"Why it is here {TOO_OLD} {ReasonCode.OUTSIDE_WINDOW.support}",
        "2 of 3 rules hold. untouched, undisputed.",
        "The customer should have an answer: 5 January 2026, 11:00 CET overdue set by the seller",
        "Messages",
        "requested the full amount back on the web form",
        "Purchase and payments",
        "Paid €49.00, Card",
        "Left to refund €49.00",
        "Ask Sandbox what it says now",
        "This customer",
        "No other purchase.",
        "Decide",
        "Was the rule right to stop this?",
        "Notes",
        "Called the bank.",
        "History",
        "The request arrived.",
        "The request breaks a rule. The case went to support.",
        "All events, with their technical names",
        "found_not_eligible",
    ]
    positions = [page.find(text) for text in shown]
    assert -1 not in positions, dict(zip(shown, positions, strict=True))
    assert positions == sorted(positions)


def test_the_payments_show_what_is_refunded_reserved_and_left(
    desk: Desk, agent: httpx.Client, purchase: Purchase, case: UUID
) -> None:
    first, second = purchase.payments
    with desk.records.work() as work:
        for attempt, (status, amount) in enumerate((("paid", 1000), ("sent", 500)), 1):
            work.run(
                "insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, "
                "first_sent_at, last_sent_at, status, refund_id) values (:case, :attempt, :provider, :charge, :amount, 'EUR', "
                ":key, '', now(), now(), :status, :refund)",
                case=case, attempt=attempt, provider=first.provider, charge=first.charge, amount=amount,
                key=str(uuid4()), status=status, refund=f"re_{attempt}",
            )  # fmt: skip
        work.run(
            "update payments set captured = 4900, reserved = 1500, refunded = 1000, refunded_elsewhere = 100, dispute = 'won' "
            "where charge = :charge",
            charge=first.charge,
        )
        work.run(
            "insert into external_refunds (provider, refund_id, charge, amount, currency, status) "
            "values (:provider, 're_9', :charge, 100, 'EUR', 'paid')",
            provider=first.provider, charge=first.charge,
        )  # fmt: skip
    page = text_of(agent.get(f"/cases/{case}").text)
    about_first, about_second = page.split(f"Payment ID {first.charge}")[1].split(f"Payment ID {second.charge}")
    for text in (
        "Refunded €11.00",
        "Reserved for a refund that is open €5.00",
        "Left to refund €33.00",
        "Dispute a won dispute",
        "€10.00, made , re_1",
        "€5.00, being sent , re_2",
        "€1.00, made , made elsewhere , re_9",
    ):
        assert text.replace(" ,", ",") in about_first.replace(" ,", ",")
    assert "Refunded €0.00 Left to refund €15.00" in about_second
    assert "2 × Aurora Photo 4 €49.00, tax €7.82" in page


def test_messages_mails_and_emails_are_one_thread(desk: Desk, agent: httpx.Client) -> None:
    purchase = a_recent_purchase(email="ada@example.com")
    case = ask(desk.records, a_case(desk.records, State.WITH_SUPPORT, purchase=purchase), "Which licence?")
    with desk.records.work() as work:
        work.run("update case_emails set sent_at = now() where case_id = :case", case=case)
        work.run("update case_emails set bounced_at = now() where case_id = :case and kind = 'with_support'", case=case)
    name = f"question.{_question_seq(desk.records, case)}"
    ingest(desk.records, a_reply("I mean the second licence.", letter_of(case, name)))
    forwarded = a_reply("I am the accountant of Ada.", letter_of(case, name), sender="bob@example.net")
    ingest(desk.records, forwarded)
    thread = text_of(agent.get(f"/cases/{case}").text.split('id="thread"')[1].split('id="purchase"')[0])
    shown = [
        "ada@example.com requested the full amount back on the web form",
        "Moneyback sent the email: The request is with support",
        "The email came back, so the customer has not read it.",
        "Clara sent the email: A question to the customer",
        "Which licence?",
        "ada@example.com wrote by email",
        "I mean the second licence.",
        "bob@example.net sent an email",
        "I am the accountant of Ada.",
        "Moneyback is sending the email: The customer’s message was received",
    ]
    assert [text for text in shown if text not in thread] == []
    assert thread.index("Which licence?") < thread.index("I mean the second licence.") < thread.index("accountant")
    assert thread.count("I mean the second licence.") == 1, "The mail with the answer is not shown a second time."


def test_an_email_that_was_overtaken_is_not_shown_as_sent(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    ask(desk.records, case, "Which licence?")
    assert decide(agent, case, choice="decline", message="Too late.").status_code == 303
    context = create_context(desk.settings)
    send_case_emails(context, [case])
    context.records.engine.dispose()
    with desk.records.work() as work:
        rows = work.run(
            "select kind, omitted from case_emails where sent_at is not null and case_id = :case", case=case
        )
        assert sorted((row.kind, row.omitted) for row in rows) == [
            ("declined", False),
            ("question", True),
            ("with_support", True),
        ]
        assert work.run("select count(*) from case_emails where sent_at is null").scalar_one() == 0
    page = text_of(agent.get(f"/cases/{case}").text)
    assert "sent the email: The refund was declined" in page
    assert "the email: A question to the customer" not in page


def _question_seq(records: Records, case: UUID) -> int:
    with records.work() as work:
        seq: int = work.run("select decided_seq from cases where id = :case", case=case).scalar_one()
    return seq


def test_an_agent_sees_only_the_purchases_and_cases_of_sellers_that_the_agent_may_read(desk: Desk, case: UUID) -> None:
    own = a_recent_purchase(email="Ada@Example.com", product="Aurora Video 2", refunded=500, dispute=Dispute.OPEN)
    foreign = a_recent_purchase(email="ada@example.com", product="Babbage Engine", seller_id="babbage")
    cases = {p.product: a_case(desk.records, State.DECLINED, purchase=p) for p in (own, foreign)}
    with desk.records.work() as work:
        work.run(
            "update payments set refunded_elsewhere = 500, dispute = 'open' where charge = :c", c=own.payments[0].charge
        )
        numbers = work.case_views.numbers(list(cases.values()))
    of_aurora = text_of(desk.sign_in(Role.AGENT, "aurora").get(f"/cases/{case}").text)
    assert f"Aurora Video 2, {own.reference}" in of_aurora
    assert "€5.00 refunded , an open dispute".replace(" ,", ",") in of_aurora.replace(" ,", ",")
    assert f"{numbers[cases['Aurora Video 2']]} : Declined" in of_aurora
    assert "Babbage" not in of_aurora
    assert numbers[cases["Babbage Engine"]] not in of_aurora
    of_all = text_of(desk.sign_in(Role.AGENT).get(f"/cases/{case}").text)
    assert "Babbage Engine" in of_all
    assert numbers[cases["Babbage Engine"]] in of_all


# Statements


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Yield the list of the statements that this process has executed since."""
    executed: list[str] = []

    def record(*arguments: Any) -> None:
        if (
            "decision_batches" not in arguments[2]
        ):  # the thread that decides batches executes its statements at any time
            executed.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", record)
    yield executed
    event.remove(Engine, "before_cursor_execute", record)


def test_the_page_takes_few_statements(desk: Desk, agent: httpx.Client, statements: list[str]) -> None:
    case = a_case(desk.records, State.WITH_SUPPORT)
    agent.get(f"/cases/{case}")
    statements.clear()
    assert agent.get(f"/cases/{case}").status_code == 200
    assert len(statements) <= MAX_STATEMENTS, "\n".join(" ".join(text.split())[:90] for text in statements)


def test_the_page_reads_few_rows_however_many_cases_there_are(desk: Desk, case: UUID) -> None:
    desk.sign_in(Role.AGENT)
    purchases = [a_recent_purchase() for _ in range(300)]
    store_seller_and_purchases(desk.records)
    with desk.records.work() as work:
        store_purchases(work, purchases)
        work.run(
            "insert into cases (id, seller_id, purchase_id, channel, intake_source, intake_key, intake_digest, email, email_key, "
            "reference, reference_key, reason, refund_scope, comment, locale, trusted, received_at, state, seq, head_hash) "
            "select gen_random_uuid(), 'aurora', p.id, 'web', 'x', p.id::text, '', p.email, p.email_key, p.reference, "
            "p.reference_key, 'other', 'full', '', 'en', false, now(), 'declined', 1, '' from purchases p "
            "where p.id <> (select purchase_id from cases where id = :case)",
            case=case,
        )
        work.run(
            "insert into inbound_mails (id, message_id, thread, sender_key, kind) "
            "select gen_random_uuid(), 'm' || n, 't' || n, 'someone' || n, 'not_a_request' from generate_series(1, 300) n"
        )
    with desk.records.work() as work:
        work.run("set local enable_seqscan = off")  # small tables are read as a whole, although they have indexes
        user = next(listed.user for listed in work.desk_users.list_all())
        view = work.case_views.get(case)
        assert view
        read_before = rows_read(work)
        load(work, user, view)
        assert rows_read(work) - read_before < 150


# Drafts


def test_the_script_of_the_page_saves_the_draft_without_loading_a_page(agent: httpx.Client, case: UUID) -> None:
    answer = decide(agent, case, choice="decline", message="A long text.", do="autosave")
    assert (answer.status_code, answer.text) == (204, "")
    page = agent.get(f"/cases/{case}").text
    assert f'data-saved-at="{answer.headers["draft-saved-at"]}"' in page
    assert ">A long text.</textarea>" in page


def test_a_draft_that_arrives_after_its_decision_is_not_kept(agent: httpx.Client, case: UUID) -> None:
    fields = fields_of(agent, case, choice="ask", message="Which licence?")
    assert agent.post(f"/cases/{case}/decisions", data=fields).status_code == 303
    late = agent.post(f"/cases/{case}/decisions", data=fields | {"do": "autosave"})
    assert late.status_code == 204
    assert "Which licence?</textarea>" not in agent.get(f"/cases/{case}").text


def take_over(client: httpx.Client, case: UUID) -> None:
    """Take the case from the colleague whom the page shows."""
    form = r'action="(/tasks/[^"]*/take)"><input type="hidden" name="holder" value="([^"]*)"'
    (path, holder) = re.findall(form, client.get(f"/cases/{case}").text)[0]
    assert client.post(path, data={"holder": holder}).status_code == 303


def test_a_draft_survives_a_change_of_the_owner(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    lead = desk.sign_in(Role.LEAD, email="lea@desk.example")
    agent.post("/tasks/next", data={"seller": ""})
    decide(agent, case, choice="decline", message="My draft.", do="save")
    take_over(lead, case)
    assert "My draft." not in lead.get(f"/cases/{case}").text
    take_over(agent, case)
    assert ">My draft.</textarea>" in agent.get(f"/cases/{case}").text


def test_an_agent_who_types_keeps_the_task(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    agent.post("/tasks/next", data={"seller": ""})
    with desk.records.work() as work:
        work.run(
            "update support_tasks set assigned_until = now() + interval '1 minute' where case_id = :case", case=case
        )
    decide(agent, case, choice="decline", message="Typing.", do="autosave")
    with desk.records.work() as work:
        task = work.support_tasks.of_case(case)
        assert task
        assert task.assigned_until
        assert (task.assigned_until - work.now).total_seconds() > 500


@pytest.fixture
def broken_desk(settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client of a desk whose database is unreachable. The client has the cookie of a session."""
    unreachable = SecretStr("postgresql://moneyback:hunter2@127.0.0.1:1/nowhere")
    with serve(app(settings.model_copy(update={"database_url": unreachable}))) as web:
        web.headers["origin"] = str(web.base_url).rstrip("/")
        web.cookies.set("moneyback-desk", "a session", domain=web.base_url.host)
        yield web


@pytest.mark.parametrize(
    ("path", "fields", "button"),
    [
        (
            "decisions",
            {
                "choice": "decline",
                "message": "A text <b> of\nten minutes.",
                "nonce": "n1",
                "revision": "r",
                "do": "decide",
            },
            "decide",
        ),
        ("notes", {"text": "A note <b>.", "nonce": "n2"}, "add"),
    ],
)
def test_without_the_database_the_page_keeps_what_was_typed(
    broken_desk: httpx.Client, path: str, fields: dict[str, str], button: str
) -> None:
    address = f"/cases/{uuid4()}/{path}"
    answer = broken_desk.post(address, data=fields)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "The database can’t be reached. What you typed is still here" in answer.text
    form = answer.text.split(f'<form method="post" action="{address}">')[1].split("</form>")[0]
    kept = dict(re.findall(r'type="hidden" name="([\w.]+)" value="([^"]*)"', form))
    kept |= dict(re.findall(r'<textarea id="\w+" name="([\w.]+)" rows="4">(.*?)</textarea>', form, re.DOTALL))
    assert {name: unescape(value) for name, value in kept.items()} == {
        name: value for name, value in fields.items() if name != "do"
    }
    assert f'name="do" value="{button}"' in form
    assert "hunter2" not in answer.text


def test_without_the_database_a_password_is_not_shown_again(broken_desk: httpx.Client) -> None:
    answer = broken_desk.post("/sign-in", data={"email": "ada@example.com", "password": "correct horse"})
    assert answer.status_code == 503
    assert "correct horse" not in answer.text
