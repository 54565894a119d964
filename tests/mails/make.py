"""Writes the generated mails of this folder, and their labels: ``python -m tests.mails.make``. Always the same ones.

The shapes are what mail programs, servers and lists send. Those without a language in their name were collected by hand.
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

from tests.mails.words import TONGUES, Said, Tongue

HERE = Path(__file__).parent
LABELS = HERE / "labels.json"
US = "Refunds <refunds@moneyback.example>"
RECEIPT_ID = "<receipt.0417@aurora.example>"
LETTER_ID = "<6f1c2a7e-9d0b-4c57-8a3e-2b1d4c5e6f70.refunded@moneyback.example>"
PICTURE = base64.b64encode(bytes(range(256)) * 12).decode()
WRAP = 76

Label = dict[str, Any]
Made = tuple[str, bytes, Label]
dice = random.Random("two hundred mails")


def reference() -> str:
    """As the sellers of the cast number their purchases."""
    return f"MB-2026-{dice.randrange(1000, 9999)}"


def wrapped(text: str) -> str:
    return "\r\n".join(text[at : at + WRAP] for at in range(0, len(text), WRAP))


def body(
    text: str, charset: str = "utf-8", cte: str = "8bit", kind: str = "text/plain", more: str = ""
) -> tuple[str, bytes]:
    """A text as one part: its headers, and its bytes in this charset and transfer encoding."""
    raw = text.replace("\n", "\r\n").encode(charset, "replace")
    head = f'Content-Type: {kind}; charset="{charset}"{more}\r\nContent-Transfer-Encoding: {cte}'
    if cte == "base64":
        return head, wrapped(base64.b64encode(raw).decode()).encode()
    if cte == "quoted-printable":
        return head, quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return head, raw


def several(kind: str, *parts: tuple[str, bytes], more: str = "") -> tuple[str, bytes]:
    """Parts within a part, as ``multipart/...``."""
    line = f"----=_Part_{dice.randrange(10**8):08}"
    inner = b"".join(f"--{line}\r\n{head}\r\n\r\n".encode() + raw + b"\r\n" for head, raw in parts)
    return f'Content-Type: multipart/{kind}; boundary="{line}"{more}', inner + f"--{line}--\r\n".encode()


def attached(kind: str, name: str, content: str = PICTURE, how: str = "attachment") -> tuple[str, bytes]:
    """A file beside the text."""
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
    tongue: Tongue,
    subject: str,
    part: tuple[str, bytes],
    *,
    program: str = "gmail",
    more: str = "",
    charset: str = "utf-8",
) -> bytes:
    """A whole mail, with the headers that this program writes."""
    number = dice.randrange(10**12)
    told = Header(subject, charset, header_name="Subject", maxlinelen=WRAP).encode().replace("\n", "\r\n")
    head = [
        PROGRAMS[program],
        f"From: {formataddr((tongue.name, tongue.address), charset)}",
        f"To: {US}",
        f"Subject: {told}",
        "Date: Mon, 15 Jun 2026 10:28:00 +0200",
        f"Message-ID: <{number:012x}@{tongue.address.partition('@')[2]}>",
        "MIME-Version: 1.0",
        *filter(None, [more]),
        part[0],
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + part[1]


def asked(references: list[str], reason: str, locale: str, **more: str) -> Label:
    return {"kind": "request", "references": references, "reason": reason, "wish": "full", "locale": locale} | more


def html(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return '<div dir="ltr">' + escaped.replace("\n", "<br>\n") + "</div>"


def quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def block(tongue: Tongue, subject: str) -> str:
    """The headers that Outlook puts above what it quotes."""
    sender, sent, to, about = tongue.labels
    space = "\u00a0" if sender == "De" and about == "Objet" else ""
    values = ((sender, "Aurora Software <help@aurora.example>"), (sent, "14.06.2026 18:03"))
    return "\n".join(f"{name}{space}: {value}" for name, value in (*values, (to, tongue.address), (about, subject)))


ANSWER = f"In-Reply-To: {RECEIPT_ID}\r\nReferences: {RECEIPT_ID}"
OUR_ANSWER = f"In-Reply-To: {LETTER_ID}\r\nReferences: {LETTER_ID}"


def persons(language: str, tongue: Tongue) -> Iterator[Made]:
    """What a customer writes."""
    for number, said in enumerate(tongue.asks):
        ref = reference()
        text, label = said.text.format(ref=ref), asked([ref], said.reason, language)
        charset = tongue.encodings[number % len(tongue.encodings)]
        cte = "7bit" if charset in {"us-ascii", "iso-2022-jp"} else ("8bit", "quoted-printable", "base64")[number % 3]
        yield f"{charset}_{cte}", mail(tongue, said.subject, body(text, charset, cte), charset=charset), label
    first, second, third = tongue.asks
    for shape, made in (
        ("gmail_alternative", _alternative(tongue, first)),
        ("apple_flowed", _flowed(tongue, second)),
        ("outlook_word_html", _word(tongue, third)),
        ("phone", _phone(tongue, second)),
        ("nested_with_pictures", _nested(tongue, third)),
        ("hidden_preheader", _hidden(tongue, first)),
    ):
        ref, said, raw = made
        yield shape, raw, asked([ref], said.reason, language)
    ref = reference()
    receipt = tongue.receipt.format(ref=ref)
    asking = asked([ref], "other", language)
    receipt_html = f'<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{html(receipt)}</blockquote>'
    reply = several(
        "alternative",
        body(f"{tongue.short}\n\n{tongue.wrote}\n\n{quoted(receipt)}\n", cte="base64"),
        body(
            f'{html(tongue.short)}<br><div class="gmail_quote">{html(tongue.wrote)}{receipt_html}</div>',
            kind="text/html",
        ),
    )
    yield "gmail_reply_quoting_the_receipt", mail(tongue, "Re: Aurora", reply, more=ANSWER), asking
    text = f"{tongue.short}\n\n________________________________\n{block(tongue, 'Aurora Photo 4')}\n\n{receipt}\n"
    yield "outlook_reply", mail(tongue, "RE: Aurora", body(text, cte="base64"), program="outlook", more=ANSWER), asking
    text = f"{tongue.thunderbird}\n{quoted(receipt)}\n\n{tongue.short}\n"
    yield "thunderbird_bottom_reply", mail(tongue, "Re: Aurora", body(text), program="thunderbird", more=ANSWER), asking
    text = f"{tongue.short}\n\n{tongue.forwarded}\n{block(tongue, 'Aurora')}\n\n{receipt}\n"
    yield "gmail_forward", mail(tongue, "Fwd: Aurora", body(text)), asking
    text = f"{tongue.short}\n\n{tongue.apple_forwarded}\n\n{quoted(block(tongue, 'Aurora'))}\n> \n{quoted(receipt)}\n"
    yield "apple_forward", mail(tongue, "Fwd: Aurora", body(text, cte="quoted-printable"), program="apple"), asking
    yield "subject_only", mail(tongue, f"{tongue.short} {ref}", body("\n"), program="android"), asking
    one, two = reference(), reference()
    both = asked([one, two], "wrong_product" if language == "en" else "other", language)
    yield "two_purchases", mail(tongue, tongue.asks[0].subject, body(tongue.several.format(one=one, two=two))), both
    none = tongue.asks_without
    yield "no_reference", mail(tongue, none.subject, body(none.text)), {"kind": "no_reference", "locale": language}
    text = f"{tongue.thanks}\n\n{tongue.wrote}\n{quoted(receipt)}\n"
    nothing = {"kind": "not_a_request", "locale": language}
    yield "thanks_for_our_letter", mail(tongue, "Re: Aurora", body(text, cte="base64"), more=OUR_ANSWER), nothing
    yield "question", mail(tongue, "Aurora Photo", body(tongue.question)), nothing
    away = tongue.away
    machine = {"kind": "auto_reply"}
    marks = "Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\nPrecedence: bulk"
    yield "away", mail(tongue, away.subject, body(away.text), program="outlook", more=marks), {"kind": "list"}
    yield "away_without_marks", mail(tongue, away.subject, body(f"{away.text}\n\n{quoted(receipt)}")), machine


def _alternative(tongue: Tongue, said: Said) -> tuple[str, Said, bytes]:
    ref = reference()
    text = said.text.format(ref=ref)
    parts = body(text, cte="base64"), body(html(text), kind="text/html", cte="quoted-printable")
    return ref, said, mail(tongue, said.subject, several("alternative", *parts))


def _flowed(tongue: Tongue, said: Said) -> tuple[str, Said, bytes]:
    ref = reference()
    lines = said.text.format(ref=ref).replace(". ", ". \n")
    part = body(lines, cte="quoted-printable", more="; format=flowed; delsp=yes")
    return ref, said, mail(tongue, said.subject, part, program="apple")


def _word(tongue: Tongue, said: Said) -> tuple[str, Said, bytes]:
    ref = reference()
    lines = "".join(
        f"<p class=MsoNormal>{line or '<o:p>&nbsp;</o:p>'}</p>" for line in said.text.format(ref=ref).split("\n")
    )
    page = (
        '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!--\n@font-face {font-family:Aptos;}\n'
        f"p.MsoNormal {{margin:0cm; color:#123456;}}\n--></style></head>"
        f"<body lang=EN-US><div class=WordSection1>{lines}</div></body></html>"
    )
    charset = next((one for one in tongue.encodings if one not in {"utf-8", "us-ascii"}), "utf-8")
    part = body(page, charset, "base64", "text/html")
    return ref, said, mail(tongue, said.subject, part, program="outlook", charset=charset)


def _phone(tongue: Tongue, said: Said) -> tuple[str, Said, bytes]:
    ref = reference()
    part = body(f"{said.text.format(ref=ref)}\n\n{tongue.phone}\n", cte="base64")
    return ref, said, mail(tongue, said.subject, part, program="iphone")


def _nested(tongue: Tongue, said: Said) -> tuple[str, Said, bytes]:
    ref = reference()
    text = said.text.format(ref=ref)
    alternative = several("alternative", body(text), body(html(text), kind="text/html"))
    related = several("related", alternative, attached("image/png", "image001.png", how="inline"))
    invoice = attached("application/pdf", "invoice-MB-2025-99999.pdf")
    return ref, said, mail(tongue, said.subject, several("mixed", related, invoice), program="outlook")


def _hidden(tongue: Tongue, said: Said) -> tuple[str, Said, bytes]:
    ref = reference()
    page = "<!DOCTYPE html><html><head><title>Mail</title><style>a{color:#aa2026}</style></head>"
    page += f"<body><!-- Order ZZ-1111-2222 -->\n{html(said.text.format(ref=ref))}"
    page += "<img src='https://t.example/o?id=98765432' width=1 height=1></body></html>"
    return ref, said, mail(tongue, said.subject, body(page, cte="base64", kind="text/html"), program="yahoo")


def main() -> None:
    """Write them all."""
    from tests.mails.odd import odd_mails  # noqa: PLC0415 - it writes with what is above

    labels = {name: label for name, label in json.loads(LABELS.read_text()).items() if "--" not in name}
    for path in HERE.glob("*--*.eml"):
        path.unlink()
    for name, raw, label in (*_in_every_language(), *_numbered(odd_mails())):
        (HERE / f"{name}.eml").write_bytes(raw)
        labels[name] = label
    LABELS.write_text(json.dumps(labels, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _in_every_language() -> Iterator[Made]:
    for language, tongue in TONGUES.items():
        for shape, raw, label in persons(language, tongue):
            yield f"{shape}--{language}", raw, label


def _numbered(mails: Iterator[Made]) -> Iterator[Made]:
    for number, (shape, raw, label) in enumerate(mails):
        yield f"{shape}--{number}", raw, label


if __name__ == "__main__":
    main()
