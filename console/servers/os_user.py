"""The operating system user of the servers: the current user, or `nobody` if root is the current user.

PostgreSQL refuses to run as root.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from console.servers.errors import UserError


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int

    @property
    def is_current(self) -> bool:
        return self.uid == os.geteuid()

    def require_access(self, folder: Path) -> None:
        """Raise UserError if the user may not enter the folder or one of its parents. No permission is changed."""
        for parent in (folder, *folder.parents):
            if not self._may_enter(parent.stat()):
                user = "your user" if self.is_current else f"the user {self.name}"
                raise UserError(
                    f"The servers run as {user}, who may not enter {parent}. "
                    "Set MONEYBACK_HOME to a folder elsewhere, for example in /var/tmp.",
                )

    def _may_enter(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.uid:
            return bool(folder.st_mode & stat.S_IXUSR)
        if folder.st_gid == self.gid:
            return bool(folder.st_mode & stat.S_IXGRP)
        return bool(folder.st_mode & stat.S_IXOTH)


def server_user() -> User:
    """Return the current user, or the user `nobody` if the current user is root."""
    if os.geteuid() != 0:
        return User("you", os.geteuid(), os.getegid())
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise UserError(
            "You are root. The servers would run as the user nobody, but there is no user nobody. Run moneyback as another user.",
        ) from None
    return User(nobody.pw_name, nobody.pw_uid, nobody.pw_gid)
