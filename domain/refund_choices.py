"""Distributes what support approved over the payments of a purchase."""

from dataclasses import replace

from domain.errors import NotRefundableError
from domain.money import Money
from domain.purchases import Purchase
from domain.refund_approvals import ApprovedRefund
from domain.refund_parts import RefundedParts, amount_of_items, left_of_purchase, split, tax_of, tax_of_items
from domain.requests import RefundScope
from domain.support_decisions import ApprovedAmount


def choose_refunds(purchase: Purchase, approved: ApprovedAmount, refunded: RefundedParts) -> tuple[ApprovedRefund, ...]:
    """Return the refunds of the payments of this purchase, whose sum is the approved amount.

    ``refunded`` are the parts that were refunded before. Raise NotRefundableError if the amount is not known, or
    if less than the amount is left of the chosen payments.
    """
    chosen = _with_chosen_payments(purchase, approved)
    return split(_amount_of(chosen, approved, refunded), chosen)


def _with_chosen_payments(purchase: Purchase, approved: ApprovedAmount) -> Purchase:
    if not approved.payments:
        return purchase
    by_id = {payment.id: payment for payment in purchase.payments}
    chosen = dict.fromkeys((payment.provider, payment.charge) for payment in approved.payments)
    if unknown := next((id_ for id_ in chosen if id_ not in by_id), None):
        raise NotRefundableError(
            f"The purchase {purchase.reference} has no payment {unknown[1]} at {unknown[0]}. Choose one of its payments."
        )
    return replace(purchase, payments=tuple(by_id[id_] for id_ in chosen))


def _amount_of(purchase: Purchase, approved: ApprovedAmount, refunded: RefundedParts) -> Money:
    """Return the amount that the decision means."""
    if approved.money:
        return approved.money
    items = {item.id: item.quantity for item in approved.items}
    if approved.scope is RefundScope.VAT:
        return tax_of_items(purchase, items, refunded) if items else tax_of(purchase, refunded)
    return amount_of_items(purchase, items, refunded) if items else left_of_purchase(purchase)
