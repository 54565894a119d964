"""Letters to customers: `copy.py` has what they say, `write.py` writes one, `post.py` sends it."""

from worker.letters.post import (
    MaildirTransport,
    EmailNotSentError,
    MailTransport,
    MailTransportError,
    EmailRejectedError,
    SmtpTransport,
    DeliveryUnknownError,
    mail_transport_for,
)
from worker.letters.write import is_current, render

__all__ = [
    "MaildirTransport",
    "EmailNotSentError",
    "MailTransport",
    "MailTransportError",
    "EmailRejectedError",
    "SmtpTransport",
    "DeliveryUnknownError",
    "mail_transport_for",
    "is_current",
    "render",
]
