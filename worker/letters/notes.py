"""Inquiry e-mails: written and sent, each at most once. A repeated e-mail has the same Message-ID."""

from collections.abc import Sequence
from email.message import EmailMessage
from uuid import UUID

import structlog

from config.links import Links, Purpose
from config.speech import Speech, speech
from records.details import Bought
from records.notes import Note
from worker.letters.delivery import Delivered, deliver_batch
from worker.letters.envelope import envelope, one_line
from worker.letters.notecopy import CONTACT, NOTES, PURCHASE, Page
from worker.letters.write import Link, printed
from worker.tools import Tools

log = structlog.get_logger()


def send_notes(tools: Tools, ids: Sequence[UUID]) -> None:
    """Sends these inquiry e-mails, if no other worker sends them."""

    def claim(notes: Sequence[UUID], seconds: float) -> list[Note]:
        with tools.records.work() as work:
            return work.notes.claim(notes, seconds=seconds)

    deliver_batch(
        tools,
        ids,
        claim=claim,
        send=lambda note: tools.post.deliver(write_note(note, tools.links, tools.settings.mail_from)),
        record=lambda delivered: _record(tools, delivered),
    )


def _record(tools: Tools, delivered: Delivered[Note]) -> None:
    for note, why in delivered.not_sent:
        log.warning("note_not_sent", note=str(note.id), kind=note.kind, why=why)
    for note, why in [*delivered.refused, *delivered.failed]:
        log.warning("note_given_up", note=str(note.id), kind=note.kind, why=why)
    with tools.records.work() as work:
        work.notes.sent([note.id for note in delivered.sent])
        not_sent = [note.id for note, _ in delivered.not_sent]
        work.notes.give_back(not_sent, seconds=tools.settings.timers.lease_seconds)
        work.notes.give_back([note.id for note in delivered.no_time], seconds=0)


def write_note(note: Note, links: Links, sender: str) -> EmailMessage:
    """Returns this inquiry e-mail. Raises UnreadableError for an address to which no e-mail can be sent."""
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
    """Returns the support address, if all the purchases are of one seller."""
    addresses = {one_line(bought.support_email) for bought in note.purchases}
    return said.say(CONTACT, address=addresses.pop()) if len(addresses) == 1 else ""


def _link(link: tuple[str, Page] | None, note: Note, said: Speech, links: Links) -> Link | None:
    if link is None:
        return None
    label, page = link
    url = links.to(Purpose.OPEN, note.id) if page is Page.OPEN else links.page(page)
    return Link(said.say(label), url)
