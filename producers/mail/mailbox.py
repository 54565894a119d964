"""The folder that requests come from: a maildir. A mail leaves ``new/`` only after what it asked for was committed.

Somebody else delivers into it: a mail server, fetchmail, getmail. What was accepted is in ``cur/`` marked S (seen), what
was not is marked F (flagged) as well, for a person to look at.
"""

import signal
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from errno import EINVAL
from mailbox import Maildir
from pathlib import Path
from stat import S_ISREG
from time import monotonic

import structlog

from config.settings import Settings
from domain.errors import MoneybackError
from domain.requests import Channel
from producers import intake
from producers.mail.reader import LARGEST, Kind, Mail, NotARequest, read
from records import DatabaseDownError, Records
from records.intake import Accepted, Arrival

MOST = 100  # mails of one batch: a commit costs about as much as a mail
STUCK = 600.0  # seconds until a mail that stood in the way is tried again: time to mend a disk or migrate a database
PAUSE = 2.0  # seconds between two looks at an empty folder, and before a database that was away is asked again

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """What one look at the folder did. Nothing here is the number of cases: a repeated mail has the case it had."""

    accepted: int = 0
    refused: int = 0
    repeated: int = 0

    def __bool__(self) -> bool:
        return bool(self.accepted or self.refused or self.repeated)


class Inbox:
    """A maildir of requests. ``own`` are our addresses, whose mails are never answered."""

    def __init__(self, folder: Path, own: Collection[str] = ()) -> None:
        self.folder = folder
        self._own = own
        for part in ("cur", "new", "tmp"):  # the library makes them only where it also makes the folder
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stuck: dict[str, float] = {}

    def run_once(self, records: Records) -> Read:
        """Reads up to a hundred new mails. While the database is down it raises, and every mail stays where it is."""
        letters = {name: found for name in self._names() if (found := self._read(name)) is not None}
        mails = {name: found for name, found in letters.items() if isinstance(found, Mail)}
        outcomes = dict(zip(mails, _accept(records, list(mails.values())), strict=True))
        accepted = refused = repeated = 0
        for name, found in letters.items():
            outcome = outcomes.get(name)
            if isinstance(outcome, Exception):
                self._leave(name, outcome)
            elif outcome and outcome.same:
                accepted, repeated = accepted + outcome.fresh, repeated + (not outcome.fresh)
                self._move(name, "S")
            else:
                refused += 1
                log.warning("mail_refused", kind=found.kind if isinstance(found, NotARequest) else Kind.KEY_REUSED)
                self._move(name, "FS")
        if accepted or repeated:
            log.info("mails_accepted", accepted=accepted, repeated=repeated)
        return Read(accepted, refused, repeated)

    def run(self, records: Records, stop: threading.Event, pause: float = PAUSE) -> None:
        """Reads until told to stop."""
        while not stop.is_set():
            try:
                if self.run_once(records):
                    continue
            except DatabaseDownError as error:
                log.warning("database_down", error=type(error).__name__)
            except OSError as error:
                log.warning("inbox_unreadable", error=type(error).__name__, errno=error.errno)
            stop.wait(pause)

    def _names(self) -> list[str]:
        """The oldest new mails; a maildir's names begin with their time."""
        now = monotonic()
        self._stuck = {name: until for name, until in self._stuck.items() if until > now}
        names = (path.name for path in (self.folder / "new").iterdir())
        return sorted(name for name in names if not name.startswith(".") and name not in self._stuck)[:MOST]

    def _read(self, name: str) -> Mail | NotARequest | None:
        """What this mail says; None where another reader was faster, or where nobody can open it."""
        path = self.folder / "new" / name
        try:
            if not S_ISREG(path.lstat().st_mode):
                raise OSError(EINVAL, "not a file")  # noqa: TRY301 - a folder, a link or a pipe, which would be waited for
            with path.open("rb") as file:
                raw = file.read(LARGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:  # or somebody else's file: the other mails go on
            self._leave(name, error)
            return None
        return read(raw, own=self._own)

    def _move(self, name: str, flags: str) -> None:
        """Out of new/. A crash before this finds the mail again, and its Message-ID the case."""
        target = self.folder / "cur" / f"{name.partition(Maildir.colon)[0]}{Maildir.colon}2,{flags}"
        try:
            (self.folder / "new" / name).rename(target)
        except FileNotFoundError:
            return  # another reader was faster; the request was accepted once
        except OSError as error:
            self._leave(name, error)

    def _leave(self, name: str, error: Exception) -> None:
        """Stays in new/ and is not looked at for a while: it would stand in the way of the others."""
        self._stuck[name] = monotonic() + STUCK
        log.error("mail_stuck", error=type(error).__name__, errno=getattr(error, "errno", None))


def _accept(records: Records, mails: Sequence[Mail]) -> Sequence[Accepted | Exception]:
    """All in one commit; where that fails, each in its own, so that one poisonous mail spoils nothing but itself."""
    arrivals = [_arrival(mail) for mail in mails]
    try:
        return intake.accept(records, arrivals) if arrivals else []
    except DatabaseDownError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a stranger's words make a database say
        log.warning("batch_refused", error=type(error).__name__, mails=len(mails))
        return [_accept_alone(records, arrival) for arrival in arrivals]


def _accept_alone(records: Records, arrival: Arrival) -> Accepted | Exception:
    try:
        return intake.accept(records, [arrival])[0]
    except DatabaseDownError:
        raise
    except Exception as error:  # noqa: BLE001 - as above. It may be the mail's fault or ours: it stays where it is
        return error


def _arrival(mail: Mail) -> Arrival:
    """Anybody can write any sender into a mail: never trusted."""
    return intake.arrival(mail.request, Channel.EMAIL, key=mail.message_id, trusted=False)


def serve(settings: Settings, stop: threading.Event | None = None) -> None:
    """``moneyback mail``: reads the inbox until this process is asked to end, or ``stop`` is set."""
    if settings.inbox_dir is None:
        raise MoneybackError(
            "There is no inbox to read: set MONEYBACK_INBOX_DIR to the maildir that your mail server delivers requests to."
        )
    if stop is None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    records = Records.of(settings)
    try:
        log.info("inbox_open")
        Inbox(settings.inbox_dir, own=[parseaddr(settings.mail_from)[1]]).run(records, stop)
    finally:
        records.engine.dispose()
