"""Parses Stripe's payments as purchases. Each charge is expanded by the fields in ``EXPAND``."""

from typing import Any

from domain.money import UnknownMoneyError
from domain.providers import DisputeStatus, ListedPurchase
from worker.providers.identifiers import is_identifier
from worker.providers.stripe.amounts import UNITS
from worker.providers.stripe.payments import Payment, SellerReader
from worker.providers.stripe.rows import Row, as_row, parse_time, read_metadata, read_text

EXPAND = ("customer", "invoice", "payment_intent")

PAGE_SIZE = 25  # rows; an expanded charge may have 40 KB, and a reply at most 2 MB


def parse_purchase(payment: Payment, dispute: DisputeStatus, *, read_seller: SellerReader) -> ListedPurchase | None:
    """Return the purchase, or None if nothing was captured or a field cannot be read."""
    charge, invoice = payment.charge, as_row(payment.charge.get("invoice"))
    ids = _read_ids(payment)
    metadata = _read_all_metadata(payment, invoice)
    try:
        amount = payment.captured()
        if amount is None or not ids or charge.get("status") != "succeeded":
            return None
        return ListedPurchase(
            charge=ids[0],
            other_ids=tuple(ids[1:]),
            amount=amount,
            email=_read_email(charge),
            references=_read_references(charge, invoice, metadata),
            product=_read_product(charge, invoice),
            method=payment.method or "unknown",
            purchased_at=parse_time(charge.get("created")),
            tax=_read_tax(payment, invoice),
            refunded=payment.refunded(),
            dispute=dispute.dispute,
            instrument=payment.instrument,
            renewal=invoice.get("billing_reason") == "subscription_cycle",
            seller=read_seller(metadata),
        )
    except (UnknownMoneyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _read_ids(payment: Payment) -> list[str]:
    """Return the id of the payment intent, if there is one, and the id of the charge. Return no id if an id is not valid."""
    charge_id, intent = payment.charge.get("id"), payment.charge.get("payment_intent")
    intent_id = payment.intent.get("id", intent)
    ids: list[Any] = [charge_id] if intent_id is None else [intent_id, charge_id]
    return ids if all(map(is_identifier, ids)) else []


def _read_all_metadata(payment: Payment, invoice: Row) -> dict[str, str]:
    """Return the metadata of subscription, invoice, payment intent and charge. The metadata of the charge takes precedence."""
    subscription = as_row(invoice.get("subscription_details"))
    return read_metadata(subscription) | read_metadata(invoice) | payment.metadata


def _read_email(charge: Row) -> str | None:
    """Return the address that the customer entered, else the address for the receipt, else the customer's address."""
    candidates = (
        read_text(as_row(charge.get("billing_details")), "email"),
        read_text(charge, "receipt_email"),
        read_text(as_row(charge.get("customer")), "email"),
    )
    return next(filter(None, candidates), None)


def _read_references(charge: Row, invoice: Row, metadata: dict[str, str]) -> dict[str, str]:
    numbers = {
        "receipt_number": read_text(charge, "receipt_number"),
        "invoice_number": read_text(invoice, "number"),
    }
    fields = {f"metadata.{name}": value for name, value in metadata.items()}
    return {name: value for name, value in (numbers | fields).items() if value}


def _read_product(charge: Row, invoice: Row) -> str:
    """Return the lines of the invoice, or the description, or the text on the customer's bank statement.

    The lines come first, because the description of a subscription's charge is always "Subscription update".
    """
    lines = as_row(invoice.get("lines")).get("data")
    texts = [read_text(as_row(line), "description") for line in lines] if type(lines) is list else []
    fallbacks = ("description", "calculated_statement_descriptor", "statement_descriptor")
    return ", ".join(filter(None, texts)) or next(filter(None, (read_text(charge, name) for name in fallbacks)), "")


def _read_tax(payment: Payment, invoice: Row) -> int | None:
    """Return the tax of the invoice, if the payment paid the whole invoice. Raise UnknownMoneyError if it is not an amount."""
    tax, captured = invoice.get("tax"), payment.captured()
    if tax is None or captured is None or invoice.get("total") != UNITS.to_provider(captured):
        return None
    return UNITS.from_provider(tax, captured.currency).minor
