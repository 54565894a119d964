"""Describes support tasks: the clocks that order the queue, and the events of version 2, which contain the whole task."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from config.i18n import UTC, translator_for
from config.settings import Settings
from domain.case_payments import CasePayment
from domain.case_revisions import CaseRevision
from domain.eligibility import kept_rules
from domain.messages import (
    PreviousSupportTask,
    SupportTaskClock,
    SupportTaskCustomer,
    SupportTaskData,
    SupportTaskEvent,
    SupportTaskPayment,
    SupportTaskPurchase,
    SupportTaskReason,
)
from domain.providers import refund_window
from domain.purchases import Payment, Purchase
from domain.reason_codes import ReasonCode
from domain.support_clocks import Clock, ClockFacts, clocks_of, due_at
from records import UnitOfWork
from records.case_views import CaseView
from records.statutory_withdrawals import StatutoryWithdrawal
from records.support_task_events import ClaimedEvent, TaskRecord
from records.support_tasks import TaskDescription
from worker.context import WorkerContext

_TYPES: Mapping[
    str,
    Literal[
        "moneyback.support_task.opened.v2", "moneyback.support_task.changed.v2", "moneyback.support_task.closed.v2"
    ],
] = {
    "opened": "moneyback.support_task.opened.v2",
    "changed": "moneyback.support_task.changed.v2",
    "closed": "moneyback.support_task.closed.v2",
}
"""The type of the event for each value of ``support_task_events.change``."""

_CUSTOMER_SENTENCES = {code.value: code.customer for code in ReasonCode if code.customer}


@dataclass(frozen=True, slots=True)
class DescribedTask:
    """A task with its case and its purchase, as far as it has them, and its clocks."""

    event: ClaimedEvent
    task: TaskRecord
    view: CaseView | None
    purchase: Purchase | None
    clocks: Sequence[Clock]
    revision: CaseRevision | None

    @property
    def due_at(self) -> datetime:
        """The instant that orders the queue."""
        return due_at(self.clocks, self.task.created_at, self.asked_at)

    @property
    def asked_at(self) -> datetime | None:
        """The instant of the question that the customer must answer; None if support must act."""
        return self.task.wait.asked_at if self.task.wait else None


def describe(work: UnitOfWork, context: WorkerContext, events: Sequence[ClaimedEvent]) -> list[DescribedTask]:
    """Load the tasks of these events, and store what orders and filters the queue."""
    if not events:
        return []
    tasks = work.support_task_events.tasks([event.task_id for event in events])
    cases = list({task.case_id for task in tasks.values() if task.case_id})
    views = work.case_views.get_many(cases)
    withdrawals = work.statutory_withdrawals.for_purchases_of(cases)
    purchases = work.purchases.get_many([task.purchase_id for task in tasks.values() if task.purchase_id])
    revisions = work.support_decisions.revisions(cases)
    described = []
    for event in sorted(events, key=lambda event: event.created_at):
        task = tasks[event.task_id]
        purchase = purchases.get(task.purchase_id) if task.purchase_id else None
        view, withdrawal = (views.get(task.case_id), withdrawals.get(task.case_id)) if task.case_id else (None, None)
        clocks = clocks_of(_clock_facts(context, task, purchase, withdrawal))
        revision = revisions.get(task.case_id) if task.case_id else None
        described.append(DescribedTask(event, task, view, purchase, clocks, revision))
    work.support_tasks.describe([_description(item) for item in described])
    return described


def _clock_facts(
    context: WorkerContext, task: TaskRecord, purchase: Purchase | None, withdrawal: StatutoryWithdrawal | None
) -> ClockFacts:
    unpaid = [payment for payment in purchase.payments if _is_unpaid(payment)] if purchase else []
    reported = task.evidence.get("respond_by")
    respond_by = datetime.fromisoformat(str(reported)) if reported else task.respond_by
    return ClockFacts(
        opened_at=task.created_at,
        zone=ZoneInfo(task.time_zone) if task.time_zone else UTC,
        answer_hours=task.answer_hours,
        wait=task.wait,
        declared_at=withdrawal.declared_at if withdrawal else None,
        promised_at=task.promised_at,
        methods=frozenset(payment.method for payment in unpaid),
        windows=[
            (payment.charged_at, window) for payment in unpaid if (window := _window(context, payment)) is not None
        ],
        respond_by=respond_by,
    )


def _is_unpaid(payment: Payment) -> bool:
    return payment.amount is None or payment.refunded < payment.amount


def _window(context: WorkerContext, payment: Payment) -> timedelta | None:
    adapter = context.provider(payment.provider)
    return refund_window(adapter.capabilities if adapter else None, payment.provider, payment.method)


def _description(item: DescribedTask) -> TaskDescription:
    evidence, purchase = item.task.evidence, item.purchase
    amount = purchase.amount if purchase else evidence.get("amount")
    currency = purchase.currency if purchase else evidence.get("currency")
    return TaskDescription(
        id=item.task.id,
        due_at=item.due_at,
        clocks=[SupportTaskClock(**clock._asdict()).model_dump(mode="json") for clock in item.clocks],
        amount=amount if isinstance(amount, int) else None,
        currency=str(currency) if currency else None,
    )


def support_task_event(item: DescribedTask, settings: Settings) -> SupportTaskEvent:
    """Return the event of version 2: the whole task as it is now."""
    event, task = item.event, item.task
    return SupportTaskEvent(
        id=event_id(event),
        type=_TYPES[event.change],
        subject=task.id,
        sequence=f"{event.sequence:010}",
        time=event.created_at,
        data=SupportTaskData(
            kind=task.kind,
            case_id=task.case_id,
            case_number=item.view.number if item.view else None,
            revision=str(item.revision) if item.revision else None,
            seller=task.seller_id,
            url=_url(task, settings),
            due_at=item.due_at,
            clocks=tuple(SupportTaskClock(**clock._asdict()) for clock in item.clocks),
            waits_for_customer_since=item.asked_at,
            reasons=tuple(
                SupportTaskReason(
                    code=reason["code"], sentence=reason.get("sentence", ""), detail=reason.get("detail", "")
                )
                for reason in task.reasons
            ),
            rules=_kept_rules(task.rules),
            evidence=task.evidence,
            purchase=_purchase(item.purchase, with_customer=settings.support_tasks_with_customer),
            payments=_payments(item.purchase, item.view.payments if item.view else ()),
            language=task.language,
            suggested_reply=_suggested_reply(task),
            customer=_customer(item.view) if item.view and settings.support_tasks_with_customer else None,
            assigned_to=task.assigned_to,
            assigned_until=task.assigned_until,
            closed_by=task.closed_by,
            outcome=task.outcome,
            previous=tuple(PreviousSupportTask.model_validate(task) for task in task.previous),
        ),
    )


def event_id(event: ClaimedEvent) -> str:
    """Return the id of an event. A repeated publication of the same state of the task has the same id."""
    return f"{event.task_id}/{event.sequence}"


def _url(task: TaskRecord, settings: Settings) -> str:
    desk = settings.desk.url.rstrip("/")
    return f"{desk}/cases/{task.case_id}" if task.case_id else f"{desk}/"


def _kept_rules(rules: Mapping[str, str] | None) -> str | None:
    """Return how many of the rules hold, from the rules in the history."""
    if not rules:
        return None
    return kept_rules(sum(result == "kept" for result in rules.values()), len(rules))


def _purchase(purchase: Purchase | None, *, with_customer: bool) -> SupportTaskPurchase | None:
    if purchase is None:
        return None
    return SupportTaskPurchase(
        reference=purchase.reference if with_customer else None,
        product=purchase.product,
        purchased_at=purchase.purchased_at,
        amount=purchase.amount,
        currency=purchase.currency,
    )


def _payments(purchase: Purchase | None, of_case: Collection[CasePayment]) -> tuple[SupportTaskPayment, ...]:
    """Return the payments of the purchase, each with the status of our newest refund for this case."""
    statuses = {(payment.provider, payment.charge): payment.status for payment in of_case}
    return tuple(
        SupportTaskPayment(
            provider=payment.provider,
            charge=payment.charge,
            method=payment.method,
            amount=payment.amount,
            currency=payment.currency,
            refunded=payment.refunded,
            dispute=payment.dispute,
            status=statuses.get(payment.id),
        )
        for payment in (purchase.payments if purchase else ())
    )


def _customer(view: CaseView) -> SupportTaskCustomer:
    return SupportTaskCustomer(
        email=view.purchase_email or view.email,
        reference=view.reference,
        comment=view.comment,
        answers=view.answers,
        declared_by=view.declared_by,
        statement=view.statement,
    )


def _suggested_reply(task: TaskRecord) -> str | None:
    """Return what the customer may read about the reasons, in the customer's language. None if that is nothing."""
    codes = dict.fromkeys(reason["code"] for reason in task.reasons)
    sentences = [sentence for code in codes if (sentence := _CUSTOMER_SENTENCES.get(code))]
    if not (sentences and task.case_id and task.language):
        return None
    translator = translator_for(task.language)
    return "\n".join(dict.fromkeys(translator.gettext(sentence) for sentence in sentences))
