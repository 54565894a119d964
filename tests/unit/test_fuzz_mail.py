"""The mail parser reads any bytes without a crash or a hang. MONEYBACK_FUZZ_SECONDS=60 runs each test for a minute."""

import random
from pathlib import Path

import pytest
from hypothesis import strategies as st

from producers.mail.html_text import html_to_text
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.parser import MAX_SIZE, read
from producers.mail.sender_authentication import SenderAuthenticator
from tests.fuzz import run_fuzz

pytestmark = pytest.mark.slow

MAILS = [path.read_bytes() for path in sorted((Path(__file__).parent.parent / "mails").glob("*.eml"))]
OUR_ADDRESSES = ["refunds@moneyback.example"]
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


def damaged(mail: bytes, seed: int) -> bytes:
    """Return a mail with one to six random changes."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 6)):
        start, end = sorted(rng.randrange(len(mail) + 1) for _ in range(2))
        end = min(end, start + rng.choice((1, 20, 2_000)))
        piece = rng.choice(PIECES) * rng.choice((1, 1, 2, 50, 5_000))
        mail = rng.choice(
            (
                mail[:start] + piece + mail[start:],
                mail[:start] + piece + mail[end:],
                mail[:start] + mail[end:],
                mail[:start] + mail[start:end] * rng.randint(2, 40) + mail[end:],
                mail[:start] + rng.randbytes(end - start) + mail[end:],
                mail[:start],
                mail[:end] + rng.choice(MAILS)[start:],
            )
        )[:400_000]
    return mail


def check_parsing(raw: bytes) -> None:
    mail = read(raw, moneyback_addresses=OUR_ADDRESSES)
    assert isinstance(mail, ParsedMail)
    assert bool(mail.requests) == (mail.kind is MailKind.REQUEST)
    assert "\0" not in f"{mail}"
    assert all(char < "\ud800" or char > "\udfff" for char in f"{mail}")
    read(raw, moneyback_addresses=OUR_ADDRESSES, size=MAX_SIZE + 1)


def test_damaged_mails_are_parsed() -> None:
    garbage = st.builds(damaged, st.sampled_from(MAILS), st.integers(0, 2**32))
    assert run_fuzz(garbage, check_parsing) > 0


def test_random_bytes_are_parsed() -> None:
    assert run_fuzz(st.binary(max_size=3_000), check_parsing) > 0


def test_damaged_signatures_do_not_pass() -> None:
    authenticator = SenderAuthenticator(lambda _: "v=DKIM1; k=rsa; p=AAAA", "mx.moneyback.example")
    headers = st.sampled_from(
        [
            b"DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=s; h=from:subject; bh=x; b=x\r\n",
            b"Authentication-Results: mx.moneyback.example; dkim=pass\r\n",
        ]
    )
    garbage = st.builds(
        lambda header, mail, seed: damaged(header + mail[:5_000], seed),
        headers,
        st.sampled_from(MAILS),
        st.integers(0, 2**32),
    )

    def check_evidence(raw: bytes) -> None:
        assert authenticator.evidence(raw, "ada@example.com").get("dkim") != "pass"

    assert run_fuzz(garbage, check_evidence) > 0


def test_random_html_is_converted_to_text() -> None:
    pieces = st.sampled_from(
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
    assert run_fuzz(st.lists(pieces | st.text(max_size=5), max_size=300).map("".join), html_to_text) > 0
