"""Records external refunds, which Moneyback did not make, and applies them to the cases that they settle."""

from collections.abc import Mapping, Sequence

from domain.cases import Case, Transition
from domain.providers import DeclineReason, ListedRefund, RefundStatus
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus, RefundOperation
from domain.states import Event
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork
from records.settlements import close_settled_cases
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
    waits with support as soon as the refund is paid, and needs no task. If that refund fails later, the case goes back to
    support.
    """
    changed = work.purchases.record_external_refunds(provider, refunds)
    for charge in sorted(changed):
        work.support_tasks.announce_payment(provider, charge)
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
    """Settle or reopen the cases about this payment. Return the ids of the refunds that settle a case, now or later."""
    purchase_ids = [purchase.id for purchase in purchases]
    live = [refund.refund_id for refund in refunds if refund.status is not RefundStatus.FAILED]
    failed = [refund for refund in refunds if refund.status is RefundStatus.FAILED]
    if failed:
        settled = work.cases.settled_by([refund.refund_id for refund in failed], purchase_ids)
        settlements = work.history.latest_evidence([case.id for case in settled], "refunds")
        work.history.record([_reopen(case, settlements[case.id], failed) for case in settled])
    is_awaited = bool(live and work.cases.settled([(provider, charge)], include_pending=True))
    if close_settled_cases(work, [(provider, charge)]):
        return set(live)
    if is_awaited:
        return {refund.refund_id for refund in refunds if refund.status is RefundStatus.PENDING}
    _request_lookup_of_open_refund(work, provider, charge, live)
    return {refund_id for refund_id in live if work.cases.settled_by([refund_id], purchase_ids)}


def _request_lookup_of_open_refund(
    work: UnitOfWork, provider: str, charge: str, external_refunds: Sequence[str]
) -> None:
    """Request a lookup of our refund if its outcome is open. The external refunds may have been made instead of our refund."""
    operation = work.refund_operations.for_payments([(provider, charge)]).get((provider, charge))
    if operation and operation.is_open and operation.status is not OperationStatus.PAID:
        for refund_id in external_refunds:
            request_lookup(work, operation, refund_id)


def request_lookup(work: UnitOfWork, operation: RefundOperation, refund_id: str | None) -> None:
    """Request a lookup of all refunds of a payment, because the provider shows an external refund.

    ``refund_id`` is None if the provider only shows that the payment was refunded. A second request for the same external
    refund has no effect.
    """
    subject = Subject.REFUND if refund_id else Subject.PAYMENT
    event = WebhookEvent(f"ours: {refund_id or 'refunded'} {operation.charge}", subject, operation.charge, refund_id)
    work.webhook_events.request(operation.provider, event)


def split_own(
    work: UnitOfWork, provider: str, refunds: Sequence[ListedRefund]
) -> tuple[list[tuple[ListedRefund, RefundOperation]], list[ListedRefund]]:
    """Return the refunds that Moneyback made, each with its operation, and the refunds that no operation made."""
    operations = work.reconciliation.listed(
        provider,
        keys=[refund.key for refund in refunds if refund.key],
        refund_ids=[refund.refund_id for refund in refunds],
    )
    by_key = {operation.key: operation for operation in operations}
    by_refund_id = {operation.refund_id: operation for operation in operations}
    found = [(refund, by_refund_id.get(refund.refund_id) or by_key.get(refund.key or "")) for refund in refunds]
    own = [(refund, operation) for refund, operation in found if operation]
    return own, [refund for refund, operation in found if operation is None]


def _reopen(case: Case, settlement: object, failed: Sequence[ListedRefund]) -> Transition:
    """Return the transition that reopens a settled case, because refunds of its settlement failed or were cancelled."""
    assert isinstance(settlement, list), "close_settled_cases() stores the ids of the refunds as a list"
    returned = [refund for refund in failed if refund.refund_id in settlement]
    is_cancelled = all(refund.failure is DeclineReason.CANCELLED for refund in returned)
    code = ReasonCode.REFUND_CANCELLED if is_cancelled else ReasonCode.RETURNED_BY_BANK
    evidence = support_reason(code, ", ".join(refund.refund_id for refund in returned))
    return case.after(Event.PROVIDER_FAILED_LATE, actor="provider", why=code.support, evidence=evidence)


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
