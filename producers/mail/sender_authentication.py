"""Collects evidence of who sent a mail.

The evidence has three sources: DKIM signatures, DMARC policies, and results that our mail server wrote into headers. The evidence
is stored, but Moneyback makes no decision with it. Moneyback sends the confirmation link only to the e-mail address of the
purchase, even if another person sent the mail.
"""

import re
from collections.abc import Callable
from email.parser import BytesHeaderParser
from functools import cache
from itertools import takewhile
from time import monotonic
from typing import Any

import dkim
import dns.exception
import dns.resolver

LOOK_UP_SECONDS = 2.0  # the maximum time of one DNS lookup, with all servers and retries
DNS_PAUSE_SECONDS = 60.0  # the pause without lookups after a timeout, so that mails do not wait for a failed DNS server
MAX_SIZE, MAX_HEADER_BYTES, MAX_BLANKS = 1_000_000, 50_000, 200
"""The limits for a DKIM check: bytes of the mail, bytes of its headers, and spaces or tabs in a row.

The library dkimpy takes minutes for some mails above these limits.
"""
MAX_RESULTS_LENGTH = 4_000  # the maximum number of characters that are read from one header Authentication-Results
MAX_SIGNATURES = 3  # the maximum number of checked signatures; the sender and a mailing service can both sign a mail
MAX_TREE_WALK_LOOKUPS = 8  # the maximum number of DNS lookups for the DMARC policy of one domain (RFC 9989, 4.10)
POLICIES = {"none", "quarantine", "reject"}

_QUOTED_STRING = r'"(?:\\.|[^"\\])*"'
_RESULT_PART = re.compile(rf'(?:{_QUOTED_STRING}|[^";])+', re.DOTALL)
"""One part of a header Authentication-Results, up to a semicolon outside quotation marks."""

_AUTHSERV_ID = re.compile(rf'\s*({_QUOTED_STRING}|[^\s";=]+)(?:\s+\d+)?\s*', re.DOTALL)
"""The first part of the header: the name of the mail server, and an optional version."""

_RESULT = re.compile(r"\s*([a-z0-9-]+)\s*(?:/\s*\d+\s*)?=\s*([a-z0-9-]+)(?=\s|$)", re.IGNORECASE)
"""The beginning of each further part: a method and its result, such as "dkim=pass"."""

LookUpText = Callable[[str], str | None]
"""A function that returns the TXT record of a DNS name, or None. It raises TimeoutError if no DNS server answers."""


def look_up_text(name: str) -> str | None:
    """Return the DKIM or DMARC record of a DNS name.

    If the name has only other TXT records, return the first of them. If the name has no TXT record, return None.
    """
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=LOOK_UP_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.exception.SyntaxError, dns.exception.FormError):
        return None  # the name does not exist, has no TXT record, or is invalid
    except dns.exception.DNSException as error:
        raise TimeoutError(f"No DNS server answered: {type(error).__name__}.") from None
    records = [b"".join(record.strings).decode("latin-1") for record in answer]
    if sum(record.startswith("v=DMARC1") for record in records) > 1:
        return None  # a name with several policies counts as a name without a policy (RFC 9989, 4.10)
    return next((record for record in records if record.startswith(("v=DKIM1", "v=DMARC1"))), next(iter(records), None))


class SenderAuthenticator:
    """A collector of evidence about the senders of mails.

    ``authserv_id`` is the name that the receiving mail server writes into its headers Authentication-Results.
    """

    def __init__(self, look_up: LookUpText = look_up_text, authserv_id: str | None = None) -> None:
        self._look_up = look_up
        self._authserv_id = (authserv_id or "").casefold()
        self._paused_until = 0.0

    def evidence(self, raw: bytes, sender: str) -> dict[str, Any]:
        """Return the results for a mail, such as ``{"dkim": "pass", "signed_by": "example.com", "dmarc": "pass"}``.

        Each result is a word of RFC 8601: pass, fail, none, policy (the mail was not checked), temperror or permerror.
        """
        head = re.split(rb"\r?\n\r?\n", raw[:MAX_SIZE], maxsplit=1)[0]
        evidence: dict[str, Any] = {}
        if results := self._receiver_results(head):
            evidence["results"] = results
        if not re.search(rb"^dkim-signature[ \t]*:", head, re.IGNORECASE | re.MULTILINE):
            return evidence | {"dkim": "none"}
        is_too_large = len(raw) > MAX_SIZE or len(head) > MAX_HEADER_BYTES
        if is_too_large or re.search(rb"[ \t]{%d}" % MAX_BLANKS, raw):
            return evidence | {"dkim": "policy"}
        try:
            return evidence | self._authenticate(raw, sender)
        except Exception:  # noqa: BLE001 - the mail can contain anything, and dkimpy raises undocumented errors
            return evidence | {"dkim": "permerror"}

    def _authenticate(self, raw: bytes, sender: str) -> dict[str, str]:
        signatures = self._check_signatures(raw)
        sender_domain = sender.rpartition("@")[2].casefold()
        valid_domains = [domain for result, domain in signatures if result == "pass"]
        if not valid_domains:
            result, domain = signatures[0]
            dmarc = "temperror" if result == "temperror" else self._check_dmarc(sender_domain, [])[0]
            return {"dkim": result, "signed_by": domain, "dmarc": dmarc}
        dmarc, aligned_domain = self._check_dmarc(sender_domain, valid_domains)
        return {"dkim": "pass", "signed_by": aligned_domain or valid_domains[0], "dmarc": dmarc}

    def _check_signatures(self, raw: bytes) -> list[tuple[str, str]]:
        """Check the first MAX_SIGNATURES DKIM signatures. Return the result and the domain of each checked signature."""
        signatures = []
        for number in range(MAX_SIGNATURES):
            verifier = dkim.DKIM(raw, minkey=1024)
            if number and number >= sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers):
                break
            lookups = _DnsLookups(self)
            try:
                result = "pass" if verifier.verify(number, dnsfunc=lookups.look_up_key) else "fail"
            except dkim.ValidationError:
                result = "fail"
            except Exception:  # noqa: BLE001 - dkimpy raises undocumented errors
                result = "permerror"
            fields = verifier.signature_fields or {}
            domain = fields.get(b"d", b"").decode("ascii", "replace").casefold()
            signatures.append(("temperror" if lookups.timed_out else result, domain))
        return signatures

    def _check_dmarc(self, sender_domain: str, valid_domains: list[str]) -> tuple[str, str]:
        """Return the DMARC result of a mail, and the first of ``valid_domains`` that is aligned with the sender's domain.

        ``valid_domains`` are the domains with a valid signature.
        """
        lookups = _DnsLookups(self)
        policies = _DmarcPolicies(lookups.look_up_policy)
        try:
            policy = policies.find(sender_domain)
            strict = policy.get("adkim") == "s"
            aligned_domain = next(
                (domain for domain in valid_domains if _is_aligned(domain, sender_domain, policies, strict=strict)), ""
            )
        except Exception:  # noqa: BLE001 - a DNS record can contain anything
            return "permerror", ""
        if lookups.timed_out:
            return "temperror", aligned_domain
        if not policy:
            return "none", aligned_domain
        return ("pass" if aligned_domain else "fail"), aligned_domain

    def _receiver_results(self, head: bytes) -> dict[str, str]:
        """Return the results that the receiving mail server wrote.

        Read only the headers above the first header Received. The sender of the mail may have written all headers below it
        (RFC 8601, 5 and 7.1).
        """
        trusted_headers = takewhile(
            lambda item: item[0].casefold() != "received",
            BytesHeaderParser().parsebytes(head[:MAX_HEADER_BYTES]).items() if self._authserv_id else (),
        )
        parsed = (
            _parse_results(str(value)) for name, value in trusted_headers if name.casefold() == "authentication-results"
        )
        receiver_results = (results for authserv_id, results in parsed if authserv_id.casefold() == self._authserv_id)
        return {method[:20]: result[:20] for results in receiver_results for method, result in results[:10]}

    def look_up(self, name: str) -> str | None:
        """Return the TXT record of a DNS name. After a timeout, make no lookup for DNS_PAUSE_SECONDS, and raise TimeoutError."""
        if monotonic() < self._paused_until:
            raise TimeoutError
        try:
            return self._look_up(name)
        except TimeoutError:
            self._paused_until = monotonic() + DNS_PAUSE_SECONDS
            raise


def _parse_results(value: str) -> tuple[str, list[tuple[str, str]]]:
    """Parse a header Authentication-Results (RFC 8601, 2.2). Return the name of the mail server, and each method with its result.

    If the header is malformed, return an empty name and no results.
    """
    first, *parts = _RESULT_PART.findall(_without_comments(value[:MAX_RESULTS_LENGTH])) or [""]
    authserv_id = _AUTHSERV_ID.fullmatch(first)
    results = [_RESULT.match(part) for part in parts if part.strip()]
    if authserv_id is None or not all(results):
        return "", []
    name = re.sub(r"\\(.)", r"\1", authserv_id[1].strip('"'))
    return name, [(result[1].casefold(), result[2].casefold()) for result in results if result]


def _without_comments(value: str) -> str:
    """Return a header value without its comments. Comments can be nested (RFC 5322, 3.2.2).

    Return an empty text if a comment or a quoted text has no end.
    """
    text, depth, is_quoted = "", 0, False
    for char in re.findall(r"\\.|.", value, re.DOTALL):  # a backslash and the escaped character are one item
        if char == '"' and not depth:
            is_quoted = not is_quoted
        depth += char == "(" and not is_quoted
        text += " " if depth else char
        depth -= char == ")" and not is_quoted and depth > 0
    return "" if depth or is_quoted else text


class _DnsLookups:
    """The DNS lookups of one DKIM or DMARC check. ``timed_out`` is True if one of the lookups timed out."""

    def __init__(self, authenticator: SenderAuthenticator) -> None:
        self._authenticator = authenticator
        self.timed_out = False

    def look_up_key(self, name: bytes, timeout: float = LOOK_UP_SECONDS) -> bytes | None:  # noqa: ARG002 - dkimpy's parameter
        record = self.look_up_policy(name.decode("ascii", "replace").rstrip("."))
        return None if record is None else record.encode("latin-1", "replace")

    def look_up_policy(self, name: str) -> str | None:
        try:
            return self._authenticator.look_up(name)
        except TimeoutError:
            self.timed_out = True
            return None


class _DmarcPolicies:
    """Finds the DMARC policies that apply to one mail, with a DNS tree walk (RFC 9989, 4.10)."""

    def __init__(self, look_up: LookUpText) -> None:
        self._tags = cache(lambda name: _parse_policy(look_up(f"_dmarc.{name}") or ""))

    def find(self, domain: str) -> dict[str, str]:
        """Return the tags of the policy for mails from this domain. If the domain has no valid policy, return no tags."""
        policy = (
            self._tags(domain)
            or self._tags(self.organizational_domain(domain))
            or [{}, *self._walk_tree(domain).values()][-1]
        )
        return policy if policy.get("p") in POLICIES or "rua" in policy else {}

    def organizational_domain(self, domain: str) -> str:
        """Return the organizational domain of a domain.

        If neither the domain nor a parent domain has a policy, return the domain itself.
        """
        policies = self._walk_tree(domain)
        for name, tags in policies.items():
            if tags.get("psd") == "n":
                return name
            if tags.get("psd") == "y" and name != domain:
                label_count = name.count(".") + 2
                return ".".join(domain.split(".")[-label_count:])
        return [domain, *policies][-1]

    def _walk_tree(self, domain: str) -> dict[str, dict[str, str]]:
        """Return the policies of a domain and of its parent domains. The longest name comes first."""
        labels = domain.split(".")
        policies = {}
        for length in (len(labels), *range(min(len(labels), MAX_TREE_WALK_LOOKUPS) - 1, 0, -1)):
            name = ".".join(labels[-length:])
            if tags := self._tags(name):
                policies[name] = tags
            if tags.get("psd") in {"y", "n"}:
                break
        return policies


def _parse_policy(record: str) -> dict[str, str]:
    """Return the tags of a DMARC policy (RFC 9989, 4.7 and 4.8). If the record is not a policy, return no tags."""
    pairs = [part.partition("=") for part in record.split(";")]
    (name, _, version), *_ = pairs
    if (name.strip(), version.strip()) != ("v", "DMARC1"):
        return {}
    return {name.strip().casefold(): value.strip().casefold() for name, equals, value in reversed(pairs) if equals}


def _is_aligned(signing_domain: str, sender_domain: str, policies: _DmarcPolicies, *, strict: bool) -> bool:
    """Return True if the domain of a signature is aligned with the domain of the sender (RFC 9989, 4.10.2)."""
    return signing_domain == sender_domain or (
        not strict and policies.organizational_domain(signing_domain) == policies.organizational_domain(sender_domain)
    )
