"""Maps Stripe's codes to ours, and declares what Stripe can do.

Sources are Stripe's pages "Error codes", "Refunds" (failure reasons) and "The Dispute object".
"""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, Refusal, Route, Standing
from domain.purchases import Dispute

CAPABILITIES = Capabilities(
    keys_live=timedelta(hours=24),  # "Idempotent requests": keys can be removed once they are at least 24 hours old
    capped=True,  # "Create a refund": an error is raised when more is refunded than is left on the charge
    calls_per_second=25,  # "Rate limits": 100 in live mode; background jobs should take only a part of it
    routes={
        "amazon_pay": Route(window=timedelta(days=90), synchronous=False),  # "Amazon Pay payments", refunds
        "alipay": Route(window=timedelta(days=90), synchronous=False),  # "Alipay payments", refunds
        "direct_debit": Route(window=timedelta(days=180), synchronous=False),  # "SEPA Direct Debit", refunds
        "paypal": Route(window=timedelta(days=180), synchronous=False),  # "PayPal payments", refunds
    },
)

CODES: Mapping[str, Refusal] = {
    "charge_already_refunded": Refusal.ALREADY_REFUNDED,
    "charge_disputed": Refusal.DISPUTED,
    "refund_disputed_payment": Refusal.DISPUTED,
    "charge_for_pending_refund_disputed": Refusal.DISPUTED,
    "balance_insufficient": Refusal.NO_BALANCE,
    "insufficient_funds": Refusal.NO_BALANCE,
    "charge_pending": Refusal.NOT_YET,
    "lost_or_stolen_card": Refusal.PERMANENT,
    "expired_or_canceled_card": Refusal.PERMANENT,
    "declined": Refusal.PERMANENT,
    "merchant_request": Refusal.PERMANENT,
    "unknown": Refusal.PERMANENT,
    "canceled": Refusal.PERMANENT,
    "resource_missing": Refusal.PERMANENT,
}
"""The decline reason by the code of an error or of a failed refund. Any other code of a 4xx is PERMANENT: Stripe did
nothing, and support reviews the case."""

UNDECIDED_CODES = {
    "rate_limit",  # "not now", with any status
    "lock_timeout",
    "idempotency_key_in_use",
    "idempotency_error",  # an earlier, different request used our key, and may have paid
}
UNDECIDED_STATUSES = {
    408,  # not in time
    409,  # a call with our key is in progress
    424,  # a system behind Stripe failed: as with a 5xx, the outcome is unknown
    425,
    429,  # too many calls, or another call has locked the charge
}

STANDINGS: Mapping[str, Standing] = {
    "succeeded": Standing.PAID,
    "pending": Standing.PENDING,  # also if the balance is too low: Stripe sends the refund once it is sufficient
    "requires_action": Standing.PENDING,  # Stripe asks the customer for a bank account
    "failed": Standing.FAILED,
    "canceled": Standing.FAILED,
}

DISPUTES: Mapping[str, Dispute] = {
    "warning_needs_response": Dispute.OPEN,
    "warning_under_review": Dispute.OPEN,
    "needs_response": Dispute.OPEN,
    "under_review": Dispute.OPEN,
    "appeal_needs_response": Dispute.OPEN,
    "appeal_under_review": Dispute.OPEN,
    "lost": Dispute.LOST,
    "prevented": Dispute.LOST,  # mostly by returning the money without a refund
    "won": Dispute.WON,
    "warning_closed": Dispute.WON,
}
