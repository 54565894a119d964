"""Records external refunds, which Moneyback did not make, and applies them to the cases that they settle."""

from collections.abc import Mapping, Sequence

from domain.cases import Case, Transition
from domain.providers import ListedRefund, RefundStatus
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.refund_operations import RefundOperation
from domain.states import Event
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from worker.refunds.evaluation import support_reason


def record_external_refunds(
    work: UnitOfWork,
    provider: str,
    refunds: Sequence[ListedRefund],
    purchases: Mapping[tuple[str, str], Sequence[Purchase]],
) -> list[NewSupportTask]:
    """Record these refunds, which Moneyback did not make. Return the support tasks to create.

    ``purchases`` contains the purchases of each payment. A refund that support made at the provider settles the case that
    waits with support, and needs no task. If that refund fails later, the case goes back to support.
    """
    work.purchases.record_external_refunds(provider, refunds)
    tasks = []
    by_charge: dict[str, list[ListedRefund]] = {}
    for refund in refunds:
        by_charge.setdefault(refund.charge, []).append(refund)
    for charge, of_payment in by_charge.items():
        paid = purchases.get((provider, charge), ())
        closing = _apply_to_cases(work, provider, charge, paid, of_payment) if paid else set()
        seller_id = paid[0].seller_id if paid else None
        tasks += [
            _create_task(provider, seller_id, refund)
            for refund in of_payment
            if refund.status is not RefundStatus.FAILED and refund.refund_id not in closing
        ]
    return tasks


def _apply_to_cases(
    work: UnitOfWork, provider: str, charge: str, purchases: Sequence[Purchase], refunds: Sequence[ListedRefund]
) -> set[str]:
    """Settle or reopen the cases about this payment. Return the ids of the refunds that settle a case, now or earlier."""
    live = [refund.refund_id for refund in refunds if refund.status is not RefundStatus.FAILED]
    failed = [refund.refund_id for refund in refunds if refund.status is RefundStatus.FAILED]
    settled = [_close_as_refunded(work, case) for case in work.cases.settled(provider, charge)] if live else []
    reopened = []
    if failed:
        reopened = [_reopen(case, failed) for case in work.cases.settled_by(failed, [p.id for p in purchases])]
    work.history.record([*settled, *reopened])
    if settled:
        return set(live)
    return {refund_id for refund_id in live if work.cases.settled_by([refund_id], [p.id for p in purchases])}


def request_lookup(work: UnitOfWork, operation: RefundOperation, refund_id: str | None) -> None:
    """Request a lookup of all refunds of a payment, because the provider shows an external refund.

    ``refund_id`` is None if the provider only shows that the payment was refunded. A second request for the same external
    refund has no effect.
    """
    subject = Subject.REFUND if refund_id else Subject.PAYMENT
    event = WebhookEvent(f"ours: {refund_id or 'refunded'} {operation.charge}", subject, operation.charge, refund_id)
    work.webhook_events.request(operation.provider, event)


def without_own(work: UnitOfWork, provider: str, refunds: Sequence[ListedRefund]) -> list[ListedRefund]:
    """Return the refunds that no operation made."""
    operations = work.reconciliation.listed(
        provider,
        keys=[refund.key for refund in refunds if refund.key],
        refund_ids=[refund.refund_id for refund in refunds],
    )
    keys = {operation.key for operation in operations}
    ids = {operation.refund_id for operation in operations}
    return [refund for refund in refunds if refund.key not in keys and refund.refund_id not in ids]


def _close_as_refunded(work: UnitOfWork, case: Case) -> Transition:
    """Return the transition that settles this case. If one of the refunds in the evidence fails, the case is reopened."""
    assert case.purchase_id, "only a case with a purchase can be settled"
    why = "Support refunded the payment at the payment provider."
    refund_ids = work.purchases.live_external_refunds(case.purchase_id)
    evidence = {"refunds": refund_ids, "refund": refund_ids[0]}
    return case.after(Event.EXTERNALLY_REFUNDED, actor="provider", why=why, evidence=evidence)


def _reopen(case: Case, refund_ids: Sequence[str]) -> Transition:
    evidence = support_reason(ReasonCode.RETURNED_BY_BANK, ", ".join(refund_ids))
    return case.after(
        Event.PROVIDER_FAILED_LATE, actor="provider", why=ReasonCode.RETURNED_BY_BANK.support, evidence=evidence
    )


def _create_task(provider: str, seller_id: str | None, refund: ListedRefund) -> NewSupportTask:
    """Return the support task for a refund that the provider shows and that we did not make."""
    return NewSupportTask(
        kind=SupportTaskKind.UNEXPECTED_REFUND,
        subject=f"{provider} {refund.refund_id}",
        seller_id=seller_id,
        evidence={
            "provider": provider,
            "charge": refund.charge,
            "refund": refund.refund_id,
            "status": refund.status,
            "amount": refund.amount.minor,
            "currency": refund.amount.currency,
            "made_at": refund.created_at.isoformat(),
        },
    )
