"""Tests of the charset and the language of a customer's text."""

import base64

import pytest

from producers.mail.parsed_mail import ParsedMail
from producers.mail.parser import read

JAPANESE = "㈱オーロラ御中 ①MB-2026-0417を返金してください。"


def read_text(text: bytes, *headers: str, subject: str = "Refund") -> ParsedMail:
    head = "\n".join(["From: ada@example.com", f"Subject: {subject}", *headers])
    return read(head.encode() + b"\n\n" + text)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("shift_jis", "cp932"),
        ("Shift-JIS", "cp932"),
        ("x-sjis", "cp932"),
        ("Windows-31J", "cp932"),
        ("euc-jp", "euc_jis_2004"),
        ("utf-8", "utf-8"),
    ],
)
def test_japanese_characters_of_a_larger_charset_are_read(charset: str, encoding: str) -> None:
    (request,) = read_text(JAPANESE.encode(encoding), f"Content-Type: text/plain; charset={charset}").requests
    assert (request.locale, request.comment) == ("ja", JAPANESE)


def test_characters_of_nec_in_iso_2022_jp_are_read() -> None:
    raw = JAPANESE.encode("iso2022_jp_2004").replace(b"\x1b$(Q", b"\x1b$B")
    (request,) = read_text(raw, "Content-Type: text/plain; charset=iso-2022-jp").requests
    assert (request.locale, request.comment) == ("ja", JAPANESE)


def test_japanese_bytes_without_a_charset_are_read() -> None:
    (request,) = read_text(JAPANESE.encode("cp932"), "Content-Type: text/plain").requests
    assert (request.locale, request.comment) == ("ja", JAPANESE)


@pytest.mark.parametrize(
    "text", ["Prière de me rembourser l'été, MB-2026-0417", "Bitte „schön“ für mich erstatten, MB-2026-0417"]
)
def test_european_bytes_without_a_charset_are_not_japanese(text: str) -> None:
    (request,) = read_text(text.encode("cp1252"), "Content-Type: text/plain").requests
    assert request.comment == text


def test_characters_of_nec_in_the_subject_are_read() -> None:
    encoded = base64.b64encode("①MB-2026-0417の返金".encode("iso2022_jp_2004").replace(b"\x1b$(Q", b"\x1b$B")).decode()
    (request,) = read_text("よろしくお願いします".encode(), subject=f"=?ISO-2022-JP?B?{encoded}?=").requests
    assert (request.locale, request.reference) == ("ja", "MB-2026-0417")


def test_a_subject_with_a_broken_encoded_word_is_read() -> None:
    assert read_text(b"Refund MB-2026-0417", subject="=?iso-2022-jp?B?GyRCIQ?= x").requests


def test_a_subject_in_microsofts_charset_is_read() -> None:
    encoded = base64.b64encode("①MB-2026-0417の返金".encode("cp932")).decode()
    (request,) = read_text("よろしくお願いします".encode(), subject=f"=?Shift_JIS?B?{encoded}?=").requests
    assert (request.locale, request.reference) == ("ja", "MB-2026-0417")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Bitte Geld zurück, MB-2026-0417", "de"),
        ("Merci de rembourser MB-2026-0417", "fr"),
        ("Quiero mi reembolso MB-2026-0417", "es"),
        ("Voglio il rimborso MB-2026-0417", "it"),
        ("Quero o reembolso MB-2026-0417", "pt"),
        ("返金をお願いします MB-2026-0417", "ja"),
        ("Please refund MB-2026-0417", "en"),
        ("Erstattung MB-2026-0417\n\nSent from my iPad", "de"),
        ("Widerruf MB-2026-0417\nE-Mail: o.kern@kern.com | www.kern.com/e/o", "de"),
        ("Remboursement MB-2026-0417\n\nThis message is confidential. Please delete it if it is not for you.", "fr"),
        ("Devolución MB-2026-0417", "es"),
        ("Ordine MB-2026-0417, rimborso", "it"),
        ("Estorno MB-2026-0417, por favor", "pt"),
        ("返金希望 MB-2026-0417", "ja"),
    ],
)
def test_a_short_answer_below_an_english_subject_has_its_own_language(text: str, language: str) -> None:
    subject = "Re: Your refund request for this order and what we can do for you"
    (request,) = read_text(text.encode(), "Content-Type: text/plain; charset=utf-8", subject=subject).requests
    assert request.locale == language


@pytest.mark.parametrize(
    ("forwarded", "language"),
    [
        ("Ich möchte bitte mein Geld zurück für die Bestellung MB-2026-0417", "de"),
        ("Je souhaite le remboursement de ma commande MB-2026-0417", "fr"),
        ("Quiero el reembolso de mi pedido MB-2026-0417", "es"),
    ],
)
def test_a_forward_without_own_words_has_the_language_of_the_forwarded_text(forwarded: str, language: str) -> None:
    text = f"---------- Forwarded message ---------\nFrom: Ada <ada@example.com>\nSubject: x\n\n{forwarded}"
    mail = read_text(text.encode(), "Content-Type: text/plain; charset=utf-8", subject="Fwd: x")
    assert mail.locale == language
