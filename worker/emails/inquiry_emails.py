"""Inquiry e-mails: written and sent, each at most once. A repeated e-mail has the same Message-ID."""

from collections.abc import Sequence
from email.message import EmailMessage
from uuid import UUID

import structlog

from config.i18n import Translator, translator_for
from config.signed_links import Links, Purpose
from records.inquiry_emails import InquiryEmail
from records.purchase_details import PurchaseWithDetails
from worker.context import WorkerContext
from worker.emails.delivery import Delivered, deliver_batch
from worker.emails.headers import build_message, one_line
from worker.emails.inquiry_copy import CONTACT, INQUIRIES, PURCHASE, Page
from worker.emails.rendering import Link, printed

log = structlog.get_logger()


def send_inquiry_emails(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Sends these inquiry e-mails, if no other worker sends them."""

    def claim(notes: Sequence[UUID], seconds: float) -> list[InquiryEmail]:
        with context.records.work() as work:
            return work.inquiry_emails.claim(notes, seconds=seconds)

    deliver_batch(
        context,
        ids,
        claim=claim,
        send=lambda note: context.mail_transport.deliver(
            render_inquiry(note, context.links, context.settings.mail_from)
        ),
        record=lambda delivered: _record(context, delivered),
    )


def _record(context: WorkerContext, delivered: Delivered[InquiryEmail]) -> None:
    for note, why in delivered.not_sent:
        log.warning("inquiry_email_deferred", note=str(note.id), kind=note.kind, why=why)
    for note, why in [*delivered.refused, *delivered.failed]:
        log.warning("inquiry_email_failed", note=str(note.id), kind=note.kind, why=why)
    with context.records.work() as work:
        work.inquiry_emails.mark_sent([note.id for note in delivered.sent])
        not_sent = [note.id for note, _ in delivered.not_sent]
        work.inquiry_emails.release(not_sent, seconds=context.settings.timers.lease_seconds)
        work.inquiry_emails.release([note.id for note in delivered.no_time], seconds=0)


def render_inquiry(note: InquiryEmail, links: Links, sender: str) -> EmailMessage:
    """Returns this inquiry e-mail. Raises UnreadableError for an address to which no e-mail can be sent."""
    said = translator_for(note.locale)
    text = INQUIRIES[note.kind]
    subject = said.gettext(text.subject)
    letter = build_message(
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
        before=[said.gettext(sentence) for sentence in text.before],
        facts=[(one_line(bought.product), _in_one_line(bought, said)) for bought in note.purchases],
        reasons=[],
        ask=said.gettext(text.ask) if text.ask else None,
        button=_link(text.button, note, said, links),
        after=list(filter(None, (said.gettext(sentence, contact=contact) for sentence in text.after))),
        link=_link(text.link, note, said, links),
        foot=said.gettext(text.foot),
    )


def _in_one_line(bought: PurchaseWithDetails, said: Translator) -> str:
    return said.gettext(
        PURCHASE,
        reference=one_line(bought.reference),
        seller=one_line(bought.seller_name),
        day=said.day(bought.purchased_at, bought.time_zone),
    )


def _contact(note: InquiryEmail, said: Translator) -> str:
    """Returns the support address, if all the purchases are of one seller."""
    addresses = {one_line(bought.support_email) for bought in note.purchases}
    return said.gettext(CONTACT, address=addresses.pop()) if len(addresses) == 1 else ""


def _link(link: tuple[str, Page] | None, note: InquiryEmail, said: Translator, links: Links) -> Link | None:
    if link is None:
        return None
    label, page = link
    url = links.to(Purpose.OPEN, note.id) if page is Page.OPEN else links.page(page)
    return Link(said.gettext(label), url)
