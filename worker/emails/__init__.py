"""E-mails to customers: the ``*_copy`` modules have the texts, and ``rendering`` creates the messages."""

from worker.emails.rendering import is_current, render
from worker.mail_transport import (
    DeliveryUnknownError,
    EmailNotSentError,
    EmailRejectedError,
    MaildirTransport,
    MailTransport,
    MailTransportError,
    SmtpTransport,
    mail_transport_for,
)

__all__ = [
    "DeliveryUnknownError",
    "EmailNotSentError",
    "EmailRejectedError",
    "MailTransport",
    "MailTransportError",
    "MaildirTransport",
    "SmtpTransport",
    "is_current",
    "mail_transport_for",
    "render",
]
