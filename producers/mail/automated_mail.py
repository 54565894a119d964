"""Detects automated mail: e-mails of Moneyback, bounces, mails of mailing lists, and automatic replies (RFC 3834).

Moneyback does not answer automated mail, because two programs that answer each other never stop.
"""

import re
from collections.abc import Callable, Collection
from uuid import UUID

from domain.purchases import email_key
from producers.mail.mail_text import Part, header
from producers.mail.parsed_mail import BouncedEmail, MailKind

_AUTO_REPLY_SUBJECT = re.compile(
    r"(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|automatische antwort|"
    r"abwesenheits(?:notiz|nachricht)|réponse automatique|respuesta automática|risposta automatica|resposta automática|"
    r"自動(?:返信|応答)|不在)",
    re.IGNORECASE,
)
"""The beginning of the subject of an automatic reply: "Automatic reply" (Outlook), "Out of office" and translations."""

_NO_REPLY_ADDRESS = re.compile(
    r"(?:no|do[-_.]?not|ne[-_.]?pas)[-_.]?(?:reply|respond|repondre)\b|bounces?\b", re.IGNORECASE
)
"""The beginning of an address that does not receive replies: noreply@, do-not-reply@, ne-pas-repondre@, bounces@."""

_POSTMASTER_ADDRESS = re.compile(r"(?:mailer-daemon|postmaster|mail-?delivery)\b", re.IGNORECASE)
"""The beginning of the address from which a mail server sends a report: MAILER-DAEMON@, postmaster@."""

_ACTION = re.compile(rb"^Action:[ \t]*([a-z]{1,20})", re.IGNORECASE | re.MULTILINE)
"""The field Action of a delivery status notification (RFC 3464): failed, delayed, delivered, relayed, expanded."""

_STATUS = re.compile(r"^Status:[ \t]*([245]\.\d{1,3}\.\d{1,3})", re.IGNORECASE | re.MULTILINE)
"""The field Status of a delivery status notification, such as 5.1.1 (RFC 3463)."""


class SentMailMatcher:
    """A matcher that finds e-mails of Moneyback by the sender's address, or by the Message-ID ``<case.kind@domain>``."""

    def __init__(self, addresses: Collection[str] = ()) -> None:
        self._addresses = frozenset(map(email_key, addresses))
        domains = "|".join(sorted({re.escape(address.rpartition("@")[2]) for address in addresses})) or r"\B\b"
        self._message_id = re.compile(
            rf"([0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}})\.([a-z_]{{1,40}}(?:\.\d{{1,9}})?)@(?:{domains})\b"
        )

    def is_own_address(self, address: str) -> bool:
        """Return True if the address is one of Moneyback's own addresses. Anyone can write this address into the field From."""
        return email_key(address) in self._addresses

    def is_sent_mail(self, message: Part) -> bool:
        """Return True if Moneyback sent this mail. Only the Message-ID proves it."""
        return bool(self._message_id.search(header(message, "message-id")))

    def is_own_list(self, message: Part) -> bool:
        """Return True if the mail went to no mailing list, or to the list of one of Moneyback's addresses: a group address."""
        lists = " ".join(header(message, name) for name in ("list-id", "list-post", "mailing-list")).casefold()
        names = {part for address in self._addresses for part in (address, address.replace("@", "."))}
        return not lists.strip() or any(name in lists for name in names)

    def find_cases(self, message_ids: Collection[str]) -> tuple[UUID, ...]:
        """Return the cases whose e-mails have these Message-IDs."""
        matches = (self._message_id.search(message_id) for message_id in message_ids)
        return tuple(dict.fromkeys(UUID(match[1]) for match in matches if match))

    def find_bounced_email(self, raw: bytes) -> BouncedEmail | None:
        """Return the e-mail of Moneyback that a bounce report is about, or None."""
        text = raw.decode("latin-1")
        email = self._message_id.search(text)
        status = _STATUS.search(text)
        return BouncedEmail(UUID(email[1]), email[2], status[1] if status else "") if email else None


def is_auto_reply_subject(subject: str) -> bool:
    """Return True for the subject of an automatic reply."""
    return _AUTO_REPLY_SUBJECT.match(subject) is not None


def is_auto_reply(message: Part, subject: str) -> bool:
    """Return True for an automatic reply. Its quotation can contain a request, but the request has arrived before."""
    return header(message, "auto-submitted").casefold().startswith("auto-replied") or is_auto_reply_subject(subject)


def automated_kind(
    message: Part, sender: str, subject: str, raw: bytes, sent_mail_matcher: SentMailMatcher
) -> MailKind | None:
    """Return the kind of an automated mail, or None if a customer wrote the mail."""
    if sent_mail_matcher.is_sent_mail(message) or sent_mail_matcher.is_own_address(sender):
        return MailKind.OWN_EMAIL
    if _is_delivery_report(message, sender):
        return MailKind.BOUNCE if _reports_failure(raw) else MailKind.AUTO_REPLY
    if any(check(message) for check in _LIST_CHECKS):
        return MailKind.LIST
    is_automatic = (
        _NO_REPLY_ADDRESS.match(sender)
        or is_auto_reply_subject(subject)
        or any(check(message) for check in _AUTO_REPLY_CHECKS)
    )
    return MailKind.AUTO_REPLY if is_automatic else None


_HeaderCheck = Callable[[Part], bool]


def _has_header(name: str, *ignored: str) -> _HeaderCheck:
    """Return a check that a header is present and that its value is not in ``ignored``."""
    return lambda message: header(message, name).partition(";")[0].strip().casefold() not in {"", *ignored}


def _header_is(name: str, *values: str) -> _HeaderCheck:
    """Return a check that the value of a header is in ``values``."""
    return lambda message: header(message, name).strip().casefold() in values


def _is_multipart_report(message: Part) -> bool:
    return header(message, "content-type").casefold().startswith("multipart/report")


def _is_delivery_report(message: Part, sender: str) -> bool:
    if _is_multipart_report(message):
        content_type = header(message, "content-type").casefold()
        return "delivery-status" in content_type or "report-type" not in content_type
    return bool(header(message, "x-failed-recipients")) or _POSTMASTER_ADDRESS.match(sender) is not None


def _reports_failure(raw: bytes) -> bool:
    """Return True if the report contains ``Action: failed``.

    A report without an Action field counts as a failure, because servers send such reports only for failures.
    """
    actions = {action.lower() for action in _ACTION.findall(raw)}
    return not actions or b"failed" in actions


_LIST_CHECKS: tuple[_HeaderCheck, ...] = (
    *(
        _has_header(name)
        for name in ("list-id", "list-unsubscribe", "list-post", "list-help", "mailing-list", "feedback-id")
    ),
    _header_is("precedence", "bulk", "list"),
)
"""Headers of mailing lists and newsletters (RFC 2369, RFC 2919; Feedback-ID marks a mass mailing to Gmail)."""

_AUTO_REPLY_CHECKS: tuple[_HeaderCheck, ...] = (
    _has_header("auto-submitted", "no"),
    _header_is("precedence", "junk", "auto_reply"),
    _header_is("return-path", "<>"),
    _has_header("x-auto-response-suppress", "none"),  # from Microsoft Exchange
    _has_header("x-autoreply", "no"),
    _has_header("x-autorespond", "no"),
    _has_header("x-loop", "no"),
    _is_multipart_report,  # read receipts and spam complaints
)
"""Headers of automatic mail: the header of RFC 3834, older headers, and headers that only some programs use."""
