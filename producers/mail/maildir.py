"""Reads refund requests from a maildir. A mail stays in ``new/`` until its cases are committed.

A mail server, fetchmail or getmail delivers mails into ``new/``. Ingested mails are in ``cur/`` with the flag S (seen). Mails
that support must read also have the flag F (flagged).
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from errno import EINVAL
from mailbox import Maildir
from pathlib import Path
from stat import S_ISREG
from time import monotonic, time
from uuid import uuid4

import structlog

from config.durable_files import move_file, write_new_file
from producers.mail.ingest import MailIngest, Outcome, RawMail
from producers.mail.parser import MAX_READ_BYTES
from producers.mail.sender_authentication import SenderAuthenticator
from records import DatabaseDownError, Records

MAX_BATCH = 100
"""The maximum number of mails in one commit.

A commit takes about as long as the work for one mail, so larger batches would save little time.
"""
RETRY_STUCK_SECONDS = 600.0  # the pause before a failed mail is read again. Operators may have to repair a disk first
POLL_SECONDS = 2.0  # the pause between two reads of an empty maildir, and the pause if the database is unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The mails of a batch, counted by result. Cases are not counted, because a mail can create no case or several cases."""

    taken: int = 0
    flagged: int = 0
    repeated: int = 0

    def __bool__(self) -> bool:
        return bool(self.taken or self.flagged or self.repeated)

    def and_(self, outcome: Outcome) -> "BatchResult":
        """Return this result plus one mail with this outcome."""
        if outcome.flagged:
            return BatchResult(self.taken, self.flagged + 1, self.repeated)
        return BatchResult(self.taken + outcome.fresh, self.flagged, self.repeated + (not outcome.fresh))


class MaildirInbox:
    """A maildir of refund requests. Mail from Moneyback's own addresses, ``moneyback_addresses``, is not answered."""

    def __init__(
        self,
        folder: Path,
        moneyback_addresses: Collection[str] = (),
        sender_authenticator: SenderAuthenticator | None = None,
    ) -> None:
        self.folder = folder
        self._ingest = MailIngest(moneyback_addresses, sender_authenticator)
        for part in ("cur", "new", "tmp"):  # if the maildir exists, mailbox.Maildir does not create these folders
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stuck_until: dict[str, float] = {}

    def run_once(self, records: Records) -> BatchResult:
        """Ingest up to MAX_BATCH new mails.

        If the database is unavailable, raise DatabaseDownError; then each mail stays in ``new/``.
        """
        mails = {name: mail for name in self._list_new() if (mail := self._read_mail(name)) is not None}
        result = BatchResult()
        for name, outcome in zip(mails, self._ingest.take(records, list(mails.values())), strict=True):
            if isinstance(outcome, Exception):
                self._mark_stuck(name, outcome)
            else:
                result = result.and_(outcome)
                self._move_to_cur(name, "FS" if outcome.flagged else "S")
        return result

    def run(self, records: Records, stop: threading.Event, pause: float = POLL_SECONDS) -> None:
        """Ingest mails until ``stop`` is set. Between two reads of an empty maildir, wait ``pause`` seconds."""
        while not stop.is_set():
            try:
                if self.run_once(records):
                    continue
            except DatabaseDownError as error:
                log.warning("database_unavailable", error=type(error).__name__)
            except OSError as error:
                log.warning("maildir_unreadable", error=type(error).__name__, errno=error.errno)
            stop.wait(pause)

    def keep(self, raw: bytes) -> None:
        """Store a mail from another source in ``cur/``, flagged for support. The mail is on disk when the function returns."""
        name = f"{time():.6f}.{uuid4().hex}.moneyback"
        temporary, folder = self.folder / "tmp" / name, self.folder / "cur"
        write_new_file(temporary, raw)
        move_file(temporary, folder / f"{name}{Maildir.colon}2,FS")

    def _list_new(self) -> list[str]:
        """Return the names of at most MAX_BATCH new mails, oldest first. A name begins with the time of the mail's delivery."""
        now = monotonic()
        self._stuck_until = {name: until for name, until in self._stuck_until.items() if until > now}
        names = (path.name for path in (self.folder / "new").iterdir())
        return sorted(name for name in names if not name.startswith(".") and name not in self._stuck_until)[:MAX_BATCH]

    def _read_mail(self, name: str) -> RawMail | None:
        """Return a mail, or None if another reader has moved it or if it cannot be read."""
        path = self.folder / "new" / name
        try:
            status = path.lstat()
            if not S_ISREG(status.st_mode):
                raise OSError(EINVAL, "not a file")  # noqa: TRY301 - a folder, a link, or a pipe that would block
            with path.open("rb") as file:
                return RawMail(file.read(MAX_READ_BYTES + 1), status.st_size)
        except FileNotFoundError:
            return None
        except OSError as error:  # for example, the file belongs to another user; the other mails are still read
            self._mark_stuck(name, error)
            return None

    def _move_to_cur(self, name: str, flags: str) -> None:
        """Move a mail from ``new/`` to ``cur/``.

        If the process crashes before the move, the mail is read again. Then its Message-ID shows that it was ingested before.
        """
        target = self.folder / "cur" / f"{name.partition(Maildir.colon)[0]}{Maildir.colon}2,{flags}"
        try:
            (self.folder / "new" / name).rename(target)
        except FileNotFoundError:
            return  # another reader has moved the mail; the mail was ingested only once
        except OSError as error:
            self._mark_stuck(name, error)

    def _mark_stuck(self, name: str, error: Exception) -> None:
        """Skip a mail for RETRY_STUCK_SECONDS, so that other mails can be read. The skipped mail stays in ``new/``."""
        self._stuck_until[name] = monotonic() + RETRY_STUCK_SECONDS
        log.error("mail_stuck", error=type(error).__name__, errno=getattr(error, "errno", None))
