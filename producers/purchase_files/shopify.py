"""The orders export of Shopify (Shopify Help Center, "Exporting orders").

Each line item has a row. Only the first row of an order contains the status, the total and the payment. An order that was paid
in parts names its payment methods with ``+`` between the methods. The export does not say how much was paid with each method.
"""

import re

from producers.purchase_files import words
from producers.purchase_files.dialect import (
    Dialect,
    NoPurchase,
    Prepared,
    Texts,
    local_charge,
    status_key,
    unknown_status,
)
from producers.purchase_files.errors import CellError

_PAID = {"paid", "partially paid", "partially refunded", "refunded"}
_NOT_PAID = {"pending", "authorized", "voided", "expired"}
_GIFT_CARD = "gift_card"


def _prepare(texts: Texts) -> Prepared:
    status = status_key(texts.get("_status", ""))
    if not status and not texts.get("amount"):
        raise CellError("The line continues an order, but the first line of the order is not directly above it.")
    if status in _NOT_PAID:
        return NoPurchase("the order is not paid")
    if status not in _PAID:
        raise CellError(unknown_status(texts.get("_status", ""), "Shopify", "paid"))
    if status == "refunded" and not texts.get("refunded", "").strip("0.,"):
        texts["refunded"] = texts.get("amount", "")
    if status == "partially paid":
        texts["amount"] = None  # the total is not what was paid
    texts["product"] = texts.get("product") or texts.get("reference", "")
    texts["purchased_at"] = texts.get("purchased_at") or texts.get("charged_at", "")
    methods, references = _parts(texts.get("method", "")), _parts(texts.get("charge", ""))
    if len(methods) > 1 or len(references) > 1:
        _list_payments(texts, methods, references)
    else:
        texts["provider"] = texts.get("provider") or texts.get("method", "")
        texts["method"] = texts.get("method") or "unknown"
        texts["charge"] = texts.get("charge") or local_charge(texts)
    return None


def _list_payments(texts: Texts, methods: list[str], references: list[str]) -> None:
    """Replace the payment of an order by its payments. Their amounts are unknown, because the export has only the total.

    Gift cards have no reference. Another method without a reference, or a reference without a method, gets a number.
    """
    cards = [method for method in methods if words.method(method) == _GIFT_CARD]
    others = [method for method in methods if method not in cards] or ([*methods, "unknown"][:1] if references else [])
    count = max(len(others), len(references))
    others += others[-1:] * (count - len(others))
    references += [local_charge(texts, f"payment {number}") for number in range(len(references) + 1, count + 1)]
    payments = [
        {"provider": method, "method": method, "charge": charge}
        for method, charge in zip(others, references, strict=True)
    ]
    payments += [
        {"provider": "shopify", "method": _GIFT_CARD, "charge": local_charge(texts, f"gift card {number}")}
        for number, _ in enumerate(cards, start=1)
    ]
    texts["payments"] = [payment | {"amount": None, "charged_at": texts.get("charged_at", "")} for payment in payments]
    for name in ("amount", "charge", "charged_at", "method", "provider"):
        texts.pop(name, None)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\s\+\s|[,;]\s*", text) if part.strip()]


DIALECT = Dialect(
    title="the orders export of Shopify",
    columns={
        "reference": ("Name",),
        "email": ("Email",),
        "product": ("Lineitem name",),
        "amount": ("Total",),
        "currency": ("Currency",),
        "tax": ("Taxes",),
        "refunded": ("Refunded Amount",),
        "method": ("Payment Method",),
        "charge": ("Payment References", "Payment Reference", "Payment ID"),
        "purchased_at": ("Created at",),
        "charged_at": ("Paid at",),
        "_status": ("Financial Status",),
        "_sku": ("Lineitem sku",),
        "_quantity": ("Lineitem quantity",),
        "_price": ("Lineitem price",),
        "_discount": ("Lineitem discount",),
        "_shipping": ("Shipping",),
    },
    needed=("reference", "email", "amount", "currency", "method", "charge", "charged_at"),
    prepare=_prepare,
    separator=".",
    joins_items=True,
)
