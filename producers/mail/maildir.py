"""The folder that requests come from: a maildir. A mail leaves ``new/`` only after what it asked for was committed.

Somebody else delivers into it: a mail server, fetchmail, getmail. What was taken is in ``cur/`` marked S (seen); what a
person should look at is marked F (flagged) as well.
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
from producers.mail.parser import LONGEST
from producers.mail.sender_authentication import SenderAuthenticator
from records import DatabaseDownError, Records

MOST = 100  # mails of one batch: a commit costs about as much as a mail
STUCK = 600.0  # seconds until a mail that stood in the way is tried again: time to mend a disk or migrate a database
PAUSE = 2.0  # seconds between two looks at an empty folder, and before a database that was away is asked again

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one look at the folder did. Nothing here is the number of cases: a mail may ask for several, or for none."""

    taken: int = 0
    flagged: int = 0
    repeated: int = 0

    def __bool__(self) -> bool:
        return bool(self.taken or self.flagged or self.repeated)

    def and_(self, outcome: Outcome) -> "BatchResult":
        """With one mail more."""
        if outcome.flagged:
            return BatchResult(self.taken, self.flagged + 1, self.repeated)
        return BatchResult(self.taken + outcome.fresh, self.flagged, self.repeated + (not outcome.fresh))


class MaildirInbox:
    """A maildir of requests. ``own`` are our addresses, whose mails are never answered."""

    def __init__(self, folder: Path, own: Collection[str] = (), witness: SenderAuthenticator | None = None) -> None:
        self.folder = folder
        self._clerk = MailIngest(own, witness)
        for part in ("cur", "new", "tmp"):  # the library makes them only where it also makes the folder
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stuck: dict[str, float] = {}

    def run_once(self, records: Records) -> BatchResult:
        """Reads up to a hundred new mails. While the database is down it raises, and every mail stays where it is."""
        letters = {name: found for name in self._names() if (found := self._open(name)) is not None}
        read = BatchResult()
        for name, outcome in zip(letters, self._clerk.take(records, list(letters.values())), strict=True):
            if isinstance(outcome, Exception):
                self._leave(name, outcome)
            else:
                read = read.and_(outcome)
                self._move(name, "FS" if outcome.flagged else "S")
        return read

    def run(self, records: Records, stop: threading.Event, pause: float = PAUSE) -> None:
        """Reads until told to stop."""
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
        """A mail that came another way, for a person to look at; on the disk when this returns."""
        name = f"{time():.6f}.{uuid4().hex}.moneyback"
        aside, folder = self.folder / "tmp" / name, self.folder / "cur"
        write_new_file(aside, raw)
        move_file(aside, folder / f"{name}{Maildir.colon}2,FS")

    def _names(self) -> list[str]:
        """The oldest new mails; a maildir's names begin with their time."""
        now = monotonic()
        self._stuck = {name: until for name, until in self._stuck.items() if until > now}
        names = (path.name for path in (self.folder / "new").iterdir())
        return sorted(name for name in names if not name.startswith(".") and name not in self._stuck)[:MOST]

    def _open(self, name: str) -> RawMail | None:
        """This mail; None where another reader was faster, or where nobody can open it."""
        path = self.folder / "new" / name
        try:
            status = path.lstat()
            if not S_ISREG(status.st_mode):
                raise OSError(EINVAL, "not a file")  # noqa: TRY301 - a folder, a link or a pipe, which would be waited for
            with path.open("rb") as file:
                return RawMail(file.read(LONGEST + 1), status.st_size)
        except FileNotFoundError:
            return None
        except OSError as error:  # or somebody else's file: the other mails go on
            self._leave(name, error)
            return None

    def _move(self, name: str, flags: str) -> None:
        """Out of new/. A crash before this finds the mail again, and its Message-ID what became of it."""
        target = self.folder / "cur" / f"{name.partition(Maildir.colon)[0]}{Maildir.colon}2,{flags}"
        try:
            (self.folder / "new" / name).rename(target)
        except FileNotFoundError:
            return  # another reader was faster; the mail was taken once
        except OSError as error:
            self._leave(name, error)

    def _leave(self, name: str, error: Exception) -> None:
        """Stays in new/ and is not looked at for a while: it would stand in the way of the others."""
        self._stuck[name] = monotonic() + STUCK
        log.error("mail_stuck", error=type(error).__name__, errno=getattr(error, "errno", None))
