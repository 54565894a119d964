"""Case e-mails: their contents, their only recipient, and the escaping of customers' input."""

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
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.i18n import LANGUAGES, translator_for
from config.signed_links import Purpose
from domain import case_numbers
from domain.case_payments import CasePayment
from domain.emails import EmailKind
from domain.errors import MoneybackError, NotPossibleError, UnreadableError
from domain.money import Money
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus
from domain.refund_timing import DEFAULT_ARRIVAL
from domain.states import State
from records.case_emails import DueEmail
from tests.sample_emails import CASE, LINKS, SENDER, STATES, WITH_PURCHASE, a_case_view, an_email, bodies
from tests.services import offline_settings
from worker.emails import EmailNotSentError, MaildirTransport, SmtpTransport, is_current, mail_transport_for, render
from worker.emails.case_copy import DEFAULT_REASON, EMAILS, FOUND_LATER, QUESTIONS
from worker.emails.headers import one_line
from worker.mail_transport import as_bytes, file_name

ALSO_TRUE_IN = {EmailKind.APPROVED: {State.REFUNDING, State.WAITING_FOR_APPROVAL}}
"""The states after the state in which an e-mail is due. Its text is still true in these states."""

# The first e-mail is slow, because the templates and a translation catalogue are loaded.
no_deadline = hypothesis_settings(deadline=None)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", EmailKind)
def test_every_email_is_complete_in_every_language(kind: EmailKind, language: str) -> None:
    email = an_email(kind, locale=language, refund_scope="vat")
    text, html = bodies(email)
    heading = translator_for(language).gettext(EMAILS[kind].heading)
    assert text.startswith(heading)
    assert f">{heading}</h1>" in html
    assert f'<html lang="{language}">' in html
    assert email["Content-Language"] == language
    body = html.split("<body", 1)[1]
    assert "{" not in text + body + email["Subject"]
    assert "%(" not in text + body + email["Subject"]
    for link in filter(None, (EMAILS[kind].button, EMAILS[kind].link)):
        assert translator_for(language).gettext(link[0]) in text
        assert f">{translator_for(language).gettext(link[0])}</a>" in html
    assert text.count("https://") == html.count('href="https://') == len(set(re.findall(r"https://\S+", text)))
    assert case_numbers.EXAMPLE in text
    assert str(CASE) not in text


def test_no_email_loads_external_content() -> None:
    for kind in EmailKind:
        html = bodies(an_email(kind))[1]
        assert not re.search(r"<img|<link|<script|url\(|@import|src=", html)


@pytest.mark.parametrize("kind", WITH_PURCHASE)
def test_an_email_about_a_purchase_goes_only_to_the_address_of_the_purchase(kind: EmailKind) -> None:
    email = an_email(kind)
    assert email["To"] == "ada@example.com"
    assert email["Cc"] is None
    assert email["Bcc"] is None
    assert "requester@example.net" not in email.as_string()
    assert "MB-2026-0417" in email["Subject"]


def test_without_a_purchase_the_requester_gets_an_email_without_the_text_of_the_request() -> None:
    email = an_email(EmailKind.NOT_FOUND)
    text, html = bodies(email)
    assert email["To"] == "requester@example.net"
    assert "typed by the requester" not in text + html + email["Subject"]
    assert "https://refunds.example/help/refund" in text
    assert 'href="https://refunds.example/help/refund"' in html


def test_a_statutory_withdrawal_without_a_purchase_needs_no_second_request() -> None:
    """The withdrawal counts from the day on which the customer sent it. So the e-mail must not ask for another request."""
    declared_at = datetime(2026, 6, 15, 12, tzinfo=UTC)
    text, html = bodies(
        an_email(EmailKind.NOT_FOUND, reference="MB-1", statement="I withdraw.", declared_at=declared_at)
    )
    assert "counts from the day you sent it" in text
    assert "/help/refund" not in text + html
    assert LINKS.to(Purpose.STATUS, CASE) in text


@pytest.mark.parametrize("kind", WITH_PURCHASE)
def test_an_email_about_a_purchase_needs_the_address_of_the_purchase(kind: EmailKind) -> None:
    with pytest.raises(UnreadableError):
        an_email(kind, purchase_email=None)


@pytest.mark.parametrize("kind", EmailKind)
def test_every_email_is_marked_as_automatic_and_suppresses_automatic_replies(kind: EmailKind) -> None:
    email = an_email(kind)
    assert email["Auto-Submitted"] == "auto-generated"
    assert email["X-Auto-Response-Suppress"] == "DR, RN, NRN, OOF, AutoReply"
    assert email["In-Reply-To"] is email["References"] is email["Precedence"] is email["List-Id"] is None
    assert email["From"] == SENDER
    assert email["Date"].datetime.tzinfo is not None


MESSAGE_ID = "<CAF+long." + "x" * 150 + "@mail.example.net>"


def test_an_email_that_answers_a_mail_names_the_message_id_of_the_mail() -> None:
    parsed = message_from_bytes(as_bytes(an_email(EmailKind.START_REFUND, thread=MESSAGE_ID)), policy=policy.default)
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["In-Reply-To"] == parsed["References"] == MESSAGE_ID


def test_later_emails_belong_to_the_same_thread() -> None:
    email = an_email(EmailKind.REFUNDED, EmailKind.START_REFUND, EmailKind.ACCEPTED, thread=MESSAGE_ID)
    raw = as_bytes(email)
    first, second = (f"<{CASE}.{kind}@moneyback.example>" for kind in (EmailKind.START_REFUND, EmailKind.ACCEPTED))
    assert f"In-Reply-To: {second}\n".encode() in raw
    assert f"References: {MESSAGE_ID}\n {first}\n {second}\n".encode() in raw
    assert email["Auto-Submitted"] == "auto-generated"


@no_deadline
@given(st.text(max_size=300))
def test_an_invalid_message_id_starts_no_thread(thread: str) -> None:
    email = an_email(EmailKind.START_REFUND, thread=f"<{thread}>\r\nBcc: <all@example.com>")
    assert email["In-Reply-To"] is email["References"] is None
    assert b"Bcc" not in as_bytes(email)


def test_the_same_email_has_the_same_message_id() -> None:
    first, again, other = an_email(EmailKind.REFUNDED), an_email(EmailKind.REFUNDED), an_email(EmailKind.WITH_SUPPORT)
    assert first["Message-ID"] == again["Message-ID"] == f"<{CASE}.refunded@moneyback.example>"
    assert other["Message-ID"] != first["Message-ID"]


def test_the_start_refund_email_contains_and_explains_the_confirmation_link() -> None:
    text, html = bodies(an_email(EmailKind.START_REFUND))
    for link in (LINKS.to(Purpose.CONFIRM, CASE), LINKS.to(Purpose.STATUS, CASE)):
        assert link in text
        assert f'href="{link}"' in html
    for fact in ("€49.00", "Aurora Photo 4", "MB-2026-0417", "Aurora Software", "can’t be undone", "ends"):
        assert fact in text
        assert fact in html


@pytest.mark.parametrize("kind", sorted(set(EmailKind) - {EmailKind.START_REFUND}))
def test_only_the_start_refund_email_has_a_confirmation_link(kind: EmailKind) -> None:
    assert "/confirm/" not in "".join(bodies(an_email(kind)))


FIRST_CASE = UUID("00000000-0000-4000-8000-000000000001")


def duplicate_email(first_kind: EmailKind, **changes: Any) -> EmailMessage:
    """Return the e-mail that answers a duplicate request. The last e-mail about the first case had the kind `first_kind`."""
    due = DueEmail(CASE, EmailKind.ALREADY_REQUESTED, refund="re_1", joined=FIRST_CASE)
    first_view = a_case_view(first_kind, id=FIRST_CASE, **changes)
    return render(due, a_case_view(EmailKind.ALREADY_REQUESTED, locale="de"), LINKS, SENDER, first=first_view)


def test_the_email_after_a_duplicate_request_has_the_confirmation_link_of_the_first_case() -> None:
    email = duplicate_email(EmailKind.START_REFUND)
    assert LINKS.to(Purpose.CONFIRM, FIRST_CASE) in bodies(email)[0]
    assert LINKS.to(Purpose.CONFIRM, CASE) not in bodies(email)[0]
    assert email["Message-ID"] != an_email(EmailKind.START_REFUND)["Message-ID"]
    assert email["Content-Language"] == "de"


@pytest.mark.parametrize("kind", [EmailKind.ACCEPTED, EmailKind.REFUNDED, EmailKind.WITH_SUPPORT])
def test_the_email_after_a_duplicate_request_has_the_status_of_the_first_case(kind: EmailKind) -> None:
    text, _ = bodies(duplicate_email(kind))
    assert LINKS.to(Purpose.STATUS, FIRST_CASE) in text or str(FIRST_CASE) in text
    assert duplicate_email(kind)["Subject"] == an_email(kind, locale="de")["Subject"]


def test_the_email_after_a_duplicate_request_says_that_the_first_case_is_in_progress() -> None:
    heading = translator_for("de").gettext(EMAILS[EmailKind.ALREADY_REQUESTED].heading)
    assert heading in bodies(duplicate_email(EmailKind.START_REFUND, state=State.APPROVED))[0]


def test_an_accepted_refund_is_not_called_paid() -> None:
    text, _ = bodies(an_email(EmailKind.ACCEPTED))
    assert "hasn’t paid it yet" in text
    assert "sent" not in an_email(EmailKind.ACCEPTED)["Subject"]


@pytest.mark.parametrize("kind", EmailKind)
def test_an_email_is_rendered_only_in_a_state_in_which_its_text_is_true(kind: EmailKind) -> None:
    for state in State:
        if state is STATES.get(kind, state) or state in ALSO_TRUE_IN.get(kind, ()):
            assert is_current(kind, state)
            continue
        assert not is_current(kind, state)
        with pytest.raises(NotPossibleError):
            an_email(kind, state=state)


def test_the_customer_reads_only_the_reasons_for_customers() -> None:
    reasons = [
        {"rule": "within_window", "code": "outside_window", "detail": "internal"},
        {"rule": "not_serial", "code": "serial_refunds", "detail": "internal"},
        {"rule": "policy_allows", "code": "no_policy", "detail": ""},
        {"rule": "self_service_on", "code": "self_service_off", "detail": ""},
        {"rule": "later_rule", "code": "unknown_code", "detail": "internal"},
    ]
    text, html = bodies(an_email(EmailKind.WITH_SUPPORT, reasons=reasons))
    assert text.count(ReasonCode.OUTSIDE_WINDOW.customer or "") == 1
    assert text.count(ReasonCode.NO_POLICY.customer or "") == 1
    assert html.count("<li>") == 2
    assert "internal" not in text + html
    assert ReasonCode.SERIAL_REFUNDS.support not in text
    assert case_numbers.EXAMPLE in text
    assert "help@aurora.example" in text


@pytest.mark.parametrize("reasons", [[], [{"code": "serial_refunds"}], [{"rule": "x"}], [{"code": "unknown_code"}]])
def test_without_a_reason_for_customers_the_default_reason_is_shown(reasons: list[dict[str, str]]) -> None:
    assert f"- {DEFAULT_REASON}\n" in bodies(an_email(EmailKind.WITH_SUPPORT, reasons=reasons))[0]


@pytest.mark.parametrize("changes", [{"amount": None}, {"currency": None}, {"currency": "XXX"}])
def test_an_unknown_amount_is_called_the_full_amount(changes: dict[str, Any]) -> None:
    text, _ = bodies(an_email(EmailKind.ACCEPTED, **changes))
    assert "your refund of the full amount" in text


@pytest.mark.parametrize("kind", EmailKind)
def test_an_email_is_complete_without_the_optional_facts(kind: EmailKind) -> None:
    unknown = {"seller_name": None, "support_email": None, "product": None, "amount": None, "purchase_reference": None}
    text, html = bodies(an_email(kind, **unknown))
    assert "None" not in text + html


@pytest.mark.parametrize("kind", WITH_PURCHASE)
def test_values_are_escaped_in_html(kind: EmailKind) -> None:
    markup = "<script>alert('1')</script>{case}{{ 7*7 }}\"&"
    values = dict.fromkeys(("product", "purchase_reference", "seller_name", "support_email"), markup)
    text, html = bodies(an_email(kind, **values))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert markup in text


@no_deadline
@given(st.text(max_size=300))
def test_a_value_cannot_add_a_header(value: str) -> None:
    email = an_email(EmailKind.REFUNDED, product=value, purchase_reference=f"{value}\r\nBcc: all@example.com")
    parsed = message_from_bytes(as_bytes(email), policy=policy.default)
    assert set(parsed.keys()) == {
        "From", "To", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language", "Subject",
        "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert parsed["To"] == "ada@example.com"


def test_the_email_about_a_received_withdrawal_repeats_the_declaration() -> None:
    email = an_email(
        EmailKind.WITHDRAWAL_RECEIVED, reference="MB 1", statement="I withdraw.\n\u202eNow\x00.", state=State.REFUNDED
    )
    text, html = bodies(email)
    assert email["To"] == "requester@example.net"
    for line in (
        "Received: 15 June 2026, 12:00 UTC",
        "Name: Ada L.",
        "Contract: MB 1",
        "Email address: requester@example.net",
    ):
        assert f"{line}\n" in text
    assert "Withdrawal statement: I withdraw.\nNow .\n" in text
    assert "I withdraw.\nNow .</dd>" in html
    assert "15 June 2026, 14:00 UTC" not in text
    assert "Aurora Photo 4" not in text + html


def test_times_are_in_utc_if_the_time_zone_of_the_seller_is_unknown() -> None:
    assert "15 June 2026, 12:00 UTC" in bodies(an_email(EmailKind.WITHDRAWAL_RECEIVED, time_zone=None))[0]


@pytest.mark.parametrize(
    ("method", "arrival"),
    [
        ("credit_card", "5 to 10 business days"),
        ("paypal", "PayPal balance"),
        ("shells", "depends on your bank"),
        (None, "depends"),
    ],
)
def test_the_arrival_of_a_refund_depends_on_the_payment_method(method: str | None, arrival: str) -> None:
    assert arrival in bodies(an_email(EmailKind.REFUNDED, method=method))[0]


def test_the_email_about_a_paid_refund_shows_the_refund_id_of_the_provider() -> None:
    assert "Refund ID: re_417\n" in bodies(an_email(EmailKind.REFUNDED, refund="re_417"))[0]
    assert "Refund ID" not in bodies(an_email(EmailKind.REFUNDED))[0]


def test_the_with_support_email_asks_for_missing_details() -> None:
    assert QUESTIONS["vat"] in bodies(an_email(EmailKind.WITH_SUPPORT, refund_scope="vat"))[0]
    assert QUESTIONS["partial"] in bodies(an_email(EmailKind.WITH_SUPPORT, refund_scope="partial"))[0]
    assert (
        QUESTIONS["partial"]
        not in bodies(an_email(EmailKind.WITH_SUPPORT, refund_scope="partial", answers={"amount": "10"}))[0]
    )


@no_deadline
@given(st.text(max_size=300))
def test_one_line_returns_one_short_printable_line(text: str) -> None:
    assert one_line(text).isprintable()
    assert len(one_line(text)) <= 200


@pytest.mark.parametrize(
    "address",
    ["", " ", "ada", "@", "ada@", "@example.com", "a@b.example\nBcc: c@d.example", "a@b.example, c@d.example", "a b@c.example",
     "ü@b.example\r\nBcc: c@d.example", "ü,c@d.example", "ü@", "<ada@example.com>"],
)  # fmt: skip
def test_an_invalid_address_gets_no_email(address: str) -> None:
    with pytest.raises(UnreadableError):
        an_email(EmailKind.REFUNDED, purchase_email=address)


@no_deadline
@given(st.text(max_size=40))
def test_an_email_has_at_most_one_recipient(address: str) -> None:
    try:
        email = an_email(EmailKind.REFUNDED, purchase_email=address)
    except UnreadableError:
        return
    assert len(message_from_bytes(as_bytes(email), policy=policy.default)["To"].addresses) == 1


@pytest.mark.parametrize(
    ("address", "encoded"),
    [
        (" Ada@Example.com ", "Ada@Example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("adä@bücher.example", "adä@xn--bcher-kva.example"),
        ('"ada l"@example.com', '"ada l"@example.com'),
    ],
)
def test_an_unusual_address_is_encoded(address: str, encoded: str) -> None:
    raw = as_bytes(an_email(EmailKind.REFUNDED, purchase_email=address))
    assert f"To: {encoded}\n".encode() in raw


@pytest.mark.parametrize("sender", ["", "nobody", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example"])
def test_an_invalid_sender_is_an_error_that_names_the_setting(sender: str) -> None:
    with pytest.raises(UnreadableError, match="MONEYBACK_MAIL_FROM"):
        render(DueEmail(CASE, EmailKind.REFUNDED), a_case_view(EmailKind.REFUNDED), LINKS, sender)


def test_an_email_that_is_delivered_twice_is_stored_once(tmp_path: Path) -> None:
    transport = MaildirTransport(tmp_path / "outbox")
    assert transport.repeatable
    for kind in (EmailKind.START_REFUND, EmailKind.START_REFUND, EmailKind.REFUNDED):
        transport.deliver(an_email(kind))
    emails = list(Maildir(tmp_path / "outbox"))
    assert sorted(email["Message-ID"].partition(".")[2] for email in emails) == [
        "refunded@moneyback.example>",
        "start_refund@moneyback.example>",
    ]
    assert not list((tmp_path / "outbox" / "tmp").iterdir())


def test_an_email_that_is_marked_as_read_is_replaced_and_stays_marked(tmp_path: Path) -> None:
    transport = MaildirTransport(tmp_path)
    transport.deliver(an_email(EmailKind.REFUNDED))
    (new,) = (tmp_path / "new").iterdir()
    new.rename(tmp_path / "cur" / f"{new.name}:2,S")
    transport.deliver(an_email(EmailKind.REFUNDED))
    assert not list((tmp_path / "new").iterdir())
    assert len(list((tmp_path / "cur").iterdir())) == 1


def test_an_email_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    transport = MaildirTransport(tmp_path)
    (tmp_path / "tmp").rmdir()
    with pytest.raises(EmailNotSentError):
        transport.deliver(an_email(EmailKind.REFUNDED))
    assert not list((tmp_path / "new").iterdir())


def test_every_message_id_has_a_different_valid_file_name() -> None:
    names = [
        file_name(name) for name in ("<a/../b@c>", "<a:2,S@c>", "<.hidden@c>", "<a@c>", "<" + "a" * 300 + "@c>", "<>")
    ]
    assert len(set(names)) == len(names)
    assert all(name.replace("@", "").replace(".", "").isalnum() and len(name) <= 200 for name in names)


def test_smtp_is_preferred_to_a_mail_folder(tmp_path: Path) -> None:
    assert isinstance(
        mail_transport_for(offline_settings(smtp_url="smtp://mail.example", sent_mail_dir=tmp_path)), SmtpTransport
    )
    assert isinstance(mail_transport_for(offline_settings(sent_mail_dir=tmp_path)), MaildirTransport)


def test_settings_without_a_mail_transport_are_an_error() -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_SMTP_URL"):
        mail_transport_for(offline_settings())


@pytest.mark.parametrize("url", ["", "http://mail.example", "smtp://", "smtp://mail.example:port", "mail.example:25"])
def test_an_invalid_smtp_url_is_an_error_that_names_the_setting(url: str) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_SMTP_URL"):
        SmtpTransport(url)


# Situations in which the usual text would be wrong


def a_stripe_payment(**changes: Any) -> CasePayment:
    values: dict[str, Any] = {"provider": "stripe:aurora", "charge": "ch_1", "amount": 4900, "currency": "EUR"}
    return CasePayment(**values | {"method": "credit_card"} | changes)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("amount", [4900, 1, 1_234_567])
def test_an_email_names_the_provider_that_asks_where_to_send_the_money(language: str, amount: int) -> None:
    payment = a_stripe_payment(status=OperationStatus.PENDING, amount=amount)
    facts: dict[str, Any] = {"locale": language, "payments": (payment,)}
    text, html = bodies(an_email(EmailKind.ACCEPTED, customer_must_act=True, **facts))
    usual = bodies(an_email(EmailKind.ACCEPTED, **facts))[0]
    assert "Stripe" in text
    assert "Stripe" in html
    assert translator_for(language).money(Money(amount, "EUR")) in text
    assert "Stripe" not in usual
    for promise in EMAILS[EmailKind.ACCEPTED].before[1:]:
        assert translator_for(language).gettext(promise) in usual
        assert translator_for(language).gettext(promise) not in text


def test_an_email_about_an_accepted_refund_names_only_the_amount_that_was_accepted() -> None:
    payments = (
        a_stripe_payment(status=OperationStatus.PAID, amount=2000),
        a_stripe_payment(status=OperationStatus.PENDING, amount=2900),
    )
    assert "refund of €29.00 for" in bodies(an_email(EmailKind.ACCEPTED, payments=payments))[0]


def test_an_email_about_a_returned_refund_names_only_the_amount_that_came_back() -> None:
    payments = (
        a_stripe_payment(status=OperationStatus.FAILED, amount=2000),
        a_stripe_payment(status=OperationStatus.PAID, amount=2900),
    )
    assert "refund of €20.00 for" in bodies(an_email(EmailKind.RETURNED, payments=payments))[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refund_that_the_seller_cancelled_was_not_returned_by_the_bank(language: str) -> None:
    reasons = [{"code": ReasonCode.REFUND_CANCELLED.value}]
    email = an_email(EmailKind.RETURNED, reasons=reasons, locale=language)
    usual = an_email(EmailKind.RETURNED, reasons=[{"code": ReasonCode.RETURNED_BY_BANK.value}], locale=language)
    returned = translator_for(language).gettext(str(ReasonCode.RETURNED_BY_BANK.customer))
    assert returned in bodies(usual)[0]
    assert returned not in bodies(email)[0]
    assert email["Subject"] != usual["Subject"]


def test_an_email_about_a_different_amount_does_not_say_that_the_refund_failed() -> None:
    reasons = [{"code": ReasonCode.REFUND_DIFFERS.value}]
    text = bodies(an_email(EmailKind.WITH_SUPPORT, reasons=reasons))[0]
    assert "sent a refund with a different amount than we requested" in text
    assert "couldn’t complete" not in text


@pytest.mark.parametrize("kind", [EmailKind.WITH_SUPPORT, EmailKind.DECLINED])
@pytest.mark.parametrize("language", LANGUAGES)
def test_if_the_purchase_is_unknown_the_email_goes_to_the_requester_and_names_no_purchase(
    kind: EmailKind, language: str
) -> None:
    unknown = dict.fromkeys(("purchase", "purchase_email", "purchase_reference", "product"))
    reasons = [{"code": ReasonCode.AMBIGUOUS_REFERENCE.value}]
    email = an_email(kind, reasons=reasons, locale=language, payments=(), **unknown)
    text, html = bodies(email)
    assert email["To"] == "requester@example.net"
    assert "help@aurora.example" in text
    for secret in ("typed by the requester", "Aurora Photo", "{", "None"):
        assert secret not in text + html.split("<body", 1)[1] + email["Subject"]


@pytest.mark.parametrize("kind", [EmailKind.START_REFUND, EmailKind.ACCEPTED, EmailKind.REFUNDED, EmailKind.RETURNED])
def test_an_email_that_names_a_purchase_is_never_sent_without_a_purchase(kind: EmailKind) -> None:
    with pytest.raises(UnreadableError):
        an_email(kind, purchase=None, purchase_email=None)


@pytest.mark.parametrize("kind", [EmailKind.START_REFUND, EmailKind.WITH_SUPPORT, EmailKind.ALREADY_REQUESTED])
def test_only_the_email_right_after_not_found_says_that_the_purchase_was_found_later(kind: EmailKind) -> None:
    assert FOUND_LATER in bodies(an_email(kind, EmailKind.NOT_FOUND))[0]
    assert FOUND_LATER not in bodies(an_email(kind))[0]
    assert FOUND_LATER not in bodies(an_email(kind, EmailKind.NOT_FOUND, EmailKind.ACCEPTED))[0]


def test_the_answer_to_a_repeated_request_describes_the_situation_of_the_first_case() -> None:
    pending = (a_stripe_payment(status=OperationStatus.PENDING),)
    first = a_case_view(EmailKind.ACCEPTED, payments=pending, customer_must_act=True)
    due = DueEmail(CASE, EmailKind.ALREADY_REQUESTED, joined=CASE)
    email = render(due, a_case_view(EmailKind.ALREADY_REQUESTED), LINKS, SENDER, first=first)
    assert "Look for an email from Stripe." in bodies(email)[0]


def test_the_arrival_of_a_refund_in_parts_is_that_of_no_single_method() -> None:
    parts = (a_stripe_payment(), a_stripe_payment(method="paypal"))
    text = bodies(an_email(EmailKind.REFUNDED, payments=parts))[0]
    assert DEFAULT_ARRIVAL in text


A_PART: dict[str, Any] = {"amount": 1000, "is_approved": True}
"""Support approved the refund of 10 euros of a payment of 49 euros."""
SUPPORT_WROTE = "Our support team wrote:"
WITH_MESSAGE = sorted(kind for kind in EmailKind if EMAILS[kind].message)


def a_letter(kind: EmailKind, message: str = "", **changes: Any) -> EmailMessage:
    """Return the e-mail of a decision, with what the person of support wrote."""
    due = DueEmail(CASE, kind, decided_seq=7, message=message)
    return render(due, a_case_view(kind, **changes), LINKS, SENDER)


@pytest.mark.parametrize("kind", WITH_MESSAGE)
def test_what_support_wrote_is_quoted_as_text(kind: EmailKind) -> None:
    text, html = bodies(a_letter(kind, "Hello <b>Ada</b>,\n\nthe second one?"))
    assert "> Hello <b>Ada</b>,\n> the second one?\n" in text
    assert '<p style="margin:0 0 8px">Hello &lt;b&gt;Ada&lt;/b&gt;,</p>' in html
    assert (SUPPORT_WROTE in text) == (kind is not EmailKind.QUESTION)


@pytest.mark.parametrize("kind", sorted(set(EmailKind) - {EmailKind.QUESTION}))
def test_without_a_message_no_email_says_that_support_wrote(kind: EmailKind) -> None:
    text, html = bodies(a_letter(kind))
    assert SUPPORT_WROTE not in text + html
    assert "<blockquote" not in html


@pytest.mark.parametrize("kind", sorted(set(EmailKind) - set(WITH_MESSAGE)))
def test_what_support_wrote_is_only_in_the_emails_about_decisions(kind: EmailKind) -> None:
    assert "the second one" not in "".join(bodies(a_letter(kind, "the second one")))


def test_only_the_question_contains_the_link_to_answer() -> None:
    link = LINKS.to(Purpose.ANSWER, CASE)
    for kind in EmailKind:
        text, html = bodies(a_letter(kind, "Which one?", decided_event="support_asked"))
        assert (link in text) == (f'href="{link}"' in html) == (kind is EmailKind.QUESTION)


@pytest.mark.parametrize("kind", [EmailKind.APPROVED, EmailKind.ACCEPTED, EmailKind.REFUNDED])
def test_an_email_about_a_part_names_the_part_and_ends_no_licence(kind: EmailKind) -> None:
    email = a_letter(kind, **A_PART)
    text, _ = bodies(email)
    assert "partial refund" in email["Subject"]
    assert "€10.00" in text
    assert "your right to use" not in text
    assert "full amount" not in text
    assert ("€49.00" in text) == (kind is not EmailKind.ACCEPTED)


def test_an_approved_part_goes_back_and_not_the_full_amount() -> None:
    text, _ = bodies(a_letter(EmailKind.APPROVED, **A_PART))
    assert "€10.00 of the €49.00 you paid" in text
    assert "€10.00 goes back to your original payment method." in text


@pytest.mark.parametrize("amount", [4900, None])
def test_an_approved_full_refund_ends_the_licence(amount: int | None) -> None:
    email = a_letter(EmailKind.APPROVED, amount=amount, is_approved=True)
    text, _ = bodies(email)
    assert email["Subject"] == "Your refund for MB-2026-0417 was approved"
    assert "The full amount goes back to your original payment method." in text
    assert "your right to use Aurora Photo 4 ends" in text


def test_a_customer_who_must_act_for_a_part_reads_about_the_step() -> None:
    pending = (a_stripe_payment(amount=1000, status=OperationStatus.PENDING),)
    email = a_letter(EmailKind.ACCEPTED, payments=pending, is_approved=True, customer_must_act=True)
    assert "Look for an email from Stripe." in bodies(email)[0]


def test_a_refund_made_another_way_promises_no_payment_method_and_no_day() -> None:
    for kind in (EmailKind.REFUNDED_ELSEWHERE, EmailKind.REFUNDED):
        text, _ = bodies(a_letter(kind, decided_event="support_refunded_elsewhere"))
        assert "another way" in text
        assert "business days" not in text
        assert "confirmed your refund" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "kind", [EmailKind.QUESTION, EmailKind.ANSWER_RECEIVED, EmailKind.DECLINED, EmailKind.REFUNDED_ELSEWHERE]
)
def test_without_a_purchase_a_decision_is_reported_to_the_requester(kind: EmailKind, language: str) -> None:
    unknown = dict.fromkeys(("purchase", "purchase_email", "purchase_reference", "product"))
    email = a_letter(kind, "Hello", payments=(), locale=language, **unknown)
    text, _ = bodies(email)
    assert email["To"] == "requester@example.net"
    assert "{" not in text + email["Subject"]
    assert translator_for(language).gettext("your purchase") not in text + email["Subject"]


def test_a_repeated_request_with_an_open_question_points_to_the_question() -> None:
    first = a_case_view(EmailKind.WITH_SUPPORT, decided_event="support_asked")
    due = DueEmail(CASE, EmailKind.ALREADY_REQUESTED, joined=CASE)
    text, _ = bodies(render(due, a_case_view(EmailKind.ALREADY_REQUESTED), LINKS, SENDER, first=first))
    assert "emailed you a question" in text
    assert "/answer/" not in text
