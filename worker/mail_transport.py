"""Delivers e-mails: into a maildir, or to an SMTP server."""

import hashlib
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import default
from glob import escape
from mailbox import Maildir
from pathlib import Path
from threading import Lock
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from config.durable_files import move_file, write_new_file
from config.loopback import is_loopback
from config.settings import Settings
from domain.errors import MoneybackError

TIMEOUT = 20.0  # seconds: the maximum wait for one reply of the mail server


class MailTransportError(MoneybackError, OSError):
    """The e-mail was not delivered, or its delivery is uncertain. This error is an OSError, like the errors of smtplib."""


class EmailNotSentError(MailTransportError):
    """The e-mail was certainly not sent, so it can be sent later. For example, the mail server is busy."""


class EmailRejectedError(MailTransportError):
    """The mail server rejects this e-mail permanently. The e-mail was not sent, and a repeat would be rejected too."""


class DeliveryUnknownError(MailTransportError):
    """The connection failed while the e-mail was sent. It is unknown whether the mail server accepted the e-mail."""


class MailTransport(Protocol):
    """A way to deliver e-mails.

    If ``repeatable`` is True, the same e-mail may be delivered again, because the new copy replaces the first copy.
    """

    repeatable: bool

    def deliver(self, email: EmailMessage) -> None:
        """Deliver one e-mail. If that fails, raise EmailNotSentError, EmailRejectedError or DeliveryUnknownError."""


class MaildirTransport:
    """A transport that stores e-mails in a maildir.

    The file name comes from the Message-ID. So if the same e-mail is delivered again, the new file replaces the old file.
    """

    repeatable = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for part in ("cur", "new", "tmp"):  # mailbox.Maildir creates these three folders only if ``folder`` is new
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)

    def deliver(self, email: EmailMessage) -> None:
        """Write the e-mail to a temporary file, and rename the file, so that no mail program reads an incomplete e-mail."""
        name = file_name(str(email["Message-ID"]))
        temporary = self._folder / "tmp" / f"{name}.{uuid4().hex}"
        try:
            try:
                write_new_file(temporary, as_bytes(email))
                move_file(temporary, self._find_target(name))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise EmailNotSentError(
                f"The e-mail could not be stored in the maildir: {error.strerror or type(error).__name__}."
            ) from error

    def _find_target(self, name: str) -> Path:
        """Return the path for this e-mail. If an earlier copy is marked as read, return the path of that copy."""
        read = next((self._folder / "cur").glob(f"{escape(name)}{Maildir.colon}*"), None)
        return read or self._folder / "new" / name


class SmtpTransport:
    """A transport that sends e-mails to a mail server. It uses one connection until the server closes the connection.

    The URL is ``smtp://user:password@host:port`` (STARTTLS if the server offers it) or ``smtps://…`` (TLS from the start).
    """

    repeatable = False

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._host, port = parts.hostname or "", parts.port
        except ValueError:
            raise MoneybackError(_BAD_URL) from None
        if parts.scheme not in {"smtp", "smtps"} or not self._host:
            raise MoneybackError(_BAD_URL)
        self._tls = parts.scheme == "smtps"
        self._port = port or (465 if self._tls else 25)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._smtp: smtplib.SMTP | None = None
        self._lock = Lock()

    def deliver(self, email: EmailMessage) -> None:
        """Send the e-mail once. After a DeliveryUnknownError the caller decides whether to send the e-mail again."""
        with self._lock:
            smtp = self._get_connection()
            with self._classify_errors():
                smtp.send_message(email)

    def close(self) -> None:
        """Close the connection to the server. The next e-mail opens a new connection."""
        with self._lock:
            if self._smtp is not None:
                with suppress(smtplib.SMTPException, OSError):
                    self._smtp.quit()
            self._drop_connection()

    def _get_connection(self) -> smtplib.SMTP:
        """Return the open connection if the server still replies, or a new connection."""
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                if self._smtp.noop()[0] == 250:  # noqa: PLR2004 - SMTP's code for success
                    return self._smtp
            self._drop_connection()
        try:
            self._smtp = self._connect()
        except EmailNotSentError:
            raise
        except (smtplib.SMTPException, OSError) as error:
            raise EmailNotSentError(f"The mail server cannot be used: {_describe_error(error)}.") from error
        return self._smtp

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._tls:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT, context=context)
        else:
            smtp = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT)
        try:
            self._log_in(smtp, context)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _log_in(self, smtp: smtplib.SMTP, context: ssl.SSLContext) -> None:
        """Greet the server, start TLS if the server offers it, and log in if the URL has a user."""
        smtp.ehlo_or_helo_if_needed()
        is_encrypted = self._tls
        if not is_encrypted and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
            smtp.ehlo()
            is_encrypted = True
        if self._user and not is_encrypted and not is_loopback(self._host):
            raise EmailNotSentError(
                "The mail server offers no TLS, so Moneyback does not send the password in MONEYBACK_SMTP_URL."
            )
        if self._user:
            smtp.login(self._user, self._password)

    @contextmanager
    def _classify_errors(self) -> Iterator[None]:
        """If smtplib raises an error, raise EmailNotSentError, EmailRejectedError or DeliveryUnknownError instead."""
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _refusal_error(codes, "recipient") from None  # the original error quotes the address
        except smtplib.SMTPResponseException as error:
            raise _refusal_error([error.smtp_code], "e-mail") from None
        except smtplib.SMTPNotSupportedError:
            raise EmailRejectedError(
                "The mail server cannot deliver to an address with characters outside ASCII."
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            self._drop_connection()
            raise DeliveryUnknownError(
                f"The connection to the mail server failed while an e-mail was sent: {_describe_error(error)}."
            ) from None

    def _drop_connection(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def mail_transport_for(settings: Settings) -> MailTransport:
    """Return the transport for these settings. If SMTP and a maildir are both set, SMTP is used."""
    if settings.smtp_url is not None:
        return SmtpTransport(settings.smtp_url.get_secret_value())
    if settings.sent_mail_dir is not None:
        return MaildirTransport(settings.sent_mail_dir)
    raise MoneybackError(
        "E-mails cannot be sent: set MONEYBACK_SMTP_URL, or set MONEYBACK_SENT_MAIL_DIR to store e-mails in a maildir."
    )


_BAD_URL = "MONEYBACK_SMTP_URL must look like smtp://user:password@host:port or smtps://user:password@host:port."


def as_bytes(email: EmailMessage) -> bytes:
    """Return the e-mail as bytes. The bytes are ASCII, unless the part of an address before the @ has other characters."""
    utf8 = not str(email["To"]).isascii() and any(not address.username.isascii() for address in email["To"].addresses)
    return email.as_bytes(policy=default.clone(utf8=utf8))


def file_name(message_id: str) -> str:
    """Return the file name for a Message-ID. Two different ids have two different names."""
    bare_id = message_id.strip().strip("<>")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}", bare_id):
        return bare_id
    return hashlib.sha256(message_id.encode(errors="surrogateescape")).hexdigest()


def _refusal_error(codes: list[int], refused: str) -> MoneybackError:
    """Return the error for the SMTP codes with which the server refused the recipient or the e-mail."""
    code = max(codes, default=0)
    if all(code >= 500 for code in codes):  # noqa: PLR2004 - SMTP: 5xx codes are permanent errors; 4xx codes are temporary
        return EmailRejectedError(f"The mail server rejects this {refused} permanently ({code}).")
    return EmailNotSentError(f"The mail server does not accept this {refused} now ({code}).")


def _describe_error(error: Exception) -> str:
    """Return what failed, without the server's text, which may quote an address."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it replied {error.smtp_code}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
