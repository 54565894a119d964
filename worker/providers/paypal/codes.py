"""Maps PayPal's codes to ours, and declares what PayPal can do. The API description is "Payments", v2."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, Refusal, Route, Standing
from domain.purchases import Dispute

CAPABILITIES = Capabilities(
    # "Payments", header PayPal-Request-Id: "The server stores keys for 45 days."
    keys_live=timedelta(days=45),
    # "Payments", REFUND_AMOUNT_EXCEEDED: no more than the part of the capture that has not yet been refunded.
    capped=True,
    # PayPal publishes no rate limit and changes it ("Rate limiting"). This limit is our choice; PayPal answers 429 to too
    # many calls.
    calls_per_second=10.0,
    # PayPal's help, "How do I issue a refund": within 180 days, whatever the payment method. A refund is PENDING only
    # while the seller's bank pays for it by eCheck ("Payments", refund_status_details).
    otherwise=Route(window=timedelta(days=180)),
)

CODES: Mapping[str, Refusal] = {
    # "Payments", captures.refund: the issues of a 422
    "CAPTURE_FULLY_REFUNDED": Refusal.ALREADY_REFUNDED,
    "CAPTURED_AMOUNT_FULLY_REFUNDED": Refusal.ALREADY_REFUNDED,  # the older name, of v1
    "REFUND_AMOUNT_EXCEEDED": Refusal.ALREADY_REFUNDED,  # we refund the whole amount, so a part was refunded before
    "DUPLICATE_INVOICE_ID": Refusal.ALREADY_REFUNDED,  # our key is the invoice id, so only our own refund can have used it
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": Refusal.DISPUTED,
    "TRANSACTION_DISPUTED": Refusal.DISPUTED,
    "REFUND_FAILED_INSUFFICIENT_FUNDS": Refusal.NO_BALANCE,
    "REFUND_TIME_LIMIT_EXCEEDED": Refusal.WINDOW_OVER,
    "REFUND_TIME_EXCEEDED_FOR_PAYMENT_SOURCE": Refusal.WINDOW_OVER,
    "PENDING_CAPTURE": Refusal.NOT_YET,
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": Refusal.PERMANENT,
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": Refusal.PERMANENT,
    "PAYEE_ACCOUNT_RESTRICTED": Refusal.PERMANENT,
    "REFUND_NOT_ALLOWED": Refusal.PERMANENT,
    "REFUND_IS_RESTRICTED": Refusal.PERMANENT,
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": Refusal.PERMANENT,
    "PARTIAL_REFUND_NOT_ALLOWED": Refusal.PERMANENT,
    "REFUND_CAPTURE_CURRENCY_MISMATCH": Refusal.PERMANENT,
    "CURRENCY_MISMATCH": Refusal.PERMANENT,
    "INVALID_CURRENCY_CODE": Refusal.PERMANENT,
    "REFUND_AMOUNT_TOO_LOW": Refusal.PERMANENT,
    "CANNOT_BE_ZERO_OR_NEGATIVE": Refusal.PERMANENT,
    "CANNOT_BE_NEGATIVE": Refusal.PERMANENT,
    "DECIMAL_PRECISION": Refusal.PERMANENT,
    "DECIMALS_NOT_SUPPORTED": Refusal.PERMANENT,
    "PLATFORM_FEE_EXCEEDED": Refusal.PERMANENT,
    "PLATFORM_FEE_NOT_ENABLED": Refusal.PERMANENT,
    # a 400 and a 404
    "MISSING_REQUIRED_PARAMETER": Refusal.PERMANENT,
    "INVALID_PARAMETER_SYNTAX": Refusal.PERMANENT,
    "INVALID_STRING_LENGTH": Refusal.PERMANENT,
    "INVALID_RESOURCE_ID": Refusal.PERMANENT,
}
"""The decline reason by issue; a refusal may name several. Any other issue is PERMANENT: a request that PayPal refuses
with an issue "could not be performed" ("Payments", error_400 and error_422), so nothing was paid."""

UNDECIDED_CODES = frozenset(
    {
        "PREVIOUS_REQUEST_IN_PROGRESS",  # another call with our key is in progress, and may pay
        "DUPLICATE_REQUEST_ID",  # our key was used for another request, which may have paid
    }
)
UNDECIDED_STATUSES = frozenset({408, 409, 425, 429})  # "not now" and "not in time" leave the outcome open

STANDINGS: Mapping[str, Standing] = {
    "COMPLETED": Standing.PAID,
    "PENDING": Standing.PENDING,
    "FAILED": Standing.FAILED,
    "CANCELLED": Standing.FAILED,
}
"""A refund's status. A reply with a status that is not listed here is Unknown."""

FAILURE_REASONS: Mapping[str, Refusal] = {
    "ECHECK": Refusal.NO_BALANCE,  # the seller's bank did not pay the eCheck for the refund
}
"""Why a refund failed (refund_status_details). A failure without a known reason is PERMANENT."""

DISPUTE_OUTCOMES: Mapping[str, Dispute] = {
    "RESOLVED_SELLER_FAVOUR": Dispute.WON,
    "CANCELED_BY_BUYER": Dispute.WON,
    "DENIED": Dispute.WON,
}
"""How a dispute was resolved ("Disputes", v1, dispute_outcome). After any other outcome the customer has money back, or
may have."""
