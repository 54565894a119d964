"""Decides the dispute status of a charge, which may have been disputed more than once."""

from collections.abc import Sequence

from domain.providers import DisputeStatus
from domain.purchases import DISPUTE_PRECEDENCE, Dispute


def select_latest_reports(reports: Sequence[DisputeStatus]) -> list[DisputeStatus]:
    """Return, for each dispute, the report with the latest stage. The order of ``reports`` does not matter."""
    latest: dict[str, DisputeStatus] = {}
    for report in reports:
        previous = latest.get(report.dispute_id)
        if previous is None or report.stage > previous.stage:
            latest[report.dispute_id] = report
    return list(latest.values())


def select_deciding_dispute(disputes: Sequence[DisputeStatus]) -> DisputeStatus:
    """Return the dispute that decides the status of the charge. ``disputes`` has the newest dispute first."""
    for status in DISPUTE_PRECEDENCE:
        for dispute in disputes:
            if dispute.dispute is status:
                return dispute
    return DisputeStatus(Dispute.NONE)
