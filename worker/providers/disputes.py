"""Decides the dispute status of a charge that was disputed, perhaps more than once."""

from collections.abc import Sequence

from domain.providers import DisputeStatus
from domain.purchases import Dispute

_PRECEDENCE = (Dispute.OPEN, Dispute.LOST, Dispute.WON)
"""An open dispute counts first. A lost dispute took the money, even if another dispute was won."""


def furthest(told: Sequence[DisputeStatus]) -> list[DisputeStatus]:
    """Returns the latest stage of each dispute, whatever the order of the reports."""
    latest: dict[str, DisputeStatus] = {}
    for dispute in told:
        known = latest.get(dispute.dispute_id)
        if known is None or dispute.stage > known.stage:
            latest[dispute.dispute_id] = dispute
    return list(latest.values())


def decisive(disputes: Sequence[DisputeStatus]) -> DisputeStatus:
    """Returns the dispute that decides the status of the charge. ``disputes`` has the newest dispute first."""
    for status in _PRECEDENCE:
        for dispute in disputes:
            if dispute.dispute is status:
                return dispute
    return DisputeStatus(Dispute.NONE)
