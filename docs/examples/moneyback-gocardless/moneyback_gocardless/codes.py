"""Maps GoCardless' codes to the types of Moneyback, and declares what GoCardless can do.

The quoted titles are sections of GoCardless' API reference. A reason is the field ``reason`` of an error's first detail.
"""

from collections.abc import Mapping
from datetime import timedelta

from moneyback_plugin.adapter import Capabilities, DeclineReason, RefundStatus, Route

CAPABILITIES = Capabilities(
    # "Idempotency keys" names no time after which a key is removed. A day is enough to repeat a lost call. After that,
    # the field total_amount_confirmation still makes a second refund fail.
    idempotency_key_ttl=timedelta(hours=24),
    # "Create a refund": total_amount_confirmation must be the sum of all refunds. The adapter refuses a sum above the payment.
    rejects_over_refund=True,
    shows_payments=True,
    lists_disputes=True,
    finds_charges=True,
    # "Rate limiting": 1,000 calls a minute for each account. Other systems use the account, too.
    calls_per_second=5.0,
    # "Refunds": a refund is sent to the bank after it was created, so its outcome is known later.
    default_route=Route(synchronous=False),
)

REASONS: Mapping[str, DeclineReason] = {
    "available_refund_amount_insufficient": DeclineReason.INSUFFICIENT_BALANCE,
    # The adapter reads the payment's status before a refund, so the status has changed at this moment.
    "refund_payment_invalid_state": DeclineReason.NOT_YET_REFUNDABLE,
    "number_of_refunds_exceeded": DeclineReason.PERMANENT,
    "refund_is_unreachable": DeclineReason.PERMANENT,
    "resource_not_found": DeclineReason.PERMANENT,
}
"""The decline reason of each error. Any other reason is PERMANENT, because GoCardless made no refund."""

UNDECIDED_REASONS = frozenset(
    {
        "total_amount_confirmation_invalid",  # another refund of the payment was made at this moment; it may be ours
    }
)

DIRECT_DEBIT_SCHEMES = frozenset(
    "ach autogiro bacs becs becs_nz betalingsservice pad pay_to sepa_core".split()
)  # a payment with another scheme, such as faster_payments, was sent by the customer

CAPTURED = frozenset({"confirmed", "paid_out", "charged_back"})
"""The statuses of a payment whose money arrived. After ``charged_back``, the bank has taken the money back again."""

NOT_REFUNDABLE: Mapping[str, DeclineReason] = {
    "pending_customer_approval": DeclineReason.NOT_YET_REFUNDABLE,
    "pending_submission": DeclineReason.NOT_YET_REFUNDABLE,
    "submitted": DeclineReason.NOT_YET_REFUNDABLE,
    "cancelled": DeclineReason.NOT_CAPTURED,
    "customer_approval_denied": DeclineReason.NOT_CAPTURED,
    "failed": DeclineReason.NOT_CAPTURED,
    "charged_back": DeclineReason.DISPUTED,
}
"""The statuses of a payment that cannot be refunded ("Payments", "Create a refund")."""

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    "created": RefundStatus.PENDING,
    "pending_submission": RefundStatus.PENDING,
    "submitted": RefundStatus.PENDING,
    "paid": RefundStatus.PAID,
    "cancelled": RefundStatus.FAILED,
    "bounced": RefundStatus.FAILED,
    "funds_returned": RefundStatus.FAILED,
}
"""The statuses of a refund ("Refunds")."""

FAILURES: Mapping[str, DeclineReason] = {"cancelled": DeclineReason.CANCELLED}
"""The reason of a failed refund by its status. Any other status is PERMANENT: the customer's bank returned the money."""
