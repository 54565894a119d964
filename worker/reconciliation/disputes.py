"""Compares a provider's list of disputes with our records, because a webhook may be lost.

The list contains the disputes that were opened in the period, whatever the date of the payment. So a bank that takes a payment
back after our refund is noticed as long as banks may do so: 120 days for cards, 13 months for direct debits (PSD2, Art. 71).
"""

from datetime import datetime

import structlog

from domain.providers import DisputePage, Unknown
from domain.webhook_events import Subject, WebhookEvent
from worker.context import WorkerContext
from worker.reconciliation.pages import list_pages

log = structlog.get_logger()


def compare_disputes(context: WorkerContext, provider: str, since: datetime) -> int:
    """Request a lookup of each dispute since ``since`` whose status differs from our records. Return the number of lookups."""
    requested = listed = skipped = 0
    incomplete = ""
    for page in list_pages(context, provider, since, lambda adapter: adapter.list_disputes, DisputePage):
        if isinstance(page, Unknown):
            incomplete = page.why
            break
        listed += len(page.disputes)
        skipped += page.skipped
        with context.records.work() as work:
            known = work.purchases.disputes_of(provider, [dispute.charge for dispute in page.disputes])
            events = [
                WebhookEvent(
                    event_id=f"reconciliation {dispute.status.dispute_id} {dispute.status.dispute}",
                    subject=Subject.DISPUTE,
                    charge=dispute.charge,
                )
                for dispute in page.disputes
                if known.get(dispute.charge, dispute.status.dispute) is not dispute.status.dispute
            ]
            requested += work.webhook_events.request_again(provider, events)
    log.info(
        "disputes_compared", provider=provider, listed=listed, skipped=skipped, lookups=requested, incomplete=incomplete
    )
    return requested
