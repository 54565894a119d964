"""External refunds: refunds of a payment that were not made by us. Each opens a support task."""

from collections.abc import Mapping, Sequence

from domain.findings import Trouble
from domain.providers import Elsewhere, Failed, Paid, Pending
from domain.purchases import Purchase
from records.notices import Heard
from records.tasks import Report
from worker.tools import Tools


def report_beside_ours(
    tools: Tools, heard: Sequence[Heard], purchases: Mapping[tuple[str, str], Sequence[Purchase]]
) -> None:
    """Opens support tasks for events about payments that we refunded: they may be about a second, external refund."""
    with tools.records.work() as work:
        for provider in {one.provider for one in heard}:
            told = [one for one in heard if one.provider == provider]
            ids = [refund for one in told if (refund := one.notice.refund_id)]
            known = {operation.refund_id for operation in work.reconciliation.listed(provider, keys=[], refund_ids=ids)}
            strange = [one for one in told if one.notice.refund_id not in known and not _has_failed(one)]
            work.tasks.report([_beside(one, purchases.get(one.payment, ())) for one in strange])


def extra(provider: str, purchase: Purchase, found: Paid | Pending | Elsewhere) -> Report:
    """Returns the support task for a refund that the provider shows and that was not made by us."""
    return Report(
        trouble=Trouble.REFUND_EXTRA,
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


def _has_failed(heard: Heard) -> bool:
    return isinstance(heard.notice.said, Failed)


def _beside(heard: Heard, purchases: Sequence[Purchase]) -> Report:
    provider, charge = heard.payment
    return Report(
        trouble=Trouble.REFUND_EXTRA,
        subject=f"{provider} {heard.notice.refund_id}",
        seller=purchases[0].seller if purchases else None,
        evidence={"provider": provider, "charge": charge, "refund": heard.notice.refund_id},
    )
