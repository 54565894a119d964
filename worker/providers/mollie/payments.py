"""Parses Mollie's payments strictly, so that no refund and no chargeback of a payment is overlooked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.money import Money
from domain.providers import DisputeStatus, PaymentStatus, RefundStatus
from domain.purchases import Dispute
from worker.providers.identifiers import is_identifier
from worker.providers.mollie.amounts import parse_amount
from worker.providers.mollie.codes import METHODS, PAYMENT_STATUSES, REFUND_STATUSES
from worker.providers.mollie.resources import (
    PARSE_ERRORS,
    Chargeback,
    decide_dispute,
    parse_chargeback,
)

EMBEDS = "refunds,chargebacks"
"""The value of the parameter ``embed`` with which one call shows a payment, its refunds and its chargebacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment, with the refunds and chargebacks that the reply embeds. A list of payments embeds none."""

    id: str
    status: str
    captured: Money | None
    """What the customer paid. None if the customer has not paid."""
    refunded: int
    is_charged_back: bool
    method: str | None
    chargebacks: Sequence[Chargeback]
    row: Mapping[str, Any] = field(repr=False)
    """Mollie's JSON, with what only a purchase needs."""

    @property
    def metadata(self) -> object:
        """The seller's own data: an object, a text, or None."""
        return self.row.get("metadata")

    @property
    def dispute(self) -> DisputeStatus:
        """The chargeback that decides. Without embedded chargebacks, a payment with a charged back amount counts as lost."""
        if self.is_charged_back and not self.chargebacks:
            return DisputeStatus(Dispute.LOST)
        return decide_dispute(self.chargebacks)

    def payment_status(self, *, seller: str | None) -> PaymentStatus:
        """Return the payment as a worker compares it with the order."""
        return PaymentStatus(
            captured=self.captured,
            refunded=self.refunded,
            dispute=self.dispute,
            method=self.method,
            seller=seller,
            code=self.status,
        )


def parse_payment(row: Any) -> Payment | None:  # noqa: ANN401 - Mollie's JSON may be anything
    """Return the payment, or None if a field is missing or wrong.

    The greater of two sums of refunds counts, because ``amountRefunded`` may lack a refund that waits.
    If an embedded chargeback cannot be read, the payment cannot be read either, because the bank may have taken the money.
    """
    try:
        embedded = row.get("_embedded") or {}
        chargebacks = [parse_chargeback(chargeback) for chargeback in embedded.get("chargebacks") or []]
        payment = Payment(
            id=row["id"],
            status=row["status"],
            captured=_parse_captured(row),
            refunded=max(_parse_minor(row.get("amountRefunded")), _add_refunds(embedded.get("refunds") or [])),
            is_charged_back=_parse_minor(row.get("amountChargedBack")) != 0,
            method=_parse_method(row),
            chargebacks=[chargeback for chargeback in chargebacks if chargeback],
            row=row,
        )
    except PARSE_ERRORS:
        return None
    is_complete = all(chargeback and chargeback.charge == payment.id for chargeback in chargebacks)
    return payment if is_complete and is_identifier(payment.id) else None


def _parse_captured(row: dict[str, Any]) -> Money | None:
    """Return what the customer paid. ``amountCaptured`` is less than ``amount`` if only a part of a reservation was captured."""
    captured = parse_amount(row.get("amountCaptured") or row["amount"])
    return captured if PAYMENT_STATUSES[row["status"]] else None


def _parse_minor(amount: dict[str, Any] | None) -> int:
    return parse_amount(amount).minor if amount else 0


def _add_refunds(refunds: Sequence[Mapping[str, Any]]) -> int:
    """Return the sum of the refunds that did not fail. A refund with an unknown status counts, because it may be paid."""
    live_refunds = [refund for refund in refunds if REFUND_STATUSES.get(refund["status"]) is not RefundStatus.FAILED]
    return sum(parse_amount(refund["amount"]).minor for refund in live_refunds)


def _parse_method(row: dict[str, Any]) -> str | None:
    """Return the payment method in Moneyback's words. A card in a wallet has the method of the wallet."""
    wallet = (row.get("details") or {}).get("wallet")
    method = wallet if wallet in METHODS else row.get("method")
    return METHODS.get(method, method) if is_identifier(method) else None
