"""Orders of WooCommerce: the CSV files of its export plugins, and the JSON of its REST API ("List all orders").

A refund is a row with a negative total that names its order, or an entry in the list ``refunds`` of the order.
"""

import re
from collections.abc import Iterable

from producers.purchase_files.dialect import Dialect, LaterEvent, NoPurchase, Prepared, Texts, local_charge
from producers.purchase_files.errors import CellError

_ITEM_NAME = re.compile(r"(?:^|[|;]) ?name:([^|;]+)")  # as in "id:315|name:Aurora Photo 4|quantity:1"
_NOT_PAID = {
    "pending",
    "on hold",
    "failed",
    "cancelled",
    "canceled",
    "draft",
    "checkout draft",
    "auto draft",
    "trash",
    "pending payment",
}


def _prepare(texts: Texts) -> Prepared:
    status = texts.get("_status", "").strip().casefold().removeprefix("wc-").replace("-", " ")
    if texts.get("amount", "").strip().startswith(("-", "\u2212")):
        return _refund(texts)
    if status in _NOT_PAID:
        return NoPurchase("the order is not paid")
    if status == "refunded" and not texts.get("refunded", "").strip("0.,"):
        texts["refunded"] = texts.get("amount", "")
    texts["provider"] = texts.get("provider") or texts.get("method", "")
    texts["method"] = texts.get("method") or "unknown"
    texts["charge"] = texts.get("charge") or local_charge(texts)
    product = texts.get("product", "")
    texts["product"] = ", ".join(_ITEM_NAME.findall(product)) or product or texts.get("reference", "")
    return None


def _refund(texts: Texts) -> Prepared:
    order = texts.get("_parent")
    if not order or order == "0":
        raise CellError(
            "The line is a refund, but names no order. Export the column parent_order_id, or leave refunds out."
        )
    return LaterEvent(order, refunded=texts["amount"].strip().lstrip("-\u2212"), currency=texts.get("currency"))


def flatten_order(order: Texts) -> Texts:
    """Return an order of the REST API with the fields as texts. The stored meta data has the names of its keys."""
    meta = {entry.get("key"): entry.get("value") for entry in _objects(order.get("meta_data"))}
    billing = order.get("billing")
    totals = [str(refund.get("total", "")) for refund in _objects(order.get("refunds"))]
    texts = {
        name: value for name, value in order.items() if isinstance(value, str | int) and not isinstance(value, bool)
    }
    texts |= {str(name): value for name, value in meta.items() if isinstance(value, str | int)}
    texts["billing_email"] = billing.get("email", "") if isinstance(billing, dict) else ""
    texts["line_items"] = ", ".join(str(item.get("name", "")) for item in _objects(order.get("line_items")))
    texts["refund_totals"] = "+".join(total.lstrip("-") for total in totals)
    return {name: str(value) for name, value in texts.items()}


def _objects(value: object) -> Iterable[Texts]:
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


DIALECT = Dialect(
    title="an export of WooCommerce's orders",
    columns={
        "reference": ("order_number", "number", "Order #", "Order No", "order_id", "id"),
        "email": ("billing_email", "Email (Billing)", "Billing Email Address", "Customer Email", "customer_email", "Email"),
        "product": (
            "line_items", "line_item_1", "Item Name", "Product Name", "Product Name (main)", "item_name", "line_item_name",
            "product_name", "Products",
        ),
        "amount": ("order_total", "Order Total Amount", "Grand Total", "total"),
        "currency": ("order_currency", "currency", "currency_code"),
        "tax": ("total_tax", "Order Total Tax Amount", "order_tax", "tax_total"),
        "refunded": ("Order Refund Amount", "refund_totals", "refund_total", "order_refund_total", "refunded_total",
                     "total_refunded"),
        "method": ("payment_method", "Payment Method Title"),
        "charge": ("_stripe_charge_id", "transaction_id", "_transaction_id", "meta:_stripe_charge_id", "meta:_transaction_id",
                   "_stripe_intent_id", "meta:_stripe_intent_id"),
        "purchased_at": ("date_created_gmt", "order_date", "date_created", "date", "Order Date"),
        "charged_at": ("date_paid_gmt", "date_paid", "paid_date"),
        "_status": ("status", "order_status"),
        "_id": ("order_id", "id"),
        "_parent": ("parent_order_number", "parent_order_id", "parent_id"),
    },
    needed=("reference", "email", "amount", "currency", "method", "charge", "purchased_at"),
    prepare=_prepare,
    joins_items=True,
    event_keys=("reference", "_id"),
)  # fmt: skip
