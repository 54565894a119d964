"""Reading what the SDK made of Braintree's transactions, strictly: what is not whole must not pass for ours."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.money import CURRENCIES, Money
from domain.providers import DisputeSeen, Failed, Listed, Paid, Pending, Refusal, Standing
from worker.providers.braintree.client import GARBAGE
from worker.providers.braintree.codes import CODES, DISPUTES, STANDINGS
from worker.providers.disputes import decisive
from worker.providers.identifiers import as_bank_reference, is_word

_WHY = {
    "gateway_rejected": "gateway_rejection_reason",
    "processor_declined": "processor_response_code",
    "settlement_declined": "processor_settlement_response_code",
}
"""Where a transaction that failed so says why."""


@dataclass(frozen=True, slots=True)
class Refund:
    id: str
    charge: str
    amount: Money
    status: str
    code: str
    """Why it failed; its status, where nothing else is said."""
    at: datetime
    key: str | None
    bank_reference: str | None = None

    @property
    def standing(self) -> Standing:
        return STANDINGS[self.status]

    @property
    def refusal(self) -> Refusal:
        return CODES.get(self.code, Refusal.PERMANENT)

    def answer(self) -> Paid | Pending | Failed:
        match self.standing:
            case Standing.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case Standing.PENDING:
                return Pending(self.id, self.amount)
            case Standing.FAILED:
                return Failed(self.id, self.code, self.refusal)

    def listed(self) -> Listed:
        return Listed(self.id, self.charge, self.amount, self.standing, self.at, self.key)


def read_refund(transaction: Any) -> Refund | None:  # noqa: ANN401 - the SDK makes its attributes of whatever came
    try:
        status = transaction.status
        code = getattr(transaction, _WHY.get(status, "status"), None)
        refund = Refund(
            id=transaction.id,
            charge=transaction.refunded_transaction_id,
            amount=_money(transaction.amount, transaction.currency_iso_code),
            status=status,
            code=code if is_word(code) else status,
            at=transaction.created_at.replace(tzinfo=UTC),  # the SDK says it without one
            key=transaction.order_id if is_word(transaction.order_id) else None,
            bank_reference=as_bank_reference(getattr(transaction, "acquirer_reference_number", None)),
        )
        sound = transaction.type == "credit" and status in STANDINGS and refund.amount.minor > 0
    except GARBAGE:
        return None
    return refund if sound and is_word(refund.id) and is_word(refund.charge) else None


def read_disputes(transaction: Any) -> DisputeSeen | None:  # noqa: ANN401
    try:
        newest_first = sorted(transaction.disputes, key=lambda dispute: str(dispute.received_date), reverse=True)
        seen = [DisputeSeen(DISPUTES[dispute.status], dispute.id) for dispute in newest_first]
    except GARBAGE:
        return None
    return decisive(seen) if all(is_word(one.dispute_id) for one in seen) else None


def written(amount: Money) -> str:
    """An amount as Braintree wants it: the currency is the transaction's."""
    return str(amount).split()[0]


def _money(amount: Decimal, currency: str) -> Money:
    minor = amount.scaleb(CURRENCIES[currency])
    if minor != minor.to_integral_value():
        raise ValueError("An amount is a whole number of minor units.")
    return Money(int(minor), currency)
