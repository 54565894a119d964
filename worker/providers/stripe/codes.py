"""Maps Stripe's codes to the types of Moneyback, and declares what Stripe can do.

The codes come from the pages "Error codes", "Refunds" (failure reasons) and "The Dispute object" of Stripe's documentation. The
other quoted titles are pages of Stripe's documentation, too.
"""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus, Route
from domain.purchases import Dispute, Method

CAPABILITIES = Capabilities(
    # "Idempotent requests": Stripe keeps a key for at least 24 hours, and may remove the key after that time.
    idempotency_key_ttl=timedelta(hours=24),
    # "Create a refund": Stripe returns an error if a refund is more than the part of the charge that is not refunded yet.
    rejects_over_refund=True,
    shows_payments=True,
    lists_disputes=True,
    lists_purchases=True,
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
    "amount_too_large": DeclineReason.ALREADY_REFUNDED,  # less than this amount is left. A lookup shows the other refunds
    "charge_disputed": DeclineReason.DISPUTED,
    "refund_disputed_payment": DeclineReason.DISPUTED,
    "charge_for_pending_refund_disputed": DeclineReason.DISPUTED,
    "balance_insufficient": DeclineReason.INSUFFICIENT_BALANCE,
    "insufficient_funds": DeclineReason.INSUFFICIENT_BALANCE,
    "charge_pending": DeclineReason.NOT_YET_REFUNDABLE,
    "lost_or_stolen_card": DeclineReason.PERMANENT,
    "expired_or_canceled_card": DeclineReason.PERMANENT,
    "declined": DeclineReason.PERMANENT,
    "merchant_request": DeclineReason.CANCELLED,
    "canceled": DeclineReason.CANCELLED,
    "resource_missing": DeclineReason.PERMANENT,
}
"""The decline reason for each code of an error or of a failed refund.

Any other code of a 4xx response means PERMANENT: Stripe made no refund, and support reviews the case.
"""

APPROVAL_REQUIRED = "approval_required"
"""The code with which Stripe stops a refund until a second person approves it ("Set up two-party approvals").

The HTTP status does not matter. After the approval, Stripe completes the refund itself, with the metadata of our request.
"""

ACCOUNT_CODES = {
    "account_invalid",  # the account in the header Stripe-Account is unknown, or did not allow us to act for it
    "api_key_expired",
    "livemode_mismatch",
    "more_permissions_required",
    "more_permissions_required_for_application",
    "platform_account_required",
    "platform_api_key_expired",
    "secret_key_required",
    "testmode_charges_only",
}
"""The codes that are the fault of our account or of its settings, so that every call would fail. Nothing was done."""

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
    "warning_needs_response": Dispute.INQUIRY,
    "warning_under_review": Dispute.INQUIRY,
    "needs_response": Dispute.OPEN,
    "under_review": Dispute.OPEN,
    "appeal_needs_response": Dispute.OPEN,
    "appeal_under_review": Dispute.OPEN,
    "lost": Dispute.LOST,
    "prevented": Dispute.LOST,  # in most cases the money was returned without a refund
    "won": Dispute.WON,
    "warning_closed": Dispute.WON,  # the inquiry did not become a dispute within 120 days ("How disputes work")
}
"""The status of a dispute. Any other status means OPEN, because a refund beside a dispute would pay the customer twice."""

METHODS: Mapping[str, Method] = {
    "card": Method.CREDIT_CARD,
    "card_present": Method.CREDIT_CARD,
    "interac_present": Method.CREDIT_CARD,
    "kr_card": Method.CREDIT_CARD,
    "sepa_debit": Method.DIRECT_DEBIT,
    "bacs_debit": Method.DIRECT_DEBIT,
    "us_bank_account": Method.DIRECT_DEBIT,
    "ach_debit": Method.DIRECT_DEBIT,
    "acss_debit": Method.DIRECT_DEBIT,
    "au_becs_debit": Method.DIRECT_DEBIT,
    "nz_bank_account": Method.DIRECT_DEBIT,
    "customer_balance": Method.WIRE_TRANSFER,
    "ach_credit_transfer": Method.WIRE_TRANSFER,
    "sepa_credit_transfer": Method.WIRE_TRANSFER,
}
"""The types of ``payment_method_details`` ("The Charge object") for which Moneyback has another word than Stripe."""

WALLETS: Mapping[str, Method] = {"apple_pay": Method.APPLE_PAY, "google_pay": Method.GOOGLE_PAY}
"""The wallets of a card payment that are payment methods of their own in Moneyback."""

INVOICE_VERSION = "2025-02-24.acacia"
"""The last version of Stripe's API in which a charge names its invoice.

Later versions name only the charges of an invoice, because an invoice may have several payments (changelog of 2025-03-31.basil).
Then a list of payments would need one more call for each payment.
"""
