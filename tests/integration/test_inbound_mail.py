"""Tests of inbound mail with a real database: cases, inquiry e-mails, threads, limits, bounces and evidence."""

import email.utils
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from domain.emails import EmailKind
from domain.requests import Channel
from domain.states import State
from producers.intake import accept_one, submission
from producers.mail import references
from producers.mail.ingest import MAX_ANSWERS, MailIngest, Outcome, RawMail
from producers.mail.parsed_mail import NEEDS_SUPPORT, MailKind
from producers.mail.parser import MAX_SIZE
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail, count_cases
from tests.sample_data import a_recent_purchase, a_request, store_seller_and_purchases

MAILS = Path(__file__).parent.parent / "mails"


def dns_timeout(_name: str) -> str | None:
    raise TimeoutError


def ingest(records: Records, *mails: bytes, size: int | None = None) -> list[Outcome]:
    raw_mails = [RawMail(raw, len(raw) if size is None else size) for raw in mails]
    outcomes = MailIngest(OWN_ADDRESSES, SenderAuthenticator(dns_timeout)).take(records, raw_mails)
    assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]


def mail_kinds(outcomes: Sequence[Outcome]) -> list[MailKind]:
    return [outcome.kind for outcome in outcomes]


def stored_inquiry_emails(records: Records) -> list[tuple[str, str, str]]:
    with records.work() as work:
        rows = work.run("select kind, email, locale, thread from inquiry_emails order by created_at, id")
        return [(row.kind, row.email, row.locale) for row in rows]


def case_ids(records: Records) -> list[UUID]:
    with records.work() as work:
        return list(work.run("select id from cases order by received_at, id").scalars())


def set_state(records: Records, case: UUID, state: State) -> None:
    with records.work() as work:
        work.run("update cases set state = :state where id = :id", state=state, id=case)


def reply_headers(mail: bytes) -> str:
    message_id = next(line for line in mail.decode().splitlines() if line.startswith("Message-ID"))[12:]
    return f"In-Reply-To: {message_id}\nReferences: {message_id}".replace("\n", "\r\n")


def test_no_sample_mail_is_lost(records: Records) -> None:
    """Every mail is stored. Each mail becomes a case, gets an answer, is flagged for support, or was sent by a program."""
    mails = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]
    outcomes = [outcome for mail in mails for outcome in ingest(records, mail)]
    with records.work() as work:
        rows = {
            row.message_id: row
            for row in work.run("select message_id, kind, case_ids, inquiry_email_id from inbound_mails")
        }
    fresh = [outcome for outcome in outcomes if outcome.fresh]
    assert len(rows) == len(fresh)
    assert all(outcome.flagged for outcome in outcomes if outcome.kind in NEEDS_SUPPORT)
    handled = sum(bool(row.case_ids or row.inquiry_email_id) for row in rows.values())
    requests = [
        outcome for outcome in fresh if outcome.kind in {MailKind.REQUEST, MailKind.NO_REFERENCE, MailKind.TOO_LARGE}
    ]
    assert handled + sum(outcome.flagged for outcome in requests) >= len(requests)
    assert sum(outcome.kind is MailKind.REQUEST for outcome in outcomes) > 100


def test_a_mail_without_reference_gets_one_answer_in_its_language(records: Records) -> None:
    mail = a_mail("Ich möchte bitte mein Geld zurück.", sender="ada@example.com")
    assert ingest(records, mail) == [Outcome(MailKind.NO_REFERENCE, fresh=True, flagged=False)]
    assert stored_inquiry_emails(records) == [("no_reference", "ada@example.com", "de")]
    assert ingest(records, mail) == [Outcome(MailKind.NO_REFERENCE, fresh=False, flagged=False)]
    assert len(stored_inquiry_emails(records)) == 1


def test_a_thread_is_answered_once(records: Records) -> None:
    first = a_mail("I want my money back.", sender="ada@example.com")
    second = a_mail("Hello? I want my money back!", sender="ada@example.com", header=reply_headers(first))
    assert [outcome.flagged for outcome in ingest(records, first, second)] == [False, True]
    assert len(stored_inquiry_emails(records)) == 1


def test_mails_of_one_thread_about_one_reference_are_one_case(records: Records) -> None:
    first = a_mail(sender="ada@example.com")
    again = a_mail("And MB-2026-0417 please, thanks. Refund!", sender="ada@example.com", header=reply_headers(first))
    other = a_mail("Please refund MB-2026-0418 too.", sender="ada@example.com", header=reply_headers(first))
    other_sender = a_mail(sender="mallory@example.com", header=reply_headers(first))
    for mail in (first, again):
        ingest(records, mail)
    (case,) = case_ids(records)
    assert ingest(records, again)[0].fresh is False
    ingest(records, other)
    assert count_cases(records) == 2
    ingest(records, other_sender)  # another sender's reply in the thread makes a new case
    assert count_cases(records) == 3
    with records.work() as work:
        rows = work.run("select case_ids from inbound_mails order by received_at").scalars().all()
        (thread,) = work.run("select thread from cases where id = :id", id=case).scalars()
    assert rows[0] == rows[1] == [case]
    assert thread in first.decode()


def test_two_mails_of_a_thread_in_one_batch_are_one_case(records: Records) -> None:
    first = a_mail(sender="ada@example.com")
    ingest(records, first, a_mail(sender="ada@example.com", header=reply_headers(first)))
    assert count_cases(records) == 1


def test_a_reply_to_an_email_about_a_case_creates_no_second_case(records: Records) -> None:
    ingest(records, a_mail(sender="ada@example.com"))
    (case,) = case_ids(records)
    set_state(records, case, State.WITH_SUPPORT)
    message_id = f"<{case}.with_support@moneyback.example>"
    answer = a_mail("Please refund MB-2026-0417 now!", sender="ada@work.example", header=f"In-Reply-To: {message_id}")
    assert ingest(records, answer) == [Outcome(MailKind.REQUEST, fresh=True, flagged=True)]
    assert case_ids(records) == [case]


def test_a_reply_after_the_case_expired_creates_a_new_case(records: Records) -> None:
    first = a_mail(sender="ada@example.com")
    ingest(records, first)
    set_state(records, case_ids(records)[0], State.EXPIRED)
    ingest(records, a_mail(sender="ada@example.com", header=reply_headers(first)))
    assert count_cases(records) == 2


def linked_cases(records: Records) -> list[UUID]:
    """Return the ids of the cases to which the newest mail is linked."""
    with records.work() as work:
        rows = work.run("select case_ids from inbound_mails order by received_at desc, message_id desc limit 1")
        return list(rows.scalar_one())


def numbered_case(records: Records, state: State, *, like_a_reference: bool = True) -> tuple[UUID, str]:
    """Store cases of Ada until a case number looks like the reference of a purchase, or not. Return its case and the number."""
    while True:
        request = a_request(a_recent_purchase(email="ada@example.com"))
        accepted = accept_one(records, submission(request, Channel.EMAIL))
        if bool(references.find(accepted.number)) is like_a_reference:
            set_state(records, accepted.id, state)
            return accepted.id, accepted.number


@pytest.mark.parametrize("like_a_reference", [True, False])
@pytest.mark.parametrize(
    "mail_text",
    [
        "Please refund my purchase. My case number is {number}.",
        "When do I get my money for case {number}? Nothing has arrived.",
        "{number}",
        "I want my money back!\r\n\r\n> This is an automatic email about your request with the case number {number}.",
    ],
)
def test_a_mail_that_names_a_case_number_of_its_sender_joins_the_case(
    records: Records, mail_text: str, like_a_reference: bool
) -> None:
    case, number = numbered_case(records, State.WITH_SUPPORT, like_a_reference=like_a_reference)
    cases = case_ids(records)
    mail = a_mail(mail_text.format(number=number), sender="Ada@example.com", subject="My question")
    assert ingest(records, mail)[0].flagged
    assert case_ids(records) == cases
    assert stored_inquiry_emails(records) == []
    assert linked_cases(records) == [case]


def test_the_case_number_of_another_customer_names_no_case(records: Records) -> None:
    _, number = numbered_case(records, State.WITH_SUPPORT)
    mallory = a_mail(f"When do I get my money for case {number}?", sender="mallory@example.com")
    assert ingest(records, mallory)[0].flagged
    assert linked_cases(records) == []


@pytest.mark.parametrize("like_a_reference", [True, False])
def test_a_mail_that_names_a_case_that_ended_without_a_decision_is_asked_for_the_purchase(
    records: Records, like_a_reference: bool
) -> None:
    _, number = numbered_case(records, State.UNMATCHED, like_a_reference=like_a_reference)
    cases = case_ids(records)
    mail = a_mail(f"Please refund my purchase. My case number is {number}.", sender="ada@example.com")
    assert ingest(records, mail) == [Outcome(MailKind.NO_REFERENCE, fresh=True, flagged=False)]
    assert case_ids(records) == cases
    assert [kind for kind, *_ in stored_inquiry_emails(records)] == ["no_reference"]


def test_a_mail_with_a_case_number_and_another_purchase_requests_the_other_purchase(records: Records) -> None:
    case, number = numbered_case(records, State.WITH_SUPPORT)
    mail = a_mail(f"Besides case {number}, please refund order MB-2026-9999 too.", sender="ada@example.com")
    assert ingest(records, mail)[0].kind is MailKind.REQUEST
    assert len(linked_cases(records)) == 1
    assert case not in linked_cases(records)


def test_an_automatic_reply_that_quotes_a_case_number_is_not_linked(records: Records) -> None:
    _, number = numbered_case(records, State.WITH_SUPPORT)
    mail = a_mail(f"> Your case number is {number}.", sender="ada@example.com", header="Auto-Submitted: auto-replied")
    assert ingest(records, mail) == [Outcome(MailKind.AUTO_REPLY, fresh=True, flagged=False)]
    assert linked_cases(records) == []


def test_each_reference_in_a_mail_becomes_a_case_up_to_a_limit(records: Records) -> None:
    mail = a_mail("Please refund MB-2026-0417 and MB-2026-0418.")
    ingest(records, mail)
    ingest(records, mail)
    assert count_cases(records) == 2
    nine_references = a_mail(f"Please refund {', '.join(f'MB-2026-{number}' for number in range(1000, 1009))}.")
    assert ingest(records, nine_references) == [Outcome(MailKind.TOO_MANY, fresh=True, flagged=True)]
    assert count_cases(records) == 2


def test_the_answers_to_an_address_are_limited_per_day(records: Records) -> None:
    for number in range(MAX_ANSWERS):
        ingest(records, a_mail(f"Refund MB-2026-{1000 + number}", sender="ada@example.com"))
    assert ingest(records, a_mail("Refund MB-2026-2000", sender="Ada@example.com"))[0].flagged
    assert ingest(records, a_mail("I want my money back.", sender="ada@example.com"))[0].flagged
    assert (count_cases(records), stored_inquiry_emails(records)) == (MAX_ANSWERS, [])
    assert not ingest(records, a_mail(sender="bob@example.com"))[0].flagged
    with records.work() as work:
        work.run("update inbound_mails set received_at = received_at - interval '1 day'")
    assert not ingest(records, a_mail("Refund MB-2026-2001", sender="ada@example.com"))[0].flagged


def test_the_daily_limit_applies_to_the_mails_of_one_batch(records: Records) -> None:
    ingest(records, *(a_mail(f"Refund MB-2026-{number}", sender="ada@example.com") for number in range(1000, 1030)))
    assert count_cases(records) == MAX_ANSWERS


def test_a_huge_mail_is_answered_once(records: Records) -> None:
    mail = a_mail(sender="ada@example.com")
    assert ingest(records, mail, mail, size=MAX_SIZE + 1)[0] == Outcome(MailKind.TOO_LARGE, fresh=True, flagged=True)
    assert stored_inquiry_emails(records) == [("too_large", "ada@example.com", "en")]


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "List-Id: <a.example>",
        "Return-Path: <>",
        "X-Auto-Response-Suppress: All",
    ],
)
def test_an_automatic_mail_is_not_answered_but_flagged_if_it_asks_for_money(records: Records, header: str) -> None:
    """A mailing list or a shop's form forwards customers' mails with such a header, so support must see requests for money."""
    mails = [a_mail(text, header=header) for text in ("I want my money back.", "Please refund MB-2026-0417.")]
    assert [outcome.flagged for outcome in ingest(records, *mails)] == [True, True]
    assert [outcome.flagged for outcome in ingest(records, *mails)] == [True, True]
    assert not ingest(records, a_mail("I am away until Monday.", subject="Away: Refund", header=header))[0].flagged
    assert (count_cases(records), stored_inquiry_emails(records)) == (0, [])


def test_own_emails_are_never_answered(records: Records) -> None:
    own_email = a_mail(header="X: y").replace(
        b"Message-ID: <", b"Message-ID: <6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded@moneyback.example>\r\nX-Old: <"
    )
    assert mail_kinds(ingest(records, own_email, a_mail(sender=OWN_ADDRESSES[0]))) == [
        MailKind.OWN_EMAIL,
        MailKind.OWN_EMAIL,
    ]
    assert count_cases(records) == 0


def test_a_bounce_of_an_email_is_stored(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    ingest(records, a_mail(f"Refund {purchase.reference}", sender=purchase.email))
    (case,) = case_ids(records)
    with records.work() as work:
        work.case_emails.enqueue([(case, EmailKind.START_REFUND, 0)])
        work.case_emails.mark_sent(work.case_emails.claim([case], seconds=60))
    report = (MAILS / "bounce_of_our_email--0.eml").read_bytes()
    report = report.replace(b"6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded", f"{case}.start_refund".encode())
    assert mail_kinds(ingest(records, report)) == [MailKind.BOUNCE]
    with records.work() as work:
        (bounced,) = work.run("select bounced_at from case_emails").scalars()
    assert bounced is not None


def test_a_bounce_of_an_unknown_email_changes_nothing(records: Records) -> None:
    assert mail_kinds(ingest(records, (MAILS / "bounce_of_our_email--0.eml").read_bytes())) == [MailKind.BOUNCE]
    assert count_cases(records) == 0


def test_a_spoofed_mail_creates_an_untrusted_case_with_the_customers_address(records: Records) -> None:
    """The case is not trusted, and the confirmation goes to the address of the purchase."""
    purchase = a_recent_purchase(email="ada@example.com")
    store_seller_and_purchases(records, purchase)
    spoofed = a_mail(
        f"Refund {purchase.reference}",
        sender="ada@example.com",
        header="Reply-To: mallory@example.net\r\nAuthentication-Results: mx.moneyback.example; dkim=pass; dmarc=pass",
    )
    ingest(records, spoofed)
    with records.work() as work:
        (trusted,) = work.run("select trusted from cases").scalars()
        (evidence,) = work.run("select evidence from inbound_mails").scalars()
        (case,) = work.case_views.search()
    assert not trusted
    assert case.email == email.utils.parseaddr("ada@example.com")[1]
    assert evidence.keys() == {"digest", "dkim"}
    assert evidence["dkim"] == "none"
