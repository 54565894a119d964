"""Renders and sends inquiry e-mails. An e-mail that is rendered again has the same Message-ID."""

from collections.abc import Sequence
from email.message import EmailMessage
from uuid import UUID

import structlog

from config.i18n import Translator, translator_for
from config.signed_links import Links, Purpose
from records.inquiry_emails import InquiryEmail
from records.purchase_details import PurchaseWithDetails
from worker.context import WorkerContext
from worker.emails.delivery import DeliveryResults, deliver_batch
from worker.emails.headers import build_message, one_line
from worker.emails.inquiry_copy import CONTACT, INQUIRIES, PURCHASE, Page
from worker.emails.rendering import Link, set_content

log = structlog.get_logger()


def send_inquiry_emails(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Send the inquiry e-mails with these ids, except the e-mails that another worker has claimed."""

    def claim(email_ids: Sequence[UUID], seconds: float) -> list[InquiryEmail]:
        with context.records.work() as work:
            return work.inquiry_emails.claim(email_ids, seconds=seconds)

    def send(email: InquiryEmail) -> None:
        context.mail_transport.deliver(render_inquiry(email, context.links, context.settings.mail_from))

    deliver_batch(context, ids, claim=claim, send=send, record=lambda results: _record(context, results))


def _record(context: WorkerContext, results: DeliveryResults[InquiryEmail]) -> None:
    for email, error in results.not_sent:
        log.warning("inquiry_email_deferred", inquiry_email_id=str(email.id), kind=email.kind, why=error)
    for email, error in [*results.rejected, *results.failed]:
        log.warning("inquiry_email_failed", inquiry_email_id=str(email.id), kind=email.kind, why=error)
    with context.records.work() as work:
        work.inquiry_emails.mark_sent([email.id for email in results.sent])
        not_sent = [email.id for email, _ in results.not_sent]
        work.inquiry_emails.release(not_sent, seconds=context.settings.timers.lease_seconds)
        work.inquiry_emails.release([email.id for email in results.no_time], seconds=0)


def render_inquiry(email: InquiryEmail, links: Links, sender: str) -> EmailMessage:
    """Render an inquiry e-mail. Raise UnreadableError if no e-mail can be sent to its address."""
    translator = translator_for(email.locale)
    copy = INQUIRIES[email.kind]
    subject = translator.gettext(copy.subject)
    message = build_message(
        sender=sender,
        to=email.to,
        name=f"{email.id}.note",
        subject=subject,
        after=[email.thread] if email.thread else [],
        reply=bool(email.thread),
    )
    contact = _format_contact(email, translator)
    return set_content(
        message,
        translator,
        heading=subject,
        before=[translator.gettext(sentence) for sentence in copy.before],
        facts=[(one_line(purchase.product), _format_purchase(purchase, translator)) for purchase in email.purchases],
        reasons=[],
        words_intro="",
        words=[],
        ask=translator.gettext(copy.ask) if copy.ask else None,
        button=_build_link(copy.button, email, translator, links),
        after=list(filter(None, (translator.gettext(sentence, contact=contact) for sentence in copy.after))),
        link=_build_link(copy.link, email, translator, links),
        foot=translator.gettext(copy.foot),
    )


def _format_purchase(purchase: PurchaseWithDetails, translator: Translator) -> str:
    return translator.gettext(
        PURCHASE,
        reference=one_line(purchase.reference),
        seller=one_line(purchase.seller_name),
        day=translator.day(purchase.purchased_at, purchase.time_zone),
    )


def _format_contact(email: InquiryEmail, translator: Translator) -> str:
    """Return the sentence with the support address, or an empty string if the purchases have several support addresses."""
    addresses = {one_line(purchase.support_email) for purchase in email.purchases}
    return translator.gettext(CONTACT, address=addresses.pop()) if len(addresses) == 1 else ""


def _build_link(
    link: tuple[str, Page] | None, email: InquiryEmail, translator: Translator, links: Links
) -> Link | None:
    if link is None:
        return None
    label, page = link
    url = links.to(Purpose.OPEN, email.id) if page is Page.OPEN else links.page(page)
    return Link(translator.gettext(label), url)
