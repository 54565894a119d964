"""The personal data of a customer is removed everywhere in the database, and the history and the refunds stay provable."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from config.settings import Settings
from config.signed_links import Purpose
from console.servers import Servers
from domain.desk_roles import Role
from domain.errors import NotPossibleError
from domain.inquiry_emails import InquiryEmailKind
from domain.messages import CaseEmailsDue, RefundApproved, RefundRequested
from domain.providers import DeclineReason, Failed, NotFound, Paid
from domain.purchase_details import PurchaseDetails
from domain.purchase_reports import report_of
from domain.purchases import PurchaseItem, email_key
from domain.requests import Channel, FormAnswers
from domain.states import FINAL_STATES, State
from domain.webhook_events import Subject, WebhookEvent
from producers import decisions
from producers.decisions import AnswerSubmission
from producers.intake import accept_one, record_withdrawal, submission
from producers.mail.ingest import MailIngest, RawMail
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from records.audit import audit
from records.purchase_reports import store_reports
from tests import fork_server
from tests.integration._desk_fixtures import Desk
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.integration._refund_scenarios import PRICE, Scenario, StartScenario
from tests.integration._web_fixtures import Site, a_case
from tests.integration.test_decisions import decide, overruling
from tests.sample_data import a_payment, a_recent_purchase, a_request, a_submission, store_seller_and_purchases
from tests.services import environment, tamper
from worker.dispatch import handle
from worker.sweep import Sweep

EMAIL = "Canary.Ada@example.com"
CANARY = "canary"
ADDRESS_HASH = hashlib.sha256(email_key(EMAIL).encode()).hexdigest()
OLD = datetime.now(UTC) - timedelta(days=45)
RETURNED = Failed("re_1", "closed", DeclineReason.PERMANENT)

WITHOUT_CUSTOMERS = {
    *"alembic_version api_keys decision_batch_items decision_batches macros policies sellers storefronts".split(),
    *"desk_events desk_recovery_codes desk_sessions desk_sign_in_delays desk_user_roles desk_users".split(),
    *"helpdesk_targets outbox payment_ids payments purchase_syncs rule_opinions support_task_events".split(),
    *"case_emails external_refunds refund_operations transition_redactions".split(),
}
"""The tables that contain only ids of customers' cases and payments, or nothing about customers.

A new table must be named here, or the customer of these tests must have a row with a canary word in it.
"""


def tables_with(records: Records, *words: str) -> set[str]:
    """Return the tables that contain one of these words in any column, also in binary columns."""
    patterns = [form for word in words for form in (word, word.encode().hex(), word.title().encode().hex())]
    with records.work() as work:
        tables = [row[0] for row in work.run("select tablename from pg_tables where schemaname = 'public'")]
        return {
            table
            for table in tables
            for name in [sql.Identifier(table).as_string()]
            if work.run(
                f"select exists (select from {name} t where lower(t::text) ~ any(cast(:patterns as text[])))",
                patterns=patterns,
            ).scalar_one()
        }


def all_tables(records: Records) -> set[str]:
    with records.work() as work:
        return {row[0] for row in work.run("select tablename from pg_tables where schemaname = 'public'")}


def end_everything(records: Records) -> None:
    """Let every e-mail be sent, every task be closed, and every lease end."""
    with records.work() as work:
        work.run("update case_emails set sent_at = now() where sent_at is null")
        for row in work.run("select id from support_tasks where closed_at is null and kind <> 'case'").all():
            assert work.support_tasks.close(row.id, "user:clara", "done", f"The {CANARY} called.")
        work.run("update cases set lease_until = 'epoch'")


@pytest.fixture
def customer(start_scenario: StartScenario) -> Scenario:
    """Return a refunded case whose customer has left a canary word in every place where words of customers are stored."""
    item = PurchaseItem(id="mug", name=f"Mug for {CANARY}", quantity=1, amount=4900)
    payment = a_payment(instrument=f"{CANARY}-card")
    scenario = start_scenario(
        [Paid("re_1", PRICE)], [NotFound()], purchased_at=OLD, email=EMAIL, items=(item,), payments=[payment]
    )
    records, case = scenario.context.records, scenario.case
    decide(scenario, {"action": "ask", "message": f"Are you {CANARY}?"})
    answer = AnswerSubmission(
        case_id=case, text=f"I am {CANARY}.", channel=Channel.WEB, source="web:answer", key=f"{CANARY}-answer"
    )
    decisions.answer(records, answer)
    with records.work() as work:
        work.desk.add_note(uuid4(), case, agent="user:clara", agent_name="Clara", text=f"{CANARY} called.")
        work.desk.save_draft("user:lea", case, {"message": f"Dear {CANARY}"})
        work.desk.save_opinion(case, "outside_window", was_right=False, agent="user:clara")
        details = PurchaseDetails(licence_key=f"{CANARY}-1", invoice_number=f"{CANARY}-2")
        work.purchase_details.put([("aurora", scenario.stored.reference, details)])
        event = WebhookEvent("ev_1", Subject.PAYMENT, payment.charge)
        work.webhook_events.keep("sandbox", [event], json.dumps({"name": CANARY}).encode())
        of_nobody = WebhookEvent("ev_2", Subject.PAYMENT, "unknown")
        work.webhook_events.keep("sandbox", [of_nobody], f"email={EMAIL.replace('@', '%40')}".encode())
        work.dead_letters.keep("refund.requests", f'{{"email": "{EMAIL}", "name"}}'.encode(), "The body is not JSON.")
        task = work.run("select id from support_tasks where case_id = :case", case=case).first()
        work.run(
            "insert into helpdesk_tickets (id, task_id, target, status, ref, why, created_at)"
            " values (gen_random_uuid(), :task, 'zendesk', 'closed', '4711', :why, now())",
            task=task and task.id,
            why=f"{CANARY} is no requester.",
        )
        work.helpdesk_events.keep("zendesk", "d1", f'{{"ticket": 4711, "requester": "{CANARY}"}}'.encode())
    approved = overruling("outside_window") | {"reason": f"{CANARY} is nice.", "message": f"Sorry, {CANARY}."}
    decide(scenario, approved)
    assert scenario.process_after().state() == "refunded"
    repeat_request(scenario)
    take_mail(records, f"Dear {CANARY} team, please erase my data under the GDPR.")
    with records.work() as work:
        inquiry = work.inquiry_emails.enqueue(kind=InquiryEmailKind.REFERENCES, email=EMAIL, locale="en")
        work.inquiry_emails.mark_sent([inquiry])
    end_everything(records)
    return scenario


def repeat_request(scenario: Scenario, **changes: Any) -> UUID:
    """Send another request with a statutory withdrawal for the purchase, and evaluate it. Return the id of its case."""
    request = a_request(
        replace(scenario.stored, email=EMAIL),
        comment=f"I am {CANARY}.",
        answers=FormAnswers(items=f"the mug of {CANARY}"),
    )
    made = submission(request, Channel.EMAIL, thread=f"<{CANARY}@mail>", key=f"<{CANARY}{uuid4().hex}@mail>", **changes)
    case = accept_one(scenario.context.records, made).id
    with scenario.context.records.work() as work:
        record_withdrawal(work, case, EMAIL, name=f"{CANARY} Ada", statement=f"I, {CANARY}, withdraw.")
    handle(scenario.context, RefundRequested, [case])
    return case


def take_mail(records: Records, text: str) -> None:
    mail = a_mail(text, sender=EMAIL, subject=f"From {CANARY}")
    MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(records, [RawMail(mail, len(mail))])


def forget(records: Records, email: str = EMAIL) -> None:
    with records.work() as work:
        found = work.personal_data.forget(email, who="a test")
    with records.work() as work:
        work.personal_data.forget_messages(email, found.case_ids)


def assert_history_is_provable(records: Records) -> None:
    with records.work() as work:
        assert audit(work).faults == []


def state_of(records: Records, case: UUID) -> State:
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view.state


def test_after_forgetting_no_table_contains_a_word_of_the_customer(customer: Scenario) -> None:
    records = customer.context.records
    assert tables_with(records, CANARY, ADDRESS_HASH) | WITHOUT_CUSTOMERS == all_tables(records)
    forget(records)
    assert tables_with(records, CANARY, ADDRESS_HASH) == set()
    assert_history_is_provable(records)
    with records.work() as work:
        assert work.personal_data.find(EMAIL).is_empty
        assert work.personal_data.find(EMAIL.lower()).is_empty


def test_what_the_books_need_stays(customer: Scenario) -> None:
    statement = """
      select jsonb_build_array(o.provider, o.charge, o.amount, o.currency, o.refund_id, o.paid_at, o.decision_id, p.reference,
                               p.product, c.reason, c.received_at, w.declared_at)
        from refund_operations o join cases c on c.id = o.case_id join purchases p on p.id = c.purchase_id
        cross join statutory_withdrawals w
    """
    before = customer.query(statement)
    forget(customer.context.records)
    assert customer.query(statement) == before
    assert customer.query("select count(*) from rule_opinions") == 1
    assert customer.query("select evidence -> 'approval' -> 'refunds' from transitions where evidence ? 'approval'")
    assert customer.reason_codes() == ["customer_answered", "outside_window"]


def test_forgetting_twice_changes_nothing_more(customer: Scenario) -> None:
    records = customer.context.records
    forget(records)
    count = customer.query("select count(*) from transition_redactions")
    assert count > 0
    forget(records)
    assert customer.query("select count(*) from transition_redactions") == count


def test_other_customers_keep_their_data(customer: Scenario) -> None:
    records = customer.context.records
    other = a_recent_purchase(email="grace@example.com")
    case = a_case(records, State.CANCELLED, purchase=other)
    forget(records)
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    assert (view.email, view.purchase_email, view.forgotten_at) == (other.email, other.email, None)


def test_a_second_request_is_recognised_and_nothing_is_paid_twice(customer: Scenario) -> None:
    records = customer.context.records
    forget(records)
    second = repeat_request(customer)
    assert state_of(records, second) is State.DUPLICATE
    handle(customer.context, RefundApproved, [second])
    assert len(customer.provider.keys) == 1
    handle(customer.context, CaseEmailsDue, [second])
    with records.work() as work:
        assert work.run("select count(*) from case_emails where sent_at is null").scalar_one() == 0
    sent = [file.read_text() for file in (customer.context.settings.sent_mail_dir or OLD).glob("*/*")]  # type: ignore[union-attr]
    assert [mail for mail in sent if f"To: {EMAIL}" in mail]
    with records.work() as work:
        third = accept_one(records, a_submission(replace(customer.stored, email="eve@example.com"), trusted=False)).id
    handle(customer.context, RefundRequested, [third])
    assert state_of(records, third) is State.UNMATCHED, "Another address is not the customer's."
    end_everything(records)
    forget(records)  # the second request is forgotten, too
    assert tables_with(records, CANARY, ADDRESS_HASH) == set()


def test_a_late_failure_of_the_refund_still_reaches_support_and_writes_to_nobody(customer: Scenario) -> None:
    records = customer.context.records
    forget(records)
    customer.provider.answer_lookups(RETURNED)
    customer.report("re_1", RETURNED)
    assert customer.state() == "with_support"
    handle(customer.context, CaseEmailsDue, [customer.case])
    assert customer.query("select count(*) from case_emails where sent_at is null") == 0
    assert_history_is_provable(records)


@pytest.mark.parametrize("is_correction", [False, True])
def test_a_later_report_of_the_seller_does_not_bring_the_data_back(customer: Scenario, *, is_correction: bool) -> None:
    records = customer.context.records
    forget(records)
    report = replace(report_of(customer.stored), correct=is_correction)
    with records.work() as work:
        store_reports(work, [replace(report, fields={**report.fields, "product": "Aurora Photo 5"})], {})
        work.purchase_details.put([("aurora", customer.stored.reference, PurchaseDetails(licence_key=CANARY))])
    assert tables_with(records, CANARY) == set()
    assert customer.query("select product from purchases") == "Aurora Photo 5"
    second = repeat_request(customer)
    assert state_of(records, second) is State.DUPLICATE


OPEN: dict[str, tuple[Callable[[Records, UUID], object], str]] = {
    "an open case": (
        lambda records, _: accept_one(records, a_submission(a_recent_purchase(email=EMAIL), trusted=False)),
        "is still open: it is being processed. Wait until it has ended.",
    ),
    "a refund of unknown outcome": (
        lambda records, case: run(records, "update refund_operations set status = 'unknown' where case_id = :id", case),
        "The outcome of a refund of the case",
    ),
    "an open task": (
        lambda records, case: run(
            records,
            "insert into support_tasks (id, kind, subject, case_id, reasons) values (gen_random_uuid(), 'x', 'x', :id, '[]')",
            case,
        ),
        "is open. Close it on the desk.",
    ),
    "an unsent e-mail": (
        lambda records, case: run(records, "insert into case_emails (case_id, kind) values (:id, 'declined')", case),
        "is not sent yet. Wait until it is sent.",
    ),
    "a flagged mail": (
        lambda records, _: take_mail(records, "My lawyer will write to you. Erase my data."),
        "An e-mail of this customer waits for support.",
    ),
}


def run(records: Records, statement: str, case: UUID) -> None:
    with records.work() as work:
        work.run(statement, id=case)


@pytest.mark.parametrize("thing", OPEN)
def test_nothing_is_removed_while_something_is_open(customer: Scenario, thing: str) -> None:
    records = customer.context.records
    arrange, sentence = OPEN[thing]
    arrange(records, customer.case)
    with pytest.raises(NotPossibleError, match=sentence):
        forget(records)
    assert customer.query("select count(*) from transition_redactions") == 0
    assert customer.query(f"select count(*) from cases where email = '{EMAIL}'") >= 2


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "update transitions set evidence = '{{}}' where seq = 2 and case_id = '{}'",
            "changed after its personal data",
        ),
        ("update transitions set actor = 'eve' where seq = 2 and case_id = '{}'", "changed after its personal data"),
        ("update transitions set why = 'x' where seq = 2 and case_id = '{}'", "changed after its personal data"),
        ("update transitions set hash = '\\x00' where seq = 2 and case_id = '{}'", "changed after its personal data"),
        (
            "update transition_redactions set redacted_by = 'eve' where case_id = '{}'",
            "changed after its personal data",
        ),
        ("update transition_redactions set hash = '\\x00' where case_id = '{}'", "changed after its personal data"),
        ("delete from transition_redactions where case_id = '{}'", "row 2 in its history that was changed"),
    ],
)
def test_a_changed_row_is_found_after_forgetting(
    customer: Scenario, servers: Servers, database: str, statement: str, sentence: str
) -> None:
    records = customer.context.records
    forget(records)
    assert_history_is_provable(records)
    tamper(servers, database, statement.format(customer.case))
    with records.work() as work:
        faults = audit(work).faults
    assert [fault.case_id for fault in faults if sentence in fault.sentence] == [customer.case]


APP_MAY_NOT = [
    "update transitions set why = ''",
    "update transitions set evidence = redacted_evidence(evidence), why = ''",
    "delete from transitions",
    "insert into transition_redactions values ('{0}', 1, '', now(), 'eve')",
    "update transition_redactions set redacted_by = 'eve'",
    "delete from transition_redactions",
    "update case_notes set text = ''",
    "update customer_answers set text = ''",
]


@pytest.mark.parametrize("statement", APP_MAY_NOT)
def test_the_services_change_the_history_in_no_other_way(customer: Scenario, statement: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"), customer.context.records.work() as work:
        work.run(statement.format(customer.case))


OWNER_MAY_NOT = [
    "update transitions set why = ''",
    "update transitions set evidence = redacted_evidence(evidence), why = '' where why <> ''",
    "update transitions set evidence = '{}'",
    "delete from transitions",
    "truncate transitions cascade",
    "update transition_redactions set redacted_by = 'eve'",
    "delete from transition_redactions",
]


@pytest.mark.parametrize("is_forgotten", [False, True])
@pytest.mark.parametrize("statement", OWNER_MAY_NOT)
def test_the_owner_changes_the_history_in_no_other_way(
    customer: Scenario, settings: Settings, statement: str, *, is_forgotten: bool
) -> None:
    if is_forgotten:
        forget(customer.context.records)
        statement = statement.replace("why = ''", "why = 'x'").replace("where why <> ''", "")
    assert settings.database_owner_url
    owner = Records.of(settings.model_copy(update={"database_url": settings.database_owner_url}))
    with pytest.raises(DBAPIError, match="append-only"), owner.work() as work:
        work.run(statement)
    owner.engine.dispose()


def test_the_services_cannot_redact_the_history_of_an_open_case(records: Records) -> None:
    store_seller_and_purchases(records)
    for state in sorted(set(State) - FINAL_STATES):
        case = a_case(records, state)
        with pytest.raises(DBAPIError, match="open case"), records.work() as work:
            work.run("select redact_cases(array[cast(:case as uuid)], 'eve')", case=case)


def age(records: Records, days: int) -> None:
    """Make everything older by a number of days. The history keeps its hashes, because it is moved without triggers."""
    with records.work() as work:
        for table, column in (
            ("cases", "received_at"),
            ("inbound_mails", "received_at"),
            ("inquiry_emails", "created_at"),
            ("dead_letters", "created_at"),
            ("helpdesk_events", "received_at"),
        ):
            work.run(f"update {table} set {column} = {column} - make_interval(days => :days)", days=days)


def test_the_retention_forgets_closed_cases_in_batches(customer: Scenario, servers: Servers, database: str) -> None:
    records = customer.context.records
    tamper(servers, database, "update transitions set created_at = created_at - interval '31 days'")
    age(records, 31)
    customer.process_events()
    assert Sweep(records).run_once() == 0, "The retention is off by default."
    assert Sweep(records, retention_days=40).run_once() == 0
    assert CANARY in customer.query("select string_agg(email, ' ') from cases").lower()
    assert Sweep(records, retention_days=30).run_once() > 0
    assert tables_with(records, CANARY, ADDRESS_HASH) == {"webhook_events"}, "The webhook of an unknown payment stays."
    assert Sweep(records, retention_days=30).run_once() == 0


def test_the_retention_leaves_open_and_recent_cases(records: Records, servers: Servers, database: str) -> None:
    store_seller_and_purchases(records)
    cases = {state: a_case(records, state, purchase=a_recent_purchase(charge=f"ch_{state}")) for state in State}
    recent = a_case(records, State.CANCELLED)
    with records.work() as work:
        work.run("update case_emails set sent_at = now()")
        work.run("update cases set received_at = received_at - interval '31 days', next_action_at = 'infinity'")
    tamper(
        servers,
        database,
        f"update transitions set created_at = created_at - interval '31 days' where case_id <> '{recent}'",
    )
    with records.work() as work:
        work.personal_data.forget_expired(days=30, limit=100)
        forgotten = {row.id for row in work.run("select id from cases where forgotten_at is not null")}
    assert forgotten == {case for state, case in cases.items() if state in FINAL_STATES}


def test_one_batch_of_the_retention_is_bounded(records: Records, servers: Servers, database: str) -> None:
    store_seller_and_purchases(records)
    for _ in range(5):
        a_case(records, State.CANCELLED)
    tamper(servers, database, "update transitions set created_at = created_at - interval '31 days'")
    age(records, 31)
    with records.work() as work:
        work.run("update case_emails set sent_at = now()")
    for left in (3, 1, 0):
        with records.work() as work:
            work.personal_data.forget_expired(days=30, limit=2)
            assert work.run("select count(*) from cases where forgotten_at is null").scalar_one() == left


def test_the_status_page_of_a_forgotten_case_says_that_its_data_was_deleted(site: Site) -> None:
    purchase = a_recent_purchase(email=EMAIL)
    case = a_case(site.records, State.CANCELLED, purchase=purchase)
    with site.records.work() as work:
        work.run("update case_emails set sent_at = now()")
    forget(site.records)
    for purpose in (Purpose.STATUS, Purpose.CONFIRM):
        response = site.web.get(site.link_path(purpose, case), follow_redirects=True)
        assert (response.status_code, "its personal data was deleted" in response.text) == (410, True)
    news = site.web.get(f"{site.link_path(Purpose.STATUS, case)}/news")
    assert news.status_code == 410
    shown = site.web.get(f"/v1/refund-requests/{case}", headers=site.auth_headers())
    assert (shown.status_code, shown.json()["state"]) == (200, "cancelled")


def moneyback(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    ended = fork_server.run("console", *arguments, env={**os.environ, "COLUMNS": "200", **environment(settings)})
    return ended.returncode, ended.stdout, ended.stderr


def test_the_command_shows_first_and_then_removes(customer: Scenario) -> None:
    settings, records = customer.context.settings, customer.context.records
    code, out, _ = moneyback(settings, "customers", "forget", EMAIL, "--dry-run", "--json")
    shown = json.loads(out)
    assert (code, shown["removed"], len(shown["cases"]), shown["purchases"], shown["mails"]) == (0, False, 2, 1, 1)
    assert (shown["inquiry_emails"], shown["stored_messages"], shown["obstacles"]) == (1, 3, [])
    assert CANARY in customer.query("select email from purchases").lower()
    code, out, _ = moneyback(settings, "customers", "forget", EMAIL.lower())
    assert code == 0
    assert out.startswith("Removed the personal data of canary.ada@example.com:")
    assert tables_with(records, CANARY, ADDRESS_HASH) == set()
    assert customer.query("select distinct redacted_by from transition_redactions") == "moneyback customers forget"
    code, out, err = moneyback(settings, "customers", "forget", EMAIL)
    assert (code, out, err) == (1, "", f"Nothing is stored about {EMAIL}.\n")
    assert moneyback(settings, "audit")[0] == 0


def test_the_command_names_the_open_case(customer: Scenario) -> None:
    settings, records = customer.context.settings, customer.context.records
    case = a_case(records, State.WITH_SUPPORT, purchase=a_recent_purchase(email=EMAIL))
    with records.work() as work:
        number = work.case_views.numbers([case])[case]
    code, out, _ = moneyback(settings, "customers", "forget", EMAIL)
    assert code == 1
    assert f"The case {number} is still open: it is with support. Decide it on the desk, or close it." in out
    assert CANARY in customer.query("select string_agg(email, ' ') from purchases").lower()


def test_the_desk_shows_that_the_personal_data_of_a_case_was_removed(desk: Desk) -> None:
    case = a_case(desk.records, State.CANCELLED, purchase=a_recent_purchase(email=EMAIL))
    with desk.records.work() as work:
        work.run("update case_emails set sent_at = now()")
    client = desk.sign_in(Role.AUDITOR)
    assert EMAIL in client.get(f"/cases/{case}").text
    forget(desk.records)
    page = client.get(f"/cases/{case}")
    assert (page.status_code, EMAIL in page.text) == (200, False)
    assert "<dt>Customer</dt><dd>address removed" in page.text
    assert "<dt>Personal data</dt><dd>removed" in page.text
