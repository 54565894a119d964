"""Writes the generated mails of this folder and their labels: ``python -m tests.mails.generate``.

The result is the same in every run. The formats are those of mail programs, servers and mailing lists. Mails without
``--`` in their name were collected by hand.
"""

import base64
import json
import quopri
import random
from collections.abc import Iterator
from email.header import Header
from email.utils import formataddr
from pathlib import Path
from typing import Any

from tests.mails.mail_texts import TEXTS, LanguageTexts, MailText

HERE = Path(__file__).parent
LABELS = HERE / "labels.json"
US = "Refunds <refunds@moneyback.example>"
RECEIPT_ID = "<receipt.0417@aurora.example>"
EMAIL_ID = "<6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded@moneyback.example>"
PICTURE = base64.b64encode(bytes(range(256)) * 12).decode()
WRAP = 76

Label = dict[str, Any]
GeneratedMail = tuple[str, bytes, Label]
rng = random.Random("two hundred mails")


def reference() -> str:
    """Return a random purchase reference of the sample sellers."""
    return f"MB-2026-{rng.randrange(1000, 9999)}"


def wrapped(text: str) -> str:
    return "\r\n".join(text[at : at + WRAP] for at in range(0, len(text), WRAP))


def body(
    text: str, charset: str = "utf-8", cte: str = "8bit", kind: str = "text/plain", more: str = ""
) -> tuple[str, bytes]:
    """Return a text as a MIME part: its headers, and its bytes in a charset and transfer encoding."""
    raw = text.replace("\n", "\r\n").encode(charset, "replace")
    head = f'Content-Type: {kind}; charset="{charset}"{more}\r\nContent-Transfer-Encoding: {cte}'
    if cte == "base64":
        return head, wrapped(base64.b64encode(raw).decode()).encode()
    if cte == "quoted-printable":
        return head, quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return head, raw


def several(kind: str, *parts: tuple[str, bytes], more: str = "") -> tuple[str, bytes]:
    """Return several parts as one ``multipart/...`` part."""
    line = f"----=_Part_{rng.randrange(10**8):08}"
    inner = b"".join(f"--{line}\r\n{head}\r\n\r\n".encode() + raw + b"\r\n" for head, raw in parts)
    return f'Content-Type: multipart/{kind}; boundary="{line}"{more}', inner + f"--{line}--\r\n".encode()


def attached(kind: str, name: str, content: str = PICTURE, how: str = "attachment") -> tuple[str, bytes]:
    """Return an attachment."""
    head = (
        f'Content-Type: {kind}; name="{name}"\r\nContent-Disposition: {how}; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64"
    )
    return head, wrapped(content).encode()


PROGRAMS = {
    "gmail": "Received: from mail-ej1-f54.google.com (mail-ej1-f54.google.com [209.85.218.54])\r\n\tby mx.moneyback.example "
    "with ESMTPS id 4bQx7; Mon, 15 Jun 2026 10:28:04 +0200\r\nX-Gm-Message-State: AOJu0YzXk3c",
    "outlook": "Received: from EUR05-VI1-obe.outbound.protection.outlook.com\r\n\tby mx.moneyback.example; Mon, 15 Jun 2026 "
    "10:28:04 +0200\r\nThread-Topic: Refund\r\nThread-Index: AQHcXk8v7Q==\r\n"
    "Accept-Language: en-US\r\nContent-Language: en-US\r\n"
    "X-MS-Has-Attach:\r\nX-MS-TNEF-Correlator:\r\nx-ms-publictraffictype: Email",
    "apple": "X-Mailer: Apple Mail (2.3826.500.181.1.5)",
    "thunderbird": "User-Agent: Mozilla Thunderbird\r\nContent-Language: de-DE, en-US",
    "gmx": "X-Mailer: GMX WebMailer\r\nX-Priority: 3\r\nSensitivity: Normal\r\nImportance: normal",
    "iphone": "X-Mailer: iPhone Mail (23F77)",
    "android": "X-Mailer: K-9 Mail for Android",
    "yahoo": "X-Mailer: WebService/1.1.23956 YMailNovation",
}


def mail(
    texts: LanguageTexts,
    subject: str,
    part: tuple[str, bytes],
    *,
    program: str = "gmail",
    more: str = "",
    charset: str = "utf-8",
) -> bytes:
    """Return a whole mail, with the headers of a mail program."""
    number = rng.randrange(10**12)
    encoded = Header(subject, charset, header_name="Subject", maxlinelen=WRAP).encode().replace("\n", "\r\n")
    head = [
        PROGRAMS[program],
        f"From: {formataddr((texts.name, texts.address), charset)}",
        f"To: {US}",
        f"Subject: {encoded}",
        "Date: Mon, 15 Jun 2026 10:28:00 +0200",
        f"Message-ID: <{number:012x}@{texts.address.partition('@')[2]}>",
        "MIME-Version: 1.0",
        *filter(None, [more]),
        part[0],
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + part[1]


def request_label(references: list[str], reason: str, locale: str, **more: str) -> Label:
    return {"kind": "request", "references": references, "reason": reason, "wish": "full", "locale": locale} | more


def html(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return '<div dir="ltr">' + escaped.replace("\n", "<br>\n") + "</div>"


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def block(texts: LanguageTexts, subject: str) -> str:
    """Return the header lines that Outlook puts above a quotation."""
    sender, sent, to, about = texts.labels
    space = "\u00a0" if sender == "De" and about == "Objet" else ""
    values = ((sender, "Aurora Software <help@aurora.example>"), (sent, "14.06.2026 18:03"))
    return "\n".join(f"{name}{space}: {value}" for name, value in (*values, (to, texts.address), (about, subject)))


REPLY_TO_RECEIPT = f"In-Reply-To: {RECEIPT_ID}\r\nReferences: {RECEIPT_ID}"
REPLY_TO_EMAIL = f"In-Reply-To: {EMAIL_ID}\r\nReferences: {EMAIL_ID}"


def customer_mails(language: str, texts: LanguageTexts) -> Iterator[GeneratedMail]:
    """Yield the mails of customers in one language."""
    yield from _plain_requests(language, texts)
    yield from _formatted_requests(language, texts)
    ref = reference()
    receipt = texts.receipt.format(ref=ref)
    yield from _replies(language, texts, ref, receipt)
    yield from _without_quotation(language, texts, ref)
    yield from _without_request(language, texts, receipt)


def _plain_requests(language: str, texts: LanguageTexts) -> Iterator[GeneratedMail]:
    for number, request in enumerate(texts.asks):
        ref = reference()
        text, label = request.text.format(ref=ref), request_label([ref], request.reason, language)
        charset = texts.encodings[number % len(texts.encodings)]
        cte = "7bit" if charset in {"us-ascii", "iso-2022-jp"} else ("8bit", "quoted-printable", "base64")[number % 3]
        yield f"{charset}_{cte}", mail(texts, request.subject, body(text, charset, cte), charset=charset), label


def _formatted_requests(language: str, texts: LanguageTexts) -> Iterator[GeneratedMail]:
    first, second, third = texts.asks
    for shape, (ref, request, raw) in (
        ("gmail_alternative", _alternative(texts, first)),
        ("apple_flowed", _flowed(texts, second)),
        ("outlook_word_html", _word(texts, third)),
        ("phone", _phone(texts, second)),
        ("nested_with_pictures", _nested(texts, third)),
        ("hidden_preheader", _hidden(texts, first)),
    ):
        yield shape, raw, request_label([ref], request.reason, language)


def _replies(language: str, texts: LanguageTexts, ref: str, receipt: str) -> Iterator[GeneratedMail]:
    asking = request_label([ref], "other", language)
    receipt_html = f'<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{html(receipt)}</blockquote>'
    reply = several(
        "alternative",
        body(f"{texts.short}\n\n{texts.wrote}\n\n{quoted(receipt)}\n", cte="base64"),
        body(
            f'{html(texts.short)}<br><div class="gmail_quote">{html(texts.wrote)}{receipt_html}</div>',
            kind="text/html",
        ),
    )
    yield "gmail_reply_quoting_the_receipt", mail(texts, "Re: Aurora", reply, more=REPLY_TO_RECEIPT), asking
    text = f"{texts.short}\n\n________________________________\n{block(texts, 'Aurora Photo 4')}\n\n{receipt}\n"
    yield (
        "outlook_reply",
        mail(texts, "RE: Aurora", body(text, cte="base64"), program="outlook", more=REPLY_TO_RECEIPT),
        asking,
    )
    text = f"{texts.thunderbird}\n{quoted(receipt)}\n\n{texts.short}\n"
    yield (
        "thunderbird_bottom_reply",
        mail(texts, "Re: Aurora", body(text), program="thunderbird", more=REPLY_TO_RECEIPT),
        asking,
    )
    text = f"{texts.short}\n\n{texts.forwarded}\n{block(texts, 'Aurora')}\n\n{receipt}\n"
    yield "gmail_forward", mail(texts, "Fwd: Aurora", body(text)), asking
    text = f"{texts.short}\n\n{texts.apple_forwarded}\n\n{quoted(block(texts, 'Aurora'))}\n> \n{quoted(receipt)}\n"
    yield "apple_forward", mail(texts, "Fwd: Aurora", body(text, cte="quoted-printable"), program="apple"), asking


def _without_quotation(language: str, texts: LanguageTexts, ref: str) -> Iterator[GeneratedMail]:
    asking = request_label([ref], "other", language)
    yield "subject_only", mail(texts, f"{texts.short} {ref}", body("\n"), program="android"), asking
    one, two = reference(), reference()
    both = request_label([one, two], "wrong_product" if language == "en" else "other", language)
    yield "two_purchases", mail(texts, texts.asks[0].subject, body(texts.several.format(one=one, two=two))), both
    none = texts.asks_without
    yield "no_reference", mail(texts, none.subject, body(none.text)), {"kind": "no_reference", "locale": language}


def _without_request(language: str, texts: LanguageTexts, receipt: str) -> Iterator[GeneratedMail]:
    text = f"{texts.thanks}\n\n{texts.wrote}\n{quoted(receipt)}\n"
    nothing = {"kind": "not_a_request", "locale": language}
    yield "thanks_for_our_letter", mail(texts, "Re: Aurora", body(text, cte="base64"), more=REPLY_TO_EMAIL), nothing
    yield "question", mail(texts, "Aurora Photo", body(texts.question)), nothing
    away = texts.away
    machine = {"kind": "auto_reply"}
    marks = "Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nPrecedence: bulk"
    yield "away", mail(texts, away.subject, body(away.text), program="outlook", more=marks), {"kind": "list"}
    yield "away_without_marks", mail(texts, away.subject, body(f"{away.text}\n\n{quoted(receipt)}")), machine


def _alternative(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    text = request.text.format(ref=ref)
    parts = body(text, cte="base64"), body(html(text), kind="text/html", cte="quoted-printable")
    return ref, request, mail(texts, request.subject, several("alternative", *parts))


def _flowed(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    lines = request.text.format(ref=ref).replace(". ", ". \n")
    part = body(lines, cte="quoted-printable", more="; format=flowed; delsp=yes")
    return ref, request, mail(texts, request.subject, part, program="apple")


def _word(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    lines = "".join(
        f"<p class=MsoNormal>{line or '<o:p>&nbsp;</o:p>'}</p>" for line in request.text.format(ref=ref).split("\n")
    )
    page = (
        '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!--\n@font-face {font-family:Aptos;}\n'
        f"p.MsoNormal {{margin:0cm; color:#123456;}}\n--></style></head>"
        f"<body lang=EN-US><div class=WordSection1>{lines}</div></body></html>"
    )
    charset = next((one for one in texts.encodings if one not in {"utf-8", "us-ascii"}), "utf-8")
    part = body(page, charset, "base64", "text/html")
    return ref, request, mail(texts, request.subject, part, program="outlook", charset=charset)


def _phone(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    part = body(f"{request.text.format(ref=ref)}\n\n{texts.phone}\n", cte="base64")
    return ref, request, mail(texts, request.subject, part, program="iphone")


def _nested(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    text = request.text.format(ref=ref)
    alternative = several("alternative", body(text), body(html(text), kind="text/html"))
    related = several("related", alternative, attached("image/png", "image001.png", how="inline"))
    invoice = attached("application/pdf", "invoice-MB-2025-99999.pdf")
    return ref, request, mail(texts, request.subject, several("mixed", related, invoice), program="outlook")


def _hidden(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    page = "<!DOCTYPE html><html><head><title>Mail</title><style>a{color:#aa2026}</style></head>"
    page += f"<body><!-- Order ZZ-1111-2222 -->\n{html(request.text.format(ref=ref))}"
    page += "<img src='https://t.example/o?id=98765432' width=1 height=1></body></html>"
    return ref, request, mail(texts, request.subject, body(page, cte="base64", kind="text/html"), program="yahoo")


def main() -> None:
    """Write all generated mails, and their labels."""
    from tests.mails.unusual_mails import odd_mails  # noqa: PLC0415 - that module imports this one

    labels = {name: label for name, label in json.loads(LABELS.read_text()).items() if "--" not in name}
    for path in HERE.glob("*--*.eml"):
        path.unlink()
    for name, raw, label in (*_in_every_language(), *_numbered(odd_mails())):
        (HERE / f"{name}.eml").write_bytes(raw)
        labels[name] = label
    LABELS.write_text(json.dumps(labels, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _in_every_language() -> Iterator[GeneratedMail]:
    for language, texts in TEXTS.items():
        for shape, raw, label in customer_mails(language, texts):
            yield f"{shape}--{language}", raw, label


def _numbered(mails: Iterator[GeneratedMail]) -> Iterator[GeneratedMail]:
    for number, (shape, raw, label) in enumerate(mails):
        yield f"{shape}--{number}", raw, label


if __name__ == "__main__":
    main()
