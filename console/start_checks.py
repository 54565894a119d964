"""Checks what a service would otherwise miss only after its start: in a child process, or at its first task.

Each check raises RefusedError, so the command ends with a sentence.
"""

import os
import socket
from contextlib import closing
from pathlib import Path

from config.connected_providers import connected_accounts
from config.extras import require_for
from config.loopback import is_loopback
from config.settings import Settings
from console.environment import load_settings
from domain.errors import RefusedError

MAX_PORT = 65_535


def startable(command: str) -> Settings:
    """Return the settings of a service that calls providers, after a check of its extras and of each provider's account."""
    settings = load_settings()
    require_for(command, settings)
    connected_accounts(settings)
    return settings


def require_mail_transport(settings: Settings) -> None:
    """Raise MoneybackError if e-mails cannot be sent with these settings."""
    from worker.mail_transport import mail_transport_for

    mail_transport_for(settings)


def require_folder(name: str, folder: Path | None, *, mode: int = os.R_OK) -> None:
    """Raise RefusedError if this folder is missing or cannot be used. ``name`` says where the folder was named."""
    if folder is not None and not (folder.is_dir() and os.access(folder, mode | os.X_OK)):
        use = "write to" if mode == os.W_OK else "read"
        raise RefusedError(f"{name} is {folder}, but there is no folder of this name that this user may {use}.")


def require_desk_users(host: str, settings: Settings) -> None:
    """Raise RefusedError if the desk would listen on a public address before a user can sign in.

    Otherwise, the operator would learn only from a public page that the sign-in is not set up.
    """
    from records import Records

    if is_loopback(host):
        return
    records = Records.of(settings)
    with records.work() as work:
        can_sign_in = work.desk_users.any_can_sign_in(with_provider=bool(settings.desk.oidc_issuer))
    records.engine.dispose()
    if not can_sign_in:
        raise RefusedError(
            f"The desk does not listen on {host}, because no user can sign in. Add a user with a password: "
            "moneyback users add EMAIL NAME --role lead --role seller_admin --ask-password"
        )


def require_address(host: str, port: int) -> None:
    """Raise RefusedError if this process cannot listen on the port, for example because another process does."""
    if port > MAX_PORT:  # getaddrinfo would turn it into another port
        raise RefusedError(f"Nothing can listen on {host}:{port}, because the largest port is {MAX_PORT}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do after a restart
            probe.bind(address)
    except OSError as error:
        raise RefusedError(
            f"Nothing can listen on {host}:{port}: {error.strerror}. Choose another address or port."
        ) from None
