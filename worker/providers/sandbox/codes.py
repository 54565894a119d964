"""Maps the sandbox's codes to the types of Moneyback, and declares what the sandbox can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus
from domain.purchases import Dispute

# The sandbox has typical capabilities of real providers.
CAPABILITIES = Capabilities(idempotency_key_ttl=timedelta(hours=24), rejects_over_refund=True)

CODES: Mapping[str, DeclineReason] = {
    "charge_already_refunded": DeclineReason.ALREADY_REFUNDED,
    "charge_disputed": DeclineReason.DISPUTED,
    "insufficient_balance": DeclineReason.INSUFFICIENT_BALANCE,
    "refund_window_closed": DeclineReason.REFUND_WINDOW_EXPIRED,
    "charge_not_settled": DeclineReason.NOT_YET_REFUNDABLE,
    "refund_declined": DeclineReason.PERMANENT,
}
"""The decline reason of each error code. Any other code of a 4xx response is PERMANENT, because nothing was paid."""

UNDECIDED_STATUSES = frozenset({408, 425, 429})  # after these statuses, the outcome is unknown
UNDECIDED_CODES = frozenset(
    {"idempotency_key_in_use"}
)  # another call with our key is in progress, and may make the refund

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    "succeeded": RefundStatus.PAID,
    "pending": RefundStatus.PENDING,
    "failed": RefundStatus.FAILED,
}

DISPUTES: Mapping[str, Dispute] = {"open": Dispute.OPEN, "lost": Dispute.LOST, "won": Dispute.WON}
