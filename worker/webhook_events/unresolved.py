"""Reports webhook events that were never resolved, so that support checks the payment at the provider.

Such an event may report that the money of a refund came back, or that a payment is disputed.
"""

from collections.abc import Sequence

from domain.providers import DisputeStatus, Failed, Paid, Pending
from domain.purchases import Purchase
from domain.refund_operations import RefundOperation
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from records.webhook_events import ClaimedEvent
from worker.refunds.own_refunds import describe_refunds


def report_unresolved(work: UnitOfWork, given_up: Sequence[tuple[ClaimedEvent, str]]) -> None:
    """Create a support task for each event about a known payment, unless our records contain the reported status.

    Each item of ``given_up`` is an event and a sentence about the result of the event's last attempt.
    """
    payments = list({event.payment for event, _ in given_up if event.event.charge})
    if not payments:
        return
    operations = work.refund_operations.for_payments(payments)
    by_refund = work.refund_operations.for_refunds(
        [(event.provider, refund_id) for event, _ in given_up if (refund_id := event.event.refund_id)]
    )
    refunds = {payment: work.refund_operations.open_for_payment(*payment) for payment in payments}
    purchases = {payment: paid[0] for payment, paid in work.purchases.of_payments(payments).items() if paid}
    recorded = _load_recorded_statuses(work, [event for event, _ in given_up])
    tasks = []
    for event, outcome in given_up:
        operation = by_refund.get((event.provider, event.event.refund_id or "")) or operations.get(event.payment)
        purchase = purchases.get(event.payment)
        status = (event.provider, event.event.refund_id, _reported_status(event))
        if (operation or purchase) and status not in recorded:
            described = describe_refunds(refunds.get(event.payment, ()))
            tasks.append(_create_task(event, outcome, operation, purchase, described))
    work.support_tasks.create(tasks)


def _load_recorded_statuses(work: UnitOfWork, events: Sequence[ClaimedEvent]) -> set[tuple[str, str | None, str]]:
    """Return the (provider, refund, status) triples of our records. An event that reports such a triple needs no task."""
    refund_ids: dict[str, list[str]] = {}
    for event in events:
        if event.event.refund_id:
            refund_ids.setdefault(event.provider, []).append(event.event.refund_id)
    return {
        (provider, operation.refund_id, operation.status)
        for provider, ids in refund_ids.items()
        for operation in work.reconciliation.listed(provider, keys=[], refund_ids=ids)
        if operation.provider == provider
    }


def _reported_status(event: ClaimedEvent) -> str:
    """Return the status that the event reports, or an empty text if the event only reports that something changed."""
    match event.event.reported:
        case DisputeStatus(dispute):
            return dispute.value
        case Paid() | Pending() | Failed() as result:
            return type(result).__name__.lower()
    return ""


def _create_task(
    claimed: ClaimedEvent, outcome: str, operation: RefundOperation | None, purchase: Purchase | None, refunds: str
) -> NewSupportTask:
    """Create the support task. ``refunds`` names all our refunds of the payment, because the event may be about any of them."""
    event = claimed.event
    dispute_id = event.reported.dispute_id if isinstance(event.reported, DisputeStatus) else None
    # A provider may use one event id for every change, so the number of deliveries makes the task's subject unique.
    reported_id = event.refund_id or dispute_id or f"{event.event_id} {claimed.deliveries}"
    return NewSupportTask(
        kind=SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED,
        subject=" ".join([claimed.provider, event.charge or "", reported_id, _reported_status(claimed)]),
        case_id=operation.case_id if operation else None,
        seller_id=purchase.seller_id if purchase else None,
        evidence={
            "provider": claimed.provider,
            "charge": event.charge,
            "about": event.subject,
            "refund": event.refund_id,
            "dispute": dispute_id,
            "event": event.event_id,
            "reported": _reported_status(claimed),
            "reported_at": claimed.received_at.isoformat(),
            "our_refund": operation.refund_id if operation else None,
            "our_status": operation.status if operation else None,
            "our_refunds": refunds,
            "last_outcome": outcome,
        },
    )
