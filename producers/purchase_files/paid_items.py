"""Finds out what was paid for each line item of an order in an export.

Exports write the prices of items with or without tax, and before or after discounts, and do not say which. Support refunds the
amount of an item, so a wrong amount is worse than no item. Items are read only if their amounts are certain.
"""

import re
from collections.abc import Callable, Sequence

from producers.purchase_files.dialect import Texts
from producers.purchase_files.errors import CellError
from producers.purchase_files.line_items import LineItem
from producers.purchase_files.rows import Fields, one_line
from producers.purchase_schema import MAX_ITEMS, PurchaseItemInput

ReadAmount = Callable[[str], int | None]
"""Returns an amount in minor units, or None if the currency is unknown. Raises CellError if the text is not an amount."""

UNREADABLE = "the name, the quantity or the amount of an item cannot be read"
NOT_ADDED_UP = "the prices of the items and the shipping do not add up to the total, so they lack taxes or discounts"
TOO_MANY = f"the order has more than {MAX_ITEMS} items"

_QUANTITY = re.compile(r"(\d{1,9})(?:[.,]0+)?")


def read_items(order: Texts, read_amount: ReadAmount) -> list[Fields] | str:
    """Return the items of an order. Return the reason if it is not certain what was paid for each of them.

    An order of an export without quantities has no items. An item that was removed from its order has the quantity 0.
    """
    line_items = [item for item in order.get("_items", ()) if item.quantity and item.quantity.strip("0.,")]
    if len(line_items) > MAX_ITEMS:
        return TOO_MANY
    try:
        items = [_read(item, id_, read_amount) for item, id_ in zip(line_items, _ids(line_items), strict=True)]
        is_certain = all(item.tax for item in line_items) or _add_up(items, order, read_amount)
    except ValueError:  # a cell that cannot be read, or a value that no item may have
        return UNREADABLE
    return [item.model_dump() for item in items] if is_certain else NOT_ADDED_UP


def _read(item: LineItem, id_: str, read_amount: ReadAmount) -> PurchaseItemInput:
    quantity = _QUANTITY.fullmatch(item.quantity)
    if quantity is None:
        raise CellError(f"{item.quantity!r} is not a quantity.")
    tax = _known(read_amount(item.tax)) if item.tax else None
    if item.total:
        amount = _known(read_amount(item.total)) + (tax or 0)
    else:
        amount = int(quantity[1]) * _known(read_amount(item.price)) - _known(read_amount(item.discount or "0"))
    name = one_line(item.name or item.id)
    return PurchaseItemInput(id=id_, name=name, quantity=int(quantity[1]), amount=amount, tax=tax)


def _known(amount: int | None) -> int:
    if amount is None:
        raise CellError("The currency of the amount is unknown.")
    return amount


def _ids(items: Sequence[LineItem]) -> list[str]:
    """Return the id of each item in the export, or the number of each item if these ids do not tell the items apart."""
    ids = {item.id.strip() for item in items}
    if len(ids) == len(items) and "" not in ids:
        return [item.id for item in items]
    return [str(number) for number in range(1, len(items) + 1)]


def _add_up(items: Sequence[PurchaseItemInput], order: Texts, read_amount: ReadAmount) -> bool:
    """Return whether the items and the shipping are what was paid. Then the prices contain all taxes and discounts."""
    shipping = _known(read_amount(order.get("_shipping") or "0"))
    return sum(item.amount for item in items) + shipping == read_amount(order.get("_total") or "0")
