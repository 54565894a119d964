"""Reconciliation: the provider's own list of refunds held against ours, both ways, a page at a time.

What only differs because there is news is looked up at once. What people must look into becomes a task, once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import structlog

from domain.findings import Trouble
from domain.notices import About, Notice
from domain.providers import Listed, Page, Standing, Unknown
from domain.purchases import Purchase
from domain.refund_operations import Operation, OperationStatus
from records import Work
from records.tasks import Report
from worker.disputes import can_be_asked, look_at_open_ones
from worker.listing import pages
from worker.tools import Tools

log = structlog.get_logger()

LAG = timedelta(hours=4)  # PayPal's list is up to three hours late (Transaction Search API)
SHOWN = 50  # discrepancies that one run shows; a provider may differ in a million

OURS_BY_KEY = "mb_"
"""What the keys of our own refunds start with, whichever database made them."""

MONEY_DIFFERS = {
    (OperationStatus.PAID, Standing.FAILED),
    (OperationStatus.DECLINED, Standing.PAID),
    (OperationStatus.DECLINED, Standing.PENDING),
    (OperationStatus.FAILED, Standing.PAID),
    (OperationStatus.FAILED, Standing.PENDING),
    (OperationStatus.ABSENT, Standing.PAID),
    (OperationStatus.ABSENT, Standing.PENDING),
}
"""What we hold a refund for, and what the provider does, where people must look. Any other difference is only news."""


@dataclass(slots=True)
class Reconciled:
    """What was held against each other, and what differed."""

    provider: str
    listed: int = 0
    matched: int = 0
    not_ours: int = 0
    """Refunds of payments that we know nothing of: the account may serve others as well."""
    looked_into: int = 0
    discrepancies: Counter[Trouble] = field(default_factory=Counter)
    reports: list[Report] = field(default_factory=list)
    """The first of them: all are tasks."""
    incomplete: str = ""
    """Why the list could not be read to its end; nothing is called missing then."""

    def found(self, work: Work, reports: list[Report]) -> None:
        """Makes a task of each of these that has none, and counts them."""
        work.tasks.report(reports)
        self.discrepancies.update(report.trouble for report in reports)
        self.reports += reports[: SHOWN - len(self.reports)]


def reconcile_all(tools: Tools, back: timedelta) -> int:
    """Reconciles every connected provider that can list its refunds, and asks about disputes that are open.

    Returns how many discrepancies were found. A list that could not be read to its end is a task for operators.
    """
    with tools.records.work() as work:
        since = work.now - back
    found = 0
    for name, adapter in tools.providers.items():
        if adapter.capabilities.lists:
            done = reconcile(tools, name, since)
            log.info(
                "reconciled",
                provider=name,
                listed=done.listed,
                discrepancies=done.discrepancies.total(),
                incomplete=done.incomplete,
            )
            found += done.discrepancies.total()
            if done.incomplete:
                _report_incomplete(tools, done)
        if can_be_asked(tools, name):
            log.info("disputes_asked_about", provider=name, open=look_at_open_ones(tools, name))
    return found


def _report_incomplete(tools: Tools, done: Reconciled) -> None:
    with tools.records.work() as work:
        evidence: dict[str, str | int | None] = {
            "provider": done.provider,
            "why": done.incomplete,
            "listed": done.listed,
        }
        subject = f"{done.provider} on {work.now:%Y-%m-%d}"
        work.tasks.report([Report(trouble=Trouble.LIST_INCOMPLETE, subject=subject, seller=None, evidence=evidence)])


def reconcile(
    tools: Tools, provider: str, since: datetime, told: Callable[[Reconciled], None] = lambda _: None
) -> Reconciled:
    """Holds this provider's refunds since then against ours. ``told`` hears of every page."""
    done = Reconciled(provider)
    with tools.records.work() as work:
        begun = work.now
    for page in pages(tools, provider, since):
        if isinstance(page, Unknown):
            done.incomplete = page.why
            return done
        with tools.records.work() as work:
            _compare(work, done, page)
        told(done)
    with tools.records.work() as work:
        unlisted = work.reconciliation.unlisted(provider, since=since + LAG, until=begun - LAG, begun=begun)
        for operations in batched(unlisted):
            done.found(work, [_report(Trouble.REFUND_MISSING, provider, one.key, one) for one in operations])
    return done


def batched(operations: Iterator[Operation]) -> Iterator[list[Operation]]:
    """A hundred at a time."""
    while batch := list(islice(operations, 100)):
        yield batch


def _compare(work: Work, done: Reconciled, page: Page) -> None:
    """One page: each refund that the provider lists, and the operation of ours that it belongs to."""
    listed = page.refunds
    done.listed += len(listed)
    operations = work.reconciliation.listed(
        done.provider, keys=[one.key for one in listed if one.key], refund_ids=[one.refund_id for one in listed]
    )
    by_key = {operation.key: operation for operation in operations}
    by_refund = {operation.refund_id: operation for operation in operations}
    work.reconciliation.seen(operations)
    strangers: list[Listed] = []
    reports: list[Report] = []
    for one in listed:
        operation = by_refund.get(one.refund_id) or by_key.get(one.key or "")
        if operation is None:
            strangers.append(one)
            continue
        if operation.refund_id not in {None, one.refund_id}:  # the provider forgot our key, and paid it again
            if one.standing is not Standing.FAILED:
                reports.append(_report(Trouble.REFUND_EXTRA, done.provider, one.refund_id, operation, one))
            continue
        done.matched += 1
        reports += _differences(done.provider, one, operation)
        if (operation.status, one.standing) not in _AGREE:
            done.looked_into += work.notices.keep(done.provider, [_news(one)], b"")
    reports += _extra(work, done, strangers)
    done.found(work, reports)


_AGREE = {
    (OperationStatus.PAID, Standing.PAID),
    (OperationStatus.PENDING, Standing.PENDING),
    (OperationStatus.FAILED, Standing.FAILED),
}


def _differences(provider: str, one: Listed, operation: Operation) -> Iterator[Report]:
    if one.amount.currency != operation.amount.currency:
        yield _report(Trouble.REFUND_CURRENCY_DIFFERS, provider, one.refund_id, operation, one)
    elif one.amount != operation.amount:
        yield _report(Trouble.REFUND_AMOUNT_DIFFERS, provider, one.refund_id, operation, one)
    if (operation.status, one.standing) in MONEY_DIFFERS:
        yield _report(Trouble.REFUND_STATE_DIFFERS, provider, f"{one.refund_id} {one.standing}", operation, one)


def _extra(work: Work, done: Reconciled, strangers: list[Listed]) -> Iterator[Report]:
    """Refunds of purchases that we know, or under keys of ours that we do not: a database that forgot them, say.

    Their purchases count as refunded from now on: nobody pays them again without a person.
    """
    alive = [one for one in strangers if one.standing is not Standing.FAILED]
    paid_by: dict[str, list[Purchase]] = {one.charge: [] for one in alive}
    for purchase in work.purchases.paid_by([(done.provider, charge) for charge in paid_by]):
        paid_by[purchase.charge].append(purchase)
    for one in alive:
        ours = paid_by[one.charge]
        for purchase in ours:
            work.purchases.touched(purchase.id, one.amount.minor)
        if ours or (one.key or "").startswith(OURS_BY_KEY):
            seller = ours[0].seller if ours else None
            yield _report(Trouble.REFUND_EXTRA, done.provider, one.refund_id, None, one, seller)
        else:
            done.not_ours += 1


def _news(one: Listed) -> Notice:
    """A difference is news until a look has explained it."""
    event = f"reconciliation {one.refund_id} {one.standing}"
    return Notice(event=event, about=About.REFUND, charge=one.charge, refund_id=one.refund_id)


def _report(
    trouble: Trouble,
    provider: str,
    subject: str,
    operation: Operation | None,
    one: Listed | None = None,
    seller: str | None = None,
) -> Report:
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
            "status": one.standing,
            "amount": one.amount.minor,
            "currency": one.amount.currency,
            "made_at": one.at.isoformat(),
        }
    return Report(
        trouble=trouble,
        subject=f"{provider} {subject}",
        case=operation.case if operation else None,
        seller=seller,
        evidence={"provider": provider, **ours, **theirs},
    )
