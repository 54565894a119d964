"""Refunds and disputes as Stripe writes them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from domain.money import Money, UnknownMoneyError
from domain.providers import DisputeSeen, Elsewhere, Failed, Listed, Paid, Pending, Refusal, Standing
from worker.providers.identifiers import as_bank_reference, is_word
from worker.providers.stripe.amounts import from_stripe
from worker.providers.stripe.codes import CODES, DISPUTES, STANDINGS

KEY = "moneyback_key"
"""The name in a refund's metadata under which our key is kept: Stripe forgets idempotency keys after a day."""
CHARGE = "moneyback_charge"
"""And the name by which we asked for the refund."""


class Refund(NamedTuple):
    """A payment has two names there, the charge's and its intent's; a purchase may carry either."""

    id: str
    charge: str | None
    intent: str | None
    amount: Money
    standing: Standing
    word: str
    """Why it failed; the status itself, where nothing says why."""
    key: str | None
    asked: str | None
    created: datetime
    waits: bool
    """For the seller's balance."""
    bank_reference: str | None

    def answer(self) -> Paid | Pending | Failed:
        return _ANSWERS[self.standing](self)

    def elsewhere(self) -> Elsewhere:
        return Elsewhere(self.id, self.amount)

    def listed(self) -> list[Listed]:
        """Under the name that we asked by. One that we did not make, under both: whose purchase it is, we are to find out."""
        names = [name for name in (self.charge, self.intent) if name is not None]
        return [
            Listed(self.id, name, self.amount, self.standing, self.created, self.key)
            for name in ([self.asked] if self.asked in names else names)
        ]


_ANSWERS: dict[Standing, Callable[[Refund], Paid | Pending | Failed]] = {
    Standing.PAID: lambda refund: Paid(refund.id, refund.amount, refund.bank_reference),
    Standing.PENDING: lambda refund: Pending(refund.id, refund.amount, refund.waits),
    Standing.FAILED: lambda refund: Failed(refund.id, refund.word, CODES.get(refund.word, Refusal.PERMANENT)),
}


def read_refund(row: dict[str, Any]) -> Refund | None:
    """Strict, because a refund of another amount or charge must not pass for ours."""
    metadata = row.get("metadata") or {}
    try:
        refund = Refund(
            id=row["id"],
            charge=row.get("charge"),
            intent=row.get("payment_intent"),
            amount=from_stripe(row["amount"], row["currency"]),
            standing=STANDINGS[row["status"]],
            word=row.get("failure_reason") or row["status"],
            key=metadata.get(KEY),
            asked=metadata.get(CHARGE),
            created=_instant(row["created"]),
            waits=row.get("pending_reason") == "insufficient_funds",
            bank_reference=_bank_reference(row.get("destination_details")),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError, UnknownMoneyError):
        return None
    names = [name for name in (refund.charge, refund.intent) if name is not None]
    sound = (
        row.get("object") == "refund"
        and names
        and all(map(is_word, (refund.id, refund.word, *names)))
        and type(refund.key) in {str, type(None)}
    )
    return refund if sound else None


def read_dispute(row: dict[str, Any]) -> DisputeSeen | None:
    status, dispute_id = row.get("status"), row.get("id")
    known = type(status) is str and status in DISPUTES and is_word(dispute_id)
    return DisputeSeen(DISPUTES[str(status)], str(dispute_id)) if known else None


def is_about(row: dict[str, Any], charge: str) -> bool:
    """Whether a row of Stripe's, a refund or a dispute, is about the payment of this name."""
    return charge in (row.get("charge"), row.get("payment_intent"))


def _bank_reference(details: Any) -> str | None:  # noqa: ANN401 - whatever came
    """Stripe's "Refunds", destination_details: by the kind of destination, once it is "available" (up to seven days later)."""
    kind = details.get("type") if type(details) is dict else None
    told = details.get(kind) if type(details) is dict and type(kind) is str else None
    if type(told) is not dict or told.get("reference_status") != "available":
        return None
    return as_bank_reference(told.get("reference"))


def _instant(seconds: object) -> datetime:
    if type(seconds) is not int:
        raise TypeError
    return datetime.fromtimestamp(seconds, UTC)
