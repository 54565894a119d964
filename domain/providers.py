"""What a payment provider is asked and what it may answer. "I don't know" is one of the answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from domain.money import Money


class Refusal(StrEnum):
    """Why a provider says no: each class has its own way on."""

    ALREADY_REFUNDED = "already_refunded"
    DISPUTED = "disputed"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Paid:
    """The provider carried the refund out."""

    refund_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider accepted the refund; whether it reaches the customer is known later."""

    refund_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider did not and will not carry this refund out. ``code`` is the provider's own word."""

    refusal: Refusal
    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The refund may or may not have been carried out: a timeout, a lost connection, a 5xx, an answer nobody can read."""

    why: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider answered that it knows no such refund."""


Answer = Paid | Pending | Declined | Unknown


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do for us, and until when."""

    keys_live: timedelta
    """How long the provider surely remembers an idempotency key; after it, the same key could pay again."""
    windows: Mapping[str, timedelta] = field(default_factory=dict)
    """How long after the charge a payment method can be refunded; a method that is not named has no limit we know."""


_WINDOWS: dict[tuple[str | None, str], timedelta] = {
    (None, "paypal"): timedelta(days=180),  # PayPal: "Issue a refund", 180 days
    ("stripe", "amazon_pay"): timedelta(days=90),  # Stripe: "Amazon Pay payments", refunds
}


def refund_window(capabilities: Capabilities | None, provider: str, method: str) -> timedelta | None:
    """How long after the charge this route refunds this method: what the adapter knows, else what we know of the method."""
    known = capabilities.windows.get(method) if capabilities else None
    return known or _WINDOWS.get((provider, method)) or _WINDOWS.get((None, method))


class PaymentProvider(Protocol):
    """One provider. Expected trouble is a value; an exception is a bug. Calls are made from several threads at once."""

    capabilities: Capabilities

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        """Refunds the whole charge. The same key never pays twice. There is no payee: money goes back where it came from."""
        ...

    def look_up(self, charge: str, *, key: str) -> Answer | Absent:
        """What became of the refund that was sent with this key, or, where the key is unknown, of this charge."""
        ...
