"""Writes the tickets: a support task as an agent reads it in another helpdesk, in English and in the seller's time zone.

The customer is in a ticket only if ``MONEYBACK_SUPPORT_TASKS_WITH_CUSTOMER`` is on, because then the event contains the customer.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from config.i18n import UTC, translator_for
from config.settings import Settings
from domain.helpdesks import Section, Ticket
from domain.messages import SupportTaskData, SupportTaskPayment
from domain.money import Money
from domain.support_clocks import ClockName, ClockOwner
from worker.emails.headers import lines, one_line
from worker.support_tasks.events import DescribedTask, support_task_event

MAX_TITLE = 150  # characters; Zammad and Freshdesk allow 250 or more, and the mark needs room in Zammad's title

CLOCKS: Mapping[ClockName, str] = {
    ClockName.STATUTORY_PAY_BY: "The customer must have the money by law",
    ClockName.SCHEME_DISPUTE_FROM: "From then on, the customer can dispute the payment",
    ClockName.PROVIDER_WINDOW: "The payment provider refunds the payment until then",
    ClockName.SELLER_ANSWER: "The seller answers until then",
    ClockName.DISPUTE_RESPONSE: "The bank's question must be answered",
}
"""What each clock means for an agent."""

_HARD = frozenset({ClockOwner.LAW, ClockOwner.PROVIDER})
"""Whose clocks have consequences that nobody can undo."""
_URGENT, _HIGH = timedelta(hours=24), timedelta(hours=72)


def ticket_for(
    item: DescribedTask,
    settings: Settings,
    *,
    mark: str,
    now: datetime,
    reopens: bool = False,
    follows: str | None = None,
) -> Ticket:
    """Return the ticket that shows this task as it is now."""
    event = support_task_event(item, settings)
    data, zone = event.data, ZoneInfo(item.task.time_zone) if item.task.time_zone else UTC
    return Ticket(
        task_id=event.subject,
        mark=mark,
        sequence=item.event.sequence,
        revision=data.revision,
        title=title_of(data),
        sections=tuple(_sections(data, mark, zone)),
        opened_at=item.task.created_at,
        due_at=data.due_at,
        priority=priority_of(data, now),
        seller=data.seller,
        language=data.language,
        url=data.url,
        event=event.model_dump(mode="json"),
        is_closed=data.outcome is not None,
        outcome=data.outcome,
        reopens=reopens,
        follows=follows,
    )


def title_of(data: SupportTaskData) -> str:
    """Return the title: the case number, the reference or the product, and the first reason."""
    purchase = data.purchase
    name = data.case_number or (purchase and (purchase.reference or purchase.product))
    reason = data.reasons[0].sentence if data.reasons else data.kind
    return one_line(f"Refund {name}: {reason}" if name else reason, MAX_TITLE)


def priority_of(data: SupportTaskData, now: datetime) -> Literal["normal", "high", "urgent"]:
    """Return how urgent the ticket is. Only the clocks of the law and of payment providers make a ticket urgent."""
    left = min((clock.due - now for clock in data.clocks if clock.whose in _HARD), default=None)
    if left is None or left > _HIGH:
        return "normal"
    return "urgent" if left <= _URGENT else "high"


def _sections(data: SupportTaskData, mark: str, zone: ZoneInfo) -> Iterator[Section]:
    instant = translator_for("en").instant
    yield Section("", [*_state(data, zone), *([f"Decide on the desk: {data.url}"] if data.url else [])])
    yield Section("Reasons", [*_reasons(data), *([data.rules] if data.rules else [])])
    yield Section("Clocks", [f"{instant(clock.due, zone)}: {CLOCKS[clock.name]}." for clock in data.clocks])
    if data.purchase:
        bought, amount = instant(data.purchase.purchased_at, zone), money(data.purchase.amount, data.purchase.currency)
        reference = [f"Reference: {one_line(data.purchase.reference)}"] if data.purchase.reference else []
        yield Section("Purchase", [f"{one_line(data.purchase.product)}, {amount}, bought {bought}", *reference])
    yield Section("Payments", [_payment(payment) for payment in data.payments])
    yield Section(
        "Facts", [f"{name}: {one_line(str(value))}" for name, value in data.evidence.items() if value is not None]
    )
    yield Section("Customer", list(_customer(data)))
    if data.suggested_reply:
        yield Section(f"Suggested reply ({data.language})", lines(data.suggested_reply).splitlines())
    earlier = [f"{instant(task.closed_at, zone)}: {task.outcome}" for task in data.previous]
    yield Section("Earlier tasks of this case", earlier)
    yield Section("", [f"Seller: {one_line(data.seller)}" if data.seller else "", mark])


def _state(data: SupportTaskData, zone: ZoneInfo) -> Iterator[str]:
    instant = translator_for("en").instant
    if data.outcome:
        yield f"This task is closed: {data.outcome}, by {one_line(data.closed_by or '')}."
    else:
        yield f"Due {instant(data.due_at, zone)}."
    if data.assigned_to and data.assigned_until:
        yield f"{one_line(data.assigned_to)} has taken the task until {instant(data.assigned_until, zone)}."


def _reasons(data: SupportTaskData) -> list[str]:
    return [one_line(f"{reason.sentence} {reason.detail}", 1_000) for reason in data.reasons]


def money(amount: int | None, currency: str | None) -> str:
    """Return an amount as text. The amount of a payment may be unknown."""
    return str(Money(amount, currency)) if amount is not None and currency else "amount unknown"


def _payment(payment: SupportTaskPayment) -> str:
    refunded = f", {money(payment.refunded, payment.currency)} refunded" if payment.refunded else ""
    dispute = "" if payment.dispute == "none" else f", dispute {payment.dispute}"
    status = f", our refund: {payment.status}" if payment.status else ""
    amount = money(payment.amount, payment.currency)
    return f"{payment.provider} {one_line(payment.charge)}, {payment.method}: {amount}{refunded}{dispute}{status}"


def _customer(data: SupportTaskData) -> Iterator[str]:
    customer = data.customer
    if customer is None:
        return
    yield f"Email: {one_line(customer.email)}"
    yield f"Reference as typed: {one_line(customer.reference)}"
    if customer.declared_by:
        yield f"Declared by: {one_line(customer.declared_by)}"
    for text in (customer.statement, customer.comment):
        yield from lines(text or "").splitlines()
    yield from (f"{one_line(question)}: {one_line(answer)}" for question, answer in customer.answers.items())
