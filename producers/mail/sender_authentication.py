"""What can be known of who really sent a mail: signatures (DKIM), its domain's policy (DMARC), what our mail server found.

Evidence, never proof: whatever it says, the letter that asks for a yes goes to the address of the purchase alone.
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

LOOK_UP_SECONDS = 2.0  # for one name, its servers and repeats together
REST_SECONDS = (
    60.0  # without a look-up after one that nobody answered: mails do not wait for a name server that is away
)
LARGEST, LONGEST_HEAD, LONGEST_GAP = 1_000_000, 50_000, 200
"""Bytes of a mail, of its headers, and of white space in a row: the library takes minutes over more."""
LONGEST_RESULTS = 4_000  # characters
MOST_SIGNATURES = 3  # mailing services add one beside the sender's
LONGEST_WALK = 8  # look-ups for the policy of one domain (RFC 9989, 4.10)
POLICIES = {"none", "quarantine", "reject"}

_QUOTED = r'"(?:\\.|[^"\\])*"'
_PART = re.compile(rf'(?:{_QUOTED}|[^";])+', re.DOTALL)
_AUTHSERV_ID = re.compile(rf'\s*({_QUOTED}|[^\s";=]+)(?:\s+\d+)?\s*', re.DOTALL)
_RESULT = re.compile(r"\s*([a-z0-9-]+)\s*(?:/\s*\d+\s*)?=\s*([a-z0-9-]+)(?=\s|$)", re.IGNORECASE)

TextOf = Callable[[str], str | None]
"""The text record of a name, None where it has none; raises a TimeoutError where nobody answers."""


def text_of(name: str) -> str | None:
    """As the name servers of this machine say."""
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=LOOK_UP_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.exception.SyntaxError, dns.exception.FormError):
        return None  # nobody has this name, or nobody can have it
    except dns.exception.DNSException as error:
        raise TimeoutError(f"No name server answered: {type(error).__name__}.") from None
    records = [b"".join(record.strings).decode("latin-1") for record in answer]
    if sum(record.startswith("v=DMARC1") for record in records) > 1:
        return None  # two policies are none (RFC 9989, 4.10)
    return next((record for record in records if record.startswith(("v=DKIM1", "v=DMARC1"))), next(iter(records), None))


class SenderAuthenticator:
    """Collects the evidence of mails. ``authserv_id`` is the name that our own mail server writes its findings under."""

    def __init__(self, look_up: TextOf = text_of, authserv_id: str | None = None) -> None:
        self._look_up = look_up
        self._authserv_id = (authserv_id or "").casefold()
        self._resting_until = 0.0

    def evidence(self, raw: bytes, sender: str) -> dict[str, Any]:
        """Results by method, in the words of RFC 8601: pass, fail, none, policy (not looked at), temperror, permerror."""
        head = re.split(rb"\r?\n\r?\n", raw[:LARGEST], maxsplit=1)[0]
        found: dict[str, Any] = {}
        if results := self._results(head):
            found["results"] = results
        if not re.search(rb"^dkim-signature[ \t]*:", head, re.IGNORECASE | re.MULTILINE):
            return found | {"dkim": "none"}
        if len(raw) > LARGEST or len(head) > LONGEST_HEAD or re.search(rb"[ \t]{%d}" % LONGEST_GAP, raw):
            return found | {"dkim": "policy"}
        try:
            return found | self._proven(raw, sender)
        except Exception:  # noqa: BLE001 - strangers write mails, and the library raises whatever it likes
            return found | {"dkim": "permerror"}

    def _proven(self, raw: bytes, sender: str) -> dict[str, str]:
        signatures = self._signatures(raw)
        domain = sender.rpartition("@")[2].casefold()
        holding = [signed for result, signed in signatures if result == "pass"]
        if not holding:
            result, signed = signatures[0]
            dmarc = "temperror" if result == "temperror" else self._dmarc(domain, [])[0]
            return {"dkim": result, "signed_by": signed, "dmarc": dmarc}
        dmarc, signed = self._dmarc(domain, holding)
        return {"dkim": "pass", "signed_by": signed or holding[0], "dmarc": dmarc}

    def _signatures(self, raw: bytes) -> list[tuple[str, str]]:
        """The result and the domain of each signature."""
        signatures = []
        for number in range(MOST_SIGNATURES):
            checker = dkim.DKIM(raw, minkey=1024)
            if number and number >= sum(name.lower() == b"dkim-signature" for name, _ in checker.headers):
                break
            asked = _Asked(self)
            try:
                result = "pass" if checker.verify(number, dnsfunc=asked.key) else "fail"
            except dkim.ValidationError:
                result = "fail"
            except Exception:  # noqa: BLE001 - as above
                result = "permerror"
            fields = checker.signature_fields or {}
            domain = fields.get(b"d", b"").decode("ascii", "replace").casefold()
            signatures.append(("temperror" if asked.in_vain else result, domain))
        return signatures

    def _dmarc(self, domain: str, holding: list[str]) -> tuple[str, str]:
        """Returns the DMARC result of a mail from this domain, and the aligned one of the domains whose signatures hold."""
        asked = _Asked(self)
        policies = _Policies(asked.policy)
        try:
            policy = policies.of(domain)
            strict = policy.get("adkim") == "s"
            aligned = next((one for one in holding if _is_aligned(one, domain, policies, strict=strict)), "")
        except Exception:  # noqa: BLE001 - as above
            return "permerror", ""
        if asked.in_vain:
            return "temperror", aligned
        if not policy:
            return "none", aligned
        return ("pass" if aligned else "fail"), aligned

    def _results(self, head: bytes) -> dict[str, str]:
        """What our own mail server found.

        Only what stands above every mark of its way here: who wrote the mail could have written all that stands below
        (RFC 8601, 5 and 7.1).
        """
        above = takewhile(
            lambda item: item[0].casefold() != "received",
            BytesHeaderParser().parsebytes(head[:LONGEST_HEAD]).items() if self._authserv_id else (),
        )
        found = (_parsed(str(value)) for name, value in above if name.casefold() == "authentication-results")
        ours = (results for authserv_id, results in found if authserv_id.casefold() == self._authserv_id)
        return {method[:20]: result[:20] for results in ours for method, result in results[:10]}

    def text(self, name: str) -> str | None:
        """The text record of this name, unless nobody answered a moment ago."""
        if monotonic() < self._resting_until:
            raise TimeoutError
        try:
            return self._look_up(name)
        except TimeoutError:
            self._resting_until = monotonic() + REST_SECONDS
            raise


def _parsed(value: str) -> tuple[str, list[tuple[str, str]]]:
    """Returns who wrote this Authentication-Results field (RFC 8601, 2.2), and its methods with their results."""
    name, *parts = _PART.findall(_without_comments(value[:LONGEST_RESULTS])) or [""]
    authserv_id = _AUTHSERV_ID.fullmatch(name)
    results = [_RESULT.match(part) for part in parts if part.strip()]
    if authserv_id is None or not all(results):
        return "", []
    written = re.sub(r"\\(.)", r"\1", authserv_id[1].strip('"'))
    return written, [(found[1].casefold(), found[2].casefold()) for found in results if found]


def _without_comments(value: str) -> str:
    """Returns a header field without its comments, which may be nested (RFC 5322, 3.2.2); nothing if one has no end."""
    kept, depth, quoted = "", 0, False
    for sign in re.findall(r"\\.|.", value, re.DOTALL):  # a backslash takes the meaning of the next character away
        if sign == '"' and not depth:
            quoted = not quoted
        depth += sign == "(" and not quoted
        kept += " " if depth else sign
        depth -= sign == ")" and not quoted and depth > 0
    return "" if depth or quoted else kept


class _Asked:
    """The look-ups of one check, in the two shapes that the libraries want."""

    def __init__(self, witness: SenderAuthenticator) -> None:
        self._witness = witness
        self.in_vain = False

    def key(self, name: bytes, timeout: float = LOOK_UP_SECONDS) -> bytes | None:  # noqa: ARG002 - the library's own limit
        found = self.policy(name.decode("ascii", "replace").rstrip("."))
        return None if found is None else found.encode("latin-1", "replace")

    def policy(self, name: str) -> str | None:
        try:
            return self._witness.text(name)
        except TimeoutError:
            self.in_vain = True
            return None


class _Policies:
    """The DMARC policies that the domains of one mail publish, found by a walk up the tree of names (RFC 9989, 4.10)."""

    def __init__(self, text_of: TextOf) -> None:
        self._tags = cache(lambda name: _tags(text_of(f"_dmarc.{name}") or ""))

    def of(self, domain: str) -> dict[str, str]:
        """Returns the policy for mails from this domain, as its tags; none where there is no usable policy."""
        policy = self._tags(domain) or self._tags(self.organisation(domain)) or [{}, *self._walk(domain).values()][-1]
        return policy if policy.get("p") in POLICIES or "rua" in policy else {}

    def organisation(self, domain: str) -> str:
        """Returns the organisational domain of this domain: the domain itself where nobody publishes a policy."""
        found = self._walk(domain)
        for name, tags in found.items():
            if tags.get("psd") == "n":
                return name
            if tags.get("psd") == "y" and name != domain:
                labels = name.count(".") + 2
                return ".".join(domain.split(".")[-labels:])
        return [domain, *found][-1]

    def _walk(self, domain: str) -> dict[str, dict[str, str]]:
        """Returns the policies of this domain and of those above it, the longest name first."""
        labels = domain.split(".")
        found = {}
        for length in (len(labels), *range(min(len(labels), LONGEST_WALK) - 1, 0, -1)):
            name = ".".join(labels[-length:])
            if tags := self._tags(name):
                found[name] = tags
            if tags.get("psd") in {"y", "n"}:
                break
        return found


def _tags(record: str) -> dict[str, str]:
    """Returns the tags of a DMARC policy (RFC 9989, 4.7 and 4.8); none where the record is no such policy."""
    pairs = [part.partition("=") for part in record.split(";")]
    (name, _, version), *_ = pairs
    if (name.strip(), version.strip()) != ("v", "DMARC1"):
        return {}
    return {name.strip().casefold(): value.strip().casefold() for name, equals, value in reversed(pairs) if equals}


def _is_aligned(signed: str, domain: str, policies: _Policies, *, strict: bool) -> bool:
    """Returns whether a signature of one domain speaks for mails from the other (RFC 9989, 4.10.2)."""
    return signed == domain or (not strict and policies.organisation(signed) == policies.organisation(domain))
