"""What Mollie's words mean, what it can do, and until when."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, Refusal, Route, Standing

CAPABILITIES = Capabilities(
    # docs.mollie.com, "API idempotency": keys older than one hour are removed, and then it is a new request.
    keys_live=timedelta(hours=1),
    # docs.mollie.com, "Create payment refund": up to 25.00 EUR more than was paid, but for cards and PayPal. A payment
    # of less than that could be refunded twice.
    capped=False,
    # Mollie states no figure, only that it answers 429, and 503 to many refunds at once ("Refunds", "Possible errors").
    calls_per_second=10.0,
    routes={
        # docs.mollie.com, "Cards": refund validity 365 days.
        "credit_card": Route(window=timedelta(days=365), synchronous=False),
        # docs.mollie.com, changelog of the API v2: the period of PayPal refunds is 180 days.
        "paypal": Route(window=timedelta(days=180), synchronous=False),
    },
    # hexdocs.pm/mollie_api, "Cancel payment refund": a refund is carried out two hours after it was made.
    otherwise=Route(synchronous=False),
)

CODES: Mapping[str, Refusal] = {
    # docs.mollie.com, "Create payment refund", 409: the payment has a refund of this amount, made in the last hour.
    "A duplicate refund has been detected": Refusal.ALREADY_REFUNDED,
    # 422 for amount.value: more than is left of the payment. Somebody refunded it at Mollie (mollie/magento2#246), or
    # PayPal's balance is short (mollie/mollie-api-ruby#143); Mollie's own queues the refund. The look-up says which.
    "The specified amount cannot be refunded": Refusal.ALREADY_REFUNDED,
}
"""By Mollie's ``detail``: it has no codes. Another 4xx is a PERMANENT no, but for what is in UNDECIDED."""

UNDECIDED = frozenset(
    {
        400,  # what was sent differs from what this key was sent with before, and that may be paid ("API idempotency")
        408,
        409,  # another call with this key is under way ("API idempotency")
        425,
        429,
    },
)
"""Answers that leave open what became of a refund sent before with this key."""

SHORT = "queued"
"""The status of a refund that waits until Mollie's balance suffices."""

STANDINGS: Mapping[str, Standing] = {
    # docs.mollie.com, "Refunds", "Refund statuses"
    SHORT: Standing.PENDING,
    "pending": Standing.PENDING,
    "processing": Standing.PENDING,
    "refunded": Standing.PAID,  # the customer has the money, or it is on its way
    "failed": Standing.FAILED,  # it comes back: the account was closed, for example
    "canceled": Standing.FAILED,
}
"""A status that is not here is not understood, and an answer with it is Unknown."""
