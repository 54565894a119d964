"""Tests that a service with a missing or wrong setting ends with one sentence and exit code 2, and not with a traceback."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from tests import fork_server
from tests.services import environment

NOT_SET = "is not set; docs/settings.md explains it."
NO_SMTP_URL = "MONEYBACK_SMTP_URL must look like smtp://user:password@host:port or smtps://user:password@host:port."
NO_WAY_OUT = (
    "E-mails cannot be sent: set MONEYBACK_SMTP_URL, or set MONEYBACK_SENT_MAIL_DIR to store e-mails in a maildir."
)
FLOWER = {"MONEYBACK_FLOWER_LOGIN": "ops:secret"}
NO_FOLDER = "/proc/missing"  # not even root can create it

# Each case: the command, the changed variables (None: not set), and the sentence.
WRONG_SETTINGS: dict[str, tuple[str, dict[str, str | None], str]] = {
    "web, no key of a provider": (
        "web",
        {"MONEYBACK_PROVIDERS": "stripe"},
        f"MONEYBACK_STRIPE_API_KEY {NOT_SET}",
    ),
    "web with processes, no key of a provider": (
        "web --workers 2",
        {"MONEYBACK_PROVIDERS": "mollie"},
        f"MONEYBACK_MOLLIE_API_KEY {NOT_SET}",
    ),
    "web, an address without a scheme": (
        "web",
        {"MONEYBACK_PUBLIC_URL": "refunds.example"},
        "MONEYBACK_PUBLIC_URL: This is not a URL like https://refunds.example.",
    ),
    "web, no folder of help articles": (
        "web",
        {"MONEYBACK_HELP_DIR": NO_FOLDER},
        f"MONEYBACK_HELP_DIR is {NO_FOLDER}, but there is no folder of this name that this user may read.",
    ),
    "desk, no secret key": ("desk", {"MONEYBACK_SECRET_KEY": None}, f"MONEYBACK_SECRET_KEY {NOT_SET}"),
    "desk, a short secret key": (
        "desk",
        {"MONEYBACK_SECRET_KEY": "short"},
        "MONEYBACK_SECRET_KEY must have 32 characters or more, but it has 5.",
    ),
    "desk, a public address without a user": (
        "desk --host 0.0.0.0",
        {},
        (
            "The desk does not listen on 0.0.0.0, because no user can sign in. Add a user with a password: "
            "moneyback users add EMAIL NAME --role lead --role seller_admin --ask-password"
        ),
    ),
    "desk, an OpenID provider without a client": (
        "desk",
        {"MONEYBACK_DESK_OIDC_ISSUER": "https://login.example"},
        (
            "MONEYBACK_DESK_OIDC_ISSUER is set, but not MONEYBACK_DESK_OIDC_CLIENT_ID and "
            "MONEYBACK_DESK_OIDC_CLIENT_SECRET. Set all three, or none."
        ),
    ),
    "desk, no database": (
        "desk",
        {"MONEYBACK_DATABASE_URL": None, "MONEYBACK_HOME": NO_FOLDER},
        "No database is configured. Start `moneyback up`, or set MONEYBACK_DATABASE_URL, _BROKER_URL and _SECRET_KEY.",
    ),
    "worker, no mail server": ("worker", {"MONEYBACK_SENT_MAIL_DIR": None}, NO_WAY_OUT),
    "worker, an invalid mail server": ("worker", {"MONEYBACK_SMTP_URL": "nonsense"}, NO_SMTP_URL),
    "worker, no folder for e-mails": (
        "worker",
        {"MONEYBACK_SENT_MAIL_DIR": NO_FOLDER},
        f"{NO_FOLDER} cannot be used: No such file or directory.",
    ),
    "worker, two settings of a provider": (
        "worker",
        {"MONEYBACK_PROVIDERS": "paypal"},
        f"MONEYBACK_PAYPAL_CLIENT_ID {NOT_SET} MONEYBACK_PAYPAL_CLIENT_SECRET {NOT_SET}",
    ),
    "worker, an invalid sender": (
        "worker",
        {"MONEYBACK_MAIL_FROM": "Moneyback"},
        "MONEYBACK_MAIL_FROM: This is not a sender like Moneyback <refunds@moneyback.example>.",
    ),
    "relay, no mail server": ("relay", {"MONEYBACK_SENT_MAIL_DIR": None}, NO_WAY_OUT),
    "relay, no broker": ("relay", {"MONEYBACK_BROKER_URL": None}, f"MONEYBACK_BROKER_URL {NOT_SET}"),
    "beat, no folder of its schedule": (
        f"beat --schedule {NO_FOLDER}/beat",
        {},
        f"The folder of --schedule is {NO_FOLDER}, but there is no folder of this name that this user may write to.",
    ),
    "beat, an invalid number": (
        "beat",
        {"MONEYBACK_SWEEP_INTERVAL_SECONDS": "often"},
        "MONEYBACK_SWEEP_INTERVAL_SECONDS: Input should be a valid number, unable to parse string as a number",
    ),
    "mail, no mailbox": (
        "mail",
        {"MONEYBACK_INCOMING_MAIL_DIR": None},
        "No mail source is configured. Set MONEYBACK_IMAP_URL to a mailbox, or MONEYBACK_INCOMING_MAIL_DIR to a maildir.",
    ),
    "mail, an invalid mailbox": (
        "mail",
        {"MONEYBACK_IMAP_URL": "imap.example"},
        "MONEYBACK_IMAP_URL must look like imaps://user:password@host:port/INBOX or imap://user:password@host:port/INBOX.",
    ),
    "mail, a port that is too large": (
        "mail --lmtp 127.0.0.1:99999",
        {},
        "Nothing can listen on 127.0.0.1:99999, because the largest port is 65535.",
    ),
    "consume, an invalid broker": (
        "consume",
        {"MONEYBACK_BROKER_URL": "rabbit"},
        (
            "MONEYBACK_BROKER_URL: This is not a URL like redis://user:password@host:6379/0, rediss://…, redis+socket://… or "
            "amqp://…."
        ),
    ),
    "consume, a missing secret file": (
        "consume",
        {"MONEYBACK_SECRET_KEY": None, "MONEYBACK_SECRET_KEY_FILE": NO_FOLDER},
        f"MONEYBACK_SECRET_KEY_FILE: The file {NO_FOLDER} cannot be read: No such file or directory.",
    ),
    "sandbox, no folder": (
        f"sandbox --port 0 --folder {NO_FOLDER}",
        {},
        f"{NO_FOLDER} cannot be used: No such file or directory.",
    ),
    "migrate, an unreachable database": (
        "migrate",
        {"MONEYBACK_DATABASE_OWNER_URL": "postgresql://owner@127.0.0.1:1/moneyback"},
        (
            'The database does not answer: connection failed: connection to server at "127.0.0.1", port 1 failed: Connection '
            "refused"
        ),
    ),
}


def run(settings: Settings, command: str, changes: dict[str, str | None], folder: Path) -> tuple[int, str, str]:
    """Run a command with changed variables. Return its exit code, its standard output and its standard error."""
    env = {**os.environ, **environment(settings), **changes}
    given = {name: value for name, value in env.items() if value is not None}
    ended = fork_server.run("console", *command.split(), env=given, folder=folder)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(("command", "changes", "sentence"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_a_service_with_a_wrong_setting_ends_with_one_sentence(
    settings: Settings, command: str, changes: dict[str, str | None], sentence: str, tmp_path: Path
) -> None:
    assert run(settings, command, changes, tmp_path) == (2, "", f"{sentence}\n")


@pytest.fixture
def used_port() -> Iterator[int]:
    """Yield a port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "command",
    [
        "web --port {}",
        "web --workers 2 --port {}",
        "desk --port {}",
        "flower --port {}",
        "sandbox --port {}",
        "mail --lmtp 127.0.0.1:{}",
        "mail --smtp 127.0.0.1:{}",
    ],
)
def test_a_service_whose_port_is_in_use_ends_with_one_sentence(
    settings: Settings, command: str, used_port: int, tmp_path: Path
) -> None:
    sentence = f"Nothing can listen on 127.0.0.1:{used_port}: Address already in use. Choose another address or port.\n"
    assert run(settings, command.format(used_port), {**FLOWER}, tmp_path) == (2, "", sentence)
