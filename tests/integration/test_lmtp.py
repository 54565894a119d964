"""A mail server delivers mails by LMTP or SMTP, and gets a positive reply only after the mail is stored."""

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from domain.errors import MoneybackError
from producers.mail.lmtp import parse_address
from producers.mail.parser import MAX_SIZE
from producers.mail.service import serve_lmtp
from records import Records
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail, count_cases


@contextmanager
def running_lmtp_server(settings: Settings, address: str = "127.0.0.1:0", *, lmtp: bool = True) -> Iterator[Any]:
    """Run the LMTP or SMTP server, and yield its address."""
    stop, is_ready = threading.Event(), threading.Event()
    addresses: list[Any] = []

    def ready(address: Any) -> None:
        addresses.append(address)
        is_ready.set()

    server = threading.Thread(target=serve_lmtp, args=(settings, stop, address), kwargs={"lmtp": lmtp, "ready": ready})
    server.start()
    try:
        assert is_ready.wait(30)
        yield addresses[0]
    finally:
        stop.set()
        server.join()


@pytest.fixture
def lmtp(settings: Settings) -> Iterator[smtplib.LMTP]:
    with running_lmtp_server(settings) as (host, port), smtplib.LMTP(host, port) as lmtp:
        yield lmtp


def test_an_accepted_mail_creates_a_case(lmtp: smtplib.LMTP, records: Records) -> None:
    assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail()) == {}
    assert count_cases(records) == 1


def test_the_same_mail_twice_is_one_case(lmtp: smtplib.LMTP, records: Records) -> None:
    mail = a_mail()
    for _ in range(2):
        assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, mail) == {}
    assert count_cases(records) == 1


def test_a_mail_without_a_sender_creates_no_case(lmtp: smtplib.LMTP, records: Records) -> None:
    assert lmtp.sendmail("", OWN_ADDRESSES, a_mail()) == {}
    assert count_cases(records) == 0


def test_every_recipient_gets_a_reply(lmtp: smtplib.LMTP, records: Records) -> None:
    known = [*OWN_ADDRESSES, "Refunds+spring@MONEYBACK.example"]
    unknown = ["nobody@moneyback.example", "refunds@elsewhere.example"]
    lmtp.ehlo_or_helo_if_needed()
    lmtp.mail("ada@example.com")
    assert [lmtp.rcpt(to)[0] for to in (*known, *unknown)] == [250, 250, 550, 550]
    assert lmtp.docmd("DATA")[0] == 354
    lmtp.send(a_mail() + b"\r\n.\r\n")
    assert [lmtp.getreply()[0] for _ in known] == [250, 250]
    assert lmtp.noop()[0] == 250  # this is the reply to NOOP, so the server sent exactly one reply for each recipient
    assert count_cases(records) == 1


def test_a_mail_with_a_too_large_declared_size_is_refused(lmtp: smtplib.LMTP, records: Records) -> None:
    lmtp.ehlo_or_helo_if_needed()
    assert lmtp.esmtp_features["size"] == str(MAX_SIZE)
    with pytest.raises(smtplib.SMTPSenderRefused) as announced:
        lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail("x\r\n" * (MAX_SIZE // 3 + 1)), [f"SIZE={MAX_SIZE + 1}"])
    assert announced.value.smtp_code == 552
    assert count_cases(records) == 0


@pytest.mark.parametrize("text", [b"one\rtwo", b"one\ntwo", b"one\n.\nMAIL FROM:<x@y.example>", b"one\0two"])
def test_mails_with_wrong_line_endings_or_nul_bytes_are_refused(
    settings: Settings, records: Records, text: bytes
) -> None:
    with running_lmtp_server(settings) as address, socket.create_connection(address) as connection:
        responses = connection.makefile("rb")
        responses.readline()
        for line in (b"LHLO x", b"MAIL FROM:<a@x.example>", f"RCPT TO:<{OWN_ADDRESSES[0]}>".encode(), b"DATA"):
            connection.sendall(line + b"\r\n")
            while responses.readline()[3:4] == b"-":
                pass
        connection.sendall(a_mail() + text + b"\r\n.\r\n")
        assert responses.readline().startswith(b"554 ")
    assert count_cases(records) == 0


def test_while_the_database_is_down_a_mail_is_refused_temporarily(settings: Settings) -> None:
    without_database = settings.model_copy(
        update={"database_url": SecretStr("postgresql://moneyback@127.0.0.1:1/moneyback")}
    )
    with running_lmtp_server(without_database) as (host, port), smtplib.LMTP(host, port) as lmtp:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail())
        assert caught.value.smtp_code == 451


def test_a_mail_for_support_is_stored_in_the_incoming_folder(
    lmtp: smtplib.LMTP, settings: Settings, records: Records
) -> None:
    mail = a_mail("My name is Ada, and I like your program.", subject="Hello")
    assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, mail) == {}
    assert settings.incoming_mail_dir is not None
    (file,) = (settings.incoming_mail_dir / "cur").iterdir()
    assert file.name.endswith(":2,FS")
    assert file.read_bytes() == mail
    assert count_cases(records) == 0


def test_mails_are_accepted_by_smtp(settings: Settings, records: Records) -> None:
    with running_lmtp_server(settings, lmtp=False) as (host, port), smtplib.SMTP(host, port) as smtp:
        assert smtp.sendmail("ada@example.com", [*OWN_ADDRESSES, "refunds+a@moneyback.example"], a_mail()) == {}
    assert count_cases(records) == 1


def test_mails_are_accepted_on_a_unix_socket(settings: Settings, records: Records, tmp_path: Path) -> None:
    with running_lmtp_server(settings, str(tmp_path / "lmtp")) as address, smtplib.LMTP(address) as lmtp:
        assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail()) == {}
    assert count_cases(records) == 1


def test_the_lmtp_server_needs_an_incoming_folder(settings: Settings) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_INCOMING_MAIL_DIR"):
        serve_lmtp(settings.model_copy(update={"incoming_mail_dir": None}), threading.Event(), "2424", lmtp=True)


def test_the_default_lmtp_host_is_localhost() -> None:
    assert parse_address("2424") == ("127.0.0.1", 2424)
    assert parse_address("[::1]:2424") == ("::1", 2424)
    with pytest.raises(MoneybackError):
        parse_address("localhost")
