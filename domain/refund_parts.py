"""The parts of a purchase that support can refund, as amounts of money, and as refunds of the payments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.errors import NotRefundableError
from domain.money import CURRENCIES, Money, UnknownMoneyError
from domain.purchases import Payment, Purchase, PurchaseItem
from domain.refund_approvals import ApprovedRefund

Quantities = Mapping[str, int]
"""Quantities of items by the id of the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundedParts:
    """What support refunded of a purchase before, or is refunding."""

    items: Quantities = field(default_factory=dict)
    """The quantities of items that were refunded."""
    items_tax: Quantities = field(default_factory=dict)
    """The quantities of items of which only the tax was refunded."""
    tax: int = 0
    """The tax that was refunded without items' amounts, in minor units: of the purchase or of items."""


def amount_of_items(purchase: Purchase, chosen: Quantities, refunded: RefundedParts) -> Money:
    """Return what was paid for the chosen items.

    Raise NotRefundableError if the purchase does not have the items in this quantity, or if they were refunded before.
    """
    return _money(
        sum(_share(item, item.amount, chosen, refunded.items) for item in _chosen(purchase, chosen)), purchase
    )


def tax_of_items(purchase: Purchase, chosen: Quantities, refunded: RefundedParts) -> Money:
    """Return the tax of the chosen items.

    Raise NotRefundableError if the tax is unknown, if the purchase does not have the items in this quantity, or if they or
    their tax were refunded before.
    """
    before = {item.id: refunded.items.get(item.id, 0) + refunded.items_tax.get(item.id, 0) for item in purchase.items}
    return _money(sum(_share(item, _tax(item), chosen, before) for item in _chosen(purchase, chosen)), purchase)


def tax_of(purchase: Purchase, refunded: RefundedParts) -> Money:
    """Return the tax of the purchase, without the tax that was refunded before: by itself, or together with items.

    A part that was refunded as an amount counts as an amount without tax, because its tax is not known.

    Raise NotRefundableError if the tax is unknown, or if it was refunded before.
    """
    if purchase.tax is None:
        raise NotRefundableError(
            f"The tax of the purchase {purchase.reference} is not known. Enter the amount of the tax."
        )
    with_items = sum(
        _tax(item) * min(refunded.items[item.id], item.quantity) // item.quantity
        for item in purchase.items
        if refunded.items.get(item.id)
    )
    left = purchase.tax - with_items - refunded.tax
    if left <= 0:
        raise NotRefundableError(
            f"The tax of the purchase {purchase.reference} was refunded before. Check the earlier refunds."
        )
    return _money(left, purchase)


def _tax(item: PurchaseItem) -> int:
    """Return the tax of the whole quantity of an item. Raise NotRefundableError if it is unknown."""
    if item.tax is None:
        raise NotRefundableError(
            f"The tax of the item {item.name} is not known. Enter the amount of the tax instead of the item."
        )
    return item.tax


def left_of(payment: Payment) -> Money:
    """Return what is left of the payment for refunds: its amount without what is refunded and what may still be refunded.

    If the payment also pays other purchases, all of its refunds count, because a refund at the provider names no purchase.

    Raise NotRefundableError if the amount or the currency is unknown.
    """
    if payment.amount is None or payment.currency not in CURRENCIES:
        raise NotRefundableError(
            f"The amount of the payment {payment.charge} at {payment.provider} is not known. Report the purchase with the "
            "amount and the currency of each payment."
        )
    return Money(max(0, payment.amount - payment.refunded - payment.unresolved), payment.currency)


def left_of_purchase(purchase: Purchase) -> Money:
    """Return what is left of the payments of the purchase. A refund that only the seller reports counts, too.

    Raise NotRefundableError if an amount is unknown, or if the payments have different currencies.
    """
    left = sum(left_of(payment).minor for payment in purchase.payments)
    unresolved = sum(payment.unresolved for payment in purchase.payments)
    return _money(min(left, max(0, (purchase.amount or 0) - purchase.refunded - unresolved)), purchase)


def split(amount: Money, purchase: Purchase) -> tuple[ApprovedRefund, ...]:
    """Distribute an amount over the payments of the purchase. The payment with most money left comes first.

    In this order, the customer gets the money in the smallest number of refunds. Of payments with equally much left, the
    first payment of the purchase comes first.

    Raise NotRefundableError if the amount is not positive, has another currency, or is more than what is left.
    """
    left = left_of_purchase(purchase)
    if amount.currency != left.currency:
        raise NotRefundableError(
            f"The purchase {purchase.reference} was paid in {left.currency}, so {amount} cannot be refunded. Enter an amount in "
            f"{left.currency}."
        )
    if amount.minor <= 0:
        raise NotRefundableError(f"{amount} cannot be refunded. Enter an amount of more than zero.")
    if amount.minor > left.minor:
        raise NotRefundableError(
            f"{left} of the purchase {purchase.reference} is left to refund, so {amount} cannot be refunded. "
            f"{f'Choose at most {left}.' if left.minor else 'Wait until no refund is open, or check the earlier refunds.'}"
        )
    refunds = []
    rest = amount.minor
    for payment in sorted(purchase.payments, key=lambda payment: left_of(payment).minor, reverse=True):
        part = min(rest, left_of(payment).minor)
        if part:
            refund = ApprovedRefund(payment.provider, payment.charge, Money(part, amount.currency), payment.refunded)
            refunds.append(refund)
            rest -= part
    return tuple(refunds)


def _chosen(purchase: Purchase, chosen: Quantities) -> list[PurchaseItem]:
    """Return the chosen items. Raise NotRefundableError if the purchase does not have an item with such an id."""
    items = {item.id: item for item in purchase.items}
    if not chosen:
        raise NotRefundableError("No item is chosen. Choose an item and its quantity.")
    if unknown := [id_ for id_ in chosen if id_ not in items]:
        raise NotRefundableError(
            f"The purchase {purchase.reference} has no item {', '.join(unknown)}. Load the page again and choose from its items."
        )
    return [items[id_] for id_ in chosen]


def _share(item: PurchaseItem, total: int, chosen: Quantities, refunded: Quantities) -> int:
    """Return the share of the chosen quantity in ``total``, which is the amount or the tax of the whole item.

    The share is the difference of two sums: what is refunded after the chosen quantity, and what was refunded before. Each sum is
    rounded down. So the shares of all quantities add up exactly to ``total``, in whatever steps they are refunded.
    """
    before, quantity = refunded.get(item.id, 0), chosen[item.id]
    if quantity < 1:
        raise NotRefundableError(f"The quantity of the item {item.name} is {quantity}. Choose a quantity of 1 or more.")
    left = max(0, item.quantity - before)
    if quantity > left:
        raise NotRefundableError(
            f"The purchase has the item {item.name} in the quantity {item.quantity}, of which {before} were refunded before. "
            f"{f'Choose at most {left}.' if left else 'Choose another item.'}"
        )
    return total * (before + quantity) // item.quantity - total * before // item.quantity


def _money(minor: int, purchase: Purchase) -> Money:
    """Return an amount in the currency of the purchase. Raise NotRefundableError if there is no such currency."""
    try:
        return Money(minor, purchase.currency or "")
    except UnknownMoneyError:
        raise NotRefundableError(
            f"The payments of the purchase {purchase.reference} have no common currency. Enter an amount for each payment."
        ) from None
