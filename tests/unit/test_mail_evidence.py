"""Signatures and what our own mail server found, without a name server: the records are a table here."""

import base64

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from producers.mail.evidence import Witness

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
_DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
MAIL = b"From: Ada <ada@my-shop.example>\r\nSubject: Refund\r\n\r\nPlease refund MB-2026-0417.\r\n"
SENDER = "ada@my-shop.example"
OURS = "mx.moneyback.example"


class Names:
    """A name server, with what was asked."""

    def __init__(self, records: dict[str, str]) -> None:
        self.records = records
        self.asked: list[str] = []
        self.away = False

    def __call__(self, name: str) -> str | None:
        self.asked.append(name)
        if self.away:
            raise TimeoutError
        return self.records.get(name)


@pytest.fixture
def names() -> Names:
    key = f"v=DKIM1; k=rsa; p={base64.b64encode(_DER).decode()}"
    records = {
        "s._domainkey.my-shop.example": key,
        "s._domainkey.mail.my-shop.example": key,
        "s._domainkey.mallory.example": key,
        "_dmarc.my-shop.example": "v=DMARC1; p=reject",
    }
    return Names(records)


def signed(mail: bytes = MAIL, domain: str = "my-shop.example") -> bytes:
    header: bytes = dkim.sign(mail, b"s", domain.encode(), PEM, include_headers=[b"from", b"subject"])
    return header + mail


def test_a_signature_of_the_senders_domain_passes(names: Names) -> None:
    found = Witness(names).evidence(signed(), SENDER)
    assert found == {"dkim": "pass", "signed_by": "my-shop.example", "dmarc": "pass"}


def test_what_was_changed_on_the_way_fails(names: Names) -> None:
    found = Witness(names).evidence(signed().replace(b"0417", b"0418"), SENDER)
    assert (found["dkim"], found["dmarc"]) == ("fail", "fail")


def test_a_strangers_signature_holds_and_says_nothing_of_the_sender(names: Names) -> None:
    found = Witness(names).evidence(signed(domain="mallory.example"), SENDER)
    assert (found["dkim"], found["signed_by"], found["dmarc"]) == ("pass", "mallory.example", "fail")


def test_one_of_several_signatures_is_enough(names: Names) -> None:
    found = Witness(names).evidence(signed(signed(), domain="mallory.example"), SENDER)
    assert (found["signed_by"], found["dmarc"]) == ("my-shop.example", "pass")


def test_a_domain_may_want_its_own_name_exactly(names: Names) -> None:
    mail = signed(domain="mail.my-shop.example")
    assert Witness(names).evidence(mail, SENDER)["dmarc"] == "pass"
    names.records["_dmarc.my-shop.example"] = "v=DMARC1; p=reject; adkim=s"
    assert Witness(names).evidence(mail, SENDER)["dmarc"] == "fail"


def test_a_domain_without_a_policy_has_none(names: Names) -> None:
    del names.records["_dmarc.my-shop.example"]
    assert Witness(names).evidence(signed(), SENDER)["dmarc"] == "none"


def test_without_a_signature_nobody_is_asked(names: Names) -> None:
    assert Witness(names).evidence(MAIL, SENDER) == {"dkim": "none"}
    assert names.asked == []


def test_a_name_server_that_is_away_is_asked_once_for_many_mails(names: Names) -> None:
    names.away = True
    witness = Witness(names)
    for _ in range(5):
        found = witness.evidence(signed(), SENDER)
        assert (found["dkim"], found["dmarc"]) == ("temperror", "temperror")
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"", b";;;", b"v=1", b"v=1; a=rsa-sha256; d=\xff; s=s; h=from; bh=x; b=y", b"v=1; " * 500, b"\x00"],
)
def test_a_broken_signature_is_none_that_holds(names: Names, garbage: bytes) -> None:
    assert Witness(names).evidence(b"DKIM-Signature: " + garbage + b"\r\n" + MAIL, SENDER)["dkim"] != "pass"


def test_what_would_take_the_library_minutes_is_not_looked_at(names: Names) -> None:
    assert Witness(names).evidence(signed() + b" " * 500_000 + b"x", SENDER) == {"dkim": "policy"}
    assert Witness(names).evidence(signed() + b"x\r\n" * 500_000, SENDER) == {"dkim": "policy"}


RESULTS = b"Authentication-Results: %s; dkim=pass header.d=my-shop.example; spf=fail smtp.mailfrom=x.example\r\n"
RECEIVED = b"Received: from a by mx.moneyback.example; Mon, 15 Jun 2026 10:28:00 +0200\r\n"


@pytest.mark.parametrize(
    ("head", "results"),
    [
        (RESULTS % OURS.encode() + RECEIVED, {"dkim": "pass", "spf": "fail"}),
        (RECEIVED + RESULTS % OURS.encode(), None),
        (RESULTS % b"mx.elsewhere.example" + RECEIVED, None),
        (RESULTS % b"mx.moneyback.example.evil.example", None),
        (RESULTS % b"(mx.moneyback.example) evil.example", None),
        (b"Authentication-Results: mx.moneyback.example" + b";" * 9_000 + b"\r\n", None),
    ],
)
def test_only_our_own_mail_servers_findings_count(names: Names, head: bytes, results: dict[str, str] | None) -> None:
    assert Witness(names, OURS).evidence(head + MAIL, SENDER).get("results") == results


def test_without_the_name_of_our_mail_server_nobodys_findings_count(names: Names) -> None:
    assert "results" not in Witness(names).evidence(RESULTS % OURS.encode() + MAIL, SENDER)
