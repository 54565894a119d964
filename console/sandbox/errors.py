"""The error responses of the sandbox provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

REPLAYED = (b"idempotent-replayed", b"true")


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error response: the HTTP status, the error code, and a sentence."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message, **self.details}}

    def repeated(self) -> "ErrorResponse":
        """Return the same error, marked as the stored response of its idempotency key."""
        return replace(self, headers=(*self.headers, REPLAYED))

    def about(self, refund_id: str) -> "ErrorResponse":
        """Return the same error, with the id of the existing refund of the charge."""
        return replace(self, details={"refund": refund_id})


DECLINED = ErrorResponse(400, "refund_declined", "The customer's bank declined this refund.")
DISPUTED = ErrorResponse(
    400, "charge_disputed", "The customer disputes this charge with the bank; it cannot be refunded."
)
CLOSED = ErrorResponse(400, "refund_window_closed", "This charge is too old to be refunded.")
INSUFFICIENT_BALANCE = ErrorResponse(400, "insufficient_balance", "The seller's balance does not cover this refund.")
NOT_SETTLED = ErrorResponse(400, "charge_not_settled", "This charge is not settled yet; it cannot be refunded yet.")
ALREADY_REFUNDED = ErrorResponse(400, "charge_already_refunded", "This charge was already refunded, with another key.")
EXCEEDS_UNREFUNDED = ErrorResponse(
    400, "amount_exceeds_unrefunded", "The amount is more than what is left of the payment after earlier refunds."
)
OTHER_CURRENCY = ErrorResponse(400, "currency_differs", "The payment was made in another currency.")
NOT_CAPTURED = ErrorResponse(
    400, "charge_not_captured", "This payment was not captured; there is nothing that can be refunded."
)
NO_SUCH_CHARGE = ErrorResponse(404, "no_such_charge", "The sandbox knows no payment with this charge.")
APPROVAL_REQUIRED = ErrorResponse(
    400, "approval_required", "A second person must approve this refund; it is made as soon as it is approved."
)
KEY_REUSED = ErrorResponse(
    409, "idempotency_key_reuse", "This key belongs to another refund; a new refund needs a new key."
)
KEY_IN_USE = ErrorResponse(409, "idempotency_key_in_use", "A call with this key is still being carried out.")
BUSY = ErrorResponse(429, "rate_limited", "Too many calls; nothing was carried out.", ((b"retry-after", b"1"),))
BROKEN = ErrorResponse(
    500, "internal_error", "Something went wrong at the sandbox; the refund may or may not have been carried out."
)
JOURNAL_FULL = ErrorResponse(503, "journal_unwritable", "The journal cannot be written; nothing was carried out.")
TIMED_OUT = ErrorResponse(
    504, "timed_out", "The answer took too long; the refund may or may not have been carried out."
)

KEY_MISSING = ErrorResponse(400, "idempotency_key_missing", "The header Idempotency-Key is missing or unusable.")
NOT_JSON = ErrorResponse(400, "not_json", "The body is not JSON.")
INVALID_REFUND_REQUEST = ErrorResponse(
    400,
    "invalid_refund_request",
    'The body must be {"charge": text, "amount": a positive whole number of minor units, "currency": like "EUR"}.',
)
INVALID_PAGE = ErrorResponse(
    400, "invalid_page", "The limit is a number from 1 to 1000; starting_after is an id; since is in epoch seconds."
)
INVALID_DISPUTE = ErrorResponse(
    400,
    "invalid_dispute",
    'A dispute is opened with {"charge": text, "status": "open" or "inquiry"}. '
    'It is changed with {"status": "open", "won" or "lost"}.',
)
DISPUTE_OPEN = ErrorResponse(409, "dispute_open", "This charge has an open dispute or an inquiry already.")
DISPUTE_CLOSED = ErrorResponse(
    409, "dispute_closed", "This dispute cannot get this status; a closed dispute never changes."
)
INVALID_PAYMENT = ErrorResponse(
    400,
    "invalid_payment",
    'The body must be {"charge": text, "amount": a positive whole number of minor units, "currency": like "EUR"}. '
    "It may also contain method, email, reference, product, tax, metadata, status and created.",
)
PAYMENT_EXISTS = ErrorResponse(409, "payment_exists", "Another payment with this charge is registered already.")
INVALID_DASHBOARD_REFUND = ErrorResponse(
    400,
    "invalid_dashboard_refund",
    'The body must be {"charge": text, "amount": number, "currency": text}, and may contain "becomes": "failed".',
)
PERMISSION_MISSING = ErrorResponse(403, "permission_missing", "The key does not have the permission for this call.")
NOT_FOUND = ErrorResponse(404, "not_found", "This path or object does not exist.")
METHOD_NOT_ALLOWED = ErrorResponse(405, "method_not_allowed", "This path does not support this method.")
TOO_LARGE = ErrorResponse(413, "too_large", "The body is larger than 64 KB.")
