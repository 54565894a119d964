"""The one private folder that holds everything embedded: data, letters, logs, secrets, sockets."""

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

from console.servers.child import working_in
from console.servers.errors import HomeError
from console.servers.user import User, server_user

LONGEST_SOCKET = 103  # bytes a socket's path may have: 107 on Linux, 103 on macOS
LAST_SOCKET = "run/.s.PGSQL.5432"
DEFAULT_PARENT = Path("/var/tmp")  # noqa: S108 - short, and outlives a restart; create() refuses what is not ours


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Secrets:
    secret_key: str = field(default_factory=_secret, repr=False)
    superuser_password: str = field(default_factory=_secret, repr=False)
    owner_password: str = field(default_factory=_secret, repr=False)
    app_password: str = field(default_factory=_secret, repr=False)


class Home:
    """A folder with a mark of whose it is, so that we never fill, share or remove somebody else's."""

    def __init__(self, path: Path, name: str = "main") -> None:
        self.path = path.absolute()
        self.name = name
        self.bin, self.logs, self.run = (self.path / part for part in ("bin", "logs", "run"))
        self.postgres, self.valkey = self.path / "postgres", self.path / "valkey"
        self.mail = self.path / "mail"
        self.outbox, self.inbox = self.mail / "outbox", self.mail / "inbox"
        self._mark = self.path / f"{name}.home"
        self._locked = False

    @classmethod
    def here(cls, name: str = "main") -> Self:
        """$MONEYBACK_HOME, or a folder of this user, this checkout and this name."""
        if chosen := os.environ.get("MONEYBACK_HOME"):
            return cls(Path(chosen), name)
        checkout = Path(__file__).resolve().parent.parent
        digest = hashlib.sha256(f"{checkout}{name}".encode()).hexdigest()[:8]
        return cls(DEFAULT_PARENT / f"moneyback-{os.geteuid()}-{digest}", name)

    @property
    def secrets(self) -> Secrets:
        """Made once, whole or not at all, and read ever after."""
        path = self.path / "secrets.json"
        if not path.exists():
            self._make_secrets(path)
        return Secrets(**json.loads(path.read_text()))

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> Self:
        """The folder and its parts; does nothing to a home that is complete."""
        self._refuse_long_path()
        user = server_user()
        self._make(user)
        self._refuse_foreign()
        if not user.is_us:
            os.chown(self.path, -1, user.gid)  # so that the servers may pass through, and nobody else
            self.path.chmod(0o710)
        self._mark.touch(0o600)
        self._create_parts(user)
        return self

    @contextmanager
    def lock(self) -> Iterator[Self]:
        """One program at a time. Creates the home; the lock goes with the process, however that ends."""
        self.create()
        with self._exclusive():
            self._mark.write_text(f"{os.getpid()}\n")
            yield self

    def clean(self) -> None:
        """Removes the home; the mark goes last, so that a clean that was cut short can be done again."""
        if not os.path.lexists(self.path):
            return
        self._refuse_foreign()
        if self._locked:
            self._remove()
            return
        with self._exclusive():
            self._remove()

    def _make(self, user: User) -> None:
        parent = self.path.parent
        if not parent.is_dir():
            raise HomeError(f"There is no folder {parent}. Create it, or change MONEYBACK_HOME.")
        if not user.is_us:
            user.must_reach(parent)
        try:
            self.path.mkdir(0o700, exist_ok=True)
        except FileExistsError:
            raise HomeError(f"{self.path} is not a folder. Remove it, or change MONEYBACK_HOME.") from None
        except PermissionError:
            raise HomeError(f"You may not create a folder in {parent}. Change MONEYBACK_HOME.") from None

    def _create_parts(self, user: User) -> None:
        ours = User("ours", os.geteuid(), os.getegid())
        boxes = [box / part for box in (self.outbox, self.inbox) for part in ("", "cur", "new", "tmp")]
        for folder, mode, owner in (
            (self.bin, 0o755, ours),
            *((folder, 0o700, user) for folder in (self.postgres, self.valkey, self.run)),
            *((folder, 0o700, ours) for folder in (self.logs, self.mail, *boxes)),
        ):
            folder.mkdir(mode, exist_ok=True)
            folder.chmod(mode)  # the umask may have taken some of it
            if not owner.is_us:
                os.chown(folder, owner.uid, owner.gid)

    def _refuse_long_path(self) -> None:
        longest = len(os.fsencode(self.path / LAST_SOCKET))
        if longest > LONGEST_SOCKET:
            raise HomeError(
                f"{self.path} is {longest - LONGEST_SOCKET} characters too long: a socket in it could not be opened. "
                "Name a shorter folder in MONEYBACK_HOME.",
            )

    def _refuse_foreign(self) -> None:
        """Anybody may create folders in /var/tmp, also one with the name of ours."""
        found = self.path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise HomeError(f"{self.path} is not a folder. Remove it, or change MONEYBACK_HOME.")
        if found.st_uid != os.geteuid():
            raise HomeError(f"{self.path} belongs to another user ({found.st_uid}). Change MONEYBACK_HOME.")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise HomeError(f"Others may write to {self.path}: chmod go-w it, or change MONEYBACK_HOME.")
        if not self._mark.exists() and any(self.path.iterdir()):
            raise HomeError(
                f"{self.path} has something else in it, not the home of moneyback {self.name}. Change MONEYBACK_HOME.",
            )

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """The folder itself is locked: systemd's cleaning of /var/tmp spares a locked folder too."""
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
            pid = self._mark.read_text().strip() or "unknown"
            raise HomeError(
                f"Moneyback already runs in {self.path}, as process {pid}. Stop it with Ctrl-C where it runs "
                f"or with `kill {pid}`, or choose another folder with MONEYBACK_HOME.",
            ) from None
        if not self._mark.exists():
            raise HomeError(f"{self.path} was being removed by another process. Try again.")

    def _remove(self) -> None:
        for process in (*working_in(self.postgres), *working_in(self.valkey)):
            raise HomeError(f"{self.path} is in use by process {process.pid} ({process.name()}). Stop it first.")
        for part in self.path.iterdir():
            if part.is_dir():
                shutil.rmtree(part)
            elif part != self._mark:
                part.unlink()
        self._mark.unlink()
        self.path.rmdir()

    def _make_secrets(self, path: Path) -> None:
        """A link appears complete, and never replaces what another process has made meanwhile."""
        new = path.with_name(f"secrets.{os.getpid()}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(asdict(Secrets()), stream)
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
