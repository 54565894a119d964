"""Declared: a withdrawal by law counts from its day. Where its case ends unpaid, a person answers it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.cases import Case
from domain.findings import Trouble
from records.tasks import Report
from records.withdrawals import Withdrawal


def declarations(trouble: Trouble, ended: Sequence[Case], declared: Mapping[UUID, Withdrawal]) -> list[Report]:
    """A task for each of these cases that was declared: who it was, and in what words, stands at the desk."""
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
