"""Reads a provider's payments page by page, and stores each page and the progress in one commit.

An interrupted synchronisation continues at the page where it ended. A page that is read again changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from domain.policies import Seller
from domain.providers import PurchasePage, Unknown
from records.purchase_syncs import SyncProgress
from worker.context import WorkerContext
from worker.purchase_sync.results import STORED, SyncCode, SyncedPayment
from worker.purchase_sync.sellers import PaymentSellers, load_sellers
from worker.purchase_sync.storing import store_payments
from worker.reconciliation.pages import list_pages

FIRST_PERIOD = timedelta(days=180)
"""The period of the first synchronisation. PayPal's documentation, "Issue a refund": refunds are possible for 180 days."""
OVERLAP = timedelta(days=8)
"""The time before the previous synchronisation that is read again, because a payment may be captured after it was made.

Stripe's documentation, "Place a hold on a payment method": an authorisation by card is valid for seven days.
"""
RESUMABLE = timedelta(days=1)
"""The time for which an interrupted synchronisation continues. Later it begins again, because providers discard old cursors."""
Check = Callable[[Mapping[str, object]], str | None]
"""Returns why a purchase with these fields could never be refunded automatically, or None."""

MAX_SHOWN = 20  # the maximum number of differences in one result; there may be a million differences


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What to synchronise."""

    provider: str
    since: datetime | None = None
    """The payments that were made since this instant. None means since the previous synchronisation."""
    seller: str | None = None
    """The seller of the payments that name no seller."""
    dry_run: bool = False
    """True if nothing is stored."""


@dataclass(slots=True)
class SyncResult:
    """The counts of one synchronisation, and its first differences."""

    since: datetime
    is_continued: bool
    """True if the synchronisation continues where an earlier synchronisation ended."""
    codes: Counter[SyncCode] = field(default_factory=Counter)
    no_purchases: int = 0
    """The number of rows that are no purchase: payments that failed or were not captured, and rows that cannot be read."""
    differences: list[SyncedPayment] = field(default_factory=list)
    """The first differences, at most ``MAX_SHOWN``."""
    first_payment_at: datetime | None = None
    """The instant of the payment that was read first. Providers list the newest payment first, or the oldest."""
    last_payment_at: datetime | None = None
    """The instant of the payment that was read last."""
    never_automatic: Counter[str] = field(default_factory=Counter)
    """The number of stored payments that could never be refunded automatically, by reason."""
    incomplete: str = ""
    """The reason why the list could not be read to its end; empty if the list is complete."""

    def add(self, page: PurchasePage, synced: list[SyncedPayment]) -> None:
        """Count the payments of a page."""
        self.codes.update(payment.code for payment in synced)
        self.no_purchases += page.skipped
        differences = [payment for payment in synced if payment.code is SyncCode.DIFFERS]
        self.differences += differences[: MAX_SHOWN - len(self.differences)]
        if page.purchases:
            self.first_payment_at = self.first_payment_at or page.purchases[0].purchased_at
            self.last_payment_at = page.purchases[-1].purchased_at


def synchronise(
    context: WorkerContext,
    request: SyncRequest,
    on_page: Callable[[SyncResult], None] = lambda _: None,
    check: Check = lambda _: None,
) -> SyncResult:
    """Store the provider's payments as purchases. After each page, pass the result so far to ``on_page``.

    ``check`` says of each stored payment whether it could never be refunded automatically.
    """
    with context.records.work() as work:
        progress = _plan(work.purchase_syncs.get(request.provider), request, work.now)
        sellers = load_sellers(work, context, request.provider, request.seller)
    result = SyncResult(progress.since, is_continued=progress.cursor is not None)
    for page in list_pages(
        context,
        request.provider,
        progress.since,
        lambda adapter: adapter.purchases,
        PurchasePage,
        after=progress.cursor,
    ):
        if isinstance(page, Unknown):
            result.incomplete = page.why
            return result
        progress = _advance(progress, page)
        with suppress(_DryRun), context.records.work() as work:
            synced = store_payments(work, request.provider, page.purchases, sellers)
            result.add(page, synced)
            stored = [payment.charge for payment in synced if payment.code in STORED]
            result.never_automatic.update(_reasons(request.provider, page, stored, sellers, check))
            work.purchase_syncs.put(request.provider, progress)
            if request.dry_run:
                raise _DryRun
        on_page(result)
    return result


def _reasons(
    provider: str, page: PurchasePage, stored: Collection[str], sellers: PaymentSellers, check: Check
) -> Iterator[str]:
    """Yield the reason of each stored payment that could never be refunded automatically."""
    for payment in page.purchases:
        seller = sellers.seller_of(payment)
        if payment.charge in stored and isinstance(seller, Seller):
            reason = check(
                {
                    "seller": seller.id,
                    "provider": provider,
                    "charge": payment.charge,
                    "amount": payment.amount.minor,
                    "currency": payment.amount.currency,
                    "method": payment.method,
                    "product": payment.product,
                    "renewal": payment.renewal,
                    "purchased_at": payment.purchased_at.isoformat(),
                }
            )
            if reason:
                yield reason


class _DryRun(Exception):  # noqa: N818 - it is no error, and only rolls the transaction back
    """Rolls back the transaction of a dry run."""


def _plan(stored: SyncProgress | None, request: SyncRequest, now: datetime) -> SyncProgress:
    """Return where the synchronisation begins, or where it continues."""
    if stored and _continues(stored, request, now):
        return stored
    complete_until = stored.complete_until if stored else None
    since = complete_until - OVERLAP if complete_until else now - FIRST_PERIOD
    return SyncProgress(since=request.since or since, started_at=now, complete_until=complete_until)


def _continues(stored: SyncProgress, request: SyncRequest, now: datetime) -> bool:
    """Return True if the stored synchronisation was interrupted a short time ago, and reads the same payments."""
    is_recent = stored.updated_at is not None and now - stored.updated_at < RESUMABLE
    return stored.cursor is not None and is_recent and request.since in {None, stored.since} and not request.dry_run


def _advance(progress: SyncProgress, page: PurchasePage) -> SyncProgress:
    """Return the progress after this page. After the last page, all payments until the start have been read.

    A synchronisation that begins later than the previous synchronisation ended leaves a gap. Then the next one reads the gap.
    """
    if page.next_cursor is not None:
        return replace(progress, cursor=page.next_cursor)
    leaves_gap = progress.complete_until is not None and progress.since > progress.complete_until
    complete_until = progress.complete_until if leaves_gap else progress.started_at
    return replace(progress, cursor=None, complete_until=complete_until)
