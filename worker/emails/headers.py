"""Creates messages with the headers of our e-mails, and removes invisible characters from texts of customers and sellers.

Our e-mails are not bulk mail and belong to no mailing list, so they have no List-* headers (RFC 2369, 2919). They have no
Precedence header, because this header is not standardised. RFC 3834 (3.1.8) recommends no value for this header.
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

MAX_FACT = 200  # characters of a name or a reference; a longer text is cut
MAX_SUBJECT = 150  # characters; a longer subject is cut
MAX_TEXT = 4_000  # characters of a customer's text; the web form has the same maximum

SUPPRESSED_RESPONSES = "DR, RN, NRN, OOF, AutoReply"
"""The automatic responses that Exchange must not send us ([MS-OXCMAIL] 2.1.3.2.20). "All" would also suppress non-delivery
reports, which we need."""

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,250}@[!-;=?A-~]{1,250}>")


class _MessageIds(UnstructuredHeader, BaseHeader):
    """A header with one Message-ID on each line.

    Python's e-mail library would write a long line as an encoded word, in which no mail reader finds the ids.
    """

    def fold(self, *, policy: Policy) -> str:
        """Write each Message-ID on its own line."""
        return f"{self.name}: " + f"{policy.linesep} ".join(str(self).split()) + policy.linesep


_HEADERS = HeaderRegistry()
for _name in ("in-reply-to", "references"):
    _HEADERS.map_to_type(_name, _MessageIds)


def build_message(
    *, sender: str, to: str, name: str, subject: str, after: Sequence[str] = (), reply: bool = False
) -> EmailMessage:
    """Create a message with headers and without content.

    The Message-ID is made from ``name``, so that an e-mail that is sent again has the same Message-ID. ``after`` lists the
    earlier messages of the thread: the customer's mail and our e-mails, the oldest first. An entry with @ is a Message-ID.
    An entry without @ is the ``name`` of one of our e-mails. ``reply`` is True if the message directly answers a customer's
    mail (RFC 3834, 5). Raise UnreadableError if ``to`` or ``sender`` is not an address that can receive e-mail.
    """
    sender_address = _parse_sender(sender)
    message = EmailMessage(policy=default.clone(header_factory=_HEADERS))
    message["From"] = sender_address
    message["To"] = _parse_recipient(to)
    message["Subject"] = one_line(subject, MAX_SUBJECT)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{name}@{sender_address.domain}>"
    message_ids = [entry if "@" in entry else f"<{entry}@{sender_address.domain}>" for entry in after]
    if message_ids := [message_id for message_id in message_ids if _MESSAGE_ID.fullmatch(message_id)]:
        message["In-Reply-To"] = message_ids[-1]
        message["References"] = " ".join(message_ids)
    message["Auto-Submitted"] = "auto-replied" if reply else "auto-generated"
    message["X-Auto-Response-Suppress"] = SUPPRESSED_RESPONSES
    return message


def one_line(text: str, max_length: int = MAX_FACT) -> str:
    """Return a text as one line without invisible characters, because a line break could start another header."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= max_length else plain[: max_length - 1].rstrip() + "…"


def lines(text: str) -> str:
    """Remove invisible characters from each line of a text, and cut the text after MAX_TEXT characters."""
    return "\n".join(one_line(line, MAX_TEXT) for line in text[:MAX_TEXT].splitlines()).strip()


def _parse_recipient(text: str) -> Address:
    """Parse an address, and convert its domain to ASCII (IDNA). Raise UnreadableError if the address is not valid."""
    user, at, host = text.strip().rpartition("@")
    try:
        host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
        if user.isascii():
            return Address(addr_spec=f"{user}@{host}")
        if not at or not host or not text.strip().isprintable() or set(user) & set(' "(),:;<>@[\\]'):
            raise UnreadableError("No e-mail can be sent to this address.")
        return Address(username=user, domain=host)
    except (MessageError, ValueError, IndexError):  # for an invalid address, the library may raise any of these errors
        raise UnreadableError("No e-mail can be sent to this address.") from None


def _parse_sender(text: str) -> Address:
    message = EmailMessage()
    try:
        message["From"] = text
        addresses: tuple[Address, ...] = message["From"].addresses
    except (MessageError, ValueError, IndexError):
        addresses = ()
    if len(addresses) != 1 or not addresses[0].domain:
        raise UnreadableError("MONEYBACK_MAIL_FROM must be exactly one sender, such as: Refunds <refunds@example.com>.")
    return addresses[0]
