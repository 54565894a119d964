"""Refunds and disputes that a file of purchases reports in rows of their own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent:
    """A refund or a dispute of a payment that another row, another file or the API has reported."""

    seller: str
    reference: str
    """The reference of the purchase, if the row names the purchase."""
    provider: str
    charge: str
    """The payment, if the row names the payment; otherwise empty."""
    refunded: int = 0
    """The sum that went back to the customer, in minor units."""
    dispute: str | None = None
    is_returned: bool = False
    """True if money came back that a lost dispute had taken."""
    rows: int = 1
    refusal: str = ""
    """Why the row is refused if its purchase is unknown. If this is empty, the row is only counted."""
