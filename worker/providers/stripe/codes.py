"""What Stripe's words mean. Sources: its pages "Error codes", "Refunds" (failure reasons) and "The Dispute object"."""

from collections.abc import Mapping

from domain.providers import Refusal, Standing
from domain.purchases import Dispute

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
"""Of errors and of failed refunds. Any other word of a 4xx is PERMANENT: Stripe did nothing, and a person has a look."""

UNDECIDED_CODES = {
    "rate_limit",  # "not now", whatever the status
    "lock_timeout",
    "idempotency_key_in_use",
    "idempotency_error",  # another request was made under our key before, and that one may have paid
}
UNDECIDED_STATUSES = {
    408,  # not in time
    409,  # a call with our key is under way there
    424,  # somebody behind Stripe failed: as at a 5xx, nobody knows
    425,
    429,  # too many calls, or the charge is locked by another one
}
CREDENTIALS = {401, 403}  # a person mends them, and the same refund goes on

STANDINGS: Mapping[str, Standing] = {
    "succeeded": Standing.PAID,
    "pending": Standing.PENDING,  # also for want of balance: Stripe sends it once there is some
    "requires_action": Standing.PENDING,  # the customer is asked for a bank account
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
    "prevented": Dispute.LOST,  # mostly by giving the money back, outside of the refunds
    "won": Dispute.WON,
    "warning_closed": Dispute.WON,
}
