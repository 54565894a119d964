"""The English texts of the inquiry e-mails. Each sentence is a key of the translation catalogues."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.inquiry_emails import InquiryEmailKind


class Page(StrEnum):
    """The page that a link of an inquiry e-mail opens."""

    OPEN = "open"
    LOOKUP = "/lookup"
    REFERENCES = "/lookup?ask=references"
    FORM = "/refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryCopy:
    """The texts of an inquiry e-mail, from top to bottom. If the e-mail lists purchases, the list comes after ``before``."""

    subject: str
    before: tuple[str, ...]
    ask: str | None = None
    button: tuple[str, Page] | None = None
    after: tuple[str, ...] = ()
    link: tuple[str, Page] | None = None
    foot: str


_FOOT_OF_LOOKUP = "This is an automatic email. Someone entered your address in our help centre."
_FOOT_OF_REPLY = "This is an automatic reply to an email from this address."
_NOT_REQUESTED = "Didn’t request this? You can ignore this email."

INQUIRIES: Mapping[InquiryEmailKind, InquiryCopy] = {
    InquiryEmailKind.PURCHASE: InquiryCopy(
        subject="The link to your purchase",
        before=("Here’s the link you requested. It works once, for 30 minutes:",),
        button=("Show my purchase", Page.OPEN),
        after=(
            "It shows your licence key, download and invoice, and who to contact for technical help.",
            "{contact}",
            _NOT_REQUESTED,
        ),
        link=("Request a new link", Page.LOOKUP),
        foot=_FOOT_OF_LOOKUP,
    ),
    InquiryEmailKind.REFERENCES: InquiryCopy(
        subject="Your reference numbers",
        before=("Purchases made with this email address, newest first:",),
        after=(
            "With a reference number, you can see your licence key and invoice, or request a refund.",
            _NOT_REQUESTED,
        ),
        button=("Find a purchase", Page.LOOKUP),
        link=("Request a refund", Page.FORM),
        foot=_FOOT_OF_LOOKUP,
    ),
    InquiryEmailKind.NOTHING_FOUND: InquiryCopy(
        subject="We couldn’t find your purchase",
        before=(
            "Someone entered this email address to find a purchase. No purchase matches exactly these details.",
            (
                "The reference number is in your order confirmation. Use the email address you gave when you "
                "ordered, even if it’s not this one."
            ),
        ),
        ask="Please try again with the reference number and that email address:",
        button=("Find a purchase", Page.LOOKUP),
        after=(_NOT_REQUESTED,),
        link=("I don’t have my reference number", Page.REFERENCES),
        foot=_FOOT_OF_LOOKUP,
    ),
    InquiryEmailKind.NO_REFERENCE: InquiryCopy(
        subject="Which purchase is your email about?",
        before=(
            "Thank you for your email. We couldn’t find a reference number in it, so no refund has been requested yet.",
        ),
        ask="Please use this form to tell us which purchase you’d like refunded:",
        button=("Request a refund", Page.FORM),
        after=("You can also reply to this email with the reference number from your order confirmation.",),
        link=("I don’t have my reference number", Page.REFERENCES),
        foot=_FOOT_OF_REPLY,
    ),
    InquiryEmailKind.TOO_LARGE: InquiryCopy(
        subject="Your email was too large",
        before=("We couldn’t read your email because it’s too large, so no refund has been requested yet.",),
        ask="Please send it again without attachments, or use this form:",
        button=("Request a refund", Page.FORM),
        foot=_FOOT_OF_REPLY,
    ),
}

PURCHASE = "{reference}, {seller}, {day}"
"""The details of a purchase in the list. The name of the product comes before this text."""

CONTACT = "Questions about your purchase? Please email {address}."
