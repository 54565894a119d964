"""Store what sellers and providers report about purchases, with all that follows from a report."""

from collections.abc import Mapping, Sequence

from domain.purchase_reports import OtherSeller, PurchaseReport, report_of
from domain.purchases import Purchase
from domain.states import Event
from domain.support_tasks import SupportTaskKind
from records.purchases import Reported, ReportResult
from records.support_tasks import NewSupportTask
from records.unit_of_work import UnitOfWork

UNMATCHED_DAYS = 30
"""An unmatched request is evaluated again if its purchase is reported within this number of days."""


Owners = Mapping[str, frozenset[str]]
"""The sellers to whom each provider account belongs. An account without sellers belongs to every seller."""


def store_reports(work: UnitOfWork, reports: Sequence[PurchaseReport], owners: Owners) -> list[ReportResult]:
    """Store these reports, and return a result for each report, in the same order.

    If a purchase is new or was corrected, the unmatched requests that it matches are evaluated again, and so are the webhook
    events that came before its payments were known. If a request that named no seller is already a case of another seller,
    the seller of the purchase gets a copy. If a report names a payment of another seller, support of both sellers
    gets a task.
    """
    foreign = {
        index: result for index, report in enumerate(reports) if (result := _find_foreign_account(report, owners))
    }
    stored = iter(work.purchases.report([report for index, report in enumerate(reports) if index not in foreign]))
    results = [foreign.get(index) or next(stored) for index in range(len(reports))]
    changed = [result.purchase for result in results if isinstance(result, Reported) and result.is_changed]
    ids = [purchase.id for purchase in changed]
    work.webhook_events.process_again(
        [(payment.provider, payment.charge) for purchase in changed for payment in purchase.payments]
    )
    why = "The seller reported a purchase with this reference and this e-mail address."
    work.history.record(
        [
            case.after(Event.PURCHASE_REPORTED, actor="purchases", why=why)
            for case in work.cases.unmatched(ids, days=UNMATCHED_DAYS)
        ]
    )
    work.intake.fork(work.cases.for_other_sellers(ids, days=UNMATCHED_DAYS))
    work.support_tasks.create(
        [
            _create_task(report, result, seller_id)
            for report, result in zip(reports, results, strict=True)
            if isinstance(result, OtherSeller)
            for seller_id in (report.seller_id, result.seller_id)
            if seller_id
        ]
    )
    return results


def store_purchases(work: UnitOfWork, purchases: Sequence[Purchase]) -> list[ReportResult]:
    """Store these complete purchases as if their sellers had reported them."""
    return store_reports(work, [report_of(purchase) for purchase in purchases], {})


def _find_foreign_account(report: PurchaseReport, owners: Owners) -> OtherSeller | None:
    """Return a refusal if the report names a payment at an account that belongs to other sellers."""
    for provider, charge in report.payment_ids:
        sellers = owners.get(provider)
        if sellers and report.seller_id not in sellers:
            return OtherSeller(provider, charge, next(iter(sellers)) if len(sellers) == 1 else None)
    return None


def _create_task(report: PurchaseReport, foreign: OtherSeller, seller_id: str) -> NewSupportTask:
    """Return the task for one of the two sellers. A task names no other seller than its own."""
    own_reference = {"reference": report.reference} if seller_id == report.seller_id else {}
    return NewSupportTask(
        kind=SupportTaskKind.PAYMENT_OF_OTHER_SELLER,
        subject=f"{foreign.provider} {foreign.charge} {seller_id}",
        seller_id=seller_id,
        evidence={"provider": foreign.provider, "charge": foreign.charge, **own_reference},
    )
