"""One letter, text and HTML, in the customer's language. What it may say is decided by the case, not by who asked."""

from email.message import EmailMessage
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from config.links import Links, Purpose
from config.speech import Speech, speech
from domain.aftermath import Stage
from domain.arrivals import arrival
from domain.errors import NotPossibleError, UnreadableError
from domain.findings import Code
from domain.money import Money, UnknownMoneyError
from domain.states import State
from records.letters import Due
from records.views import View
from worker.letters import copy
from worker.letters.copy import LETTERS, TOLD_ANEW, Copy, Target
from worker.letters.envelope import envelope, lines, one_line

_TEMPLATES = Environment(
    loader=PackageLoader("worker.letters"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_TO_WHOEVER_ASKED = frozenset({Stage.NOT_FOUND, Stage.WITHDRAWAL_RECEIVED})
"""Letters that say nothing about a purchase: they go where the request came from, all others to the purchase's own address."""


class Link(NamedTuple):
    """A link as it is shown."""

    label: str
    url: str


def timely(stage: Stage, state: State) -> bool:
    """Whether this letter still says the truth: a case may have moved on since it was due."""
    return state in LETTERS[stage].true_in


def write(due: Due, view: View, links: Links, sender: str, *, first: View | None = None) -> EmailMessage:
    """This letter. One that would no longer be true is refused with a NotPossibleError: ask timely() first.

    A request that joined a case which was there ``first`` is told how that one stands, with the link of that letter again.
    A case or a sender without a usable address is refused with an UnreadableError.
    """
    if not timely(due.stage, view.state):
        raise NotPossibleError(f"The letter {due.stage} would not be true: the case is {view.state}.")
    to = view.email if due.stage in _TO_WHOEVER_ASKED else view.purchase_email
    if not to:
        raise UnreadableError(f"The letter {due.stage} goes to the purchase's own address: this case has no purchase.")
    said = speech(view.locale)
    text, about = _told(due, view, first)
    facts = _facts(about, said) | {"refund": one_line(due.refund or "")}
    letter = envelope(
        sender=sender,
        to=to,
        name=f"{view.id}.{due.stage}",
        subject=said.say(text.subject, **facts),
        after=[*filter(None, [view.thread]), *(f"{view.id}.{stage}" for stage in due.earlier)],
        reply=bool(view.thread) and not due.earlier,
    )
    return printed(letter, said, **_parts(text, about, said, links, facts))


def _told(due: Due, view: View, first: View | None) -> tuple[Copy, View]:
    """What is told, and of which case: one whose letter may be lost is told what it said, and who withdrew not to ask."""
    if due.stage is Stage.ALREADY_ASKED and first and (again := TOLD_ANEW.get(first.state)):
        return LETTERS[again], first
    if due.stage is Stage.NOT_FOUND and view.declared_at:
        return copy.WITHDRAWAL_UNMATCHED, view
    return LETTERS[due.stage], view


def printed(letter: EmailMessage, said: Speech, **parts: object) -> EmailMessage:
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


def _parts(text: Copy, view: View, said: Speech, links: Links, facts: dict[str, str]) -> dict[str, object]:
    """What the templates put in order; a paragraph that has nothing to say is left out."""
    foot = copy.FOOT if view.seller_name else copy.FOOT_WITHOUT_SELLER
    return {
        "heading": said.say(text.heading),
        "before": _paragraphs(text.before, said, facts),
        "facts": [(said.say(label), facts[name]) for label, name in text.facts if facts[name]],
        "reasons": [said.say(reason) for reason in _reasons(view)] if text.reasons else [],
        "ask": said.say(text.ask) if text.ask else None,
        "button": _link(text.button, view, said, links),
        "after": _paragraphs(text.after, said, facts),
        "link": _link(text.link, view, said, links),
        "foot": said.say(foot, **facts),
    }


def _paragraphs(sentences: tuple[str, ...], said: Speech, facts: dict[str, str]) -> list[str]:
    return list(filter(None, (said.say(sentence, **facts) for sentence in sentences)))


def _facts(view: View, said: Speech) -> dict[str, str]:
    seller = one_line(view.seller_name or "") or said.say(copy.NO_SELLER)
    support = one_line(view.support_email or "")
    question = None if view.answers else copy.QUESTIONS.get(view.wish)
    return {
        "amount": _amount(view, said),
        "arrival": said.say(arrival(view.method)),
        "asked_email": one_line(view.email),
        "asked_reference": one_line(view.reference),
        "case": str(view.id),
        "declarant": one_line(view.declared_by or ""),
        "declared_at": said.instant(view.declared_at) if view.declared_at else "",
        "product": one_line(view.product or "") or said.say(copy.NO_PRODUCT),
        "question": said.say(question) if question else "",
        "reference": one_line(view.purchase_reference or "") or said.say(copy.NO_PRODUCT),
        "seller": seller,
        "statement": lines(view.statement or ""),
        "support": said.say(copy.SUPPORT, address=support) if support else said.say(copy.NO_SUPPORT, seller=seller),
    }


def _amount(view: View, said: Speech) -> str:
    """An amount that is unknown, or in a currency we do not know, is not guessed."""
    if view.amount is None or view.currency is None:
        return said.say(copy.NO_AMOUNT)
    try:
        return said.money(Money(view.amount, view.currency))
    except UnknownMoneyError:
        return said.say(copy.NO_AMOUNT)


def _reasons(view: View) -> list[str]:
    """The reasons a customer may know, each once; there is always one."""
    known = {code.value: code.customer for code in Code}
    sentences = [sentence for reason in view.reasons if (sentence := known.get(reason.get("code") or ""))]
    return list(dict.fromkeys(sentences)) or [copy.SOME_REASON]


def _link(link: tuple[str, Target] | None, view: View, said: Speech, links: Links) -> Link | None:
    if link is None:
        return None
    label, target = link
    if target is Target.FORM:
        return Link(said.say(label), links.page("/refund"))
    return Link(said.say(label), links.to(Purpose(target), view.id))
