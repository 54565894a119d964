"""tests/mails/labels.json says of every mail beside it what is to be read out of it."""

import json
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from domain.refund_reasons import RefundReason
from domain.requests import RefundRequest, RefundScope
from producers.mail.html_text import html_to_text
from producers.mail.intent import asks, detect_language, reason_of, refund_scope_of
from producers.mail.mail_text import split
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.parser import MAX_READ_BYTES, MAX_SIZE, read
from producers.mail.reason_patterns import REASONS
from producers.mail.references import find
from tests.fuzz import MAX_CPU_SECONDS
from tests.mails.mail_texts import TEXTS

MAILS = Path(__file__).parent.parent / "mails"
LABELS: dict[str, dict[str, Any]] = json.loads((MAILS / "labels.json").read_text())
OURS = ["refunds@moneyback.example"]
SMALL = b"From: Ada <ada@example.com>\nSubject: Refund\nMessage-ID: <1@example.com>\n%s\n%s"


def requested(raw: bytes) -> RefundRequest:
    mail = read(raw, moneyback_addresses=OURS)
    assert mail.kind is MailKind.REQUEST, mail
    (request,) = mail.requests
    return request


@pytest.mark.parametrize("name", LABELS)
def test_a_mail_is_read_as_its_label_says(name: str) -> None:
    label = dict(LABELS[name])
    mail = read((MAILS / f"{name}.eml").read_bytes(), moneyback_addresses=OURS)
    assert mail.kind == label.pop("kind")
    assert mail.requests_refund is label.pop("asks", False)
    assert [request.reference for request in mail.requests] == label.pop("references", [])
    told = {"reason", "refund_scope", "email", "comment"} & label.keys()
    for request in mail.requests:
        assert {name: getattr(request, name) for name in told} == {name: label[name] for name in told}
        assert label.get("never", "\0") not in request.comment
    assert mail.locale == label.get("locale", "en")
    assert (mail.bounced_email.email_kind if mail.bounced_email else None) == label.get("returned")


def test_every_mail_has_its_label() -> None:
    assert {path.stem for path in MAILS.glob("*.eml")} == LABELS.keys()
    assert len(LABELS) >= 200
    assert len({name.partition("--")[0] for name in LABELS}) >= 40


def test_words_in_every_language_ask_for_the_money() -> None:
    for tongue in TEXTS.values():
        assert all(asks(said.text) for said in (*tongue.asks, tongue.asks_without))
        assert asks(tongue.short)
        assert not asks(tongue.thanks)
        assert not asks(tongue.question)


def test_the_language_of_words() -> None:
    assert {detect_language(said.text) for tongue in TEXTS.values() for said in tongue.asks} == TEXTS.keys()
    assert detect_language("MB-2026-0417") is None


@settings(deadline=None)
@given(some.binary(max_size=2_000))
@example(b"")
@example(b"From: \xff@\xff\n\n")
@example(b"From: a@b.example\nContent-Type: text/plain; charset=\x00\n\nMB-2026-0417")
@example(b"From: a@b.example\nContent-Type: multipart/mixed; boundary=\n\nMB-2026-0417")
def test_any_bytes_give_an_answer(raw: bytes) -> None:
    assert isinstance(read(raw), ParsedMail)


_LINES = some.sampled_from(
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
@given(some.lists(_LINES | some.binary(max_size=20), max_size=25))
def test_any_lines_of_a_mail_give_an_answer(lines: list[bytes]) -> None:
    assert isinstance(read(b"\n".join(lines)), ParsedMail)


@settings(deadline=None)
@given(some.text(max_size=500))
def test_any_words_of_a_customer_reach_the_case(words: str) -> None:
    """Whatever stands around it, a labelled reference is found, and the comment is one that a case can hold."""
    text = f"Reference number: MB-2026-0417\n\n{words}".encode("utf-8", "surrogatepass")
    mail = read(SMALL % (b"Content-Type: text/plain; charset=utf-8\n", text))
    assert mail.kind in {MailKind.REQUEST, MailKind.TOO_MANY}
    assert all(len(request.comment) <= 4_000 for request in mail.requests)


def test_a_huge_mail_is_answered_but_not_read() -> None:
    mail = read(SMALL % (b"", b"MB-2026-0417 "), size=MAX_SIZE + 1)
    assert (mail.kind, mail.sender, mail.requests) == (MailKind.TOO_LARGE, "ada@example.com", ())


def test_a_huge_mail_of_a_machine_is_a_machines() -> None:
    assert read(SMALL % (b"Precedence: list\n", b""), size=MAX_SIZE + 1).kind is MailKind.LIST


def test_of_a_large_mail_the_beginning_is_read() -> None:
    assert requested(SMALL % (b"", b"MB-2026-0417\n" + b"x\n" * MAX_READ_BYTES)).reference == "MB-2026-0417"


@pytest.mark.parametrize("part", [b"--x\n\n", b"--x\nContent-Type: multipart/mixed; boundary=x\n\n"])
def test_a_mail_of_a_thousand_parts_is_refused_before_it_is_taken_apart(part: bytes) -> None:
    assert read(SMALL % (b"Content-Type: multipart/mixed; boundary=x\n", part * 1_000)).kind is MailKind.UNREADABLE


@pytest.mark.parametrize("kind", [b"", b"Content-Type: text/html\n"])
@pytest.mark.parametrize(
    "piece",
    [b" ", b"4 ", b"order ", b"order 1 ", b"On a wrote:\n", b"<", b"> a\n", b"a@", b"2026-06-15 ", b"4111-", b"&#1"],
)
def test_a_mail_that_is_made_to_be_slow_is_read_soon(piece: bytes, kind: bytes) -> None:
    raw = SMALL % (kind, piece * (MAX_READ_BYTES // len(piece)))
    began = thread_time()
    read(raw)
    assert thread_time() - began < MAX_CPU_SECONDS


@pytest.mark.parametrize("name", [b"From", b"Subject", b"Content-Type"])
def test_an_endless_header_is_cut(name: bytes) -> None:
    assert read(name + b": " + b'=?utf-8?q?"a?= ' * 30_000 + b"\n\nx").kind is not MailKind.REQUEST


def test_a_long_comment_is_cut_to_what_the_form_allows() -> None:
    assert len(requested(SMALL % (b"", b"MB-2026-0417 " + b"please " * 2_000)).comment) <= 4_000


def test_the_message_id_names_the_request() -> None:
    assert read(SMALL % (b"", b"MB-2026-0417")).message_id == "<1@example.com>"


@pytest.mark.parametrize("name", [b"", b"<>", b"\xe9\xff@x", b"<" + b"x" * 300 + b"@x>"])
def test_a_mail_without_a_usable_message_id_is_named_by_its_bytes(name: bytes) -> None:
    one, other = (
        (SMALL % (b"", text)).replace(b"<1@example.com>", name) for text in (b"MB-2026-0417", b"MB-2026-0417 please")
    )
    assert read(one).message_id.startswith("sha256:")
    assert read(one).message_id == read(b"Received: from a by b\n" + one).message_id != read(other).message_id


def test_what_was_quoted_is_not_part_of_the_comment() -> None:
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
def test_what_looks_like_a_reference(text: str, reference: str | None) -> None:
    assert find(text) == ([reference] if reference else [])


def test_a_plural_names_each() -> None:
    assert find("Order numbers: MB-2026-0417, MB-2026-0418 and MB-2026-0419") == [
        "MB-2026-0417",
        "MB-2026-0418",
        "MB-2026-0419",
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
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
def test_the_reason_in_a_customers_words(words: str, reason: RefundReason) -> None:
    assert reason_of(words) is reason


def test_every_reason_has_words() -> None:
    assert {reason for reason, _ in REASONS} == set(RefundReason) - {RefundReason.OTHER}


def test_a_price_with_tax_is_no_wish_for_the_tax() -> None:
    assert refund_scope_of("I paid 49.00 EUR including VAT and want it back.") is RefundScope.FULL


def test_the_body_says_more_than_the_subject() -> None:
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
def test_html_is_read_as_people_see_it(page: str) -> None:
    assert html_to_text(page) == "1 < 2"


def test_what_html_quotes_is_quoted() -> None:
    assert split(html_to_text("<p>New</p><blockquote><p>Old</p></blockquote><p>Newer</p>")).quoted == "Old"


@settings(deadline=None)
@given(some.text(alphabet="<>!-/abscriptyle&#; \n'\"=", max_size=300))
def test_any_html_has_a_text(page: str) -> None:
    assert isinstance(html_to_text(page), str)
