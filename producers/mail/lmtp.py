"""Mails handed over by a mail server of ours, by LMTP (RFC 2033) or SMTP: yes is said only after the commit.

What a person should look at is kept in the maildir of requests, flagged; there is no other mailbox to leave it in.
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
from producers.mail.parser import LARGEST, LONGEST
from records import DatabaseDownError, Records

SIDE_BY_SIDE = 4  # mails under way at once: as many connections as the records keep
PATIENCE = 60.0  # seconds without a word from the other side
NOBODY = "<>"  # sends the reports of mail servers
LATER = "451 4.3.0 Please send it again later"
LONGEST_LINE = 100_000  # bytes; RFC 5322 allows 998, and programs that write HTML do not know it

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")

log = structlog.get_logger(__name__)
logging.getLogger("mail.log").setLevel(logging.ERROR)  # the library's own: it quotes addresses


class LmtpServer:
    """Answers a mail server. ``to`` are the addresses that mails may be for."""

    def __init__(self, records: Records, clerk: MailIngest, to: Collection[str], aside: MaildirInbox) -> None:
        self._records = records
        self._clerk = clerk
        self._to = frozenset(map(email_key, to))
        self._aside = aside
        self._places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def handle_RCPT(  # noqa: N802 - the library's word
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Ours, or not; what follows a + is the sender's to choose."""
        user, _, host = address.rpartition("@")
        if not {email_key(address), email_key(f"{user.partition('+')[0]}@{host}")} & self._to:
            return "550 5.1.1 There is no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Takes one mail, for all its recipients."""
        raw = envelope.original_content or b""
        if _BARE.search(raw):
            return "554 5.6.0 A line ends in CR LF, and no mail holds NUL"
        if (envelope.mail_from or NOBODY) == NOBODY:  # who delivers a mail writes this down (RFC 5321, 4.4)
            raw = b"Return-Path: <>\r\n" + raw
        async with self._places:
            return await asyncio.to_thread(self._take, raw)

    async def handle_exception(self, error: Exception) -> str:
        """Whatever it was: the mail server keeps the mail."""
        log.error("mail_rejected", error=type(error).__name__)
        return LATER

    def _take(self, raw: bytes) -> str:
        try:
            (outcome,) = self._clerk.take(self._records, [RawMail(raw[: LONGEST + 1], len(raw))])
            if isinstance(outcome, Outcome) and outcome.flagged:
                self._aside.keep(raw)
        except (*DatabaseDownError, OSError) as error:
            outcome = error
        if isinstance(outcome, Outcome):
            return "250 2.0.0 Taken"
        log.error("mail_rejected", error=type(outcome).__name__)
        return LATER


class _Smtp(SMTP):
    line_length_limit = LONGEST_LINE


class _Lmtp(LMTP):
    """The library answers DATA once; LMTP wants an answer for each recipient."""

    line_length_limit = LONGEST_LINE
    _each = 1

    async def push(self, status: Any) -> None:  # noqa: ANN401 - the library's own
        for _ in range(self._each):
            await super().push(status)
        asked = isinstance(status, str) and status.startswith("354")
        self._each = len(self.envelope.rcpt_tos) if asked and self.envelope else 1


def factory(door: LmtpServer, *, lmtp: bool, name: str) -> Callable[[], SMTP]:
    """What answers a connection."""
    return lambda: (_Lmtp if lmtp else _Smtp)(
        door,
        data_size_limit=LARGEST,
        enable_SMTPUTF8=True,
        hostname=name,
        ident="",
        timeout=PATIENCE,
        loop=asyncio.get_running_loop(),
    )


def address_of(text: str) -> tuple[str, int] | Path:
    """``host:port``, ``port`` on this machine, or the path of a socket."""
    if text.startswith("/"):
        return Path(text)
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise MoneybackError("This is not like 127.0.0.1:2424, nor the path of a socket.")
    return host.strip("[]") or "127.0.0.1", int(port)


async def answer(
    where: tuple[str, int] | Path, answers: Callable[[], SMTP], stop: threading.Event, ready: Callable[[Any], None]
) -> None:
    """Answers until told to stop; ``ready`` is told where."""
    loop = asyncio.get_running_loop()
    if isinstance(where, Path):
        server: asyncio.Server = await loop.create_unix_server(answers, where)  # in place of one of a killed process
    else:
        server = await loop.create_server(answers, *where)
    async with server:
        ready(server.sockets[0].getsockname())
        await asyncio.to_thread(stop.wait)
