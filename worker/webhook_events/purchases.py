"""Resolves events about new payments: a worker looks the payment up at the provider, and stores the payment as a purchase."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import structlog

from domain.providers import Declined, ListedPurchase, Unknown
from records import UnitOfWork
from records.webhook_events import ClaimedEvent
from worker import provider_client
from worker.context import WorkerContext
from worker.purchase_sync.results import SyncCode
from worker.purchase_sync.sellers import load_sellers
from worker.purchase_sync.storing import store_payments
from worker.webhook_events.outcomes import Outcome, OutcomeCode, Resolved, Retry

log = structlog.get_logger()

NO_PURCHASE_ATTEMPTS = 10
"""The maximum number of attempts for a payment that the provider does not show as a purchase.

The attempts take about two hours. A payment that is captured later than that causes another event.
"""
SYNC_CODES = {
    SyncCode.NEW: OutcomeCode.PURCHASE_STORED,
    SyncCode.FURTHER_PAYMENT: OutcomeCode.PURCHASE_STORED,
    SyncCode.KNOWN: OutcomeCode.PURCHASE_KNOWN,
    SyncCode.DIFFERS: OutcomeCode.PURCHASE_DIFFERS,
    SyncCode.NO_EMAIL: OutcomeCode.NO_EMAIL,
    SyncCode.NO_REFERENCE: OutcomeCode.NO_REFERENCE,
    SyncCode.NO_SELLER: OutcomeCode.NO_SELLER,
    SyncCode.UNKNOWN_SELLER: OutcomeCode.UNKNOWN_SELLER,
}
"""The outcome of an event, by what became of the payment. An event is resolved even if the payment becomes no purchase."""


def resolve_purchases(context: WorkerContext, events: Sequence[ClaimedEvent], until: float) -> dict[UUID, Outcome]:
    """Store the payments that the events are about, and return the outcome of each event. Known payments are not looked up."""
    with context.records.work() as work:
        known = work.purchases.paid_by([event.payment for event in events])
    outcomes: dict[UUID, Outcome] = {
        event.id: Resolved(OutcomeCode.PURCHASE_KNOWN if known[event.payment] else OutcomeCode.NO_PAYMENT)
        for event in events
        if known[event.payment] or event.event.charge is None
    }
    new = [event for event in events if event.id not in outcomes]
    for batch in context.call_pool.map_all(
        lambda event: provider_client.show_purchase(context, *event.payment, until=until), new
    ):
        with context.records.work() as work:
            outcomes |= {event.id: _store(work, context, event, found) for event, found in batch}
    if new:
        log.info("payments_stored", **Counter(outcomes[event.id].code.value for event in new))
    return outcomes


def _store(
    work: UnitOfWork, context: WorkerContext, event: ClaimedEvent, found: ListedPurchase | Declined | Unknown
) -> Outcome:
    if isinstance(found, Unknown):
        return Retry(OutcomeCode.LOOKUP_FAILED, found.why)
    if isinstance(found, Declined):
        outcome = Resolved if event.attempts >= NO_PURCHASE_ATTEMPTS else Retry
        return outcome(OutcomeCode.NO_PURCHASE)
    (synced,) = store_payments(work, event.provider, [found], load_sellers(work, context, event.provider))
    return Resolved(SYNC_CODES[synced.code])
