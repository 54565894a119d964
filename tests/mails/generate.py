"""Writes the generated mails and their labels into the folder tests/mails: ``python -m tests.mails.generate``.

The result is the same in every run. The mails have the formats of real mail programs, servers and mailing lists.
A mail file without ``--`` in its name was collected by hand, and this program does not change it.
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
RECIPIENT = "Refunds <refunds@moneyback.example>"
RECEIPT_MESSAGE_ID = "<receipt.0417@aurora.example>"
EMAIL_MESSAGE_ID = "<6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded@moneyback.example>"
PICTURE = base64.b64encode(bytes(range(256)) * 12).decode()
LINE_LENGTH = 76

Label = dict[str, Any]
GeneratedMail = tuple[str, bytes, Label]
rng = random.Random("two hundred mails")


def reference() -> str:
    """Return a random purchase reference in the format of the sample purchases."""
    return f"MB-2026-{rng.randrange(1000, 9999)}"


def wrapped(text: str) -> str:
    return "\r\n".join(text[start : start + LINE_LENGTH] for start in range(0, len(text), LINE_LENGTH))


def body(
    text: str, charset: str = "utf-8", encoding: str = "8bit", kind: str = "text/plain", parameters: str = ""
) -> tuple[str, bytes]:
    """Return a text as a MIME part: the headers, and the bytes in a charset and a transfer encoding."""
    raw = text.replace("\n", "\r\n").encode(charset, "replace")
    headers = f'Content-Type: {kind}; charset="{charset}"{parameters}\r\nContent-Transfer-Encoding: {encoding}'
    if encoding == "base64":
        return headers, wrapped(base64.b64encode(raw).decode()).encode()
    if encoding == "quoted-printable":
        return headers, quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return headers, raw


def multipart(kind: str, *parts: tuple[str, bytes], parameters: str = "") -> tuple[str, bytes]:
    """Return several parts as one ``multipart/...`` part."""
    boundary = f"----=_Part_{rng.randrange(10**8):08}"
    content = b"".join(f"--{boundary}\r\n{headers}\r\n\r\n".encode() + raw + b"\r\n" for headers, raw in parts)
    headers = f'Content-Type: multipart/{kind}; boundary="{boundary}"{parameters}'
    return headers, content + f"--{boundary}--\r\n".encode()


def attachment(kind: str, name: str, content: str = PICTURE, disposition: str = "attachment") -> tuple[str, bytes]:
    """Return an attached file as a MIME part."""
    headers = (
        f'Content-Type: {kind}; name="{name}"\r\nContent-Disposition: {disposition}; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64"
    )
    return headers, wrapped(content).encode()


PROGRAM_HEADERS = {
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
    headers: str = "",
    charset: str = "utf-8",
) -> bytes:
    """Return a whole mail, with the headers of a mail program."""
    number = rng.randrange(10**12)
    encoded_subject = (
        Header(subject, charset, header_name="Subject", maxlinelen=LINE_LENGTH).encode().replace("\n", "\r\n")
    )
    lines = [
        PROGRAM_HEADERS[program],
        f"From: {formataddr((texts.name, texts.address), charset)}",
        f"To: {RECIPIENT}",
        f"Subject: {encoded_subject}",
        "Date: Mon, 15 Jun 2026 10:28:00 +0200",
        f"Message-ID: <{number:012x}@{texts.address.partition('@')[2]}>",
        "MIME-Version: 1.0",
        *filter(None, [headers]),
        part[0],
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + part[1]


def request_label(references: list[str], reason: str, locale: str, **changes: str) -> Label:
    label = {"kind": "request", "references": references, "reason": reason, "refund_scope": "full", "locale": locale}
    return label | changes


def html(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return '<div dir="ltr">' + escaped.replace("\n", "<br>\n") + "</div>"


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def outlook_header(texts: LanguageTexts, subject: str) -> str:
    """Return the header lines that Outlook puts above a quotation."""
    from_label, sent_label, to_label, subject_label = texts.outlook_labels
    space = "\u00a0" if from_label == "De" and subject_label == "Objet" else ""  # French has a space before a colon
    lines = (
        (from_label, "Aurora Software <help@aurora.example>"),
        (sent_label, "14.06.2026 18:03"),
        (to_label, texts.address),
        (subject_label, subject),
    )
    return "\n".join(f"{label}{space}: {value}" for label, value in lines)


REPLY_TO_RECEIPT = f"In-Reply-To: {RECEIPT_MESSAGE_ID}\r\nReferences: {RECEIPT_MESSAGE_ID}"
REPLY_TO_EMAIL = f"In-Reply-To: {EMAIL_MESSAGE_ID}\r\nReferences: {EMAIL_MESSAGE_ID}"


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
    for number, request in enumerate(texts.requests):
        ref = reference()
        text, label = request.text.format(ref=ref), request_label([ref], request.reason, language)
        charset = texts.charsets[number % len(texts.charsets)]
        encoding = (
            "7bit" if charset in {"us-ascii", "iso-2022-jp"} else ("8bit", "quoted-printable", "base64")[number % 3]
        )
        part = body(text, charset, encoding)
        yield f"{charset}_{encoding}", mail(texts, request.subject, part, charset=charset), label


def _formatted_requests(language: str, texts: LanguageTexts) -> Iterator[GeneratedMail]:
    first, second, third = texts.requests
    for name, (ref, request, raw) in (
        ("gmail_alternative", _gmail_alternative(texts, first)),
        ("apple_flowed", _apple_flowed(texts, second)),
        ("outlook_word_html", _outlook_word_html(texts, third)),
        ("phone", _phone(texts, second)),
        ("nested_with_pictures", _nested_with_pictures(texts, third)),
        ("hidden_preheader", _hidden_preheader(texts, first)),
    ):
        yield name, raw, request_label([ref], request.reason, language)


def _replies(language: str, texts: LanguageTexts, ref: str, receipt: str) -> Iterator[GeneratedMail]:
    label = request_label([ref], "other", language)
    receipt_html = f'<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{html(receipt)}</blockquote>'
    reply = multipart(
        "alternative",
        body(f"{texts.short_request}\n\n{texts.gmail_quote_line}\n\n{quoted(receipt)}\n", encoding="base64"),
        body(
            f'{html(texts.short_request)}<br><div class="gmail_quote">{html(texts.gmail_quote_line)}{receipt_html}</div>',
            kind="text/html",
        ),
    )
    yield "gmail_reply_quoting_the_receipt", mail(texts, "Re: Aurora", reply, headers=REPLY_TO_RECEIPT), label
    text = f"{texts.short_request}\n\n________________________________\n{outlook_header(texts, 'Aurora Photo 4')}\n\n{receipt}\n"
    yield (
        "outlook_reply",
        mail(texts, "RE: Aurora", body(text, encoding="base64"), program="outlook", headers=REPLY_TO_RECEIPT),
        label,
    )
    text = f"{texts.thunderbird_quote_line}\n{quoted(receipt)}\n\n{texts.short_request}\n"
    yield (
        "thunderbird_bottom_reply",
        mail(texts, "Re: Aurora", body(text), program="thunderbird", headers=REPLY_TO_RECEIPT),
        label,
    )
    text = f"{texts.short_request}\n\n{texts.gmail_forward_line}\n{outlook_header(texts, 'Aurora')}\n\n{receipt}\n"
    yield "gmail_forward", mail(texts, "Fwd: Aurora", body(text)), label
    forwarded = f"{quoted(outlook_header(texts, 'Aurora'))}\n> \n{quoted(receipt)}"
    text = f"{texts.short_request}\n\n{texts.apple_forward_line}\n\n{forwarded}\n"
    yield "apple_forward", mail(texts, "Fwd: Aurora", body(text, encoding="quoted-printable"), program="apple"), label


def _without_quotation(language: str, texts: LanguageTexts, ref: str) -> Iterator[GeneratedMail]:
    label = request_label([ref], "other", language)
    yield "subject_only", mail(texts, f"{texts.short_request} {ref}", body("\n"), program="android"), label
    first, second = reference(), reference()
    label = request_label([first, second], "wrong_product" if language == "en" else "other", language)
    text = texts.request_for_two_purchases.format(one=first, two=second)
    yield "two_purchases", mail(texts, texts.requests[0].subject, body(text)), label
    request = texts.request_without_reference
    yield "no_reference", mail(texts, request.subject, body(request.text)), {"kind": "no_reference", "locale": language}


def _without_request(language: str, texts: LanguageTexts, receipt: str) -> Iterator[GeneratedMail]:
    text = f"{texts.thanks}\n\n{texts.gmail_quote_line}\n{quoted(receipt)}\n"
    no_request = {"kind": "not_a_request", "locale": language}
    yield (
        "thanks_for_our_email",
        mail(texts, "Re: Aurora", body(text, encoding="base64"), headers=REPLY_TO_EMAIL),
        no_request,
    )
    yield "question", mail(texts, "Aurora Photo", body(texts.question)), no_request
    reply = texts.out_of_office
    auto_reply = {"kind": "auto_reply"}
    automatic = "Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nPrecedence: bulk"
    yield "away", mail(texts, reply.subject, body(reply.text), program="outlook", headers=automatic), {"kind": "list"}
    yield "away_without_marks", mail(texts, reply.subject, body(f"{reply.text}\n\n{quoted(receipt)}")), auto_reply


def _gmail_alternative(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    text = request.text.format(ref=ref)
    parts = body(text, encoding="base64"), body(html(text), kind="text/html", encoding="quoted-printable")
    return ref, request, mail(texts, request.subject, multipart("alternative", *parts))


def _apple_flowed(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    lines = request.text.format(ref=ref).replace(". ", ". \n")
    part = body(lines, encoding="quoted-printable", parameters="; format=flowed; delsp=yes")
    return ref, request, mail(texts, request.subject, part, program="apple")


def _outlook_word_html(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    lines = "".join(
        f"<p class=MsoNormal>{line or '<o:p>&nbsp;</o:p>'}</p>" for line in request.text.format(ref=ref).split("\n")
    )
    page = (
        '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!--\n@font-face {font-family:Aptos;}\n'
        f"p.MsoNormal {{margin:0cm; color:#123456;}}\n--></style></head>"
        f"<body lang=EN-US><div class=WordSection1>{lines}</div></body></html>"
    )
    charset = next((name for name in texts.charsets if name not in {"utf-8", "us-ascii"}), "utf-8")
    part = body(page, charset, "base64", "text/html")
    return ref, request, mail(texts, request.subject, part, program="outlook", charset=charset)


def _phone(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    part = body(f"{request.text.format(ref=ref)}\n\n{texts.iphone_line}\n", encoding="base64")
    return ref, request, mail(texts, request.subject, part, program="iphone")


def _nested_with_pictures(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    text = request.text.format(ref=ref)
    alternative = multipart("alternative", body(text), body(html(text), kind="text/html"))
    related = multipart("related", alternative, attachment("image/png", "image001.png", disposition="inline"))
    invoice = attachment("application/pdf", "invoice-MB-2025-99999.pdf")
    return ref, request, mail(texts, request.subject, multipart("mixed", related, invoice), program="outlook")


def _hidden_preheader(texts: LanguageTexts, request: MailText) -> tuple[str, MailText, bytes]:
    ref = reference()
    page = "<!DOCTYPE html><html><head><title>Mail</title><style>a{color:#aa2026}</style></head>"
    page += f"<body><!-- Order ZZ-1111-2222 -->\n{html(request.text.format(ref=ref))}"
    page += "<img src='https://t.example/o?id=98765432' width=1 height=1></body></html>"
    return ref, request, mail(texts, request.subject, body(page, encoding="base64", kind="text/html"), program="yahoo")


def main() -> None:
    """Write all generated mails, and their labels."""
    from tests.mails.unusual_mails import unusual_mails  # noqa: PLC0415 - that module imports this module

    labels = {name: label for name, label in json.loads(LABELS.read_text()).items() if "--" not in name}
    for path in HERE.glob("*--*.eml"):
        path.unlink()
    for name, raw, label in (*_in_every_language(), *_numbered(unusual_mails())):
        (HERE / f"{name}.eml").write_bytes(raw)
        labels[name] = label
    LABELS.write_text(json.dumps(labels, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _in_every_language() -> Iterator[GeneratedMail]:
    for language, texts in TEXTS.items():
        for name, raw, label in customer_mails(language, texts):
            yield f"{name}--{language}", raw, label


def _numbered(mails: Iterator[GeneratedMail]) -> Iterator[GeneratedMail]:
    for number, (name, raw, label) in enumerate(mails):
        yield f"{name}--{number}", raw, label


if __name__ == "__main__":
    main()
