"""The decisions that support makes about a case, as the desk, the API and the queue send them."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from domain.money import CURRENCIES, Money
from domain.reason_codes import ReasonCode
from domain.requests import LongText, OneLine, Reference, RefundScope, RequiredComment

OVERRULABLE = frozenset(
    {
        ReasonCode.FULL_REFUND_ONLY,
        ReasonCode.SELF_SERVICE_OFF,
        ReasonCode.NO_POLICY,
        ReasonCode.APPROVAL_REQUIRED,
        ReasonCode.IN_HOUSE_SUPPORT,
        ReasonCode.NO_REFUNDS,
        ReasonCode.METHOD_NOT_AUTOMATIC,
        ReasonCode.OUTSIDE_WINDOW,
        ReasonCode.PURCHASE_IN_FUTURE,
        ReasonCode.ALREADY_REFUNDED,
        ReasonCode.INQUIRY_OPEN,
        ReasonCode.PRODUCT_EXCLUDED,
        ReasonCode.RENEWAL_EXCLUDED,
        ReasonCode.OVER_CEILING,
        ReasonCode.SERIAL_REFUNDS,
    }
)
"""The codes of the rules that a person may overrule.

No person overrules an open or lost dispute, because the bank has taken the money back, the end of the provider's refund window,
because the provider refuses the refund, or an invalid amount.
"""


class DecisionAction(StrEnum):
    """What a person of support decides."""

    APPROVE = "approve"
    DECLINE = "decline"
    ASK = "ask"
    REFUNDED_ELSEWHERE = "refunded_elsewhere"
    RECORD_OUTCOME = "record_outcome"
    REMATCH = "rematch"
    CLOSE = "close"


class DecisionStatus(StrEnum):
    """The status of a decision."""

    PROPOSED = "proposed"
    """The decision waits until a second person confirms or rejects it."""
    APPLIED = "applied"
    """The decision is in the history of the case."""
    REJECTED = "rejected"
    """A second person rejected the decision."""
    UNDONE = "undone"
    """The person took the decision back before the refund was sent."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), OneLine]


class ApprovedPayment(_Part):
    """A payment of the purchase: the provider, and the provider's id of the payment."""

    provider: Code
    charge: Code


class ApprovedItem(_Part):
    """A number of units of an item of the purchase."""

    id: Code
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = 1


def _check_money(amount: int | None, currency: str | None) -> None:
    if (amount is None) != (currency is None):
        raise ValueError("Send “amount” and “currency” together, or neither of them.")
    if currency is not None and currency not in CURRENCIES:
        raise ValueError(f"{currency} is not a currency of ISO 4217.")


class ApprovedAmount(_Part):
    """The amount to refund: all that is left, a part, or the tax."""

    scope: RefundScope
    amount: Annotated[int, Field(strict=True, gt=0, lt=2**63)] | None = Field(
        None, description="in minor units of the currency, such as 1999 for 19.99 EUR"
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    items: tuple[ApprovedItem, ...] = Field((), max_length=1_000)
    payments: tuple[ApprovedPayment, ...] = Field(
        (), max_length=100, description="the payments to refund; without payments, all payments of the purchase"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_money(self.amount, self.currency)
        if self.scope is RefundScope.FULL and (self.amount is not None or self.items):
            raise ValueError("A full refund has no “amount” and no “items”. Use the scope “partial” for a part.")
        if self.scope is RefundScope.PARTIAL and (self.amount is not None) == bool(self.items):
            raise ValueError("A partial refund has either “amount” and “currency”, or “items”.")
        return self

    @property
    def money(self) -> Money | None:
        """The amount as money; None if the amount follows from the purchase."""
        return None if self.amount is None or self.currency is None else Money(self.amount, self.currency)


RequiredText = Annotated[LongText, Field(min_length=1)]


class Approve(_Part):
    """Approve a refund. Each rule that the request breaks must be named in ``overrules``, and needs a ``reason``."""

    action: Literal[DecisionAction.APPROVE]
    refund: ApprovedAmount
    overrules: tuple[ReasonCode, ...] = Field((), description="the codes of the rules that the person overrules")
    reason: LongText = Field("", description="why the rules are overruled; the customer does not read it")
    message: LongText = Field("", description="a text for the customer, in the e-mail about the refund")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if forbidden := sorted(set(self.overrules) - OVERRULABLE):
            raise ValueError(f"Nobody can overrule {', '.join(forbidden)}.")
        if self.overrules and not self.reason:
            raise ValueError("Say in “reason” why the rules are overruled.")
        return self


class Decline(_Part):
    """Decline the refund, with a text that the customer reads."""

    action: Literal[DecisionAction.DECLINE]
    message: RequiredText


class Ask(_Part):
    """Ask the customer a question. The case stays with support."""

    action: Literal[DecisionAction.ASK]
    message: RequiredText


class RefundedElsewhere(_Part):
    """Record that the customer already has the money, in a way that Moneyback does not see, such as a bank transfer.

    The amount counts as refunded. A refund in the dashboard of a connected payment provider counts by itself.
    """

    action: Literal[DecisionAction.REFUNDED_ELSEWHERE]
    amount: Annotated[int, Field(strict=True, gt=0, lt=2**63)] | None = Field(
        None, description="in minor units of the currency; without an amount, all that is left of the purchase"
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    reason: RequiredText = Field(description="how and when the money was sent")
    message: LongText = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_money(self.amount, self.currency)
        return self

    @property
    def money(self) -> Money | None:
        """The amount as money; None if it is all that is left."""
        return None if self.amount is None or self.currency is None else Money(self.amount, self.currency)


class RecordOutcome(_Part):
    """Record what the provider's records show about the refund of this case whose outcome is unknown.

    A second person must always confirm it. If the refund was made, it counts as paid. If it was certainly not made, the payment
    can be refunded again.
    """

    action: Literal[DecisionAction.RECORD_OUTCOME]
    was_made: bool = Field(description="whether the provider made the refund")
    refund_id: Code | None = Field(None, description="the provider's id of the refund; needed if it was made")
    reason: RequiredText = Field(description="who saw what, where and when")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.was_made != (self.refund_id is not None):
            raise ValueError("Send “refund_id” if the refund was made, and only then.")
        return self


class Rematch(_Part):
    """Name the purchase that the request is about. The rules then evaluate the request again."""

    action: Literal[DecisionAction.REMATCH]
    reference: Reference = Field(description="the reference of the purchase, exactly as its seller reports it")
    seller: Code | None = Field(None, description="the seller of the purchase, if the case has no seller")
    reason: RequiredText = Field(description="how the customer was recognised as the buyer")


class Close(_Part):
    """Close the case without an e-mail to the customer, for example because the request is spam."""

    action: Literal[DecisionAction.CLOSE]
    reason: RequiredText


Decision = Annotated[
    Approve | Decline | Ask | RefundedElsewhere | RecordOutcome | Rematch | Close, Field(discriminator="action")
]


class Answer(_Part):
    """What the customer answers to a question of support, or writes about a case that is with support."""

    text: RequiredComment = Field(description="the text of the customer")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedBy:
    """The person or the program that makes a decision."""

    id: str
    """``user:<id>``, ``api_key:<id>`` or ``queue:<source>``. Two decisions with the same id come from the same person."""
    name: str
    """The name that other people of support read."""


def digest_of(decision: BaseModel) -> bytes:
    """Return the SHA-256 of the decision. With the same idempotency key, only the same decision is accepted again."""
    return hashlib.sha256(decision.model_dump_json().encode()).digest()
