"""Pages that show the sent e-mails of a demo.

The pages exist only if the setting MAILBOX_PAGE is true. It must be false on a public server, because everyone can read the
e-mails on these pages.
"""

import email
import mailbox
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from producers.web.dependencies import PageDep, SettingsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS

_MAX_LISTED = 200  # e-mails; enough for a demo, and few enough to scroll through
_LINK = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]]")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class SentMail:
    """A sent e-mail as the page shows it."""

    name: str
    subject: str
    to: str
    text: str
    created_at: datetime

    def parts(self, public_url: str) -> Iterator[tuple[str, bool]]:
        """Yield the parts of the text, each with True if the part is a link to our pages. The page shows other links as text."""
        end = 0
        for match in _LINK.finditer(self.text):
            yield self.text[end : match.start()], False
            yield match[0], match[0].startswith(f"{public_url.rstrip('/')}/")
            end = match.end()
        yield self.text[end:], False


@router.api_route("/mailbox", methods=READ_METHODS)
def list_emails(page: PageDep, settings: SettingsDep) -> Response:
    """List the sent e-mails, newest first."""
    return page.render("mailbox.html", emails=_read_all(settings.sent_mail_dir)[:_MAX_LISTED])


@router.api_route("/mailbox/{name}", methods=READ_METHODS)
def show_email(name: str, page: PageDep, settings: SettingsDep) -> Response:
    """Show an e-mail. The name in the URL is compared with the names of all e-mails. It is never used as a file path."""
    sent_mail = next((item for item in _read_all(settings.sent_mail_dir) if item.name == name), None)
    if sent_mail is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This email doesn’t exist.")
    return page.render("mailbox_email.html", email=sent_mail, parts=list(sent_mail.parts(settings.public_url)))


def _read_all(folder: Path | None) -> list[SentMail]:
    if folder is None or not (folder / "new").is_dir():
        return []
    maildir = mailbox.Maildir(str(folder), factory=None, create=False)
    emails = []
    for name in maildir.keys():  # noqa: SIM118  # iterating over a maildir yields its messages
        try:
            emails.append(_parse(name, maildir.get_bytes(name), maildir[name].get_date()))
        except (KeyError, FileNotFoundError):  # a mail reader moved the file after its name was listed
            continue
    return sorted(emails, key=lambda item: (item.created_at, item.name), reverse=True)


def _parse(name: str, raw: bytes, timestamp: float) -> SentMail:
    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    body = message.get_body(("plain",))
    return SentMail(
        name=name,
        subject=str(message.get("subject", "(no subject)")),
        to=str(message.get("to", "")),
        text=body.get_content() if body else "",
        created_at=datetime.fromtimestamp(timestamp, UTC),
    )
