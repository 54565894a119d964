"""Finds our refunds whose status at the provider differs from our records, and names our refunds for support."""

from collections.abc import Sequence

from domain.providers import ListedRefund, RefundStatus
from domain.refund_operations import OperationStatus, RefundOperation
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork

_SAME_STATUS = {
    (OperationStatus.PAID, RefundStatus.PAID),
    (OperationStatus.PENDING, RefundStatus.PENDING),
    (OperationStatus.FAILED, RefundStatus.FAILED),
}


def request_changed_refunds(
    work: UnitOfWork, provider: str, refunds: Sequence[tuple[ListedRefund, RefundOperation]]
) -> int:
    """Request a lookup of each of our refunds whose status differs. Return the number of lookups.

    Each refund is a pair: the refund as the provider lists it, and its operation.
    """
    changed = [pair for pair in refunds if (pair[1].status, pair[0].status) not in _SAME_STATUS]
    work.refund_operations.name_refunds([(operation, refund.refund_id) for refund, operation in changed])
    return work.webhook_events.request_again(provider, [_create_lookup_event(refund) for refund, _ in changed])


def describe_refunds(refunds: Sequence[RefundOperation]) -> str:
    """Name our refunds of a payment for support, each with its amount and its status in our records."""
    return ", ".join(f"{refund.refund_id or refund.key}: {refund.amount} {refund.status}" for refund in refunds)


def _create_lookup_event(refund: ListedRefund) -> WebhookEvent:
    """Return a webhook event that makes a worker look up this refund, because its status differs from our status."""
    event_id = f"reconciliation {refund.refund_id} {refund.status}"
    return WebhookEvent(event_id=event_id, subject=Subject.REFUND, charge=refund.charge, refund_id=refund.refund_id)
