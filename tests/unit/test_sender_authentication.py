"""Tests of sender authentication: DKIM signatures, DMARC policies, and the results that our own mail server adds to a mail.

The name server is replaced by fixed records.
"""

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
OUR_MAIL_SERVER = "mx.moneyback.example"


class NameServer:
    """A name server with fixed records. `queries` are the names that were looked up."""

    def __init__(self, records: dict[str, str]) -> None:
        self.records = records
        self.queries: list[str] = []
        self.unavailable = False

    def __call__(self, name: str) -> str | None:
        self.queries.append(name)
        if self.unavailable:
            raise TimeoutError
        return self.records.get(name)


@pytest.fixture
def names() -> NameServer:
    key = f"v=DKIM1; k=rsa; p={base64.b64encode(_DER).decode()}"
    records = {
        "s._domainkey.my-shop.example": key,
        "s._domainkey.mail.my-shop.example": key,
        "s._domainkey.mallory.example": key,
        "_dmarc.my-shop.example": "v=DMARC1; p=reject",
    }
    return NameServer(records)


def signed(mail: bytes = MAIL, domain: str = "my-shop.example") -> bytes:
    header: bytes = dkim.sign(mail, b"s", domain.encode(), PEM, include_headers=[b"from", b"subject"])
    return header + mail


def test_a_signature_by_the_senders_domain_passes(names: NameServer) -> None:
    found = SenderAuthenticator(names).evidence(signed(), SENDER)
    assert found == {"dkim": "pass", "signed_by": "my-shop.example", "dmarc": "pass"}


def test_a_mail_that_was_changed_after_signing_fails(names: NameServer) -> None:
    found = SenderAuthenticator(names).evidence(signed().replace(b"0417", b"0418"), SENDER)
    assert (found["dkim"], found["dmarc"]) == ("fail", "fail")


def test_a_valid_signature_by_another_domain_fails_dmarc(names: NameServer) -> None:
    found = SenderAuthenticator(names).evidence(signed(domain="mallory.example"), SENDER)
    assert (found["dkim"], found["signed_by"], found["dmarc"]) == ("pass", "mallory.example", "fail")


def test_one_signature_by_the_senders_domain_is_enough(names: NameServer) -> None:
    found = SenderAuthenticator(names).evidence(signed(signed(), domain="mallory.example"), SENDER)
    assert (found["signed_by"], found["dmarc"]) == ("my-shop.example", "pass")


def test_strict_alignment_needs_the_exact_domain(names: NameServer) -> None:
    mail = signed(domain="mail.my-shop.example")
    assert SenderAuthenticator(names).evidence(mail, SENDER)["dmarc"] == "pass"
    names.records["_dmarc.my-shop.example"] = "v=DMARC1; p=reject; adkim=s"
    assert SenderAuthenticator(names).evidence(mail, SENDER)["dmarc"] == "fail"


def test_a_domain_without_a_policy_has_no_dmarc_result(names: NameServer) -> None:
    del names.records["_dmarc.my-shop.example"]
    assert SenderAuthenticator(names).evidence(signed(), SENDER)["dmarc"] == "none"


def test_without_a_signature_no_name_is_looked_up(names: NameServer) -> None:
    assert SenderAuthenticator(names).evidence(MAIL, SENDER) == {"dkim": "none"}
    assert names.queries == []


def test_an_unavailable_name_server_is_queried_once_for_several_mails(names: NameServer) -> None:
    names.unavailable = True
    authenticator = SenderAuthenticator(names)
    for _ in range(5):
        found = authenticator.evidence(signed(), SENDER)
        assert (found["dkim"], found["dmarc"]) == ("temperror", "temperror")
    assert len(names.queries) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"", b";;;", b"v=1", b"v=1; a=rsa-sha256; d=\xff; s=s; h=from; bh=x; b=y", b"v=1; " * 500, b"\x00"],
)
def test_a_broken_signature_does_not_pass(names: NameServer, garbage: bytes) -> None:
    assert SenderAuthenticator(names).evidence(b"DKIM-Signature: " + garbage + b"\r\n" + MAIL, SENDER)["dkim"] != "pass"


def test_the_signature_of_a_mail_with_many_spaces_or_many_lines_is_not_checked(names: NameServer) -> None:
    assert SenderAuthenticator(names).evidence(signed() + b" " * 500_000 + b"x", SENDER) == {"dkim": "policy"}
    assert SenderAuthenticator(names).evidence(signed() + b"x\r\n" * 500_000, SENDER) == {"dkim": "policy"}


RESULTS = b"Authentication-Results: %s; dkim=pass header.d=my-shop.example; spf=fail smtp.mailfrom=x.example\r\n"
RECEIVED = b"Received: from a by mx.moneyback.example; Mon, 15 Jun 2026 10:28:00 +0200\r\n"


@pytest.mark.parametrize(
    ("head", "results"),
    [
        (RESULTS % OUR_MAIL_SERVER.encode() + RECEIVED, {"dkim": "pass", "spf": "fail"}),
        (RECEIVED + RESULTS % OUR_MAIL_SERVER.encode(), None),
        (RESULTS % b"mx.elsewhere.example" + RECEIVED, None),
        (RESULTS % b"mx.moneyback.example.evil.example", None),
        (RESULTS % b"(mx.moneyback.example) evil.example", None),
        (b"Authentication-Results: mx.moneyback.example" + b";" * 9_000 + b"\r\n", None),
    ],
)
def test_only_results_of_our_own_mail_server_are_used(
    names: NameServer, head: bytes, results: dict[str, str] | None
) -> None:
    assert SenderAuthenticator(names, OUR_MAIL_SERVER).evidence(head + MAIL, SENDER).get("results") == results


def test_without_the_name_of_our_mail_server_all_results_are_ignored(names: NameServer) -> None:
    assert "results" not in SenderAuthenticator(names).evidence(RESULTS % OUR_MAIL_SERVER.encode() + MAIL, SENDER)


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
def test_authentication_results_are_parsed_as_rfc_8601_defines(
    names: NameServer, field: str, results: dict[str, str] | None
) -> None:
    head = f"Authentication-Results: {field}\r\n".encode()
    assert SenderAuthenticator(names, OUR_MAIL_SERVER).evidence(head + MAIL, SENDER).get("results") == results


def dmarc(names: NameServer, policies: dict[str, str], sender: str, signed_by: str) -> str:
    """Return the DMARC result of a mail. `sender` is its sender, and the domain `signed_by` has signed it.

    `policies` contains the DMARC record of each domain.
    """
    for name in [name for name in names.records if name.startswith("_dmarc.")]:
        del names.records[name]
    names.records |= {f"_dmarc.{domain}": policy for domain, policy in policies.items()}
    names.records[f"s._domainkey.{signed_by}"] = names.records["s._domainkey.my-shop.example"]
    mail = MAIL.replace(SENDER.encode(), sender.encode())
    found = SenderAuthenticator(names).evidence(signed(mail, domain=signed_by), sender)
    assert found["dkim"] == "pass"
    return str(found["dmarc"])


NO_ACTION = "v=DMARC1; p=none"
DEEP_DOMAIN = "a.b.c.d.e.f.g.h.i.j.k.example.com"


@pytest.mark.parametrize(
    ("policies", "sender", "signed_by", "result"),
    [
        (
            {"example.com": NO_ACTION, "signing.example.com": NO_ACTION},
            "ada@example.com",
            "signing.example.com",
            "pass",
        ),
        (
            {"example.com": NO_ACTION, "signing.example.com": NO_ACTION},
            f"ada@{DEEP_DOMAIN}",
            "signing.example.com",
            "pass",
        ),
        (
            {"bank.example": "v=DMARC1; p=none; psd=y", "giant.bank.example": NO_ACTION},
            "ada@giant.bank.example",
            "mail.giant.bank.example",
            "pass",
        ),
        (
            {"bank.example": "v=DMARC1; p=none; psd=y", "giant.bank.example": NO_ACTION},
            "ada@giant.bank.example",
            "mail.mega.bank.example",
            "fail",
        ),
        ({"bank.example": "v=DMARC1; p=none; psd=y"}, "ada@giant.bank.example", "mail.giant.bank.example", "pass"),
        (
            {"example.com": NO_ACTION, "mail.example.com": "v=DMARC1; p=none; psd=n"},
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
def test_the_policy_is_found_by_a_dns_tree_walk(
    names: NameServer, policies: dict[str, str], sender: str, signed_by: str, result: str
) -> None:
    assert dmarc(names, policies, sender, signed_by) == result


def test_a_tree_walk_makes_at_most_eight_queries_and_repeats_none(names: NameServer) -> None:
    dmarc(names, {}, f"ada@{DEEP_DOMAIN}", f"x.{DEEP_DOMAIN}")
    parents = (
        "g.h.i.j.k.example.com h.i.j.k.example.com i.j.k.example.com j.k.example.com k.example.com example.com com"
    )
    walked = [name.removeprefix("_dmarc.") for name in names.queries if name.startswith("_dmarc.")]
    assert walked == [DEEP_DOMAIN, *parents.split(), f"x.{DEEP_DOMAIN}"]


class Resolver:
    """A replacement for this machine's DNS resolver. It returns fixed records or raises an error."""

    def __init__(self, *records: bytes, error: type[Exception] | None = None) -> None:
        self._records, self._error = records, error

    def resolve(self, name: str, kind: str, *, lifetime: float) -> list[SimpleNamespace]:
        assert (name, kind, lifetime) == ("name.example", "TXT", LOOK_UP_SECONDS)
        if self._error:
            raise self._error
        return [SimpleNamespace(strings=(record[:5], record[5:])) for record in self._records]


@pytest.mark.parametrize(
    ("resolver", "text"),
    [
        (Resolver(b"other text", b"v=DMARC1; p=none"), "v=DMARC1; p=none"),
        (Resolver(b"v=DMARC1; p=none", b"v=DMARC1; p=reject"), None),
        (Resolver(b"other text"), "other text"),
        (Resolver(error=dns.resolver.NXDOMAIN), None),
        (Resolver(error=dns.name.LabelTooLong), None),
        (Resolver(error=dns.name.NameTooLong), None),
    ],
)
def test_a_text_record_is_chosen_from_the_response(
    monkeypatch: pytest.MonkeyPatch, resolver: Resolver, text: str | None
) -> None:
    monkeypatch.setattr(dns.resolver, "resolve", resolver.resolve)
    assert look_up_text("name.example") == text


def test_a_timeout_of_the_resolver_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.resolver, "resolve", Resolver(error=dns.exception.Timeout).resolve)
    with pytest.raises(TimeoutError, match="No DNS server answered: Timeout"):
        look_up_text("name.example")
