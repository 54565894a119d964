"""Whatever bytes come as a mail, it is read: no crash, no hang. MONEYBACK_FUZZ_SECONDS=60 throws for a minute."""

import random
from pathlib import Path

from hypothesis import strategies as some

from producers.mail.html_text import html_to_text
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.parser import MAX_SIZE, read
from producers.mail.sender_authentication import SenderAuthenticator
from tests.fuzz import run_fuzz

MAILS = [path.read_bytes() for path in sorted((Path(__file__).parent.parent / "mails").glob("*.eml"))]
OURS = ["refunds@moneyback.example"]
PIECES = [
    *(
        b"\0",
        b"\xff\xfe",
        b"\r",
        b"\n\n",
        b"\r\n\r\n",
        b"--x\r\n",
        b"\xe2\x80\xae",
        b"=?utf-8?q?",
        b"?=",
        b"=00",
        b"&#x110000;",
    ),
    *(
        b"Content-Type: multipart/mixed; boundary=x\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"charset=idna",
        b"<!--",
        b"<",
    ),
    *(
        b"Content-Transfer-Encoding: base64\r\n",
        b"begin 644 x\r\n",
        b"> ",
        b"On a wrote:\n",
        b"From: ",
        b"Reference: ",
        b" ",
        b"4",
    ),
    *(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=x; s=s; h=from; bh=x; b=x\r\n",
        b"References: <a@b>",
        b'"',
        b"(",
        b",",
        b"@",
        b"order no ",
    ),
]


def spoiled(mail: bytes, seed: int) -> bytes:
    """This mail after an accident or two."""
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 6)):
        at, to = sorted(dice.randrange(len(mail) + 1) for _ in range(2))
        to = min(to, at + dice.choice((1, 20, 2_000)))
        what = dice.choice(PIECES) * dice.choice((1, 1, 2, 50, 5_000))
        mail = dice.choice(
            (
                mail[:at] + what + mail[at:],
                mail[:at] + what + mail[to:],
                mail[:at] + mail[to:],
                mail[:at] + mail[at:to] * dice.randint(2, 40) + mail[to:],
                mail[:at] + dice.randbytes(to - at) + mail[to:],
                mail[:at],
                mail[:to] + dice.choice(MAILS)[at:],
            )
        )[:400_000]
    return mail


def is_read(raw: bytes) -> None:
    mail = read(raw, moneyback_addresses=OURS)
    assert isinstance(mail, ParsedMail)
    assert bool(mail.requests) == (mail.kind is MailKind.REQUEST)
    assert "\0" not in f"{mail}"
    assert all(char < "\ud800" or char > "\udfff" for char in f"{mail}")
    read(raw, moneyback_addresses=OURS, size=MAX_SIZE + 1)


def test_spoiled_mails_are_read() -> None:
    garbage = some.builds(spoiled, some.sampled_from(MAILS), some.integers(0, 2**32))
    assert run_fuzz(garbage, is_read) > 0


def test_bytes_are_read() -> None:
    assert run_fuzz(some.binary(max_size=3_000), is_read) > 0


def test_spoiled_signatures_are_evidence_of_nothing() -> None:
    witness = SenderAuthenticator(lambda _: "v=DKIM1; k=rsa; p=AAAA", "mx.moneyback.example")
    heads = some.sampled_from(
        [
            b"DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=s; h=from:subject; bh=x; b=x\r\n",
            b"Authentication-Results: mx.moneyback.example; dkim=pass\r\n",
        ]
    )
    garbage = some.builds(
        lambda head, mail, seed: spoiled(head + mail[:5_000], seed),
        heads,
        some.sampled_from(MAILS),
        some.integers(0, 2**32),
    )

    def is_none(raw: bytes) -> None:
        assert witness.evidence(raw, "ada@example.com").get("dkim") != "pass"

    assert run_fuzz(garbage, is_none) > 0


def test_pages_have_a_text() -> None:
    words = some.sampled_from(
        [
            "<",
            ">",
            "<!--",
            "-->",
            "</",
            "<style>",
            "<p",
            "'",
            '"',
            "&#",
            "&nbsp;",
            "\ud83d\ude00",
            "\u0130",
            " " * 3_000,
        ]
    )
    assert run_fuzz(some.lists(words | some.text(max_size=5), max_size=300).map("".join), html_to_text) > 0
