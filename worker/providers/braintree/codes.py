"""Maps Braintree's codes to ours, and declares what Braintree can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, Refusal, Route, Standing
from domain.purchases import Dispute

_WALLET = Route(window=timedelta(days=180), synchronous=False)

CAPABILITIES = Capabilities(
    # Braintree's GraphQL reference, RefundTransactionInput.apiRequestKey: 30 days. The SDK sends the same key in XML,
    # for which Braintree documents nothing, so we rely on one day.
    keys_live=timedelta(days=1),
    # "Transaction: Refund": not more than the transaction. But settlement response 4026 mentions PayPal and Venmo
    # accounts that may refund more than was settled.
    capped=False,
    # Braintree publishes no rate limit, and answers 429 or 503 to too many calls.
    calls_per_second=10.0,
    # "Refunds, Voids, and Detached Credits": PayPal and Venmo within 180 days; others while the method is active. A
    # refund is settled like a sale, and the money is sent only then.
    routes={"paypal": _WALLET, "venmo": _WALLET},
    otherwise=Route(synchronous=False),
)

CODES: Mapping[str, Refusal] = {
    # Validation errors: braintree.error_codes.ErrorCodes.Transaction, and "Validation Errors" of the API's reference
    "91505": Refusal.PERMANENT,  # CannotRefundCredit
    "91506": Refusal.NOT_YET,  # CannotRefundUnlessSettled; it could be voided, but a void is not a refund
    "91574": Refusal.NOT_YET,  # CannotRefundSettlingTransaction
    "91512": Refusal.ALREADY_REFUNDED,  # HasAlreadyBeenRefunded
    "91521": Refusal.ALREADY_REFUNDED,  # RefundAmountIsTooLarge: a part was refunded before
    "91538": Refusal.PERMANENT,  # CannotRefundWithSuspendedMerchantAccount
    "91547": Refusal.PERMANENT,  # MerchantAccountDoesNotSupportRefunds
    "91559": Refusal.PERMANENT,  # CannotRefundWithPendingMerchantAccount
    "915200": Refusal.PERMANENT,  # RefundAuthHardDeclined
    "915201": Refusal.NOT_YET,  # RefundAuthSoftDeclined: "try again at a later time"
    "915231": Refusal.PERMANENT,  # ApiRequestKeyNotAllowed: without keys a refund could be paid twice
    # "Settlement" processor responses
    "4001": Refusal.PERMANENT,  # Settlement Declined
    "4004": Refusal.ALREADY_REFUNDED,  # Already Refunded
    "4018": Refusal.PERMANENT,  # PayPal Pending Payments Not Supported
    "4019": Refusal.DISPUTED,  # PayPal Refund Transaction with an Open Case Not Allowed
    "4020": Refusal.PERMANENT,  # PayPal Refund Attempt Limit Reached
    "4021": Refusal.PERMANENT,  # PayPal Refund Transaction Not Allowed
    "4022": Refusal.PERMANENT,  # PayPal Refund Invalid Partial Amount
    "4023": Refusal.PERMANENT,  # PayPal Refund Merchant Account Missing ACH
    "4024": Refusal.WINDOW_OVER,  # Refund Time Limit Exceeded
    "4025": Refusal.PERMANENT,  # Payer Account Is Locked Or Closed
    "4026": Refusal.ALREADY_REFUNDED,  # not configured to refund more than settled amount: a part was refunded before
    # "Authorization" processor responses, as in "Refund Authorizations"; all other 2000 codes are PERMANENT as well
    "2004": Refusal.PERMANENT,  # Expired Card
    "2005": Refusal.PERMANENT,  # Invalid Credit Card Number
    "2014": Refusal.PERMANENT,  # Processor Declined – Fraud Suspected
    "2047": Refusal.PERMANENT,  # Call Issuer. Pick Up Card.
    "3000": Refusal.NOT_YET,  # Processor Network Unavailable – Try Again
    # Transaction.GatewayRejectionReason, and "Duplicate Transaction Checking": the same amount under the same order id,
    # which is our key, within seconds: the earlier refund succeeded
    "duplicate": Refusal.ALREADY_REFUNDED,
}
"""The decline reason by code. Any other code is PERMANENT: nothing was paid, and support reviews the case."""

UNDECIDED_CODES: Mapping[str, bool] = {
    "915232": False,  # ApiRequestKeyCanBeReusedOnlyWithTheSameRequest
    "915233": False,  # ApiRequestKeyIsInFlight
    "915234": True,  # ApiRequestKeyWithFailedRequest
    "915235": False,  # ApiRequestKeyServerError
}
"""Codes about our key that leave the outcome open. True means that a repeat with this key returns the same code forever."""

STANDINGS: Mapping[str, Standing] = {
    # braintree.Transaction.Status: a refund is paid when it is settled
    "authorizing": Standing.PENDING,
    "authorized": Standing.PENDING,
    "submitted_for_settlement": Standing.PENDING,
    "settling": Standing.PENDING,
    "settlement_pending": Standing.PENDING,
    "settlement_confirmed": Standing.PENDING,
    "settled": Standing.PAID,
    "settlement_declined": Standing.FAILED,
    "settlement_failed": Standing.FAILED,
    "processor_declined": Standing.FAILED,
    "gateway_rejected": Standing.FAILED,
    "authorization_expired": Standing.FAILED,
    "failed": Standing.FAILED,
    "voided": Standing.FAILED,
}
"""A refund's status. A reply with a status that is not listed here is Unknown."""

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
