"""Mails come in through a folder and letters leave through a server, on a real database and a real socket."""

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
from producers.mail import ingest as the_clerk
from producers.mail import maildir as the_module
from producers.mail.maildir import BatchResult, MaildirInbox
from producers.mail.service import serve
from records import DatabaseDownError, Records
from records.intake import Intake
from records.unit_of_work import connect
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import eventually
from worker.emails import DeliveryUnknownError, EmailNotSentError, EmailRejectedError, SmtpTransport

OURS = ["refunds@moneyback.example"]


@pytest.fixture
def inbox(tmp_path: Path) -> MaildirInbox:
    return MaildirInbox(tmp_path / "mails", moneyback_addresses=OURS)


@pytest.fixture
def nowhere() -> Records:
    """A database that is down."""
    return Records(connect("postgresql://moneyback@127.0.0.1:1/moneyback"), Timers())


def deliver(
    inbox: MaildirInbox,
    name: str,
    text: str = "Please refund MB-2026-0417.",
    head: str = "",
    who: str = "",
    subject: str = "Refund",
) -> Path:
    """A mail server puts somebody's mail into the folder."""
    path = inbox.folder / "new" / name
    path.write_text(
        f"From: Ada <{who or name}@example.com>\nMessage-ID: <{name}@example.com>\nSubject: {subject}\n{head}\n{text}\n"
    )
    return path


def names(inbox: MaildirInbox, part: str) -> list[str]:
    return sorted(path.name for path in (inbox.folder / part).iterdir())


def cases(records: Records) -> int:
    with records.work() as work:
        return sum(work.case_views.counts().values())


def test_a_mail_becomes_a_case_that_nobody_trusts(inbox: MaildirInbox, records: Records) -> None:
    deliver(inbox, "1.a", who="ada")
    assert inbox.run_once(records) == BatchResult(taken=1)
    with records.work() as work:
        (case,) = work.case_views.search()
        (trusted,) = work.run("select trusted from cases").scalars()
    assert (case.channel, case.reference, case.email) == (Channel.EMAIL, "MB-2026-0417", "ada@example.com")
    assert not trusted
    assert (names(inbox, "new"), names(inbox, "cur")) == ([], ["1.a:2,S"])


def test_a_mail_that_is_no_request_is_kept_for_a_person(inbox: MaildirInbox, records: Records) -> None:
    deliver(inbox, "1.a", "My name is Ada and I like your program.", subject="Hello")
    deliver(inbox, "2.b", "I am away.", subject="Hello", head="Auto-Submitted: auto-replied\n")
    with capture_logs() as logs:
        assert inbox.run_once(records) == BatchResult(taken=1, flagged=1)
    assert names(inbox, "cur") == ["1.a:2,FS", "2.b:2,S"]
    assert [(entry["not_a_request"], entry["auto_reply"]) for entry in logs] == [(1, 1)]
    assert "ada" not in str(logs).casefold()
    assert cases(records) == 0


def test_the_same_mail_twice_is_one_case(inbox: MaildirInbox, records: Records) -> None:
    original = deliver(inbox, "1.a")
    for name in ("2.a", "3.a"):
        shutil.copy(original, inbox.folder / "new" / name)
    assert inbox.run_once(records) == BatchResult(taken=1, repeated=2)
    shutil.copy(inbox.folder / "cur" / "1.a:2,S", inbox.folder / "new" / "4.a")
    assert inbox.run_once(records) == BatchResult(repeated=1)
    assert cases(records) == 1
    assert names(inbox, "new") == []


def test_a_crash_between_the_commit_and_the_move_makes_no_second_case(
    inbox: MaildirInbox, records: Records, tmp_path: Path
) -> None:
    for number in range(5):
        deliver(inbox, f"{number}.a")
    shutil.copytree(inbox.folder, tmp_path / "as it was")
    assert inbox.run_once(records) == BatchResult(taken=5)
    after_the_crash = MaildirInbox(tmp_path / "as it was", moneyback_addresses=OURS)
    assert after_the_crash.run_once(records) == BatchResult(repeated=5)
    assert cases(records) == 5
    assert len(names(after_the_crash, "cur")) == 5


def test_a_mail_stays_until_the_commit(inbox: MaildirInbox, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the folder at the moment of the commit."""
    deliver(inbox, "1.a")
    deliver(inbox, "2.b", "no reference")
    seen: list[list[str]] = []
    real = the_clerk._commit

    def watched(*args: Any) -> Any:
        seen.append(names(inbox, "new"))
        taken = real(*args)
        seen.append(names(inbox, "new"))
        return taken

    monkeypatch.setattr(the_clerk, "_commit", watched)
    inbox.run_once(records)
    assert seen == [["1.a", "2.b"]] * 2


def test_while_the_database_is_down_every_mail_stays(inbox: MaildirInbox, records: Records, nowhere: Records) -> None:
    deliver(inbox, "1.a")
    deliver(inbox, "2.b", "no reference")
    with pytest.raises(DatabaseDownError):
        inbox.run_once(nowhere)
    assert names(inbox, "new") == ["1.a", "2.b"]
    assert inbox.run_once(records) == BatchResult(taken=2)


def test_the_loop_waits_for_its_database(inbox: MaildirInbox, nowhere: Records) -> None:
    deliver(inbox, "1.a")
    stop = Turns(3)
    with capture_logs() as logs:
        inbox.run(nowhere, stop, pause=0)
    assert [entry["event"] for entry in logs] == ["database_unavailable"] * 3
    assert names(inbox, "new") == ["1.a"]


def test_the_loop_empties_the_folder_before_it_rests(inbox: MaildirInbox, records: Records) -> None:
    for number in range(250):
        deliver(inbox, f"{number:03}.a")
    inbox.run(records, Turns(1), pause=0)
    assert cases(records) == 250
    assert names(inbox, "new") == []


def test_the_loop_outlives_a_folder_that_is_away(inbox: MaildirInbox, records: Records) -> None:
    shutil.rmtree(inbox.folder)
    with capture_logs() as logs:
        inbox.run(records, Turns(1), pause=0)
    assert [entry["event"] for entry in logs] == ["maildir_unreadable"]


def test_a_poisonous_file_stops_nobody_else(inbox: MaildirInbox, records: Records) -> None:
    (inbox.folder / "new" / "0.folder").mkdir()
    (inbox.folder / "new" / "1.bytes").write_bytes(bytes(range(256)) * 50)
    os.mkfifo(inbox.folder / "new" / "1.pipe")
    (inbox.folder / "new" / "2.link").symlink_to(inbox.folder / "nothing")
    (inbox.folder / "new" / "3.huge").write_bytes(b"From: ada@example.com\n\n" + b"MB-2026-0417 " * 1_000_000)
    (inbox.folder / "new" / ".4.hidden").touch()
    deliver(inbox, "5.a")
    assert inbox.run_once(records) == BatchResult(taken=1, flagged=2)
    assert inbox.run_once(records) == BatchResult()
    assert names(inbox, "cur") == ["1.bytes:2,FS", "3.huge:2,FS", "5.a:2,S"]


def test_a_request_that_no_database_takes_spoils_only_itself(
    inbox: MaildirInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, reference in (("1.a", "MB-2026-0417"), ("2.b", "MB-2026-0666"), ("3.c", "MB-2026-0418")):
        deliver(inbox, name, f"Refund {reference}")
    real = Intake.accept

    def picky(intake: Intake, arrivals: Any) -> Any:
        if any(arrival.request.reference == "MB-2026-0666" for arrival in arrivals):
            raise ValueError("nobody takes this one")
        return real(intake, arrivals)

    monkeypatch.setattr(Intake, "accept", picky)
    assert inbox.run_once(records) == BatchResult(taken=2)
    assert inbox.run_once(records) == BatchResult()
    assert (names(inbox, "new"), names(inbox, "cur")) == (["2.b"], ["1.a:2,S", "3.c:2,S"])


def test_a_database_without_its_tables_costs_no_mail(
    inbox: MaildirInbox, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the mails' fault: none is refused, and all are tried again later."""
    for number in range(3):
        deliver(inbox, f"{number}.a")
    with monkeypatch.context() as patch:
        patch.setattr("records.intake._INSERT", "select * from not_yet_migrated")
        assert inbox.run_once(records) == BatchResult()
    assert names(inbox, "new") == ["0.a", "1.a", "2.a"]
    assert inbox.run_once(records) == BatchResult()
    monkeypatch.setattr(the_module, "monotonic", lambda: float("inf"))
    assert inbox.run_once(records) == BatchResult(taken=3)


def test_another_mail_with_a_message_id_that_is_taken_is_for_a_person(inbox: MaildirInbox, records: Records) -> None:
    """Nobody's request is swallowed because somebody else's mail has its name."""
    deliver(inbox, "1.a")
    other = deliver(inbox, "2.b", "Refund MB-2026-9999")
    other.write_text(other.read_text().replace("2.b@", "1.a@"))
    assert inbox.run_once(records) == BatchResult(taken=1, flagged=1)
    assert names(inbox, "cur") == ["1.a:2,S", "2.b:2,FS"]


def test_two_readers_of_one_folder_make_one_case_each(inbox: MaildirInbox, records: Records) -> None:
    for number in range(40):
        deliver(inbox, f"{number:02}.a")
    other = MaildirInbox(inbox.folder, moneyback_addresses=OURS)
    readers = [threading.Thread(target=reader.run, args=(records, Turns(1), 0)) for reader in (inbox, other)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert cases(records) == 40
    assert names(inbox, "new") == []


def test_a_mail_about_a_purchase_names_it(inbox: MaildirInbox, records: Records) -> None:
    purchase = a_recent_purchase(email="ada@example.com")
    store_seller_and_purchases(records, purchase)
    deliver(inbox, "1.a", f"Reference: {purchase.reference.lower()}", who="ada")
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
    eventually(lambda: cases(records) == 1)
    stop.set()
    server.join()


def test_serve_says_what_is_missing(settings: Settings) -> None:
    with pytest.raises(MoneybackError, match="MONEYBACK_INCOMING_MAIL_DIR"):
        serve(settings.model_copy(update={"incoming_mail_dir": None}), threading.Event())


class Turns(threading.Event):
    """Told to stop after it was waited for so often; nobody really waits."""

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
    """What a mail server says and what it was told."""

    port: int = 0
    greetings: int = 0
    letters: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """Another answer to a command than yes; ``hang up`` is one, too."""


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: MailServer = self.server.script  # type: ignore[attr-defined]
        server.greetings += 1
        self._say("220 mail.example at your service")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(maxsplit=1)[0].upper()
            if not self._answer(server, verb, line):
                return

    def _answer(self, server: MailServer, verb: str, line: str) -> bool:
        said = server.answers.get(verb, "250 yes")
        if verb == "DATA" and verb not in server.answers:
            self._say("354 go ahead")
            server.letters.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            said = server.answers.get(".", said)
        if said == "hang up":
            return False
        if verb == "RCPT":
            server.recipients.append(line)
        self._say("221 bye" if verb == "QUIT" else said)
        return verb != "QUIT"

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    script = MailServer()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Conversation) as server:
        server.daemon_threads = True
        server.script = script  # type: ignore[attr-defined]
        script.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        server.shutdown()
        thread.join()


@pytest.fixture
def post(mail_server: MailServer) -> Iterator[SmtpTransport]:
    post = SmtpTransport(f"smtp://127.0.0.1:{mail_server.port}")
    yield post
    post.close()


def a_letter(to: str = "ada@example.com") -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "refunds@moneyback.example", to, "Your refund"
    letter.set_content("Sent.\n")
    return letter


def test_a_batch_of_letters_leaves_over_one_connection(post: SmtpTransport, mail_server: MailServer) -> None:
    for _ in range(3):
        post.deliver(a_letter())
    assert not post.repeatable
    assert [message_from_bytes(raw)["Subject"] for raw in mail_server.letters] == ["Your refund"] * 3
    assert mail_server.recipients[0].upper().startswith("RCPT TO:<ADA@EXAMPLE.COM>")
    assert mail_server.greetings == 1


def test_a_connection_that_went_away_is_made_again(post: SmtpTransport, mail_server: MailServer) -> None:
    post.deliver(a_letter())
    mail_server.answers["NOOP"] = "hang up"
    post.deliver(a_letter())
    assert (mail_server.greetings, len(mail_server.letters)) == (2, 2)


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
def test_whether_a_letter_left_is_yes_no_never_or_unknown(
    post: SmtpTransport, mail_server: MailServer, verb: str, answer: str, error: type[Exception]
) -> None:
    mail_server.answers[verb] = answer
    with pytest.raises(error) as caught:
        post.deliver(a_letter())
    assert type(caught.value) is error
    assert "ada" not in str(caught.value)
    mail_server.answers.clear()
    before = len(mail_server.letters)
    post.deliver(a_letter())
    assert len(mail_server.letters) == before + 1


def test_a_server_that_cannot_be_reached_sent_nothing() -> None:
    with pytest.raises(EmailNotSentError):
        SmtpTransport("smtp://127.0.0.1:1").deliver(a_letter())


def test_an_address_that_the_server_cannot_take_is_refused(post: SmtpTransport) -> None:
    with pytest.raises(EmailRejectedError):
        post.deliver(a_letter("adä@example.com"))


def test_a_password_does_not_leave_this_machine_in_the_clear(mail_server: MailServer) -> None:
    post = SmtpTransport(f"smtp://me:secret@0.0.0.0:{mail_server.port}")
    with pytest.raises(EmailNotSentError, match="no TLS"):
        post.deliver(a_letter())


def test_the_module_says_how_many_it_takes_at_once(inbox: MaildirInbox, records: Records) -> None:
    for number in range(the_module.MAX_BATCH + 1):
        deliver(inbox, f"{number:03}.a")
    assert inbox.run_once(records) == BatchResult(taken=the_module.MAX_BATCH)
    assert inbox.run_once(records) == BatchResult(taken=1)
