"""Maps Braintree's codes to the types of Moneyback, and declares what Braintree can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus, Route
from domain.purchases import Dispute, Method

_WALLET = Route(window=timedelta(days=180), synchronous=False)

CAPABILITIES = Capabilities(
    # Braintree's GraphQL reference, RefundTransactionInput.apiRequestKey: 30 days. The SDK sends the same key in XML.
    # Braintree documents no period for XML, so we rely on one day only.
    idempotency_key_ttl=timedelta(days=1),
    # Braintree's documentation, "Transaction: Refund": a refund cannot be more than its transaction. But settlement response
    # 4026 mentions PayPal and Venmo accounts that may refund more than was settled.
    rejects_over_refund=False,
    shows_payments=True,
    lists_disputes=True,
    finds_charges=True,
    # Braintree's search returns the ids of all transactions instead of a page, so a list of all sales would be too large.
    lists_purchases=False,
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
    # CannotRefundUnlessSettled. A void is possible, but it is not a refund. A sale that will never be settled is declined before
    # the call (PAYMENT_STATUSES).
    "91506": DeclineReason.NOT_YET_REFUNDABLE,
    "91574": DeclineReason.NOT_YET_REFUNDABLE,  # CannotRefundSettlingTransaction
    "91512": DeclineReason.ALREADY_REFUNDED,  # HasAlreadyBeenRefunded
    "91521": DeclineReason.ALREADY_REFUNDED,  # RefundAmountIsTooLarge: a part was refunded before
    "91538": DeclineReason.INVALID_CREDENTIALS,  # CannotRefundWithSuspendedMerchantAccount: refund after it is active again
    "91547": DeclineReason.PERMANENT,  # MerchantAccountDoesNotSupportRefunds
    "91559": DeclineReason.INVALID_CREDENTIALS,  # CannotRefundWithPendingMerchantAccount: refund after it is active
    "915200": DeclineReason.PERMANENT,  # RefundAuthHardDeclined
    "915201": DeclineReason.NOT_YET_REFUNDABLE,  # RefundAuthSoftDeclined: "try again at a later time"
    # ApiRequestKeyNotAllowed: without keys a refund could be paid twice. Refund after Braintree has enabled keys for the account
    "915231": DeclineReason.INVALID_CREDENTIALS,
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
    # Transaction.Status: the seller voided the refund before it was settled
    "voided": DeclineReason.CANCELLED,
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

PAYMENT_STATUSES: Mapping[str, bool] = {
    # Braintree's documentation, "Statuses", "Transaction"
    "submitted_for_settlement": True,  # until the sale is settled, the refund call answers 91506, and is repeated later
    "settlement_pending": True,
    "settling": True,
    "settlement_confirmed": True,
    "settled": True,
    "authorizing": False,
    "authorized": False,  # nothing is captured until the seller submits the sale for settlement
    "authorization_expired": False,
    "voided": False,
    "failed": False,
    "gateway_rejected": False,
    "processor_declined": False,
    "settlement_declined": False,
    "settlement_failed": False,
}
"""True for each status in which the customer has paid or will pay. A sale with any other status than these cannot be read."""

METHODS: Mapping[str, str] = {
    # braintree.PaymentInstrumentType
    "credit_card": Method.CREDIT_CARD,
    "paypal_account": Method.PAYPAL,
    "paypal_here": Method.PAYPAL,
    "apple_pay_card": Method.APPLE_PAY,
    "android_pay_card": Method.GOOGLE_PAY,
    "sepa_debit_account": Method.DIRECT_DEBIT,
    "us_bank_account": Method.DIRECT_DEBIT,
    "europe_bank_account": Method.DIRECT_DEBIT,
    "venmo_account": "venmo",
}
"""Moneyback's word for each payment instrument of Braintree. Other instruments keep Braintree's word."""

RETRIEVAL = "retrieval"
"""The kind of a dispute with which the bank or PayPal only asks about the sale (braintree.Dispute.Kind)."""

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

RETRIEVALS: Mapping[str, Dispute] = {
    status: Dispute.INQUIRY if dispute is Dispute.OPEN else Dispute.WON for status, dispute in DISPUTES.items()
}
"""The status of a retrieval. Nobody takes money for a retrieval, so each retrieval that ended counts as won, however it ended.

If the bank takes the money later, Braintree creates a chargeback: a dispute of its own.
"""
