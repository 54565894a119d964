"""Renders an e-mail about a case as text and HTML in the customer's language."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from email.message import EmailMessage
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from config.i18n import Translator, translator_for
from config.signed_links import Links, Purpose
from domain.case_payments import (
    CasePayment,
    automatic,
    common_method,
    destination,
    is_second_charge,
    refund_ids,
    total,
)
from domain.emails import EmailKind
from domain.errors import NotPossibleError, UnreadableError
from domain.reason_codes import ReasonCode
from domain.refund_timing import expected_arrival
from domain.states import State
from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.emails import case_copy
from worker.emails.case_copy import EMAILS, IN_SITUATION, OF_A_PART, REPEATED_EMAILS, WITHOUT_PURCHASE, Copy, Target
from worker.emails.headers import build_message, lines, one_line

_TEMPLATES = Environment(
    loader=PackageLoader("worker.emails"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_TO_REQUESTER = frozenset({EmailKind.NOT_FOUND, EmailKind.WITHDRAWAL_RECEIVED})
"""These e-mails contain nothing about a purchase, so they go to the address of the request."""


class Link(NamedTuple):
    """A link with its label."""

    label: str
    url: str


def is_current(kind: EmailKind, state: State) -> bool:
    """Return whether the text of this kind of e-mail is true in this state.

    The state of a case may have changed after the e-mail became due.
    """
    return state in EMAILS[kind].true_in


def render(due: DueEmail, view: CaseView, links: Links, sender: str, *, first: CaseView | None = None) -> EmailMessage:
    """Render a due e-mail. For a duplicate request, the e-mail shows the status and the link of the ``first`` case.

    Raise NotPossibleError if the text is not true in the case's state. Raise UnreadableError if ``sender`` or the
    customer's address is not valid.
    """
    if not is_current(due.kind, view.state):
        raise NotPossibleError(f"The text of the e-mail {due.kind} is not true for a case in the state '{view.state}'.")
    to = view.email if _goes_to_requester(due.kind, view) else view.purchase_email
    if not to:
        raise UnreadableError(
            f"The e-mail {due.kind} goes to the address of the purchase, but the case has no purchase."
        )
    translator = translator_for(view.locale)
    copy, shown_case = _choose_copy(due, view, first)
    facts = _build_facts(copy, shown_case, translator)
    facts["refund"] = one_line(refund_ids(shown_case.payments) or due.refund or "")
    message = build_message(
        sender=sender,
        to=to,
        name=f"{view.id}.{due.name}",
        subject=translator.gettext(copy.subject, **facts),
        after=[*filter(None, [view.thread]), *(f"{view.id}.{name}" for name in due.earlier)],
        reply=bool(view.thread) and not due.earlier,
    )
    return set_content(message, translator, **_build_parts(copy, shown_case, translator, links, facts, due.message))


def _goes_to_requester(kind: EmailKind, view: CaseView) -> bool:
    """Return whether the e-mail goes to the address of the request. Every other e-mail goes to the purchase's address.

    A purchase whose personal data was removed has no address. A request is about it only if the hash of the address is the same.
    """
    return kind in _TO_REQUESTER or (view.purchase is None and kind in WITHOUT_PURCHASE) or view.purchase_is_forgotten


def _choose_copy(due: DueEmail, view: CaseView, first: CaseView | None) -> tuple[Copy, CaseView]:
    """Choose the texts, and the case whose facts they show.

    After a duplicate request, the e-mail of the first case is sent again, because the customer may not have received it. If
    no purchase matches a statutory withdrawal, the e-mail does not ask the customer to send the request again.
    """
    if due.kind is EmailKind.ALREADY_REQUESTED and first and (repeated := REPEATED_EMAILS.get(first.state)):
        return _copy_of(repeated, first), first
    if due.kind is EmailKind.NOT_FOUND and view.declared_at:
        return case_copy.WITHDRAWAL_UNMATCHED, view
    copy = _copy_of(due.kind, view)
    if due.earlier[-1:] == (EmailKind.NOT_FOUND,):
        copy = replace(copy, before=(case_copy.FOUND_LATER, *copy.before))
    return copy, view


def _copy_of(kind: EmailKind, view: CaseView) -> Copy:
    """Return the texts of this kind of e-mail in the situation of the case."""
    if view.purchase is None and kind in WITHOUT_PURCHASE:
        return WITHOUT_PURCHASE[kind]
    if view.situation and (copy := IN_SITUATION.get((kind, view.situation))):
        return copy
    return OF_A_PART[kind] if view.is_part and kind in OF_A_PART else EMAILS[kind]


def set_content(message: EmailMessage, translator: Translator, **parts: object) -> EmailMessage:
    """Add the text and the HTML with these parts to the message, and return the message."""
    text, html = (
        _TEMPLATES.get_template(name).render(parts, language=translator.language)
        for name in ("email.txt.j2", "email.html.j2")
    )
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    # This header is set last, because set_content() and add_alternative() remove the Content-* headers of earlier content.
    message["Content-Language"] = translator.language
    return message


def _build_parts(
    copy: Copy, view: CaseView, translator: Translator, links: Links, facts: dict[str, str], message: str
) -> dict[str, object]:
    """Return the variables of the templates. Empty paragraphs and facts are left out."""
    foot = case_copy.FOOT if view.seller_name else case_copy.FOOT_WITHOUT_SELLER
    return {
        "heading": translator.gettext(copy.heading),
        "before": _translate_paragraphs(copy.before, translator, facts),
        "facts": list(_build_lines(copy, view, translator, facts)),
        "words_intro": translator.gettext(copy.message, **facts) if copy.message else "",
        "words": [paragraph for paragraph in lines(message).split("\n") if paragraph] if copy.message else [],
        "reasons": [translator.gettext(reason) for reason in _collect_reasons(view)] if copy.reasons else [],
        "ask": translator.gettext(copy.ask) if copy.ask else None,
        "button": _build_link(copy.button, view, translator, links),
        "after": _translate_paragraphs(copy.after, translator, facts),
        "link": _build_link(copy.link, view, translator, links),
        "foot": translator.gettext(foot, **facts),
    }


def _translate_paragraphs(sentences: tuple[str, ...], translator: Translator, facts: dict[str, str]) -> list[str]:
    return list(filter(None, (translator.gettext(sentence, **facts) for sentence in sentences)))


def _build_lines(
    copy: Copy, view: CaseView, translator: Translator, facts: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the label and the value of each fact. If the case has several payments, the payments follow the amount."""
    for label, name in copy.facts:
        if facts[name]:
            yield translator.gettext(label), facts[name]
        if name == "amount" and len(view.payments) > 1:
            for payment in view.payments:
                yield translator.gettext(payment.method_name), _describe(payment, view.state, translator)


def _describe(payment: CasePayment, state: State, translator: Translator) -> str:
    """Return the amount of one of several payments, and how far its refund is."""
    stage = payment.stage(state)
    amount = _format_amount([payment], translator)
    return f"{amount} – {translator.gettext(stage.sentence)}" if stage else amount


def _build_facts(copy: Copy, view: CaseView, translator: Translator) -> dict[str, str]:
    seller = one_line(view.seller_name or "") or translator.gettext(case_copy.NO_SELLER)
    support = one_line(view.support_email or "")
    product = one_line(view.product or "") or translator.gettext(case_copy.NO_PRODUCT)
    question = None if view.answers else case_copy.QUESTIONS.get(view.refund_scope)
    loss = None if is_second_charge(view.payments) else copy.loss
    counted = [payment for payment in view.payments if payment.status in copy.statuses]
    amount = _format_amount(counted or automatic(view.payments, view.state), translator)
    return {
        "amount": amount,
        "another_way": translator.money(view.another_way) if view.another_way else "",
        "answer_by": _answer_by(view, translator),
        "arrival": translator.gettext(expected_arrival(common_method(view.payments))),
        "asked_email": one_line(view.email),
        "asked_reference": one_line(view.reference),
        "case": view.number,
        "declarant": one_line(view.declared_by or ""),
        "declared_at": translator.instant(view.declared_at) if view.declared_at else "",
        "destination": translator.gettext(destination(view.payments, is_part=view.is_part).sentence, amount=amount),
        "loss": translator.gettext(loss, product=product) if loss else "",
        "paid": translator.money(view.paid) if view.paid else "",
        "product": product,
        "provider": next((payment.provider_name for payment in counted), ""),
        "question": translator.gettext(question) if question else "",
        "reference": one_line(view.purchase_reference or "") or translator.gettext(case_copy.NO_PRODUCT),
        "seller": seller,
        "statement": lines(view.statement or ""),
        "support": translator.gettext(case_copy.SUPPORT, address=support)
        if support
        else translator.gettext(case_copy.NO_SUPPORT, seller=seller),
    }


def _answer_by(view: CaseView, translator: Translator) -> str:
    """Return the sentence that says when support answers; an empty text if the seller promises no time."""
    if view.answer_time is None or view.answer_by is None:
        return ""
    return translator.gettext(view.answer_time.sentence, day=translator.day(view.answer_by, view.zone))


def _format_amount(payments: Collection[CasePayment], translator: Translator) -> str:
    """Return the sum of these payments, or "the full amount" if the sum is unknown."""
    money = total(payments)
    return translator.money(money) if money else translator.gettext(case_copy.NO_AMOUNT)


def _collect_reasons(view: CaseView) -> list[str]:
    """Return the distinct reasons for the customer, or a general reason if all reasons are only for support."""
    sentence_by_code = {code.value: code.customer for code in ReasonCode}
    sentences = [sentence for reason in view.reasons if (sentence := sentence_by_code.get(reason.get("code") or ""))]
    return list(dict.fromkeys(sentences)) or [case_copy.DEFAULT_REASON]


def _build_link(link: tuple[str, Target] | None, view: CaseView, translator: Translator, links: Links) -> Link | None:
    if link is None:
        return None
    label, target = link
    if target is Target.FORM:
        return Link(translator.gettext(label), links.page("/refund"))
    return Link(translator.gettext(label), links.to(Purpose(target), view.id))
