"""How a charge stands that was disputed, perhaps more than once."""

from collections.abc import Sequence

from domain.providers import DisputeSeen
from domain.purchases import Dispute

_DECISIVE = (Dispute.OPEN, Dispute.LOST, Dispute.WON)
"""An open dispute counts before all others; a lost one took the money, whatever was won beside it."""


def decisive(disputes: Sequence[DisputeSeen]) -> DisputeSeen:
    """The one of these disputes of a charge, newest first, that says how the charge stands."""
    for kind in _DECISIVE:
        for seen in disputes:
            if seen.dispute is kind:
                return seen
    return DisputeSeen(Dispute.NONE)
