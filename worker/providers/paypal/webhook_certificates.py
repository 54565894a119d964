"""Fetches the certificates with which PayPal signs its webhooks, and verifies them up to a trusted root."""

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

from worker.providers.deadline import create_session, time_limit

SIGNERS = ("messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com")
"""The host names in PayPal's certificates."""
MAX_CACHED = 16  # certificates; PayPal replaces its certificate about once a year
MAX_BYTES = 64 * 1024  # a certificate with its chain has about six thousand bytes
MAX_CHAIN = 8  # certificates
MIN_KEY_BITS = 2048
"""The minimum that public certificate authorities require.

The verifier does not check the length of PayPal's own key, so public_key() checks it.
"""

_PAYPAL_URL = re.compile(r"https://([a-z0-9-]{1,63}\.)+paypal\.com/[A-Za-z0-9/_-]{1,200}")
"""The URLs of PayPal's certificates, without port, user and query. So a forged header cannot name the host of an attacker."""
_DIGICERT_URL = re.compile(r"http://cacerts\.digicert\.com/[A-Za-z0-9._-]{1,200}")
"""The URLs of DigiCert, which issues PayPal's certificates. TLS is not needed, because the chain is verified."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(Exception):
    """The certificate cannot be trusted. The message says why."""


class CertificateCache:
    """A cache that fetches and verifies certificates. Thread-safe."""

    def __init__(self, fetch: Callable[[str], bytes], roots: Sequence[Certificate]) -> None:
        """Take a function that fetches a URL or raises CertificateError, and the trusted roots."""
        self._fetch = fetch
        self._roots = Store([*roots])
        self._cache: OrderedDict[str, list[Certificate]] = OrderedDict()
        self._lock = Lock()

    def public_key(self, url: str, at: datetime) -> RSAPublicKey:
        """Return the key of the certificate at ``url``. Raise CertificateError if the certificate is not valid at ``at``."""
        if not _PAYPAL_URL.fullmatch(url):
            raise CertificateError("The certificate is not at a URL of PayPal.")
        with self._lock:
            chain = self._cache.get(url)
        if chain is None:
            chain = _parse_chain(self._fetch(url))
            # PayPal sends its certificate without the certificate of the issuer.
            if len(chain) == 1 and (issuer_url := _find_issuer_url(chain[0])):
                chain += _parse_chain(self._fetch(issuer_url))
        self._verify(chain, at)
        with self._lock:  # only verified chains are cached, so that forged URLs evict no valid chain
            self._cache[url] = chain
            self._cache.move_to_end(url)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        key = chain[0].public_key()
        if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
            raise CertificateError("The certificate's key is not an RSA key, or is too short.")
        return key

    def _verify(self, chain: list[Certificate], at: datetime) -> None:
        for signer in SIGNERS:
            verifier = PolicyBuilder().store(self._roots).time(at).build_server_verifier(DNSName(signer))
            try:
                verifier.verify(chain[0], chain[1:])
            except (VerificationError, ValueError):
                continue
            return
        raise CertificateError("The certificate is not PayPal's, not signed by a trusted root, or not valid now.")


def create_fetcher(provider_timeout_seconds: float) -> Callable[[str], bytes]:
    """Create a function that fetches a URL within ``provider_timeout_seconds``."""
    session = create_session(connections=4)

    def fetch(url: str) -> bytes:
        try:
            with time_limit(provider_timeout_seconds):
                response = session.get(url)
        except requests.RequestException as error:
            raise CertificateError("The certificate cannot be fetched.") from error
        if response.status_code != requests.codes.ok or len(response.content) > MAX_BYTES:
            raise CertificateError(
                f"The certificate cannot be fetched: the status is {response.status_code}, or the file is too large."
            )
        return response.content

    return fetch


def load_trusted_roots() -> list[Certificate]:
    """Load the public root certificates that our TLS connections trust."""
    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for pem in _PEM.findall(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes()):
            with suppress(CryptographyDeprecationWarning, ValueError):  # one root has an invalid serial number
                roots.append(load_pem_x509_certificate(pem))
    return roots


def _parse_chain(raw: bytes) -> list[Certificate]:
    try:
        chain = load_pem_x509_certificates(raw) if b"-----BEGIN" in raw else [load_der_x509_certificate(raw)]
    except ValueError as error:
        raise CertificateError("The file at the certificate's URL is not a certificate.") from error
    if len(chain) > MAX_CHAIN:
        raise CertificateError("The certificate's chain is too long.")
    return chain


def _find_issuer_url(certificate: Certificate) -> str | None:
    """Return the URL of the issuer's certificate, or None if this certificate names no URL at DigiCert."""
    try:
        access = certificate.extensions.get_extension_for_class(AuthorityInformationAccess).value
    except (ExtensionNotFound, DuplicateExtension, UnsupportedGeneralNameType, ValueError):
        return None
    issuers = (entry for entry in access if entry.access_method == AuthorityInformationAccessOID.CA_ISSUERS)
    locations = (issuer.access_location for issuer in issuers)
    urls = [location.value for location in locations if isinstance(location, UniformResourceIdentifier)]
    return next((url for url in urls if _DIGICERT_URL.fullmatch(url)), None)
