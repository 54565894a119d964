"""Reports external refunds to support. An external refund is a refund that Moneyback did not make."""

from collections.abc import Mapping, Sequence

from domain.providers import ExternalRefund, Failed, Paid, Pending
from domain.purchases import Purchase
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from records.webhook_events import ClaimedEvent
from worker.context import WorkerContext


def report_external_refunds(
    context: WorkerContext, events: Sequence[ClaimedEvent], purchases: Mapping[tuple[str, str], Sequence[Purchase]]
) -> None:
    """Create a support task for each event that names a refund which Moneyback did not make.

    Moneyback has refunded the payments of these events, so the named refund may be a second refund.
    """
    with context.records.work() as work:
        for provider in {event.provider for event in events}:
            own_ids = _load_own_refunds(work, provider, [event for event in events if event.provider == provider])
            work.support_tasks.create(
                [
                    _create_task(event, purchases.get(event.payment, ()))
                    for event in events
                    if event.provider == provider
                    and event.event.refund_id not in own_ids
                    and not isinstance(event.event.reported, Failed)
                ]
            )


def external_refund_task(provider: str, purchase: Purchase, found: Paid | Pending | ExternalRefund) -> NewSupportTask:
    """Return the support task for a refund that the provider shows and that we did not make."""
    return NewSupportTask(
        kind=SupportTaskKind.UNEXPECTED_REFUND,
        subject=f"{provider} {found.refund_id}",
        seller_id=purchase.seller_id,
        evidence={
            "provider": provider,
            "charge": purchase.charge,
            "refund": found.refund_id,
            "amount": found.amount.minor,
            "currency": found.amount.currency,
        },
    )


def _load_own_refunds(work: UnitOfWork, provider: str, events: Sequence[ClaimedEvent]) -> set[str | None]:
    """Return the ids of the refunds that these events name and that Moneyback made."""
    ids = [refund_id for event in events if (refund_id := event.event.refund_id)]
    return {operation.refund_id for operation in work.reconciliation.listed(provider, keys=[], refund_ids=ids)}


def _create_task(event: ClaimedEvent, purchases: Sequence[Purchase]) -> NewSupportTask:
    provider, charge = event.payment
    return NewSupportTask(
        kind=SupportTaskKind.UNEXPECTED_REFUND,
        subject=f"{provider} {event.event.refund_id}",
        seller_id=purchases[0].seller_id if purchases else None,
        evidence={"provider": provider, "charge": charge, "refund": event.event.refund_id},
    )
