"""Orders of WooCommerce: the CSV files of its export plugins, and the JSON of its REST API ("List all orders").

A refund is a row with a negative total that names its order, or an entry in the list ``refunds`` of the order.
"""

import re
from collections.abc import Iterable

from producers.purchase_files.amounts import is_negative, positive
from producers.purchase_files.dialect import (
    Dialect,
    LaterEvent,
    NoPurchase,
    Prepared,
    Texts,
    local_charge,
    status_key,
    unknown_status,
)
from producers.purchase_files.errors import CellError
from producers.purchase_files.line_items import LineItem

_ITEM_NAME = re.compile(r"(?:^|[|;]) ?name:([^|;]+)")  # as in "id:315|name:Aurora Photo 4|quantity:1"

_PAID = {
    "processing", "completed", "in bearbeitung", "abgeschlossen", "fertiggestellt", "en cours", "terminée", "terminé",
    "procesando", "completado", "completada", "in lavorazione", "completato", "completata", "processando",
    "em processamento", "concluído", "concluída", "in behandeling", "verwerken", "afgerond", "voltooid", "処理中", "完了",
}  # fmt: skip
_REFUNDED = {
    "refunded", "rückerstattet", "erstattet", "remboursée", "remboursé", "reembolsado", "reembolsada", "rimborsato",
    "rimborsata", "terugbetaald", "返金済み", "返金", "払い戻し済み",
}  # fmt: skip
_NOT_PAID = {
    "pending", "pending payment", "on hold", "failed", "cancelled", "canceled", "draft", "checkout draft", "auto draft", "trash",
    "zahlung ausstehend", "ausstehende zahlung", "ausstehend", "in wartestellung", "wartend", "fehlgeschlagen", "storniert",
    "entwurf", "papierkorb",
    "attente paiement", "en attente de paiement", "en attente", "échouée", "échoué", "annulée", "annulé", "brouillon",
    "pendiente de pago", "pendiente", "en espera", "fallido", "fallida", "cancelado", "cancelada", "borrador",
    "in attesa di pagamento", "in attesa", "in sospeso", "fallito", "fallita", "annullato", "annullata", "cancellato", "bozza",
    "pagamento pendente", "pendente", "aguardando", "em espera", "malsucedido", "falhado", "falhada", "falhou", "rascunho",
    "wachtend op betaling", "in afwachting van betaling", "in de wacht", "mislukt", "geannuleerd", "concept",
    "支払い待ち", "支払待ち", "保留中", "保留", "失敗", "キャンセル", "キャンセル済み", "下書き",
}  # fmt: skip
"""WooCommerce's own statuses, with and without ``wc-``, and their translations. Another status belongs to a plugin."""
_OBJECTS = "line_items:objects"
"""The cell with the line items of an order of the REST API, as a list."""
_NAMES_NO_ORDER = (
    "The line is a refund, but names no known order. Export the column parent_order_id, or leave refunds out."
)


def _prepare(texts: Texts) -> Prepared:
    if is_negative(texts.get("amount", "")):
        return _refund(texts)
    status = status_key(texts.get("_status", "")).removeprefix("wc ")
    if status in _NOT_PAID:
        return NoPurchase("the order is not paid")
    if status not in _PAID and status not in _REFUNDED:
        raise CellError(unknown_status(texts.get("_status", ""), "WooCommerce", "completed"))
    if status in _REFUNDED and not texts.get("refunded", "").strip("0.,"):
        texts["refunded"] = texts.get("amount", "")
    texts["provider"] = texts.get("provider") or texts.get("method", "")
    texts["method"] = texts.get("method") or "unknown"
    texts["charge"] = texts.get("charge") or local_charge(texts)
    product = texts.get("product", "")
    if _ITEM_NAME.search(product):
        texts["_items"] = [_line_item(dict(_pairs(part))) for part in product.split(";")]
    texts["product"] = ", ".join(_ITEM_NAME.findall(product)) or product or texts.get("reference", "")
    return None


def _refund(texts: Texts) -> Prepared:
    """Return the refund of the order that the row names, or of the order with the same number."""
    parent = texts.get("_parent", "").strip()
    names_order = parent not in {"", "0"}
    return LaterEvent(
        parent if names_order else texts.get("reference", ""),
        seller=texts.get("seller", ""),
        refunded=positive(texts["amount"]),
        currency=texts.get("currency", ""),
        provider=texts.get("provider") or texts.get("method", ""),
        charge=texts.get("charge", ""),
        refusal="" if names_order else _NAMES_NO_ORDER,
    )


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """Yield the names and values of a line item in a cell, such as ``id:315|name:Aurora Photo 4|quantity:1``."""
    for pair in text.split("|"):
        name, _, value = pair.partition(":")
        yield name.strip(), value.strip()


def _line_item(item: Texts) -> LineItem:
    """Return a line item of the REST API, or of a cell with the same names. ``total`` is without tax, and after discounts."""
    name, id_, quantity, total, tax = (
        str(item.get(name, "")) for name in ("name", "id", "quantity", "total", "total_tax")
    )
    return LineItem(name, id_, quantity, total=total, tax=tax)


def flatten_order(order: Texts) -> Texts:
    """Return an order of the REST API with the fields as texts. The meta data has names such as ``meta:_stripe_charge_id``."""
    meta = {entry.get("key"): entry.get("value") for entry in _objects(order.get("meta_data"))}
    billing = order.get("billing")
    totals = [str(refund.get("total", "")) for refund in _objects(order.get("refunds"))]
    texts = {
        name: value for name, value in order.items() if isinstance(value, str | int) and not isinstance(value, bool)
    }
    texts |= {f"meta:{name}": value for name, value in meta.items() if isinstance(value, str | int)}
    texts["billing_email"] = billing.get("email", "") if isinstance(billing, dict) else ""
    line_items = list(_objects(order.get("line_items")))
    texts["line_items"] = ", ".join(str(item.get("name", "")) for item in line_items)
    texts["refund_totals"] = "+".join(total.lstrip("-") for total in totals)
    return {name: str(value) for name, value in texts.items()} | {_OBJECTS: list(map(_line_item, line_items))}


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
        "charge": ("_stripe_charge_id", "meta:_stripe_charge_id", "transaction_id", "_transaction_id", "meta:_transaction_id",
                   "_stripe_intent_id", "meta:_stripe_intent_id"),
        "purchased_at": ("date_created_gmt", "order_date", "date_created", "date", "Order Date"),
        "charged_at": ("date_paid_gmt", "date_paid", "paid_date"),
        "_status": ("status", "order_status"),
        "_id": ("order_id", "id"),
        "_parent": ("parent_order_number", "parent_order_id", "parent_id"),
        "_items": (_OBJECTS,),
        "_sku": ("SKU", "item_sku", "line_item_sku", "product_sku"),
        "_quantity": ("Quantity", "item_quantity", "line_item_quantity"),
        "_price": ("Item Cost", "item_price", "line_item_price", "product_price"),
        "_shipping": ("shipping_total", "order_shipping", "Order Shipping Amount"),
    },
    needed=("reference", "email", "amount", "currency", "method", "charge", "purchased_at"),
    prepare=_prepare,
    joins_items=True,
    event_keys=("reference", "_id"),
)  # fmt: skip
