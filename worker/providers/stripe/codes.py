"""Maps Stripe's codes to the types of Moneyback, and declares what Stripe can do.

The codes come from the pages "Error codes", "Refunds" (failure reasons) and "The Dispute object" of Stripe's documentation. The
other quoted titles are pages of Stripe's documentation, too.
"""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus, Route
from domain.purchases import Dispute

CAPABILITIES = Capabilities(
    # "Idempotent requests": Stripe keeps a key for at least 24 hours, and may remove the key after that time.
    idempotency_key_ttl=timedelta(hours=24),
    # "Create a refund": Stripe returns an error if a refund is more than the part of the charge that is not refunded yet.
    rejects_over_refund=True,
    # "Rate limits": 100 calls per second in live mode. Background jobs should use only a part of the limit.
    calls_per_second=25,
    routes={
        "amazon_pay": Route(window=timedelta(days=90), synchronous=False),  # "Amazon Pay payments", refunds
        "alipay": Route(window=timedelta(days=90), synchronous=False),  # "Alipay payments", refunds
        "direct_debit": Route(window=timedelta(days=180), synchronous=False),  # "SEPA Direct Debit", refunds
        "paypal": Route(window=timedelta(days=180), synchronous=False),  # "PayPal payments", refunds
    },
)

CODES: Mapping[str, DeclineReason] = {
    "charge_already_refunded": DeclineReason.ALREADY_REFUNDED,
    "charge_disputed": DeclineReason.DISPUTED,
    "refund_disputed_payment": DeclineReason.DISPUTED,
    "charge_for_pending_refund_disputed": DeclineReason.DISPUTED,
    "balance_insufficient": DeclineReason.INSUFFICIENT_BALANCE,
    "insufficient_funds": DeclineReason.INSUFFICIENT_BALANCE,
    "charge_pending": DeclineReason.NOT_YET_REFUNDABLE,
    "lost_or_stolen_card": DeclineReason.PERMANENT,
    "expired_or_canceled_card": DeclineReason.PERMANENT,
    "declined": DeclineReason.PERMANENT,
    "merchant_request": DeclineReason.PERMANENT,
    "unknown": DeclineReason.PERMANENT,
    "canceled": DeclineReason.PERMANENT,
    "resource_missing": DeclineReason.PERMANENT,
}
"""The decline reason for each code of an error or of a failed refund.

Any other code of a 4xx response means PERMANENT: Stripe made no refund, and support reviews the case.
"""

UNDECIDED_CODES = {
    "rate_limit",  # a temporary error; the HTTP status does not matter
    "lock_timeout",
    "idempotency_key_in_use",
    "idempotency_error",  # an earlier, different request used our key, and may have paid
}
UNDECIDED_STATUSES = {
    408,  # a timeout
    409,  # a call with our key is in progress
    424,  # a system that Stripe uses has failed. As after a 5xx, the outcome is unknown
    425,
    429,  # too many calls, or another call has locked the charge
}

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    "succeeded": RefundStatus.PAID,
    "pending": RefundStatus.PENDING,  # also if the balance is too low; Stripe sends the refund when the balance is sufficient
    "requires_action": RefundStatus.PENDING,  # Stripe asks the customer for a bank account
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}

DISPUTES: Mapping[str, Dispute] = {
    "warning_needs_response": Dispute.OPEN,
    "warning_under_review": Dispute.OPEN,
    "needs_response": Dispute.OPEN,
    "under_review": Dispute.OPEN,
    "appeal_needs_response": Dispute.OPEN,
    "appeal_under_review": Dispute.OPEN,
    "lost": Dispute.LOST,
    "prevented": Dispute.LOST,  # in most cases the money was returned without a refund
    "won": Dispute.WON,
    "warning_closed": Dispute.WON,
}
