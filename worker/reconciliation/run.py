"""Reconciliation: the provider's own list of refunds held against ours, both ways, a page at a time.

What only differs because there is news is looked up at once. What people must look into becomes a task, once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import structlog

from domain.providers import ListedRefund, RefundPage, RefundStatus, Unknown
from domain.purchases import Purchase
from domain.reason_codes import SupportTaskKind
from domain.refund_operations import OperationStatus, RefundOperation
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from worker.context import WorkerContext
from worker.reconciliation.pages import pages
from worker.refunds.disputes import can_look_up_disputes, poll_open_disputes

log = structlog.get_logger()

LAG = timedelta(hours=4)  # PayPal's list is up to three hours late (Transaction Search API)
SHOWN = 50  # discrepancies that one run shows; a provider may differ in a million

OURS_BY_KEY = "mb_"
"""What the keys of our own refunds start with, whichever database made them."""

MONEY_DIFFERS = {
    (OperationStatus.PAID, RefundStatus.FAILED),
    (OperationStatus.DECLINED, RefundStatus.PAID),
    (OperationStatus.DECLINED, RefundStatus.PENDING),
    (OperationStatus.FAILED, RefundStatus.PAID),
    (OperationStatus.FAILED, RefundStatus.PENDING),
    (OperationStatus.ABSENT, RefundStatus.PAID),
    (OperationStatus.ABSENT, RefundStatus.PENDING),
}
"""What we hold a refund for, and what the provider does, where people must look. Any other difference is only news."""


@dataclass(slots=True)
class ReconciliationResult:
    """What was held against each other, and what differed."""

    provider: str
    listed: int = 0
    matched: int = 0
    not_ours: int = 0
    """Refunds of payments that we know nothing of: the account may serve others as well."""
    looked_into: int = 0
    discrepancies: Counter[SupportTaskKind] = field(default_factory=Counter)
    reports: list[NewSupportTask] = field(default_factory=list)
    """The first of them: all are tasks."""
    incomplete: str = ""
    """Why the list could not be read to its end; nothing is called missing then."""

    def found(self, work: UnitOfWork, reports: list[NewSupportTask]) -> None:
        """Makes a task of each of these that has none, and counts them."""
        work.support_tasks.create(reports)
        self.discrepancies.update(report.kind for report in reports)
        self.reports += reports[: SHOWN - len(self.reports)]


def reconcile_all(context: WorkerContext, back: timedelta) -> int:
    """Reconciles every connected provider that can list its refunds, and asks about disputes that are open.

    Returns how many discrepancies were found. A list that could not be read to its end is a task for operators.
    """
    with context.records.work() as work:
        since = work.now - back
    found = 0
    for name, adapter in context.providers.items():
        if adapter.capabilities.lists_refunds:
            done = reconcile(context, name, since)
            log.info(
                "reconciled",
                provider=name,
                listed=done.listed,
                discrepancies=done.discrepancies.total(),
                incomplete=done.incomplete,
            )
            found += done.discrepancies.total()
            if done.incomplete:
                _report_incomplete(context, done)
        if can_look_up_disputes(context, name):
            log.info("disputes_polled", provider=name, open=poll_open_disputes(context, name))
    return found


def _report_incomplete(context: WorkerContext, done: ReconciliationResult) -> None:
    with context.records.work() as work:
        evidence: dict[str, str | int | None] = {
            "provider": done.provider,
            "why": done.incomplete,
            "listed": done.listed,
        }
        subject = f"{done.provider} on {work.now:%Y-%m-%d}"
        work.support_tasks.create(
            [
                NewSupportTask(
                    kind=SupportTaskKind.REFUND_LIST_INCOMPLETE, subject=subject, seller_id=None, evidence=evidence
                )
            ]
        )


def reconcile(
    context: WorkerContext,
    provider: str,
    since: datetime,
    told: Callable[[ReconciliationResult], None] = lambda _: None,
) -> ReconciliationResult:
    """Holds this provider's refunds since then against ours. ``told`` hears of every page."""
    done = ReconciliationResult(provider)
    with context.records.work() as work:
        begun = work.now
    for page in pages(context, provider, since):
        if isinstance(page, Unknown):
            done.incomplete = page.why
            return done
        with context.records.work() as work:
            _compare(work, done, page)
        told(done)
    with context.records.work() as work:
        unlisted = work.reconciliation.unlisted(provider, since=since + LAG, until=begun - LAG, begun=begun)
        for operations in batched(unlisted):
            done.found(work, [_report(SupportTaskKind.MISSING_REFUND, provider, one.key, one) for one in operations])
    return done


def batched(operations: Iterator[RefundOperation]) -> Iterator[list[RefundOperation]]:
    """A hundred at a time."""
    while batch := list(islice(operations, 100)):
        yield batch


def _compare(work: UnitOfWork, done: ReconciliationResult, page: RefundPage) -> None:
    """One page: each refund that the provider lists, and the operation of ours that it belongs to."""
    listed = page.refunds
    done.listed += len(listed)
    operations = work.reconciliation.listed(
        done.provider, keys=[one.key for one in listed if one.key], refund_ids=[one.refund_id for one in listed]
    )
    by_key = {operation.key: operation for operation in operations}
    by_refund = {operation.refund_id: operation for operation in operations}
    work.reconciliation.mark_reconciled(operations)
    strangers: list[ListedRefund] = []
    reports: list[NewSupportTask] = []
    for one in listed:
        operation = by_refund.get(one.refund_id) or by_key.get(one.key or "")
        if operation is None:
            strangers.append(one)
            continue
        if operation.refund_id not in {None, one.refund_id}:  # the provider forgot our key, and paid it again
            if one.status is not RefundStatus.FAILED:
                reports.append(_report(SupportTaskKind.UNEXPECTED_REFUND, done.provider, one.refund_id, operation, one))
            continue
        done.matched += 1
        reports += _differences(done.provider, one, operation)
        if (operation.status, one.status) not in _AGREE:
            done.looked_into += work.webhook_events.keep(done.provider, [_news(one)], b"")
    reports += _extra(work, done, strangers)
    done.found(work, reports)


_AGREE = {
    (OperationStatus.PAID, RefundStatus.PAID),
    (OperationStatus.PENDING, RefundStatus.PENDING),
    (OperationStatus.FAILED, RefundStatus.FAILED),
}


def _differences(provider: str, one: ListedRefund, operation: RefundOperation) -> Iterator[NewSupportTask]:
    if one.amount.currency != operation.amount.currency:
        yield _report(SupportTaskKind.REFUND_CURRENCY_DIFFERS, provider, one.refund_id, operation, one)
    elif one.amount != operation.amount:
        yield _report(SupportTaskKind.REFUND_AMOUNT_DIFFERS, provider, one.refund_id, operation, one)
    if (operation.status, one.status) in MONEY_DIFFERS:
        yield _report(SupportTaskKind.REFUND_STATE_DIFFERS, provider, f"{one.refund_id} {one.status}", operation, one)


def _extra(work: UnitOfWork, done: ReconciliationResult, strangers: list[ListedRefund]) -> Iterator[NewSupportTask]:
    """Refunds of purchases that we know, or under keys of ours that we do not: a database that forgot them, say.

    Their purchases count as refunded from now on: nobody pays them again without a person.
    """
    alive = [one for one in strangers if one.status is not RefundStatus.FAILED]
    paid_by: dict[str, list[Purchase]] = {one.charge: [] for one in alive}
    for purchase in work.purchases.paid_by([(done.provider, charge) for charge in paid_by]):
        paid_by[purchase.charge].append(purchase)
    for one in alive:
        ours = paid_by[one.charge]
        for purchase in ours:
            work.purchases.add_refunded(purchase.id, one.amount.minor)
        if ours or (one.key or "").startswith(OURS_BY_KEY):
            seller = ours[0].seller_id if ours else None
            yield _report(SupportTaskKind.UNEXPECTED_REFUND, done.provider, one.refund_id, None, one, seller)
        else:
            done.not_ours += 1


def _news(one: ListedRefund) -> WebhookEvent:
    """A difference is news until a look has explained it."""
    event = f"reconciliation {one.refund_id} {one.status}"
    return WebhookEvent(event_id=event, subject=Subject.REFUND, charge=one.charge, refund_id=one.refund_id)


def _report(
    trouble: SupportTaskKind,
    provider: str,
    subject: str,
    operation: RefundOperation | None,
    one: ListedRefund | None = None,
    seller: str | None = None,
) -> NewSupportTask:
    ours: dict[str, str | int | None] = {}
    theirs: dict[str, str | int | None] = {}
    if operation:
        ours = {
            "charge": operation.charge,
            "our_refund": operation.refund_id,
            "our_status": operation.status,
            "our_amount": operation.amount.minor,
            "our_currency": operation.amount.currency,
            "key": operation.key,
        }
    if one:
        theirs = {
            "charge": one.charge,
            "refund": one.refund_id,
            "status": one.status,
            "amount": one.amount.minor,
            "currency": one.amount.currency,
            "made_at": one.created_at.isoformat(),
        }
    return NewSupportTask(
        kind=trouble,
        subject=f"{provider} {subject}",
        case_id=operation.case_id if operation else None,
        seller_id=seller,
        evidence={"provider": provider, **ours, **theirs},
    )
