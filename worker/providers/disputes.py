"""How a charge stands that was disputed, perhaps more than once."""

from collections.abc import Sequence

from domain.providers import DisputeSeen
from domain.purchases import Dispute

_DECISIVE = (Dispute.OPEN, Dispute.LOST, Dispute.WON)
"""An open dispute counts before all others; a lost one took the money, whatever was won beside it."""


def furthest(told: Sequence[DisputeSeen]) -> list[DisputeSeen]:
    """Of all that was told, in whatever order it came, how each dispute stands."""
    newest: dict[str, DisputeSeen] = {}
    for seen in told:
        known = newest.get(seen.dispute_id)
        if known is None or seen.stage > known.stage:
            newest[seen.dispute_id] = seen
    return list(newest.values())


def decisive(disputes: Sequence[DisputeSeen]) -> DisputeSeen:
    """The one of these disputes of a charge, newest first, that says how the charge stands."""
    for kind in _DECISIVE:
        for seen in disputes:
            if seen.dispute is kind:
                return seen
    return DisputeSeen(Dispute.NONE)
