"""Reads from Mollie's payments what a purchase needs: the customer's address, the references and the product."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from domain.providers import ListedPurchase
from worker.providers.identifiers import is_identifier
from worker.providers.mollie.amounts import parse_amount
from worker.providers.mollie.payments import Payment
from worker.providers.mollie.resources import PARSE_ERRORS, parse_time

MAX_TEXT = 300  # characters; the longest product or address that a purchase may have

_EMAIL_FIELD = "email"


def parse_purchase(payment: Payment, *, seller: str | None) -> ListedPurchase | None:
    """Return the payment as a purchase. Return None if the customer has not paid, or if a field is missing or wrong."""
    if payment.captured is None or payment.method is None:
        return None
    row = payment.row
    try:
        lines = row.get("lines") or []
        return ListedPurchase(
            charge=payment.id,
            amount=payment.captured,
            email=_find_email(row),
            references=_find_references(row),
            product=_find_product(row, lines),
            method=payment.method,
            purchased_at=parse_time(row.get("paidAt") or row["createdAt"]),
            tax=_add_taxes(lines),
            refunded=payment.refunded,
            dispute=payment.dispute.dispute,
            instrument=_find_instrument(row.get("details") or {}),
            renewal=row.get("sequenceType") == "recurring",
            seller=seller,
        )
    except PARSE_ERRORS:
        return None


def _find_email(row: Mapping[str, Any]) -> str | None:
    """Return the customer's address. ``details.consumerAccount`` names the account that paid, and is no address of an order."""
    sources = (row.get("billingAddress"), row.get("metadata"), row.get("shippingAddress"))
    emails = (source.get(_EMAIL_FIELD) for source in sources if isinstance(source, Mapping))
    return next((email.strip() for email in emails if _is_email(email)), None)


def _is_email(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and "@" in value.strip()[1:-1] and len(value) <= MAX_TEXT


def _find_references(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that may be the reference of the purchase. Metadata may be an object, or one text."""
    metadata = row.get("metadata")
    fields = {f"metadata.{name}": value for name, value in metadata.items()} if isinstance(metadata, Mapping) else {}
    candidates = {"description": row.get("description"), "orderId": row.get("orderId"), "metadata": metadata, **fields}
    texts = {name: str(value).strip() for name, value in candidates.items() if type(value) in {str, int}}
    return {name: text for name, text in texts.items() if is_identifier(text) and not _is_email(text)}


def _find_product(row: Mapping[str, Any], lines: list[dict[str, Any]]) -> str:
    """Return the descriptions of the lines, or the description of the payment if there are no lines."""
    products = [line["description"] for line in lines if line.get("type") not in _NO_PRODUCTS]
    return ", ".join(products or [row["description"]])[:MAX_TEXT]


_NO_PRODUCTS = {"shipping_fee", "discount", "store_credit", "gift_card", "surcharge", "tip"}
"""The types of lines that are no products (docs.mollie.com, "Create payment", field lines)."""


def _add_taxes(lines: list[dict[str, Any]]) -> int | None:
    """Return the sum of the lines' taxes. None if there is no line, or if a line has no tax."""
    if not lines or not all(line.get("vatAmount") for line in lines):
        return None
    return sum(parse_amount(line["vatAmount"]).minor for line in lines)


def _find_instrument(details: dict[str, Any]) -> str | None:
    """Return the id of the card or of the PayPal account. It contains no number of a card or of a bank account."""
    instruments = (details.get("cardFingerprint"), details.get("paypalPayerId"))
    return next((instrument for instrument in instruments if is_identifier(instrument)), None)
