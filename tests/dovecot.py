"""A real mail server for the tests: Debian's Dovecot, which runs as an ordinary user on ports of 127.0.0.1."""

import os
import pwd
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from imaplib import IMAP4
from pathlib import Path
from urllib.parse import quote

from tests.debian_packages import find_or_install
from tests.services import eventually

PACKAGES = "dovecot-imapd dovecot-lmtpd"
PASSWORD = "s3cret:w@rd"

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/mails
imap_idle_notify_interval = 10s
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/%u allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""


@dataclass
class Dovecot:
    """A running Dovecot. Every user name has its own mailbox. Dovecot creates a mailbox when a user first uses the mailbox."""

    folder: Path
    imap: int
    lmtp: int
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, user: str) -> str:
        return f"imap://{user}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.imap}/INBOX"

    def deliver(self, user: str, raw: bytes) -> None:
        """Deliver a mail by LMTP, as another mail server does."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as lmtp:
            lmtp.sendmail("ada@example.com", [user], raw)

    @contextmanager
    def open_mailbox(self, user: str) -> Iterator[IMAP4]:
        """Yield an IMAP connection on which the user's mailbox is selected."""
        with IMAP4("127.0.0.1", self.imap, timeout=20) as box:
            box.login(user, PASSWORD)
            box.select("INBOX")
            yield box

    def flags(self, user: str) -> list[set[str]]:
        """Return the flags of each mail in a mailbox."""
        with self.open_mailbox(user) as box:
            _, answer = box.fetch("1:*", "(FLAGS)")
        flags = (part.decode().partition("FLAGS (")[2].partition(")")[0] for part in answer if isinstance(part, bytes))
        return [set(names.split()) - {"\\Recent"} for names in flags]

    def start(self) -> None:
        command = [str(find_or_install(PACKAGES, "dovecot")), "-F", "-c", str(self.folder / "dovecot.conf")]
        user = "nobody" if os.geteuid() == 0 else None
        self.process = subprocess.Popen(
            command, user=user, group="nogroup" if user else None, extra_groups=[] if user else None
        )
        eventually(lambda: all(map(_sends_greeting, (self.imap, self.lmtp))))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None


@contextmanager
def running_dovecot() -> Iterator[Dovecot]:
    """Yield a running Dovecot. Raises NotInstalledError if Dovecot cannot be installed."""
    find_or_install(PACKAGES, "/usr/lib/dovecot/lmtp")
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as name:
        folder = Path(name)
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        group = "nogroup" if os.geteuid() == 0 else str(os.getegid())
        dovecot = Dovecot(folder, _free_port(), _free_port())
        config = _CONFIG.format(
            folder=folder, user=user.pw_name, group=group, password=PASSWORD, imap=dovecot.imap, lmtp=dovecot.lmtp
        )
        (folder / "dovecot.conf").write_text(config)
        if os.geteuid() == 0:
            os.chown(folder, user.pw_uid, user.pw_gid)
        dovecot.start()
        try:
            yield dovecot
        finally:
            dovecot.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _sends_greeting(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return bool(connection.recv(1))
    return False
