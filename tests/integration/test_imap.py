"""A mailbox on a real IMAP server: seen only after the commit, found again after every crash, never emptied."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings, Timers
from domain.errors import MoneybackError
from producers.mail import imap, ingest
from producers.mail.imap import ImapAccount, ImapInbox, ImapSession
from producers.mail.maildir import BatchResult
from producers.mail.parser import MAX_SIZE
from producers.mail.service import serve
from records import DatabaseDownError, Records
from records.unit_of_work import connect
from tests.dovecot import Dovecot
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail, count_cases, dovecot
from tests.services import eventually

__all__ = ["dovecot"]

SEEN, FLAGGED = "\\Seen", "\\Flagged"


@pytest.fixture
def user() -> str:
    """A mailbox that nobody used before."""
    return f"refunds{uuid4().hex[:8]}"


@pytest.fixture
def inbox(dovecot: Dovecot, user: str) -> ImapInbox:
    return ImapInbox(dovecot.url(user), OWN_ADDRESSES)


@contextmanager
def running(inbox: ImapInbox, records: Records) -> Iterator[None]:
    stop = threading.Event()
    reader = threading.Thread(target=inbox.run, args=(records, stop, 0.1))
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


def test_a_mail_is_seen_only_after_the_commit(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, a_mail())
    at_commit: list[Any] = []
    real = ingest._commit

    def watched(*args: Any) -> Any:
        taken = real(*args)
        at_commit.append((count_cases(records), dovecot.flags(user)))
        return taken

    monkeypatch.setattr(ingest, "_commit", watched)
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=1)
        assert folder.run_once(records) == BatchResult()
    assert at_commit == [(1, [set()])]
    assert dovecot.flags(user) == [{SEEN}]


def test_what_nobody_can_read_is_flagged_and_stays(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records
) -> None:
    dovecot.deliver(user, a_mail(header="Content-Type: application/pkcs7-mime; smime-type=enveloped-data"))
    dovecot.deliver(user, a_mail("I am away.", subject="Hello", header="Auto-Submitted: auto-replied"))
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=1, flagged=1)
    assert dovecot.flags(user) == [{SEEN, FLAGGED}, {SEEN}]


def test_a_crash_between_the_commit_and_the_mark_makes_no_second_case(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, a_mail())
    with inbox.open() as folder:
        real = folder._mailbox.client.uid

        def dies(verb: str, *args: str) -> Any:
            if verb == "STORE":
                raise KeyboardInterrupt
            return real(verb, *args)

        monkeypatch.setattr(folder._mailbox.client, "uid", dies)
        with pytest.raises(KeyboardInterrupt):
            folder.run_once(records)
    assert (count_cases(records), dovecot.flags(user)) == (1, [set()])
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(repeated=1)
    assert (count_cases(records), dovecot.flags(user)) == (1, [{SEEN}])


def test_while_the_database_is_down_every_mail_stays_unseen(dovecot: Dovecot, user: str, inbox: ImapInbox) -> None:
    dovecot.deliver(user, a_mail())
    nowhere = Records(connect("postgresql://moneyback@127.0.0.1:1/moneyback"), Timers())
    with inbox.open() as folder, pytest.raises(DatabaseDownError):
        folder.run_once(nowhere)
    assert dovecot.flags(user) == [set()]


def test_a_mail_that_no_database_takes_stands_in_nobodys_way(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("Refund MB-2026-0666", "Refund MB-2026-0417"):
        dovecot.deliver(user, a_mail(text))
    real = ingest._commit

    def picky(records: Records, mails: Any) -> Any:
        if any(request.reference == "MB-2026-0666" for mail, _ in mails for request in mail.requests):
            raise ValueError("nobody takes this one")
        return real(records, mails)

    monkeypatch.setattr(ingest, "_commit", picky)
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=1)
        assert folder.run_once(records) == BatchResult()
    assert dovecot.flags(user) == [set(), {SEEN}]


def test_of_a_huge_mail_only_the_headers_are_fetched_and_its_sender_is_told(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, a_mail(("x" * 76 + "\r\n") * (MAX_SIZE // 77)))
    fetched: list[str] = []
    real = ImapSession._fetch

    def watched(folder: ImapSession, uid: str, part: str) -> bytes | None:
        fetched.append(part)
        return real(folder, uid, part)

    monkeypatch.setattr(ImapSession, "_fetch", watched)
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(flagged=1)
    assert fetched == ["BODY.PEEK[HEADER]"]
    assert dovecot.flags(user) == [{SEEN, FLAGGED}]
    with records.work() as work:
        assert work.run("select kind from inquiry_emails").scalars().all() == ["too_large"]


def test_a_mail_wakes_whoever_waits_for_it(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    real = ImapSession.wait

    def watched(folder: ImapSession, stop: threading.Event) -> None:
        assert folder.supports_idle
        waiting.set()
        real(folder, stop)

    monkeypatch.setattr(ImapSession, "wait", watched)
    with running(inbox, records):
        assert waiting.wait(30)
        dovecot.deliver(user, a_mail())
        eventually(lambda: count_cases(records) == 1)  # long before IDLE would end by itself


def test_idle_is_issued_again_in_time(inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    assert imap.IDLE_SECONDS < 29 * 60
    monkeypatch.setattr(imap, "IDLE_SECONDS", 0.0)
    with inbox.open() as folder:
        for _ in range(3):
            folder.wait(threading.Event())
        assert folder.run_once(records) == BatchResult()


def test_without_idle_the_folder_is_looked_at_now_and_then(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "NO_IDLE_POLL_SECONDS", 0.05)
    with inbox.open() as folder:
        folder.supports_idle = False
        assert folder.run_once(records) == BatchResult()
        dovecot.deliver(user, a_mail())
        folder.wait(threading.Event())
        assert folder.run_once(records) == BatchResult(taken=1)


def test_a_server_that_went_away_is_found_again(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records
) -> None:
    with running(inbox, records):
        dovecot.deliver(user, a_mail())
        eventually(lambda: count_cases(records) == 1)
        dovecot.stop()
        dovecot.start()
        dovecot.deliver(user, a_mail())
        eventually(lambda: count_cases(records) == 2, seconds=60)


def test_what_others_deleted_is_not_expunged(dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records) -> None:
    for _ in range(2):
        dovecot.deliver(user, a_mail())
    with dovecot.open_mailbox(user) as box:
        box.store("1", "+FLAGS", "\\Deleted")
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=2)
    assert dovecot.flags(user) == [{SEEN, "\\Deleted"}, {SEEN}]


def test_uids_that_begin_anew_change_nothing(dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records) -> None:
    """A server that lost its index numbers every mail anew, under another UIDVALIDITY."""
    for _ in range(2):
        dovecot.deliver(user, a_mail())
    with inbox.open() as folder:
        before = folder._uid_validity
        assert folder.run_once(records) == BatchResult(taken=2)
    mails = dovecot.folder / user / "mails"
    for file in mails.glob("dovecot.index*"):
        file.unlink()
    numbers = mails / "dovecot-uidlist"
    numbers.write_text(re.sub(r" V\d+ N\d+", " V4711 N1", numbers.read_text().partition("\n")[0]) + "\n")
    dovecot.deliver(user, a_mail())
    with inbox.open() as folder:
        assert folder._uid_validity not in {before, ""}
        assert folder.run_once(records) == BatchResult(taken=1)
    assert count_cases(records) == 3


def test_serve_reads_the_mailbox_of_the_settings(
    dovecot: Dovecot, user: str, settings: Settings, records: Records
) -> None:
    dovecot.deliver(user, a_mail())
    ours = Settings.model_validate({**settings.model_dump(), "imap_url": dovecot.url(user)})
    stop = threading.Event()
    server = threading.Thread(target=serve, args=(ours, stop))
    server.start()
    try:
        eventually(lambda: count_cases(records) == 1)
    finally:
        stop.set()
        server.join()


@pytest.mark.parametrize("url", ["", "imap://", "http://a:geheim@b", "imaps://a:geheim@b:port/", "imaps://host/INBOX"])
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_IMAP_URL") as caught:
        ImapAccount.of(url)
    assert "geheim" not in str(caught.value)


def test_an_address_is_taken_apart() -> None:
    place = ImapAccount.of("imaps://refunds%40example.com:a%2Fb@mail.example.com/Refunds/New")
    assert place == ImapAccount("mail.example.com", 993, True, "refunds@example.com", "a/b", "Refunds/New")
