"""A mail server hands mails over by LMTP or SMTP, and hears yes only when they are safe."""

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
def the_door(settings: Settings, where: str = "127.0.0.1:0", *, lmtp: bool = True) -> Iterator[Any]:
    """The door, open: where it is."""
    stop, opened = threading.Event(), threading.Event()
    found: list[Any] = []

    def ready(where: Any) -> None:
        found.append(where)
        opened.set()

    server = threading.Thread(target=serve_lmtp, args=(settings, stop, where), kwargs={"lmtp": lmtp, "ready": ready})
    server.start()
    try:
        assert opened.wait(30)
        yield found[0]
    finally:
        stop.set()
        server.join()


@pytest.fixture
def lmtp(settings: Settings) -> Iterator[smtplib.LMTP]:
    with the_door(settings) as (host, port), smtplib.LMTP(host, port) as lmtp:
        yield lmtp


def test_a_mail_is_a_case_when_yes_is_said(lmtp: smtplib.LMTP, records: Records) -> None:
    assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail()) == {}
    assert count_cases(records) == 1


def test_the_same_mail_twice_is_one_case(lmtp: smtplib.LMTP, records: Records) -> None:
    mail = a_mail()
    for _ in range(2):
        assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, mail) == {}
    assert count_cases(records) == 1


def test_a_mail_from_nobody_is_a_machines(lmtp: smtplib.LMTP, records: Records) -> None:
    assert lmtp.sendmail("", OWN_ADDRESSES, a_mail()) == {}
    assert count_cases(records) == 0


def test_every_recipient_is_answered(lmtp: smtplib.LMTP, records: Records) -> None:
    ours = [*OWN_ADDRESSES, "Refunds+spring@MONEYBACK.example"]
    strangers = ["nobody@moneyback.example", "refunds@elsewhere.example"]
    lmtp.ehlo_or_helo_if_needed()
    lmtp.mail("ada@example.com")
    assert [lmtp.rcpt(to)[0] for to in (*ours, *strangers)] == [250, 250, 550, 550]
    assert lmtp.docmd("DATA")[0] == 354
    lmtp.send(a_mail() + b"\r\n.\r\n")
    assert [lmtp.getreply()[0] for _ in ours] == [250, 250]
    assert lmtp.noop()[0] == 250  # nothing was left unsaid, and nothing said twice
    assert count_cases(records) == 1


def test_a_huge_mail_is_refused_by_name(lmtp: smtplib.LMTP, records: Records) -> None:
    lmtp.ehlo_or_helo_if_needed()
    assert lmtp.esmtp_features["size"] == str(MAX_SIZE)
    with pytest.raises(smtplib.SMTPSenderRefused) as announced:
        lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail("x\r\n" * (MAX_SIZE // 3 + 1)), [f"SIZE={MAX_SIZE + 1}"])
    assert announced.value.smtp_code == 552
    assert count_cases(records) == 0


@pytest.mark.parametrize("smuggled", [b"one\rtwo", b"one\ntwo", b"one\n.\nMAIL FROM:<x@y.example>", b"one\0two"])
def test_what_two_servers_could_read_differently_is_refused(
    settings: Settings, records: Records, smuggled: bytes
) -> None:
    with the_door(settings) as where, socket.create_connection(where) as connection:
        answers = connection.makefile("rb")
        answers.readline()
        for line in (b"LHLO x", b"MAIL FROM:<a@x.example>", f"RCPT TO:<{OWN_ADDRESSES[0]}>".encode(), b"DATA"):
            connection.sendall(line + b"\r\n")
            while answers.readline()[3:4] == b"-":
                pass
        connection.sendall(a_mail() + smuggled + b"\r\n.\r\n")
        assert answers.readline().startswith(b"554 ")
    assert count_cases(records) == 0


def test_while_the_database_is_down_the_mail_server_keeps_the_mail(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": SecretStr("postgresql://moneyback@127.0.0.1:1/moneyback")})
    with the_door(nowhere) as (host, port), smtplib.LMTP(host, port) as lmtp:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail())
        assert caught.value.smtp_code == 451


def test_what_a_person_should_look_at_is_kept_for_one(lmtp: smtplib.LMTP, settings: Settings, records: Records) -> None:
    mail = a_mail("My name is Ada, and I like your program.", subject="Hello")
    assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, mail) == {}
    assert settings.incoming_mail_dir is not None
    (kept,) = (settings.incoming_mail_dir / "cur").iterdir()
    assert kept.name.endswith(":2,FS")
    assert kept.read_bytes() == mail
    assert count_cases(records) == 0


def test_smtp_is_spoken_as_well(settings: Settings, records: Records) -> None:
    with the_door(settings, lmtp=False) as (host, port), smtplib.SMTP(host, port) as smtp:
        assert smtp.sendmail("ada@example.com", [*OWN_ADDRESSES, "refunds+a@moneyback.example"], a_mail()) == {}
    assert count_cases(records) == 1


def test_a_socket_is_a_door_as_well(settings: Settings, records: Records, tmp_path: Path) -> None:
    with the_door(settings, str(tmp_path / "lmtp")) as where, smtplib.LMTP(where) as lmtp:
        assert lmtp.sendmail("ada@example.com", OWN_ADDRESSES, a_mail()) == {}
    assert count_cases(records) == 1


def test_a_door_needs_a_place_for_what_is_set_aside(settings: Settings) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_INCOMING_MAIL_DIR"):
        serve_lmtp(settings.model_copy(update={"incoming_mail_dir": None}), threading.Event(), "2424", lmtp=True)


def test_a_door_is_on_this_machine_unless_told() -> None:
    assert parse_address("2424") == ("127.0.0.1", 2424)
    assert parse_address("[::1]:2424") == ("::1", 2424)
    with pytest.raises(MoneybackError):
        parse_address("localhost")
