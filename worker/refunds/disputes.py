"""Disputes: a disputed payment is not refunded as well, and a refunded payment is not lost a second time."""

from collections.abc import Iterable, Sequence

from domain.cases import Case, Transition
from domain.providers import Declined, DeclineReason, DisputeStatus, Failed, RefundResult
from domain.purchases import Dispute, Purchase
from domain.reason_codes import ReasonCode, SupportTaskKind
from domain.refund_operations import RefundOperation
from domain.states import Event
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from worker.context import WorkerContext
from worker.providers.disputes import select_deciding_dispute, select_latest_reports

STEP = 500  # payments in one transaction

Payment = tuple[str, str]
"""The provider, and the provider's id of the charge."""


def apply_dispute(work: UnitOfWork, purchase: Purchase, seen: DisputeStatus) -> bool:
    """Applies the status of a dispute to the payment's cases.

    If a refunded payment is disputed or lost, the money may leave twice, and support gets a task. If the dispute was won,
    the cases that waited for it go on. Returns False if another worker holds such a case.
    """
    payment = purchase.provider, purchase.charge
    work.purchases.set_dispute(*payment, seen.dispute)
    if seen.dispute is Dispute.WON:
        waiting = work.cases.with_support_for(*payment, ReasonCode.DISPUTE_OPEN)
        work.history.record([_resumed(case, seen) for case in waiting])
        return not work.cases.still_with_support_for(*payment, ReasonCode.DISPUTE_OPEN)
    operation = work.refund_operations.for_payments([payment]).get(payment)
    if operation and operation.is_open:
        work.support_tasks.create([_paid_twice(operation, seen, purchase.seller)])
    return True


def dispute_from_webhooks(work: UnitOfWork, payments: Sequence[Payment]) -> dict[Payment, DisputeStatus]:
    """Returns the status of disputes at providers without look-ups, computed from all stored webhook events.

    The payments are locked first, so the second of two concurrent callers sees what the first saw.
    """
    work.purchases.lock_payments(payments)
    return {
        payment: select_deciding_dispute(select_latest_reports(said))
        for payment, said in work.webhook_events.reported_disputes(payments).items()
    }


def check_dispute_after_decline(
    work: UnitOfWork, context: WorkerContext, answers: Sequence[tuple[RefundOperation, RefundResult]]
) -> None:
    """Has disputes looked up after a refusal: it says that there is a dispute, but not which, and its webhook may be lost."""
    refused = [
        operation
        for operation, answer in answers
        if isinstance(answer, Declined | Failed) and answer.reason is DeclineReason.DISPUTED
    ]
    for provider in {operation.provider for operation in refused}:
        if can_look_up_disputes(context, provider):
            charges = [operation.charge for operation in refused if operation.provider == provider]
            work.webhook_events.keep(provider, _to_be_looked_at(charges, "refused"), b"")


def poll_open_disputes(context: WorkerContext, provider: str) -> int:
    """Has every open dispute looked up once a day, because a webhook may be lost. Returns how many there are."""
    found, last = 0, ""
    while True:
        with context.records.work() as work:
            charges = work.purchases.open_disputes(provider, after=last, limit=STEP)
            work.webhook_events.keep(provider, _to_be_looked_at(charges, f"{work.now:%Y-%m-%d}"), b"")
        found += len(charges)
        if len(charges) < STEP:
            return found
        last = charges[-1]


def can_look_up_disputes(context: WorkerContext, provider: str) -> bool:
    """Whether this provider is connected and answers look-ups."""
    adapter = context.provider(provider)
    return adapter is not None and adapter.capabilities.can_look_up


def _to_be_looked_at(charges: Iterable[str], why: str) -> list[WebhookEvent]:
    """Returns events of our own, which make a worker look the disputes up: once for each reason."""
    return [
        WebhookEvent(event_id=f"ours: {why} {charge}", subject=Subject.DISPUTE, charge=charge) for charge in charges
    ]


def _resumed(case: Case, seen: DisputeStatus) -> Transition:
    why = "The dispute was decided for the seller: the payment can be refunded again."
    return case.after(Event.DISPUTE_WON, actor="provider", why=why, evidence={"dispute": seen.dispute_id})


def _paid_twice(operation: RefundOperation, seen: DisputeStatus, seller: str) -> NewSupportTask:
    assert operation.first_sent_at, "an operation that was read back was sent"
    return NewSupportTask(
        kind=SupportTaskKind.REFUND_AND_DISPUTE,
        subject=f"{operation.provider} {operation.charge} {seen.dispute_id}",
        case=operation.case_id,
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
