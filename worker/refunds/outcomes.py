"""Decides how a case continues after a result of the provider: retry, wait, give up, or hand over to support.

This module has no access to the database.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.cases import Case, Transition
from domain.providers import (
    Declined,
    DeclineReason,
    ExternalRefund,
    Failed,
    LookupResult,
    Mismatched,
    NotFound,
    Paid,
    Pending,
    RefundResult,
    Unknown,
    WaitingForApproval,
)
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus, RefundOperation, status_of
from domain.states import ENDED_BY_SUPPORT, Event, State
from domain.support_tasks import SupportTaskKind
from records.support_tasks import NewSupportTask
from worker.provider_client import NotSent
from worker.refunds.backoff import plan_delay, poll_delay, retry_delay
from worker.refunds.evaluation import support_reason
from worker.refunds.give_up import POLLED_STATES, first_sent_at, give_up
from worker.refunds.provider_limits import MAX_KEY_MARGIN, RefundLimits

MAX_ATTEMPTS = 64
"""The maximum number of operations of one case.

The delay between two operations is at most six hours. So a case waits at most about two weeks for a sufficient balance.
"""

SUPPORT_REASONS = {
    DeclineReason.ALREADY_REFUNDED: ReasonCode.REFUNDED_ELSEWHERE,
    DeclineReason.DISPUTED: ReasonCode.DISPUTE_OPEN,
    DeclineReason.DISPUTE_LOST: ReasonCode.DISPUTE_LOST,
    DeclineReason.REFUND_WINDOW_EXPIRED: ReasonCode.PROVIDER_WINDOW_CLOSED,
    DeclineReason.INSUFFICIENT_BALANCE: ReasonCode.INSUFFICIENT_BALANCE,
    DeclineReason.NOT_YET_REFUNDABLE: ReasonCode.NOT_YET_REFUNDABLE,
    DeclineReason.EXTERNALLY_REFUNDED: ReasonCode.REFUNDED_ELSEWHERE,
    DeclineReason.NOT_CAPTURED: ReasonCode.NOT_CAPTURED,
    DeclineReason.PAYMENT_DIFFERS: ReasonCode.PAYMENT_DIFFERS,
    DeclineReason.OTHER_SELLER: ReasonCode.OTHER_SELLER,
    DeclineReason.INQUIRY: ReasonCode.INQUIRY_OPEN,
    DeclineReason.CANCELLED: ReasonCode.REFUND_CANCELLED,
    DeclineReason.DECLINED_LATER: ReasonCode.PROVIDER_DECLINED,
    DeclineReason.PERMANENT: ReasonCode.PROVIDER_DECLINED,
    DeclineReason.INVALID_CREDENTIALS: ReasonCode.PROVIDER_UNAVAILABLE,
    DeclineReason.NOT_SENT: ReasonCode.PROVIDER_UNAVAILABLE,
}
"""For each decline reason, the reason code that support sees if the decline is final."""

RETRYABLE = {
    DeclineReason.INSUFFICIENT_BALANCE,
    DeclineReason.NOT_YET_REFUNDABLE,
    DeclineReason.INVALID_CREDENTIALS,
    DeclineReason.NOT_SENT,
}
"""The decline reasons that may be temporary. No refund was made, so a worker sends the refund again later, as a new operation."""

OF_ONE_PAYMENT = {DeclineReason.PERMANENT, DeclineReason.REFUND_WINDOW_EXPIRED}
"""The final declines that say nothing about the other payments of the order, so that these payments are still refunded."""

ALREADY_REFUNDED = (
    "The provider reports that this payment is already refunded ({}). A lookup must show who made that refund."
)
STILL_UNKNOWN = "The provider declines the repeated request ({}), but may still carry out the earlier request."


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending an operation for the first time."""

    answer: RefundResult | NotSent


@dataclass(frozen=True, slots=True)
class Repeated:
    """The result of sending an operation again, under the same key."""

    answer: RefundResult | NotSent


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The result of a lookup."""

    found: LookupResult


Result = Sent | Repeated | LookedUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The change that a result makes to a case.

    If ``transition`` is None, the refund is sent again now, or the case is processed again later.
    """

    result: RefundResult | LookupResult
    """The provider's result, after interpretation. For example, if a repeated request is declined, this is ``Unknown``."""
    transition: Transition | None = None
    status: OperationStatus | None = None
    """The operation's new status. None leaves the status unchanged."""
    answer: RefundResult | None = None
    """The result to store with the operation; None if no result is stored."""
    due_in: float | None = None
    """Seconds until the case is processed again. None means the timeout of the case's new state."""
    repeat: bool = False
    """True if the operation is sent again now, under the same key."""
    refused: str | None = None
    """The provider's decline code, if the operation was sent again and the decline is final. Otherwise None."""


def decide(case: Case, operation: RefundOperation, result: Result, now: datetime, limits: RefundLimits) -> Decision:
    """Decide how a case continues after this result: retry, wait, give up, or hand over to support."""
    if isinstance(result, Sent):
        return _decide_sent(case, operation, require_definite(result.answer), limits)
    if isinstance(result, Repeated):
        decision = _decide_polled(case, operation, _interpret_repeat(result.answer), now, limits)
        return replace(decision, refused=_final_decline_code(result.answer))
    if isinstance(result.found, NotFound) and _may_repeat(case, operation, now, limits):
        return Decision(result=result.found, repeat=True)
    return _decide_polled(case, operation, result.found, now, limits)


def require_definite(answer: RefundResult | NotSent) -> RefundResult:
    """Return the result of sending an operation for the first time, or a decline if certainly no refund was made.

    This is certain if the request was not sent, or if the provider rejected our credentials.
    """
    match answer:
        case NotSent(why):
            return Declined(DeclineReason.NOT_SENT, why)
        case Unknown(why, invalid_credentials=True):
            return Declined(DeclineReason.INVALID_CREDENTIALS, why)
        case _:
            return answer


def daily_reports(
    results: Iterable[tuple[Case, RefundOperation, LookupResult | RefundResult]], at: datetime
) -> list[NewSupportTask]:
    """Return support tasks for low balances and rejected credentials.

    A low balance creates at most one task a day for each seller and provider. Rejected credentials create at most one task
    a day for each provider. This task names no seller, because the credentials are Moneyback's.
    """
    first_cases: dict[tuple[SupportTaskKind, str, str], Case] = {}
    for case, operation, result in results:
        match result:
            case (
                Declined(DeclineReason.INSUFFICIENT_BALANCE)
                | Failed(reason=DeclineReason.INSUFFICIENT_BALANCE)
                | Pending(insufficient_balance=True)
            ):
                subject = (SupportTaskKind.INSUFFICIENT_BALANCE, case.seller_id or "", operation.provider)
                first_cases.setdefault(subject, case)
            case Declined(DeclineReason.INVALID_CREDENTIALS) | Unknown(invalid_credentials=True):
                first_cases.setdefault((SupportTaskKind.INVALID_CREDENTIALS, "", operation.provider), case)
    return [
        NewSupportTask(
            kind=kind,
            subject=f"{seller_id or 'we'} at {provider} on {at:%Y-%m-%d}",
            seller_id=seller_id or None,
            evidence={"provider": provider, "first_case": str(case.id)},
        )
        for (kind, seller_id, provider), case in first_cases.items()
    ]


def solved_causes(
    results: Iterable[tuple[Case, RefundOperation, LookupResult | RefundResult]],
) -> set[tuple[SupportTaskKind, str, str]]:
    """Return the causes of support tasks that are gone: a paid refund proves that balance and credentials are good again."""
    causes = set()
    for case, operation, result in results:
        if isinstance(result, Paid):
            causes.add((SupportTaskKind.INSUFFICIENT_BALANCE, case.seller_id or "", operation.provider))
            causes.add((SupportTaskKind.INVALID_CREDENTIALS, "", operation.provider))
    return causes


def _decide_sent(case: Case, operation: RefundOperation, result: RefundResult, limits: RefundLimits) -> Decision:
    """Return the decision for a result that causes a transition."""
    transition = transition_for(case, operation, result, limits)
    return Decision(
        result=result, transition=transition, status=status_of(result), answer=result, due_in=transition.due_in
    )


def _decide_polled(
    case: Case, operation: RefundOperation, result: LookupResult, now: datetime, limits: RefundLimits
) -> Decision:
    """Return the decision after a poll. A new result causes a transition; otherwise the polling ends or continues."""
    if not isinstance(result, NotFound | ExternalRefund) and _moves_case(case, operation, result):
        return _decide_sent(case, operation, result, limits)
    if ending := give_up(case, operation, result, now, limits):
        transition, status = ending
        return Decision(result=result, transition=transition, status=status)
    return Decision(result=result, due_in=_next_poll_in(case, operation, result, limits))


def _interpret_repeat(answer: RefundResult | NotSent) -> LookupResult:
    """Return what the result of a repeat proves about the refund.

    A declined repeat proves nothing, because the provider may still carry out the first request. Not every provider stores
    a decline for the key, so the decline may be only about the repeat. If the repeat could not be sent, nothing new is
    known. The refund then counts as not found.
    """
    match answer:
        case NotSent():
            return NotFound()
        case Declined(reason, code):
            return Unknown(STILL_UNKNOWN.format(code), replayed=reason in RETRYABLE)
        case _:
            return answer


def _final_decline_code(answer: RefundResult | NotSent) -> str | None:
    """Return the code of a final decline. For any other result, return None."""
    return answer.code if isinstance(answer, Declined) and answer.reason not in RETRYABLE else None


def _may_repeat(case: Case, operation: RefundOperation, now: datetime, limits: RefundLimits) -> bool:
    """Return whether the operation may be sent again.

    The provider must still store the operation's key. The provider must not have returned a final decline or a stored error.
    """
    return (
        case.state is State.REFUNDING
        and not operation.replayed
        and operation.code is None
        and now - first_sent_at(operation) < _repeat_period(limits)
    )


def _repeat_period(limits: RefundLimits) -> timedelta:
    """Return the period in which an operation may be sent again. The period starts when the operation is first sent.

    The period ends some time before the provider may delete the idempotency key: a sixth of the key's lifetime, and at most
    ``MAX_KEY_MARGIN``.
    """
    if limits.capabilities is None:
        return timedelta(0)
    lifetime = limits.capabilities.idempotency_key_ttl
    return lifetime - min(MAX_KEY_MARGIN, lifetime / 6)


def _moves_case(case: Case, operation: RefundOperation, found: RefundResult) -> bool:
    """Return whether the result of a poll causes a transition, because it is news about the operation or for the case."""
    if isinstance(found, Unknown):
        return False
    if isinstance(found, WaitingForApproval):
        return case.state is State.REFUNDING
    if case.state in POLLED_STATES:
        is_known = isinstance(found, Pending) and found.customer_must_act is operation.customer_must_act
        return not is_known or case.state is not State.REFUND_PENDING
    # A refund that the provider shows under our key counts in every state. Support already knows the other results.
    is_news = status_of(found) is not operation.status
    if case.state is State.REFUNDED:
        was_paid = operation.status is OperationStatus.PAID  # otherwise, external refunds settled the case
        return (isinstance(found, Failed) and was_paid) or (
            isinstance(found, Paid) and (is_news or found.bank_reference is not None)
        )
    if isinstance(found, Failed | Declined):
        return is_news and operation.is_open and case.state in {State.WITH_SUPPORT, State.APPROVED, *ENDED_BY_SUPPORT}
    return is_news


def _next_poll_in(case: Case, operation: RefundOperation, result: LookupResult, limits: RefundLimits) -> float:
    """Return the seconds until the next poll. For an accepted refund, the provider's poll plan limits this delay."""
    retry_after = (result.retry_after if isinstance(result, Unknown) else None) or 0.0
    if case.state is not State.REFUNDING and limits.capabilities is not None:
        return max(plan_delay(limits.timers, operation.polls, limits.poll.max_delay), retry_after)
    return max(poll_delay(limits.timers, operation.polls) * limits.jitter, retry_after)


def transition_for(case: Case, operation: RefundOperation, answer: RefundResult, limits: RefundLimits) -> Transition:
    """Return the transition that this result causes. Call this function only after the refund of the case was started."""
    delay = poll_delay(limits.timers, operation.polls) * limits.jitter
    match answer:
        case Paid() | Pending() | WaitingForApproval():
            return _record_accepted(case, operation, answer)
        case Mismatched(refund_id, amount):
            evidence = {"refund": refund_id, **support_reason(ReasonCode.REFUND_DIFFERS, f"{refund_id}, {amount}")}
            why = ReasonCode.REFUND_DIFFERS.support
            return case.after(Event.PROVIDER_PAID_DIFFERENTLY, actor="provider", why=why, evidence=evidence)
        case Unknown(why, retry_after):
            return _record_unknown(case, why, max(delay, retry_after or 0.0))
        case Declined(DeclineReason.ALREADY_REFUNDED, code):
            return _record_unknown(case, ALREADY_REFUNDED.format(code), delay)
        case Declined(reason, code) | Failed(_, code, reason):
            if _is_retryable(case, operation, reason):
                return _defer(case, reason, code, retry_delay(limits.timers, operation.attempt) * limits.jitter)
            return _end_declined(case, operation, replace(answer, reason=_attribute(operation, reason)))


def _attribute(operation: RefundOperation, reason: DeclineReason) -> DeclineReason:
    """Return the reason of a failure. A cancelled refund that waited for the customer was not cancelled by the seller.

    Stripe cancels such a refund if the customer does not answer within 45 days ("Refund bank transfer payments").
    """
    is_expired = reason is DeclineReason.CANCELLED and operation.customer_must_act
    return DeclineReason.PERMANENT if is_expired else reason


def _record_accepted(case: Case, operation: RefundOperation, answer: Paid | Pending | WaitingForApproval) -> Transition:
    """Return the transition for a refund that was made, or that the provider will make without another call."""
    match answer:
        case Paid():
            return _record_paid(case, operation, answer)
        case Pending(refund_id, _, insufficient_balance, customer_must_act):
            refusal = {"refusal": DeclineReason.INSUFFICIENT_BALANCE} if insufficient_balance else {}
            evidence = {"refund": refund_id, **refusal}
            if customer_must_act:
                action = evidence | {"customer_must_act": True}
                return case.after(Event.CUSTOMER_ACTION_REQUIRED, actor="provider", evidence=action)
            return case.after(Event.PROVIDER_ACCEPTED, actor="provider", evidence=evidence)
        case WaitingForApproval(code):
            return case.after(Event.PROVIDER_AWAITS_APPROVAL, actor="provider", evidence={"code": code})


def _record_paid(case: Case, operation: RefundOperation, answer: Paid) -> Transition:
    """Return the transition for a refund that was made. If support has the case, support decides about further payments."""
    evidence: dict[str, object] = {"refund": answer.refund_id}
    if answer.bank_reference:
        evidence["bank_reference"] = answer.bank_reference
    if case.state is State.REFUNDED:
        is_known = operation.status is OperationStatus.PAID
        event = Event.BANK_REFERENCE_RECEIVED if is_known else Event.PAYMENT_REFUNDED
        return replace(case.after(event, actor="provider", evidence=evidence), notify=False)
    if operation.is_last:
        return case.after(Event.PROVIDER_PAID, actor="provider", evidence=evidence)
    if case.state not in {State.WITH_SUPPORT, *ENDED_BY_SUPPORT}:
        return case.after(Event.PAYMENT_REFUNDED, actor="provider", evidence=evidence)
    evidence |= support_reason(ReasonCode.PARTLY_REFUNDED, f"{answer.refund_id}, {operation.charge}")
    why = ReasonCode.PARTLY_REFUNDED.support
    return case.after(Event.PAYMENT_REFUNDED, actor="provider", why=why, evidence=evidence)


def _is_retryable(case: Case, operation: RefundOperation, reason: DeclineReason) -> bool:
    is_executing = case.state in POLLED_STATES
    return reason in RETRYABLE and is_executing and operation.attempt < MAX_ATTEMPTS


def _defer(case: Case, reason: DeclineReason, code: str, seconds: float) -> Transition:
    """Return the transition that defers the refund. After ``seconds``, the refund is sent again, as a new operation."""
    why = SUPPORT_REASONS[reason].support
    evidence = {"code": code, "refusal": reason}
    return replace(case.after(Event.REFUND_DEFERRED, actor="provider", why=why, evidence=evidence), due_in=seconds)


def _record_unknown(case: Case, why: str, seconds: float) -> Transition:
    """Return the transition that records an unknown outcome. After ``seconds``, a worker polls the refund."""
    return replace(case.after(Event.OUTCOME_UNKNOWN, actor="worker", why=why), due_in=seconds)


def _end_declined(case: Case, operation: RefundOperation, answer: Declined | Failed) -> Transition:
    """Return the transition after a final decline or a failure.

    If the decline says nothing about the other payments of the order, these payments are refunded next. Otherwise, the case
    goes to support.
    """
    is_of_one_payment = isinstance(answer, Declined) and answer.reason in OF_ONE_PAYMENT
    if is_of_one_payment and case.state is State.REFUNDING and not operation.is_last:
        code = SUPPORT_REASONS[answer.reason]
        decision = operation.decision_id and str(operation.decision_id)
        evidence = {"declined_payment": [operation.provider, operation.charge, code, decision], "code": answer.code}
        return case.after(Event.PAYMENT_DECLINED, actor="provider", why=code.support, evidence=evidence)
    return _hand_over_declined(case, answer)


def _hand_over_declined(case: Case, answer: Declined | Failed) -> Transition:
    """Return the transition that hands the case over to support, because the refund was declined or failed."""
    late_states = {State.APPROVED, State.REFUND_PENDING, State.REFUNDED, *ENDED_BY_SUPPORT}
    is_late = isinstance(answer, Failed) and case.state in late_states
    is_returned = is_late and answer.reason is DeclineReason.PERMANENT
    event = Event.PROVIDER_FAILED_LATE if is_late else Event.PROVIDER_DECLINED
    code = ReasonCode.RETURNED_BY_BANK if is_returned else SUPPORT_REASONS[answer.reason]
    return case.after(event, actor="provider", why=code.support, evidence=support_reason(code, answer.code))
