"""Statutory withdrawals: a withdrawal counts from its day. If its case ends unpaid, support answers it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.cases import Case
from domain.reason_codes import SupportTaskKind
from records.statutory_withdrawals import StatutoryWithdrawal
from records.support_tasks import NewSupportTask


def withdrawal_tasks(
    trouble: SupportTaskKind, ended: Sequence[Case], declared: Mapping[UUID, StatutoryWithdrawal]
) -> list[NewSupportTask]:
    """Returns a support task for each of these cases with a statutory withdrawal. The desk shows its name and its text."""
    return [
        NewSupportTask(
            kind=trouble,
            subject=str(case.id),
            case_id=case.id,
            seller_id=case.seller_id,
            evidence={"declared_at": declared[case.id].declared_at.isoformat()},
        )
        for case in ended
        if case.id in declared
    ]
