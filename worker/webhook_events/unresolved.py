"""Unresolved webhook events: money may have come back, or may be disputed, so support looks at the provider."""

from collections.abc import Sequence

from domain.providers import DisputeStatus, Failed, Paid, Pending
from domain.purchases import Purchase
from domain.refund_operations import RefundOperation
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from records.webhook_events import ClaimedEvent


def report_unresolved(work: UnitOfWork, given_up: Sequence[tuple[ClaimedEvent, str]]) -> None:
    """Opens a support task, with the last outcome, for each event about a known payment that reports more than we recorded."""
    payments = {(one.provider, charge) for one, _ in given_up if (charge := one.event.charge)}
    if not payments:
        return
    operations = work.refund_operations.for_payments(list(payments))
    purchases = {(one.provider, one.charge): one for one in work.purchases.paid_by(list(payments))}
    held = _held(work, [one for one, _ in given_up])
    reports = []
    for heard, outcome in given_up:
        operation, purchase = operations.get(heard.payment), purchases.get(heard.payment)
        if (operation or purchase) and (heard.provider, heard.event.refund_id, _told(heard)) not in held:
            reports.append(_report(heard, outcome, operation, purchase))
    work.support_tasks.create(reports)


def _held(work: UnitOfWork, given_up: Sequence[ClaimedEvent]) -> set[tuple[str, str | None, str]]:
    """Returns the (provider, refund, status) triples that our records agree with: they need no support task."""
    refunds: dict[str, list[str]] = {}
    for one in given_up:
        if one.event.refund_id:
            refunds.setdefault(one.provider, []).append(one.event.refund_id)
    return {
        (provider, operation.refund_id, operation.status)
        for provider, ids in refunds.items()
        for operation in work.reconciliation.listed(provider, keys=[], refund_ids=ids)
        if operation.provider == provider
    }


def _told(heard: ClaimedEvent) -> str:
    """Returns what the event reports, in one word; empty if it only says that something changed."""
    match heard.event.reported:
        case DisputeStatus(dispute):
            return dispute.value
        case Paid() | Pending() | Failed() as said:
            return type(said).__name__.lower()
    return ""


def _report(
    heard: ClaimedEvent, outcome: str, operation: RefundOperation | None, purchase: Purchase | None
) -> NewSupportTask:
    notice = heard.event
    dispute = notice.reported.dispute_id if isinstance(notice.reported, DisputeStatus) else None
    what = notice.refund_id or dispute or f"{notice.event_id} {heard.deliveries}"  # which may be the id of every change
    return NewSupportTask(
        kind=SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED,
        subject=" ".join([heard.provider, notice.charge or "", what, _told(heard)]),
        case=operation.case_id if operation else None,
        seller=purchase.seller if purchase else None,
        evidence={
            "provider": heard.provider,
            "charge": notice.charge,
            "about": notice.subject,
            "refund": notice.refund_id,
            "dispute": dispute,
            "event": notice.event_id,
            "told": _told(heard),
            "told_at": heard.received_at.isoformat(),
            "our_refund": operation.refund_id if operation else None,
            "our_status": operation.status if operation else None,
            "last_outcome": outcome,
        },
    )
