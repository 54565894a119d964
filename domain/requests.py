"""Refund requests and statutory withdrawals, with the validation of their fields."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.purchases import email_key, reference_key, without_invisible
from domain.redaction import without_cards
from domain.refund_reasons import RefundReason


class Channel(StrEnum):
    """The channel through which a request was received."""

    WEB = "web"
    API = "api"
    EMAIL = "email"
    QUEUE = "queue"


class RefundScope(StrEnum):
    """The kind of refund that the customer requests. Support decides partial refunds and VAT refunds."""

    FULL = "full"
    PARTIAL = "partial"
    VAT = "vat"


_CONTROL_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}  # control characters, surrogates, line and paragraph separators


def _require_plain_text(text: str) -> str:
    """Return the text with normalised line breaks; raise ValueError for control characters, except line breaks and tabs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(unicodedata.category(char) in _CONTROL_CATEGORIES and char not in "\n\t" for char in text):
        raise ValueError("This text contains control characters. Send plain text.")
    return text


def _require_one_line(text: str) -> str:
    """Return the text; raise ValueError if it has line breaks or control characters.

    No-break spaces and zero-width characters are allowed, because text that is copied from e-mails contains them.
    """
    if not text.isprintable() and any(unicodedata.category(char) in _CONTROL_CATEGORIES for char in text):
        raise ValueError("This text contains line breaks or control characters. Send it as one line of plain text.")
    return text


def _require_comparable(reference: str) -> str:
    """Return the reference; raise ValueError if its ``reference_key`` is empty, because it then matches no purchase."""
    if not reference_key(reference):
        raise ValueError("This reference has no letter and no digit. Copy it from the e-mail about the purchase.")
    return reference


_PLAIN_EMAIL = re.compile(
    r"(?=.{6,64}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    rf"(?!(?:{'|'.join(name.rpartition('.')[2] for name in SPECIAL_USE_DOMAIN_NAMES)})\Z)[a-z]{{2,}}",
    re.IGNORECASE | re.ASCII,
)
"""The form of most e-mail addresses. Each address of this form is valid: it is too short to exceed a limit of length."""


def _require_email(text: str) -> str:
    """Return the text without needless invisible characters; raise ValueError if it is not an e-mail address.

    No DNS lookup is made.
    """
    if _PLAIN_EMAIL.fullmatch(text):  # because validate_email() takes half of the time of an import
        return text
    try:
        validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        visible = without_invisible(text).strip()
        if visible != text and email_key(visible) == email_key(text):  # some scripts need a zero-width joiner
            return _require_email(visible)
        raise ValueError(f"This is not an e-mail address: {error}") from None
    return text


_LINKED_HOST = re.compile(r"[\w-]{2,}\.(?:[a-z]{2}(?![\w.])|(?:xn--)?[a-z0-9]{3,}(?!\w))|[\w-]\.[\w-]+/")


def _require_no_link(text: str) -> str:
    """Return the text; raise ValueError if it contains a link or an address.

    Anyone can enter the text and an e-mail address, and Moneyback e-mails the text to this address. If links were allowed, a
    stranger could send spam through our mail server. A host name also counts as a link, because mail programs show host names
    as links. Initials and titles are allowed, such as J.R. Tolkien and Dr.Grace Hopper.
    """
    if any(sign in text.lower() for sign in ("://", "www.", "@")) or _LINKED_HOST.search(text):
        raise ValueError("This text contains a link or an address. Remove it.")
    return text


OneLine = AfterValidator(_require_one_line)
Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=320), OneLine, AfterValidator(_require_email)
]
Reference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    OneLine,
    AfterValidator(_require_comparable),
]
_NoCards = AfterValidator(without_cards)
Comment = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=4_000), AfterValidator(_require_plain_text), _NoCards
]
RequiredComment = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000),
    AfterValidator(_require_plain_text),
    _NoCards,
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    OneLine,
    AfterValidator(_require_no_link),
    _NoCards,
]
ShortText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), OneLine, _NoCards]
LongText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=1_000), AfterValidator(_require_plain_text), _NoCards
]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}$")]


class FormAnswers(BaseModel):
    """The answers to the questions about a partial refund or a VAT refund. All answers are optional."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=1_000)

    amount: ShortText = Field(
        "", description="the amount that the customer wants back, in the customer's words", examples=["20.00 EUR"]
    )
    items: LongText = Field("", description="the items of the purchase that the refund is for")
    vat_id: ShortText = Field("", description="the VAT number of the customer's business", examples=["DE123456789"])
    exemption: LongText = Field("", description="why the customer owes no VAT")


NO_ANSWERS = FormAnswers()


class RefundRequest(BaseModel):
    """A refund request, as every channel accepts it. Unknown fields and wrong types are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=4_000)

    email: Email = Field(description="the e-mail address of the purchase", examples=["ada@example.com"])
    reference: Reference = Field(description="the purchase's reference number", examples=["MB-2026-0417"])
    reason: RefundReason = Field(description="why the customer wants a refund")
    refund_scope: RefundScope = Field(
        RefundScope.FULL, description="what the customer wants back; only full refunds are automatic"
    )
    comment: Comment = Field("", description="a comment of the customer")
    locale: Locale = Field("en", description="the customer's language")
    answers: FormAnswers = Field(
        NO_ANSWERS,
        description="what support needs to know about a partial refund or a VAT refund",
        # The JSON of a request is hashed. Requests without answers must have the same hash as before this field was added.
        exclude_if=lambda answers: answers == NO_ANSWERS,
    )


class WithdrawalDeclaration(BaseModel):
    """A statutory withdrawal, with the only data that the law lets us require (Directive 2011/83/EU, Article 11a)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    email: Email
    reference: Annotated[Reference, AfterValidator(_require_no_link)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedRequest:
    """The fields that the rules read from a request. ``trusted`` is True if the sender is known to be the customer."""

    refund_scope: RefundScope
    charged_twice: bool = False
    """True if the customer says that the order was charged twice."""
    received_at: datetime
    channel: Channel
    trusted: bool
