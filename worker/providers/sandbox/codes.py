"""Maps the sandbox's codes to ours, and declares what the sandbox can do."""

from collections.abc import Mapping
from datetime import timedelta

from domain.providers import Capabilities, Refusal, Standing
from domain.purchases import Dispute

CAPABILITIES = Capabilities(keys_live=timedelta(hours=24), capped=True)  # as other providers promise

CODES: Mapping[str, Refusal] = {
    "charge_already_refunded": Refusal.ALREADY_REFUNDED,
    "charge_disputed": Refusal.DISPUTED,
    "insufficient_balance": Refusal.NO_BALANCE,
    "refund_window_closed": Refusal.WINDOW_OVER,
    "charge_not_settled": Refusal.NOT_YET,
    "refund_declined": Refusal.PERMANENT,
}
"""The decline reason by code. Any other code of a 4xx is PERMANENT: nothing was paid, and support reviews the case."""

UNDECIDED_STATUSES = frozenset({408, 425, 429})  # "not now" and "not in time" leave the outcome open
UNDECIDED_CODES = frozenset({"idempotency_key_in_use"})  # another call with our key is in progress, and may pay

STANDINGS: Mapping[str, Standing] = {
    "succeeded": Standing.PAID,
    "pending": Standing.PENDING,
    "failed": Standing.FAILED,
}

DISPUTES: Mapping[str, Dispute] = {"open": Dispute.OPEN, "lost": Dispute.LOST, "won": Dispute.WON}
