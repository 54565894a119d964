"""Unresolved webhook events: money may have come back, or may be disputed, so support looks at the provider."""

from collections.abc import Sequence

from domain.findings import Trouble
from domain.providers import DisputeSeen, Failed, Paid, Pending
from domain.purchases import Purchase
from domain.refund_operations import Operation
from records import Work
from records.notices import Heard
from records.tasks import Report


def report_unexplained(work: Work, given_up: Sequence[tuple[Heard, str]]) -> None:
    """Opens a support task, with the last outcome, for each event about a known payment that reports more than we recorded."""
    payments = {(one.provider, charge) for one, _ in given_up if (charge := one.notice.charge)}
    if not payments:
        return
    operations = work.operations.about(list(payments))
    purchases = {(one.provider, one.charge): one for one in work.purchases.paid_by(list(payments))}
    held = _held(work, [one for one, _ in given_up])
    reports = []
    for heard, outcome in given_up:
        operation, purchase = operations.get(heard.payment), purchases.get(heard.payment)
        if (operation or purchase) and (heard.provider, heard.notice.refund_id, _told(heard)) not in held:
            reports.append(_report(heard, outcome, operation, purchase))
    work.tasks.report(reports)


def _held(work: Work, given_up: Sequence[Heard]) -> set[tuple[str, str | None, str]]:
    """Returns the (provider, refund, status) triples that our records agree with: they need no support task."""
    refunds: dict[str, list[str]] = {}
    for one in given_up:
        if one.notice.refund_id:
            refunds.setdefault(one.provider, []).append(one.notice.refund_id)
    return {
        (provider, operation.refund_id, operation.status)
        for provider, ids in refunds.items()
        for operation in work.reconciliation.listed(provider, keys=[], refund_ids=ids)
        if operation.provider == provider
    }


def _told(heard: Heard) -> str:
    """Returns what the event reports, in one word; empty if it only says that something changed."""
    match heard.notice.said:
        case DisputeSeen(dispute):
            return dispute.value
        case Paid() | Pending() | Failed() as said:
            return type(said).__name__.lower()
    return ""


def _report(heard: Heard, outcome: str, operation: Operation | None, purchase: Purchase | None) -> Report:
    notice = heard.notice
    dispute = notice.said.dispute_id if isinstance(notice.said, DisputeSeen) else None
    what = notice.refund_id or dispute or f"{notice.event} {heard.arrivals}"  # which may be the id of every change
    return Report(
        trouble=Trouble.NOTICE_UNEXPLAINED,
        subject=" ".join([heard.provider, notice.charge or "", what, _told(heard)]),
        case=operation.case if operation else None,
        seller=purchase.seller if purchase else None,
        evidence={
            "provider": heard.provider,
            "charge": notice.charge,
            "about": notice.about,
            "refund": notice.refund_id,
            "dispute": dispute,
            "event": notice.event,
            "told": _told(heard),
            "told_at": heard.received_at.isoformat(),
            "our_refund": operation.refund_id if operation else None,
            "our_status": operation.status if operation else None,
            "last_outcome": outcome,
        },
    )
