"""Joins the rows of the line items of an order to one row, in exports in which each item has its own row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from producers.purchase_files.amounts import is_negative
from producers.purchase_files.dialect import Texts

_OF_ORDER = ("amount", "charge", "_status")
"""The fields that are equal in all rows of an order, or empty in the rows of its further items."""
_SLOTS = 1 << 26  # bits, in 8 MB; fewer than 1 % of a million orders share a slot

_Row = tuple[int, Texts | str]


class LineItem(NamedTuple):
    """The texts of a line item, as an export writes them. A text that the export does not contain is empty."""

    name: str = ""
    id: str = ""
    """The id of the line item, or its SKU."""
    quantity: str = ""
    price: str = ""
    """The price of one unit before discounts."""
    discount: str = ""
    """The discount of the whole quantity."""
    total: str = ""
    """What was paid for the whole quantity after discounts, without the tax. It replaces price and discount."""
    tax: str = ""
    """The tax of the whole quantity. An export without this text may write prices with or without tax."""


def find_later_items(rows: Iterator[_Row]) -> dict[str, list[LineItem]]:
    """Return the items of rows that are not directly below the other rows of their order, by the reference of the order.

    The memory does not grow with the file: the references are marked in a table of bits. If two references share a bit, an
    order without such rows is returned as well, with its own items.
    """
    marked = bytearray(_SLOTS // 8)
    later: dict[str, list[LineItem]] = {}
    for _, order, items in _groups(rows):
        reference = order.get("reference") if isinstance(order, dict) else None
        if reference:
            slot, bit = divmod(hash(reference) % _SLOTS, 8)
            if marked[slot] & 1 << bit:
                later.setdefault(reference, []).extend(items)
            marked[slot] |= 1 << bit
    return later


def join_items(rows: Iterator[_Row], later: Mapping[str, Sequence[LineItem]]) -> Iterator[_Row]:
    """Yield one row per order, with all items. ``later`` contains the items of the rows that are found elsewhere.

    A row with another amount, payment or status is no item, but says something else about the order, such as a refund.
    """
    first: dict[str, Texts] = {}
    for line, order, items in _groups(rows):
        if isinstance(order, str):
            yield line, order
            continue
        reference = order.get("reference", "")
        if reference in first and _is_item(order, first[reference]):
            continue
        if reference in later and reference not in first and order.get("amount"):
            first[reference] = order
            items.extend(later[reference])
        names = ", ".join(dict.fromkeys(item.name for item in items if item.name))
        of_object = order.get("_items")  # an object of JSON has the items of its order
        joined = {"_items": of_object if isinstance(of_object, list) else items, "_total": order.get("amount", "")}
        yield line, order | joined | ({"product": names} if names else {})


def _groups(rows: Iterator[_Row]) -> Iterator[tuple[int, Texts | str, list[LineItem]]]:
    """Yield the first of the rows of each order that are directly below each other, with the items of these rows."""
    group: tuple[int, Texts | str, list[LineItem]] | None = None
    for line, texts in rows:
        if group and isinstance(texts, dict) and isinstance(group[1], dict) and _is_item(texts, group[1]):
            group[2].append(_line_item(texts))
            continue
        if group:
            yield group
        group = line, texts, [_line_item(texts)] if isinstance(texts, dict) else []
    if group:
        yield group


def _line_item(texts: Texts) -> LineItem:
    get = texts.get
    return LineItem(get("product", ""), get("_sku", ""), get("_quantity", ""), get("_price", ""), get("_discount", ""))


def _is_item(texts: Texts, order: Texts) -> bool:
    """Return whether a row contains a further item of this order. Two refunds of an order are two rows, not two items."""
    return (
        texts.get("reference", order.get("reference")) == order.get("reference")
        and all(texts.get(name) in {None, order.get(name)} for name in _OF_ORDER)
        and (texts.get("_id") == order.get("_id", "") or not is_negative(texts.get("amount", "")))
    )
