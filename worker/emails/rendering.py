"""One letter, text and HTML, in the customer's language. What it may say is decided by the case, not by who asked."""

from email.message import EmailMessage
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from config.i18n import Translator, translator_for
from config.signed_links import Links, Purpose
from domain.emails import EmailKind
from domain.errors import NotPossibleError, UnreadableError
from domain.money import Money, UnknownMoneyError
from domain.reason_codes import ReasonCode
from domain.refund_timing import expected_arrival
from domain.states import State
from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.emails import case_copy
from worker.emails.case_copy import EMAILS, TOLD_ANEW, Copy, Target
from worker.emails.headers import build_message, lines, one_line

_TEMPLATES = Environment(
    loader=PackageLoader("worker.emails"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_TO_WHOEVER_ASKED = frozenset({EmailKind.NOT_FOUND, EmailKind.WITHDRAWAL_RECEIVED})
"""Letters that say nothing about a purchase: they go where the request came from, all others to the purchase's own address."""


class Link(NamedTuple):
    """A link as it is shown."""

    label: str
    url: str


def is_current(stage: EmailKind, state: State) -> bool:
    """Whether this letter still says the truth: a case may have moved on since it was due."""
    return state in EMAILS[stage].true_in


def render(due: DueEmail, view: CaseView, links: Links, sender: str, *, first: CaseView | None = None) -> EmailMessage:
    """This letter. One that would no longer be true is refused with a NotPossibleError: ask timely() first.

    A request that joined a case which was there ``first`` is told how that one stands, with the link of that letter again.
    A case or a sender without a usable address is refused with an UnreadableError.
    """
    if not is_current(due.kind, view.state):
        raise NotPossibleError(f"The letter {due.kind} would not be true: the case is {view.state}.")
    to = view.email if due.kind in _TO_WHOEVER_ASKED else view.purchase_email
    if not to:
        raise UnreadableError(f"The letter {due.kind} goes to the purchase's own address: this case has no purchase.")
    said = translator_for(view.locale)
    text, about = _told(due, view, first)
    facts = _facts(about, said) | {"refund": one_line(due.refund or "")}
    letter = build_message(
        sender=sender,
        to=to,
        name=f"{view.id}.{due.kind}",
        subject=said.gettext(text.subject, **facts),
        after=[*filter(None, [view.thread]), *(f"{view.id}.{stage}" for stage in due.earlier)],
        reply=bool(view.thread) and not due.earlier,
    )
    return printed(letter, said, **_parts(text, about, said, links, facts))


def _told(due: DueEmail, view: CaseView, first: CaseView | None) -> tuple[Copy, CaseView]:
    """What is told, and of which case: one whose letter may be lost is told what it said, and who withdrew not to ask."""
    if due.kind is EmailKind.ALREADY_REQUESTED and first and (again := TOLD_ANEW.get(first.state)):
        return EMAILS[again], first
    if due.kind is EmailKind.NOT_FOUND and view.declared_at:
        return case_copy.WITHDRAWAL_UNMATCHED, view
    return EMAILS[due.kind], view


def printed(letter: EmailMessage, said: Translator, **parts: object) -> EmailMessage:
    """The letter with these parts in it, as text and as HTML."""
    text, html = (
        _TEMPLATES.get_template(name).render(parts, language=said.language)
        for name in ("email.txt.j2", "email.html.j2")
    )
    letter.set_content(text, cte="quoted-printable")
    letter.add_alternative(html, subtype="html", cte="quoted-printable")
    letter["Content-Language"] = (
        said.language
    )  # last: content that is set takes the headers of the content before it away
    return letter


def _parts(text: Copy, view: CaseView, said: Translator, links: Links, facts: dict[str, str]) -> dict[str, object]:
    """What the templates put in order; a paragraph that has nothing to say is left out."""
    foot = case_copy.FOOT if view.seller_name else case_copy.FOOT_WITHOUT_SELLER
    return {
        "heading": said.gettext(text.heading),
        "before": _paragraphs(text.before, said, facts),
        "facts": [(said.gettext(label), facts[name]) for label, name in text.facts if facts[name]],
        "reasons": [said.gettext(reason) for reason in _reasons(view)] if text.reasons else [],
        "ask": said.gettext(text.ask) if text.ask else None,
        "button": _link(text.button, view, said, links),
        "after": _paragraphs(text.after, said, facts),
        "link": _link(text.link, view, said, links),
        "foot": said.gettext(foot, **facts),
    }


def _paragraphs(sentences: tuple[str, ...], said: Translator, facts: dict[str, str]) -> list[str]:
    return list(filter(None, (said.gettext(sentence, **facts) for sentence in sentences)))


def _facts(view: CaseView, said: Translator) -> dict[str, str]:
    seller = one_line(view.seller_name or "") or said.gettext(case_copy.NO_SELLER)
    support = one_line(view.support_email or "")
    question = None if view.answers else case_copy.QUESTIONS.get(view.refund_scope)
    return {
        "amount": _amount(view, said),
        "arrival": said.gettext(expected_arrival(view.method)),
        "asked_email": one_line(view.email),
        "asked_reference": one_line(view.reference),
        "case": str(view.id),
        "declarant": one_line(view.declared_by or ""),
        "declared_at": said.instant(view.declared_at) if view.declared_at else "",
        "product": one_line(view.product or "") or said.gettext(case_copy.NO_PRODUCT),
        "question": said.gettext(question) if question else "",
        "reference": one_line(view.purchase_reference or "") or said.gettext(case_copy.NO_PRODUCT),
        "seller": seller,
        "statement": lines(view.statement or ""),
        "support": said.gettext(case_copy.SUPPORT, address=support)
        if support
        else said.gettext(case_copy.NO_SUPPORT, seller=seller),
    }


def _amount(view: CaseView, said: Translator) -> str:
    """An amount that is unknown, or in a currency we do not know, is not guessed."""
    if view.amount is None or view.currency is None:
        return said.gettext(case_copy.NO_AMOUNT)
    try:
        return said.money(Money(view.amount, view.currency))
    except UnknownMoneyError:
        return said.gettext(case_copy.NO_AMOUNT)


def _reasons(view: CaseView) -> list[str]:
    """The reasons a customer may know, each once; there is always one."""
    known = {code.value: code.customer for code in ReasonCode}
    sentences = [sentence for reason in view.reasons if (sentence := known.get(reason.get("code") or ""))]
    return list(dict.fromkeys(sentences)) or [case_copy.SOME_REASON]


def _link(link: tuple[str, Target] | None, view: CaseView, said: Translator, links: Links) -> Link | None:
    if link is None:
        return None
    label, target = link
    if target is Target.FORM:
        return Link(said.gettext(label), links.page("/refund"))
    return Link(said.gettext(label), links.to(Purpose(target), view.id))
