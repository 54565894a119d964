"""Parts of a purchase as money: items, their tax, and amounts that are split over the payments."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotRefundableError
from domain.money import CURRENCIES, Money
from domain.purchases import Purchase, PurchaseItem
from domain.refund_parts import RefundedParts, amount_of_items, left_of, left_of_purchase, split, tax_of, tax_of_items
from tests.sample_data import a_payment, a_purchase, with_payment


def an_item(**changes: Any) -> PurchaseItem:
    """Return three seats for 100.00, with 15.97 of tax."""
    values: dict[str, Any] = {"id": "AP4", "name": "Aurora Photo 4", "quantity": 3, "amount": 10_000, "tax": 1597}
    return PurchaseItem(**values | changes)


def before_items(**quantities: int) -> RefundedParts:
    return RefundedParts(items=quantities)


def with_items(*items: PurchaseItem, **changes: Any) -> Purchase:
    return a_purchase(items=items, **changes)


def with_payments(*amounts: int, currency: str = "EUR", **changes: Any) -> Purchase:
    """Return a purchase whose payments are named by their numbers."""
    payments = [
        a_payment(charge=str(number), amount=amount, currency=currency) for number, amount in enumerate(amounts)
    ]
    return replace(a_purchase(), payments=tuple(payments), **changes)


def parts(amount: Money, purchase: Purchase) -> list[tuple[str, int]]:
    return [(refund.charge, refund.amount.minor) for refund in split(amount, purchase)]


# Items


@pytest.mark.parametrize(
    ("chosen", "refunded", "minor"),
    [
        ({"AP4": 3}, {}, 10_000),
        ({"AP4": 1}, {}, 3333),
        ({"AP4": 1}, {"AP4": 1}, 3333),
        ({"AP4": 1}, {"AP4": 2}, 3334),
        ({"AP4": 2}, {}, 6666),
        ({"AP4": 2}, {"AP4": 1}, 6667),
        ({"AF": 1}, {"AP4": 3}, 2000),
        ({"AP4": 3, "AF": 1}, {}, 12_000),
        ({"GIFT": 7}, {}, 0),
    ],
)
def test_the_amount_of_items(chosen: dict[str, int], refunded: dict[str, int], minor: int) -> None:
    purchase = with_items(
        an_item(), an_item(id="AF", quantity=1, amount=2000), an_item(id="GIFT", quantity=7, amount=0)
    )
    assert amount_of_items(purchase, chosen, RefundedParts(items=refunded)) == Money(minor, "EUR")


def test_the_tax_of_items_is_shared_like_the_amount() -> None:
    purchase = with_items(an_item())
    shares = [tax_of_items(purchase, {"AP4": 1}, before_items(AP4=before)).minor for before in range(3)]
    assert (shares, sum(shares)) == ([532, 532, 533], 1597)


def test_the_tax_of_a_purchase_is_the_reported_tax() -> None:
    assert tax_of(a_purchase(tax=782), RefundedParts()) == Money(782, "EUR")


@pytest.mark.parametrize(
    ("refunded", "left"),
    [
        (RefundedParts(), 2000),
        (before_items(AP4=1), 2000 - 532),
        (before_items(AP4=3), 2000 - 1597),
        (before_items(AP4=5), 2000 - 1597),  # the seller has reported a smaller quantity since then
        (RefundedParts(tax=500), 1500),
        (RefundedParts(items={"AP4": 1}, items_tax={"AP4": 1}, tax=532), 2000 - 2 * 532),
    ],
)
def test_tax_that_was_refunded_before_is_not_refunded_again(refunded: RefundedParts, left: int) -> None:
    purchase = with_items(an_item(), tax=2000)
    assert tax_of(purchase, refunded) == Money(left, "EUR")


def test_a_tax_of_which_nothing_is_left_is_not_refundable() -> None:
    for refunded in (before_items(AP4=3), RefundedParts(tax=1597), RefundedParts(tax=2000)):
        with pytest.raises(NotRefundableError, match="The tax of the purchase MB-1 was refunded before"):
            tax_of(with_items(an_item(), tax=1597, reference="MB-1"), refunded)


def test_the_tax_of_an_item_is_refunded_only_once() -> None:
    purchase = with_items(an_item())
    assert tax_of_items(purchase, {"AP4": 1}, RefundedParts(items_tax={"AP4": 2})).minor == 533
    with pytest.raises(NotRefundableError, match="of which 3 were refunded before"):
        tax_of_items(purchase, {"AP4": 1}, RefundedParts(items={"AP4": 1}, items_tax={"AP4": 2}))


def test_the_tax_left_is_not_known_if_the_tax_of_a_refunded_item_is_not() -> None:
    with pytest.raises(NotRefundableError, match="The tax of the item Aurora Photo 4 is not known"):
        tax_of(with_items(an_item(tax=None), tax=1597), before_items(AP4=1))


@pytest.mark.parametrize(
    ("chosen", "refunded", "sentence"),
    [
        ({}, {}, "No item is chosen."),
        ({"AP5": 1}, {}, "has no item AP5."),
        ({"AP4": 0}, {}, "The quantity of the item Aurora Photo 4 is 0. Choose a quantity of 1 or more."),
        ({"AP4": -1}, {}, "Choose a quantity of 1 or more."),
        ({"AP4": 4}, {}, "in the quantity 3, of which 0 were refunded before. Choose at most 3."),
        ({"AP4": 2}, {"AP4": 2}, "of which 2 were refunded before. Choose at most 1."),
        ({"AP4": 1}, {"AP4": 3}, "of which 3 were refunded before. Choose another item."),
        ({"AP4": 1}, {"AP4": 5}, "Choose another item."),  # the seller has reported a smaller quantity since then
    ],
)
def test_items_that_the_purchase_does_not_have_are_not_refundable(
    chosen: dict[str, int], refunded: dict[str, int], sentence: str
) -> None:
    for part in (amount_of_items, tax_of_items):
        with pytest.raises(NotRefundableError) as refused:
            part(with_items(an_item()), chosen, RefundedParts(items=refunded))
        assert sentence in str(refused.value)


def test_an_unknown_tax_is_not_refundable() -> None:
    with pytest.raises(NotRefundableError, match="The tax of the item Aurora Photo 4 is not known"):
        tax_of_items(with_items(an_item(tax=None)), {"AP4": 1}, RefundedParts())
    with pytest.raises(NotRefundableError, match="The tax of the purchase MB-1 is not known"):
        tax_of(a_purchase(reference="MB-1"), RefundedParts())


@pytest.mark.parametrize("currency", [None, "XXX", "eur"])
def test_an_item_without_a_currency_has_no_amount(currency: str | None) -> None:
    with pytest.raises(NotRefundableError, match="no common currency"):
        amount_of_items(with_items(an_item(), currency=currency), {"AP4": 1}, RefundedParts())


@st.composite
def refund_steps(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Return a quantity, and the quantities in which it is refunded."""
    quantity = draw(st.integers(1, 1_000))
    cuts = sorted(draw(st.sets(st.integers(1, quantity), max_size=12)) | {0, quantity})
    return quantity, [after - before for before, after in pairwise(cuts)]


@given(steps=refund_steps(), amount=st.integers(0, 10**15), currency=st.sampled_from(sorted(CURRENCIES)))
def test_the_shares_of_an_item_add_up_exactly(steps: tuple[int, list[int]], amount: int, currency: str) -> None:
    quantity, refunds = steps
    purchase = with_items(an_item(quantity=quantity, amount=amount, tax=amount), currency=currency)
    before = total = 0
    for step in refunds:
        share = amount_of_items(purchase, {"AP4": step}, before_items(AP4=before))
        assert tax_of_items(purchase, {"AP4": step}, before_items(AP4=before)) == share
        assert share.currency == currency
        assert abs(share.minor * quantity - amount * step) < quantity  # less than one minor unit from the exact share
        before, total = before + step, total + share.minor
        assert total * quantity <= amount * before
    assert total == amount


# Payments


@pytest.mark.parametrize(
    ("changes", "minor"),
    [
        ({}, 4900),
        ({"refunded": 1000}, 3900),
        ({"unresolved": 900}, 4000),
        ({"refunded": 1000, "unresolved": 900}, 3000),
        ({"refunded": 4900}, 0),
        ({"refunded": 6000}, 0),  # the provider refunded more than we know of
        ({"captured": 9900, "refunded": 5000}, 0),  # a cart whose other purchase may have been refunded
        ({"amount": -100}, 0),
    ],
)
def test_what_is_left_of_a_payment(changes: dict[str, Any], minor: int) -> None:
    assert left_of(a_payment(**changes)) == Money(minor, "EUR")
    assert left_of_purchase(with_payment(a_purchase(), **changes)) == Money(minor, "EUR")


@pytest.mark.parametrize("changes", [{"amount": None}, {"currency": None}, {"currency": "XXX"}])
def test_nothing_is_known_of_a_payment_without_an_amount(changes: dict[str, Any]) -> None:
    with pytest.raises(NotRefundableError, match="is not known"):
        left_of(a_payment(**changes))
    with pytest.raises(NotRefundableError, match="is not known"):
        split(Money(1, "EUR"), with_payment(a_purchase(), **changes))


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1, [("1", 1)]),
        (7000, [("1", 7000)]),
        (7001, [("1", 7000), ("0", 1)]),
        (10_000, [("1", 7000), ("0", 3000)]),
        (11_000, [("1", 7000), ("0", 3000), ("2", 1000)]),
    ],
)
def test_the_payment_with_most_money_left_comes_first(amount: int, expected: list[tuple[str, int]]) -> None:
    assert parts(Money(amount, "EUR"), with_payments(3000, 7000, 1000)) == expected


def test_of_payments_with_equally_much_left_the_first_comes_first() -> None:
    purchase = with_payments(7000, 4000, 4000)
    refunded = replace(purchase.payments[0], refunded=3000)
    purchase = replace(purchase, payments=(refunded, *purchase.payments[1:]))
    assert parts(Money(9000, "EUR"), purchase) == [("0", 4000), ("1", 4000), ("2", 1000)]
    assert split(Money(1, "EUR"), purchase)[0].refunded_before == 3000


@pytest.mark.parametrize(
    ("amount", "changes", "sentence"),
    [
        (Money(0, "EUR"), {}, "0.00 EUR cannot be refunded. Enter an amount of more than zero."),
        (Money(-1, "EUR"), {}, "Enter an amount of more than zero."),
        (Money(100, "USD"), {}, "was paid in EUR, so 1.00 USD cannot be refunded. Enter an amount in EUR."),
        (Money(4901, "EUR"), {}, "49.00 EUR of the purchase MB-1 is left to refund, so 49.01 EUR cannot be refunded."),
        (Money(4901, "EUR"), {}, "Choose at most 49.00 EUR."),
        (Money(3901, "EUR"), {"refunded": 1000}, "Choose at most 39.00 EUR."),
        (Money(1, "EUR"), {"refunded": 4900}, "0.00 EUR of the purchase MB-1 is left to refund"),
    ],
)
def test_an_amount_that_the_payments_do_not_have_is_not_refundable(
    amount: Money, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NotRefundableError) as refused:
        split(amount, a_purchase(reference="MB-1", **changes))
    assert sentence in str(refused.value)


def test_payments_with_different_currencies_are_not_split() -> None:
    purchase = with_payments(3000, 7000)
    purchase = replace(purchase, payments=(purchase.payments[0], replace(purchase.payments[1], currency="USD")))
    with pytest.raises(NotRefundableError, match="no common currency"):
        split(Money(1, "EUR"), purchase)


def test_items_that_cost_more_than_was_paid_are_limited_by_the_payments() -> None:
    purchase = with_items(an_item(quantity=1, amount=9900))
    with pytest.raises(NotRefundableError, match=r"Choose at most 49.00 EUR\."):
        split(amount_of_items(purchase, {"AP4": 1}, RefundedParts()), purchase)


@given(
    payments=st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 12_000), st.integers(0, 5_000)), min_size=1, max_size=6
    ),
    reported=st.integers(0, 20_000),
    amount=st.integers(1, 40_000),
    currency=st.sampled_from(sorted(CURRENCIES)),
)
def test_a_split_never_takes_more_than_what_is_left(
    payments: Sequence[tuple[int, int, int]], reported: int, amount: int, currency: str
) -> None:
    purchase = with_payments(*(paid for paid, _, _ in payments), currency=currency, reported_refunded=reported)
    known = zip(purchase.payments, payments, strict=True)
    of_payments = tuple(
        replace(payment, refunded=refunded, unresolved=open_) for payment, (_, refunded, open_) in known
    )
    purchase = replace(purchase, payments=of_payments)
    left = {payment.id: left_of(payment) for payment in purchase.payments}
    assert left_of_purchase(purchase).minor <= sum(money.minor for money in left.values())
    try:
        refunds = split(Money(amount, currency), purchase)
    except NotRefundableError:
        assert amount > left_of_purchase(purchase).minor
        return
    assert sum(refund.amount.minor for refund in refunds) == amount
    assert all(0 < refund.amount.minor <= left[refund.payment].minor for refund in refunds)
    assert len({refund.payment for refund in refunds}) == len(refunds)
    assert amount + reported <= (purchase.amount or 0)
    largest = sorted((money.minor for money in left.values()), reverse=True)
    assert sum(largest[: len(refunds) - 1]) < amount  # fewer refunds cannot pay the amount
