"""Replies to e-mails about cases that are with support: answers of the customer, and mails that answer nothing."""

from collections.abc import Sequence
from dataclasses import replace
from email.message import EmailMessage
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.purchases import Purchase
from domain.states import State
from producers.mail.ingest import MAX_ANSWERS, MailIngest, Outcome, RawMail
from producers.mail.parsed_mail import MailKind
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from tests.integration._mail_fixtures import OWN_ADDRESSES, count_cases
from tests.integration._question_fixtures import (
    QUESTION,
    a_case_with_question,
    answers,
    ask,
    close,
    round_emails,
    view_of,
)
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

ADA, EVE = "ada@example.com", "eve@example.net"
TEXT = "I mean the second licence. The first one works."
QUOTED = "\n".join(f"> {line}" for line in ("We have a question about your request", "", QUESTION, "", "-- ", "Aurora"))
ATTRIBUTION = "On Mon, 1 Jun 2026 at 10:00, Moneyback <refunds@moneyback.example> wrote:"
_numbers = count(1)


@pytest.fixture
def purchase(records: Records) -> Purchase:
    """Store a seller, and return Ada's purchase."""
    store_seller_and_purchases(records)
    return a_recent_purchase(email=ADA, reference="MB-2026-0417")


@pytest.fixture
def case(records: Records, purchase: Purchase) -> UUID:
    """Return a case with an open question for Ada."""
    return a_case_with_question(records, purchase)


def letter_of(case: UUID, name: str = "question.3") -> str:
    """Return the Message-ID of an e-mail about a case."""
    return f"<{case}.{name}@moneyback.example>"


def a_reply(text: str, *message_ids: str, sender: str = ADA, **changes: Any) -> EmailMessage:
    """Return a reply to the last of these messages. ``changes`` are headers, with underscores instead of dashes."""
    mail = EmailMessage()
    headers = {
        "From": f"Ada <{sender}>",
        "Message-ID": f"<reply{next(_numbers)}@example.com>",
        "Subject": "Re: A question about your refund request",
        "In-Reply-To": message_ids[-1],
        "References": " ".join(message_ids),
    }
    for name, value in {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}.items():
        mail[name] = value
    mail.set_content(text)
    return mail


def ingest(records: Records, *mails: EmailMessage) -> list[Outcome]:
    raw_mails = [RawMail(mail.as_bytes(), len(mail.as_bytes())) for mail in mails]

    def no_dns(_name: str) -> str | None:
        raise TimeoutError

    outcomes = MailIngest(OWN_ADDRESSES, SenderAuthenticator(no_dns)).take(records, raw_mails)
    assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]


def is_flagged(records: Records, mail: EmailMessage) -> bool:
    """Ingest a mail, and return whether it is flagged for support."""
    return ingest(records, mail)[0].flagged


def linked_cases(records: Records) -> list[list[UUID]]:
    """Return the cases of each received mail."""
    with records.work() as work:
        return list(work.run("select case_ids from inbound_mails order by received_at, message_id").scalars())


def inquiry_emails(records: Records) -> int:
    with records.work() as work:
        return int(work.run("select count(*) from inquiry_emails").scalar_one())


# Answers

WRITTEN: dict[str, str] = {
    "above the quotation": f"{TEXT}\n\n{ATTRIBUTION}\n{QUOTED}",
    "below the quotation": f"{ATTRIBUTION}\n{QUOTED}\n\n{TEXT}",
    "without a quotation": TEXT,
    "with a signature": f"{TEXT}\n\n-- \nAda Lovelace\nAnalytical Engines Ltd\n",
    "above Outlook's header": f"{TEXT}\n\n________________________________\nFrom: Moneyback <refunds@moneyback.example>\n"
    f"Sent: Monday\nTo: Ada\nSubject: A question\n\n{QUESTION}",
    "above a German quotation": f"{TEXT}\n\nAm 01.06.2026 um 10:00 schrieb Moneyback:\n{QUOTED}",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_the_new_text_of_a_reply_is_the_answer(records: Records, case: UUID, text: str) -> None:
    assert ingest(records, a_reply(text, letter_of(case))) == [
        Outcome(MailKind.NOT_A_REQUEST, fresh=True, flagged=False)
    ]
    assert answers(records, case) == [("email", TEXT)]
    assert linked_cases(records) == [[case]]
    assert round_emails(records, case) == ["question", "answer_received"]
    assert not view_of(records, case).awaits_answer
    assert (count_cases(records), inquiry_emails(records)) == (1, 0)


def test_text_between_the_quoted_lines_is_the_answer(records: Records, case: UUID) -> None:
    text = f"{ATTRIBUTION}\n> Which licence?\nThe second.\n> In which country do you live?\nIn Portugal."
    ingest(records, a_reply(text, letter_of(case)))
    assert answers(records, case) == [("email", "The second.\nIn Portugal.")]


def test_a_reply_in_html_only_is_an_answer(records: Records, case: UUID) -> None:
    mail = a_reply("", letter_of(case))
    mail.set_content(
        f"<p>The <b>second</b> one.</p><blockquote type='cite'><p>{QUESTION}</p></blockquote>", subtype="html"
    )
    ingest(records, mail)
    ((_, text),) = answers(records, case)
    assert text == "The second one."


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "shift_jis"])
def test_a_japanese_reply_is_an_answer(records: Records, case: UUID, charset: str) -> None:
    mail = a_reply("", letter_of(case), Subject="Re: お申し込みについて")
    mail.set_content(
        "2つ目のライセンスです。よろしくお願いします。\n\n2026年6月1日(月) 10:00 Moneyback <refunds@moneyback.example>:\n\n"
        "> どちらですか。\n",
        charset=charset,
    )
    ingest(records, mail)
    assert answers(records, case) == [("email", "2つ目のライセンスです。よろしくお願いします。")]


def test_the_names_of_attachments_are_part_of_the_answer_and_logos_are_not(records: Records, case: UUID) -> None:
    mail = a_reply("Here is the receipt.", letter_of(case))
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="receipt 4711.pdf")
    mail.add_attachment(
        b"GIF", maintype="image", subtype="gif", filename="logo.gif", disposition="inline", cid="<logo@x>"
    )
    ingest(records, mail)
    assert answers(records, case) == [("email", "Here is the receipt.\n\nAttachments: receipt 4711.pdf")]


def test_only_an_attachment_is_an_answer(records: Records, case: UUID) -> None:
    mail = a_reply(f"\n\n{ATTRIBUTION}\n{QUOTED}", letter_of(case))
    mail.add_attachment(b"JPEG", maintype="image", subtype="jpeg", filename="screenshot.jpg")
    assert not is_flagged(records, mail)
    assert answers(records, case) == [("email", "Attachments: screenshot.jpg")]


def test_a_mail_that_arrives_twice_is_one_answer(records: Records, case: UUID) -> None:
    mail = a_reply(TEXT, letter_of(case))
    assert [outcome.fresh for outcome in (*ingest(records, mail, mail), *ingest(records, mail))].count(True) == 1
    assert answers(records, case) == [("email", TEXT)]


def test_a_second_reply_is_stored_without_an_open_question(records: Records, case: UUID) -> None:
    first, second = a_reply("The second.", letter_of(case)), a_reply("Thanks!", letter_of(case, "answer_received.4"))
    assert [outcome.flagged for outcome in ingest(records, first, second)] == [False, False]
    assert [text for _, text in answers(records, case)] == ["The second.", "Thanks!"]
    assert round_emails(records, case) == ["question", "answer_received", "answer_received"]


@pytest.mark.parametrize("letter", ["with_support", "start_refund", "withdrawal_received", "question.12"])
def test_a_reply_to_any_letter_of_the_case_is_stored(records: Records, purchase: Purchase, letter: str) -> None:
    case = a_case(records, State.WITH_SUPPORT, purchase=purchase)  # support asked nothing
    assert not is_flagged(records, a_reply("I also reinstalled it.", letter_of(case, letter)))
    assert answers(records, case) == [("email", "I also reinstalled it.")]


@pytest.mark.parametrize(
    "text",
    ["It's order MB-2026-0417.", "Please refund MB-2026-0417, as I wrote.", "I just want my money back!"],
    ids=["only the reference", "the request again", "no reference"],
)
def test_a_reply_that_asks_again_for_the_same_purchase_is_an_answer(records: Records, case: UUID, text: str) -> None:
    assert not is_flagged(records, a_reply(text, letter_of(case)))
    assert answers(records, case) == [("email", text)]
    assert (count_cases(records), inquiry_emails(records)) == (1, 0)


def test_a_request_for_another_purchase_in_a_reply_is_also_a_case(records: Records, case: UUID) -> None:
    store_seller_and_purchases(records, a_recent_purchase(email=ADA, reference="MB-2026-0999"))
    text = "The second licence. And please refund my order MB-2026-0999, too."
    assert ingest(records, a_reply(text, letter_of(case))) == [Outcome(MailKind.REQUEST, fresh=True, flagged=False)]
    assert answers(records, case) == [("email", text)]
    ((linked, new_case),) = linked_cases(records)
    assert (linked, view_of(records, new_case).reference) == (case, "MB-2026-0999")


@pytest.mark.parametrize(
    "text",
    [
        "I don't want the refund any more, I keep it.",
        "I will ask my lawyer about this.",
        "Ich möchte die Erstattung nicht mehr.",
    ],
)
def test_a_reply_that_support_must_read_anyway_is_flagged_and_stored(records: Records, case: UUID, text: str) -> None:
    assert is_flagged(records, a_reply(text, letter_of(case)))
    assert answers(records, case) == [("email", text)]


def test_the_sender_may_spell_the_address_differently(records: Records, case: UUID) -> None:
    assert not is_flagged(records, a_reply(TEXT, letter_of(case), sender="Ada@Example.COM"))
    assert answers(records, case) == [("email", TEXT)]


def test_a_card_number_in_a_reply_is_not_stored(records: Records, case: UUID) -> None:
    ingest(records, a_reply("My card is 4242 4242 4242 4242.", letter_of(case)))
    ((_, text),) = answers(records, case)
    assert "4242 4242" not in text


def test_a_long_reply_is_cut_and_keeps_the_names_of_its_attachments(records: Records, case: UUID) -> None:
    mail = a_reply("word " * 3000, letter_of(case))
    mail.add_attachment(b"x", maintype="application", subtype="pdf", filename="a.pdf")
    ingest(records, mail)
    ((_, text),) = answers(records, case)
    assert len(text) <= 4_000
    assert text.endswith("Attachments: a.pdf")


def test_the_evidence_about_the_sender_of_an_answer_is_stored(records: Records, case: UUID) -> None:
    ingest(records, a_reply(TEXT, letter_of(case)))
    with records.work() as work:
        (evidence,) = work.run("select evidence from inbound_mails").scalars()
    assert evidence["dkim"] == "none"


# No answers


@pytest.mark.parametrize("sender", [EVE, "ada@example.net", "ada+2@example.com"])
def test_another_sender_answers_nothing_and_support_reads_the_mail_with_the_case(
    records: Records, case: UUID, sender: str
) -> None:
    assert is_flagged(records, a_reply(TEXT, letter_of(case), sender=sender))
    assert (answers(records, case), linked_cases(records)) == ([], [[case]])
    assert view_of(records, case).awaits_answer
    with records.work() as work:
        task = work.run("select case_id, evidence from support_tasks where kind = 'flagged_mail'").one()
    assert (task.case_id, task.evidence["mail_kind"]) == (case, "not_a_request")


def test_a_reply_to_a_letter_of_another_customers_case_answers_nothing(records: Records, case: UUID) -> None:
    eves_case = a_case_with_question(records, a_recent_purchase(email=EVE))
    assert is_flagged(records, a_reply(TEXT, letter_of(eves_case)))
    assert (answers(records, case), answers(records, eves_case)) == ([], [])


def test_a_reply_belongs_to_the_case_of_the_newest_letter(records: Records, case: UUID) -> None:
    other = a_case_with_question(records, a_recent_purchase(email=ADA, reference="MB-2026-0999"))
    ingest(records, a_reply(TEXT, letter_of(case), letter_of(other)))
    assert (answers(records, case), answers(records, other)) == ([], [("email", TEXT)])


@pytest.mark.parametrize(
    "text", ["", f"\n\n{ATTRIBUTION}\n{QUOTED}", "-- \nAda Lovelace"], ids=["empty", "quotation", "signature"]
)
def test_a_reply_without_text_leaves_the_question_open(records: Records, case: UUID, text: str) -> None:
    if text.startswith("--"):
        text = f"\n{text}"
    assert is_flagged(records, a_reply(text, letter_of(case)))
    assert (answers(records, case), linked_cases(records)) == ([], [[case]])
    assert view_of(records, case).awaits_answer


AUTOMATIC: Sequence[dict[str, str]] = (
    {"Auto_Submitted": "auto-replied"},
    {"Subject": "Automatic reply: A question about your refund request"},
    {"Subject": "Abwesenheitsnotiz: Re: Frage"},
    {"X_Autoreply": "yes"},
    {"Precedence": "bulk"},
    {"List_Id": "<all.example.com>"},
)


@pytest.mark.parametrize("headers", AUTOMATIC, ids=str)
def test_an_automatic_reply_answers_nothing(records: Records, case: UUID, headers: dict[str, str]) -> None:
    assert not is_flagged(records, a_reply("I am away until Monday.", letter_of(case), **headers))
    assert answers(records, case) == []
    assert view_of(records, case).awaits_answer


def test_a_bounce_of_the_question_answers_nothing_and_creates_a_task(records: Records, case: UUID) -> None:
    with records.work() as work:
        (due,) = [email for email in work.case_emails.claim([case], seconds=60) if email.kind == "question"]
    bounce = a_reply(
        f"The address does not exist.\n\nMessage-ID: {letter_of(case, due.name)}\n",
        letter_of(case, due.name),
        sender="mailer-daemon@example.com",
    )
    assert ingest(records, bounce)[0].kind is MailKind.BOUNCE
    assert answers(records, case) == []
    with records.work() as work:
        assert work.run("select count(*) from support_tasks where kind = 'email_bounced'").scalar_one() == 1


def test_a_reply_after_support_closed_the_case_is_flagged(records: Records, case: UUID) -> None:
    close(records, case)
    before = view_of(records, case)
    assert is_flagged(records, a_reply(TEXT, letter_of(case)))
    assert answers(records, case) == []
    after = view_of(records, case)
    assert after == replace(before, read_at=after.read_at)


@pytest.mark.parametrize("state", [State.APPROVED, State.REFUNDED, State.AWAITING_CONFIRMATION, State.EXPIRED])
def test_a_reply_about_a_case_that_is_not_with_support_is_flagged(
    records: Records, purchase: Purchase, state: State
) -> None:
    case = a_case(records, state, purchase=purchase)
    assert is_flagged(records, a_reply("Thank you!", letter_of(case, "approved.3")))
    assert answers(records, case) == []


def test_a_letter_of_an_unknown_case_is_answered_by_nobody(records: Records, case: UUID) -> None:
    assert is_flagged(records, a_reply(TEXT, letter_of(uuid4())))
    assert answers(records, case) == []


def test_a_forwarded_request_of_a_colleague_answers_nothing(records: Records, case: UUID, purchase: Purchase) -> None:
    text = f"Please help her.\n\n---------- Forwarded message ---------\nFrom: Ada <{ADA}>\nSubject: Refund\n\n"
    mail = a_reply(f"{text}Please refund {purchase.reference}.", letter_of(case), sender=EVE, Subject="Fwd: Refund")
    ingest(records, mail)
    assert answers(records, case) == []


# Limits


def test_above_the_daily_limit_an_answer_is_stored_and_not_acknowledged(records: Records, case: UUID) -> None:
    for number in range(MAX_ANSWERS + 2):
        assert not is_flagged(records, a_reply(f"Answer {number}", letter_of(case)))
    assert len(answers(records, case)) == MAX_ANSWERS + 2
    assert round_emails(records, case).count("answer_received") == MAX_ANSWERS


def test_a_question_after_an_answer_is_open_again(records: Records, case: UUID) -> None:
    ingest(records, a_reply(TEXT, letter_of(case)))
    ask(records, case, "And where do you live?")
    assert view_of(records, case).awaits_answer
    ingest(records, a_reply("In Portugal.", letter_of(case, "question.5")))
    assert not view_of(records, case).awaits_answer
    assert round_emails(records, case) == ["question", "answer_received", "question", "answer_received"]


def test_answers_to_several_cases_in_one_batch_are_all_stored(records: Records, case: UUID) -> None:
    other = a_case_with_question(records, a_recent_purchase(email=EVE))
    mails = [
        a_reply("One.", letter_of(case)),
        a_reply("Two.", letter_of(other), sender=EVE),
        a_reply("Three.", letter_of(case)),
    ]
    assert not any(outcome.flagged for outcome in ingest(records, *mails))
    assert answers(records, case) == [("email", "One."), ("email", "Three.")]
    assert answers(records, other) == [("email", "Two.")]
