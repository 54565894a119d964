"""Signatures and what our own mail server found, without a name server: the records are a table here."""

import base64
from types import SimpleNamespace

import dkim
import dns.exception
import dns.name
import dns.resolver
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from producers.mail.sender_authentication import LOOK_UP_SECONDS, SenderAuthenticator, look_up_text

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
    found = SenderAuthenticator(names).evidence(signed(), SENDER)
    assert found == {"dkim": "pass", "signed_by": "my-shop.example", "dmarc": "pass"}


def test_what_was_changed_on_the_way_fails(names: Names) -> None:
    found = SenderAuthenticator(names).evidence(signed().replace(b"0417", b"0418"), SENDER)
    assert (found["dkim"], found["dmarc"]) == ("fail", "fail")


def test_a_strangers_signature_holds_and_says_nothing_of_the_sender(names: Names) -> None:
    found = SenderAuthenticator(names).evidence(signed(domain="mallory.example"), SENDER)
    assert (found["dkim"], found["signed_by"], found["dmarc"]) == ("pass", "mallory.example", "fail")


def test_one_of_several_signatures_is_enough(names: Names) -> None:
    found = SenderAuthenticator(names).evidence(signed(signed(), domain="mallory.example"), SENDER)
    assert (found["signed_by"], found["dmarc"]) == ("my-shop.example", "pass")


def test_a_domain_may_want_its_own_name_exactly(names: Names) -> None:
    mail = signed(domain="mail.my-shop.example")
    assert SenderAuthenticator(names).evidence(mail, SENDER)["dmarc"] == "pass"
    names.records["_dmarc.my-shop.example"] = "v=DMARC1; p=reject; adkim=s"
    assert SenderAuthenticator(names).evidence(mail, SENDER)["dmarc"] == "fail"


def test_a_domain_without_a_policy_has_none(names: Names) -> None:
    del names.records["_dmarc.my-shop.example"]
    assert SenderAuthenticator(names).evidence(signed(), SENDER)["dmarc"] == "none"


def test_without_a_signature_nobody_is_asked(names: Names) -> None:
    assert SenderAuthenticator(names).evidence(MAIL, SENDER) == {"dkim": "none"}
    assert names.asked == []


def test_a_name_server_that_is_away_is_asked_once_for_many_mails(names: Names) -> None:
    names.away = True
    witness = SenderAuthenticator(names)
    for _ in range(5):
        found = witness.evidence(signed(), SENDER)
        assert (found["dkim"], found["dmarc"]) == ("temperror", "temperror")
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"", b";;;", b"v=1", b"v=1; a=rsa-sha256; d=\xff; s=s; h=from; bh=x; b=y", b"v=1; " * 500, b"\x00"],
)
def test_a_broken_signature_is_none_that_holds(names: Names, garbage: bytes) -> None:
    assert SenderAuthenticator(names).evidence(b"DKIM-Signature: " + garbage + b"\r\n" + MAIL, SENDER)["dkim"] != "pass"


def test_what_would_take_the_library_minutes_is_not_looked_at(names: Names) -> None:
    assert SenderAuthenticator(names).evidence(signed() + b" " * 500_000 + b"x", SENDER) == {"dkim": "policy"}
    assert SenderAuthenticator(names).evidence(signed() + b"x\r\n" * 500_000, SENDER) == {"dkim": "policy"}


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
    assert SenderAuthenticator(names, OURS).evidence(head + MAIL, SENDER).get("results") == results


def test_without_the_name_of_our_mail_server_nobodys_findings_count(names: Names) -> None:
    assert "results" not in SenderAuthenticator(names).evidence(RESULTS % OURS.encode() + MAIL, SENDER)


@pytest.mark.parametrize(
    ("field", "results"),
    [
        ("mx.moneyback.example; dkim=pass (2048-bit key; good) header.d=x.example", {"dkim": "pass"}),
        ("(a (nested) comment; spf=pass) mx.moneyback.example 1; dkim=fail", {"dkim": "fail"}),
        ('"mx.moneyback.example"; spf=pass', {"spf": "pass"}),
        (r'mx.moneyback.example; dkim=fail reason="no ; dkim=pass \" key" header.d=x.example', {"dkim": "fail"}),
        (
            "MX.Moneyback.Example;\r\n DKIM = Pass;\r\n dmarc / 1 = fail header.from=x.example;",
            {"dkim": "pass", "dmarc": "fail"},
        ),
        ('mx.moneyback.example; spf=fail (a comment that quotes " and \\) ends here) smtp.mailfrom=x', {"spf": "fail"}),
        ("mx.moneyback.example; none", None),
        ("mx.moneyback.example (no end; dkim=pass", None),
        ('mx.moneyback.example; dkim=pass reason="no end', None),
        ("mx.moneyback.example; dkim=", None),
        ("mx.moneyback.example two; dkim=pass", None),
        ("evil.example; dkim=pass (; mx.moneyback.example; dkim=pass)", None),
    ],
)
def test_a_field_is_read_as_its_standard_says(names: Names, field: str, results: dict[str, str] | None) -> None:
    head = f"Authentication-Results: {field}\r\n".encode()
    assert SenderAuthenticator(names, OURS).evidence(head + MAIL, SENDER).get("results") == results


def dmarc(names: Names, policies: dict[str, str], sender: str, signed_by: str) -> str:
    """The result for a mail of this sender, signed by this domain, where these domains publish these policies."""
    for name in [name for name in names.records if name.startswith("_dmarc.")]:
        del names.records[name]
    names.records |= {f"_dmarc.{domain}": policy for domain, policy in policies.items()}
    names.records[f"s._domainkey.{signed_by}"] = names.records["s._domainkey.my-shop.example"]
    mail = MAIL.replace(SENDER.encode(), sender.encode())
    found = SenderAuthenticator(names).evidence(signed(mail, domain=signed_by), sender)
    assert found["dkim"] == "pass"
    return str(found["dmarc"])


SOME = "v=DMARC1; p=none"
DEEP = "a.b.c.d.e.f.g.h.i.j.k.example.com"


@pytest.mark.parametrize(
    ("policies", "sender", "signed_by", "result"),
    [
        ({"example.com": SOME, "signing.example.com": SOME}, "ada@example.com", "signing.example.com", "pass"),
        ({"example.com": SOME, "signing.example.com": SOME}, f"ada@{DEEP}", "signing.example.com", "pass"),
        (
            {"bank.example": "v=DMARC1; p=none; psd=y", "giant.bank.example": SOME},
            "ada@giant.bank.example",
            "mail.giant.bank.example",
            "pass",
        ),
        (
            {"bank.example": "v=DMARC1; p=none; psd=y", "giant.bank.example": SOME},
            "ada@giant.bank.example",
            "mail.mega.bank.example",
            "fail",
        ),
        ({"bank.example": "v=DMARC1; p=none; psd=y"}, "ada@giant.bank.example", "mail.giant.bank.example", "pass"),
        (
            {"example.com": SOME, "mail.example.com": "v=DMARC1; p=none; psd=n"},
            "a@mail.example.com",
            "example.com",
            "fail",
        ),
        ({"example.com": "v=DMARC1;p=none;;nonsense;X=y; ADKIM = S"}, "ada@example.com", "a.example.com", "fail"),
        ({"example.com": "v=DMARC1; rua=mailto:reports@example.com"}, "ada@example.com", "example.com", "pass"),
        ({"example.com": "v=DMARC1; p=perhaps"}, "ada@example.com", "example.com", "none"),
        ({"example.com": "v=dmarc1; p=none"}, "ada@example.com", "example.com", "none"),
        ({"example.com": "p=none; v=DMARC1"}, "ada@example.com", "example.com", "none"),
        ({}, "ada@example.com", "example.com", "none"),
    ],
)
def test_a_policy_is_found_by_a_walk_up_the_tree_of_names(
    names: Names, policies: dict[str, str], sender: str, signed_by: str, result: str
) -> None:
    assert dmarc(names, policies, sender, signed_by) == result


def test_a_walk_asks_eight_times_at_the_most_and_for_no_name_twice(names: Names) -> None:
    dmarc(names, {}, f"ada@{DEEP}", f"x.{DEEP}")
    above = "g.h.i.j.k.example.com h.i.j.k.example.com i.j.k.example.com j.k.example.com k.example.com example.com com"
    walked = [name.removeprefix("_dmarc.") for name in names.asked if name.startswith("_dmarc.")]
    assert walked == [DEEP, *above.split(), f"x.{DEEP}"]


class Servers:
    """The name servers of this machine, which answer with these records or with this error."""

    def __init__(self, *records: bytes, error: type[Exception] | None = None) -> None:
        self._records, self._error = records, error

    def resolve(self, name: str, kind: str, *, lifetime: float) -> list[SimpleNamespace]:
        assert (name, kind, lifetime) == ("name.example", "TXT", LOOK_UP_SECONDS)
        if self._error:
            raise self._error
        return [SimpleNamespace(strings=(record[:5], record[5:])) for record in self._records]


@pytest.mark.parametrize(
    ("servers", "text"),
    [
        (Servers(b"other words", b"v=DMARC1; p=none"), "v=DMARC1; p=none"),
        (Servers(b"v=DMARC1; p=none", b"v=DMARC1; p=reject"), None),
        (Servers(b"other words"), "other words"),
        (Servers(error=dns.resolver.NXDOMAIN), None),
        (Servers(error=dns.name.LabelTooLong), None),
        (Servers(error=dns.name.NameTooLong), None),
    ],
)
def test_what_the_name_servers_say(monkeypatch: pytest.MonkeyPatch, servers: Servers, text: str | None) -> None:
    monkeypatch.setattr(dns.resolver, "resolve", servers.resolve)
    assert look_up_text("name.example") == text


def test_name_servers_that_do_not_answer_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.resolver, "resolve", Servers(error=dns.exception.Timeout).resolve)
    with pytest.raises(TimeoutError, match="No DNS server answered: Timeout"):
        look_up_text("name.example")
