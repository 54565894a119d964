"""Loads everything that the case screen shows, with few statements, in one transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from config.i18n import UTC
from domain.case_revisions import CaseRevision
from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.errors import NotRefundableError
from domain.money import Money
from domain.policies import Seller
from domain.purchases import Payment, Purchase, email_key
from domain.reason_codes import ReasonCode
from domain.refund_parts import RefundedParts, left_of, left_of_purchase
from domain.support_decisions import OVERRULABLE, DecisionAction, DecisionStatus
from producers.decisions import possible_actions
from producers.desk.email_previews import PreviewFacts
from producers.desk.queue import agent_of
from records import UnitOfWork
from records.case_threads import EntryKind, ThreadEntry
from records.case_views import CaseView
from records.customer_overviews import CustomerOverview
from records.desk import FormContent
from records.history import HistoryRow
from records.payment_refunds import PaymentRefund
from records.support_decisions import StoredDecision
from records.support_tasks import OpenTask

_CODES = {code.value: code for code in ReasonCode}


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """A payment of the purchase, with its refunds and with what is left."""

    payment: Payment
    refunds: Sequence[PaymentRefund]
    """The oldest first. The payment may also pay another purchase, whose refunds are listed, too."""
    left: Money | None
    """None if the amount is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A case with everything that a person of support needs to decide it."""

    view: CaseView
    now: datetime
    purchase: Purchase | None
    seller: Seller | None
    payments: Sequence[PaymentFacts]
    refunded: RefundedParts
    history: Sequence[HistoryRow]
    thread: Sequence[ThreadEntry]
    """Our e-mails, and the customer's answers, mails and notes."""
    decisions: Sequence[StoredDecision]
    revision: CaseRevision
    customer: CustomerOverview
    task: OpenTask | None
    holder: str
    """The name of the person who has taken the task; empty if nobody has."""
    is_held_by_user: bool
    content: FormContent
    actions: Collection[DecisionAction]
    """The decisions that the case allows now."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the seller, in which the page shows instants."""
        return ZoneInfo(self.view.time_zone) if self.view.time_zone else UTC

    @property
    def notes(self) -> list[ThreadEntry]:
        """The notes of colleagues."""
        return [entry for entry in self.thread if entry.kind is EntryKind.NOTE]

    @property
    def preview_facts(self) -> PreviewFacts:
        """What the e-mails depend on."""
        return PreviewFacts(
            view=self.view,
            purchase=self.purchase,
            seller=self.seller,
            refunded=self.refunded,
            thread=self.thread,
        )

    @property
    def left(self) -> Money | None:
        """What is left of all payments together; None if it is unknown."""
        if self.purchase is None:
            return None
        try:
            return left_of_purchase(self.purchase)
        except NotRefundableError:
            return None

    @property
    def proposed(self) -> StoredDecision | None:
        """The decision that waits for a second person."""
        return self._newest(DecisionStatus.PROPOSED)

    @property
    def undoable(self) -> StoredDecision | None:
        """The decision that can still be taken back, because its refund waits."""
        newest = self._newest(DecisionStatus.APPLIED)
        is_waiting = newest and newest.undo_until and newest.undo_until > self.now
        return newest if newest and is_waiting and newest.applied_seq == self.view.decided_seq else None

    @property
    def overrulable(self) -> list[ReasonCode]:
        """The broken rules that a person may overrule."""
        return overrulable(self.view, self.purchase)

    def _newest(self, status: DecisionStatus) -> StoredDecision | None:
        return next((decision for decision in reversed(self.decisions) if decision.status is status), None)


def overrulable(view: CaseView, purchase: Purchase | None) -> list[ReasonCode]:
    """Return the broken rules that a person may overrule. An earlier part of a refund breaks a rule, too."""
    codes = [code for reason in view.reasons if (code := _CODES.get(reason["code"])) in OVERRULABLE]
    if purchase and purchase.refunded:
        codes.append(ReasonCode.ALREADY_REFUNDED)
    return [code for code in dict.fromkeys(codes) if code]


def load(work: UnitOfWork, user: DeskUser, view: CaseView) -> CaseFile:
    """Load the file of a case. Other purchases and cases of the customer are only those that the user may read."""
    revision = work.support_decisions.revisions([view.id])[
        view.id
    ]  # first: a change after it makes the decision outdated
    purchase = work.purchases.get(view.purchase) if view.purchase else None
    customer_keys = {email_key(address) for address in (view.email, view.purchase_email) if address}
    task = work.support_tasks.of_case(view.id)
    holder = _holder_of(work, task)
    return CaseFile(
        view=view,
        now=work.now,
        purchase=purchase,
        seller=work.sellers.get(view.seller) if view.seller else None,
        payments=_payments(work, purchase),
        refunded=work.support_decisions.refunded_parts(purchase.id) if purchase else RefundedParts(),
        history=work.history.for_case(view.id),
        thread=work.case_threads.of_case(view.id, senders=customer_keys, thread=view.thread),
        decisions=work.support_decisions.for_case(view.id),
        revision=revision,
        customer=work.customer_overviews.find_other(
            view.id, view.purchase, email_keys=customer_keys, sellers=user.sellers(Permission.READ_CASES)
        ),
        task=task,
        holder=_name_of(work, holder),
        is_held_by_user=holder == agent_of(user),
        content=work.desk.form_content(agent_of(user), view.id, view.seller),
        actions=possible_actions(view.state, work.refund_operations.for_cases([view.id]).get(view.id, []), purchase),
    )


def _payments(work: UnitOfWork, purchase: Purchase | None) -> list[PaymentFacts]:
    payments = purchase.payments if purchase else ()
    refunds = work.payment_refunds.of_payments([payment.id for payment in payments])
    return [
        PaymentFacts(payment, [refund for refund in refunds if refund.payment == payment.id], _left_of(payment))
        for payment in payments
    ]


def _left_of(payment: Payment) -> Money | None:
    try:
        return left_of(payment)
    except NotRefundableError:
        return None


def _holder_of(work: UnitOfWork, task: OpenTask | None) -> str | None:
    """Return the id of the agent who has taken the task of the case."""
    if task is None or task.assigned_until is None or task.assigned_until <= work.now:
        return None
    return task.assigned_to


def _name_of(work: UnitOfWork, agent: str | None) -> str:
    """Return the name of an agent. An agent of a helpdesk is no user of the desk, so only users have names."""
    if agent is None:
        return ""
    kind, _, id_ = agent.partition(":")
    try:
        listed = work.desk_users.get(UUID(id_)) if kind == "user" else None
    except ValueError:
        listed = None
    return listed.user.name if listed else "Another agent"
