"""What follows from inbound mail, on a real database: cases, inquiry e-mails, threads, limits, bounces, evidence."""

import email.utils
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from domain.emails import EmailKind
from domain.states import State
from producers.mail.ingest import MAX_ANSWERS, MailIngest, Outcome, RawMail
from producers.mail.parsed_mail import NEEDS_SUPPORT, MailKind
from producers.mail.parser import MAX_SIZE
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail, count_cases
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

MAILS = Path(__file__).parent.parent / "mails"


def nobody_answers(_name: str) -> str | None:
    raise TimeoutError


def take(records: Records, *mails: bytes, size: int | None = None) -> list[Outcome]:
    letters = [RawMail(raw, len(raw) if size is None else size) for raw in mails]
    outcomes = MailIngest(OWN_ADDRESSES, SenderAuthenticator(nobody_answers)).take(records, letters)
    assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]


def kinds(outcomes: Sequence[Outcome]) -> list[MailKind]:
    return [outcome.kind for outcome in outcomes]


def notes(records: Records) -> list[tuple[str, str, str]]:
    with records.work() as work:
        rows = work.run("select kind, email, locale, thread from inquiry_emails order by created_at, id")
        return [(row.kind, row.email, row.locale) for row in rows]


def the_cases(records: Records) -> list[UUID]:
    with records.work() as work:
        return list(work.run("select id from cases order by received_at, id").scalars())


def move(records: Records, case: UUID, state: State) -> None:
    with records.work() as work:
        work.run("update cases set state = :state where id = :id", state=state, id=case)


def in_reply(to: bytes) -> str:
    name = next(line for line in to.decode().splitlines() if line.startswith("Message-ID"))[12:]
    return f"In-Reply-To: {name}\nReferences: {name}".replace("\n", "\r\n")


def test_no_mail_of_the_collection_is_lost(records: Records) -> None:
    """Every one has a row, and is a case, or answered, or for a person, or a machine's."""
    mails = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]
    outcomes = [outcome for mail in mails for outcome in take(records, mail)]
    with records.work() as work:
        rows = {
            row.message_id: row
            for row in work.run("select message_id, kind, case_ids, inquiry_email_id from inbound_mails")
        }
    fresh = [outcome for outcome in outcomes if outcome.fresh]
    assert len(rows) == len(fresh)
    assert all(outcome.flagged for outcome in outcomes if outcome.kind in NEEDS_SUPPORT)
    followed = sum(bool(row.case_ids or row.inquiry_email_id) for row in rows.values())
    asking = [
        outcome for outcome in fresh if outcome.kind in {MailKind.REQUEST, MailKind.NO_REFERENCE, MailKind.TOO_LARGE}
    ]
    assert followed + sum(outcome.flagged for outcome in asking) >= len(asking)
    assert sum(outcome.kind is MailKind.REQUEST for outcome in outcomes) > 100


def test_a_mail_without_reference_is_answered_with_the_forms_link_in_its_language(records: Records) -> None:
    mail = a_mail("Ich möchte bitte mein Geld zurück.", sender="ada@example.com")
    assert take(records, mail) == [Outcome(MailKind.NO_REFERENCE, fresh=True, flagged=False)]
    assert notes(records) == [("no_reference", "ada@example.com", "de")]
    assert take(records, mail) == [Outcome(MailKind.NO_REFERENCE, fresh=False, flagged=False)]
    assert len(notes(records)) == 1


def test_a_thread_is_answered_once(records: Records) -> None:
    first = a_mail("I want my money back.", sender="ada@example.com")
    second = a_mail("Hello? I want my money back!", sender="ada@example.com", header=in_reply(first))
    assert [outcome.flagged for outcome in take(records, first, second)] == [False, True]
    assert len(notes(records)) == 1


def test_a_thread_with_the_same_reference_is_one_case(records: Records) -> None:
    first = a_mail(sender="ada@example.com")
    again = a_mail("And MB-2026-0417 please, thanks. Refund!", sender="ada@example.com", header=in_reply(first))
    other = a_mail("Please refund MB-2026-0418 too.", sender="ada@example.com", header=in_reply(first))
    stranger = a_mail(sender="mallory@example.com", header=in_reply(first))
    for mail in (first, again):
        take(records, mail)
    (case,) = the_cases(records)
    assert take(records, again)[0].fresh is False
    take(records, other)
    assert count_cases(records) == 2
    take(records, stranger)  # who knows a thread has no part in its case
    assert count_cases(records) == 3
    with records.work() as work:
        rows = work.run("select case_ids from inbound_mails order by received_at").scalars().all()
        (thread,) = work.run("select thread from cases where id = :id", id=case).scalars()
    assert rows[0] == rows[1] == [case]
    assert thread in first.decode()


def test_two_mails_of_a_thread_in_one_batch_are_one_case(records: Records) -> None:
    first = a_mail(sender="ada@example.com")
    take(records, first, a_mail(sender="ada@example.com", header=in_reply(first)))
    assert count_cases(records) == 1


def test_an_answer_to_our_letter_belongs_to_its_case(records: Records) -> None:
    take(records, a_mail(sender="ada@example.com"))
    (case,) = the_cases(records)
    move(records, case, State.WITH_SUPPORT)
    letter = f"<{case}.with_support@moneyback.example>"
    answer = a_mail("Please refund MB-2026-0417 now!", sender="ada@work.example", header=f"In-Reply-To: {letter}")
    assert take(records, answer) == [Outcome(MailKind.REQUEST, fresh=True, flagged=True)]
    assert the_cases(records) == [case]


def test_who_asks_again_when_the_link_was_too_old_asks_anew(records: Records) -> None:
    first = a_mail(sender="ada@example.com")
    take(records, first)
    move(records, the_cases(records)[0], State.EXPIRED)
    take(records, a_mail(sender="ada@example.com", header=in_reply(first)))
    assert count_cases(records) == 2


def test_each_purchase_of_a_mail_is_a_case(records: Records) -> None:
    mail = a_mail("Please refund MB-2026-0417 and MB-2026-0418.")
    take(records, mail)
    take(records, mail)
    assert count_cases(records) == 2
    nine = a_mail(f"Please refund {', '.join(f'MB-2026-{number}' for number in range(1000, 1009))}.")
    assert take(records, nine) == [Outcome(MailKind.TOO_MANY, fresh=True, flagged=True)]
    assert count_cases(records) == 2


def test_an_address_is_answered_so_often_a_day(records: Records) -> None:
    for number in range(MAX_ANSWERS):
        take(records, a_mail(f"Refund MB-2026-{1000 + number}", sender="ada@example.com"))
    assert take(records, a_mail("Refund MB-2026-2000", sender="Ada@example.com"))[0].flagged
    assert take(records, a_mail("I want my money back.", sender="ada@example.com"))[0].flagged
    assert (count_cases(records), notes(records)) == (MAX_ANSWERS, [])
    assert not take(records, a_mail(sender="bob@example.com"))[0].flagged
    with records.work() as work:
        work.run("update inbound_mails set received_at = received_at - interval '1 day'")
    assert not take(records, a_mail("Refund MB-2026-2001", sender="ada@example.com"))[0].flagged


def test_a_batch_counts_as_its_mails(records: Records) -> None:
    take(records, *(a_mail(f"Refund MB-2026-{number}", sender="ada@example.com") for number in range(1000, 1030)))
    assert count_cases(records) == MAX_ANSWERS


def test_a_huge_mail_is_answered_once(records: Records) -> None:
    mail = a_mail(sender="ada@example.com")
    assert take(records, mail, mail, size=MAX_SIZE + 1)[0] == Outcome(MailKind.TOO_LARGE, fresh=True, flagged=True)
    assert notes(records) == [("too_large", "ada@example.com", "en")]


@pytest.mark.parametrize(
    "head",
    [
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "List-Id: <a.example>",
        "Return-Path: <>",
        "X-Auto-Response-Suppress: All",
    ],
)
def test_a_machine_is_never_answered_and_a_person_looks_at_what_asks_for_money_all_the_same(
    records: Records, head: str
) -> None:
    """A group address or a shop's form passes customers' mails on under such a head."""
    mails = [a_mail(words, header=head) for words in ("I want my money back.", "Please refund MB-2026-0417.")]
    assert [outcome.flagged for outcome in take(records, *mails)] == [True, True]
    assert [outcome.flagged for outcome in take(records, *mails)] == [True, True]
    assert not take(records, a_mail("I am away until Monday.", subject="Away: Refund", header=head))[0].flagged
    assert (count_cases(records), notes(records)) == (0, [])


def test_our_own_letters_are_never_answered(records: Records) -> None:
    ours = a_mail(header="X: y").replace(
        b"Message-ID: <", b"Message-ID: <6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded@moneyback.example>\r\nX-Old: <"
    )
    assert kinds(take(records, ours, a_mail(sender=OWN_ADDRESSES[0]))) == [MailKind.OWN_EMAIL, MailKind.OWN_EMAIL]
    assert count_cases(records) == 0


def test_a_letter_that_came_back_is_told_to_a_person(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    take(records, a_mail(f"Refund {purchase.reference}", sender=purchase.email))
    (case,) = the_cases(records)
    with records.work() as work:
        work.case_emails.enqueue([(case, EmailKind.START_REFUND)])
        work.case_emails.mark_sent(work.case_emails.claim([case], seconds=60))
    report = (MAILS / "bounce_of_our_letter--0.eml").read_bytes()
    report = report.replace(b"6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded", f"{case}.start_refund".encode())
    assert kinds(take(records, report)) == [MailKind.BOUNCE]
    with records.work() as work:
        (bounced,) = work.run("select bounced_at from case_emails").scalars()
    assert bounced is not None


def test_an_invented_bounce_changes_nothing(records: Records) -> None:
    assert kinds(take(records, (MAILS / "bounce_of_our_letter--0.eml").read_bytes())) == [MailKind.BOUNCE]
    assert count_cases(records) == 0


def test_a_spoofed_mail_leads_to_the_customer_alone(records: Records) -> None:
    """Whoever wrote it: no trust, and the purchase's own address is where the question goes."""
    purchase = a_recent_purchase(email="ada@example.com")
    store_seller_and_purchases(records, purchase)
    forged = a_mail(
        f"Refund {purchase.reference}",
        sender="ada@example.com",
        header="Reply-To: mallory@example.net\r\nAuthentication-Results: mx.moneyback.example; dkim=pass; dmarc=pass",
    )
    take(records, forged)
    with records.work() as work:
        (trusted,) = work.run("select trusted from cases").scalars()
        (evidence,) = work.run("select evidence from inbound_mails").scalars()
        (case,) = work.case_views.search()
    assert not trusted
    assert case.email == email.utils.parseaddr("ada@example.com")[1]
    assert evidence.keys() == {"digest", "dkim"}
    assert evidence["dkim"] == "none"
