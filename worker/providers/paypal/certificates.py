"""The certificates that PayPal signs its webhooks with: fetched from PayPal, and believed only up to a known root."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import (
    AuthorityInformationAccess,
    Certificate,
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    UniformResourceIdentifier,
    UnsupportedGeneralNameType,
    load_der_x509_certificate,
    load_pem_x509_certificate,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import AuthorityInformationAccessOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from worker.providers.deadline import session, within

SIGNERS = ("messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com")
"""Whom the certificates are made out to."""
KEPT = 16  # certificates; PayPal changes its own about once a year
LARGEST = 64 * 1024  # bytes; a certificate with its chain has about six thousand
LONGEST_CHAIN = 8  # certificates
SHORTEST_KEY = 2048  # bits: what public authorities sign; the verifier looks at their own keys only

_ADDRESS = re.compile(r"https://([a-z0-9-]{1,63}\.)+paypal\.com/[A-Za-z0-9/_-]{1,200}")
"""No other host, no port, no user, no query: whoever writes the header cannot send us anywhere else."""
_ISSUER = re.compile(r"http://cacerts\.digicert\.com/[A-Za-z0-9._-]{1,200}")
"""Where DigiCert, which signs for PayPal, has its own certificates. They need no TLS: the chain proves them."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(Exception):
    """A certificate that proves nothing. The message says why."""


class Certificates:
    """Threads share it. ``fetch`` gets what is at an address, or raises CertificateError."""

    def __init__(self, fetch: Callable[[str], bytes], roots: Sequence[Certificate]) -> None:
        self._fetch = fetch
        self._roots = Store([*roots])
        self._kept: OrderedDict[str, list[Certificate]] = OrderedDict()
        self._lock = Lock()

    def key(self, address: str, at: datetime) -> RSAPublicKey:
        """The key of the certificate at this address, if it holds at this instant. Raises CertificateError."""
        if not _ADDRESS.fullmatch(address):
            raise CertificateError("The certificate is not at an address of PayPal's.")
        with self._lock:
            chain = self._kept.get(address)
        if chain is None:
            chain = _read(self._fetch(address))
            if len(chain) == 1 and (issuer := _issuer(chain[0])):  # PayPal sends its own alone
                chain += _read(self._fetch(issuer))
        self._verify(chain, at)
        with self._lock:  # only what proved good is kept: forged addresses do not push it out
            self._kept[address] = chain
            self._kept.move_to_end(address)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        key = chain[0].public_key()
        if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY:
            raise CertificateError("The certificate's key is not of RSA, or too short.")
        return key

    def _verify(self, chain: list[Certificate], at: datetime) -> None:
        for signer in SIGNERS:
            policy = PolicyBuilder().store(self._roots).time(at).build_server_verifier(DNSName(signer))
            try:
                policy.verify(chain[0], chain[1:])
            except (VerificationError, ValueError):
                continue
            return
        raise CertificateError("The certificate is not PayPal's, not of a root that is known, or not of this time.")


def fetcher(provider_timeout_seconds: float) -> Callable[[str], bytes]:
    """Gets what is at an address, within so many seconds."""
    http = session(connections=4)

    def fetch(address: str) -> bytes:
        try:
            with within(provider_timeout_seconds):
                response = http.get(address)
        except requests.RequestException as error:
            raise CertificateError("The certificate cannot be fetched.") from error
        if response.status_code != requests.codes.ok or len(response.content) > LARGEST:
            raise CertificateError(f"There was a {response.status_code} instead of a certificate.")
        return response.content

    return fetch


def trusted() -> list[Certificate]:
    """The public roots that TLS trusts, too."""
    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for pem in _PEM.findall(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes()):
            with suppress(CryptographyDeprecationWarning, ValueError):  # one is numbered against the rules
                roots.append(load_pem_x509_certificate(pem))
    return roots


def _read(raw: bytes) -> list[Certificate]:
    try:
        chain = load_pem_x509_certificates(raw) if b"-----BEGIN" in raw else [load_der_x509_certificate(raw)]
    except ValueError as error:
        raise CertificateError("What is at the certificate's address is none.") from error
    if len(chain) > LONGEST_CHAIN:
        raise CertificateError("The certificate's chain is too long.")
    return chain


def _issuer(certificate: Certificate) -> str | None:
    """Where the certificate of the one who signed this one is, if it says so and it is at DigiCert's."""
    try:
        access = certificate.extensions.get_extension_for_class(AuthorityInformationAccess).value
    except (ExtensionNotFound, DuplicateExtension, UnsupportedGeneralNameType, ValueError):
        return None
    places = (way.access_location for way in access if way.access_method == AuthorityInformationAccessOID.CA_ISSUERS)
    texts = [place.value for place in places if isinstance(place, UniformResourceIdentifier)]
    return next((text for text in texts if _ISSUER.fullmatch(text)), None)
