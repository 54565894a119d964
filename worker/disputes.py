"""Disputes: a payment that the customer disputes is not refunded as well, and one that was refunded is not lost twice."""

from domain.cases import Case, Step
from domain.findings import Code, Trouble
from domain.providers import DisputeSeen
from domain.purchases import Dispute, Purchase
from domain.states import Event
from records import Work
from records.operations import Operation
from records.tasks import Report


def draw_consequences(work: Work, purchase: Purchase, seen: DisputeSeen) -> bool:
    """Open or lost after our refund: the money may leave twice, a person answers it. Won: what waited for it goes on.

    Returns whether that is all: a case that somebody holds right now cannot go on yet.
    """
    payment = purchase.provider, purchase.charge
    work.purchases.disputed(*payment, seen.dispute)
    if seen.dispute is Dispute.WON:
        waiting = work.cases.with_support_for(*payment, Code.DISPUTE_OPEN)
        work.history.record([_resumed(case, seen) for case in waiting])
        return not work.cases.still_with_support_for(*payment, Code.DISPUTE_OPEN)
    operation = work.operations.about([payment]).get(payment)
    if operation and operation.is_open:
        work.tasks.report([_paid_twice(operation, seen, purchase.seller)])
    return True


def _resumed(case: Case, seen: DisputeSeen) -> Step:
    why = "The dispute was decided for the seller: the payment can be refunded again."
    return case.after(Event.DISPUTE_WON, actor="provider", why=why, evidence={"dispute": seen.dispute_id})


def _paid_twice(operation: Operation, seen: DisputeSeen, seller: str) -> Report:
    assert operation.first_sent_at, "an operation that was read back was sent"
    return Report(
        trouble=Trouble.PAID_TWICE,
        subject=f"{operation.provider} {operation.charge} {seen.dispute_id}",
        case=operation.case,
        seller=seller,
        evidence={
            "provider": operation.provider,
            "charge": operation.charge,
            "dispute": seen.dispute_id,
            "dispute_is": seen.dispute,
            "refund": operation.refund_id,
            "refund_is": operation.status,
            "amount": operation.amount.minor,
            "currency": operation.amount.currency,
            "key": operation.key,
            "first_sent_at": operation.first_sent_at.isoformat(),
        },
    )
