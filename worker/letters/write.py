"""One letter, text and HTML, to the address of the purchase. What it may say is decided by the case, not by who asked."""

from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import urljoin

import idna
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from config.links import Links, Purpose
from domain.aftermath import Stage
from domain.errors import NotPossibleError, UnreadableError
from domain.findings import Code
from domain.money import Money, UnknownMoneyError
from domain.states import State
from records.views import View
from worker.letters.copy import LETTERS, NO_AMOUNT, NO_PRODUCT, NO_SELLER, NO_SUPPORT, SOME_REASON, SUPPORT, Target

LONGEST_FACT = 200  # characters of a name or a reference; a longer one is cut, not refused
LONGEST_SUBJECT = 150  # characters

_TEMPLATES = Environment(
    loader=PackageLoader("worker.letters"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Link(NamedTuple):
    """A link as it is shown."""

    label: str
    url: str


def timely(stage: Stage, state: State) -> bool:
    """Whether this letter still says the truth: a case may have moved on since it was due."""
    return state in LETTERS[stage].true_in


def write(stage: Stage, view: View, links: Links, sender: str) -> EmailMessage:
    """The letter of this stage. One that would no longer be true is refused with a NotPossibleError: ask timely() first.

    A case or a sender without a usable address is refused with an UnreadableError.
    """
    copy = LETTERS[stage]
    if not timely(stage, view.state):
        raise NotPossibleError(f"The letter {stage} would not be true: the case is {view.state}.")
    facts = _facts(view)
    parts = {
        "heading": copy.heading,
        "before": [paragraph.format_map(facts) for paragraph in copy.before],
        "reasons": _reasons(view) if copy.reasons else [],
        "button": _link(copy.button, view, links),
        "after": [paragraph.format_map(facts) for paragraph in copy.after],
        "link": _link(copy.link, view, links),
    }
    letter = _envelope(stage, view, sender)
    letter["Subject"] = one_line(copy.subject.format_map(facts), LONGEST_SUBJECT)
    text, html = (_TEMPLATES.get_template(name).render(parts) for name in ("letter.txt.j2", "letter.html.j2"))
    letter.set_content(text, cte="quoted-printable")
    letter.add_alternative(html, subtype="html", cte="quoted-printable")
    return letter


def _envelope(stage: Stage, view: View, sender: str) -> EmailMessage:
    """The letter's headers; the same letter has the same Message-ID, so that a repeated one can be told."""
    to = view.email if stage is Stage.NOT_FOUND else view.purchase_email
    if not to:
        raise UnreadableError(f"The letter {stage} goes to the purchase's own address, and this case has no purchase.")
    ours = _sender(sender)
    letter = EmailMessage()
    letter["From"] = ours
    letter["To"] = _address(to)
    letter["Date"] = format_datetime(datetime.now(UTC))
    letter["Message-ID"] = f"<{view.id}.{stage}@{ours.domain}>"
    letter["Auto-Submitted"] = "auto-replied"
    letter["X-Auto-Response-Suppress"] = "All"
    return letter


def _facts(view: View) -> dict[str, str]:
    seller = one_line(view.seller_name or "") or NO_SELLER
    support = one_line(view.support_email or "")
    return {
        "amount": _amount(view),
        "case": str(view.id),
        "product": one_line(view.product or "") or NO_PRODUCT,
        "reference": one_line(view.purchase_reference or "") or NO_PRODUCT,
        "seller": seller,
        "support": SUPPORT.format(address=support) if support else NO_SUPPORT.format(seller=seller),
    }


def _amount(view: View) -> str:
    """An amount that is unknown, or in a currency we do not know, is not guessed."""
    if view.amount is None or view.currency is None:
        return NO_AMOUNT
    try:
        return str(Money(view.amount, view.currency))
    except UnknownMoneyError:
        return NO_AMOUNT


def _reasons(view: View) -> list[str]:
    """The reasons a customer may know, each once; there is always one."""
    known = {code.value: code.customer for code in Code}
    sentences = [sentence for reason in view.reasons if (sentence := known.get(reason.get("code") or ""))]
    return list(dict.fromkeys(sentences)) or [SOME_REASON]


def _link(link: tuple[str, Target] | None, view: View, links: Links) -> Link | None:
    if link is None:
        return None
    label, target = link
    if target is Target.FORM:
        return Link(label, urljoin(links.to(Purpose.STATUS, view.id), "../refund"))
    return Link(label, links.to(Purpose(target), view.id))


def one_line(text: str, longest: int = LONGEST_FACT) -> str:
    """Text of others as one plain line: no line break to start a header with, nothing invisible."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"


def _address(text: str) -> Address:
    """An address of ours to write to; the domain as mail servers know it."""
    user, at, host = text.strip().rpartition("@")
    try:
        host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
        if user.isascii():
            return Address(addr_spec=f"{user}@{host}")
        if not at or not host or not text.strip().isprintable() or set(user) & set(' "(),:;<>@[\\]'):
            raise UnreadableError("This is not an e-mail address that a letter can go to.")
        return Address(username=user, domain=host)
    except (MessageError, ValueError, IndexError):  # the library's parser has no one way to say no
        raise UnreadableError("This is not an e-mail address that a letter can go to.") from None


def _sender(text: str) -> Address:
    probe = EmailMessage()
    try:
        probe["From"] = text
        addresses: tuple[Address, ...] = probe["From"].addresses
    except (MessageError, ValueError, IndexError):
        addresses = ()
    if len(addresses) != 1 or not addresses[0].domain:
        raise UnreadableError("MONEYBACK_MAIL_FROM is not one sender like: Refunds <refunds@example.com>.")
    return addresses[0]
