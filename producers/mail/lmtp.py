"""Receives mail from a mail server by LMTP (RFC 2033) or SMTP. A mail is accepted only after the database has committed it.

The mail server then keeps no copy. So a mail that support must read is also stored in a maildir, and flagged there.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from domain.errors import MoneybackError
from domain.purchases import email_key
from producers.mail.ingest import MailIngest, Outcome, RawMail
from producers.mail.maildir import MaildirInbox
from producers.mail.parser import MAX_READ_BYTES, MAX_SIZE
from records import DatabaseDownError, Records

MAX_CONCURRENT = 4  # maximum mails that are ingested at the same time; the database connection pool has the same size
TIMEOUT_SECONDS = 60.0  # a connection is closed if the client sends no command for this time
NULL_SENDER = "<>"  # the envelope sender of bounces and other reports
TEMPORARY_FAILURE = "451 4.3.0 Temporary failure, please try again later"
MAX_LINE = 100_000  # maximum bytes of a line; RFC 5322 allows 998, but programs that write HTML use longer lines

_FORBIDDEN_BYTES = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
"""A CR or LF that is not part of CR LF, or a NUL. RFC 5321 forbids all three. A CR or LF alone allows SMTP smuggling."""

log = structlog.get_logger(__name__)
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd logs addresses at lower levels


class LmtpServer:
    """Answers a mail server's commands. ``recipients`` are the addresses for which Moneyback accepts mail."""

    def __init__(
        self, records: Records, ingest: MailIngest, recipients: Collection[str], support_maildir: MaildirInbox
    ) -> None:
        self._records = records
        self._ingest = ingest
        self._recipients = frozenset(map(email_key, recipients))
        self._support_maildir = support_maildir
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Accept a recipient if it is an address of Moneyback. A tag after ``+`` in the address is ignored."""
        user, _, host = address.rpartition("@")
        if not {email_key(address), email_key(f"{user.partition('+')[0]}@{host}")} & self._recipients:
            return "550 5.1.1 There is no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Ingest a mail only once, even if it has several recipients."""
        raw = envelope.original_content or b""
        if _FORBIDDEN_BYTES.search(raw):
            return "554 5.6.0 Lines must end in CR LF, and NUL is not allowed"
        # The server that delivers a mail adds the header Return-Path (RFC 5321, 4.4). Here, Moneyback is that server.
        if (envelope.mail_from or NULL_SENDER) == NULL_SENDER:
            raw = b"Return-Path: <>\r\n" + raw
        async with self._slots:
            return await asyncio.to_thread(self._ingest_mail, raw)

    async def handle_exception(self, error: Exception) -> str:
        """Report a temporary failure for any error, so that the mail server keeps the mail and sends it again."""
        log.error("mail_rejected", error=type(error).__name__)
        return TEMPORARY_FAILURE

    def _ingest_mail(self, raw: bytes) -> str:
        try:
            (outcome,) = self._ingest.take(self._records, [RawMail(raw[: MAX_READ_BYTES + 1], len(raw))])
            if isinstance(outcome, Outcome) and outcome.flagged:
                self._support_maildir.keep(raw)
        except (*DatabaseDownError, OSError) as error:
            outcome = error
        if isinstance(outcome, Outcome):
            return "250 2.0.0 Accepted"
        log.error("mail_rejected", error=type(outcome).__name__)
        return TEMPORARY_FAILURE


class _SmtpProtocol(SMTP):
    """The SMTP protocol with longer lines."""

    line_length_limit = MAX_LINE


class _LmtpProtocol(LMTP):
    """The LMTP protocol with longer lines. It sends one reply to DATA for each recipient; aiosmtpd sends only one reply."""

    line_length_limit = MAX_LINE
    _reply_count = 1

    async def push(self, status: Any) -> None:  # noqa: ANN401 - aiosmtpd's signature
        """Send a reply. If it is the reply to the content of a mail, send it once for each recipient."""
        for _ in range(self._reply_count):
            await super().push(status)
        content_follows = isinstance(status, str) and status.startswith("354")
        self._reply_count = len(self.envelope.rcpt_tos) if content_follows and self.envelope else 1


def build_protocol_factory(server: LmtpServer, *, lmtp: bool, name: str) -> Callable[[], SMTP]:
    """Return a function that creates the protocol object of a new connection. ``name`` is the host name in the greeting."""
    return lambda: (_LmtpProtocol if lmtp else _SmtpProtocol)(
        server,
        data_size_limit=MAX_SIZE,
        enable_SMTPUTF8=True,
        hostname=name,
        ident="",
        timeout=TIMEOUT_SECONDS,
        loop=asyncio.get_running_loop(),
    )


def parse_address(text: str) -> tuple[str, int] | Path:
    """Parse the address to listen on: ``host:port``, only ``port`` for the host 127.0.0.1, or the path of a Unix socket."""
    if text.startswith("/"):
        return Path(text)
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise MoneybackError(
            f"{text!r} is not an address: write host:port, such as 127.0.0.1:2424, or the path of a Unix socket."
        )
    return host.strip("[]") or "127.0.0.1", int(port)


async def listen(
    address: tuple[str, int] | Path,
    protocol_factory: Callable[[], SMTP],
    stop: threading.Event,
    ready: Callable[[Any], None],
) -> None:
    """Listen until ``stop`` is set. Call ``ready`` with the address of the socket when the server has started."""
    loop = asyncio.get_running_loop()
    if isinstance(address, Path):
        # asyncio replaces the socket file that a killed process has left
        server: asyncio.Server = await loop.create_unix_server(protocol_factory, address)
    else:
        server = await loop.create_server(protocol_factory, *address)
    async with server:
        ready(server.sockets[0].getsockname())
        await asyncio.to_thread(stop.wait)
