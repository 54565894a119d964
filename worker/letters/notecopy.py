"""What notes say, in English: the sentences are the keys of the catalogues."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.notes import NoteKind


class Page(StrEnum):
    """Where a link of a note leads."""

    OPEN = "open"
    LOOKUP = "/lookup"
    REFERENCES = "/lookup?ask=references"
    FORM = "/refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteCopy:
    """One note, in the order in which it is read; the purchases that it is about stand behind ``before``."""

    subject: str
    before: tuple[str, ...]
    ask: str | None = None
    button: tuple[str, Page] | None = None
    after: tuple[str, ...] = ()
    link: tuple[str, Page] | None = None
    foot: str


_ASKED = "This letter was written by a program, because somebody entered this e-mail address in our help centre."
_WROTE = "This letter was written by a program, in answer to an e-mail from this address."
_NOT_ME = "If you did not ask for this, you need not do anything: only this mailbox was told."

NOTES: Mapping[NoteKind, NoteCopy] = {
    NoteKind.PURCHASE: NoteCopy(
        subject="The link to your purchase",
        before=("Here is the link that you asked for. It opens once, within 30 minutes:",),
        button=("Show my purchase", Page.OPEN),
        after=(
            "It shows your licence key, your download and your invoice, and whom to ask for technical help.",
            "{contact}",
            _NOT_ME,
        ),
        link=("Ask for a new link", Page.LOOKUP),
        foot=_ASKED,
    ),
    NoteKind.REFERENCES: NoteCopy(
        subject="Your reference numbers",
        before=("These purchases were made with this e-mail address, the newest first:",),
        after=("With a reference number you can see your licence key and your invoice, or ask for a refund.", _NOT_ME),
        button=("Find a purchase", Page.LOOKUP),
        link=("Ask for a refund", Page.FORM),
        foot=_ASKED,
    ),
    NoteKind.NOTHING_FOUND: NoteCopy(
        subject="We could not find your purchase",
        before=(
            "Somebody entered this e-mail address to find a purchase. There is none with exactly these details.",
            (
                "The reference number is in the confirmation of your order. The e-mail address must be the one that you "
                "gave when you ordered; it may be another one than this."
            ),
        ),
        ask="Please try again with both:",
        button=("Find a purchase", Page.LOOKUP),
        after=(_NOT_ME,),
        link=("I do not have my reference number", Page.REFERENCES),
        foot=_ASKED,
    ),
    NoteKind.NO_REFERENCE: NoteCopy(
        subject="Which purchase is your e-mail about?",
        before=(
            "Thank you for your e-mail. It names no reference number that we can read, so nothing has been asked for yet.",
        ),
        ask="Please tell us in this form which purchase you want to have refunded:",
        button=("Ask for a refund", Page.FORM),
        after=("You can also answer this e-mail with the reference number: it is in the confirmation of your order.",),
        link=("I do not have my reference number", Page.REFERENCES),
        foot=_WROTE,
    ),
    NoteKind.TOO_LARGE: NoteCopy(
        subject="Your e-mail was too large",
        before=("We could not read your e-mail because it is too large, so nothing has been asked for yet.",),
        ask="Please send it again without attachments, or use this form:",
        button=("Ask for a refund", Page.FORM),
        foot=_WROTE,
    ),
}

PURCHASE = "{reference}, {seller}, {day}"
"""A purchase in one line behind its product."""

CONTACT = "Questions about the order? Please write to {address}."
