"""The letters that were sent, for trying things out: shown only where the settings say so, never in public."""

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

from producers.web.dependencies import ThePaper, TheSettings
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN

_MOST = 200  # what a person scrolls through
_LINK = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]]")

letters = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class SentMail:
    """A letter as a person reads it."""

    name: str
    subject: str
    to: str
    text: str
    at: datetime

    def parts(self, public_url: str) -> Iterator[tuple[str, bool]]:
        """The text in pieces, each with whether it is a link of ours: no other one may be clicked here."""
        end = 0
        for found in _LINK.finditer(self.text):
            yield self.text[end : found.start()], False
            yield found[0], found[0].startswith(f"{public_url.rstrip('/')}/")
            end = found.end()
        yield self.text[end:], False


@letters.api_route("/mailbox", methods=SEEN)
def list_all(paper: ThePaper, settings: TheSettings) -> Response:
    """Every letter, the newest first."""
    found = _letters(settings.sent_mail_dir)
    return paper.render("mailbox.html", letters=found[:_MOST])


@letters.api_route("/mailbox/{name}", methods=SEEN)
def show(name: str, paper: ThePaper, settings: TheSettings) -> Response:
    """One letter. The name is looked up in the list and never becomes a path."""
    letter = next((letter for letter in _letters(settings.sent_mail_dir) if letter.name == name), None)
    if letter is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This email doesn’t exist.")
    return paper.render("mailbox_email.html", letter=letter, parts=list(letter.parts(settings.public_url)))


def _letters(folder: Path | None) -> list[SentMail]:
    if folder is None or not (folder / "new").is_dir():
        return []
    box = mailbox.Maildir(str(folder), factory=None, create=False)
    found = []
    for name in box.keys():  # noqa: SIM118  # a mailbox iterates over its messages
        try:
            found.append(_letter(name, box.get_bytes(name), box[name].get_date()))
        except (KeyError, FileNotFoundError):  # moved from new to cur meanwhile
            continue
    return sorted(found, key=lambda letter: (letter.at, letter.name), reverse=True)


def _letter(name: str, letter: bytes, at: float) -> SentMail:
    message = email.message_from_bytes(letter, EmailMessage, policy=default)
    body = message.get_body(("plain",))
    return SentMail(
        name=name,
        subject=str(message.get("subject", "(no subject)")),
        to=str(message.get("to", "")),
        text=body.get_content() if body else "",
        at=datetime.fromtimestamp(at, UTC),
    )
