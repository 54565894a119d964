"""Requests by e-mail. `reader.py` makes a request of a mail's bytes, `mailbox.py` takes mails from a folder."""

from producers.mail.mailbox import Inbox, Read, serve
from producers.mail.reader import Kind, Mail, NotARequest, read

__all__ = ["Inbox", "Kind", "Mail", "NotARequest", "Read", "read", "serve"]
