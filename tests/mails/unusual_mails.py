"""Generates unusual mails: automated mail, lists, signatures, charsets, broken MIME, and texts that could mislead a parser."""

import base64
from collections.abc import Iterator

from tests.mails.generate import (
    EMAIL_MESSAGE_ID,
    RECIPIENT,
    REPLY_TO_EMAIL,
    GeneratedMail,
    Label,
    attachment,
    body,
    html,
    mail,
    multipart,
    quoted,
    reference,
    request_label,
)
from tests.mails.mail_texts import TEXTS

MAUD, JOERG, ELOISE = TEXTS["en"], TEXTS["de"], TEXTS["fr"]
BOUNCE = {"kind": "bounce"}
SIGNATURE = base64.b64encode(bytes(range(7, 247)) * 8).decode()


def unusual_mails() -> Iterator[GeneratedMail]:
    """Yield all unusual mails."""
    yield from _reports()
    yield from _lists()
    yield from _signed_and_encrypted()
    yield from _charsets()
    yield from _broken()
    yield from _tricks()
    yield from _other_scopes()


def _report(sender: str, subject: str, text: str, status: str, original: str, *, empty: bool = True) -> bytes:
    lines = [
        *(["Return-Path: <>"] if empty else []),
        f"From: {sender}",
        f"To: {RECIPIENT}",
        f"Subject: {subject}",
        "Date: Mon, 15 Jun 2026 10:28:00 +0200",
        f"Message-ID: <{reference()}@mx.example.net>",
        "MIME-Version: 1.0",
    ]
    plain = "Content-Type: text/plain; charset=us-ascii", text.replace("\n", "\r\n").encode()
    delivery_status = "Content-Type: message/delivery-status", status.replace("\n", "\r\n").encode()
    headers = "Content-Type: text/rfc822-headers", original.replace("\n", "\r\n").encode()
    part = multipart("report", plain, delivery_status, headers, parameters="; report-type=delivery-status")
    return "\r\n".join([*lines, part[0]]).encode() + b"\r\n\r\n" + part[1]


def _reports() -> Iterator[GeneratedMail]:
    original = (
        f"From: {RECIPIENT}\nTo: <gone@example.net>\nSubject: Your refund was sent\nMessage-ID: {EMAIL_MESSAGE_ID}\n"
    )
    status = "Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; gone@example.net\nAction: {}\nStatus: {}\n"
    returned = BOUNCE | {"returned": "refunded"}
    for sender, subject, code in (
        ("MAILER-DAEMON@mx.example.net (Mail Delivery System)", "Undelivered Mail Returned to Sender", "5.1.1"),
        ("postmaster@example.net", "Undeliverable: Your refund was sent", "5.1.10"),
        ("Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Failure)", "5.2.2"),
    ):
        raw = _report(sender, subject, "Your message could not be delivered.", status.format("failed", code), original)
        yield "bounce_of_our_email", raw, returned
    raw = _report(
        "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Delay)", "Still trying.",
        status.format("delayed", "4.4.1"), original,
    )  # fmt: skip
    yield "delay_of_our_email", raw, {"kind": "auto_reply"}
    exim = (
        f"Return-path: <>\nX-Failed-Recipients: gone@example.net\nAuto-Submitted: auto-replied\n"
        f"From: Mail Delivery System <Mailer-Daemon@mx.example.net>\nTo: {RECIPIENT}\n"
        "Subject: Mail delivery failed: returning message to sender\nMessage-Id: <E1tXyZ-0003Qa-5b@mx.example.net>\n\n"
        f"A message that you sent could not be delivered:\n\n  gone@example.net\n    550 No such user\n\n{quoted(original)}\n"
    )
    yield "bounce_of_exim", exim.encode(), returned
    yield "bounce_of_qmail", exim.replace("X-Failed-Recipients: gone@example.net\n", "").encode(), returned
    receipt = multipart(
        "report",
        body("Your message was displayed."),
        (
            "Content-Type: message/disposition-notification",
            b"Disposition: manual-action/MDN-sent-manually; displayed\r\n",
        ),
        parameters="; report-type=disposition-notification",
    )
    yield "read_receipt", mail(MAUD, "Read: Your refund", receipt, program="outlook"), {"kind": "auto_reply"}
    complaint = multipart(
        "report",
        body("This is an abuse report."),
        ("Content-Type: message/feedback-report", b"Feedback-Type: abuse\r\nVersion: 1\r\n"),
        parameters="; report-type=feedback-report",
    )
    yield "spam_complaint", mail(MAUD, "FW: Your refund", complaint), {"kind": "auto_reply"}
    helpdesk = MAUD._replace(name="Help desk", address="no-reply@helpdesk.example")
    text = body(f"We received your request {reference()} and will refund soon.")
    yield (
        "ticket_received",
        mail(helpdesk, "[Ticket 4711] received", text),
        {"kind": "auto_reply", "requests_refund": True},
    )
    own_email = mail(MAUD, "Your refund was sent", body("Reference MB-2026-0417"))
    yield (
        "our_email_returned",
        own_email.replace(b"Message-ID: <", f"Message-ID: {EMAIL_MESSAGE_ID}\r\nX-Old: <".encode()),
        {"kind": "own_letter"},
    )


def _lists() -> Iterator[GeneratedMail]:
    list_headers = (
        "List-Id: Customers <customers.lists.example>\r\nPrecedence: list\r\n"
        "List-Post: <mailto:customers@lists.example>"
    )
    text = body(f"Did anybody get a refund for {reference()}?")
    yield (
        "mailman_post",
        mail(MAUD, "[Customers] Refund?", text, headers=list_headers),
        {"kind": "list", "requests_refund": True},
    )
    advertisement = (
        "Your 30-day money-back guarantee!\nRenew order 12345678 today and save.\n\nUnsubscribe: https://news.example/u"
    )
    for headers in (
        "List-Unsubscribe: <https://news.example/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Precedence: bulk",
    ):
        yield "newsletter", mail(MAUD, "Renew now", body(advertisement), headers=headers), {"kind": "list"}
    unmarked = "Big summer sale! All plugins 40 % off, with our money-back guarantee.\n\nTo unsubscribe, click here."
    yield (
        "newsletter_without_marks",
        mail(MAUD, "Summer sale", body(unmarked)),
        {"kind": "not_a_request", "locale": "en"},
    )
    meeting = multipart(
        "alternative",
        body("Maud Okafor invites you to: Quarterly review"),
        (
            'Content-Type: text/calendar; charset="utf-8"; method=REQUEST',
            b"BEGIN:VCALENDAR\r\nUID:040000008200E00074C5\r\nEND:VCALENDAR\r\n",
        ),
    )
    yield (
        "calendar",
        mail(MAUD, "Quarterly review", meeting, program="outlook"),
        {"kind": "not_a_request", "locale": "en"},
    )
    yield "empty", mail(MAUD, "", body("")), {"kind": "not_a_request", "locale": "en"}


def _request(number: int = 0) -> tuple[str, str, Label]:
    """Return the text, the subject and the label of an English request."""
    ref, request = reference(), MAUD.requests[number]
    return request.text.format(ref=ref), request.subject, request_label([ref], request.reason, "en")


def _signed_and_encrypted() -> Iterator[GeneratedMail]:
    text, subject, label = _request()
    signature = (
        'Content-Type: application/pgp-signature; name="signature.asc"',
        b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEz1234567\r\n",
    )
    parameters = '; micalg=pgp-sha512; protocol="application/pgp-signature"'
    yield (
        "pgp_signed",
        mail(MAUD, subject, multipart("signed", body(text), signature, parameters=parameters), program="thunderbird"),
        label,
    )
    inline_signature = (
        "-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCgAdFiEE1234567890abcdefAB1234567890123\n=Q1w2\n"
        "-----END PGP SIGNATURE-----"
    )
    inline = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}\n{inline_signature}\n"
    yield "pgp_signed_inline", mail(MAUD, subject, body(inline)), label
    encrypted = multipart(
        "encrypted",
        ("Content-Type: application/pgp-encrypted", b"Version: 1\r\n"),
        (
            'Content-Type: application/octet-stream; name="encrypted.asc"',
            b"-----BEGIN PGP MESSAGE-----\r\n" + SIGNATURE.encode(),
        ),
        parameters='; protocol="application/pgp-encrypted"',
    )
    unreadable = {"kind": "unreadable"}
    yield "pgp_encrypted", mail(MAUD, "...", encrypted, program="thunderbird"), unreadable
    yield (
        "pgp_encrypted_inline",
        mail(MAUD, "Refund", body(f"-----BEGIN PGP MESSAGE-----\n\n{SIGNATURE}\n-----END PGP MESSAGE-----")),
        unreadable,
    )
    for kind in ("enveloped-data", "signed-data"):
        headers = (
            f'Content-Type: application/pkcs7-mime; smime-type={kind}; name="smime.p7m"\r\n'
            "Content-Transfer-Encoding: base64"
        )
        yield (
            f"smime_{kind.partition('-')[0]}",
            mail(MAUD, "Refund", (headers, SIGNATURE.encode()), program="outlook"),
            unreadable,
        )
    smime_signature = attachment("application/pkcs7-signature", "smime.p7s", SIGNATURE)
    yield (
        "smime_signed_clear",
        mail(MAUD, subject, multipart("signed", body(text), smime_signature), program="apple"),
        label,
    )


def _charsets() -> Iterator[GeneratedMail]:
    text, subject, label = _request(1)
    yield "gb18030", mail(MAUD, subject, body(f"{text}\n王芳", "gb18030", "base64")), label
    yield "koi8r", mail(MAUD, subject, body(f"{text}\n\nС уважением, Мод", "koi8-r", "quoted-printable")), label
    yield "utf16", mail(MAUD, subject, body(text, "utf-16", "base64")), label
    yield "utf7_called_utf8", mail(MAUD, subject, body(text.replace("'", "+ACc-"), "utf-8")), label
    for claimed in ("x-unknown", "iso-8859-8-i", "utf8mb4", "unicode-1-1-utf-7"):
        raw = mail(MAUD, subject, body(text)).replace(b'charset="utf-8"', f"charset={claimed}".encode())
        yield "unknown_charset", raw, label
    for texts, language in ((JOERG, "de"), (ELOISE, "fr")):
        ref, request = reference(), texts.requests[0]
        label = request_label([ref], request.reason, language)
        latin = mail(texts, request.subject, body(request.text.format(ref=ref), "iso-8859-1"))
        yield "latin1_called_utf8", latin.replace(b'charset="iso-8859-1"', b'charset="utf-8"'), label
        yield "latin1_called_ascii", latin.replace(b'charset="iso-8859-1"', b"charset=us-ascii"), label
        yield "no_content_type", latin.replace(b'Content-Type: text/plain; charset="iso-8859-1"\r\n', b""), label


def _broken() -> Iterator[GeneratedMail]:
    text, subject, label = _request(2)
    whole = mail(MAUD, subject, multipart("alternative", body(text), body(html(text), kind="text/html")))
    yield "cut_in_the_middle", whole[: whole.index(b"<div")], label
    yield "wrong_boundary", whole.replace(b'boundary="----=', b'boundary="-----'), label
    yield "bare_line_feeds", whole.replace(b"\r\n", b"\n"), label
    yield "bare_carriage_returns", mail(MAUD, subject, body(text)).replace(b"\r\n", b"\r"), label
    yield "envelope_line_first", b"From maud.okafor@gmail.com Mon Jun 15 10:28:00 2026\r\n" + whole, label
    yield (
        "header_without_colon",
        whole.replace(b"MIME-Version: 1.0", b"X-Broken Header Here\r\nMIME-Version: 1.0"),
        label,
    )
    yield (
        "base64_with_garbage",
        mail(MAUD, subject, body(text, encoding="base64")).replace(b"\r\nSGVs", b"\r\n!!SGVs"),
        label,
    )
    yield "transfer_encoding_unknown", mail(MAUD, subject, body(text)).replace(b"8bit", b"x-none"), label
    long = html(f"{text} {'I am very unhappy about all of this. ' * 900}")
    yield "one_long_line", mail(MAUD, subject, body(long, kind="text/html")), label
    yield (
        "many_quotes",
        mail(MAUD, subject, body(f"{text}\n\n" + "\n".join(f"{'>' * 30} line {n}" for n in range(400)))),
        label,
    )
    receipt = mail(MAUD, "Receipt", body(MAUD.receipt.format(ref=label["references"][0])))
    forwarded = multipart("mixed", body("Please refund the attached."), ("Content-Type: message/rfc822", receipt))
    yield "forwarded_as_attachment", mail(MAUD, "Fwd: Receipt", forwarded, program="apple"), label | {"reason": "other"}
    tnef = multipart("mixed", body(text), attachment("application/ms-tnef", "winmail.dat"))
    yield "winmail", mail(MAUD, subject, tnef, program="outlook"), label
    attachment_only = multipart("mixed", attachment("application/ms-tnef", "winmail.dat"))
    yield (
        "winmail_alone",
        mail(MAUD, "Refund", attachment_only, program="outlook"),
        {"kind": "no_reference", "locale": "en"},
    )


def _tricks() -> Iterator[GeneratedMail]:
    text, subject, label = _request()
    ref = label["references"][0]
    spellings = {
        "zero_width_in_reference": "\u200b".join(ref),
        "bidi_around_reference": f"\u202e\u202d{ref}\u202c\u202c",
        "full_width_reference": "".join(chr(ord(char) + 0xFEE0) if char.isdigit() else char for char in ref),
        "typographic_dashes": ref.replace("-", "\u2011"),
        "no_break_spaces": f"\u00a0{ref}\u00a0",
    }
    for name, spelling in spellings.items():
        yield name, mail(MAUD, subject, body(text.replace(ref, spelling))), label
    for card in ("4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005"):
        yield "card_number", mail(MAUD, subject, body(f"{text}\nMy card is {card}.")), label | {"never": card}
    spoofed = MAUD._replace(name="help@aurora.example")
    yield "address_as_name", mail(spoofed, subject, body(text)), label
    yield (
        "external_mark",
        mail(MAUD, f"[EXTERNAL] {subject}", body(f"CAUTION: This mail comes from outside.\n\n{text}")),
        label,
    )
    again = mail(
        MAUD, "Re: Your refund", body(f"Please do refund {ref} now.\n\n> Your refund was sent"), headers=REPLY_TO_EMAIL
    )
    yield "asks_again_below_our_email", again, request_label([ref], "other", "en")
    many = " ".join(f"MB-2026-{number}" for number in range(1000, 1009))
    yield (
        "nine_purchases",
        mail(MAUD, "Refunds", body(f"Please refund these orders: {many}")),
        {"kind": "too_many", "locale": "en"},
    )
    yield "injected_headers", mail(MAUD, f"{subject}\u2028Bcc: x@example.net", body(text)), label
    nul = mail(MAUD, subject, body(text)).replace(b"Hello,", b"Hello\0,")
    yield "nul_in_text", nul, label


def _other_scopes() -> Iterator[GeneratedMail]:
    ref = reference()
    for language, refund_scope, text in (
        ("en", "vat", "We are a company in Graz. Please refund the VAT of order {ref}, our VAT ID is ATU12345678."),
        (
            "de",
            "vat",
            "Bitte erstatten Sie uns die Umsatzsteuer der Bestellung {ref}, unsere USt-IdNr. ist ATU12345678.",
        ),
        ("fr", "vat", "Merci de nous rembourser la TVA de la commande {ref}."),
        ("en", "partial", "Please give me a partial refund for my order {ref}, I only use one of the plugins."),
        ("de", "partial", "Ich bitte um eine Teilerstattung zu meiner Bestellung {ref}."),
        ("es", "partial", "Hola, quiero un reembolso parcial de mi pedido {ref}."),
    ):
        texts = TEXTS[language]
        yield (
            refund_scope,
            mail(texts, "Refund", body(text.format(ref=ref))),
            request_label([ref], "other", language, refund_scope=refund_scope),
        )
