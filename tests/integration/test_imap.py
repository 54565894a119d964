"""An inbox on a real IMAP server: mails are marked after the commit, read again after a crash, and never deleted."""

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
    """Return the user name of a new mailbox."""
    return f"refunds{uuid4().hex[:8]}"


@pytest.fixture
def inbox(dovecot: Dovecot, user: str) -> ImapInbox:
    return ImapInbox(dovecot.url(user), OWN_ADDRESSES)


@contextmanager
def running_inbox(inbox: ImapInbox, records: Records) -> Iterator[None]:
    stop = threading.Event()
    reader = threading.Thread(target=inbox.run, args=(records, stop, 0.1))
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


def test_a_mail_is_marked_seen_only_after_the_commit(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, a_mail())
    states_at_commit: list[Any] = []
    original = ingest._commit

    def observed(*args: Any) -> Any:
        taken = original(*args)
        states_at_commit.append((count_cases(records), dovecot.flags(user)))
        return taken

    monkeypatch.setattr(ingest, "_commit", observed)
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=1)
        assert folder.run_once(records) == BatchResult()
    assert states_at_commit == [(1, [set()])]
    assert dovecot.flags(user) == [{SEEN}]


def test_an_unreadable_mail_is_flagged_and_not_deleted(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records
) -> None:
    dovecot.deliver(user, a_mail(header="Content-Type: application/pkcs7-mime; smime-type=enveloped-data"))
    dovecot.deliver(user, a_mail("I am away.", subject="Hello", header="Auto-Submitted: auto-replied"))
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=1, flagged=1)
    assert dovecot.flags(user) == [{SEEN, FLAGGED}, {SEEN}]


def test_a_crash_after_the_commit_and_before_the_mail_is_marked_creates_no_second_case(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, a_mail())
    with inbox.open() as folder:
        original = folder._mailbox.client.uid

        def crash_at_store(verb: str, *args: str) -> Any:
            if verb == "STORE":
                raise KeyboardInterrupt
            return original(verb, *args)

        monkeypatch.setattr(folder._mailbox.client, "uid", crash_at_store)
        with pytest.raises(KeyboardInterrupt):
            folder.run_once(records)
    assert (count_cases(records), dovecot.flags(user)) == (1, [set()])
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(repeated=1)
    assert (count_cases(records), dovecot.flags(user)) == (1, [{SEEN}])


def test_while_the_database_is_down_every_mail_stays_unseen(dovecot: Dovecot, user: str, inbox: ImapInbox) -> None:
    dovecot.deliver(user, a_mail())
    unavailable = Records(connect("postgresql://moneyback@127.0.0.1:1/moneyback"), Timers())
    with inbox.open() as folder, pytest.raises(DatabaseDownError):
        folder.run_once(unavailable)
    assert dovecot.flags(user) == [set()]


def test_a_mail_that_cannot_be_stored_does_not_block_other_mails(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("Refund MB-2026-0666", "Refund MB-2026-0417"):
        dovecot.deliver(user, a_mail(text))
    original = ingest._commit

    def fail_for_one(records: Records, mails: Any) -> Any:
        if any(request.reference == "MB-2026-0666" for mail, _ in mails for request in mail.requests):
            raise ValueError("This mail cannot be stored.")
        return original(records, mails)

    monkeypatch.setattr(ingest, "_commit", fail_for_one)
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=1)
        assert folder.run_once(records) == BatchResult()
    assert dovecot.flags(user) == [set(), {SEEN}]


def test_only_the_headers_of_a_huge_mail_are_fetched(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.deliver(user, a_mail(("x" * 76 + "\r\n") * (MAX_SIZE // 77)))
    fetched: list[str] = []
    original = ImapSession._fetch

    def observed(folder: ImapSession, uid: str, part: str) -> bytes | None:
        fetched.append(part)
        return original(folder, uid, part)

    monkeypatch.setattr(ImapSession, "_fetch", observed)
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(flagged=1)
    assert fetched == ["BODY.PEEK[HEADER]"]
    assert dovecot.flags(user) == [{SEEN, FLAGGED}]
    with records.work() as work:
        assert work.run("select kind from inquiry_emails").scalars().all() == ["too_large"]


def test_a_new_mail_ends_the_wait(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    original = ImapSession.wait

    def observed(folder: ImapSession, stop: threading.Event) -> None:
        assert folder.supports_idle
        waiting.set()
        original(folder, stop)

    monkeypatch.setattr(ImapSession, "wait", observed)
    with running_inbox(inbox, records):
        assert waiting.wait(30)
        dovecot.deliver(user, a_mail())
        eventually(lambda: count_cases(records) == 1)  # long before the IDLE command would end without a new mail


def test_the_idle_command_is_renewed_before_29_minutes_pass(
    inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 2177 advises clients to send the IDLE command again at least every 29 minutes."""
    assert imap.IDLE_SECONDS < 29 * 60
    monkeypatch.setattr(imap, "IDLE_SECONDS", 0.0)
    with inbox.open() as folder:
        for _ in range(3):
            folder.wait(threading.Event())
        assert folder.run_once(records) == BatchResult()


def test_without_idle_the_folder_is_polled(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "NO_IDLE_POLL_SECONDS", 0.05)
    with inbox.open() as folder:
        folder.supports_idle = False
        assert folder.run_once(records) == BatchResult()
        dovecot.deliver(user, a_mail())
        folder.wait(threading.Event())
        assert folder.run_once(records) == BatchResult(taken=1)


def test_the_inbox_reconnects_after_a_server_restart(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records
) -> None:
    with running_inbox(inbox, records):
        dovecot.deliver(user, a_mail())
        eventually(lambda: count_cases(records) == 1)
        dovecot.stop()
        dovecot.start()
        dovecot.deliver(user, a_mail())
        eventually(lambda: count_cases(records) == 2, seconds=60)


def test_mails_deleted_by_other_clients_are_not_expunged(
    dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records
) -> None:
    for _ in range(2):
        dovecot.deliver(user, a_mail())
    with dovecot.open_mailbox(user) as mailbox:
        mailbox.store("1", "+FLAGS", "\\Deleted")
    with inbox.open() as folder:
        assert folder.run_once(records) == BatchResult(taken=2)
    assert dovecot.flags(user) == [{SEEN, "\\Deleted"}, {SEEN}]


def test_new_uids_create_no_second_case(dovecot: Dovecot, user: str, inbox: ImapInbox, records: Records) -> None:
    """If a server has lost its index, it gives every mail a new UID. The mailbox then has another UIDVALIDITY."""
    for _ in range(2):
        dovecot.deliver(user, a_mail())
    with inbox.open() as folder:
        before = folder._uid_validity
        assert folder.run_once(records) == BatchResult(taken=2)
    mails = dovecot.folder / user / "mails"
    for file in mails.glob("dovecot.index*"):
        file.unlink()
    uid_list = mails / "dovecot-uidlist"
    uid_list.write_text(re.sub(r" V\d+ N\d+", " V4711 N1", uid_list.read_text().partition("\n")[0]) + "\n")
    dovecot.deliver(user, a_mail())
    with inbox.open() as folder:
        assert folder._uid_validity not in {before, ""}
        assert folder.run_once(records) == BatchResult(taken=1)
    assert count_cases(records) == 3


def test_serve_reads_the_mailbox_of_the_settings(
    dovecot: Dovecot, user: str, settings: Settings, records: Records
) -> None:
    dovecot.deliver(user, a_mail())
    settings_with_imap = Settings.model_validate({**settings.model_dump(), "imap_url": dovecot.url(user)})
    stop = threading.Event()
    server = threading.Thread(target=serve, args=(settings_with_imap, stop))
    server.start()
    try:
        eventually(lambda: count_cases(records) == 1)
    finally:
        stop.set()
        server.join()


@pytest.mark.parametrize("url", ["", "imap://", "http://a:geheim@b", "imaps://a:geheim@b:port/", "imaps://host/INBOX"])
def test_an_invalid_imap_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_IMAP_URL") as caught:
        ImapAccount.of(url)
    assert "geheim" not in str(caught.value)


def test_an_imap_url_is_parsed() -> None:
    account = ImapAccount.of("imaps://refunds%40example.com:a%2Fb@mail.example.com/Refunds/New")
    assert account == ImapAccount("mail.example.com", 993, True, "refunds@example.com", "a/b", "Refunds/New")
