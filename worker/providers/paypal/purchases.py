"""Reads PayPal's payments as purchases: from the transaction search, or from the order of one capture."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from config.provider_accounts import PayPalAccount
from domain.money import Money
from domain.providers import Declined, DeclineReason, ListedPurchase, PurchasePage, Unknown
from domain.purchases import Method
from worker.providers.paypal.amounts import parse_amount
from worker.providers.paypal.client import PayPalClient
from worker.providers.paypal.codes import METHODS, PURCHASE_EVENTS
from worker.providers.paypal.payments import get_order, sum_refunds
from worker.providers.paypal.resources import ID, Capture, parse_time, read_texts
from worker.providers.paypal.transaction_search import Cursor, search

QUERY = {
    "fields": "transaction_info,payer_info,cart_info",
    "balance_affecting_records_only": "Y",  # the seller has received the payment
    "page_size": "100",  # a payment with its cart may have several thousand bytes, and a reply at most 2 MB
}
MARGIN = timedelta(hours=12)
"""The search for one payment covers this time before and after the creation of the capture."""
MAX_TEXT = 300  # characters; the longest product or address that a purchase may have

_REFERENCES = {"custom_id": "custom_field", "invoice_id": "invoice_id"}
"""For each field of a capture, the name of the same field in PayPal's transaction search. References have the latter names, and
the setting ``seller_metadata`` the former."""

_PAID, _REVERSED = "S", "V"  # the statuses of a transaction whose money has reached the seller


def list_purchases(
    client: PayPalClient, account: PayPalAccount, since: datetime, after: str | None
) -> PurchasePage | Unknown:
    """Return one page of the payments since ``since``. The cursor ``after`` selects the page.

    PayPal's search shows a full refund of a payment, but no partial refund and no dispute. Both are found before a refund.
    """
    now = datetime.now(UTC)
    cursor = Cursor.begin(since, after, now)
    page = search(client, cursor, QUERY)
    if isinstance(page, Unknown):
        return page
    purchases = [purchase for row in page.rows if (purchase := parse_transaction(row, account))]
    return PurchasePage(purchases, page.next_cursor(cursor, now), skipped=len(page.rows) - len(purchases))


def find_purchase(
    client: PayPalClient, account: PayPalAccount, capture: Capture
) -> ListedPurchase | Declined | Unknown:
    """Return the purchase of this capture. Read its order first, because the search shows a payment up to three hours late."""
    if not capture.is_paid:
        return Declined(DeclineReason.NOT_CAPTURED, capture.status)
    order, refunded = get_order(client, capture), sum_refunds(client, capture)
    if isinstance(order, Unknown):
        return order
    if isinstance(refunded, Unknown):
        return refunded
    purchase = parse_order(order, account, capture) if order else None
    if purchase is None:
        found = _search_purchase(client, account, capture)
        if isinstance(found, Unknown):
            return found
        purchase = found
    return replace(purchase, refunded=refunded)


def _search_purchase(client: PayPalClient, account: PayPalAccount, capture: Capture) -> ListedPurchase | Unknown:
    cursor = Cursor(capture.created - MARGIN, capture.created + MARGIN)
    page = search(client, cursor, QUERY | {"transaction_id": capture.id})
    if isinstance(page, Unknown):
        return page
    purchases = [purchase for row in page.rows if (purchase := parse_transaction(row, account))]
    found = next((purchase for purchase in purchases if purchase.charge == capture.id), None)
    return found or Unknown("PayPal does not list the payment yet, or lists the payment in a form that cannot be read.")


def parse_transaction(row: Any, account: PayPalAccount) -> ListedPurchase | None:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the purchase, or None if the transaction is no payment to the seller, or if a field is missing or wrong."""
    try:
        info, payer = row["transaction_info"], row.get("payer_info") or {}
        status, amount = info["transaction_status"], parse_amount(info["transaction_amount"])
        is_purchase = info["transaction_event_code"] in PURCHASE_EVENTS and status in {_PAID, _REVERSED}
        if not is_purchase or not amount.minor or not ID.fullmatch(info["transaction_id"]):
            return None
        references = read_texts(info, _REFERENCES.values())
        return ListedPurchase(
            charge=info["transaction_id"],
            other_ids=_read_order(info),
            amount=amount,
            email=_find_email([payer]),
            references=references,
            product=_find_product(
                _read_names(row.get("cart_info"), "item_details", "item_name"), info, "transaction_subject"
            ),
            method=_find_method(info.get("instrument_type")),
            purchased_at=parse_time(info["transaction_initiation_date"]),
            tax=_parse_tax(info.get("sales_tax_amount"), amount),
            refunded=amount.minor if status == _REVERSED else 0,
            seller=account.seller_in({name: references.get(listed_name) for name, listed_name in _REFERENCES.items()}),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def parse_order(order: Mapping[str, Any], account: PayPalAccount, capture: Capture) -> ListedPurchase | None:
    """Return the purchase of this capture, or None if the order does not contain the capture with an address."""
    try:
        [unit] = [unit for unit in order["purchase_units"] if capture.id in _read_captures(unit)]
        sources = order.get("payment_source") or {}
        [source] = sources or ["paypal"]
        email = _find_email([order.get("payer"), sources.get(source)])
        texts = read_texts(unit, _REFERENCES) | dict(capture.metadata)
        amount = unit.get("amount") or {}
        is_whole = amount and parse_amount(amount) == capture.amount
        tax = (amount.get("breakdown") or {}).get("tax_total") if is_whole else None
        product = _find_product(_read_names(unit, "items", "name"), unit, "description")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if email is None:
        return None
    return ListedPurchase(
        charge=capture.id,
        other_ids=(capture.order,) if capture.order else (),
        amount=capture.amount,
        email=email,
        references={_REFERENCES[name]: text for name, text in texts.items()},
        product=product,
        method=_find_method(source),
        purchased_at=capture.created,
        tax=_parse_tax(tax, capture.amount),
        seller=account.seller_in(texts),
    )


def _read_captures(unit: Mapping[str, Any]) -> list[str]:
    return [row["id"] for row in (unit.get("payments") or {}).get("captures") or []]


def _read_order(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the id of the payment's order, if the transaction names an order."""
    order = info.get("paypal_reference_id")
    is_order = info.get("paypal_reference_id_type") == "ODR" and type(order) is str and ID.fullmatch(order)
    return (order,) if is_order and order else ()


def _find_email(sources: Iterable[Any]) -> str | None:
    emails = (source.get("email_address") for source in sources if type(source) is dict)
    return next(
        (email.strip() for email in emails if type(email) is str and "@" in email and len(email) <= MAX_TEXT), None
    )


def _read_names(parent: Any, rows: str, name: str) -> list[str]:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the names of the items. An item without a readable name is left out."""
    items = parent.get(rows) if type(parent) is dict else None
    names = [item.get(name) for item in items if type(item) is dict] if type(items) is list else []
    return [text for text in names if type(text) is str]


def _find_product(names: Iterable[str], row: Mapping[str, Any], fallback: str) -> str:
    """Return the names of the items, or the text in the field ``fallback``."""
    text = ", ".join(names) or row.get(fallback)
    return text.strip()[:MAX_TEXT] if type(text) is str else ""


def _find_method(word: object) -> str:
    """Return the payment method. Transactions from before PayPal's field instrument_type existed have no word."""
    if type(word) is not str or not word:
        return Method.PAYPAL
    return METHODS.get(word.upper().replace(" ", "_"), word)


def _parse_tax(row: Any, amount: Money) -> int | None:  # noqa: ANN401 - PayPal's JSON may be anything
    """Return the tax in minor units, or None if PayPal shows no tax that is a part of the amount."""
    try:
        tax = parse_amount(row)
    except (KeyError, TypeError, ValueError):
        return None
    return tax.minor if tax.currency == amount.currency and tax.minor <= amount.minor else None
