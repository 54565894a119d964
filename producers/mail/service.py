"""``moneyback mail``: every way for mails to come that the settings name, side by side in one process."""

import asyncio
import threading
from collections.abc import Callable
from email.utils import parseaddr
from typing import Any

import structlog

from config.settings import Settings
from domain.errors import MoneybackError
from producers.mail.imap import ImapInbox
from producers.mail.ingest import MailIngest
from producers.mail.lmtp import LmtpServer, address_of, answer, factory
from producers.mail.maildir import MaildirInbox
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records

log = structlog.get_logger(__name__)


def own_mail(settings: Settings) -> tuple[str, ...]:
    """The addresses that mails come to and letters leave from."""
    return tuple(dict.fromkeys((*settings.request_mail_addresses, parseaddr(settings.mail_from)[1])))


def serve(settings: Settings, stop: threading.Event) -> None:
    """Reads the maildir and the IMAP mailbox of these settings until told to stop."""
    own, witness = own_mail(settings), SenderAuthenticator(authserv_id=settings.mail_authserv_id)
    boxes: list[MaildirInbox | ImapInbox] = []
    if settings.incoming_mail_dir is not None:
        boxes.append(MaildirInbox(settings.incoming_mail_dir, own, witness))
    if settings.imap_url is not None:
        boxes.append(ImapInbox(settings.imap_url.get_secret_value(), own, witness))
    if not boxes:
        raise MoneybackError(
            "There is no mail to read: set MONEYBACK_IMAP_URL to a mailbox, or MONEYBACK_INCOMING_MAIL_DIR to a maildir."
        )
    records = Records.of(settings)
    others = [threading.Thread(target=box.run, args=(records, stop), daemon=True) for box in boxes[1:]]
    try:
        log.info("maildir_opened")
        for other in others:
            other.start()
        boxes[0].run(records, stop)
        for other in others:
            other.join()
    finally:
        records.engine.dispose()


def serve_lmtp(
    settings: Settings,
    stop: threading.Event,
    where: str,
    *,
    lmtp: bool,
    ready: Callable[[Any], None] = lambda where: log.info("lmtp_listening", where=str(where)),
) -> None:
    """Answers a mail server at this address until told to stop."""
    if settings.incoming_mail_dir is None:
        raise MoneybackError("What a person should look at has no place: set MONEYBACK_INCOMING_MAIL_DIR to a maildir.")
    own = own_mail(settings)
    records = Records.of(settings)
    witness = SenderAuthenticator(authserv_id=settings.mail_authserv_id)
    name = own[-1].rpartition("@")[2]
    aside = MaildirInbox(settings.incoming_mail_dir, own, witness)

    async def answering() -> None:
        door = LmtpServer(records, MailIngest(own, witness), own, aside)
        await answer(address_of(where), factory(door, lmtp=lmtp, name=name), stop, ready)

    try:
        asyncio.run(answering())
    finally:
        records.engine.dispose()
