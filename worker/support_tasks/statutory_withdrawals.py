"""Creates support tasks for statutory withdrawals. Support must reply to a customer who gets no automatic refund."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.cases import Case
from domain.support_tasks import SupportTaskKind
from records.statutory_withdrawals import StatutoryWithdrawal
from records.support_tasks import NewSupportTask


def withdrawal_tasks(
    kind: SupportTaskKind, cases: Sequence[Case], withdrawals: Mapping[UUID, StatutoryWithdrawal]
) -> list[NewSupportTask]:
    """Return a support task for each case that has a withdrawal. The keys of ``withdrawals`` are case ids.

    A withdrawal is valid from its date, so the task contains the date. The desk shows the customer's name and text.
    """
    return [
        NewSupportTask(
            kind=kind,
            subject=str(case.id),
            case_id=case.id,
            seller_id=case.seller_id,
            evidence={"declared_at": withdrawals[case.id].declared_at.isoformat()},
        )
        for case in cases
        if case.id in withdrawals
    ]
