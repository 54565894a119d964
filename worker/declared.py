"""Statutory withdrawals: a withdrawal counts from its day. If its case ends unpaid, support answers it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.cases import Case
from domain.findings import Trouble
from records.tasks import Report
from records.withdrawals import Withdrawal


def declarations(trouble: Trouble, ended: Sequence[Case], declared: Mapping[UUID, Withdrawal]) -> list[Report]:
    """Returns a support task for each of these cases with a statutory withdrawal. The desk shows its name and its text."""
    return [
        Report(
            trouble=trouble,
            subject=str(case.id),
            case=case.id,
            seller=case.seller,
            evidence={"declared_at": declared[case.id].declared_at.isoformat()},
        )
        for case in ended
        if case.id in declared
    ]
