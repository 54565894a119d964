"""Runs ``moneyback mail``. One process reads all configured mail sources at the same time, or receives mail by LMTP or SMTP."""

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
from producers.mail.lmtp import LmtpServer, build_protocol_factory, listen, parse_address
from producers.mail.maildir import MaildirInbox
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records

log = structlog.get_logger(__name__)


def moneyback_addresses(settings: Settings) -> tuple[str, ...]:
    """Return Moneyback's own addresses: those that receive requests, and the sender of e-mails. Return each address once."""
    return tuple(dict.fromkeys((*settings.request_mail_addresses, parseaddr(settings.mail_from)[1])))


def serve(settings: Settings, stop: threading.Event) -> None:
    """Read the maildir and the IMAP mailbox, if they are configured, until ``stop`` is set."""
    addresses = moneyback_addresses(settings)
    sender_authenticator = SenderAuthenticator(authserv_id=settings.mail_authserv_id)
    inboxes: list[MaildirInbox | ImapInbox] = []
    if settings.incoming_mail_dir is not None:
        inboxes.append(MaildirInbox(settings.incoming_mail_dir, addresses, sender_authenticator))
    if settings.imap_url is not None:
        inboxes.append(ImapInbox(settings.imap_url.get_secret_value(), addresses, sender_authenticator))
    if not inboxes:
        raise MoneybackError(
            "No mail source is configured. Set MONEYBACK_IMAP_URL to a mailbox, or MONEYBACK_INCOMING_MAIL_DIR to a maildir."
        )
    records = Records.of(settings)
    threads = [threading.Thread(target=inbox.run, args=(records, stop), daemon=True) for inbox in inboxes[1:]]
    try:
        log.info("maildir_opened")
        for thread in threads:
            thread.start()
        inboxes[0].run(records, stop)
        for thread in threads:
            thread.join()
    finally:
        records.engine.dispose()


def serve_lmtp(
    settings: Settings,
    stop: threading.Event,
    address: str,
    *,
    lmtp: bool,
    ready: Callable[[Any], None] = lambda address: log.info("lmtp_listening", address=str(address)),
) -> None:
    """Receive mail at ``address`` until ``stop`` is set. Use LMTP, or SMTP if ``lmtp`` is False."""
    if settings.incoming_mail_dir is None:
        raise MoneybackError(
            "There is no maildir for mails that support must read. Set MONEYBACK_INCOMING_MAIL_DIR to a maildir."
        )
    addresses = moneyback_addresses(settings)
    records = Records.of(settings)
    sender_authenticator = SenderAuthenticator(authserv_id=settings.mail_authserv_id)
    host_name = addresses[-1].rpartition("@")[2]
    support_maildir = MaildirInbox(settings.incoming_mail_dir, addresses, sender_authenticator)

    async def run_server() -> None:
        server = LmtpServer(records, MailIngest(addresses, sender_authenticator), addresses, support_maildir)
        await listen(parse_address(address), build_protocol_factory(server, lmtp=lmtp, name=host_name), stop, ready)

    try:
        asyncio.run(run_server())
    finally:
        records.engine.dispose()
