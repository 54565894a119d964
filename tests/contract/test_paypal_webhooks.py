"""PayPal's webhooks: PayPal must have signed the body and our webhook id with the key of a PayPal certificate."""

import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.provider_accounts import PayPalAccount
from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent
from tests.contract.specs.validator import SpecValidator
from tests.doubles.faulty_server import FaultyServer, HttpResponse
from tests.doubles.paypal_certificates import (
    CERT_URL,
    KEY,
    NOON,
    SENT_AT,
    SIGNER_NAME,
    WEBHOOK_ID,
    Authority,
    Key,
    pem,
    signed,
)
from worker.providers.paypal.webhook_certificates import (
    MAX_CACHED,
    CertificateCache,
    CertificateError,
    create_fetcher,
    load_trusted_roots,
)
from worker.providers.paypal.webhooks import SUBJECTS, PayPalWebhookParser, create_webhook_parser

CHARGE = "2GG279541U471931P"
REFUND = "1JU08902781691411"

ROOT = Authority("A Trusted Root")
INTERMEDIATE = Authority("An Intermediate Authority", ROOT)
UNTRUSTED_ROOT = Authority("An Untrusted Root")
PAYPAL_CERTIFICATE = INTERMEDIATE.issue(SIGNER_NAME, KEY)


def a_parser(
    chain: bytes = pem(PAYPAL_CERTIFICATE, INTERMEDIATE.certificate),
    *,
    ids: str = WEBHOOK_ID,
    fetched: list[str] | None = None,
) -> PayPalWebhookParser:
    def fetch(url: str) -> bytes:
        if fetched is not None:
            fetched.append(url)
        return chain

    return PayPalWebhookParser(ids, CertificateCache(fetch, [ROOT.certificate]))


def an_event(kind: str = "PAYMENT.CAPTURE.REFUNDED", **resource: object) -> dict[str, Any]:
    capture_link = {"rel": "up", "method": "GET", "href": f"https://api.paypal.com/v2/payments/captures/{CHARGE}"}
    return {
        "id": "WH-1GE84257G0350133W-6RW800890C634293G",
        "create_time": "2026-11-22T11:59:57Z",
        "resource_type": "refund",
        "event_type": kind,
        "summary": "A $ 19.99 USD capture payment was refunded",
        "resource": {"id": REFUND, "status": "COMPLETED", "links": [capture_link]} | resource,
        "event_version": "1.0",
    }


BODY = json.dumps(an_event()).encode()
EVENT = WebhookEvent("WH-1GE84257G0350133W-6RW800890C634293G", Subject.REFUND, CHARGE, REFUND)


def test_a_refund_event_names_the_charge_and_the_refund() -> None:
    assert a_parser().read(signed(BODY), BODY, NOON) == [EVENT]
    assert a_parser().answer == b""


def test_the_webhooks_of_these_tests_match_paypals_api_description() -> None:
    spec = SpecValidator("paypal-webhooks-v1-verify.json")
    headers = signed(BODY)
    names = ("auth-algo", "cert-url", "transmission-id", "transmission-sig", "transmission-time")
    fields = {name.replace("-", "_"): headers[f"paypal-{name}"] for name in names}
    spec.check("verify_webhook_signature", fields | {"webhook_id": WEBHOOK_ID, "webhook_event": json.loads(BODY)})
    assert spec.errors == []


def test_the_signature_covers_the_exact_bytes_of_the_body() -> None:
    body = b"\r\n" + json.dumps(an_event(), indent=2).encode() + b" \n"
    assert a_parser().read(signed(body), body, NOON) == [EVENT]


def read(event: object) -> list[WebhookEvent] | InvalidSignature | UnreadableWebhook:
    body = json.dumps(event).encode()
    answer = a_parser().read(signed(body), body, NOON)
    return answer if isinstance(answer, InvalidSignature | UnreadableWebhook) else [*answer]


@pytest.mark.parametrize(
    "kind", [kind for kind in SUBJECTS if not kind.startswith("CUSTOMER") and "COMPLETED" not in kind]
)
def test_every_event_type_about_a_refund_or_reversal_has_its_subject(kind: str) -> None:
    subject = Subject.DISPUTE if kind.endswith("REVERSED") else Subject.REFUND
    assert read(an_event(kind)) == [WebhookEvent(EVENT.event_id, subject, CHARGE, REFUND)]


def test_an_event_about_a_refunded_subscription_names_the_sale() -> None:
    event = an_event("PAYMENT.SALE.REFUNDED", sale_id="9T0916710M1105906", links=[])
    assert read(event) == [WebhookEvent(EVENT.event_id, Subject.REFUND, "9T0916710M1105906", REFUND)]


@pytest.mark.parametrize("kind", [kind for kind in SUBJECTS if kind.startswith("CUSTOMER")])
def test_a_dispute_event_names_each_disputed_capture(kind: str) -> None:
    rows = [{"seller_transaction_id": id_} for id_ in (CHARGE, "OTHER", CHARGE)] + [{}]
    assert read(an_event(kind, dispute_id="PP-D-27803", disputed_transactions=rows)) == [
        WebhookEvent(f"{EVENT.event_id}/{CHARGE}", Subject.DISPUTE, CHARGE),
        WebhookEvent(f"{EVENT.event_id}/OTHER", Subject.DISPUTE, "OTHER"),
    ]


UNNAMED: list[object] = [
    *(None, 7, "x", {}, []),
    *([None], [7, "x", []], [{}], [{"buyer_transaction_id": "B1"}], [{"seller_transaction_id": None}]),
]


@pytest.mark.parametrize("fields", [{}, *({"disputed_transactions": rows} for rows in UNNAMED)])
@pytest.mark.parametrize("kind", [kind for kind in SUBJECTS if kind.startswith("CUSTOMER")])
def test_a_dispute_event_that_names_no_capture_names_the_dispute(kind: str, fields: dict[str, object]) -> None:
    event = an_event(kind, dispute_id="PP-D-27803", **fields)
    assert read(event) == [WebhookEvent(EVENT.event_id, Subject.DISPUTE, dispute_id="PP-D-27803")]


def test_a_transaction_that_cannot_be_read_does_not_hide_the_capture_beside_it() -> None:
    rows = [None, {"seller_transaction_id": CHARGE}, 7]
    event = an_event("CUSTOMER.DISPUTE.CREATED", dispute_id="PP-D-27803", disputed_transactions=rows)
    assert read(event) == [WebhookEvent(f"{EVENT.event_id}/{CHARGE}", Subject.DISPUTE, CHARGE)]


@pytest.mark.parametrize("kind", ["PAYMENT.CAPTURE.COMPLETED", "PAYMENT.SALE.COMPLETED"])
def test_an_event_about_a_completed_payment_names_the_payment(kind: str) -> None:
    order_link = {"rel": "up", "method": "GET", "href": "https://api.paypal.com/v2/checkout/orders/5O190127TN364715T"}
    event = an_event(kind, id=CHARGE, links=[order_link])
    assert read(event) == [WebhookEvent(EVENT.event_id, Subject.PURCHASE, CHARGE)]


@pytest.mark.parametrize(
    "kind",
    [
        "PAYMENT.CAPTURE.PENDING",
        "PAYMENT.CAPTURE.DECLINED",
        "PAYMENT.AUTHORIZATION.CREATED",
        "CHECKOUT.ORDER.APPROVED",
        "A.NEW.EVENT",
    ],
)
def test_an_event_of_another_type_is_ignored_whatever_it_contains(kind: str) -> None:
    assert read(an_event(kind)) == read({"event_type": kind}) == read({"event_type": kind, "resource": 7}) == []


def test_an_event_without_a_charge_names_the_refund() -> None:
    assert read(an_event(links=[])) == [WebhookEvent(EVENT.event_id, Subject.REFUND, None, REFUND)]
    assert read(an_event(links=None, id=7)) == [WebhookEvent(EVENT.event_id, Subject.REFUND)]


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
        an_event("PAYMENT.CAPTURE.COMPLETED", id=None),
        an_event("PAYMENT.SALE.COMPLETED", id="../1"),
    ],
)
def test_a_signed_event_that_cannot_be_read_is_unreadable(event: Any) -> None:
    assert isinstance(read(event), UnreadableWebhook)


@pytest.mark.parametrize(
    "resource",
    [
        {"links": 7, "custom_id": "mb_1"},
        {"links": [7], "purchase": [{"payments": [{"capture": "mb_1"}]}]},
        {"id": [], "links": [{"rel": "up", "href": "mb_1"}, 7]},
    ],
)
def test_an_unreadable_event_shows_every_id_that_may_be_ours(resource: dict[str, Any]) -> None:
    answer = read(an_event(**resource))
    assert isinstance(answer, UnreadableWebhook)
    assert "mb_1" in answer.ids
    assert EVENT.event_id in answer.ids


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    assert isinstance(a_parser().read(signed(body), body, NOON), InvalidSignature)


def test_a_signature_for_either_of_two_configured_webhook_ids_is_valid() -> None:
    parser = a_parser(ids=f"1AB23456CD789012E, {WEBHOOK_ID}")
    assert parser.read(signed(BODY), BODY, NOON) == [EVENT]
    assert parser.read(signed(BODY, webhook_id="1AB23456CD789012E"), BODY, NOON) == [EVENT]


@pytest.mark.parametrize("ids", ["", " , ", "WEBHOOK_ID"])
def test_every_webhook_is_refused_if_no_valid_webhook_id_is_configured(ids: str) -> None:
    assert isinstance(a_parser(ids=ids).read(signed(BODY, webhook_id=ids), BODY, NOON), InvalidSignature)


OTHER_KEY = rsa.generate_private_key(65537, 2048)
FORGED_HEADERS: dict[str, Callable[[], Mapping[str, str]]] = {
    "of another webhook": lambda: signed(BODY, webhook_id="1AB23456CD789012E"),
    "of another body": lambda: signed(BODY + b" "),
    "of another key": lambda: signed(BODY, OTHER_KEY),
    "of another time of sending": lambda: signed(BODY, transmission_time="2026-11-22T11:59:59Z"),
    "of another transmission": lambda: signed(BODY, transmission_id="69cd13f0"),
    "from four days ago": lambda: signed(BODY, sent_at="2026-11-18T12:00:00Z"),
    "from the future": lambda: signed(BODY, sent_at="2026-11-22T12:05:01Z"),
    "with a time in words": lambda: signed(BODY, sent_at="noon"),
    "with a day that does not exist": lambda: signed(BODY, sent_at="2026-11-31T12:00:00Z"),
    "with a time without a zone": lambda: signed(BODY, sent_at="2026-11-22T11:59:58"),
    "with a line break in its time": lambda: signed(BODY, sent_at=f"{SENT_AT}\n"),
    "with another algorithm": lambda: signed(BODY, auth_algo="SHA1withRSA"),
    "without an algorithm": lambda: signed(BODY, auth_algo=""),
    "with an empty signature": lambda: signed(BODY, transmission_sig=""),
    "with a signature that is not base64": lambda: signed(BODY, transmission_sig="%%%%"),
    "with a non-ASCII signature": lambda: signed(BODY, transmission_sig="ä"),
    "with a too long transmission id": lambda: signed(BODY, transmission_id="x" * 1001),
    "with a lone surrogate": lambda: signed(BODY, transmission_id="\udcff"),
    "with PSS padding": lambda: signed(BODY) | {"paypal-transmission-sig": _pss_signature()},
    "without headers": dict,
}


def _pss_signature() -> str:
    message = f"69cd13f0-d67a-11e5-baa3-778b53f4ae55|{SENT_AT}|{WEBHOOK_ID}|{zlib.crc32(BODY)}".encode()
    padding = PSS(MGF1(hashes.SHA256()), PSS.MAX_LENGTH)
    return b64encode(KEY.sign(message, padding, hashes.SHA256())).decode()


@pytest.mark.parametrize("how", FORGED_HEADERS)
def test_an_invalid_signature_is_refused(how: str) -> None:
    assert isinstance(a_parser().read(FORGED_HEADERS[how](), BODY, NOON), InvalidSignature)


@pytest.mark.parametrize(
    "how", [how for how in FORGED_HEADERS if not how.startswith(("of another", "with PSS", "with a lone"))]
)
def test_no_certificate_is_fetched_for_invalid_headers(how: str) -> None:
    fetched: list[str] = []
    a_parser(fetched=fetched).read(FORGED_HEADERS[how](), BODY, NOON)
    assert fetched == []


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=3), timedelta(minutes=-5)])
def test_a_webhook_is_accepted_for_three_days(age: timedelta) -> None:
    """The time of a webhook may be up to five minutes in the future, because PayPal's clock may be ahead of ours."""
    sent_at = (NOON - age).isoformat()
    assert a_parser().read(signed(BODY, sent_at=sent_at), BODY, NOON) == [EVENT]


OTHER_CERT_URLS = [
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


@pytest.mark.parametrize("url", OTHER_CERT_URLS)
def test_a_certificate_is_fetched_only_from_paypal(url: str) -> None:
    fetched: list[str] = []
    assert isinstance(a_parser(fetched=fetched).read(signed(BODY, cert_url=url), BODY, NOON), InvalidSignature)
    assert fetched == []


@pytest.mark.parametrize("host", ["api.sandbox.paypal.com", "api-m.paypal.com", "www.paypal.com"])
def test_a_certificate_is_fetched_from_any_host_of_paypal(host: str) -> None:
    headers = signed(BODY, cert_url=f"https://{host}/v1/notifications/certs/CERT-1")
    assert a_parser().read(headers, BODY, NOON) == [EVENT]


EC_KEY = ec.generate_private_key(ec.SECP256R1())
WEAK_KEY = rsa.generate_private_key(65537, 1024)
INVALID_CHAINS: dict[str, tuple[Key, Callable[[], bytes]]] = {
    "of an untrusted root": (
        KEY,
        lambda: pem(UNTRUSTED_ROOT.issue(SIGNER_NAME, KEY), UNTRUSTED_ROOT.certificate),
    ),
    "without the intermediate certificate": (KEY, lambda: pem(PAYPAL_CERTIFICATE)),
    "of another domain": (KEY, lambda: pem(INTERMEDIATE.issue("www.example.org", KEY), INTERMEDIATE.certificate)),
    "of another host of PayPal": (
        KEY,
        lambda: pem(INTERMEDIATE.issue("www.paypal.com", KEY), INTERMEDIATE.certificate),
    ),
    "that has expired": (
        KEY,
        lambda: pem(
            INTERMEDIATE.issue(SIGNER_NAME, KEY, valid_until=NOON - timedelta(seconds=1)), INTERMEDIATE.certificate
        ),
    ),
    "that is not yet valid": (
        KEY,
        lambda: pem(
            INTERMEDIATE.issue(SIGNER_NAME, KEY, valid_from=NOON + timedelta(seconds=1)), INTERMEDIATE.certificate
        ),
    ),
    "with an elliptic curve key": (
        EC_KEY,
        lambda: pem(INTERMEDIATE.issue(SIGNER_NAME, EC_KEY), INTERMEDIATE.certificate),
    ),
    "with a weak key": (WEAK_KEY, lambda: pem(INTERMEDIATE.issue(SIGNER_NAME, WEAK_KEY), INTERMEDIATE.certificate)),
    "signed by a leaf certificate": (KEY, lambda: pem(_signed_by_leaf(), PAYPAL_CERTIFICATE, INTERMEDIATE.certificate)),
    "whose certificate is an authority's": (INTERMEDIATE.key, lambda: pem(INTERMEDIATE.certificate)),
    "with a long chain": (KEY, lambda: pem(PAYPAL_CERTIFICATE, *[INTERMEDIATE.certificate] * 8)),
    "that is an HTML page": (KEY, lambda: b"<html>"),
    "that is incomplete": (KEY, lambda: pem(PAYPAL_CERTIFICATE)[:-100]),
    "that is empty": (KEY, lambda: b""),
}


def _signed_by_leaf() -> x509.Certificate:
    leaf = Authority(SIGNER_NAME)
    leaf.key = KEY
    return leaf.issue(SIGNER_NAME, KEY)


@pytest.mark.parametrize("name", INVALID_CHAINS)
def test_an_invalid_certificate_chain_is_refused(name: str) -> None:
    key, chain = INVALID_CHAINS[name]
    assert isinstance(a_parser(chain()).read(signed(BODY, key), BODY, NOON), InvalidSignature)


ISSUER_URL = "http://cacerts.digicert.com/DigiCertSHA2ExtendedValidationServerCA.crt"


@pytest.mark.parametrize(
    ("issuer", "accepted"),
    [
        (INTERMEDIATE.certificate.public_bytes(Encoding.DER), True),
        (pem(INTERMEDIATE.certificate), True),
        (UNTRUSTED_ROOT.certificate.public_bytes(Encoding.DER), False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_a_missing_intermediate_certificate_is_fetched_from_digicert(issuer: bytes, *, accepted: bool) -> None:
    leaf_only = pem(INTERMEDIATE.issue(SIGNER_NAME, KEY, issuer_url=ISSUER_URL))
    files = {CERT_URL: leaf_only, ISSUER_URL: issuer}
    parser = PayPalWebhookParser(WEBHOOK_ID, CertificateCache(files.__getitem__, [ROOT.certificate]))
    result = parser.read(signed(BODY), BODY, NOON)
    assert result == [EVENT] if accepted else isinstance(result, InvalidSignature)


@pytest.mark.parametrize(
    "issuer_url",
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
def test_an_issuer_url_outside_digicert_is_not_fetched(issuer_url: str) -> None:
    fetched: list[str] = []
    leaf_only = pem(INTERMEDIATE.issue(SIGNER_NAME, KEY, issuer_url=issuer_url))
    assert isinstance(a_parser(leaf_only, fetched=fetched).read(signed(BODY), BODY, NOON), InvalidSignature)
    assert fetched == [CERT_URL]


def test_the_certificate_of_paypals_sandbox_is_accepted() -> None:
    chain = pem(INTERMEDIATE.issue("messageverificationcerts.sandbox.paypal.com", KEY), INTERMEDIATE.certificate)
    assert a_parser(chain).read(signed(BODY), BODY, NOON) == [EVENT]


def test_a_certificate_is_fetched_once_and_its_validity_is_checked_each_time() -> None:
    fetched: list[str] = []
    parser = a_parser(fetched=fetched)
    for _ in range(3):
        assert parser.read(signed(BODY), BODY, NOON) == [EVENT]
    assert fetched == [CERT_URL]
    later = NOON + timedelta(days=31)
    assert isinstance(parser.read(signed(BODY, sent_at=later.isoformat()), BODY, later), InvalidSignature)


def test_a_full_cache_drops_only_the_oldest_certificate() -> None:
    fetched: list[str] = []
    parser = a_parser(fetched=fetched)
    urls = [f"{CERT_URL}{number}" for number in range(MAX_CACHED + 1)]
    for url in urls:
        parser.read(signed(BODY, cert_url=url), BODY, NOON)
    for url in reversed(urls):
        parser.read(signed(BODY, cert_url=url), BODY, NOON)
    assert fetched == [*urls, urls[0]]


def test_a_certificate_that_is_still_used_stays_in_the_cache() -> None:
    fetched: list[str] = []
    parser = a_parser(fetched=fetched)
    for number in range(3 * MAX_CACHED):
        parser.read(signed(BODY), BODY, NOON)
        parser.read(signed(BODY, cert_url=f"{CERT_URL}{number}"), BODY, NOON)
    assert fetched.count(CERT_URL) == 1


def test_a_certificate_is_fetched_again_after_an_empty_response() -> None:
    chains = [b"", pem(PAYPAL_CERTIFICATE, INTERMEDIATE.certificate)]
    parser = PayPalWebhookParser(WEBHOOK_ID, CertificateCache(lambda _: chains.pop(0), [ROOT.certificate]))
    assert isinstance(parser.read(signed(BODY), BODY, NOON), InvalidSignature)
    assert parser.read(signed(BODY), BODY, NOON) == [EVENT]


class TestFetcher:
    def test_a_certificate_is_fetched(self) -> None:
        with FaultyServer(lambda _: HttpResponse(200, b"a certificate")) as server:
            assert create_fetcher(20.0)(f"{server.url}/CERT-1") == b"a certificate"

    @pytest.mark.parametrize(
        "response",
        [
            HttpResponse(404),
            HttpResponse(500),
            HttpResponse(302, b"", {"Location": "/elsewhere"}),
            HttpResponse(200, b"x" * (64 * 1024 + 1)),
        ],
    )
    def test_an_unexpected_status_or_a_too_long_body_is_an_error(self, response: HttpResponse) -> None:
        with FaultyServer(lambda _: response) as server, pytest.raises(CertificateError):
            create_fetcher(20.0)(f"{server.url}/CERT-1")
        assert [request.path for request in server.requests] == ["/CERT-1"]

    def test_an_unavailable_server_is_an_error(self) -> None:
        with FaultyServer(lambda _: HttpResponse(200)) as server:
            url = server.url
        with pytest.raises(CertificateError):
            create_fetcher(20.0)(url)


def test_a_webhook_without_a_certificate_url_or_a_configured_id_is_refused() -> None:
    assert len(load_trusted_roots()) > 50
    account = PayPalAccount(client_id="a", client_secret="b", webhook_id=WEBHOOK_ID)
    assert isinstance(
        create_webhook_parser(account, provider_timeout_seconds=1.0).read(signed(BODY, cert_url=""), BODY, NOON),
        InvalidSignature,
    )
    without_id = PayPalAccount(client_id="a", client_secret="b", webhook_id=None)
    assert isinstance(
        create_webhook_parser(without_id, provider_timeout_seconds=1.0).read(signed(BODY), BODY, NOON), InvalidSignature
    )


HEADER_NAMES = sorted(signed(BODY))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(HEADER_NAMES), st.text() | st.binary().map(lambda raw: b64encode(raw).decode())),
    st.binary(),
)
def test_random_headers_and_bodies_are_refused(changes: dict[str, str], body: bytes) -> None:
    assert isinstance(a_parser().read(signed(BODY) | changes, body, NOON), InvalidSignature)


FIELD_NAMES = st.sampled_from(
    ["id", "links", "rel", "href", "sale_id", "disputed_transactions", "seller_transaction_id"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(FIELD_NAMES, inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*SUBJECTS]), JSON)
def test_random_signed_events_are_parsed_or_unreadable(kind: str, resource: object) -> None:
    answer = read(an_event(kind) | {"resource": resource})
    assert not isinstance(answer, InvalidSignature)
    assert isinstance(answer, UnreadableWebhook) or all(event.event_id.startswith("WH-") for event in answer)
