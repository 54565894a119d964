"""What can be known of who really sent a mail: signatures (DKIM), its domain's policy (DMARC), what our mail server found.

Evidence, never proof: whatever it says, the letter that asks for a yes goes to the address of the purchase alone.
"""

import re
from collections.abc import Callable
from email.parser import BytesHeaderParser
from functools import cache
from importlib.resources import files
from itertools import takewhile
from time import monotonic
from typing import Any

import dkim
import dns.exception
import dns.resolver
from authheaders.dmarc_lookup import lookup_receiver_record
from authres import AuthenticationResultsHeader
from publicsuffix2 import PublicSuffixList

LOOK_UP_SECONDS = 2.0  # for one name, its servers and repeats together
REST_SECONDS = (
    60.0  # without a look-up after one that nobody answered: mails do not wait for a name server that is away
)
LARGEST, LONGEST_HEAD, LONGEST_GAP = 1_000_000, 50_000, 200
"""Bytes of a mail, of its headers, and of white space in a row: the library takes minutes over more."""
LONGEST_RESULTS = 4_000  # characters
MOST_SIGNATURES = 3  # mailing services add one beside the sender's

TextOf = Callable[[str], str | None]
"""The text record of a name, None where it has none; raises a TimeoutError where nobody answers."""


def text_of(name: str) -> str | None:
    """As the name servers of this machine say."""
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=LOOK_UP_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
    except dns.exception.DNSException as error:
        raise TimeoutError(f"No name server answered: {type(error).__name__}.") from None
    records = [b"".join(record.strings).decode("latin-1") for record in answer]
    return next((record for record in records if record.startswith(("v=DKIM1", "v=DMARC1"))), next(iter(records), None))


class Witness:
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
        best = next((one for one in signatures if one[0] == "pass" and _akin(one[1], domain)), None)
        result, signed = best or next((one for one in signatures if one[0] == "pass"), signatures[0])
        return {"dkim": result, "signed_by": signed, "dmarc": self._dmarc(domain, result, signed)}

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

    def _dmarc(self, domain: str, result: str, signed: str) -> str:
        """Whether a signature that holds is one of the domain that the mail names, where that domain has a policy."""
        if result == "temperror":
            return "temperror"
        asked = _Asked(self)
        try:
            hosts = dict.fromkeys((domain, _organisation(domain)))
            policies = (lookup_receiver_record(host, asked.policy) for host in hosts)
            policy: dict[str, str] = next(filter(None, policies), {})
        except Exception:  # noqa: BLE001 - as above
            return "permerror"
        if asked.in_vain:
            return "temperror"
        if not policy:
            return "none"
        aligned = signed == domain if policy.get("adkim") == "s" else _akin(signed, domain)
        return "pass" if result == "pass" and aligned else "fail"

    def _results(self, head: bytes) -> dict[str, str]:
        """What our own mail server found.

        Only what stands above every mark of its way here: who wrote the mail could have written all that stands below
        (RFC 8601, 5 and 7.1).
        """
        above = takewhile(
            lambda item: item[0].casefold() != "received",
            BytesHeaderParser().parsebytes(head[:LONGEST_HEAD]).items() if self._authserv_id else (),
        )
        found = (_parsed(value) for name, value in above if name.casefold() == "authentication-results")
        ours = (one for one in found if one and str(one.authserv_id).casefold() == self._authserv_id)
        return {str(result.method)[:20]: str(result.result)[:20] for one in ours for result in one.results[:10]}

    def text(self, name: str) -> str | None:
        """The text record of this name, unless nobody answered a moment ago."""
        if monotonic() < self._resting_until:
            raise TimeoutError
        try:
            return self._look_up(name)
        except TimeoutError:
            self._resting_until = monotonic() + REST_SECONDS
            raise


def _parsed(value: str) -> AuthenticationResultsHeader | None:
    try:
        return AuthenticationResultsHeader.parse(f"Authentication-Results: {value[:LONGEST_RESULTS]}")
    except Exception:  # noqa: BLE001 - as above
        return None


class _Asked:
    """The look-ups of one check, in the two shapes that the libraries want."""

    def __init__(self, witness: Witness) -> None:
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


def _akin(one: str, other: str) -> bool:
    """Whether two domains belong to one organisation, as DMARC says it (RFC 7489, 3.1)."""
    return bool(one) and _organisation(one) == _organisation(other)


def _organisation(domain: str) -> str:
    """Under a suffix that is not in the list, its last two names: the library takes all of a new suffix for one domain."""
    known = _suffixes().get_public_suffix(domain) or ""
    return known if "." in known else ".".join(domain.split(".")[-2:])


@cache
def _suffixes() -> PublicSuffixList:
    """Read once: it takes a tenth of a second."""
    with (files("authheaders") / "public_suffix_list.txt").open(encoding="utf-8") as lines:
        return PublicSuffixList(lines)
