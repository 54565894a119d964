"""Finds the declaration of a statutory withdrawal in a mail. Any clear statement counts (Directive 2011/83/EU, Article 11)."""

from datetime import UTC, datetime, timedelta
from email.utils import parseaddr, parsedate_to_datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from domain.requests import Name
from producers.mail.intent import withdraws
from producers.mail.mail_text import Part, header
from producers.mail.parsed_mail import Withdrawal

MAX_DELAY: Final = timedelta(days=7)  # the time that a mail may lie in the mailbox before it is read

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def find_withdrawal(message: Part, text: str, subject: str) -> Withdrawal | None:
    """Return the declaration in the customer's text, or None."""
    return Withdrawal(_name(message), _arrived_at(message)) if withdraws(text, subject) else None


def arrival(withdrawal: Withdrawal, now: datetime) -> datetime:
    """Return the time from which the withdrawal counts: the arrival of the mail, or ``now`` if the arrival is not credible."""
    arrived_at = withdrawal.arrived_at
    return arrived_at if arrived_at and now - MAX_DELAY <= arrived_at <= now else now


def _name(message: Part) -> str:
    """Return the customer's name. If the name contains a link or an address, return the first part of the e-mail address."""
    try:
        display_name, address = parseaddr(str(message["from"]))
    except Exception:  # noqa: BLE001 - the library raises undocumented errors for malformed headers
        display_name, address = parseaddr(header(message, "from"))
    try:
        return _NAME.validate_python(display_name)
    except ValidationError:
        return address.partition("@")[0][:100]


def _arrived_at(message: Part) -> datetime | None:
    """Return the time in the first header Received, which the operator's own mail server wrote (RFC 5321, 4.4)."""
    try:
        arrived_at = parsedate_to_datetime(header(message, "received").rpartition(";")[2].strip())
    except (TypeError, ValueError, OverflowError):
        return None
    return arrived_at.astimezone(UTC) if arrived_at.tzinfo else None
