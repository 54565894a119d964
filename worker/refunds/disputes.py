"""Applies disputes to cases, so that a customer does not get the money twice: by a refund and by a dispute."""

from collections.abc import Iterable, Sequence

from domain.cases import Case, Transition
from domain.providers import Declined, DeclineReason, DisputeStatus, Failed, RefundResult
from domain.purchases import Dispute
from domain.reason_codes import ReasonCode
from domain.refund_operations import RefundOperation
from domain.states import Event
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork
from records.support_tasks import NewSupportTask
from worker.context import WorkerContext
from worker.providers.disputes import select_latest_reports
from worker.refunds.own_refunds import describe_refunds

BATCH_SIZE = 500  # the maximum number of payments in one transaction

WAITS_FOR_DISPUTE = (ReasonCode.DISPUTE_OPEN, ReasonCode.INQUIRY_OPEN)
"""The reasons that no longer hold when the seller has won a dispute or an inquiry was closed."""

_OF_DISPUTES = frozenset({DeclineReason.DISPUTED, DeclineReason.DISPUTE_LOST, DeclineReason.INQUIRY})
"""The reasons of declines because of a dispute or an inquiry."""

Payment = tuple[str, str]
"""The provider, and the provider's id of the charge."""


def apply_dispute(work: UnitOfWork, payment: Payment, seller_id: str, status: DisputeStatus) -> bool:
    """Apply the status of a dispute to the payment's cases. Return False if another worker has locked one of the cases.

    If the dispute is open or lost, and a refund of the payment was or may have been sent, create a support task, because the
    customer may get the money twice. If the seller won the dispute, the cases that waited for the dispute continue. An
    inquiry without a refund becomes a support task with the deadline.
    """
    if work.purchases.set_dispute(*payment, status.dispute, respond_by=status.respond_by):
        work.support_tasks.announce_payment(*payment)
    if status.dispute is Dispute.WON:
        resumed = [_resume_cases(work, payment, status, code) for code in WAITS_FOR_DISPUTE]
        return all(resumed)
    refunds = work.refund_operations.open_for_payment(*payment)
    if refunds and status.dispute is not Dispute.INQUIRY:
        _report(work, _create_task(refunds, status, seller_id))
    if status.dispute is Dispute.INQUIRY and not refunds:
        _report(work, _create_inquiry_task(payment, status, seller_id))
    return True


def _report(work: UnitOfWork, task: NewSupportTask) -> None:
    """Create this support task, or store the newest facts in it, such as another deadline."""
    if not work.support_tasks.create([task]):
        work.support_tasks.refresh(task)


def _resume_cases(work: UnitOfWork, payment: Payment, status: DisputeStatus, code: ReasonCode) -> bool:
    waiting = work.cases.with_support_for(*payment, code)
    work.history.record([_resume_case(case, status) for case in waiting])
    return not work.cases.still_with_support_for(*payment, code)


def load_dispute_reports(work: UnitOfWork, payments: Sequence[Payment]) -> dict[Payment, list[DisputeStatus]]:
    """Return the latest status of each dispute of these payments, as all stored webhook events report it.

    The payments are locked first. If two workers run this function at the same time, the second worker waits for the first
    worker, and then reads all events that the first worker read.
    """
    work.purchases.lock_payments(payments)
    reported = work.webhook_events.reported_disputes(payments)
    return {payment: select_latest_reports(statuses) for payment, statuses in reported.items()}


def check_dispute_after_decline(
    work: UnitOfWork, context: WorkerContext, results: Sequence[tuple[RefundOperation, RefundResult]]
) -> None:
    """Request a dispute lookup for each refund that was declined because of a dispute.

    The lookup is needed because the refund's result contains no id of the dispute, and the dispute's webhook may be lost.
    """
    declined = [
        operation
        for operation, result in results
        if isinstance(result, Declined | Failed) and result.reason in _OF_DISPUTES
    ]
    for provider in {operation.provider for operation in declined}:
        if can_look_up_disputes(context, provider):
            charges = [operation.charge for operation in declined if operation.provider == provider]
            work.webhook_events.keep(provider, _create_own_events(charges, "refused"), b"")


def poll_open_disputes(context: WorkerContext, provider: str) -> int:
    """Request a lookup of every open dispute, because a webhook may be lost. Return the number of open disputes.

    If the function is called again on the same day, it does not request a second lookup of the same dispute.
    """
    total, last_charge = 0, ""
    while True:
        with context.records.work() as work:
            charges = work.purchases.open_disputes(provider, after=last_charge, limit=BATCH_SIZE)
            work.webhook_events.keep(provider, _create_own_events(charges, f"{work.now:%Y-%m-%d}"), b"")
        total += len(charges)
        if len(charges) < BATCH_SIZE:
            return total
        last_charge = charges[-1]


def can_look_up_disputes(context: WorkerContext, provider: str) -> bool:
    """Return True if this provider is connected and has a lookup API."""
    adapter = context.provider(provider)
    return adapter is not None and adapter.capabilities.can_look_up


def _create_own_events(charges: Iterable[str], trigger: str) -> list[WebhookEvent]:
    """Create events that make a worker look up the disputes of these charges.

    A second event with the same trigger and charge has no effect.
    """
    return [
        WebhookEvent(event_id=f"ours: {trigger} {charge}", subject=Subject.DISPUTE, charge=charge) for charge in charges
    ]


def _resume_case(case: Case, status: DisputeStatus) -> Transition:
    why = "The seller won the dispute, so the payment may be refunded now."
    return case.after(Event.DISPUTE_WON, actor="provider", why=why, evidence={"dispute": status.dispute_id})


def _create_task(refunds: Sequence[RefundOperation], status: DisputeStatus, seller_id: str) -> NewSupportTask:
    """Create the support task for a payment that may be paid back twice. The newest of its refunds is described in full."""
    operation = refunds[-1]
    assert operation.first_sent_at, "every operation in the database has the time at which it was first sent"
    return NewSupportTask(
        kind=SupportTaskKind.REFUND_AND_DISPUTE,
        subject=f"{operation.provider} {operation.charge} {status.dispute_id}",
        case_id=operation.case_id,
        seller_id=seller_id,
        evidence={
            "provider": operation.provider,
            "charge": operation.charge,
            "dispute": status.dispute_id,
            "dispute_is": status.dispute,
            "respond_by": status.respond_by.isoformat() if status.respond_by else None,
            "refund": operation.refund_id,
            "refund_is": operation.status,
            "amount": operation.amount.minor,
            "currency": operation.amount.currency,
            "key": operation.key,
            "first_sent_at": operation.first_sent_at.isoformat(),
            "refunds": describe_refunds(refunds),
        },
    )


def _create_inquiry_task(payment: Payment, status: DisputeStatus, seller_id: str) -> NewSupportTask:
    provider, charge = payment
    return NewSupportTask(
        kind=SupportTaskKind.INQUIRY,
        subject=f"{provider} {charge} {status.dispute_id}",
        seller_id=seller_id,
        evidence={
            "provider": provider,
            "charge": charge,
            "dispute": status.dispute_id,
            "respond_by": status.respond_by.isoformat() if status.respond_by else None,
        },
    )
