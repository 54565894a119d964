"""Maps the sandbox's codes to the types of Moneyback, and declares what the sandbox can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus
from domain.purchases import Dispute

# The sandbox has typical capabilities of real providers.
CAPABILITIES = Capabilities(
    idempotency_key_ttl=timedelta(hours=24),
    rejects_over_refund=True,
    shows_payments=True,
    lists_disputes=True,
    lists_purchases=True,
)

NO_SUCH_CHARGE = "no_such_charge"
"""The error code of a payment that the sandbox does not know."""

CODES: Mapping[str, DeclineReason] = {
    "charge_already_refunded": DeclineReason.ALREADY_REFUNDED,
    "amount_exceeds_unrefunded": DeclineReason.ALREADY_REFUNDED,  # a lookup shows the earlier refund
    "charge_disputed": DeclineReason.DISPUTED,
    "insufficient_balance": DeclineReason.INSUFFICIENT_BALANCE,
    "refund_window_closed": DeclineReason.REFUND_WINDOW_EXPIRED,
    "charge_not_settled": DeclineReason.NOT_YET_REFUNDABLE,
    "charge_not_captured": DeclineReason.NOT_CAPTURED,
    "currency_differs": DeclineReason.PAYMENT_DIFFERS,
    NO_SUCH_CHARGE: DeclineReason.PERMANENT,
    "refund_declined": DeclineReason.PERMANENT,
}
"""The decline reason of each error code. Any other code of a 4xx response is PERMANENT, because nothing was paid."""

UNDECIDED_STATUSES = frozenset({408, 425, 429})  # after these statuses, the outcome is unknown
UNDECIDED_CODES = frozenset(
    {"idempotency_key_in_use"}
)  # another call with our key is in progress, and may make the refund

APPROVAL_REQUIRED = "approval_required"
"""The error code of a refund that waits for an approval."""
WAITS_FOR_APPROVAL = "requires_approval"
"""The status of a refund that waits for an approval. Only a lookup by the key shows such a refund."""
CUSTOMER_MUST_ACT = "requires_action"
"""The status of a refund for which the customer must name a bank account."""
CANCELED = "canceled"
"""The status of a refund that the seller canceled, or whose approval was denied."""

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    "succeeded": RefundStatus.PAID,
    "pending": RefundStatus.PENDING,
    CUSTOMER_MUST_ACT: RefundStatus.PENDING,
    WAITS_FOR_APPROVAL: RefundStatus.PENDING,
    "failed": RefundStatus.FAILED,
    CANCELED: RefundStatus.FAILED,
}

PAYMENT_STATUSES = frozenset({"captured", "authorized", "voided", "failed"})
CAPTURED = "captured"

DISPUTES: Mapping[str, Dispute] = {
    "inquiry": Dispute.INQUIRY,
    "open": Dispute.OPEN,
    "lost": Dispute.LOST,
    "won": Dispute.WON,
}
