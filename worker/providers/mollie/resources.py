"""Reading what Mollie says of refunds and chargebacks, strictly: what is not whole must not pass for ours."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.money import Money
from domain.providers import Failed, Listed, Paid, Pending, Standing
from domain.purchases import Dispute
from worker.providers.identifiers import as_bank_reference, is_word
from worker.providers.mollie.codes import SHORT, STANDINGS

KEY = "moneyback_key"  # where our key is in a refund's metadata


@dataclass(frozen=True, slots=True)
class Refund:
    id: str
    charge: str
    amount: Money
    status: str
    at: datetime
    key: str | None
    bank_reference: str | None = None

    @property
    def standing(self) -> Standing:
        return STANDINGS[self.status]

    def answer(self) -> Paid | Pending | Failed:
        match self.standing:
            case Standing.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case Standing.PENDING:
                return Pending(self.id, self.amount, short_of_balance=self.status == SHORT)
            case Standing.FAILED:
                return Failed(self.id, self.status)

    def listed(self) -> Listed:
        return Listed(self.id, self.charge, self.amount, self.standing, self.at, self.key)


@dataclass(frozen=True, slots=True)
class Chargeback:
    id: str
    charge: str
    at: datetime
    dispute: Dispute


def read_refund(row: Any) -> Refund | None:  # noqa: ANN401 - whatever came
    try:
        refund = Refund(
            id=row["id"],
            charge=row["paymentId"],
            amount=Money.parse(row["amount"]["value"], row["amount"]["currency"]),
            status=row["status"],
            at=_instant(row["createdAt"]),
            key=_key(row.get("metadata")),
            bank_reference=_bank_reference(row.get("externalReference")),
        )
        sound = refund.status in STANDINGS and refund.amount.minor > 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if sound and is_word(refund.id) and is_word(refund.charge) else None


def read_chargeback(row: Any) -> Chargeback | None:  # noqa: ANN401 - whatever came
    """Mollie takes the money at once, so a chargeback is lost until it is reversed ("Chargebacks API")."""
    try:
        dispute = Dispute.WON if row.get("reversedAt") else Dispute.LOST
        chargeback = Chargeback(row["id"], row["paymentId"], _instant(row["createdAt"]), dispute)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return chargeback if is_word(chargeback.id) else None


def written(amount: Money) -> dict[str, str]:
    """An amount as Mollie wants it: a string with the decimals that the currency has."""
    value, currency = str(amount).split()
    return {"currency": currency, "value": value}


def _key(metadata: object) -> str | None:
    key = metadata.get(KEY) if isinstance(metadata, dict) else None
    return key if is_word(key) else None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("An instant says which zone it is in.")
    return instant


def _bank_reference(told: Any) -> str | None:  # noqa: ANN401 - whatever came
    """docs.mollie.com, "Get payment refund", externalReference: of cards, the acquirer's."""
    of_cards = type(told) is dict and told.get("type") == "acquirer-reference"
    return as_bank_reference(told.get("id")) if of_cards else None
