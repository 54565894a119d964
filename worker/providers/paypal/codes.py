"""Maps PayPal's codes to the types of Moneyback, and declares what PayPal can do.

In the comments, "Payments" is PayPal's description of its Payments API, version 2. "Disputes" is the description of its
Disputes API, version 1, and "Transactions" that of its Transaction Search API, version 1.
"""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import AccessRight, Capabilities, DeclineReason, RefundStatus, Route
from domain.purchases import Dispute, Method

CAPABILITIES = Capabilities(
    # "Payments", header PayPal-Request-Id: "The server stores keys for 45 days."
    idempotency_key_ttl=timedelta(days=45),
    # "Payments", REFUND_AMOUNT_EXCEEDED: a refund cannot be more than the part of the capture that is not refunded yet.
    rejects_over_refund=True,
    shows_payments=True,
    lists_disputes=True,
    lists_purchases=True,
    finds_charges=True,
    # PayPal does not publish its rate limit, and may change the limit (PayPal's page "Rate limiting"). We chose 10 calls
    # per second. PayPal responds with status 429 to too many calls.
    calls_per_second=10.0,
    # PayPal's help, "How do I issue a refund": a payment can be refunded until 180 days after the payment. A refund is
    # PENDING only while the seller's bank pays for it by eCheck ("Payments", refund_status_details).
    default_route=Route(window=timedelta(days=180)),
)

CODES: Mapping[str, DeclineReason] = {
    # "Payments", captures.refund: the issues (error codes) of a response with status 422
    "CAPTURE_FULLY_REFUNDED": DeclineReason.ALREADY_REFUNDED,
    "CAPTURED_AMOUNT_FULLY_REFUNDED": DeclineReason.ALREADY_REFUNDED,  # the older name, from version 1 of the API
    "REFUND_AMOUNT_EXCEEDED": DeclineReason.ALREADY_REFUNDED,  # we refund the whole amount, so a part was refunded before
    "DUPLICATE_INVOICE_ID": DeclineReason.ALREADY_REFUNDED,  # the invoice id is our key, so our own refund used it
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": DeclineReason.DISPUTED,
    "TRANSACTION_DISPUTED": DeclineReason.DISPUTED,
    "REFUND_FAILED_INSUFFICIENT_FUNDS": DeclineReason.INSUFFICIENT_BALANCE,
    "REFUND_TIME_LIMIT_EXCEEDED": DeclineReason.REFUND_WINDOW_EXPIRED,
    "REFUND_TIME_EXCEEDED_FOR_PAYMENT_SOURCE": DeclineReason.REFUND_WINDOW_EXPIRED,
    "PENDING_CAPTURE": DeclineReason.NOT_YET_REFUNDABLE,
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": DeclineReason.PERMANENT,
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": DeclineReason.PERMANENT,
    "PAYEE_ACCOUNT_RESTRICTED": DeclineReason.PERMANENT,
    "REFUND_NOT_ALLOWED": DeclineReason.PERMANENT,
    "REFUND_IS_RESTRICTED": DeclineReason.PERMANENT,
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": DeclineReason.PERMANENT,
    "PARTIAL_REFUND_NOT_ALLOWED": DeclineReason.PERMANENT,
    "REFUND_CAPTURE_CURRENCY_MISMATCH": DeclineReason.PERMANENT,
    "CURRENCY_MISMATCH": DeclineReason.PERMANENT,
    "INVALID_CURRENCY_CODE": DeclineReason.PERMANENT,
    "REFUND_AMOUNT_TOO_LOW": DeclineReason.PERMANENT,
    "CANNOT_BE_ZERO_OR_NEGATIVE": DeclineReason.PERMANENT,
    "CANNOT_BE_NEGATIVE": DeclineReason.PERMANENT,
    "DECIMAL_PRECISION": DeclineReason.PERMANENT,
    "DECIMALS_NOT_SUPPORTED": DeclineReason.PERMANENT,
    "PLATFORM_FEE_EXCEEDED": DeclineReason.PERMANENT,
    "PLATFORM_FEE_NOT_ENABLED": DeclineReason.PERMANENT,
    # the issues of a response with status 400 or 404
    "MISSING_REQUIRED_PARAMETER": DeclineReason.PERMANENT,
    "INVALID_PARAMETER_SYNTAX": DeclineReason.PERMANENT,
    "INVALID_STRING_LENGTH": DeclineReason.PERMANENT,
    "INVALID_RESOURCE_ID": DeclineReason.PERMANENT,
}
"""The decline reason for each issue. A reply may have several issues.

An issue that is neither in this table nor in UNDECIDED_CODES is PERMANENT. PayPal sends an issue only if the request "could not
be performed" ("Payments", error_400, error_422), so nothing was paid.
"""

INVALID_RESOURCE_ID = "INVALID_RESOURCE_ID"

UNDECIDED_CODES = frozenset(
    {
        "PREVIOUS_REQUEST_IN_PROGRESS",  # another call with our key is in progress, and may pay
        "DUPLICATE_REQUEST_ID",  # our key was used for another request, which may have paid
    }
)
UNDECIDED_STATUSES = frozenset({408, 409, 425, 429})  # after a temporary error or a timeout, the outcome is unknown

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    "COMPLETED": RefundStatus.PAID,
    "PENDING": RefundStatus.PENDING,
    "FAILED": RefundStatus.FAILED,
    "CANCELLED": RefundStatus.FAILED,
}
"""Maps PayPal's status of a refund to ours. If a status is not in this table, the refund's result is Unknown."""

TRANSACTION_STATUSES: Mapping[str, str] = {
    # "Transactions", transaction_status
    "S": "COMPLETED",
    "P": "PENDING",
    "D": "FAILED",
    "V": "CANCELLED",  # reversed: the money came back to the seller
}
"""For each status of a refund in PayPal's transaction search, the status of the refund in PayPal's Payments API."""

FAILURES: Mapping[str, DeclineReason] = {
    "ECHECK": DeclineReason.INSUFFICIENT_BALANCE,  # the seller's bank did not pay the eCheck for the refund
    "CANCELLED": DeclineReason.CANCELLED,
}
"""The decline reason of a failed refund, by the reason in refund_status_details or by the status. Any other failure is
PERMANENT."""

CAPTURED: Mapping[str, bool] = {
    # "Payments", capture_status
    "COMPLETED": True,
    "PARTIALLY_REFUNDED": True,
    "REFUNDED": True,
    "PENDING": True,  # PayPal has not credited the payment to the seller yet. PayPal itself declines a refund until then
    "DECLINED": False,
    "DENIED": False,  # only the description of capture_status_details names this status
    "FAILED": False,
}
"""For each status of a capture, whether the customer paid. A capture with another status cannot be read."""

DISPUTE_STAGES: Mapping[str, Dispute] = {
    # "Disputes", dispute_lifecycle_stage
    "INQUIRY": Dispute.INQUIRY,  # the customer reported a problem. PayPal decides nothing until somebody escalates the inquiry
    "CHARGEBACK": Dispute.OPEN,
    "PRE_ARBITRATION": Dispute.OPEN,  # the seller's first appeal
    "ARBITRATION": Dispute.OPEN,  # the seller's second appeal
}
"""The status of a dispute that is not resolved, by its stage. Any other stage counts as open."""

DISPUTED_CAPTURES = frozenset(
    {
        # "Payments", capture_status_details: the reasons why a capture is pending or denied
        "BUYER_COMPLAINT",  # the customer opened a dispute at PayPal
        "CHARGEBACK",  # the customer disputed the payment at the bank or card issuer, and the money was taken back
    }
)
"""The reasons in the status details of a capture that show a dispute, even if PayPal lists no dispute of the capture."""

DISPUTE_OUTCOMES: Mapping[str, Dispute] = {
    # "Disputes", dispute_outcome
    "RESOLVED_SELLER_FAVOUR": Dispute.WON,
    "CANCELED_BY_BUYER": Dispute.WON,
    "DENIED": Dispute.WON,
    "RESOLVED_BUYER_FAVOUR": Dispute.LOST,
    "RESOLVED_WITH_PAYOUT": Dispute.LOST,  # PayPal paid the customer, although the seller keeps the money
    "ACCEPTED": Dispute.LOST,  # the seller accepted the claim
    "NONE": Dispute.LOST,  # PayPal does not show who has the money
}
"""The status of a resolved dispute, by its outcome. Any other outcome counts as lost, because the customer may have got the
money back."""

PURCHASE_EVENTS = frozenset(
    {
        # PayPal's page "Transaction event codes", T00nn: the payments that a customer makes to a seller
        "T0000",  # payment of no other category
        "T0002",  # payment of a subscription
        "T0003",  # pre-approved payment
        "T0004",  # eBay auction
        "T0005",  # direct payment by card
        "T0006",  # PayPal Checkout
        "T0007",  # Website Payments Standard
        "T0009",  # purchase of a gift certificate
        "T0010",  # third-party auction
        "T0011",  # mobile payment
        "T0012",  # virtual terminal
        "T0013",  # donation
    }
)
"""The events that are payments. They are purchases if the seller received the amount."""

METHODS: Mapping[str, Method] = {
    # "Transactions", instrument_type, and PayPal's description of its Orders API, version 2, payment_source
    "PAYPAL": Method.PAYPAL,
    "BANK": Method.PAYPAL,  # the customer's PayPal account is debited from a bank account
    "CARD": Method.CREDIT_CARD,
    "CREDIT_CARD": Method.CREDIT_CARD,
    "DEBIT_CARD": Method.CREDIT_CARD,
    "APPLE_PAY": Method.APPLE_PAY,
    "GOOGLE_PAY": Method.GOOGLE_PAY,
}
"""The payment method by PayPal's word in upper case. For any other word, Moneyback keeps PayPal's word."""

SEARCH_FEATURE, DISPUTES_FEATURE = "Transaction search", "Disputes"
FEATURES: Mapping[AccessRight, str] = {
    AccessRight.READ_REFUNDS: SEARCH_FEATURE,
    AccessRight.READ_PAYMENTS: SEARCH_FEATURE,
    AccessRight.READ_DISPUTES: DISPUTES_FEATURE,
}
"""The feature of the REST app that gives each right. The seller enables it in PayPal's developer dashboard."""
