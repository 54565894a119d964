"""Decides which payment of an approved case is refunded next, or why none is, and why a refund is not sent again.

This module has no access to the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from domain.cases import Case, Transition
from domain.eligibility import Escalate, decide
from domain.money import Money
from domain.purchases import Method, Payment, Purchase
from domain.reason_codes import ReasonCode, RuleResult
from domain.refund_approvals import RefundApproval
from domain.refund_operations import OperationStatus, RefundOperation, key_of
from domain.states import Event
from records.decision_inputs import DecisionInput
from worker.context import WorkerContext
from worker.provider_client import ExpectedPayment
from worker.refunds.evaluation import (
    describe_payments,
    eligibility_input,
    reasons,
    refundable_purchase,
    sendable_payments,
    support_reason,
)
from worker.refunds.give_up import describe_operation

NO_LONGER_ALLOWED = "The refund was approved, but it is not allowed any more or cannot be carried out."
ON_HOLD = "The customer's bank may still return this payment, so the refund waits until that is no longer possible."
NOT_SENT_AGAIN = (
    "The outcome of the refund is unknown. It was not sent again, because our records now show a refund or a dispute of the "
    "payment."
)

STOPS_REPEATS = frozenset(
    {ReasonCode.ALREADY_REFUNDED, ReasonCode.INQUIRY_OPEN, ReasonCode.DISPUTE_OPEN, ReasonCode.DISPUTE_LOST}
)
"""The broken rules because of which a refund of unknown outcome is not sent again.

If such a refund were sent, the customer could get the money twice. The other rules counted when the refund was sent first.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """An approved case with its purchase, its operations so far, and the purchase as it was when the case was evaluated."""

    case: Case
    decision_input: DecisionInput
    operations: Sequence[RefundOperation]
    snapshot: object
    approval: RefundApproval | None = None
    """The approval of support, if support and not the rules approved the case."""
    declined: Mapping[tuple[str, str], ReasonCode] = field(default_factory=dict)
    """The payments whose refund the provider declined for good, each with the reason. The other payments are still refunded."""

    @property
    def decision(self) -> UUID | None:
        """The id of the decision of support, or None if the rules approved the case."""
        return self.approval.decision if self.approval else None

    @property
    def purchase(self) -> Purchase:
        """The purchase with the payments that the case is about."""
        if self.approval is None:
            return refundable_purchase(self.case, self.decision_input.purchase)
        approved = {refund.payment for refund in self.approval.refunds}
        purchase = self.decision_input.purchase
        return replace(purchase, payments=tuple(payment for payment in purchase.payments if payment.id in approved))

    @property
    def evaluated(self) -> Purchase:
        """The purchase as the rules or support evaluate it. Support sees every payment, also if it approves only some of them."""
        return self.purchase if self.approval is None else self.decision_input.purchase

    @property
    def refunded(self) -> dict[tuple[str, str], int]:
        """The payments that were already refunded for this approval, with the amounts in minor units."""
        return {
            (operation.provider, operation.charge): operation.amount.minor
            for operation in self.operations
            if operation.status is OperationStatus.PAID and operation.decision_id == self.decision
        }

    def is_overruled(self, code: ReasonCode | None, payments: Sequence[Payment]) -> bool:
        """Return whether a person overruled the rule with this code for these payments.

        A person who approves a further refund of a payment knows the refunds so far. A newer refund is not overruled, whether
        a provider shows it, the seller reports it, or support made it another way.
        """
        if self.approval is None or code not in self.approval.overruled:
            return False
        if code is not ReasonCode.ALREADY_REFUNDED:
            return True
        before = {refund.payment: refund.refunded_before for refund in self.approval.refunds}
        is_known = self.decision_input.purchase.refunded <= self.approval.refunded_before + sum(self.refunded.values())
        return is_known and all(payment.refunded <= before[payment.id] for payment in payments)

    @property
    def remaining(self) -> Purchase:
        """The purchase with the payments that are still to be refunded."""
        refunded = self.refunded
        return replace(
            self.purchase,
            payments=tuple(payment for payment in self.purchase.payments if payment.id not in refunded),
            reported_refunded=max(0, self.purchase.reported_refunded - sum(refunded.values())),
        )

    def payments_to_send(self, context: WorkerContext) -> list[Payment]:
        """Return the remaining payments that are refunded automatically, in the order in which they are refunded.

        A payment whose refund is usually final at once comes first, because the next payment waits for its result. A payment
        that support approved is refunded whatever its method is, if its provider is connected.
        """
        if self.approval is None:
            sendable = sendable_payments(context, self.remaining, self.decision_input.policy)
        else:
            sendable = [payment for payment in self.remaining.payments if context.provider(payment.provider)]
        sendable = [payment for payment in sendable if payment.id not in self.declined]
        return sorted(sendable, key=lambda payment: not _is_synchronous(context, payment))

    def next_operation(self, context: WorkerContext) -> RefundOperation:
        """Return the operation that refunds the next payment."""
        payment = self.payments_to_send(context)[0]
        attempt = self.operations[-1].attempt + 1 if self.operations else 1
        policy = self.decision_input.policy
        return RefundOperation(
            case_id=self.case.id,
            attempt=attempt,
            provider=payment.provider,
            charge=payment.charge,
            amount=self._amount_of(payment),
            key=key_of(self.case.id, attempt),
            decision_id=self.decision,
            is_last=len(self.remaining.payments) == 1,
            refunds_inquiry=(policy is not None and policy.refunds_inquiries)
            or self.is_overruled(ReasonCode.INQUIRY_OPEN, ()),
        )

    def _amount_of(self, payment: Payment) -> Money:
        """Return the amount to refund of this payment: what support approved, or else the whole payment."""
        if self.approval:
            return next(refund.amount for refund in self.approval.refunds if refund.payment == payment.id)
        assert payment.amount is not None, "every payment that the rule amount_is_sound approves has an amount"
        assert payment.currency is not None, "every payment that the rule amount_is_sound approves has a currency"
        return Money(payment.amount, payment.currency)


def expected_payment(purchase: Purchase, operation: RefundOperation) -> ExpectedPayment:
    """Return the payment of this operation as the seller reports it. A purchase with an open case keeps its payments."""
    (payment,) = (payment for payment in purchase.payments if payment.id == (operation.provider, operation.charge))
    captured = Money(payment.captured or 0, operation.amount.currency)
    return ExpectedPayment(captured, payment.method, purchase.seller_id, payment.refunded)


def find_objection(context: WorkerContext, order: Order, now: datetime) -> Transition | None:
    """Return the transition of a case that cannot be refunded now, or None if its next payment can be refunded."""
    if evidence := _find_obstacle(context, order):
        return no_longer_eligible(order.case, evidence)
    if broken := _find_broken_rules(context, order, order.remaining, now):
        return no_longer_eligible(order.case, {"reasons": reasons(broken)})
    sendable = order.payments_to_send(context)
    if not sendable:
        evidence = support_reason(ReasonCode.PROVIDER_NOT_CONNECTED, describe_payments(order.remaining.payments))
        return no_longer_eligible(order.case, evidence)
    hold = max(_remaining_hold(context, payment, now) for payment in sendable)
    if hold > timedelta(0):
        on_hold = order.case.after(Event.PUT_ON_HOLD, actor="rules", why=ON_HOLD)
        return replace(on_hold, due_in=hold.total_seconds())
    return None


def _find_obstacle(context: WorkerContext, order: Order) -> dict[str, object] | None:
    """Return the evidence if the purchase changed, an earlier refund is unresolved, or only other payments remain."""
    if order.evaluated.snapshot != order.snapshot:
        return support_reason(ReasonCode.PURCHASE_CHANGED)
    if order.approval and order.approval.lacks_four_eyes(order.decision_input.seller.four_eyes_above):
        return support_reason(ReasonCode.FOUR_EYES_MISSING, str(order.approval.counted or order.approval.total))
    if foreign := [payment for payment in order.purchase.payments if _is_foreign(context, order, payment)]:
        return support_reason(ReasonCode.OTHER_SELLER, ", ".join(payment.provider for payment in foreign))
    last = order.operations[-1] if order.operations else None
    if last and last.is_open and last.status is not OperationStatus.PAID:
        return support_reason(ReasonCode.OUTCOME_UNKNOWN, last.key)
    if (order.refunded or order.declined) and not order.payments_to_send(context):
        return {"reasons": reasons(_describe_rest(order))}
    return None


def _describe_rest(order: Order) -> list[RuleResult]:
    """Return the reasons that name the payments that support must refund: the declined payments, and the other payments."""
    refunded = Money(sum(order.refunded.values()), order.operations[-1].amount.currency)
    rest = order.remaining.payments
    findings = [
        RuleResult(
            "payment", order.declined[payment.id], f"{describe_payments([payment])}; refunded so far: {refunded}"
        )
        for payment in rest
        if payment.id in order.declined
    ]
    others = [payment for payment in rest if payment.id not in order.declined]
    if others and order.refunded:
        findings.append(RuleResult("payment", ReasonCode.PAYMENT_NOT_AUTOMATIC, describe_payments(others)))
    return findings


def _find_broken_rules(
    context: WorkerContext, order: Order, purchase: Purchase, now: datetime
) -> tuple[RuleResult, ...]:
    """Return the rules that the refund of these payments of the order breaks now, without the rules that a person overruled."""
    remaining = replace(order.decision_input, purchase=purchase, open_case=None)
    decision = decide(eligibility_input(order.case, remaining, context, at=now))
    broken = decision.reasons if isinstance(decision, Escalate) else ()
    return tuple(rule for rule in broken if not order.is_overruled(rule.code, purchase.payments))


def find_repeat_objection(context: WorkerContext, order: Order, now: datetime) -> Transition | None:
    """Return the transition of a case whose newest operation must not be sent again, or None if it may be sent again.

    The operation stays open, because its outcome is unknown. ``order`` is a case in the state ``refunding``.
    """
    operation = order.operations[-1]
    remaining = order.remaining
    payments = tuple(p for p in remaining.payments if p.id == (operation.provider, operation.charge))
    purchase = replace(remaining, payments=payments)
    stopping = [rule for rule in _find_broken_rules(context, order, purchase, now) if rule.code in STOPS_REPEATS]
    if not stopping:
        return None
    refunded = Money(purchase.refunded, operation.amount.currency)
    detail = f"{operation.provider} {operation.charge}: refunded {refunded}, dispute {purchase.dispute}."
    unknown = RuleResult("payment", ReasonCode.OUTCOME_UNKNOWN, describe_operation(operation))
    evidence = {"reasons": reasons([unknown, *(replace(rule, detail=detail) for rule in stopping)])}
    return order.case.after(Event.POLLING_GAVE_UP, actor="rules", why=NOT_SENT_AGAIN, evidence=evidence)


def no_longer_eligible(case: Case, evidence: dict[str, object]) -> Transition:
    """Return the transition that hands an approved case over to support."""
    return case.after(Event.NO_LONGER_ELIGIBLE, actor="rules", why=NO_LONGER_ALLOWED, evidence=evidence)


def _is_foreign(context: WorkerContext, order: Order, payment: Payment) -> bool:
    """Return whether the payment is at an account that belongs to other sellers."""
    sellers = context.account_sellers.get(payment.provider)
    return sellers is not None and bool(sellers) and order.decision_input.seller.id not in sellers


def _is_synchronous(context: WorkerContext, payment: Payment) -> bool:
    adapter = context.provider(payment.provider)
    return adapter is not None and adapter.capabilities.route(payment.method).synchronous


def _remaining_hold(context: WorkerContext, payment: Payment, now: datetime) -> timedelta:
    """Return how long the refund of this payment must still wait.

    The provider may require a minimum delay, and direct debits have a hold. The longer of the two applies. Other payments do
    not wait, even if the shop's clock is ahead of ours.
    """
    adapter = context.provider(payment.provider)
    delay = adapter.capabilities.route(payment.method).minimum_delay if adapter else timedelta(0)
    hold = timedelta(days=context.settings.sepa_hold_days if payment.method == Method.DIRECT_DEBIT else 0)
    wait = max(delay, hold)
    return payment.charged_at + wait - now if wait else timedelta(0)
