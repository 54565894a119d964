"""The parsed mail: its kind, its sender and the refund requests in it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from domain.refund_reasons import RefundReason
from domain.requests import RefundRequest, RefundScope
from producers.mail.references import Candidate

MAX_REFERENCES = 5  # the maximum number of requests in one mail, because each request can cause an answer


class MailKind(StrEnum):
    """The kind of a received mail."""

    REQUEST = "request"
    """A customer asks for a refund of a purchase that the mail names."""
    NO_REFERENCE = "no_reference"
    """A customer asks for a refund and names no purchase. The answer is an e-mail with a link to the refund form."""
    WITHDRAWAL = "withdrawal"
    """A customer declares a statutory withdrawal and names no purchase. The withdrawal is valid without a reference."""
    NOT_A_REQUEST = "not_a_request"
    """A customer wrote the mail and asks for no refund."""
    AUTO_REPLY = "auto_reply"
    """A program sent the mail. An answer could start a mail loop."""
    BOUNCE = "bounce"
    """A mail server reports that an e-mail could not be delivered."""
    LIST = "list"
    """The mail went to a mailing list, or it is a newsletter."""
    OWN_EMAIL = "own_letter"
    """Moneyback sent the mail."""
    TOO_LARGE = "too_large"
    """The mail is larger than ``parser.MAX_SIZE``. The answer is an e-mail that says that the mail was too large."""
    TOO_MANY = "too_many"
    """The mail names more than ``MAX_REFERENCES`` purchases."""
    UNREADABLE = "unreadable"
    """The mail cannot be parsed or decrypted, or its sender is unclear."""
    PASSED_ON = "passed_on"
    """A program or a colleague passed on a customer's mail, and no purchase of the customer was found."""
    KEY_REUSED = "key_reused"
    """An earlier mail with the same Message-ID has different content."""


NEEDS_SUPPORT = frozenset(
    {
        MailKind.NOT_A_REQUEST,
        MailKind.TOO_LARGE,
        MailKind.TOO_MANY,
        MailKind.UNREADABLE,
        MailKind.PASSED_ON,
        MailKind.KEY_REUSED,
    }
)
"""Kinds of mails that support must read, because these mails create no case."""


class BouncedEmail(NamedTuple):
    """An e-mail from Moneyback that could not be delivered.

    ``status_code`` is the enhanced status code (RFC 3463) in the bounce report. It is empty if the report has no such
    code.
    """

    case_id: UUID
    name: str
    status_code: str


class Withdrawal(NamedTuple):
    """A statutory withdrawal that a mail declares: the customer's name, and when the mail arrived, if this is known."""

    name: str
    arrived_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundIntent:
    """A wish for a refund, before it is known of which purchase."""

    addresses: tuple[str, ...]
    """The e-mail addresses that the customer may have, the most certain first."""
    places: tuple[tuple[Candidate, ...], ...]
    """The possible references in each place of the mail: in the new text, in the quoted text, in links and file names."""
    reason: RefundReason
    refund_scope: RefundScope
    comment: str
    locale: str
    withdrawal: Withdrawal | None = None
    """The declaration of a statutory withdrawal, if the mail is a declaration."""

    def request(self, email: str, reference: str) -> RefundRequest:
        """Return the refund request for a purchase."""
        return RefundRequest(
            email=email,
            reference=reference,
            reason=self.reason,
            refund_scope=self.refund_scope,
            comment=self.comment,
            locale=self.locale,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMail:
    """A parsed mail."""

    kind: MailKind
    message_id: str
    """The identity of the mail: a mail that arrives twice, even by different routes, has the same ``message_id``."""
    sender: str = ""
    """The address in the field From, or the customer's address if the mail was passed on."""
    author: str = ""
    """The address in the field From, also if the mail was passed on."""
    subject: str = ""
    text: str = ""
    """The text of the mail for support, without card numbers. It is empty if the mail cannot be read."""
    new_text: str = ""
    """What the author wrote: the text without quotation, signature and card numbers, and the names of the attached files."""
    locale: str = "en"
    answered_message_ids: tuple[str, ...] = ()
    """The Message-IDs in the headers References and In-Reply-To, the oldest first."""
    answered_cases: tuple[UUID, ...] = ()
    """The cases whose e-mails this mail answers."""
    case_serials: tuple[int, ...] = ()
    """The serial numbers of the case numbers in the mail, in the new or the quoted text, whoever the cases belong to."""
    named_cases: tuple[UUID, ...] = ()
    """The customer's cases whose case numbers the mail contains."""
    requests: tuple[RefundRequest, ...] = ()
    requests_refund: bool = False
    """True if an automated mail asks for a refund. A customer may have sent it through a mailing list or a contact form."""
    bounced_email: BouncedEmail | None = None
    refund_intent: RefundIntent | None = None
    """The wish for a refund, if the mail has one. It becomes requests for the purchases that it names."""
    is_passed_on: bool = False
    """True if the sender is not the customer: a contact form, a group address, a colleague. The sender gets no answer."""

    is_flagged: bool = False
    """True if support must read the mail besides its requests, for example because the customer mentions a lawyer."""

    @property
    def needs_support(self) -> bool:
        """True if support must read the mail, because the mail creates no case, or says more than a case can hold."""
        return self.kind in NEEDS_SUPPORT or self.requests_refund or self.is_passed_on or self.is_flagged

    @property
    def thread(self) -> str:
        """The id of the thread: the Message-ID of the first mail in the thread."""
        return self.answered_message_ids[0] if self.answered_message_ids else self.message_id
