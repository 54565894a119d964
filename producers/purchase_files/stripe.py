"""The payments export of Stripe's Dashboard (Stripe Support, "Exporting payment data").

The unified export has the column ``Created date (UTC)``, the older export ``Created (UTC)``. Amounts are decimal.
"""

from producers.purchase_files import words
from producers.purchase_files.amounts import is_negative
from producers.purchase_files.dialect import Dialect, NoPurchase, Prepared, Texts, status_key
from producers.purchase_files.errors import CellError

_NOT_PAID = {
    "failed", "canceled", "cancelled", "incomplete", "uncaptured", "pending", "blocked", "expired", "declined", "processing",
    "requires action", "requires capture", "requires confirmation", "requires payment method",
}  # fmt: skip
_PAID = {
    "paid", "succeeded", "complete", "refunded", "partially refunded", "partial refund", "refund pending", "refund failed",
    "refund canceled",
}  # fmt: skip
"""The statuses of captured payments without a dispute. Other statuses show the state of the dispute."""
_NOT_CAPTURED = {"false", "no"}


def _prepare(texts: Texts) -> Prepared:
    status = status_key(texts.get("_status", ""))
    if status in _NOT_PAID or texts.get("_captured", "").strip().casefold() in _NOT_CAPTURED:
        return NoPurchase("the payment failed, or was not captured")
    dispute = "" if not status or status in _PAID else words.find_dispute(status)
    if dispute is None:
        raise CellError(
            f"The status {texts['_status']!r} of Stripe is unknown. If it is a dispute, write Disputed. If the payment is paid, "
            "write Paid. Otherwise, leave the line out."
        )
    if is_negative(texts.get("amount", "")):
        texts["charge"] = texts.get("_payment") or texts.get("charge", "")  # the id is the id of the refund
    if status == "refunded":
        texts.setdefault("refunded", texts.get("amount", ""))
    texts["dispute"] = texts.get("dispute") or dispute
    texts["method"] = texts.get("method") or _guess_method(texts)
    texts.setdefault("product", texts.get("reference", ""))
    return None


def _guess_method(texts: Texts) -> str:
    """Return the method of a payment in an export without a column for the method.

    The id of a card payment begins with ``ch_``, and the id of other payments with ``py_`` (API reference, "Charges").
    """
    is_card = any(texts.get(name) for name in ("_card", "instrument")) or texts.get("charge", "").startswith("ch_")
    return "credit_card" if is_card else "unknown"


DIALECT = Dialect(
    title="the payments export of Stripe",
    columns={
        "reference": (
            "order_number (metadata)", "order_id (metadata)", "reference (metadata)", "Invoice Number", "Receipt Number", "id",
        ),
        "email": ("Customer Email", "Receipt Email", "customer_email (metadata)", "email (metadata)"),
        "product": ("Description", "Statement Descriptor"),
        "amount": ("Amount",),
        "currency": ("Currency",),
        "refunded": ("Amount Refunded",),
        "charge": ("id", "Charge ID", "PaymentIntent ID"),
        "method": ("Card Tokenization Method", "Payment Method Type", "Payment Source Type"),
        "instrument": ("Card Fingerprint",),
        "purchased_at": ("Created date (UTC)", "Created (UTC)", "Created"),
        "dispute": ("Dispute Status",),
        "_status": ("Status",),
        "_payment": ("Charge ID", "PaymentIntent ID"),
        "_captured": ("Captured",),
        "_card": ("Card ID", "Card Last4", "Card Brand"),
    },
    needed=("charge", "email", "amount", "currency", "purchased_at"),
    values={"provider": "stripe"},
    prepare=_prepare,
)  # fmt: skip
