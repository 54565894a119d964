"""Tests that read mails from a Maildir folder into a real database, and tests that send e-mails by SMTP over a real socket."""

import os
import shutil
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings, Timers
from domain.errors import MoneybackError
from domain.requests import Channel
from producers.mail import ingest as ingest_module
from producers.mail import maildir as maildir_module
from producers.mail.maildir import BatchResult, MaildirInbox
from producers.mail.service import serve
from records import DatabaseDownError, Records
from records.intake import Intake
from records.unit_of_work import connect
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import eventually
from worker.emails import DeliveryUnknownError, EmailNotSentError, EmailRejectedError, SmtpTransport

OWN_ADDRESSES = ["refunds@moneyback.example"]


@pytest.fixture
def inbox(tmp_path: Path) -> MaildirInbox:
    return MaildirInbox(tmp_path / "mails", moneyback_addresses=OWN_ADDRESSES)


@pytest.fixture
def unavailable_records() -> Records:
    """Return a `Records` whose database cannot be reached."""
    return Records(connect("postgresql://moneyback@127.0.0.1:1/moneyback"), Timers())


def deliver(
    inbox: MaildirInbox,
    name: str,
    text: str = "Please refund MB-2026-0417.",
    header: str = "",
    sender: str = "",
    subject: str = "Refund",
) -> Path:
    """Write a mail into the folder, as a mail server does."""
    path = inbox.folder / "new" / name
    path.write_text(
        f"From: Ada <{sender or name}@example.com>\nMessage-ID: <{name}@example.com>\nSubject: {subject}\n{header}\n{text}\n"
    )
    return path


def file_names(inbox: MaildirInbox, part: str) -> list[str]:
    return sorted(path.name for path in (inbox.folder / part).iterdir())


def count_cases(records: Records) -> int:
    with records.work() as work:
        return sum(work.case_views.counts().values())


def test_a_mail_becomes_an_untrusted_case(inbox: MaildirInbox, records: Records) -> None:
    deliver(inbox, "1.a", sender="ada")
    assert inbox.run_once(records) == BatchResult(taken=1)
    with records.work() as work:
        (case,) = work.case_views.search()
        (trusted,) = work.run("select trusted from cases").scalars()
    assert (case.channel, case.reference, case.email) == (Channel.EMAIL, "MB-2026-0417", "ada@example.com")
    assert not trusted
    assert (file_names(inbox, "new"), file_names(inbox, "cur")) == ([], ["1.a:2,S"])


def test_a_mail_without_a_request_is_flagged_for_support(inbox: MaildirInbox, records: Records) -> None:
    deliver(inbox, "1.a", "My name is Ada and I like your program.", subject="Hello")
    deliver(inbox, "2.b", "I am away.", subject="Hello", header="Auto-Submitted: auto-replied\n")
    with capture_logs() as logs:
        assert inbox.run_once(records) == BatchResult(taken=1, flagged=1)
    assert file_names(inbox, "cur") == ["1.a:2,FS", "2.b:2,S"]
    assert [(entry["not_a_request"], entry["auto_reply"]) for entry in logs] == [(1, 1)]
    assert "ada" not in str(logs).casefold()
    assert count_cases(records) == 0


def test_a_mail_that_is_delivered_twice_creates_one_case(inbox: MaildirInbox, records: Records) -> None:
    original = deliver(inbox, "1.a")
    for name in ("2.a", "3.a"):
        shutil.copy(original, inbox.folder / "new" / name)
    assert inbox.run_once(records) == BatchResult(taken=1, repeated=2)
    shutil.copy(inbox.folder / "cur" / "1.a:2,S", inbox.folder / "new" / "4.a")
    assert inbox.run_once(records) == BatchResult(repeated=1)
    assert count_cases(records) == 1
    assert file_names(inbox, "new") == []


def test_a_crash_after_the_commit_and_before_the_file_is_moved_creates_no_second_case(
    inbox: MaildirInbox, records: Records, tmp_path: Path
) -> None:
    for number in range(5):
        deliver(inbox, f"{number}.a")
    shutil.copytree(inbox.folder, tmp_path / "as it was")
    assert inbox.run_once(records) == BatchResult(taken=5)
    after_the_crash = MaildirInbox(tmp_path / "as it was", moneyback_addresses=OWN_ADDRESSES)
    assert after_the_crash.run_once(records) == BatchResult(repeated=5)
    assert count_cases(records) == 5
    assert len(file_names(after_the_crash, "cur")) == 5


def test_a_mail_stays_in_the_folder_until_after_the_commit(
    inbox: MaildirInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test lists the files in the folder just before and just after the commit."""
    deliver(inbox, "1.a")
    deliver(inbox, "2.b", "no reference")
    files: list[list[str]] = []
    original = ingest_module._commit

    def observed(*args: Any) -> Any:
        files.append(file_names(inbox, "new"))
        taken = original(*args)
        files.append(file_names(inbox, "new"))
        return taken

    monkeypatch.setattr(ingest_module, "_commit", observed)
    inbox.run_once(records)
    assert files == [["1.a", "2.b"]] * 2


def test_while_the_database_is_down_every_mail_stays_in_the_folder(
    inbox: MaildirInbox, records: Records, unavailable_records: Records
) -> None:
    deliver(inbox, "1.a")
    deliver(inbox, "2.b", "no reference")
    with pytest.raises(DatabaseDownError):
        inbox.run_once(unavailable_records)
    assert file_names(inbox, "new") == ["1.a", "2.b"]
    assert inbox.run_once(records) == BatchResult(taken=2)


def test_the_loop_waits_while_the_database_is_unavailable(inbox: MaildirInbox, unavailable_records: Records) -> None:
    deliver(inbox, "1.a")
    stop = StopAfterWaits(3)
    with capture_logs() as logs:
        inbox.run(unavailable_records, stop, pause=0)
    assert [entry["event"] for entry in logs] == ["database_unavailable"] * 3
    assert file_names(inbox, "new") == ["1.a"]


def test_the_loop_empties_the_folder_before_it_waits(inbox: MaildirInbox, records: Records) -> None:
    for number in range(250):
        deliver(inbox, f"{number:03}.a")
    inbox.run(records, StopAfterWaits(1), pause=0)
    assert count_cases(records) == 250
    assert file_names(inbox, "new") == []


def test_a_missing_folder_is_logged_and_does_not_stop_the_loop(inbox: MaildirInbox, records: Records) -> None:
    shutil.rmtree(inbox.folder)
    with capture_logs() as logs:
        inbox.run(records, StopAfterWaits(1), pause=0)
    assert [entry["event"] for entry in logs] == ["maildir_unreadable"]


def test_an_unreadable_file_does_not_block_other_mails(inbox: MaildirInbox, records: Records) -> None:
    (inbox.folder / "new" / "0.folder").mkdir()
    (inbox.folder / "new" / "1.bytes").write_bytes(bytes(range(256)) * 50)
    os.mkfifo(inbox.folder / "new" / "1.pipe")
    (inbox.folder / "new" / "2.link").symlink_to(inbox.folder / "nothing")
    (inbox.folder / "new" / "3.huge").write_bytes(b"From: ada@example.com\n\n" + b"MB-2026-0417 " * 1_000_000)
    (inbox.folder / "new" / ".4.hidden").touch()
    deliver(inbox, "5.a")
    assert inbox.run_once(records) == BatchResult(taken=1, flagged=2)
    assert inbox.run_once(records) == BatchResult()
    assert file_names(inbox, "cur") == ["1.bytes:2,FS", "3.huge:2,FS", "5.a:2,S"]


def test_a_request_that_cannot_be_stored_does_not_block_other_mails(
    inbox: MaildirInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, reference in (("1.a", "MB-2026-0417"), ("2.b", "MB-2026-0666"), ("3.c", "MB-2026-0418")):
        deliver(inbox, name, f"Refund {reference}")
    original = Intake.accept

    def fail_for_one(intake: Intake, submissions: Any) -> Any:
        if any(submission.request.reference == "MB-2026-0666" for submission in submissions):
            raise ValueError("This request cannot be stored.")
        return original(intake, submissions)

    monkeypatch.setattr(Intake, "accept", fail_for_one)
    assert inbox.run_once(records) == BatchResult(taken=2)
    assert inbox.run_once(records) == BatchResult()
    assert (file_names(inbox, "new"), file_names(inbox, "cur")) == (["2.b"], ["1.a:2,S", "3.c:2,S"])


def test_if_the_database_has_no_tables_every_mail_stays_in_the_folder(
    inbox: MaildirInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database causes the failure, so no mail is flagged, and all mails are tried again later."""
    for number in range(3):
        deliver(inbox, f"{number}.a")
    with monkeypatch.context() as patch:
        patch.setattr("records.intake._INSERT", "select * from not_yet_migrated")
        assert inbox.run_once(records) == BatchResult()
    assert file_names(inbox, "new") == ["0.a", "1.a", "2.a"]
    assert inbox.run_once(records) == BatchResult()
    monkeypatch.setattr(maildir_module, "monotonic", lambda: float("inf"))
    assert inbox.run_once(records) == BatchResult(taken=3)


def test_another_mail_with_a_known_message_id_is_flagged_for_support(inbox: MaildirInbox, records: Records) -> None:
    """The second mail may be a request of another customer, so it must not count as a repeat."""
    deliver(inbox, "1.a")
    other = deliver(inbox, "2.b", "Refund MB-2026-9999")
    other.write_text(other.read_text().replace("2.b@", "1.a@"))
    assert inbox.run_once(records) == BatchResult(taken=1, flagged=1)
    assert file_names(inbox, "cur") == ["1.a:2,S", "2.b:2,FS"]


def test_two_readers_of_one_folder_create_one_case_for_each_mail(inbox: MaildirInbox, records: Records) -> None:
    for number in range(40):
        deliver(inbox, f"{number:02}.a")
    other = MaildirInbox(inbox.folder, moneyback_addresses=OWN_ADDRESSES)
    readers = [threading.Thread(target=reader.run, args=(records, StopAfterWaits(1), 0)) for reader in (inbox, other)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert count_cases(records) == 40
    assert file_names(inbox, "new") == []


def test_a_mail_is_matched_to_its_purchase(inbox: MaildirInbox, records: Records) -> None:
    purchase = a_recent_purchase(email="ada@example.com")
    store_seller_and_purchases(records, purchase)
    deliver(inbox, "1.a", f"Reference: {purchase.reference.lower()}", sender="ada")
    inbox.run_once(records)
    with records.work() as work:
        (case,) = work.case_views.search()
        matches = work.decision_inputs.matches([case.id])
    assert [match.id for match in matches[case.id]] == [purchase.id]


def test_serve_reads_the_folder_of_the_settings(settings: Settings, records: Records) -> None:
    assert settings.incoming_mail_dir is not None
    deliver(MaildirInbox(settings.incoming_mail_dir), "1.a")
    stop = threading.Event()
    server = threading.Thread(target=serve, args=(settings, stop))
    server.start()
    eventually(lambda: count_cases(records) == 1)
    stop.set()
    server.join()


def test_serve_names_the_missing_setting(settings: Settings) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_INCOMING_MAIL_DIR"):
        serve(settings.model_copy(update={"incoming_mail_dir": None}), threading.Event())


class StopAfterWaits(threading.Event):
    """A stop event that sets itself at the `waits`-th call of `wait()`. Each call returns immediately."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._waits -= 1
        if self._waits == 0:
            self.set()
        return self.is_set()


@dataclass
class MailServer:
    """The replies of a scripted mail server, and the e-mails that the server received."""

    port: int = 0
    greetings: int = 0
    emails: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    """The reply to each command in this mapping; the server answers all other commands with success.

    If the reply is ``hang up``, the server closes the connection.
    """


class _SmtpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: MailServer = self.server.script  # type: ignore[attr-defined]
        server.greetings += 1
        self._send("220 mail.example at your service")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(maxsplit=1)[0].upper()
            if not self._answer(server, verb, line):
                return

    def _answer(self, server: MailServer, verb: str, line: str) -> bool:
        reply = server.replies.get(verb, "250 yes")
        if verb == "DATA" and verb not in server.replies:
            self._send("354 go ahead")
            server.emails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            reply = server.replies.get(".", reply)
        if reply == "hang up":
            return False
        if verb == "RCPT":
            server.recipients.append(line)
        self._send("221 bye" if verb == "QUIT" else reply)
        return verb != "QUIT"

    def _send(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    script = MailServer()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _SmtpHandler) as server:
        server.daemon_threads = True
        server.script = script  # type: ignore[attr-defined]
        script.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        server.shutdown()
        thread.join()


@pytest.fixture
def transport(mail_server: MailServer) -> Iterator[SmtpTransport]:
    transport = SmtpTransport(f"smtp://127.0.0.1:{mail_server.port}")
    yield transport
    transport.close()


def an_email(to: str = "ada@example.com") -> EmailMessage:
    email = EmailMessage()
    email["From"], email["To"], email["Subject"] = "refunds@moneyback.example", to, "Your refund"
    email.set_content("Sent.\n")
    return email


def test_several_emails_use_one_connection(transport: SmtpTransport, mail_server: MailServer) -> None:
    for _ in range(3):
        transport.deliver(an_email())
    assert not transport.repeatable
    assert [message_from_bytes(raw)["Subject"] for raw in mail_server.emails] == ["Your refund"] * 3
    assert mail_server.recipients[0].upper().startswith("RCPT TO:<ADA@EXAMPLE.COM>")
    assert mail_server.greetings == 1


def test_a_closed_connection_is_opened_again(transport: SmtpTransport, mail_server: MailServer) -> None:
    transport.deliver(an_email())
    mail_server.replies["NOOP"] = "hang up"
    transport.deliver(an_email())
    assert (mail_server.greetings, len(mail_server.emails)) == (2, 2)


@pytest.mark.parametrize(
    ("verb", "answer", "error"),
    [
        ("RCPT", "550 nobody of that name", EmailRejectedError),
        ("RCPT", "450 come back later", EmailNotSentError),
        ("MAIL", "553 not you", EmailRejectedError),
        ("DATA", "451 not now", EmailNotSentError),
        (".", "554 spam", EmailRejectedError),
        (".", "452 disk full", EmailNotSentError),
        (".", "hang up", DeliveryUnknownError),
        ("DATA", "hang up", DeliveryUnknownError),
        ("EHLO", "hang up", EmailNotSentError),
    ],
)
def test_each_failure_is_reported_as_not_sent_rejected_or_unknown(
    transport: SmtpTransport, mail_server: MailServer, verb: str, answer: str, error: type[Exception]
) -> None:
    mail_server.replies[verb] = answer
    with pytest.raises(error) as caught:
        transport.deliver(an_email())
    assert type(caught.value) is error
    assert "ada" not in str(caught.value)
    mail_server.replies.clear()
    before = len(mail_server.emails)
    transport.deliver(an_email())
    assert len(mail_server.emails) == before + 1


def test_an_email_to_an_unreachable_server_is_not_sent() -> None:
    with pytest.raises(EmailNotSentError):
        SmtpTransport("smtp://127.0.0.1:1").deliver(an_email())


def test_an_address_that_the_server_cannot_handle_is_rejected(transport: SmtpTransport) -> None:
    with pytest.raises(EmailRejectedError):
        transport.deliver(an_email("adä@example.com"))


def test_a_password_is_not_sent_without_tls(mail_server: MailServer) -> None:
    transport = SmtpTransport(f"smtp://me:secret@0.0.0.0:{mail_server.port}")
    with pytest.raises(EmailNotSentError, match="no TLS"):
        transport.deliver(an_email())


def test_one_run_takes_at_most_one_batch_of_mails(inbox: MaildirInbox, records: Records) -> None:
    for number in range(maildir_module.MAX_BATCH + 1):
        deliver(inbox, f"{number:03}.a")
    assert inbox.run_once(records) == BatchResult(taken=maildir_module.MAX_BATCH)
    assert inbox.run_once(records) == BatchResult(taken=1)
