"""Maps Adyen's codes to decline reasons, and declares what Adyen can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, DeclineReason, Lookup, Route

CAPABILITIES = Capabilities(
    # docs.adyen.com, "API idempotency": a key is valid for at least 31 days after its first use, at the same regional endpoint.
    idempotency_key_ttl=timedelta(days=31),
    # docs.adyen.com, "API idempotency": "by default the total refunded value cannot exceed the captured amount".
    rejects_over_refund=True,
    # No call shows or lists refunds. The REFUND webhook reports the outcome (docs.adyen.com, "Refund").
    lookup=Lookup.NEVER,
    lists_refunds=False,
    # Adyen publishes no rate limit for its Checkout API. This limit is our choice; Adyen answers 429 to too many calls.
    calls_per_second=10.0,
    # docs.adyen.com, "Refund": Adyen answers with the status "received" and pays later. The payment
    # method determines for how long after a payment Adyen can refund it.
    default_route=Route(synchronous=False),
)

CODES: Mapping[str, DeclineReason] = {
    # docs.adyen.com, "Error codes and messages"
    "100": DeclineReason.PERMANENT,  # Required object 'amount' is not provided
    "137": DeclineReason.PERMANENT,  # Invalid amount specified
    "138": DeclineReason.PERMANENT,  # Unsupported currency specified
    "167": DeclineReason.PERMANENT,  # Original pspReference required for this operation: Adyen knows no such payment
    "702": DeclineReason.PERMANENT,  # Problem parsing request
    "908": DeclineReason.PERMANENT,  # Invalid request
}
"""The decline reason by errorCode, if Adyen answers 400 or 422. An errorCode that is in neither CODES nor UNDECIDED_CODES is
PERMANENT as well, because Adyen carried nothing out. The API description calls 400 "a problem reading or understanding the
request", and 422 "a request validation error". If Adyen accepts a request, a later webhook reports whether the payment was
refunded."""

PAYMENT_NOT_FOUND, INVALID_AMOUNT = "167", "137"

UNDECIDED_CODES = frozenset(
    {
        "000",  # an unspecific error, such as a wrong API key or a message that cannot be parsed
        "701",  # Server could not process request
        "704",  # request already processed or in progress, under our idempotency key (docs.adyen.com, "API idempotency")
        "903",  # Internal error
        "904",  # Unable to process
    }
)
"""After a reply with one of these codes, it is unknown whether the refund was carried out."""

ACCOUNT_CODES = frozenset(
    {
        # docs.adyen.com, "Error codes and messages"
        "010",  # Not allowed: our API credential lacks a role
        "901",  # Invalid Merchant Account
        "906",  # Original pspReference is invalid for this environment: our key is for test payments, or the payment is
        # Configuration Error: Adyen's own account at the acquirer is missing or wrong for our merchant account
        *("950", "951", "952", "953", "955", "957", "958", "959", "960", "961", "962"),
    }
)
"""With one of these codes, Adyen rejects our account. The refund is sent again after support has corrected the account."""

ACCESS_PROBLEMS: Mapping[int, str] = {
    # docs.adyen.com, "API credentials" and "Roles"
    401: "Adyen refuses the API key: 401. Set MONEYBACK_ADYEN_API_KEY to a key of the environment in MONEYBACK_ADYEN_API_BASE.",
    403: 'Adyen refuses the merchant account: 403. Give the API credential the role "Checkout webservice role", and access to'
    " the account in MONEYBACK_ADYEN_MERCHANT_ACCOUNT.",
}
"""What to do, by the HTTP status with which Adyen refuses a harmless read."""

DECIDED_STATUSES = frozenset({400, 422})
"""The HTTP statuses with which Adyen rejects a refund, if the errorCode is not in UNDECIDED_CODES."""
