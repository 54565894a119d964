"""External refunds: refunds of a payment that were not made by us. Each opens a support task."""

from collections.abc import Mapping, Sequence

from domain.providers import ExternalRefund, Failed, Paid, Pending
from domain.purchases import Purchase
from domain.support_tasks import SupportTaskKind
from records.support_tasks import NewSupportTask
from records.webhook_events import ClaimedEvent
from worker.context import WorkerContext


def report_external_refunds(
    context: WorkerContext, heard: Sequence[ClaimedEvent], purchases: Mapping[tuple[str, str], Sequence[Purchase]]
) -> None:
    """Opens support tasks for events about payments that we refunded: they may be about a second, external refund."""
    with context.records.work() as work:
        for provider in {one.provider for one in heard}:
            told = [one for one in heard if one.provider == provider]
            ids = [refund for one in told if (refund := one.event.refund_id)]
            known = {operation.refund_id for operation in work.reconciliation.listed(provider, keys=[], refund_ids=ids)}
            strange = [one for one in told if one.event.refund_id not in known and not _has_failed(one)]
            work.support_tasks.create([_beside(one, purchases.get(one.payment, ())) for one in strange])


def external_refund_task(provider: str, purchase: Purchase, found: Paid | Pending | ExternalRefund) -> NewSupportTask:
    """Returns the support task for a refund that the provider shows and that was not made by us."""
    return NewSupportTask(
        kind=SupportTaskKind.UNEXPECTED_REFUND,
        subject=f"{provider} {found.refund_id}",
        seller=purchase.seller,
        evidence={
            "provider": provider,
            "charge": purchase.charge,
            "refund": found.refund_id,
            "amount": found.amount.minor,
            "currency": found.amount.currency,
        },
    )


def _has_failed(heard: ClaimedEvent) -> bool:
    return isinstance(heard.event.reported, Failed)


def _beside(heard: ClaimedEvent, purchases: Sequence[Purchase]) -> NewSupportTask:
    provider, charge = heard.payment
    return NewSupportTask(
        kind=SupportTaskKind.UNEXPECTED_REFUND,
        subject=f"{provider} {heard.event.refund_id}",
        seller=purchases[0].seller if purchases else None,
        evidence={"provider": provider, "charge": charge, "refund": heard.event.refund_id},
    )
