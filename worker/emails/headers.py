"""A letter's outside: who writes to whom, and to which letters it belongs.

Letters are not bulk mail and belong to no list, so they carry no List-* headers (RFC 2369, 2919); Precedence is not
standardised, and RFC 3834 (3.1.8) recommends no value of it.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import Policy, default
from email.utils import format_datetime

import idna

from domain.errors import UnreadableError

LONGEST_FACT = 200  # characters of a name or a reference; a longer one is cut, not refused
LONGEST_SUBJECT = 150  # characters
LONGEST_TEXT = 4_000  # characters of what a customer wrote, as the form takes them

NO_ANSWERS = "DR, RN, NRN, OOF, AutoReply"
"""What Exchange is not to send us ([MS-OXCMAIL] 2.1.3.2.20): everything but non-delivery reports, which "All" would hold back."""

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,250}@[!-;=?A-~]{1,250}>")


class _MessageIds(UnstructuredHeader, BaseHeader):
    """Message-IDs, one a line: a long one would else become an encoded word, which no mail reader takes for an id."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: " + f"{policy.linesep} ".join(str(self).split()) + policy.linesep


_HEADERS = HeaderRegistry()
for _name in ("in-reply-to", "references"):
    _HEADERS.map_to_type(_name, _MessageIds)


def build_message(
    *, sender: str, to: str, name: str, subject: str, after: Sequence[str] = (), reply: bool = False
) -> EmailMessage:
    """An empty letter with its headers. The same ``name`` makes the same Message-ID, so that a repeated one can be told.

    ``after`` are the Message-IDs of the mail that asked and of the letters since, oldest first; a name that has no @ is one
    of ours. ``reply`` says that this is the direct answer to a mail (RFC 3834, 5). Raises UnreadableError for an address
    that no letter can go to.
    """
    ours = _sender(sender)
    letter = EmailMessage(policy=default.clone(header_factory=_HEADERS))
    letter["From"] = ours
    letter["To"] = _address(to)
    letter["Subject"] = one_line(subject, LONGEST_SUBJECT)
    letter["Date"] = format_datetime(datetime.now(UTC))
    letter["Message-ID"] = f"<{name}@{ours.domain}>"
    earlier = [known if "@" in known else f"<{known}@{ours.domain}>" for known in after]
    if earlier := [known for known in earlier if _MESSAGE_ID.fullmatch(known)]:
        letter["In-Reply-To"] = earlier[-1]
        letter["References"] = " ".join(earlier)
    letter["Auto-Submitted"] = "auto-replied" if reply else "auto-generated"
    letter["X-Auto-Response-Suppress"] = NO_ANSWERS
    return letter


def one_line(text: str, longest: int = LONGEST_FACT) -> str:
    """Text of others as one plain line: no line break to start a header with, nothing invisible."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"


def lines(text: str) -> str:
    """Text of others as plain lines: nothing invisible, and no more than a letter can carry."""
    return "\n".join(one_line(line, LONGEST_TEXT) for line in text[:LONGEST_TEXT].splitlines()).strip()


def _address(text: str) -> Address:
    """An address of ours to write to; the domain as mail servers know it."""
    user, at, host = text.strip().rpartition("@")
    try:
        host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
        if user.isascii():
            return Address(addr_spec=f"{user}@{host}")
        if not at or not host or not text.strip().isprintable() or set(user) & set(' "(),:;<>@[\\]'):
            raise UnreadableError("This is not an e-mail address that a letter can go to.")
        return Address(username=user, domain=host)
    except (MessageError, ValueError, IndexError):  # the library's parser has no one way to say no
        raise UnreadableError("This is not an e-mail address that a letter can go to.") from None


def _sender(text: str) -> Address:
    probe = EmailMessage()
    try:
        probe["From"] = text
        addresses: tuple[Address, ...] = probe["From"].addresses
    except (MessageError, ValueError, IndexError):
        addresses = ()
    if len(addresses) != 1 or not addresses[0].domain:
        raise UnreadableError("MONEYBACK_MAIL_FROM is not one sender like: Refunds <refunds@example.com>.")
    return addresses[0]
