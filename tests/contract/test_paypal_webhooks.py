"""PayPal's webhooks: what is signed by a certificate of PayPal's over our webhook's id, and fifty things that are not."""

import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.provider_accounts import PayPalAccount
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent
from tests.contract.specs.judge import Judge
from tests.doubles.faulty_server import FaultyServer, HttpResponse
from worker.providers.paypal.webhook_certificates import (
    MAX_CACHED,
    CertificateCache,
    CertificateError,
    create_fetcher,
    load_trusted_roots,
)
from worker.providers.paypal.webhooks import SUBJECTS, PayPalWebhookParser, create_webhook_parser

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENT = "2026-11-22T11:59:58Z"
OURS = "5GP028458E2496506"
ADDRESS = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-90621ecd"
SIGNER = "messageverificationcerts.paypal.com"
CHARGE = "2GG279541U471931P"
REFUND = "1JU08902781691411"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Authority:
    """Somebody who signs certificates; below another one where it has a ``parent``."""

    name: str
    parent: "Authority | None" = None
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def __post_init__(self) -> None:
        above = self.parent or self
        self.certificate = _certificate(self.name, above, self.key.public_key(), is_authority=True)

    def signs(
        self,
        name: str,
        key: Key,
        *,
        begins: datetime = NOON - timedelta(days=30),
        ends: datetime = NOON + timedelta(days=30),
        issuer_at: str = "",
    ) -> x509.Certificate:
        return _certificate(name, self, key.public_key(), begins=begins, ends=ends, issuer_at=issuer_at)


def _certificate(
    name: str,
    issuer: Authority,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    *,
    is_authority: bool = False,
    begins: datetime = NOON - timedelta(days=30),
    ends: datetime = NOON + timedelta(days=30),
    issuer_at: str = "",
) -> x509.Certificate:
    usage = dict.fromkeys(
        [
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    signing = x509.KeyUsage(
        digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **usage
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer.name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(signing, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if not is_authority:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if issuer_at:
        ways = [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(text))
            for method, text in (
                (AuthorityInformationAccessOID.OCSP, "http://ocsp.digicert.com"),
                (AuthorityInformationAccessOID.CA_ISSUERS, issuer_at),
            )
        ]
        made = made.add_extension(x509.AuthorityInformationAccess(ways), critical=False)
    return made.sign(issuer.key, hashes.SHA256())


ROOT = Authority("A Root That Everybody Trusts")
BETWEEN = Authority("An Authority Below It", ROOT)
STRANGER = Authority("A Root That Nobody Knows")
KEY = rsa.generate_private_key(65537, 2048)
PAYPAL = BETWEEN.signs(SIGNER, KEY)


def pem(*chain: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def reading(
    chain: bytes = pem(PAYPAL, BETWEEN.certificate), *, ids: str = OURS, fetched: list[str] | None = None
) -> PayPalWebhookParser:
    def fetch(address: str) -> bytes:
        if fetched is not None:
            fetched.append(address)
        return chain

    return PayPalWebhookParser(ids, CertificateCache(fetch, [ROOT.certificate]))


def an_event(kind: str = "PAYMENT.CAPTURE.REFUNDED", **resource: object) -> dict[str, Any]:
    up = {"rel": "up", "method": "GET", "href": f"https://api.paypal.com/v2/payments/captures/{CHARGE}"}
    return {
        "id": "WH-1GE84257G0350133W-6RW800890C634293G",
        "create_time": "2026-11-22T11:59:57Z",
        "resource_type": "refund",
        "event_type": kind,
        "summary": "A $ 19.99 USD capture payment was refunded",
        "resource": {"id": REFUND, "status": "COMPLETED", "links": [up]} | resource,
        "event_version": "1.0",
    }


def signed(body: bytes, key: Key = KEY, *, ours: str = OURS, sent: str = SENT, **changes: str) -> dict[str, str]:
    said = f"69cd13f0-d67a-11e5-baa3-778b53f4ae55|{sent}|{ours}|{zlib.crc32(body)}".encode()
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(said, PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(said, ec.ECDSA(hashes.SHA256()))
    headers = {
        "paypal-transmission-id": "69cd13f0-d67a-11e5-baa3-778b53f4ae55",
        "paypal-transmission-time": sent,
        "paypal-transmission-sig": b64encode(signature).decode(),
        "paypal-cert-url": ADDRESS,
        "paypal-auth-algo": "SHA256withRSA",
    }
    return headers | {f"paypal-{name.replace('_', '-')}": value for name, value in changes.items()}


BODY = json.dumps(an_event()).encode()
NOTICE = WebhookEvent("WH-1GE84257G0350133W-6RW800890C634293G", Subject.REFUND, CHARGE, REFUND)


def test_a_refund_makes_us_look() -> None:
    assert reading().read(signed(BODY), BODY, NOON) == [NOTICE]
    assert reading().answer == b""


def test_what_is_signed_and_told_is_as_paypals_own_description_has_it() -> None:
    judge = Judge("paypal-webhooks-v1-verify.json")
    headers = signed(BODY)
    names = ("auth-algo", "cert-url", "transmission-id", "transmission-sig", "transmission-time")
    told = {name.replace("-", "_"): headers[f"paypal-{name}"] for name in names}
    judge.check("verify_webhook_signature", told | {"webhook_id": OURS, "webhook_event": json.loads(BODY)})
    assert judge.complaints == []


def test_the_body_is_signed_as_it_is() -> None:
    body = b"\r\n" + json.dumps(an_event(), indent=2).encode() + b" \n"
    assert reading().read(signed(body), body, NOON) == [NOTICE]


def read(event: dict[str, Any]) -> list[WebhookEvent] | InvalidSignature:
    body = json.dumps(event).encode()
    answer = reading().read(signed(body), body, NOON)
    return answer if isinstance(answer, InvalidSignature) else [*answer]


@pytest.mark.parametrize("kind", [kind for kind in SUBJECTS if not kind.startswith("CUSTOMER")])
def test_every_event_says_what_it_is_about(kind: str) -> None:
    about = Subject.DISPUTE if kind.endswith("REVERSED") else Subject.REFUND
    assert read(an_event(kind)) == [WebhookEvent(NOTICE.event_id, about, CHARGE, REFUND)]


def test_a_refunded_subscription_names_its_sale() -> None:
    event = an_event("PAYMENT.SALE.REFUNDED", sale_id="9T0916710M1105906", links=[])
    assert read(event) == [WebhookEvent(NOTICE.event_id, Subject.REFUND, "9T0916710M1105906", REFUND)]


@pytest.mark.parametrize("kind", [kind for kind in SUBJECTS if kind.startswith("CUSTOMER")])
def test_a_dispute_names_its_captures(kind: str) -> None:
    rows = [{"seller_transaction_id": id_} for id_ in (CHARGE, "OTHER", CHARGE)] + [{}]
    assert read(an_event(kind, dispute_id="PP-D-27803", disputed_transactions=rows)) == [
        WebhookEvent(f"{NOTICE.event_id}/{CHARGE}", Subject.DISPUTE, CHARGE),
        WebhookEvent(f"{NOTICE.event_id}/OTHER", Subject.DISPUTE, "OTHER"),
    ]


def test_what_is_none_of_our_business_is_left_alone() -> None:
    assert read(an_event("PAYMENT.CAPTURE.COMPLETED")) == []


def test_a_charge_that_is_not_named_is_none() -> None:
    assert read(an_event(links=[])) == [WebhookEvent(NOTICE.event_id, Subject.REFUND, None, REFUND)]
    assert read(an_event(links=None, id=7)) == [WebhookEvent(NOTICE.event_id, Subject.REFUND)]


@pytest.mark.parametrize(
    "event",
    [
        [],
        7,
        {},
        {"event_type": []},
        an_event() | {"id": ""},
        an_event() | {"id": "x" * 101},
        an_event() | {"resource": 7},
        an_event(links=7),
        an_event(links=[7]),
        an_event("CUSTOMER.DISPUTE.CREATED", disputed_transactions=[7]),
        an_event("CUSTOMER.DISPUTE.CREATED"),
    ],
)
def test_a_signed_event_that_cannot_be_read_is_refused(event: Any) -> None:
    assert isinstance(read(event), InvalidSignature)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    assert isinstance(reading().read(signed(body), body, NOON), InvalidSignature)


def test_both_webhooks_count_while_one_takes_the_others_place() -> None:
    both = reading(ids=f"1AB23456CD789012E, {OURS}")
    assert both.read(signed(BODY), BODY, NOON) == [NOTICE]
    assert both.read(signed(BODY, ours="1AB23456CD789012E"), BODY, NOON) == [NOTICE]


@pytest.mark.parametrize("ids", ["", " , ", "WEBHOOK_ID"])
def test_without_an_id_nothing_is_proven(ids: str) -> None:
    assert isinstance(reading(ids=ids).read(signed(BODY, ours=ids), BODY, NOON), InvalidSignature)


OTHER_KEY = rsa.generate_private_key(65537, 2048)
FORGED: dict[str, Callable[[], Mapping[str, str]]] = {
    "of another webhook": lambda: signed(BODY, ours="1AB23456CD789012E"),
    "of another body": lambda: signed(BODY + b" "),
    "of another key": lambda: signed(BODY, OTHER_KEY),
    "of another time": lambda: signed(BODY, transmission_time="2026-11-22T11:59:59Z"),
    "of another transmission": lambda: signed(BODY, transmission_id="69cd13f0"),
    "of four days ago": lambda: signed(BODY, sent="2026-11-18T12:00:00Z"),
    "of the future": lambda: signed(BODY, sent="2026-11-22T12:05:01Z"),
    "of no time": lambda: signed(BODY, sent="noon"),
    "of no such day": lambda: signed(BODY, sent="2026-11-31T12:00:00Z"),
    "of no zone": lambda: signed(BODY, sent="2026-11-22T11:59:58"),
    "with a line in its time": lambda: signed(BODY, sent=f"{SENT}\n"),
    "of another kind": lambda: signed(BODY, auth_algo="SHA1withRSA"),
    "of no kind": lambda: signed(BODY, auth_algo=""),
    "of nothing": lambda: signed(BODY, transmission_sig=""),
    "of no base64": lambda: signed(BODY, transmission_sig="%%%%"),
    "of no ASCII": lambda: signed(BODY, transmission_sig="ä"),
    "that is too long": lambda: signed(BODY, transmission_id="x" * 1001),
    "with half a character": lambda: signed(BODY, transmission_id="\udcff"),
    "by PSS": lambda: signed(BODY) | {"paypal-transmission-sig": _by_pss()},
    "without headers": dict,
}


def _by_pss() -> str:
    said = f"69cd13f0-d67a-11e5-baa3-778b53f4ae55|{SENT}|{OURS}|{zlib.crc32(BODY)}".encode()
    padding = PSS(MGF1(hashes.SHA256()), PSS.MAX_LENGTH)
    return b64encode(KEY.sign(said, padding, hashes.SHA256())).decode()


@pytest.mark.parametrize("how", FORGED)
def test_a_signature_proves_nothing(how: str) -> None:
    assert isinstance(reading().read(FORGED[how](), BODY, NOON), InvalidSignature)


@pytest.mark.parametrize("how", [how for how in FORGED if not how.startswith(("of another", "by", "with half"))])
def test_for_what_is_wrong_at_first_sight_nothing_is_fetched(how: str) -> None:
    fetched: list[str] = []
    reading(fetched=fetched).read(FORGED[how](), BODY, NOON)
    assert fetched == []


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=3), timedelta(minutes=-5)])
def test_paypal_may_try_for_three_days(age: timedelta) -> None:
    """And its clock may be five minutes before ours."""
    sent = (NOON - age).isoformat()
    assert reading().read(signed(BODY, sent=sent), BODY, NOON) == [NOTICE]


ELSEWHERE = [
    "http://api.paypal.com/v1/notifications/certs/CERT-1",
    "https://paypal.com.example.org/CERT-1",
    "https://paypal.com/CERT-1",
    "https://evilpaypal.com/CERT-1",
    "https://evil-paypal.com/CERT-1",
    "https://api.paypal.com@example.org/CERT-1",
    "https://user:word@api.paypal.com/CERT-1",
    "https://api.paypal.com:8443/CERT-1",
    "https://api.paypal.com\\@example.org/CERT-1",
    "https://example.org/api.paypal.com/CERT-1",
    "https://example.org#.paypal.com/CERT-1",
    "https://example.org?.paypal.com/CERT-1",
    "https://api.paypal.com/../CERT-1",
    "https://api.paypal.com/CERT-1?a=b",
    "https://api.paypal.com/CERT-1#a",
    "https://api.paypal.com/CERT-1\n",
    "https://api.paypal.com/",
    "https://API.PAYPAL.COM/CERT-1",
    "https://.paypal.com/CERT-1",
    "https://127.0.0.1/CERT-1",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_a_certificate_is_fetched_from_paypal_only(address: str) -> None:
    fetched: list[str] = []
    assert isinstance(reading(fetched=fetched).read(signed(BODY, cert_url=address), BODY, NOON), InvalidSignature)
    assert fetched == []


@pytest.mark.parametrize("host", ["api.sandbox.paypal.com", "api-m.paypal.com", "www.paypal.com"])
def test_any_host_of_paypals_may_have_it(host: str) -> None:
    headers = signed(BODY, cert_url=f"https://{host}/v1/notifications/certs/CERT-1")
    assert reading().read(headers, BODY, NOON) == [NOTICE]


CURVE = ec.generate_private_key(ec.SECP256R1())
WEAK = rsa.generate_private_key(65537, 1024)
CHAINS: dict[str, tuple[Key, Callable[[], bytes]]] = {
    "of a root that nobody knows": (
        KEY,
        lambda: pem(STRANGER.signs(SIGNER, KEY), STRANGER.certificate),
    ),
    "without the one between": (KEY, lambda: pem(PAYPAL)),
    "of somebody else": (KEY, lambda: pem(BETWEEN.signs("www.example.org", KEY), BETWEEN.certificate)),
    "of another host of PayPal's": (KEY, lambda: pem(BETWEEN.signs("www.paypal.com", KEY), BETWEEN.certificate)),
    "that is over": (
        KEY,
        lambda: pem(BETWEEN.signs(SIGNER, KEY, ends=NOON - timedelta(seconds=1)), BETWEEN.certificate),
    ),
    "that has not begun": (
        KEY,
        lambda: pem(BETWEEN.signs(SIGNER, KEY, begins=NOON + timedelta(seconds=1)), BETWEEN.certificate),
    ),
    "of a curve": (CURVE, lambda: pem(BETWEEN.signs(SIGNER, CURVE), BETWEEN.certificate)),
    "of a weak key": (WEAK, lambda: pem(BETWEEN.signs(SIGNER, WEAK), BETWEEN.certificate)),
    "signed by no authority": (KEY, lambda: pem(_by_a_leaf(), PAYPAL, BETWEEN.certificate)),
    "of an authority": (BETWEEN.key, lambda: pem(BETWEEN.certificate)),
    "with a long chain": (KEY, lambda: pem(PAYPAL, *[BETWEEN.certificate] * 8)),
    "that is a page": (KEY, lambda: b"<html>"),
    "that is cut": (KEY, lambda: pem(PAYPAL)[:-100]),
    "that is nothing": (KEY, lambda: b""),
}


def _by_a_leaf() -> x509.Certificate:
    leaf = Authority(SIGNER)
    leaf.key = KEY
    return leaf.signs(SIGNER, KEY)


@pytest.mark.parametrize("which", CHAINS)
def test_a_certificate_proves_nothing(which: str) -> None:
    key, chain = CHAINS[which]
    assert isinstance(reading(chain()).read(signed(BODY, key), BODY, NOON), InvalidSignature)


AT_DIGICERT = "http://cacerts.digicert.com/DigiCertSHA2ExtendedValidationServerCA.crt"


@pytest.mark.parametrize(
    ("issuer", "is_believed"),
    [
        (BETWEEN.certificate.public_bytes(Encoding.DER), True),
        (pem(BETWEEN.certificate), True),
        (STRANGER.certificate.public_bytes(Encoding.DER), False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_who_signed_a_certificate_that_comes_alone_is_asked_of_digicert(issuer: bytes, *, is_believed: bool) -> None:
    alone = pem(BETWEEN.signs(SIGNER, KEY, issuer_at=AT_DIGICERT))
    there = {ADDRESS: alone, AT_DIGICERT: issuer}
    asking = PayPalWebhookParser(OURS, CertificateCache(there.__getitem__, [ROOT.certificate]))
    answer = asking.read(signed(BODY), BODY, NOON)
    assert answer == [NOTICE] if is_believed else isinstance(answer, InvalidSignature)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://cacerts.digicert.com.example.org/a.crt",
        "http://cacerts.digicert.com@example.org/a.crt",
        "http://cacerts.digicert.com:8080/a.crt",
        "http://cacerts.digicert.com/a/../b.crt",
        "http://cacerts.digicert.com/a.crt?b",
        "ldap://cacerts.digicert.com/a.crt",
        "file:///etc/passwd",
    ],
)
def test_a_certificate_sends_us_nowhere_else(elsewhere: str) -> None:
    fetched: list[str] = []
    alone = pem(BETWEEN.signs(SIGNER, KEY, issuer_at=elsewhere))
    assert isinstance(reading(alone, fetched=fetched).read(signed(BODY), BODY, NOON), InvalidSignature)
    assert fetched == [ADDRESS]


def test_the_sandboxs_certificate_is_paypals_too() -> None:
    chain = pem(BETWEEN.signs("messageverificationcerts.sandbox.paypal.com", KEY), BETWEEN.certificate)
    assert reading(chain).read(signed(BODY), BODY, NOON) == [NOTICE]


def test_a_certificate_is_fetched_once_and_checked_each_time() -> None:
    fetched: list[str] = []
    kept = reading(fetched=fetched)
    for _ in range(3):
        assert kept.read(signed(BODY), BODY, NOON) == [NOTICE]
    assert fetched == [ADDRESS]
    later = NOON + timedelta(days=31)
    assert isinstance(kept.read(signed(BODY, sent=later.isoformat()), BODY, later), InvalidSignature)


def test_certificates_that_are_kept_are_few_and_the_good_ones() -> None:
    fetched: list[str] = []
    kept = reading(fetched=fetched)
    addresses = [f"{ADDRESS}{number}" for number in range(MAX_CACHED + 1)]
    for address in addresses:
        kept.read(signed(BODY, cert_url=address), BODY, NOON)
    for address in reversed(addresses):
        kept.read(signed(BODY, cert_url=address), BODY, NOON)
    assert fetched == [*addresses, addresses[0]]


def test_the_certificate_that_is_used_is_kept() -> None:
    fetched: list[str] = []
    kept = reading(fetched=fetched)
    for number in range(3 * MAX_CACHED):
        kept.read(signed(BODY), BODY, NOON)
        kept.read(signed(BODY, cert_url=f"{ADDRESS}{number}"), BODY, NOON)
    assert fetched.count(ADDRESS) == 1


def test_a_certificate_that_cannot_be_fetched_proves_nothing_now_and_may_later() -> None:
    chains = [b"", pem(PAYPAL, BETWEEN.certificate)]
    moody = PayPalWebhookParser(OURS, CertificateCache(lambda _: chains.pop(0), [ROOT.certificate]))
    assert isinstance(moody.read(signed(BODY), BODY, NOON), InvalidSignature)
    assert moody.read(signed(BODY), BODY, NOON) == [NOTICE]


class TestFetching:
    def test_what_is_there_is_fetched(self) -> None:
        with FaultyServer(lambda _: HttpResponse(200, b"a certificate")) as server:
            assert create_fetcher(20.0)(f"{server.url}/CERT-1") == b"a certificate"

    @pytest.mark.parametrize(
        "said",
        [
            HttpResponse(404),
            HttpResponse(500),
            HttpResponse(302, b"", {"Location": "/elsewhere"}),
            HttpResponse(200, b"x" * (64 * 1024 + 1)),
        ],
    )
    def test_anything_else_is_an_error(self, said: HttpResponse) -> None:
        with FaultyServer(lambda _: said) as server, pytest.raises(CertificateError):
            create_fetcher(20.0)(f"{server.url}/CERT-1")
        assert [asked.path for asked in server.requests] == ["/CERT-1"]

    def test_nobody_there_is_an_error(self) -> None:
        with FaultyServer(lambda _: HttpResponse(200)) as server:
            url = server.url
        with pytest.raises(CertificateError):
            create_fetcher(20.0)(url)


def test_the_reader_trusts_the_public_roots_and_the_id_of_the_account() -> None:
    assert len(load_trusted_roots()) > 50
    account = PayPalAccount(client_id="a", client_secret="b", webhook_id=OURS)
    assert isinstance(
        create_webhook_parser(account, provider_timeout_seconds=1.0).read(signed(BODY, cert_url=""), BODY, NOON),
        InvalidSignature,
    )
    unset = PayPalAccount(client_id="a", client_secret="b", webhook_id=None)
    assert isinstance(
        create_webhook_parser(unset, provider_timeout_seconds=1.0).read(signed(BODY), BODY, NOON), InvalidSignature
    )


NAMES = sorted(signed(BODY))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(NAMES), st.text() | st.binary().map(lambda raw: b64encode(raw).decode())),
    st.binary(),
)
def test_garbage_is_refused(changes: dict[str, str], body: bytes) -> None:
    assert isinstance(reading().read(signed(BODY) | changes, body, NOON), InvalidSignature)


WORDS = st.sampled_from(["id", "links", "rel", "href", "sale_id", "disputed_transactions", "seller_transaction_id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*SUBJECTS]), JSON)
def test_odd_but_signed_never_breaks(kind: str, resource: object) -> None:
    answer = read(an_event(kind) | {"resource": resource})
    assert isinstance(answer, InvalidSignature) or all(notice.event_id.startswith("WH-") for notice in answer)
