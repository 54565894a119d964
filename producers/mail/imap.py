r"""Reads refund requests from a mailbox on an IMAP server. A mail is marked ``\Seen`` only after the commit of its cases.

Mails that support must read are also marked ``\Flagged``. No mail is moved or deleted. Each batch begins with a new search for
unseen mails. No mail is fetched by a UID of an earlier connection, because the server may have changed the UIDs (UIDVALIDITY).
"""

import re
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from imaplib import IMAP4
from time import monotonic
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import structlog
from imap_tools.errors import ImapToolsError
from imap_tools.mailbox import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted

from config.loopback import is_loopback
from domain.errors import MoneybackError
from producers.mail.ingest import MailIngest, RawMail
from producers.mail.maildir import MAX_BATCH, POLL_SECONDS, RETRY_STUCK_SECONDS, BatchResult
from producers.mail.parser import MAX_READ_BYTES, MAX_SIZE
from producers.mail.sender_authentication import SenderAuthenticator
from records import DatabaseDownError, Records

TIMEOUT_SECONDS = 60.0  # the maximum wait for one response of the server
IDLE_SECONDS = 300.0
"""The maximum duration of an IDLE command. Servers may disconnect after 30 minutes (RFC 2177), and routers earlier."""
STOP_CHECK_SECONDS = 1.0  # the pause between two checks of ``stop`` during an IDLE command
NO_IDLE_POLL_SECONDS = 30.0  # the pause between two searches if the server does not support IDLE
MAX_RECONNECT_SECONDS = 60.0  # the maximum pause between two attempts to connect
MAX_BATCH_BYTES = 20_000_000  # when a batch has this size, no further mail is fetched for it

_BAD_URL = (
    "MONEYBACK_IMAP_URL must look like imaps://user:password@host:port/INBOX or imap://user:password@host:port/INBOX."
)
_IMAP_ERRORS = (ImapToolsError, IMAP4.error, OSError)

log = structlog.get_logger(__name__)


class ImapAccount(NamedTuple):
    """A mailbox on an IMAP server, with the user and the password. ``tls`` is True if the URL begins with ``imaps://``."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    folder: str

    @classmethod
    def of(cls, url: str) -> "ImapAccount":
        """Return the account of a URL. If the URL is invalid, raise MoneybackError without the password in its text."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise MoneybackError(_BAD_URL) from None
        if parts.scheme not in {"imap", "imaps"} or not host or not parts.username:
            raise MoneybackError(_BAD_URL)
        tls = parts.scheme == "imaps"
        folder = unquote(parts.path.strip("/")) or "INBOX"
        user, password = unquote(parts.username), unquote(parts.password or "")
        return cls(host, port or (993 if tls else 143), tls, user, password, folder)

    def connect(self) -> BaseMailBox:
        """Return an open connection. The caller must log in.

        A URL with ``imaps://`` means TLS. A URL with ``imap://`` means STARTTLS, or no encryption for a server on this machine.
        """
        if self.tls:
            return MailBox(self.host, self.port, timeout=TIMEOUT_SECONDS, ssl_context=ssl.create_default_context())
        if is_loopback(self.host):
            return MailBoxUnencrypted(self.host, self.port, timeout=TIMEOUT_SECONDS)
        return MailBoxStartTls(self.host, self.port, timeout=TIMEOUT_SECONDS, ssl_context=ssl.create_default_context())


class ImapInbox:
    """A mailbox of refund requests. Mail from Moneyback's own addresses, ``moneyback_addresses``, is not answered."""

    def __init__(
        self,
        url: str,
        moneyback_addresses: Collection[str] = (),
        sender_authenticator: SenderAuthenticator | None = None,
    ) -> None:
        self._account = ImapAccount.of(url)
        self._ingest = MailIngest(moneyback_addresses, sender_authenticator)
        self._stuck_until: dict[tuple[str, str], float] = {}

    @contextmanager
    def open(self) -> Iterator["ImapSession"]:
        """Connect, log in and select the folder; log out at the end."""
        mailbox = self._account.connect()
        try:
            mailbox.login_utf8(self._account.user, self._account.password, initial_folder=self._account.folder)
            yield ImapSession(mailbox, self._ingest, self._stuck_until)
        finally:
            with suppress(*_IMAP_ERRORS):
                mailbox.logout()

    def run(self, records: Records, stop: threading.Event, pause: float = POLL_SECONDS) -> None:
        """Ingest mails until ``stop`` is set.

        If the server is unavailable, try again after ``pause`` seconds. Each failure doubles the delay, up to
        MAX_RECONNECT_SECONDS.
        """
        delay = pause
        while not stop.is_set():
            try:
                with self.open() as session:
                    log.info("imap_connected", idle=session.supports_idle)
                    delay = pause
                    _run_session(session, records, stop, pause)
            except _IMAP_ERRORS as error:
                log.warning("imap_unavailable", error=type(error).__name__, seconds=delay)
                stop.wait(delay)
                delay = min(delay * 2, MAX_RECONNECT_SECONDS)


def _run_session(session: "ImapSession", records: Records, stop: threading.Event, pause: float) -> None:
    while not stop.is_set():
        try:
            if not session.run_once(records):
                session.wait(stop)
        except DatabaseDownError as error:
            log.warning("database_unavailable", error=type(error).__name__)
            stop.wait(pause)


class ImapSession:
    """A connection with a selected folder."""

    def __init__(self, mailbox: BaseMailBox, ingest: MailIngest, stuck_until: dict[tuple[str, str], float]) -> None:
        self._mailbox = mailbox
        self._ingest = ingest
        self._stuck_until = stuck_until
        self._uid_validity = _decode_first(mailbox.client.response("UIDVALIDITY")[1])
        self.supports_idle = "IDLE" in mailbox.client.capabilities

    def run_once(self, records: Records) -> BatchResult:
        """Ingest up to MAX_BATCH unseen mails.

        If the database is unavailable, raise DatabaseDownError. In this case, all mails stay unseen.
        """
        mails = dict(self._fetch_unseen())
        result = BatchResult()
        uids_by_flags: dict[str, list[str]] = {}
        for uid, outcome in zip(mails, self._ingest.take(records, list(mails.values())), strict=True):
            if isinstance(outcome, Exception):
                self._stuck_until[self._uid_validity, uid] = monotonic() + RETRY_STUCK_SECONDS
                log.error("mail_stuck", error=type(outcome).__name__)
            else:
                result = result.and_(outcome)
                uids_by_flags.setdefault(r"(\Seen \Flagged)" if outcome.flagged else r"(\Seen)", []).append(uid)
        for flags, uids in uids_by_flags.items():
            # MailBox.flag() is not used, because it also expunges the mails that other clients have marked as deleted.
            self._mailbox.client.uid("STORE", ",".join(uids), "+FLAGS.SILENT", flags)
        return result

    def wait(self, stop: threading.Event) -> None:
        """Wait until the folder changes, until the next search is due, or until ``stop`` is set."""
        if not self.supports_idle:
            stop.wait(NO_IDLE_POLL_SECONDS)
            return
        with self._mailbox.idle as idle:
            deadline = monotonic() + IDLE_SECONDS
            while not stop.is_set() and (poll_started := monotonic()) < deadline:
                if idle.poll(timeout=STOP_CHECK_SECONDS):
                    return
                if monotonic() - poll_started < STOP_CHECK_SECONDS / 2:
                    # The poll returned early without data: the server has closed its end of the socket.
                    raise ConnectionError("The mail server closed the connection.")

    def _fetch_unseen(self) -> Iterator[tuple[str, RawMail]]:
        """Yield the oldest unseen mails with their UIDs.

        First fetch the sizes of the mails. If a mail is larger than MAX_SIZE, fetch only its headers. Otherwise, fetch
        only the beginning of the mail (MAX_READ_BYTES).
        """
        self._mailbox.client.noop()  # a server reports new mails only in its response to a command
        now = monotonic()
        unseen = [
            uid
            for uid in self._mailbox.uids("UNSEEN", charset=None)
            if self._stuck_until.get((self._uid_validity, uid), 0) <= now
        ]
        uids, fetched_bytes = sorted(unseen, key=int)[:MAX_BATCH], 0
        sizes = self._fetch_sizes(uids) if uids else {}
        for uid in uids:
            if uid in sizes and fetched_bytes < MAX_BATCH_BYTES:
                is_readable = sizes[uid] <= MAX_SIZE
                raw = self._fetch(uid, f"BODY.PEEK[]<0.{MAX_READ_BYTES + 1}>" if is_readable else "BODY.PEEK[HEADER]")
                if raw is not None:  # None: another client has deleted the mail
                    fetched_bytes += len(raw)
                    yield uid, RawMail(raw, sizes[uid])

    def _fetch_sizes(self, uids: list[str]) -> dict[str, int]:
        _, response = self._mailbox.client.uid("FETCH", ",".join(uids), "(RFC822.SIZE)")
        lines = (_decode_part(part) for part in response if part)
        matches = ((re.search(r"UID (\d+)", line), re.search(r"RFC822\.SIZE (\d+)", line)) for line in lines)
        return {uid[1]: int(size[1]) for uid, size in matches if uid and size}

    def _fetch(self, uid: str, part: str) -> bytes | None:
        _, response = self._mailbox.client.uid("FETCH", uid, f"({part})")
        return next((piece[1] for piece in response if isinstance(piece, tuple)), None)


def _decode_part(part: bytes | tuple[bytes, bytes]) -> str:
    return (part[0] if isinstance(part, tuple) else part).decode("ascii", "replace")


def _decode_first(response: list[bytes | None] | None) -> str:
    return (response[0] or b"").decode("ascii", "replace") if response else ""
