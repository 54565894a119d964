"""Compares a provider's list of refunds with our refunds, page by page. Then finds our refunds that are not in the list.

If a refund only has a newer status at the provider, a worker looks up the refund. If support must review a discrepancy,
the discrepancy becomes one support task, even if several reconciliations find it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import structlog

from domain.providers import ListedRefund, RefundPage, RefundStatus, Unknown
from domain.refund_operations import OperationStatus, RefundOperation
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from worker.context import WorkerContext
from worker.reconciliation.disputes import compare_disputes
from worker.reconciliation.pages import list_refund_pages
from worker.refunds.disputes import can_look_up_disputes, poll_open_disputes
from worker.refunds.external_refunds import record_external_refunds
from worker.refunds.own_refunds import request_changed_refunds

log = structlog.get_logger()

LISTING_DELAY = timedelta(hours=4)
"""The time for which a new refund may be missing from a provider's list.

PayPal lists a refund up to three hours late (Transaction Search API). One more hour is a margin.
"""
MAX_REPORTS = 50  # the maximum number of reports in one result; there may be a million discrepancies

KEY_PREFIX = "mb_"
"""Every idempotency key begins with this prefix, in every installation of Moneyback."""

SUPPORT_DECIDES = {
    (OperationStatus.PAID, RefundStatus.FAILED),
    (OperationStatus.DECLINED, RefundStatus.PAID),
    (OperationStatus.DECLINED, RefundStatus.PENDING),
    (OperationStatus.FAILED, RefundStatus.PAID),
    (OperationStatus.FAILED, RefundStatus.PENDING),
    (OperationStatus.ABSENT, RefundStatus.PAID),
    (OperationStatus.ABSENT, RefundStatus.PENDING),
}
"""The pairs (our status, provider's status) that support must review. Any other difference only needs a lookup."""


@dataclass(slots=True)
class ReconciliationResult:
    """The counts of one reconciliation, and its first reports."""

    provider: str
    listed: int = 0
    matched: int = 0
    unknown_payments: int = 0
    """The number of refunds whose payment is not in our records. Other systems may use the same provider account."""
    lookups_requested: int = 0
    skipped: int = 0
    """The number of rows that could not be read and do not carry our key."""
    discrepancies: Counter[SupportTaskKind] = field(default_factory=Counter)
    reports: list[NewSupportTask] = field(default_factory=list)
    """The first discrepancies, at most ``MAX_REPORTS``. Every discrepancy becomes a support task."""
    incomplete: str = ""
    """The reason why the list could not be read to its end; empty if the list is complete.

    If the list is incomplete, no refund is reported as missing.
    """

    def create_tasks(self, work: UnitOfWork, reports: list[NewSupportTask]) -> None:
        """Create a support task for each report that has no task yet, and count the reports."""
        work.support_tasks.create(reports)
        self.discrepancies.update(report.kind for report in reports)
        self.reports += reports[: MAX_REPORTS - len(self.reports)]


def reconcile_all(context: WorkerContext, period: timedelta) -> int:
    """Reconcile the refunds of the last ``period`` at every connected provider, and look up open disputes.

    A provider that cannot list refunds is not reconciled. If a list is incomplete, create a support task. Return the number
    of discrepancies.
    """
    with context.records.work() as work:
        since = work.now - period
    discrepancies = 0
    for name, adapter in context.providers.items():
        if adapter.capabilities.lists_refunds:
            result = reconcile(context, name, since)
            log.info(
                "reconciled",
                provider=name,
                listed=result.listed,
                skipped=result.skipped,
                discrepancies=result.discrepancies.total(),
                incomplete=result.incomplete,
            )
            discrepancies += result.discrepancies.total()
            if result.incomplete:
                _report_incomplete_list(context, result)
        if can_look_up_disputes(context, name):
            log.info("disputes_polled", provider=name, open=poll_open_disputes(context, name))
        if adapter.capabilities.lists_disputes:
            compare_disputes(context, name, since)
    return discrepancies


def _report_incomplete_list(context: WorkerContext, result: ReconciliationResult) -> None:
    evidence: dict[str, str | int | None] = {
        "provider": result.provider,
        "why": result.incomplete,
        "listed": result.listed,
    }
    with context.records.work() as work:
        task = NewSupportTask(
            kind=SupportTaskKind.REFUND_LIST_INCOMPLETE,
            subject=f"{result.provider} on {work.now:%Y-%m-%d}",  # one task per day
            seller_id=None,
            evidence=evidence,
        )
        work.support_tasks.create([task])


def reconcile(
    context: WorkerContext,
    provider: str,
    since: datetime,
    on_page: Callable[[ReconciliationResult], None] = lambda _: None,
) -> ReconciliationResult:
    """Compare the provider's refunds since ``since`` with our refunds. After each page, pass the result so far to ``on_page``."""
    result = ReconciliationResult(provider)
    with context.records.work() as work:
        started_at = work.now
    for page in list_refund_pages(context, provider, since):
        if isinstance(page, Unknown):
            result.incomplete = page.why
            return result
        with context.records.work() as work:
            _compare_page(work, result, page)
        on_page(result)
    with context.records.work() as work:
        work.support_tasks.close_solved({(SupportTaskKind.REFUND_LIST_INCOMPLETE, "", provider)})
        unlisted = work.reconciliation.unlisted(
            provider, since=since + LISTING_DELAY, until=started_at - LISTING_DELAY, begun=started_at
        )
        for operations in batched(unlisted):
            result.create_tasks(
                work,
                [_missing_refund(provider, operation) for operation in operations],
            )
    return result


def batched(operations: Iterator[RefundOperation]) -> Iterator[list[RefundOperation]]:
    """Yield the operations in lists of at most a hundred operations."""
    while batch := list(islice(operations, 100)):
        yield batch


def _compare_page(work: UnitOfWork, result: ReconciliationResult, page: RefundPage) -> None:
    """Compare each listed refund with our operation that has the same refund id or the same idempotency key."""
    refunds = page.refunds
    result.listed += len(refunds)
    result.skipped += page.skipped
    operations = work.reconciliation.listed(
        result.provider,
        keys=[refund.key for refund in refunds if refund.key],
        refund_ids=[refund.refund_id for refund in refunds],
    )
    by_key = {operation.key: operation for operation in operations}
    by_refund_id = {operation.refund_id: operation for operation in operations}
    work.reconciliation.mark_reconciled(operations)
    without_operation: list[ListedRefund] = []
    own: list[tuple[ListedRefund, RefundOperation]] = []
    reports: list[NewSupportTask] = []
    for refund in refunds:
        operation = by_refund_id.get(refund.refund_id) or by_key.get(refund.key or "")
        if operation is None:
            without_operation.append(refund)
        elif operation.refund_id not in {None, refund.refund_id}:
            reports += _report_second_refund(result.provider, refund, operation)
        else:
            result.matched += 1
            reports += _report_differences(result.provider, refund, operation)
            own.append((refund, operation))
    work.support_tasks.close_solved_by_id([_missing_refund(result.provider, operation).id for _, operation in own])
    result.lookups_requested += request_changed_refunds(work, result.provider, own)
    reports += _report_external_refunds(work, result, without_operation)
    result.create_tasks(work, reports)


def _missing_refund(provider: str, operation: RefundOperation) -> NewSupportTask:
    return _create_report(SupportTaskKind.MISSING_REFUND, provider, operation.key, operation)


def _report_second_refund(provider: str, refund: ListedRefund, operation: RefundOperation) -> Iterator[NewSupportTask]:
    """Report a second refund with the key of one operation. The provider had deleted the key, and therefore paid again."""
    if refund.status is not RefundStatus.FAILED:
        yield _create_report(SupportTaskKind.UNEXPECTED_REFUND, provider, refund.refund_id, operation, refund)


def _report_differences(provider: str, refund: ListedRefund, operation: RefundOperation) -> Iterator[NewSupportTask]:
    if refund.amount.currency != operation.amount.currency:
        yield _create_report(SupportTaskKind.REFUND_CURRENCY_DIFFERS, provider, refund.refund_id, operation, refund)
    elif refund.amount != operation.amount:
        yield _create_report(SupportTaskKind.REFUND_AMOUNT_DIFFERS, provider, refund.refund_id, operation, refund)
    if (operation.status, refund.status) in SUPPORT_DECIDES:
        subject = f"{refund.refund_id} {refund.status}"
        yield _create_report(SupportTaskKind.REFUND_STATE_DIFFERS, provider, subject, operation, refund)


def _report_external_refunds(
    work: UnitOfWork, result: ReconciliationResult, refunds: list[ListedRefund]
) -> Iterator[NewSupportTask]:
    """Record and report refunds that have no operation, but belong to a known purchase or have a key of Moneyback.

    A refund with our key lacks its operation if the database was restored from an older backup. A payment with such a refund
    counts as refunded from now on, so that only support can refund the purchase again.
    """
    purchases = work.purchases.of_payments([(result.provider, refund.charge) for refund in refunds])
    reported = [
        refund
        for refund in refunds
        if purchases[result.provider, refund.charge] or (refund.key or "").startswith(KEY_PREFIX)
    ]
    result.unknown_payments += len(refunds) - len(reported)
    yield from record_external_refunds(work, result.provider, reported, purchases)


def _create_report(
    kind: SupportTaskKind,
    provider: str,
    subject: str,
    operation: RefundOperation | None,
    refund: ListedRefund | None = None,
    seller_id: str | None = None,
) -> NewSupportTask:
    return NewSupportTask(
        kind=kind,
        subject=f"{provider} {subject}",
        case_id=operation.case_id if operation else None,
        seller_id=seller_id,
        evidence={"provider": provider} | _describe_operation(operation) | _describe_refund(refund),
    )


def _describe_operation(operation: RefundOperation | None) -> dict[str, str | int | None]:
    if operation is None:
        return {}
    return {
        "charge": operation.charge,
        "our_refund": operation.refund_id,
        "our_status": operation.status,
        "our_amount": operation.amount.minor,
        "our_currency": operation.amount.currency,
        "key": operation.key,
    }


def _describe_refund(refund: ListedRefund | None) -> dict[str, str | int | None]:
    if refund is None:
        return {}
    return {
        "charge": refund.charge,
        "refund": refund.refund_id,
        "status": refund.status,
        "amount": refund.amount.minor,
        "currency": refund.amount.currency,
        "made_at": refund.created_at.isoformat(),
    }
