"""A mailbox on an IMAP server. A mail is marked seen only after what it asked for was committed.

What a person should look at is flagged as well. Nothing is ever moved or deleted.
Every batch is found anew as what is unseen, so that nothing depends on UIDs outliving their connection (UIDVALIDITY).
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
from producers.mail.maildir import MOST, PAUSE, STUCK, BatchResult
from producers.mail.parser import LARGEST, LONGEST
from producers.mail.sender_authentication import SenderAuthenticator
from records import DatabaseDownError, Records

TIMEOUT = 60.0  # seconds a mail server may take for one answer
IDLE = 300.0  # seconds of one IDLE: servers may hang up after 29 minutes (RFC 2177), and routers forget much sooner
TURN = 1.0  # seconds until it is seen that this process is asked to end
POLL = 30.0  # seconds between two looks where the server knows no IDLE
LONGEST_PAUSE = 60.0  # seconds between two attempts to reach a server that is away
MOST_BYTES = 20_000_000  # of one batch

_BAD_URL = (
    "MONEYBACK_IMAP_URL is not like imaps://user:password@host:port/INBOX or imap://user:password@host:port/INBOX."
)
_AWAY = (ImapToolsError, IMAP4.error, OSError)

log = structlog.get_logger(__name__)


class ImapAccount(NamedTuple):
    """A mailbox's address: ``imaps://`` is TLS from the start, ``imap://`` STARTTLS, but on this machine."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    folder: str

    @classmethod
    def of(cls, url: str) -> "ImapAccount":
        """Raises a MoneybackError that quotes no password."""
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

    def dial(self) -> BaseMailBox:
        """An open connection, not logged in; a password does not leave this machine in the clear."""
        if self.tls:
            return MailBox(self.host, self.port, timeout=TIMEOUT, ssl_context=ssl.create_default_context())
        if is_loopback(self.host):
            return MailBoxUnencrypted(self.host, self.port, timeout=TIMEOUT)
        return MailBoxStartTls(self.host, self.port, timeout=TIMEOUT, ssl_context=ssl.create_default_context())


class ImapInbox:
    """A mailbox of requests. ``own`` are our addresses, whose mails are never answered."""

    def __init__(self, url: str, own: Collection[str] = (), witness: SenderAuthenticator | None = None) -> None:
        self._place = ImapAccount.of(url)
        self._clerk = MailIngest(own, witness)
        self._stuck: dict[tuple[str, str], float] = {}

    @contextmanager
    def open(self) -> Iterator["ImapSession"]:
        """The folder, selected; hung up at the end."""
        box = self._place.dial()
        try:
            box.login_utf8(self._place.user, self._place.password, initial_folder=self._place.folder)
            yield ImapSession(box, self._clerk, self._stuck)
        finally:
            with suppress(*_AWAY):
                box.logout()

    def run(self, records: Records, stop: threading.Event, pause: float = PAUSE) -> None:
        """Reads until told to stop; a server that is away is tried again, ever more rarely."""
        patience = pause
        while not stop.is_set():
            try:
                with self.open() as folder:
                    log.info("imap_connected", idle=folder.idles)
                    patience = pause
                    _read_all(folder, records, stop, pause)
            except _AWAY as error:
                log.warning("imap_unavailable", error=type(error).__name__, seconds=patience)
                stop.wait(patience)
                patience = min(patience * 2, LONGEST_PAUSE)


def _read_all(folder: "ImapSession", records: Records, stop: threading.Event, pause: float) -> None:
    while not stop.is_set():
        try:
            if not folder.run_once(records):
                folder.wait(stop)
        except DatabaseDownError as error:
            log.warning("database_unavailable", error=type(error).__name__)
            stop.wait(pause)


class ImapSession:
    """A selected folder."""

    def __init__(self, box: BaseMailBox, clerk: MailIngest, stuck: dict[tuple[str, str], float]) -> None:
        self._box = box
        self._clerk = clerk
        self._stuck = stuck
        self._validity = _first(box.client.response("UIDVALIDITY")[1])
        self.idles = "IDLE" in box.client.capabilities

    def run_once(self, records: Records) -> BatchResult:
        """Reads up to a hundred unseen mails. While the database is down it raises, and every mail stays unseen."""
        letters = dict(self._letters())
        read = BatchResult()
        marks: dict[str, list[str]] = {}
        for uid, outcome in zip(letters, self._clerk.take(records, list(letters.values())), strict=True):
            if isinstance(outcome, Exception):
                self._stuck[self._validity, uid] = monotonic() + STUCK
                log.error("mail_stuck", error=type(outcome).__name__)
            else:
                read = read.and_(outcome)
                marks.setdefault(r"(\Seen \Flagged)" if outcome.flagged else r"(\Seen)", []).append(uid)
        for flags, uids in marks.items():  # the library's own verb for this would also expunge what others deleted
            self._box.client.uid("STORE", ",".join(uids), "+FLAGS.SILENT", flags)
        return read

    def wait(self, stop: threading.Event) -> None:
        """Until something happens in the folder, or it is time to look anyway, or to stop."""
        if not self.idles:
            stop.wait(POLL)
            return
        with self._box.idle as idle:
            until = monotonic() + IDLE
            while not stop.is_set() and (began := monotonic()) < until:
                if idle.poll(timeout=TURN):
                    return
                if monotonic() - began < TURN / 2:
                    raise ConnectionError("The mail server hung up.")  # readable, and nothing to read

    def _letters(self) -> Iterator[tuple[str, RawMail]]:
        """The oldest unseen mails with their UIDs. How large each is, is asked before it is fetched; the beginning will do."""
        self._box.client.noop()  # a server need not speak of what came since unless it is asked
        now = monotonic()
        unseen = [
            uid for uid in self._box.uids("UNSEEN", charset=None) if self._stuck.get((self._validity, uid), 0) <= now
        ]
        uids, held = sorted(unseen, key=int)[:MOST], 0
        sizes = self._sizes(uids) if uids else {}
        for uid in uids:
            if uid in sizes and held < MOST_BYTES:
                raw = self._fetch(
                    uid, f"BODY.PEEK[]<0.{LONGEST + 1}>" if sizes[uid] <= LARGEST else "BODY.PEEK[HEADER]"
                )
                if raw is not None:  # or somebody took it away meanwhile
                    held += len(raw)
                    yield uid, RawMail(raw, sizes[uid])

    def _sizes(self, uids: list[str]) -> dict[str, int]:
        _, answer = self._box.client.uid("FETCH", ",".join(uids), "(RFC822.SIZE)")
        found = (_plain(part) for part in answer if part)
        pairs = ((re.search(r"UID (\d+)", part), re.search(r"RFC822\.SIZE (\d+)", part)) for part in found)
        return {uid[1]: int(size[1]) for uid, size in pairs if uid and size}

    def _fetch(self, uid: str, part: str) -> bytes | None:
        _, answer = self._box.client.uid("FETCH", uid, f"({part})")
        return next((piece[1] for piece in answer if isinstance(piece, tuple)), None)


def _plain(part: bytes | tuple[bytes, bytes]) -> str:
    return (part[0] if isinstance(part, tuple) else part).decode("ascii", "replace")


def _first(answer: list[bytes | None] | None) -> str:
    return (answer[0] or b"").decode("ascii", "replace") if answer else ""
