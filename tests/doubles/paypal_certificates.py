"""Certificates and signatures like those of PayPal's webhooks. A test makes its own certificate authorities."""

import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENT_AT = "2026-11-22T11:59:58Z"
WEBHOOK_ID = "5GP028458E2496506"
CERT_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-90621ecd"
SIGNER_NAME = "messageverificationcerts.paypal.com"
KEY = rsa.generate_private_key(65537, 2048)  # the key of the signer

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Authority:
    """A certificate authority. A root authority has no ``parent``."""

    name: str
    parent: "Authority | None" = None
    now: datetime = NOON
    """The middle of the time in which the certificates of the authority are valid."""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def __post_init__(self) -> None:
        issuer = self.parent or self
        self.certificate = _certificate(self.name, issuer, self.key.public_key(), self.period, is_authority=True)

    @property
    def period(self) -> tuple[datetime, datetime]:
        return self.now - timedelta(days=30), self.now + timedelta(days=30)

    def issue(
        self,
        name: str,
        key: Key,
        *,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
        issuer_url: str = "",
    ) -> x509.Certificate:
        first, last = self.period
        period = (valid_from or first, valid_until or last)
        return _certificate(name, self, key.public_key(), period, issuer_url=issuer_url)


def _certificate(
    name: str,
    issuer: Authority,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    period: tuple[datetime, datetime],
    *,
    is_authority: bool = False,
    issuer_url: str = "",
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
    key_usage = x509.KeyUsage(
        digital_signature=not is_authority, key_cert_sign=is_authority, crl_sign=is_authority, **usage
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer.name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if issuer_url:
        locations = [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(text))
            for method, text in (
                (AuthorityInformationAccessOID.OCSP, "http://ocsp.digicert.com"),
                (AuthorityInformationAccessOID.CA_ISSUERS, issuer_url),
            )
        ]
        builder = builder.add_extension(x509.AuthorityInformationAccess(locations), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def pem(*chain: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def signed(
    body: bytes, key: Key = KEY, *, webhook_id: str = WEBHOOK_ID, sent_at: str = SENT_AT, **changes: str
) -> dict[str, str]:
    """Return the headers of a signed webhook. ``changes`` replaces headers without changing the signature."""
    message = f"69cd13f0-d67a-11e5-baa3-778b53f4ae55|{sent_at}|{webhook_id}|{zlib.crc32(body)}".encode()
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(message, PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    headers = {
        "paypal-transmission-id": "69cd13f0-d67a-11e5-baa3-778b53f4ae55",
        "paypal-transmission-time": sent_at,
        "paypal-transmission-sig": b64encode(signature).decode(),
        "paypal-cert-url": CERT_URL,
        "paypal-auth-algo": "SHA256withRSA",
    }
    return headers | {f"paypal-{name.replace('_', '-')}": value for name, value in changes.items()}
