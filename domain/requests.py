"""What a customer asks for, whichever way it came in."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from domain.reasons import Reason


class Channel(StrEnum):
    """The way a request came in."""

    WEB = "web"
    API = "api"
    EMAIL = "email"
    QUEUE = "queue"


class Wish(StrEnum):
    """How much is asked for. Only the full amount is refunded without a person."""

    FULL = "full"
    PARTIAL = "partial"
    VAT = "vat"


def _printable(text: str) -> str:
    if not all(char.isprintable() or char in "\n\t" for char in text):
        raise ValueError("This text holds control characters. Please send plain text.")
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("This text holds line breaks or control characters. Please send it as one plain line.")
    return text


def _address(text: str) -> str:
    try:
        validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"This is not an e-mail address: {error}") from None
    return text


Line = Annotated[str, AfterValidator(_one_line)]
Email = Annotated[Line, StringConstraints(strip_whitespace=True, max_length=320), AfterValidator(_address)]
Reference = Annotated[Line, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Comment = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000), AfterValidator(_printable)]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}$")]


class RefundRequest(BaseModel):
    """What every way in asks for; strangers send it, so nothing unknown and nothing of a wrong type is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=4_000)

    email: Email = Field(description="the address the purchase was made with", examples=["ada@example.com"])
    reference: Reference = Field(description="the purchase's reference number", examples=["MB-2026-0417"])
    reason: Reason = Field(description="why the money is asked back")
    wish: Wish = Field(Wish.FULL, description="only a full refund is made without a person")
    comment: Comment = Field("", description="anything the customer wants to add")
    locale: Locale = Field("en", description="the customer's language")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it stands in a case: the words, when and how they came, and whether the sender is known to be the customer."""

    wish: Wish
    at: datetime
    channel: Channel
    trusted: bool
