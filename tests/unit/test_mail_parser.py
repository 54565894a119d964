"""Tests of the mail parser. The file labels.json in tests/mails contains the expected result for every mail in that folder."""

import json
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from domain.refund_reasons import RefundReason
from domain.requests import RefundRequest, RefundScope
from producers.mail.html_text import html_to_text
from producers.mail.intent import asks, detect_language, reason_of, refund_scope_of
from producers.mail.mail_text import split
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.parser import MAX_READ_BYTES, MAX_SIZE, read
from producers.mail.reason_patterns import REASONS
from producers.mail.references import find
from producers.mail.request_sentences import mentions_refund
from producers.mail.sentences import fold_text
from tests.fuzz import MAX_CPU_SECONDS
from tests.mails.mail_texts import TEXTS

MAILS = Path(__file__).parent.parent / "mails"
LABELS: dict[str, dict[str, Any]] = json.loads((MAILS / "labels.json").read_text())
OUR_ADDRESSES = ["refunds@moneyback.example"]
MAIL_TEMPLATE = b"From: Ada <ada@example.com>\nSubject: Refund\nMessage-ID: <1@example.com>\n%s\n%s"


def requested(raw: bytes) -> RefundRequest:
    mail = read(raw, moneyback_addresses=OUR_ADDRESSES)
    assert mail.kind is MailKind.REQUEST, mail
    (request,) = mail.requests
    return request


@pytest.mark.parametrize("name", LABELS)
def test_a_mail_is_parsed_as_its_label_says(name: str) -> None:
    label = dict(LABELS[name])
    mail = read((MAILS / f"{name}.eml").read_bytes(), moneyback_addresses=OUR_ADDRESSES)
    assert mail.kind == label.pop("kind")
    assert mail.requests_refund is label.pop("requests_refund", False)
    assert [request.reference for request in mail.requests] == label.pop("references", [])
    fields = {"reason", "refund_scope", "email", "comment"} & label.keys()
    for request in mail.requests:
        assert {name: getattr(request, name) for name in fields} == {name: label[name] for name in fields}
        assert label.get("never", "\0") not in request.comment
    assert mail.locale == label.get("locale", "en")
    assert (mail.bounced_email.name if mail.bounced_email else None) == label.get("returned")


def test_every_mail_has_a_label() -> None:
    assert {path.stem for path in MAILS.glob("*.eml")} == LABELS.keys()
    assert len(LABELS) >= 200
    assert len({name.partition("--")[0] for name in LABELS}) >= 40


def test_refund_requests_are_recognised_in_every_language() -> None:
    for texts in TEXTS.values():
        assert all(asks(request.text) for request in (*texts.requests, texts.request_without_reference))
        assert asks(texts.short_request)
        assert not asks(texts.thanks)
        assert not asks(texts.question)


def test_the_language_of_a_text_is_detected() -> None:
    assert {detect_language(request.text) for texts in TEXTS.values() for request in texts.requests} == TEXTS.keys()
    assert detect_language("MB-2026-0417") is None


@settings(deadline=None)
@given(st.binary(max_size=2_000))
@example(b"")
@example(b"From: \xff@\xff\n\n")
@example(b"From: a@b.example\nContent-Type: text/plain; charset=\x00\n\nMB-2026-0417")
@example(b"From: a@b.example\nContent-Type: multipart/mixed; boundary=\n\nMB-2026-0417")
def test_any_bytes_are_parsed(raw: bytes) -> None:
    assert isinstance(read(raw), ParsedMail)


_LINES = st.sampled_from(
    [
        b"From: Ada <ada@example.com>",
        b"From: =?utf-8?b?////?= <@>",
        b"Subject: =?utf-7?q?+AGE-?= MB-2026-0417",
        b"Message-ID: <\xe9@x>",
        b"Content-Type: multipart/mixed; boundary=x",
        b"Content-Type: message/rfc822",
        b"Content-Type: text/html; charset=idna",
        b"Content-Type: text/plain; charset*0*=undefined",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: x-uuencode",
        b"Content-Disposition: inline; filename*=utf-8''%ff",
        b"--x",
        b"--x--",
        b"",
        b"On Monday Ada wrote:",
        b"> Reference: MB-2026-0417",
        b"<blockquote><!-- <p>order MB-2026-0418",
        b"begin 644 x",
        b"\x00\xff=ZZ=3D",
    ]
)


@settings(deadline=None)
@given(st.lists(_LINES | st.binary(max_size=20), max_size=25))
def test_any_lines_of_a_mail_are_parsed(lines: list[bytes]) -> None:
    assert isinstance(read(b"\n".join(lines)), ParsedMail)


@settings(deadline=None)
@given(st.text(max_size=500))
def test_a_reference_is_found_whatever_text_follows(customer_text: str) -> None:
    """The parser finds the reference. The comment of each request has at most 4,000 characters.

    A text with words about refunds may say that the refund was already made, so that the mail is no request.
    """
    assume(not mentions_refund(fold_text(customer_text)))
    text = f"Reference number: MB-2026-0417\n\n{customer_text}".encode("utf-8", "surrogatepass")
    mail = read(MAIL_TEMPLATE % (b"Content-Type: text/plain; charset=utf-8\n", text))
    assert mail.kind in {MailKind.REQUEST, MailKind.TOO_MANY}
    assert all(len(request.comment) <= 4_000 for request in mail.requests)


def test_a_too_large_mail_has_a_sender_and_no_request() -> None:
    mail = read(MAIL_TEMPLATE % (b"", b"MB-2026-0417 "), size=MAX_SIZE + 1)
    assert (mail.kind, mail.sender, mail.requests) == (MailKind.TOO_LARGE, "ada@example.com", ())


def test_a_too_large_mail_of_a_mailing_list_is_recognised() -> None:
    assert read(MAIL_TEMPLATE % (b"Precedence: list\n", b""), size=MAX_SIZE + 1).kind is MailKind.LIST


def test_the_beginning_of_a_large_mail_is_parsed() -> None:
    assert requested(MAIL_TEMPLATE % (b"", b"MB-2026-0417\n" + b"x\n" * MAX_READ_BYTES)).reference == "MB-2026-0417"


@pytest.mark.parametrize("part", [b"--x\n\n", b"--x\nContent-Type: multipart/mixed; boundary=x\n\n"])
def test_a_mail_with_a_thousand_parts_is_unreadable(part: bytes) -> None:
    assert (
        read(MAIL_TEMPLATE % (b"Content-Type: multipart/mixed; boundary=x\n", part * 1_000)).kind is MailKind.UNREADABLE
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [b"", b"Content-Type: text/html\n"])
@pytest.mark.parametrize(
    "piece",
    [b" ", b"4 ", b"order ", b"order 1 ", b"On a wrote:\n", b"<", b"> a\n", b"a@", b"2026-06-15 ", b"4111-", b"&#1"],
)
def test_a_malicious_mail_is_parsed_in_time(piece: bytes, kind: bytes) -> None:
    raw = MAIL_TEMPLATE % (kind, piece * (MAX_READ_BYTES // len(piece)))
    began = thread_time()
    read(raw)
    assert thread_time() - began < MAX_CPU_SECONDS


@pytest.mark.parametrize("name", [b"From", b"Subject", b"Content-Type"])
def test_a_mail_with_a_very_long_header_is_not_a_refund_request(name: bytes) -> None:
    assert read(name + b": " + b'=?utf-8?q?"a?= ' * 30_000 + b"\n\nx").kind is not MailKind.REQUEST


def test_a_long_comment_is_cut_to_4000_characters() -> None:
    assert len(requested(MAIL_TEMPLATE % (b"", b"MB-2026-0417 " + b"please " * 2_000)).comment) <= 4_000


def test_the_message_id_is_read() -> None:
    assert read(MAIL_TEMPLATE % (b"", b"MB-2026-0417")).message_id == "<1@example.com>"


@pytest.mark.parametrize("name", [b"", b"<>", b"\xe9\xff@x", b"<" + b"x" * 300 + b"@x>"])
def test_a_mail_without_a_valid_message_id_gets_a_hash_as_its_id(name: bytes) -> None:
    first, second = (
        (MAIL_TEMPLATE % (b"", text)).replace(b"<1@example.com>", name)
        for text in (b"MB-2026-0417", b"MB-2026-0417 please")
    )
    assert read(first).message_id.startswith("sha256:")
    assert read(first).message_id == read(b"Received: from a by b\n" + first).message_id != read(second).message_id


def test_a_quotation_is_not_part_of_the_comment() -> None:
    comment = requested((MAILS / "reply_top_posted.eml").read_bytes()).comment
    assert comment == "Hi, I am not satisfied and want a refund. Order MB-2026-0417"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Referenznummer lautet MB-2026-0417.", "MB-2026-0417"),
        ("référence : MB-2026-0417", "MB-2026-0417"),
        ("N° de commande: 4711-22", "4711-22"),
        ("cleverbridge reference number 12345678", "12345678"),
        ("Ref. no.: 55 12", None),
        ("my order (MB-2026-0417)", "MB-2026-0417"),
        ("[#MB-2026-0417]", "MB-2026-0417"),
        ("order MB-2026-0417,please", "MB-2026-0417"),
        ("Auftrags-Nr. = A12", "A12"),
        ("invoice number 2026/000123", "2026/000123"),
        ("I ordered 2 licences, 14-day trial, COVID-19, Windows-11, A4-2", None),
        ("call +49 171 55544332 or 0171/55544332", None),
        ("on 2026-06-15 at 10:30 for 1.299,00 EUR", None),
        ("ticket #12345678", None),
        ("error code 0x80070643", None),
        ("write to ada-123456@example.com", None),
        ("card 4111 1111 1111 1111 or 5500005555555559", None),
        ("the order of 2026-06-15", None),
        ("order number: 2026-06-15", None),
    ],
)
def test_references_are_found_in_a_text(text: str, reference: str | None) -> None:
    assert find(text) == ([reference] if reference else [])


def test_several_references_after_one_label_are_found() -> None:
    assert find("Order numbers: MB-2026-0417, MB-2026-0418 and MB-2026-0419") == [
        "MB-2026-0417",
        "MB-2026-0418",
        "MB-2026-0419",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I was charged twice for this.", RefundReason.DUPLICATE_ORDER),
        ("Ich habe versehentlich doppelt bestellt.", RefundReason.DUPLICATE_ORDER),
        ("The key never arrived.", RefundReason.NOT_DELIVERED),
        ("Ich habe keine E-Mail mit dem Schlüssel erhalten.", RefundReason.NOT_DELIVERED),
        ("Your helpdesk did not answer.", RefundReason.POOR_SUPPORT),
        ("Der Kundendienst ist eine Katastrophe, sehr schlecht.", RefundReason.POOR_SUPPORT),
        ("I cancelled last year and was charged again.", RefundReason.UNWANTED_RENEWAL),
        ("Die automatische Verlängerung wollte ich nicht.", RefundReason.UNWANTED_RENEWAL),
        ("I bought the wrong version.", RefundReason.WRONG_PRODUCT),
        ("Leider falsch bestellt.", RefundReason.WRONG_PRODUCT),
        ("It won’t install on my Mac.", RefundReason.TECHNICAL_ISSUE),
        ("I don't like it.", RefundReason.DISSATISFIED),
        ("Das Programm startet nicht.", RefundReason.TECHNICAL_ISSUE),
        ("It is not what I expected.", RefundReason.DISSATISFIED),
        ("Ich bin enttäuscht.", RefundReason.DISSATISFIED),
        ("My cat walked over the keyboard.", RefundReason.OTHER),
        ("", RefundReason.OTHER),
    ],
)
def test_the_refund_reason_is_recognised(text: str, reason: RefundReason) -> None:
    assert reason_of(text) is reason


def test_every_refund_reason_has_a_pattern() -> None:
    assert {reason for reason, _ in REASONS} == set(RefundReason) - {RefundReason.OTHER}


def test_a_price_including_vat_does_not_request_a_vat_refund() -> None:
    assert refund_scope_of("I paid 49.00 EUR including VAT and want it back.") is RefundScope.FULL


def test_a_reason_in_the_body_is_preferred_to_a_reason_in_the_subject() -> None:
    assert reason_of("It does not start.", "Re: Your renewal") is RefundReason.TECHNICAL_ISSUE


@pytest.mark.parametrize(
    "page",
    [
        "<p>1 < 2</p>",
        "<p>1 &lt; 2</p>",
        "<!-- <p>no</p> --><p>1 &#60; 2",
        "<style>p{}</style><div>1 &lt; 2</div><script>if (a<b) x('</p>')</script>",
    ],
)
def test_html_is_converted_to_its_visible_text(page: str) -> None:
    assert html_to_text(page) == "1 < 2"


def test_a_blockquote_is_a_quotation() -> None:
    assert split(html_to_text("<p>New</p><blockquote><p>Old</p></blockquote><p>Newer</p>")).quoted == "Old"


@settings(deadline=None)
@given(st.text(alphabet="<>!-/abscriptyle&#; \n'\"=", max_size=300))
def test_any_html_is_converted_to_text(page: str) -> None:
    assert isinstance(html_to_text(page), str)
