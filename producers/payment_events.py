"""Adds the refunds and disputes that a file reports in rows of their own to the purchases that they are about."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from domain.payment_events import PaymentEvent
from domain.purchase_reports import PurchaseReport
from domain.purchases import Dispute, Purchase
from producers.purchase_schema import PurchaseInput
from records import UnitOfWork
from records.purchase_reports import Owners, store_reports

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Sums:
    """The refunds and the dispute of one purchase: as its seller has reported them before, and as the events add to them."""

    seller: str
    reference: str
    reported_refunded: int
    dispute: str
    has_one_payment: bool
    refunded: int = 0

    def add(self, event: PaymentEvent) -> None:
        """Add an event. The end of a hold does not end a dispute that was lost before, or a dispute of another payment."""
        self.refunded += event.refunded
        is_won = self.has_one_payment and (self.dispute != Dispute.LOST or event.is_returned)
        if event.dispute and (is_won or event.dispute != Dispute.WON):
            self.dispute = event.dispute

    def report(self) -> PurchaseReport:
        """Return the report of the seller. The new sum of the refunds counts only if it is more than the reported sum."""
        values = {"refunded": max(self.reported_refunded, self.refunded), "dispute": self.dispute}
        return PurchaseInput.model_validate(values).report(self.seller, self.reference)


def store_payment_events(
    work: UnitOfWork, events: Sequence[PaymentEvent], owners: Owners, batch_size: int
) -> list[PaymentEvent]:
    """Store the events as if the seller had reported them with their purchases. Return the events whose purchase is unknown.

    The refunds of a purchase are added up. A file can be imported again, because a sum that is known is not added.
    """
    sums: dict[UUID, _Sums] = {}
    unknown: list[PaymentEvent] = []
    for batch in _batches(events, batch_size):
        for event, purchase in zip(batch, _find_purchases(work, batch), strict=True):
            if purchase is None:
                unknown.append(event)
                continue
            sums.setdefault(purchase.id, _sums_of(purchase)).add(event)
    for purchases in _batches(list(sums.values()), batch_size):
        store_reports(work, [purchase.report() for purchase in purchases], owners)
    return unknown


def _sums_of(purchase: Purchase) -> _Sums:
    return _Sums(
        purchase.seller_id,
        purchase.reference,
        purchase.reported_refunded,
        purchase.reported_dispute,
        len(purchase.payments) == 1,
    )


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _find_purchases(work: UnitOfWork, events: Sequence[PaymentEvent]) -> list[Purchase | None]:
    """Return the purchase of each event: the purchase with its payment, or else the purchase with its reference."""
    paid = work.purchases.paid_by([(event.provider, event.charge) for event in events if event.charge])
    named = work.purchases.with_references([(event.seller, event.reference) for event in events])
    return [_find_purchase(event, paid, named[index]) for index, event in enumerate(events)]


def _find_purchase(
    event: PaymentEvent, paid: Mapping[tuple[str, str], Sequence[Purchase]], named: Purchase | None
) -> Purchase | None:
    """Return the purchase of an event. If a payment paid several purchases, the reference decides."""
    own = [purchase for purchase in paid.get((event.provider, event.charge), ()) if purchase.seller_id == event.seller]
    if named and (not own or named.id in {purchase.id for purchase in own}):
        return named
    return own[0] if own else None
