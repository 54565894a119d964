"""What a mail is, as far as bytes can tell."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from domain.requests import RefundRequest
from domain.sentence_enum import SentenceEnum


class MailKind(SentenceEnum):
    """What a mail is. The sentences are for the person who looks at it."""

    REQUEST = "request", "Somebody asks for the money of a purchase that the mail names."
    NO_REFERENCE = "no_reference", "Somebody asks for money, and names no purchase. They are sent the form's link."
    NOT_A_REQUEST = "not_a_request", "A person wrote this mail, and asks for no money in it."
    AUTO_REPLY = "auto_reply", "A machine sent this mail: answering it could go round in circles."
    BOUNCE = "bounce", "A mail server says that a letter could not be delivered."
    LIST = "list", "This mail went to many."
    OWN_EMAIL = "own_letter", "We sent this mail ourselves."
    TOO_LARGE = "too_large", "This mail is too large to be read. Its sender is told so."
    TOO_MANY = "too_many", "This mail names so many purchases that a person should look at it."
    UNREADABLE = "unreadable", "Nobody could make sense of this mail, or of who sent it."
    KEY_REUSED = "key_reused", "An earlier mail with the same Message-ID asked for something else."


NEEDS_SUPPORT = frozenset(
    {MailKind.NOT_A_REQUEST, MailKind.TOO_LARGE, MailKind.TOO_MANY, MailKind.UNREADABLE, MailKind.KEY_REUSED}
)
"""Nothing else will come of these."""


class BouncedEmail(NamedTuple):
    """A letter of ours that came back: its case, its stage, and the mail system's status code (RFC 3463), if it gave one."""

    case: UUID
    email_kind: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMail:
    """One mail, read."""

    kind: MailKind
    message_id: str
    """The same mail again has the same one, whatever way it took."""
    sender: str = ""
    locale: str = "en"
    answers: tuple[str, ...] = ()
    """The Message-IDs that it answers, the oldest first."""
    cases: tuple[UUID, ...] = ()
    """The cases whose letters it answers."""
    requests: tuple[RefundRequest, ...] = ()
    requests_refund: bool = False
    """A machine sent it or passed it on, and its words ask for money all the same: a customer may have written them."""
    returned: BouncedEmail | None = None

    @property
    def needs_support(self) -> bool:
        """Whether somebody should look at it: nothing else will come of it."""
        return self.kind in NEEDS_SUPPORT or self.requests_refund

    @property
    def thread(self) -> str:
        """The conversation that it belongs to, by the first mail of it."""
        return self.answers[0] if self.answers else self.message_id
