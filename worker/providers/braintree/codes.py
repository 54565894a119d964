"""Maps Braintree's codes to the types of Moneyback, and declares what Braintree can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus, Route
from domain.purchases import Dispute

_WALLET = Route(window=timedelta(days=180), synchronous=False)

CAPABILITIES = Capabilities(
    # Braintree's GraphQL reference, RefundTransactionInput.apiRequestKey: 30 days. The SDK sends the same key in XML.
    # Braintree documents no period for XML, so we rely on one day only.
    idempotency_key_ttl=timedelta(days=1),
    # Braintree's documentation, "Transaction: Refund": a refund cannot be more than its transaction. But settlement response
    # 4026 mentions PayPal and Venmo accounts that may refund more than was settled.
    rejects_over_refund=False,
    # Braintree publishes no rate limit, so this limit is our choice. Braintree answers 429 or 503 to too many calls.
    calls_per_second=10.0,
    # Braintree's documentation, "Refunds, Voids, and Detached Credits": PayPal and Venmo allow refunds within 180 days.
    # Another payment method allows refunds as long as the method is active. A refund is settled like a sale. The settlement
    # sends the money.
    routes={"paypal": _WALLET, "venmo": _WALLET},
    default_route=Route(synchronous=False),
)

CODES: Mapping[str, DeclineReason] = {
    # Validation errors: braintree.error_codes.ErrorCodes.Transaction, and "Validation Errors" of the API's reference
    "91505": DeclineReason.PERMANENT,  # CannotRefundCredit
    "91506": DeclineReason.NOT_YET_REFUNDABLE,  # CannotRefundUnlessSettled; a void is possible, but it is not a refund
    "91574": DeclineReason.NOT_YET_REFUNDABLE,  # CannotRefundSettlingTransaction
    "91512": DeclineReason.ALREADY_REFUNDED,  # HasAlreadyBeenRefunded
    "91521": DeclineReason.ALREADY_REFUNDED,  # RefundAmountIsTooLarge: a part was refunded before
    "91538": DeclineReason.PERMANENT,  # CannotRefundWithSuspendedMerchantAccount
    "91547": DeclineReason.PERMANENT,  # MerchantAccountDoesNotSupportRefunds
    "91559": DeclineReason.PERMANENT,  # CannotRefundWithPendingMerchantAccount
    "915200": DeclineReason.PERMANENT,  # RefundAuthHardDeclined
    "915201": DeclineReason.NOT_YET_REFUNDABLE,  # RefundAuthSoftDeclined: "try again at a later time"
    "915231": DeclineReason.PERMANENT,  # ApiRequestKeyNotAllowed: without keys a refund could be paid twice
    # Braintree's documentation, "Settlement" processor responses
    "4001": DeclineReason.PERMANENT,  # Settlement Declined
    "4004": DeclineReason.ALREADY_REFUNDED,  # Already Refunded
    "4018": DeclineReason.PERMANENT,  # PayPal Pending Payments Not Supported
    "4019": DeclineReason.DISPUTED,  # PayPal Refund Transaction with an Open Case Not Allowed
    "4020": DeclineReason.PERMANENT,  # PayPal Refund Attempt Limit Reached
    "4021": DeclineReason.PERMANENT,  # PayPal Refund Transaction Not Allowed
    "4022": DeclineReason.PERMANENT,  # PayPal Refund Invalid Partial Amount
    "4023": DeclineReason.PERMANENT,  # PayPal Refund Merchant Account Missing ACH
    "4024": DeclineReason.REFUND_WINDOW_EXPIRED,  # Refund Time Limit Exceeded
    "4025": DeclineReason.PERMANENT,  # Payer Account Is Locked Or Closed
    "4026": DeclineReason.ALREADY_REFUNDED,  # Not Configured to Refund More than Settled Amount: a part was refunded before
    # Braintree's documentation, "Authorization" processor responses and "Refund Authorizations". All other codes from 2000 to
    # 2999 are PERMANENT as well.
    "2004": DeclineReason.PERMANENT,  # Expired Card
    "2005": DeclineReason.PERMANENT,  # Invalid Credit Card Number
    "2014": DeclineReason.PERMANENT,  # Processor Declined – Fraud Suspected
    "2047": DeclineReason.PERMANENT,  # Call Issuer. Pick Up Card.
    "3000": DeclineReason.NOT_YET_REFUNDABLE,  # Processor Network Unavailable – Try Again
    # Transaction.GatewayRejectionReason: a refund with the same amount and the same order id was made seconds before
    # (Braintree's documentation, "Duplicate Transaction Checking"). The order id is our key, so it was our refund.
    "duplicate": DeclineReason.ALREADY_REFUNDED,
}
"""The decline reason by code. Any other code is PERMANENT: nothing was paid, and support reviews the case."""

UNDECIDED_CODES: Mapping[str, bool] = {
    "915232": False,  # ApiRequestKeyCanBeReusedOnlyWithTheSameRequest
    "915233": False,  # ApiRequestKeyIsInFlight
    "915234": True,  # ApiRequestKeyWithFailedRequest
    "915235": False,  # ApiRequestKeyServerError
}
"""Codes about our key that leave the outcome open. True means that every repeated call with this key returns the same code."""

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    # braintree.Transaction.Status: a refund is paid when it is settled
    "authorizing": RefundStatus.PENDING,
    "authorized": RefundStatus.PENDING,
    "submitted_for_settlement": RefundStatus.PENDING,
    "settling": RefundStatus.PENDING,
    "settlement_pending": RefundStatus.PENDING,
    "settlement_confirmed": RefundStatus.PENDING,
    "settled": RefundStatus.PAID,
    "settlement_declined": RefundStatus.FAILED,
    "settlement_failed": RefundStatus.FAILED,
    "processor_declined": RefundStatus.FAILED,
    "gateway_rejected": RefundStatus.FAILED,
    "authorization_expired": RefundStatus.FAILED,
    "failed": RefundStatus.FAILED,
    "voided": RefundStatus.FAILED,
}
"""Our status of a refund for each of Braintree's statuses. A reply with a status that is not listed here is Unknown."""

DISPUTES: Mapping[str, Dispute] = {
    # braintree.Dispute.Status
    "open": Dispute.OPEN,
    "disputed": Dispute.OPEN,
    "under_review": Dispute.OPEN,
    "won": Dispute.WON,
    "lost": Dispute.LOST,
    "accepted": Dispute.LOST,
    "auto_accepted": Dispute.LOST,
    "expired": Dispute.LOST,  # the seller did not respond in time
}
