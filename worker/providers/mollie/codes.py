"""Maps Mollie's error texts and statuses to the types of Moneyback, and declares what Mollie can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, RefundStatus, Route
from domain.purchases import Method

CAPABILITIES = Capabilities(
    # docs.mollie.com, "API idempotency": Mollie removes keys older than one hour. After that, the same key is a new request.
    idempotency_key_ttl=timedelta(hours=1),
    # docs.mollie.com, "Create payment refund": except for cards and PayPal, the refunds may be up to 25.00 EUR more than
    # the payment. A payment of less than 25.00 EUR could therefore be refunded twice.
    rejects_over_refund=False,
    shows_payments=True,
    lists_disputes=True,
    lists_purchases=True,
    reports_disputes_by_webhook=True,
    finds_charges=True,
    # Mollie publishes no rate limit; we chose 10 calls per second. Mollie responds with status 429 to too many calls, and
    # with status 503 to many concurrent refunds (docs.mollie.com, "Refunds", "Possible errors").
    calls_per_second=10.0,
    routes={
        # docs.mollie.com, "Cards": a card payment can be refunded for 365 days.
        "credit_card": Route(window=timedelta(days=365), synchronous=False),
        # docs.mollie.com, changelog of the API v2: a PayPal payment can be refunded for 180 days.
        "paypal": Route(window=timedelta(days=180), synchronous=False),
    },
    # hexdocs.pm/mollie_api, "Cancel payment refund": Mollie carries out a refund two hours after its creation.
    default_route=Route(synchronous=False),
)

CODES: Mapping[str, DeclineReason] = {
    # docs.mollie.com, "Create payment refund", status 409: the payment has a refund of this amount, created in the last hour.
    "A duplicate refund has been detected": DeclineReason.ALREADY_REFUNDED,
    # Status 422 for the field amount.value: the amount is more than can still be refunded. Either the payment was refunded
    # at Mollie (mollie/magento2#246), or PayPal's balance is too low (mollie/mollie-api-ruby#143). A lookup shows which of the
    # two is true. If the seller's balance at Mollie is too low, the refund is queued.
    "The specified amount cannot be refunded": DeclineReason.ALREADY_REFUNDED,
}
"""The decline reason for each text in Mollie's field ``detail``, because Mollie has no error codes. Any other 4xx response is
PERMANENT, unless its status is in UNDECIDED_STATUSES."""

UNDECIDED_STATUSES = frozenset(
    {
        400,  # an earlier, different request used this key, and may have paid ("API idempotency")
        408,
        409,  # another call with this key is in progress ("API idempotency")
        425,
        429,
    },
)
"""After a reply with one of these statuses, the outcome of an earlier refund under this key is still unknown."""

WRONG_MODE = "the wrong mode is used"
"""A part of Mollie's sentence with status 404, if a test key is used for a live payment, or a live key for a test payment
(mollie/mollie-api-php#595). The payment exists, so the API key must be corrected."""

INSUFFICIENT_BALANCE = "queued"
"""The status of a refund that waits until the seller's balance at Mollie is sufficient."""

REFUND_STATUSES: Mapping[str, RefundStatus] = {
    # docs.mollie.com, "Refunds", "Refund statuses"
    INSUFFICIENT_BALANCE: RefundStatus.PENDING,
    "pending": RefundStatus.PENDING,
    "processing": RefundStatus.PENDING,
    "refunded": RefundStatus.PAID,  # the customer has the money, or the bank is sending it
    "failed": RefundStatus.FAILED,  # the seller gets the money back, for example because the customer's account was closed
    "canceled": RefundStatus.FAILED,
}
"""The RefundStatus for each status of Mollie. A reply with any other status is Unknown."""

FAILURE_REASONS: Mapping[str, DeclineReason] = {
    "failed": DeclineReason.PERMANENT,
    "canceled": DeclineReason.CANCELLED,  # the seller canceled the refund before Mollie carried it out
}
"""The decline reason for each status of a failed refund."""

PAYMENT_STATUSES: Mapping[str, bool] = {
    # docs.mollie.com, "Handling payment status"
    "paid": True,
    "open": False,
    "pending": False,
    "authorized": False,  # the amount is reserved; Mollie refunds it only after it was captured
    "canceled": False,
    "expired": False,
    "failed": False,
}
"""True for the status in which the customer has paid. A payment with any other status than these cannot be read."""

METHODS: Mapping[str, str] = {
    # docs.mollie.com, "Get payment", fields method and details.wallet
    "creditcard": Method.CREDIT_CARD,
    "applepay": Method.APPLE_PAY,
    "googlepay": Method.GOOGLE_PAY,
    "paypal": Method.PAYPAL,
    "directdebit": Method.DIRECT_DEBIT,
    "bacs": Method.DIRECT_DEBIT,
    "banktransfer": Method.WIRE_TRANSFER,
}
"""Moneyback's word for each payment method and wallet of Mollie. Other payment methods keep Mollie's word, such as ``ideal``."""
