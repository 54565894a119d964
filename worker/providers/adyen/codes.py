"""What Adyen's codes mean, what it can do, and until when."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeGuard

from domain.providers import Capabilities, LooksUp, Refusal, Route

CAPABILITIES = Capabilities(
    # docs.adyen.com, "API idempotency": at least 31 days after the first submission, by one regional endpoint.
    keys_live=timedelta(days=31),
    # Same page: "by default the total refunded value cannot exceed the captured amount".
    capped=True,
    # There is no call that shows a refund, and none that lists them: the REFUND webhook tells ("Refund").
    looks_up=LooksUp.NEVER,
    lists=False,
    # Adyen publishes no rate limit for its checkout API; this pace is ours, and what is too much gets a 429.
    calls_per_second=10.0,
    # "Refund": the answer is always "received"; how long ago a payment may be depends on its method.
    otherwise=Route(synchronous=False),
)

CODES: Mapping[str, Refusal] = {
    # docs.adyen.com, "Error codes and messages"
    "100": Refusal.PERMANENT,  # Required object 'amount' is not provided
    "137": Refusal.PERMANENT,  # Invalid amount specified
    "138": Refusal.PERMANENT,  # Unsupported currency specified
    "167": Refusal.PERMANENT,  # Original pspReference required for this operation: it knows no such payment
    "702": Refusal.PERMANENT,  # Problem parsing request
    "906": Refusal.PERMANENT,  # Original pspReference is invalid for this environment
    "908": Refusal.PERMANENT,  # Invalid request
}
"""By errorCode, of a 400 or a 422. Another one is PERMANENT, too: the API description calls a 400 "a problem reading or
understanding the request" and a 422 "a request validation error", so nothing was carried out. Whether the payment can
be refunded at all Adyen says later, by webhook."""

UNDECIDED_CODES = frozenset(
    {
        "000",  # anything, from a wrong API key to a message that cannot be parsed
        "010",  # Not allowed: our credential lacks a role, which a person gives it
        "701",  # Server could not process request
        "704",  # request already processed or in progress, under our key ("API idempotency")
        "901",  # Invalid Merchant Account
        "903",  # Internal error
        "904",  # Unable to process
    }
)
DECIDED_STATUSES = frozenset({400, 422})

_PSP_REFERENCE = re.compile(r"[A-Z0-9]{16}")  # "Adyen's 16-character reference"


def is_psp_reference(value: object) -> TypeGuard[str]:
    return type(value) is str and _PSP_REFERENCE.fullmatch(value) is not None
