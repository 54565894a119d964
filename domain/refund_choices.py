"""Distributes what support approved over the payments of a purchase."""

from collections.abc import Iterator, Sequence

from domain.errors import NotPossibleError
from domain.money import Money
from domain.purchases import Payment, Purchase
from domain.refund_approvals import ApprovedRefund
from domain.requests import RefundScope
from domain.support_decisions import ApprovedAmount


def choose_refunds(purchase: Purchase, approved: ApprovedAmount) -> tuple[ApprovedRefund, ...]:
    """Return the refunds of the payments of this purchase, whose sum is the approved amount.

    The payments are refunded in the order in which the seller reports them. Raise NotPossibleError if the payments have less
    money left, or no common currency.
    """
    payments = _chosen_payments(purchase, approved)
    currencies = {payment.currency for payment in payments}
    if len(currencies) != 1 or any(payment.amount is None or payment.amount <= 0 for payment in payments):
        raise NotPossibleError("The payments have no common currency, or an amount is not known. Choose one payment.")
    left = Money(sum(map(_left_of, payments)), currencies.pop() or "")
    wanted = _wanted(purchase, approved, left)
    if wanted.currency != left.currency:
        raise NotPossibleError(
            f"The payments are in {left.currency}, so a refund in {wanted.currency} is not possible."
        )
    if not 0 < wanted.minor <= left.minor:
        raise NotPossibleError(f"The refund of {wanted} is not possible, because {left} of the payments is left.")
    return tuple(_distribute(payments, wanted))


def _chosen_payments(purchase: Purchase, approved: ApprovedAmount) -> Sequence[Payment]:
    if not approved.payments:
        return purchase.payments
    by_id = {payment.id: payment for payment in purchase.payments}
    chosen = [(payment.provider, payment.charge) for payment in approved.payments]
    if unknown := next((id_ for id_ in chosen if id_ not in by_id), None):
        raise NotPossibleError(f"The purchase has no payment {unknown[1]} at {unknown[0]}.")
    return [by_id[id_] for id_ in dict.fromkeys(chosen)]


def _wanted(purchase: Purchase, approved: ApprovedAmount, left: Money) -> Money:
    """Return the amount that the decision means."""
    if approved.money:
        return approved.money
    if approved.scope is RefundScope.VAT:
        if purchase.tax is None:
            raise NotPossibleError("The seller does not report the tax of this purchase. Enter the amount of the tax.")
        return Money(purchase.tax, left.currency)
    return left


def _left_of(payment: Payment) -> int:
    """Return what is left of a payment, in minor units."""
    return max(0, (payment.amount or 0) - payment.refunded)


def _distribute(payments: Sequence[Payment], wanted: Money) -> Iterator[ApprovedRefund]:
    rest = wanted.minor
    for payment in payments:
        part = min(rest, _left_of(payment))
        rest -= part
        if part:
            yield ApprovedRefund(*payment.id, Money(part, wanted.currency), payment.refunded)
