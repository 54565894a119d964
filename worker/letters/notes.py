"""Notes: written and sent as letters are, each at most once. A repeated one has the same Message-ID."""

from collections.abc import Sequence
from email.message import EmailMessage
from uuid import UUID

import structlog

from config.links import Links, Purpose
from config.speech import Speech, speech
from domain.errors import MoneybackError
from records.details import Bought
from records.notes import Note
from worker.letters.envelope import envelope, one_line
from worker.letters.notecopy import CONTACT, NOTES, PURCHASE, Page
from worker.letters.post import NotSentError
from worker.letters.sending import FOR_GOOD
from worker.letters.write import Link, printed
from worker.paying import sending_ends
from worker.tools import Tools

log = structlog.get_logger()


def send_notes(tools: Tools, ids: Sequence[UUID]) -> None:
    """Sends these notes, if nobody else does. What holds for letters and the post holds for notes: see send()."""
    ends = sending_ends(tools)
    for some in [ids] if tools.post.repeatable else [[note] for note in ids]:
        if tools.monotonic() <= ends:
            _send_some(tools, some, ends)


def _send_some(tools: Tools, ids: Sequence[UUID], ends: float) -> None:
    lease = tools.settings.timers.lease_seconds
    with tools.records.work() as work:
        due = work.notes.claim(ids, seconds=lease if tools.post.repeatable else FOR_GOOD)
    done: list[UUID] = []
    not_left: list[UUID] = []
    no_time: list[UUID] = []
    for note in due:
        if tools.monotonic() > ends:
            no_time.append(note.id)
            continue
        try:
            tools.post.deliver(write_note(note, tools.links, tools.settings.mail_from))
        except NotSentError as error:
            log.warning("note_not_sent", note=str(note.id), kind=note.kind, why=str(error))
            not_left.append(note.id)
        except MoneybackError as error:  # nobody knows whether it left, or nobody can take it: not to be repeated
            log.warning("note_given_up", note=str(note.id), kind=note.kind, why=str(error))
        else:
            done.append(note.id)
    with tools.records.work() as work:
        work.notes.sent(done)
        work.notes.give_back(not_left, seconds=lease)
        work.notes.give_back(no_time, seconds=0)


def write_note(note: Note, links: Links, sender: str) -> EmailMessage:
    """This note. An address that no letter can go to is refused with an UnreadableError."""
    said = speech(note.locale)
    text = NOTES[note.kind]
    subject = said.say(text.subject)
    letter = envelope(
        sender=sender,
        to=note.to,
        name=f"{note.id}.note",
        subject=subject,
        after=[note.thread] if note.thread else [],
        reply=bool(note.thread),
    )
    contact = _contact(note, said)
    return printed(
        letter,
        said,
        heading=subject,
        before=[said.say(sentence) for sentence in text.before],
        facts=[(one_line(bought.product), _in_one_line(bought, said)) for bought in note.purchases],
        reasons=[],
        ask=said.say(text.ask) if text.ask else None,
        button=_link(text.button, note, said, links),
        after=list(filter(None, (said.say(sentence, contact=contact) for sentence in text.after))),
        link=_link(text.link, note, said, links),
        foot=said.say(text.foot),
    )


def _in_one_line(bought: Bought, said: Speech) -> str:
    return said.say(
        PURCHASE,
        reference=one_line(bought.reference),
        seller=one_line(bought.seller_name),
        day=said.day(bought.purchased_at, bought.time_zone),
    )


def _contact(note: Note, said: Speech) -> str:
    """Whom to write to, where all the purchases are of one seller."""
    addresses = {one_line(bought.support_email) for bought in note.purchases}
    return said.say(CONTACT, address=addresses.pop()) if len(addresses) == 1 else ""


def _link(link: tuple[str, Page] | None, note: Note, said: Speech, links: Links) -> Link | None:
    if link is None:
        return None
    label, page = link
    url = links.to(Purpose.OPEN, note.id) if page is Page.OPEN else links.page(page)
    return Link(said.say(label), url)
