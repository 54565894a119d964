"""How letters leave: into a maildir, or through an SMTP server."""

import hashlib
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import default
from glob import escape
from ipaddress import ip_address
from mailbox import Maildir
from pathlib import Path
from threading import Lock
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from config.durable_files import move_file, write_new_file
from config.settings import Settings
from domain.errors import MoneybackError

TIMEOUT = 20.0  # seconds a mail server may take for one answer


class MailTransportError(MoneybackError, OSError):
    """The letter did not leave as it should. An OSError, as those of files and of smtplib are."""


class EmailNotSentError(MailTransportError):
    """The mail server did not take this letter, for now. It is certain that it was not sent: send it again later."""


class EmailRejectedError(MailTransportError):
    """The mail server refuses this letter for good. It was not sent, and sending it again would not help."""


class DeliveryUnknownError(MailTransportError):
    """The connection broke while the letter was handed over. It may have been sent or not."""


class MailTransport(Protocol):
    """Takes letters. Where it is ``repeatable``, delivering one a second time does not make a second letter."""

    repeatable: bool

    def deliver(self, letter: EmailMessage) -> None:
        """Delivers one letter, or raises NotSentError, RefusedLetterError or UnclearError."""


class MaildirTransport:
    """Keeps letters in a maildir; a letter's file is named after its Message-ID, so that a repeated one replaces itself."""

    repeatable = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for part in ("cur", "new", "tmp"):  # the library makes them only where it also makes the folder
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)

    def deliver(self, letter: EmailMessage) -> None:
        """Written aside, then put in place whole: a reader never sees half a letter, nor does a crash leave one."""
        name = file_name(str(letter["Message-ID"]))
        aside = self._folder / "tmp" / f"{name}.{uuid4().hex}"
        try:
            try:
                write_new_file(aside, as_bytes(letter))
                move_file(aside, self._place(name))
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise EmailNotSentError(
                f"The letter could not be kept: {error.strerror or type(error).__name__}."
            ) from error

    def _place(self, name: str) -> Path:
        """Where this letter is, or is to be: one that somebody has read stays read."""
        read = next((self._folder / "cur").glob(f"{escape(name)}{Maildir.colon}*"), None)
        return read or self._folder / "new" / name


class SmtpTransport:
    """Hands letters to a mail server; one connection for as long as the server keeps it.

    The URL is ``smtp://user:password@host:port`` (STARTTLS where the server offers it) or ``smtps://…`` (TLS from the start).
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
        self._one_at_a_time = Lock()

    def deliver(self, letter: EmailMessage) -> None:
        """Once: after an UnclearError only a person, or a rule of the caller's, can say whether to try again."""
        with self._one_at_a_time:
            smtp = self._connection()
            with self._answers():
                smtp.send_message(letter)

    def close(self) -> None:
        """Says goodbye to the server. The next letter greets it again."""
        with self._one_at_a_time:
            if self._smtp is not None:
                with suppress(smtplib.SMTPException, OSError):
                    self._smtp.quit()
            self._forget()

    def _connection(self) -> smtplib.SMTP:
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                if self._smtp.noop()[0] == 250:  # noqa: PLR2004 - SMTP's "fine"
                    return self._smtp
            self._forget()
        try:
            self._smtp = self._dial()
        except EmailNotSentError:
            raise
        except (smtplib.SMTPException, OSError) as error:
            raise EmailNotSentError(f"The mail server cannot be used: {_said(error)}.") from error
        return self._smtp

    def _dial(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._tls:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT, context=context)
        else:
            smtp = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT)
        try:
            self._introduce(smtp, context)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _introduce(self, smtp: smtplib.SMTP, context: ssl.SSLContext) -> None:
        smtp.ehlo_or_helo_if_needed()
        private = self._tls
        if not private and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
            smtp.ehlo()
            private = True
        if self._user and not private and not _is_this_machine(self._host):
            raise EmailNotSentError(
                "The mail server offers no TLS, so the password of MONEYBACK_SMTP_URL is not sent to it."
            )
        if self._user:
            smtp.login(self._user, self._password)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Says which of the three it was: not now, never, or nobody knows."""
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _no(codes, "recipient") from None  # the error quotes the address
        except smtplib.SMTPResponseException as error:
            raise _no([error.smtp_code], "letter") from None
        except smtplib.SMTPNotSupportedError:
            raise EmailRejectedError("The mail server cannot deliver to an address with such letters in it.") from None
        except (smtplib.SMTPException, OSError) as error:
            self._forget()
            raise DeliveryUnknownError(
                f"The connection broke while a letter was handed over: {_said(error)}."
            ) from None

    def _forget(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def mail_transport_for(settings: Settings) -> MailTransport:
    """The way out that these settings name: SMTP before a maildir."""
    if settings.smtp_url is not None:
        return SmtpTransport(settings.smtp_url.get_secret_value())
    if settings.sent_mail_dir is not None:
        return MaildirTransport(settings.sent_mail_dir)
    raise MoneybackError(
        "Letters have no way out: set MONEYBACK_SMTP_URL, or MONEYBACK_SENT_MAIL_DIR to keep them in a maildir."
    )


_BAD_URL = "MONEYBACK_SMTP_URL is not like smtp://user:password@host:port or smtps://user:password@host:port."


def as_bytes(letter: EmailMessage) -> bytes:
    """The letter as a file; only an address that ASCII cannot say makes it more than ASCII."""
    utf8 = not str(letter["To"]).isascii() and any(not a.username.isascii() for a in letter["To"].addresses)
    return letter.as_bytes(policy=default.clone(utf8=utf8))


def file_name(message_id: str) -> str:
    """A file's name for a Message-ID: the same for the same, another for another."""
    plain = message_id.strip().strip("<>")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}", plain):
        return plain
    return hashlib.sha256(message_id.encode(errors="surrogateescape")).hexdigest()


def _no(codes: list[int], what: str) -> MoneybackError:
    code = max(codes, default=0)
    if all(code >= 500 for code in codes):  # noqa: PLR2004 - SMTP's "never"; 4xx is "not now"
        return EmailRejectedError(f"The mail server refuses this {what} for good ({code}).")
    return EmailNotSentError(f"The mail server does not take this {what} now ({code}).")


def _said(error: Exception) -> str:
    """What went wrong, without what the server quoted: that may be an address."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answered {error.smtp_code}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
