"""The private data directory of `moneyback demo`, `up` and `bench`: databases, e-mails, logs, secrets and sockets."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from console.servers.errors import DataDirError
from console.servers.os_user import User, server_user
from console.servers.subprocesses import working_in

MAX_SOCKET_PATH = 103  # the maximum length of a socket's path in bytes: Linux allows 107, macOS only 103
LONGEST_SOCKET = "run/.s.PGSQL.5432"
DEFAULT_PARENT = Path("/var/tmp")  # noqa: S108 - a short path whose files survive a reboot; create() refuses a folder of another user


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Secrets:
    secret_key: str = field(default_factory=_secret, repr=False)
    superuser_password: str = field(default_factory=_secret, repr=False)
    owner_password: str = field(default_factory=_secret, repr=False)
    app_password: str = field(default_factory=_secret, repr=False)


class DataDir:
    """A data directory, which contains a marker file.

    A folder that contains other files but no marker file is never changed or removed.
    """

    def __init__(self, path: Path, name: str = "main") -> None:
        self.path = path.absolute()
        self.name = name
        self.bin, self.logs, self.run = (self.path / part for part in ("bin", "logs", "run"))
        self.postgres, self.valkey = self.path / "postgres", self.path / "valkey"
        self.mail = self.path / "mail"
        self.sent_mail, self.incoming_mail = self.mail / "sent", self.mail / "incoming"
        self._marker = self.path / f"{name}.home"
        self._locked = False

    @classmethod
    def default(cls, name: str = "main") -> Self:
        """Return the data directory in $MONEYBACK_HOME, or in a default folder for this user, this checkout and this name."""
        if home := os.environ.get("MONEYBACK_HOME"):
            return cls(Path(home), name)
        checkout = Path(__file__).resolve().parent.parent
        digest = hashlib.sha256(f"{checkout}{name}".encode()).hexdigest()[:8]
        return cls(DEFAULT_PARENT / f"moneyback-{os.geteuid()}-{digest}", name)

    @property
    def secrets(self) -> Secrets:
        """Return the secrets of this data directory. The first call creates them in a file, atomically."""
        path = self.path / "secrets.json"
        if not path.exists():
            self._make_secrets(path)
        return Secrets(**json.loads(path.read_text()))

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> Self:
        """Create the folder and its subfolders. Existing files are not changed."""
        self._refuse_long_path()
        user = server_user()
        self._make_folder(user)
        self._refuse_other_owner()
        if not user.is_current:
            os.chown(self.path, -1, user.gid)  # besides the current user, only the servers' user may enter the folder
            self.path.chmod(0o710)
        self._marker.touch(0o600)
        self._create_subfolders(user)
        return self

    @contextmanager
    def lock(self) -> Iterator[Self]:
        """Create the folder and lock it for this process. The kernel releases the lock when the process ends."""
        self.create()
        with self._exclusive():
            self._marker.write_text(f"{os.getpid()}\n")
            yield self

    def is_in_use(self) -> bool:
        """Return whether a process holds the lock of this folder."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)  # releases the lock
        return False

    def clean(self) -> None:
        """Remove the folder. Its marker is removed last, so that an interrupted `clean()` can be called again."""
        if not os.path.lexists(self.path):
            return
        self._refuse_other_owner()
        if self._locked:
            self._remove()
            return
        with self._exclusive():
            self._remove()

    def _make_folder(self, user: User) -> None:
        parent = self.path.parent
        if not parent.is_dir():
            raise DataDirError(f"There is no folder {parent}. Create it, or change MONEYBACK_HOME.")
        if not user.is_current:
            user.require_access(parent)
        try:
            self.path.mkdir(0o700, exist_ok=True)
        except FileExistsError:
            raise DataDirError(f"{self.path} is not a folder. Remove it, or change MONEYBACK_HOME.") from None
        except PermissionError:
            raise DataDirError(f"You may not create a folder in {parent}. Change MONEYBACK_HOME.") from None

    def _create_subfolders(self, user: User) -> None:
        current = User("current", os.geteuid(), os.getegid())
        maildirs = [
            maildir / part for maildir in (self.sent_mail, self.incoming_mail) for part in ("", "cur", "new", "tmp")
        ]
        for folder, mode, owner in (
            (self.bin, 0o755, current),
            *((folder, 0o700, user) for folder in (self.postgres, self.valkey, self.run)),
            *((folder, 0o700, current) for folder in (self.logs, self.mail, *maildirs)),
        ):
            folder.mkdir(mode, exist_ok=True)
            folder.chmod(mode)  # because the umask may have removed permissions
            if not owner.is_current:
                os.chown(folder, owner.uid, owner.gid)

    def _refuse_long_path(self) -> None:
        length = len(os.fsencode(self.path / LONGEST_SOCKET))
        if length > MAX_SOCKET_PATH:
            raise DataDirError(
                f"The path {self.path} is {length - MAX_SOCKET_PATH} bytes too long for the socket of a server. "
                "Set MONEYBACK_HOME to a shorter path.",
            )

    def _refuse_other_owner(self) -> None:
        """Refuse a folder that another user may have created or filled. In /var/tmp, every user may create folders."""
        status = self.path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise DataDirError(f"{self.path} is not a folder. Remove it, or change MONEYBACK_HOME.")
        if status.st_uid != os.geteuid():
            raise DataDirError(f"{self.path} belongs to another user ({status.st_uid}). Change MONEYBACK_HOME.")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DataDirError(
                f"Other users may write to {self.path}. Run `chmod go-w {self.path}`, or change MONEYBACK_HOME."
            )
        if not self._marker.exists() and any(self.path.iterdir()):
            raise DataDirError(
                f"{self.path} is not empty and is not a data directory of `moneyback {self.name}`. Change MONEYBACK_HOME.",
            )

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Lock the folder itself, because systemd skips locked folders when it cleans /var/tmp."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._lock(folder)
            self._locked = True
            yield
        finally:
            self._locked = False
            os.close(folder)

    def _lock(self, folder: int) -> None:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._marker.read_text().strip() or "unknown"
            raise DataDirError(
                f"Moneyback already runs in {self.path}, as process {pid}. Stop it with Ctrl-C in its terminal "
                f"or with `kill {pid}`, or choose another folder with MONEYBACK_HOME.",
            ) from None
        if not self._marker.exists():
            raise DataDirError(f"Another process has just removed {self.path}. Try again.")

    def _remove(self) -> None:
        for process in (*working_in(self.postgres), *working_in(self.valkey)):
            raise DataDirError(
                f"{self.path} is in use by process {process.pid} ({process.name()}). Stop this process first."
            )
        for part in self.path.iterdir():
            if part.is_dir():
                shutil.rmtree(part)
            elif part != self._marker:
                part.unlink()
        self._marker.unlink()
        self.path.rmdir()

    def _make_secrets(self, path: Path) -> None:
        """Write a temporary file, then give it the name `path`. os.link is atomic and never replaces another process's file."""
        new = path.with_name(f"secrets.{os.getpid()}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(asdict(Secrets()), stream)
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
