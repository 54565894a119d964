"""Every letter says what it may, to the one address it may be said to, and nothing a stranger put in."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from mailbox import Maildir
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as some
from pydantic import SecretStr

from config.i18n import LANGUAGES, translator_for
from config.settings import Settings
from config.signed_links import Purpose
from domain.emails import EmailKind
from domain.errors import MoneybackError, NotPossibleError, UnreadableError
from domain.reason_codes import ReasonCode
from domain.states import State
from records.case_emails import DueEmail
from tests.sample_emails import CASE, LINKS, SENDER, STATES, WITH_PURCHASE, a_letter, a_view, bodies
from worker.emails import EmailNotSentError, MaildirTransport, SmtpTransport, is_current, mail_transport_for, render
from worker.emails.case_copy import DEFAULT_REASON, EMAILS, QUESTIONS
from worker.emails.headers import one_line
from worker.mail_transport import as_bytes, file_name

patient = trying(deadline=None)  # the first letter reads the templates and the catalogue


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("stage", EmailKind)
def test_every_letter_is_whole_in_every_language(stage: EmailKind, language: str) -> None:
    letter = a_letter(stage, locale=language, refund_scope="vat")
    text, html = bodies(letter)
    heading = translator_for(language).gettext(EMAILS[stage].heading)
    assert text.startswith(heading)
    assert f">{heading}</h1>" in html
    assert f'<html lang="{language}">' in html
    assert letter["Content-Language"] == language
    body = html.split("<body", 1)[1]
    assert "{" not in text + body + letter["Subject"]
    assert "%(" not in text + body + letter["Subject"]
    for link in filter(None, (EMAILS[stage].button, EMAILS[stage].link)):
        assert translator_for(language).gettext(link[0]) in text
        assert f">{translator_for(language).gettext(link[0])}</a>" in html
    assert text.count("https://") == html.count('href="https://') == len(set(re.findall(r"https://\S+", text)))
    assert str(CASE) in text


def test_no_letter_fetches_anything() -> None:
    for stage in EmailKind:
        html = bodies(a_letter(stage))[1]
        assert not re.search(r"<img|<link|<script|url\(|@import|src=", html)


@pytest.mark.parametrize("stage", WITH_PURCHASE)
def test_letters_about_a_purchase_go_to_its_own_address_only(stage: EmailKind) -> None:
    letter = a_letter(stage)
    assert letter["To"] == "ada@example.com"
    assert letter["Cc"] is None
    assert letter["Bcc"] is None
    assert "asked@example.net" not in letter.as_string()
    assert "MB-2026-0417" in letter["Subject"]


def test_where_no_purchase_was_found_the_answer_goes_to_who_asked_and_quotes_nothing() -> None:
    letter = a_letter(EmailKind.NOT_FOUND)
    text, html = bodies(letter)
    assert letter["To"] == "asked@example.net"
    assert "typed by whoever asked" not in text + html + letter["Subject"]
    assert "https://refunds.example/help/refund" in text
    assert 'href="https://refunds.example/help/refund"' in html


def test_who_withdrew_by_law_and_named_no_purchase_is_not_asked_to_ask_again() -> None:
    """The acknowledgement says that the day counts: this letter must not say that nothing came of it."""
    at = datetime(2026, 6, 15, 12, tzinfo=UTC)
    text, html = bodies(a_letter(EmailKind.NOT_FOUND, reference="MB-1", statement="I withdraw.", declared_at=at))
    assert "its date counts" in text
    assert "/help/refund" not in text + html
    assert LINKS.to(Purpose.STATUS, CASE) in text


@pytest.mark.parametrize("stage", WITH_PURCHASE)
def test_without_a_purchase_there_is_no_address_to_write_to(stage: EmailKind) -> None:
    with pytest.raises(UnreadableError):
        a_letter(stage, purchase_email=None)


@pytest.mark.parametrize("stage", EmailKind)
def test_every_letter_says_that_a_machine_sent_it_and_still_wants_to_know_when_it_comes_back(stage: EmailKind) -> None:
    letter = a_letter(stage)
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["X-Auto-Response-Suppress"] == "DR, RN, NRN, OOF, AutoReply"
    assert letter["In-Reply-To"] is letter["References"] is letter["Precedence"] is letter["List-Id"] is None
    assert letter["From"] == SENDER
    assert letter["Date"].datetime.tzinfo is not None


ASKED = "<CAF+long." + "x" * 150 + "@mail.example.net>"


def test_a_letter_that_answers_a_mail_says_which() -> None:
    arrived = message_from_bytes(as_bytes(a_letter(EmailKind.START_REFUND, thread=ASKED)), policy=policy.default)
    assert arrived["Auto-Submitted"] == "auto-replied"
    assert arrived["In-Reply-To"] == arrived["References"] == ASKED


def test_later_letters_stand_in_the_same_thread() -> None:
    letter = a_letter(EmailKind.REFUNDED, EmailKind.START_REFUND, EmailKind.ACCEPTED, thread=ASKED)
    raw = as_bytes(letter)
    first, second = (f"<{CASE}.{stage}@moneyback.example>" for stage in (EmailKind.START_REFUND, EmailKind.ACCEPTED))
    assert f"In-Reply-To: {second}\n".encode() in raw
    assert f"References: {ASKED}\n {first}\n {second}\n".encode() in raw
    assert letter["Auto-Submitted"] == "auto-generated"


@patient
@given(some.text(max_size=300))
def test_what_is_no_message_id_starts_no_thread(thread: str) -> None:
    letter = a_letter(EmailKind.START_REFUND, thread=f"<{thread}>\r\nBcc: <all@example.com>")
    assert letter["In-Reply-To"] is letter["References"] is None
    assert b"Bcc" not in as_bytes(letter)


def test_the_same_letter_has_the_same_message_id() -> None:
    first, again, other = a_letter(EmailKind.REFUNDED), a_letter(EmailKind.REFUNDED), a_letter(EmailKind.WITH_SUPPORT)
    assert first["Message-ID"] == again["Message-ID"] == f"<{CASE}.refunded@moneyback.example>"
    assert other["Message-ID"] != first["Message-ID"]


def test_start_refund_has_the_link_that_confirms_and_says_what_it_means() -> None:
    text, html = bodies(a_letter(EmailKind.START_REFUND))
    for link in (LINKS.to(Purpose.CONFIRM, CASE), LINKS.to(Purpose.STATUS, CASE)):
        assert link in text
        assert f'href="{link}"' in html
    for fact in ("€49.00", "Aurora Photo 4", "MB-2026-0417", "Aurora Software", "can’t be undone", "ends"):
        assert fact in text
        assert fact in html


@pytest.mark.parametrize("stage", sorted(set(EmailKind) - {EmailKind.START_REFUND}))
def test_no_other_letter_can_confirm(stage: EmailKind) -> None:
    assert "/confirm/" not in "".join(bodies(a_letter(stage)))


FIRST = UUID("00000000-0000-4000-8000-000000000001")


def joined(first: EmailKind, **changes: Any) -> EmailMessage:
    """The letter of a request that joined another, which stands where it got this letter."""
    due = DueEmail(CASE, EmailKind.ALREADY_REQUESTED, refund="re_1", joined=FIRST)
    there = a_view(first, id=FIRST, **changes)
    return render(due, a_view(EmailKind.ALREADY_REQUESTED, locale="de"), LINKS, SENDER, first=there)


def test_whoever_asks_again_because_the_letter_got_lost_gets_its_link_again() -> None:
    letter = joined(EmailKind.START_REFUND)
    assert LINKS.to(Purpose.CONFIRM, FIRST) in bodies(letter)[0]
    assert LINKS.to(Purpose.CONFIRM, CASE) not in bodies(letter)[0]
    assert letter["Message-ID"] != a_letter(EmailKind.START_REFUND)["Message-ID"]
    assert letter["Content-Language"] == "de"


@pytest.mark.parametrize("stage", [EmailKind.ACCEPTED, EmailKind.REFUNDED, EmailKind.WITH_SUPPORT])
def test_whoever_asks_again_is_told_how_the_first_request_stands(stage: EmailKind) -> None:
    text, _ = bodies(joined(stage))
    assert LINKS.to(Purpose.STATUS, FIRST) in text or str(FIRST) in text
    assert joined(stage)["Subject"] == a_letter(stage, locale="de")["Subject"]


def test_while_the_first_request_goes_on_by_itself_the_next_is_told_so() -> None:
    said = translator_for("de").gettext(EMAILS[EmailKind.ALREADY_REQUESTED].heading)
    assert said in bodies(joined(EmailKind.START_REFUND, state=State.APPROVED))[0]


def test_an_accepted_refund_is_not_called_paid() -> None:
    text, _ = bodies(a_letter(EmailKind.ACCEPTED))
    assert "hasn’t paid it yet" in text
    assert "sent" not in a_letter(EmailKind.ACCEPTED)["Subject"]


@pytest.mark.parametrize("stage", EmailKind)
def test_a_letter_is_written_only_while_it_is_true(stage: EmailKind) -> None:
    for state in State:
        if state is STATES.get(stage, state):
            assert is_current(stage, state)
            continue
        assert not is_current(stage, state)
        with pytest.raises(NotPossibleError):
            a_letter(stage, state=state)


def test_the_customer_reads_the_reasons_that_are_theirs_to_know() -> None:
    reasons = [
        {"rule": "within_window", "code": "outside_window", "detail": "internal"},
        {"rule": "not_serial", "code": "serial_refunds", "detail": "internal"},
        {"rule": "policy_allows", "code": "no_policy", "detail": ""},
        {"rule": "self_service_on", "code": "self_service_off", "detail": ""},
        {"rule": "of_tomorrow", "code": "unheard_of", "detail": "internal"},
    ]
    text, html = bodies(a_letter(EmailKind.WITH_SUPPORT, reasons=reasons))
    assert text.count(ReasonCode.OUTSIDE_WINDOW.customer or "") == 1
    assert text.count(ReasonCode.NO_POLICY.customer or "") == 1
    assert html.count("<li>") == 2
    assert "internal" not in text + html
    assert ReasonCode.SERIAL_REFUNDS.support not in text
    assert str(CASE) in text
    assert "help@aurora.example" in text


@pytest.mark.parametrize("reasons", [[], [{"code": "serial_refunds"}], [{"rule": "x"}], [{"code": "unheard_of"}]])
def test_a_reason_that_is_not_for_the_customer_is_some_reason(reasons: list[dict[str, str]]) -> None:
    assert f"- {DEFAULT_REASON}\n" in bodies(a_letter(EmailKind.WITH_SUPPORT, reasons=reasons))[0]


@pytest.mark.parametrize("changes", [{"amount": None}, {"currency": None}, {"currency": "XXX"}])
def test_an_unknown_amount_is_not_guessed(changes: dict[str, Any]) -> None:
    text, _ = bodies(a_letter(EmailKind.ACCEPTED, **changes))
    assert "your refund of the full amount" in text


@pytest.mark.parametrize("stage", EmailKind)
def test_a_case_about_which_little_is_known_gets_a_whole_letter(stage: EmailKind) -> None:
    little = {"seller_name": None, "support_email": None, "product": None, "amount": None, "purchase_reference": None}
    text, html = bodies(a_letter(stage, **little))
    assert "None" not in text + html


@pytest.mark.parametrize("stage", WITH_PURCHASE)
def test_no_name_becomes_html(stage: EmailKind) -> None:
    evil = "<script>alert('1')</script>{case}{{ 7*7 }}\"&"
    words = {"product": evil, "purchase_reference": evil, "seller_name": evil, "support_email": evil}
    text, html = bodies(a_letter(stage, **words))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert evil in text


@patient
@given(some.text(max_size=300))
def test_no_name_becomes_a_header(words: str) -> None:
    letter = a_letter(EmailKind.REFUNDED, product=words, purchase_reference=f"{words}\r\nBcc: all@example.com")
    arrived = message_from_bytes(as_bytes(letter), policy=policy.default)
    assert set(arrived.keys()) == {
        "From", "To", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language", "Subject",
        "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert arrived["To"] == "ada@example.com"


def test_the_receipt_of_a_withdrawal_says_what_was_declared_by_whom_and_when_to_who_declared_it() -> None:
    letter = a_letter(
        EmailKind.WITHDRAWAL_RECEIVED, reference="MB 1", statement="I withdraw.\n\u202eNow\x00.", state=State.REFUNDED
    )
    text, html = bodies(letter)
    assert letter["To"] == "asked@example.net"
    for line in (
        "Received: 15 June 2026, 12:00 UTC",
        "Name: Ada L.",
        "Contract: MB 1",
        "Email address: asked@example.net",
    ):
        assert f"{line}\n" in text
    assert "Withdrawal statement: I withdraw.\nNow .\n" in text
    assert "I withdraw.\nNow .</dd>" in html
    assert "15 June 2026, 14:00 UTC" not in text
    assert "Aurora Photo 4" not in text + html


def test_an_instant_without_a_known_seller_is_told_in_utc() -> None:
    assert "15 June 2026, 12:00 UTC" in bodies(a_letter(EmailKind.WITHDRAWAL_RECEIVED, time_zone=None))[0]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("credit_card", "5 to 10 business days"),
        ("paypal", "PayPal balance"),
        ("shells", "depends on your bank"),
        (None, "depends"),
    ],
)
def test_a_refund_that_was_paid_is_to_be_expected_as_it_was_paid_for(method: str | None, words: str) -> None:
    assert words in bodies(a_letter(EmailKind.REFUNDED, method=method))[0]


def test_a_refund_that_was_paid_is_named_as_the_provider_names_it() -> None:
    assert "Refund ID: re_417\n" in bodies(a_letter(EmailKind.REFUNDED, refund="re_417"))[0]
    assert "Refund ID" not in bodies(a_letter(EmailKind.REFUNDED))[0]


def test_support_asks_for_what_a_partial_wish_left_open() -> None:
    assert QUESTIONS["vat"] in bodies(a_letter(EmailKind.WITH_SUPPORT, refund_scope="vat"))[0]
    assert QUESTIONS["partial"] in bodies(a_letter(EmailKind.WITH_SUPPORT, refund_scope="partial"))[0]
    assert (
        QUESTIONS["partial"]
        not in bodies(a_letter(EmailKind.WITH_SUPPORT, refund_scope="partial", answers={"amount": "10"}))[0]
    )


@patient
@given(some.text(max_size=300))
def test_one_line_is_one_line(words: str) -> None:
    assert one_line(words).isprintable()
    assert len(one_line(words)) <= 200


@pytest.mark.parametrize(
    "address",
    ["", " ", "ada", "@", "ada@", "@example.com", "a@b.example\nBcc: c@d.example", "a@b.example, c@d.example", "a b@c.example",
     "ü@b.example\r\nBcc: c@d.example", "ü,c@d.example", "ü@", "<ada@example.com>"],
)  # fmt: skip
def test_what_is_no_address_gets_no_letter(address: str) -> None:
    with pytest.raises(UnreadableError):
        a_letter(EmailKind.REFUNDED, purchase_email=address)


@patient
@given(some.text(max_size=40))
def test_any_address_gets_one_letter_or_none(address: str) -> None:
    try:
        letter = a_letter(EmailKind.REFUNDED, purchase_email=address)
    except UnreadableError:
        return
    assert len(message_from_bytes(as_bytes(letter), policy=policy.default)["To"].addresses) == 1


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (" Ada@Example.com ", "Ada@Example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("adä@bücher.example", "adä@xn--bcher-kva.example"),
        ('"ada l"@example.com', '"ada l"@example.com'),
    ],
)
def test_unusual_addresses_arrive(written: str, sent: str) -> None:
    raw = as_bytes(a_letter(EmailKind.REFUNDED, purchase_email=written))
    assert f"To: {sent}\n".encode() in raw


@pytest.mark.parametrize("sender", ["", "nobody", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example"])
def test_a_sender_that_is_none_is_told_to_the_operator(sender: str) -> None:
    with pytest.raises(UnreadableError, match="MONEYBACK_MAIL_FROM"):
        render(DueEmail(CASE, EmailKind.REFUNDED), a_view(EmailKind.REFUNDED), LINKS, sender)


def test_a_letter_delivered_twice_is_one_file(tmp_path: Path) -> None:
    post = MaildirTransport(tmp_path / "outbox")
    assert post.repeatable
    for stage in (EmailKind.START_REFUND, EmailKind.START_REFUND, EmailKind.REFUNDED):
        post.deliver(a_letter(stage))
    letters = list(Maildir(tmp_path / "outbox"))
    assert sorted(letter["Message-ID"].partition(".")[2] for letter in letters) == [
        "refunded@moneyback.example>",
        "start_refund@moneyback.example>",
    ]
    assert not list((tmp_path / "outbox" / "tmp").iterdir())


def test_a_letter_that_was_read_is_replaced_where_it_is(tmp_path: Path) -> None:
    post = MaildirTransport(tmp_path)
    post.deliver(a_letter(EmailKind.REFUNDED))
    (new,) = (tmp_path / "new").iterdir()
    new.rename(tmp_path / "cur" / f"{new.name}:2,S")
    post.deliver(a_letter(EmailKind.REFUNDED))
    assert not list((tmp_path / "new").iterdir())
    assert len(list((tmp_path / "cur").iterdir())) == 1


def test_a_letter_that_cannot_be_kept_was_not_sent(tmp_path: Path) -> None:
    post = MaildirTransport(tmp_path)
    (tmp_path / "tmp").rmdir()
    with pytest.raises(EmailNotSentError):
        post.deliver(a_letter(EmailKind.REFUNDED))
    assert not list((tmp_path / "new").iterdir())


def test_a_file_name_is_one_of_a_maildir() -> None:
    names = [
        file_name(name) for name in ("<a/../b@c>", "<a:2,S@c>", "<.hidden@c>", "<a@c>", "<" + "a" * 300 + "@c>", "<>")
    ]
    assert len(set(names)) == len(names)
    assert all(name.replace("@", "").replace(".", "").isalnum() and len(name) <= 200 for name in names)


def settings(**values: Any) -> Settings:
    return Settings(
        database_url=SecretStr("postgresql://nowhere/none"),
        broker_url=SecretStr("memory://"),
        secret_key=SecretStr("only for tests, and long enough to sign with"),
        **values,
    )


def test_smtp_comes_before_a_folder(tmp_path: Path) -> None:
    assert isinstance(
        mail_transport_for(settings(smtp_url="smtp://mail.example", sent_mail_dir=tmp_path)), SmtpTransport
    )
    assert isinstance(mail_transport_for(settings(sent_mail_dir=tmp_path)), MaildirTransport)


def test_no_way_out_is_said_in_a_sentence() -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_SMTP_URL"):
        mail_transport_for(settings())


@pytest.mark.parametrize("url", ["", "http://mail.example", "smtp://", "smtp://mail.example:port", "mail.example:25"])
def test_a_wrong_smtp_url_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_SMTP_URL"):
        SmtpTransport(url)
