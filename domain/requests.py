"""What a customer asks for, whichever way it came in."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.purchases import reference_key
from domain.redaction import without_cards
from domain.refund_reasons import RefundReason


class Channel(StrEnum):
    """The way a request came in."""

    WEB = "web"
    API = "api"
    EMAIL = "email"
    QUEUE = "queue"


class RefundScope(StrEnum):
    """How much is asked for. Only the full amount is refunded without a person."""

    FULL = "full"
    PARTIAL = "partial"
    VAT = "vat"


_CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # control characters, broken halves of characters, line separators


def _text(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(unicodedata.category(char) in _CONTROL and char not in "\n\t" for char in text):
        raise ValueError("This text holds control characters. Please send plain text.")
    return text


def _one_line(text: str) -> str:
    """Copies out of mails bring spaces that do not break and characters of no width: they are not what is refused."""
    if any(unicodedata.category(char) in _CONTROL for char in text):
        raise ValueError("This text holds line breaks or control characters. Please send it as one plain line.")
    return text


def _comparable(reference: str) -> str:
    if not reference_key(reference):
        raise ValueError("This reference has no letter and no digit. It stands in the mail about the purchase.")
    return reference


def _address(text: str) -> str:
    try:
        validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"This is not an e-mail address: {error}") from None
    return text


_HOST = re.compile(r"[\w-]{2,}\.(?:[a-z]{2}(?![\w.])|(?:xn--)?[a-z0-9]{3,}(?!\w))|[\w-]\.[\w-]+/")


def _linkless(text: str) -> str:
    """We mail it back to whatever address was given: nobody shall send a stranger a link through us.

    Mail programs make a link of a bare host as well. Initials and titles are none: J.R. Tolkien, Dr.Grace Hopper.
    """
    if any(sign in text.lower() for sign in ("://", "www.", "@")) or _HOST.search(text):
        raise ValueError("This holds a link or an address.")
    return text


OneLine = AfterValidator(_one_line)
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=320), OneLine, AfterValidator(_address)]
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), OneLine, AfterValidator(_comparable)
]
_NoCards = AfterValidator(without_cards)
Comment = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000), AfterValidator(_text), _NoCards]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    OneLine,
    AfterValidator(_linkless),
    _NoCards,
]
Fact = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), OneLine, _NoCards]
Told = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1_000), AfterValidator(_text), _NoCards]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}$")]


class FormAnswers(BaseModel):
    """What a customer said to the questions that a person would ask about a partial or a VAT refund. All are optional."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=1_000)

    amount: Fact = Field("", description="how much is wanted back, in the customer's words", examples=["20.00 EUR"])
    items: Told = Field("", description="for which items of the purchase")
    vat_id: Fact = Field("", description="the VAT number of the customer's business", examples=["DE123456789"])
    exemption: Told = Field("", description="why no VAT is owed")


NO_ANSWERS = FormAnswers()


class RefundRequest(BaseModel):
    """What every way in asks for; strangers send it, so nothing unknown and nothing of a wrong type is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=4_000)

    email: Email = Field(description="the address the purchase was made with", examples=["ada@example.com"])
    reference: Reference = Field(description="the purchase's reference number", examples=["MB-2026-0417"])
    reason: RefundReason = Field(description="why the money is asked back")
    refund_scope: RefundScope = Field(RefundScope.FULL, description="only a full refund is made without a person")
    comment: Comment = Field("", description="anything the customer wants to add")
    locale: Locale = Field("en", description="the customer's language")
    answers: FormAnswers = Field(
        NO_ANSWERS,
        description="what a person would ask about a partial or a VAT refund",
        exclude_if=lambda answers: answers == NO_ANSWERS,  # a request without answers reads as before there were any
    )


class WithdrawalDeclaration(BaseModel):
    """A consumer's withdrawal from a contract, with no more than may be asked for (Directive 2011/83/EU, Article 11a)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    email: Email
    reference: Annotated[Reference, AfterValidator(_linkless)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedRequest:
    """A request as it stands in a case: the words, when and how they came, and whether the sender is known to be the customer."""

    refund_scope: RefundScope
    received_at: datetime
    channel: Channel
    trusted: bool
