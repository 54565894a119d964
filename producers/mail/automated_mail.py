"""Mails that no person wrote just now: our own letters, reports of mail servers, lists, automatic replies (RFC 3834).

Answering one of these could go round in circles for ever.
"""

import re
from collections.abc import Callable, Collection
from uuid import UUID

from domain.purchases import email_key
from producers.mail.mail_text import Part, header
from producers.mail.parsed_mail import BouncedEmail, MailKind

_AWAY = re.compile(
    r"(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|automatische antwort|"
    r"abwesenheits(?:notiz|nachricht)|réponse automatique|respuesta automática|risposta automatica|resposta automática|"
    r"自動(?:返信|応答)|不在)",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"(?:no|do[-_.]?not|ne[-_.]?pas)[-_.]?(?:reply|respond|repondre)\b|bounces?\b", re.IGNORECASE)
_POSTMASTER = re.compile(r"(?:mailer-daemon|postmaster|mail-?delivery)\b", re.IGNORECASE)
_ACTION = re.compile(rb"^Action:[ \t]*([a-z]{1,20})", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"^Status:[ \t]*([245]\.\d{1,3}\.\d{1,3})", re.IGNORECASE | re.MULTILINE)


class OwnMail:
    """What is ours in a mail: our addresses, and the Message-IDs of our letters, ``<case.stage@domain>``."""

    def __init__(self, addresses: Collection[str] = ()) -> None:
        self._addresses = frozenset(map(email_key, addresses))
        domains = "|".join(sorted({re.escape(address.rpartition("@")[2]) for address in addresses})) or r"\B\b"
        self._letter = re.compile(
            rf"([0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}})\.([a-z_]{{1,40}})@(?:{domains})\b"
        )

    def wrote(self, message: Part, sender: str) -> bool:
        """Whether this mail is one that we sent."""
        return email_key(sender) in self._addresses or bool(self._letter.search(header(message, "message-id")))

    def answered(self, ids: Collection[str]) -> tuple[UUID, ...]:
        """The cases whose letters have these Message-IDs."""
        found = (self._letter.search(name) for name in ids)
        return tuple(dict.fromkeys(UUID(match[1]) for match in found if match))

    def returned(self, raw: bytes) -> BouncedEmail | None:
        """The letter of ours that this report is about, and why it came back."""
        text = raw.decode("latin-1")
        letter = self._letter.search(text)
        status = _STATUS.search(text)
        return BouncedEmail(UUID(letter[1]), letter[2], status[1] if status else "") if letter else None


def is_out_of_office(subject: str) -> bool:
    """Whether this is the subject of an automatic reply."""
    return _AWAY.match(subject) is not None


def automated_kind(message: Part, sender: str, subject: str, raw: bytes, ours: OwnMail) -> MailKind | None:
    """Which kind of machine sent this mail; None for a person's."""
    if ours.wrote(message, sender):
        return MailKind.OWN_EMAIL
    if _is_report(message, sender):
        return MailKind.BOUNCE if _failed(raw) else MailKind.AUTO_REPLY
    if any(says(message) for says in _LIST):
        return MailKind.LIST
    automatic = _NOBODY.match(sender) or is_out_of_office(subject) or any(says(message) for says in _AUTOMATIC)
    return MailKind.AUTO_REPLY if automatic else None


def _says(name: str, *quiet: str) -> Callable[[Part], bool]:
    """A header that is there and says something else than these."""
    return lambda message: header(message, name).partition(";")[0].strip().casefold() not in {"", *quiet}


def _is(name: str, *loud: str) -> Callable[[Part], bool]:
    return lambda message: header(message, name).strip().casefold() in loud


def _is_report(message: Part, sender: str) -> bool:
    kind = header(message, "content-type").casefold()
    if kind.startswith("multipart/report"):
        return "delivery-status" in kind or "report-type" not in kind
    return bool(header(message, "x-failed-recipients")) or _POSTMASTER.match(sender) is not None


def _failed(raw: bytes) -> bool:
    """A report that says what became of a mail says that it failed; one in free words comes of nothing else."""
    said = {action.lower() for action in _ACTION.findall(raw)}
    return not said or b"failed" in said


_LIST: tuple[Callable[[Part], bool], ...] = (
    *(_says(name) for name in ("list-id", "list-unsubscribe", "list-post", "list-help", "mailing-list", "feedback-id")),
    _is("precedence", "bulk", "list"),
)

_AUTOMATIC: tuple[Callable[[Part], bool], ...] = (
    _says("auto-submitted", "no"),
    _is("precedence", "junk", "auto_reply"),
    _is("return-path", "<>"),
    _says("x-auto-response-suppress", "none"),
    _says("x-autoreply", "no"),
    _says("x-autorespond", "no"),
    _says("x-loop", "no"),
    lambda message: (
        header(message, "content-type").casefold().startswith("multipart/report")
    ),  # read receipts, complaints
)
"""The signs of a mail that no person wrote just now: RFC 3834, what came before it, and what some still say instead."""
