"""A refund as the sandbox writes it down."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from domain.money import Money, UnknownMoneyError
from domain.providers import Elsewhere, Failed, Listed, Paid, Pending, Standing
from worker.providers.identifiers import as_bank_reference, is_word

STANDINGS = {"succeeded": Standing.PAID, "pending": Standing.PENDING, "failed": Standing.FAILED}
_ANSWERS: dict[Standing, Callable[["Refund"], Paid | Pending | Failed]] = {
    Standing.PAID: lambda refund: Paid(refund.id, refund.amount, refund.bank_reference),
    Standing.PENDING: lambda refund: Pending(refund.id, refund.amount),
    Standing.FAILED: lambda refund: Failed(refund.id, "failed"),
}


class Refund(NamedTuple):
    """One refund of the sandbox's books; ``created`` is missing where a sandbox does not say it."""

    id: str
    charge: str
    amount: Money
    standing: Standing
    key: str
    created: datetime | None
    bank_reference: str | None = None

    def answer(self) -> Paid | Pending | Failed:
        return _ANSWERS[self.standing](self)

    def elsewhere(self) -> Elsewhere:
        return Elsewhere(self.id, self.amount)

    def listed(self) -> Listed | None:
        """As reconciliation reads it; None where nobody says when it was made."""
        if self.created is None:
            return None
        return Listed(self.id, self.charge, self.amount, self.standing, self.created, self.key)


def read_refund(row: dict[str, Any]) -> Refund | None:
    """Strict, because a refund of another amount or charge must not pass for ours."""
    try:
        refund = Refund(
            row["id"],
            row["charge"],
            Money(row["amount"], row["currency"]),
            STANDINGS[row["status"]],
            row["key"],
            _instant(row.get("created")),
            as_bank_reference(row.get("bank_reference")),
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError, UnknownMoneyError):
        return None
    sound = is_word(refund.id) and type(refund.charge) is type(refund.key) is str and refund.amount.minor > 0
    return refund if sound else None


def _instant(seconds: object) -> datetime | None:
    if seconds is None:
        return None
    if type(seconds) not in {int, float}:
        raise TypeError
    return datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]
