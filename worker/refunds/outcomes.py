"""Outcomes: what a provider's result changes. One pure function decides whether to retry, wait, give up or hand over."""

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
    NotFound,
    Paid,
    Pending,
    RefundResult,
    Unknown,
)
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus, RefundOperation, status_of
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from records.support_tasks import NewSupportTask
from worker.provider_client import NotSent
from worker.refunds.backoff import plan_delay, poll_delay, retry_delay
from worker.refunds.evaluation import support_reason
from worker.refunds.give_up import first_sent_at, give_up
from worker.refunds.limits import KEY_MARGIN, RefundLimits

MAX_ATTEMPTS = 64  # operations of one case: with delays of up to six hours, two weeks of waiting for a balance

SUPPORT_REASONS = {
    DeclineReason.ALREADY_REFUNDED: ReasonCode.REFUNDED_ELSEWHERE,
    DeclineReason.DISPUTED: ReasonCode.DISPUTE_OPEN,
    DeclineReason.REFUND_WINDOW_EXPIRED: ReasonCode.PROVIDER_WINDOW_CLOSED,
    DeclineReason.INSUFFICIENT_BALANCE: ReasonCode.INSUFFICIENT_BALANCE,
    DeclineReason.NOT_YET_REFUNDABLE: ReasonCode.NOT_YET_REFUNDABLE,
    DeclineReason.PERMANENT: ReasonCode.PROVIDER_DECLINED,
    DeclineReason.INVALID_CREDENTIALS: ReasonCode.PROVIDER_UNAVAILABLE,
    DeclineReason.NOT_SENT: ReasonCode.PROVIDER_UNAVAILABLE,
}
"""What support reads when a provider's refusal is final."""

RETRYABLE = {
    DeclineReason.INSUFFICIENT_BALANCE,
    DeclineReason.NOT_YET_REFUNDABLE,
    DeclineReason.INVALID_CREDENTIALS,
    DeclineReason.NOT_SENT,
}
"""Refusals that end by themselves. Nothing was carried out, so the next try is a new operation."""

ALREADY_REFUNDED = (
    "The provider says that this payment is refunded already ({}): whose refund that is must be looked up."
)
STILL_UNKNOWN = "The provider refuses the repeat ({}), but what was sent before may still be carried out."


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of the first sending of an operation."""

    answer: RefundResult | NotSent


@dataclass(frozen=True, slots=True)
class Repeated:
    """The result of sending an operation again, under the same key."""

    answer: RefundResult | NotSent


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The result of a look-up."""

    found: LookupResult


Result = Sent | Repeated | LookedUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a result changes. A decision without a transition only says when the case is worked on again."""

    result: RefundResult | LookupResult
    """What the provider's result proves."""
    transition: Transition | None = None
    status: OperationStatus | None = None
    """The operation's new status; None leaves the status as it is."""
    answer: RefundResult | None = None
    """The answer that the operation keeps, if the provider's answer is what moves the case."""
    due_in: float | None = None
    """Seconds until the case is worked on again; None is the timeout of the state that the transition leads to."""
    repeat: bool = False
    """The operation is sent again now, under the same key."""
    refused: str | None = None
    """The code with which the provider refused a repeat for good."""


def decide(case: Case, operation: RefundOperation, result: Result, now: datetime, limits: RefundLimits) -> Decision:
    """Decides what a result changes: retry, wait, give up, or hand over to support."""
    if isinstance(result, Sent):
        return _answered(case, operation, require_definite(result.answer), limits)
    if isinstance(result, Repeated):
        decision = _polled(case, operation, _proven_by_repeat(result.answer), now, limits)
        return replace(decision, refused=_refused_for_good(result.answer))
    if isinstance(result.found, NotFound) and _may_repeat(case, operation, now, limits):
        return Decision(result=result.found, repeat=True)
    return _polled(case, operation, result.found, now, limits)


def require_definite(answer: RefundResult | NotSent) -> RefundResult:
    """Returns what the answer to a first sending proves: nothing was carried out if nothing was sent or we had no access."""
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
    """Returns a support task a day for each seller's balance that is too low, and for each provider that denies access."""
    found: dict[tuple[SupportTaskKind, str, str], Case] = {}
    for case, operation, result in results:
        match result:
            case (
                Declined(DeclineReason.INSUFFICIENT_BALANCE)
                | Failed(reason=DeclineReason.INSUFFICIENT_BALANCE)
                | Pending(insufficient_balance=True)
            ):
                found.setdefault((SupportTaskKind.INSUFFICIENT_BALANCE, case.seller or "", operation.provider), case)
            case Declined(DeclineReason.INVALID_CREDENTIALS) | Unknown(invalid_credentials=True):
                found.setdefault((SupportTaskKind.INVALID_CREDENTIALS, "", operation.provider), case)
    return [
        NewSupportTask(
            kind=trouble,
            subject=f"{seller or 'we'} at {provider} on {at:%Y-%m-%d}",
            seller=seller or None,
            evidence={"provider": provider, "first_case": str(case.id)},
        )
        for (trouble, seller, provider), case in found.items()
    ]


def _answered(case: Case, operation: RefundOperation, answer: RefundResult, limits: RefundLimits) -> Decision:
    """Decides on a case that an answer of the provider moves."""
    transition = transition_for(case, operation, answer, limits)
    return Decision(
        result=answer, transition=transition, status=status_of(answer), answer=answer, due_in=transition.due_in
    )


def _polled(
    case: Case, operation: RefundOperation, found: LookupResult, now: datetime, limits: RefundLimits
) -> Decision:
    """Decides on a case whose refund was polled: news moves the case, else the polling ends or goes on."""
    if not isinstance(found, NotFound | ExternalRefund) and _is_news(case, operation, found):
        return _answered(case, operation, found, limits)
    if ending := give_up(case, operation, found, now, limits):
        transition, status = ending
        return Decision(result=found, transition=transition, status=status)
    return Decision(result=found, due_in=_due_in(case, operation, found, limits))


def _proven_by_repeat(answer: RefundResult | NotSent) -> LookupResult:
    """Returns what the answer to a repeat proves.

    A refusal proves nothing: not every provider stores it under the key, and the first sending may still be under way. If the
    repeat could not be sent, nothing new is known, and the refund counts as not found.
    """
    match answer:
        case NotSent():
            return NotFound()
        case Declined(refusal, code):
            return Unknown(STILL_UNKNOWN.format(code), replayed=refusal in RETRYABLE)
        case _:
            return answer


def _refused_for_good(answer: RefundResult | NotSent) -> str | None:
    return answer.code if isinstance(answer, Declined) and answer.reason not in RETRYABLE else None


def _may_repeat(case: Case, operation: RefundOperation, now: datetime, limits: RefundLimits) -> bool:
    """Whether the operation may be sent again: the provider surely remembers its key, and has not refused it for good."""
    return (
        case.state is State.REFUNDING
        and not operation.replayed
        and operation.code is None
        and now - first_sent_at(operation) < _repeatable_for(limits)
    )


def _repeatable_for(limits: RefundLimits) -> timedelta:
    """Returns how long after its first sending a key may be sent again. A key that lives only hours is never repeated."""
    return limits.capabilities.idempotency_key_ttl - KEY_MARGIN if limits.capabilities else timedelta(0)


def _is_news(case: Case, operation: RefundOperation, found: RefundResult) -> bool:
    """Whether the provider's answer moves the case: a second "unknown" or "pending" does not."""
    match found, case.state:
        case Unknown(), _:
            return False
        case Pending(), state:
            return state is State.REFUNDING
        case _, State.WITH_SUPPORT:
            return operation.is_open  # of a closed operation support was told before
        case Paid(bank_reference=reference), State.REFUNDED:
            return reference is not None
        case _:
            return True


def _due_in(case: Case, operation: RefundOperation, found: LookupResult, limits: RefundLimits) -> float:
    """Returns the seconds until the next poll: a refund that the provider accepted is polled as the provider's plan says."""
    asked_for = found.retry_after if isinstance(found, Unknown) else None
    if case.state is State.REFUND_PENDING and limits.capabilities is not None:
        return max(plan_delay(limits.timers, operation.polls, limits.poll.max_delay), asked_for or 0.0)
    return max(poll_delay(limits.timers, operation.polls) * limits.jitter, asked_for or 0.0)


def transition_for(case: Case, operation: RefundOperation, answer: RefundResult, limits: RefundLimits) -> Transition:
    """Returns the transition that an answer makes of a case that is being refunded, or may have been."""
    delay = poll_delay(limits.timers, operation.polls) * limits.jitter
    match answer:
        case Paid(refund_id, _, bank_reference):
            reference = {"bank_reference": bank_reference} if bank_reference else {}
            known = case.state is State.REFUNDED
            event = Event.BANK_REFERENCE_RECEIVED if known else Event.PROVIDER_PAID
            return replace(
                case.after(event, actor="provider", evidence={"refund": refund_id, **reference}), notify=not known
            )
        case Pending(refund_id, _, short_of_balance):
            waits = {"refusal": DeclineReason.INSUFFICIENT_BALANCE} if short_of_balance else {}
            return case.after(Event.PROVIDER_ACCEPTED, actor="provider", evidence={"refund": refund_id, **waits})
        case Unknown(why, again_in):
            return _unclear(case, why, max(delay, again_in or 0.0))
        case Declined(DeclineReason.ALREADY_REFUNDED, code):
            return _unclear(case, ALREADY_REFUNDED.format(code), delay)
        case Declined(refusal, code) | Failed(_, code, refusal):
            if _is_retryable(case, operation, refusal):
                return _deferred(case, refusal, code, retry_delay(limits.timers, operation.attempt) * limits.jitter)
            return _refused(case, answer, refusal, code)


def _is_retryable(case: Case, operation: RefundOperation, refusal: DeclineReason) -> bool:
    at_the_provider = case.state in {State.REFUNDING, State.REFUND_PENDING}
    return refusal in RETRYABLE and at_the_provider and operation.attempt < MAX_ATTEMPTS


def _deferred(case: Case, refusal: DeclineReason, code: str, seconds: float) -> Transition:
    why = SUPPORT_REASONS[refusal].support
    evidence = {"code": code, "refusal": refusal}
    return replace(case.after(Event.REFUND_DEFERRED, actor="provider", why=why, evidence=evidence), due_in=seconds)


def _unclear(case: Case, why: str, seconds: float) -> Transition:
    return replace(case.after(Event.OUTCOME_UNKNOWN, actor="worker", why=why), due_in=seconds)


def _refused(case: Case, answer: Declined | Failed, refusal: DeclineReason, code: str) -> Transition:
    late = isinstance(answer, Failed) and case.state in {State.REFUND_PENDING, State.REFUNDED}
    event = Event.PROVIDER_FAILED_LATE if late else Event.PROVIDER_DECLINED
    returned = late and refusal is DeclineReason.PERMANENT
    reason = ReasonCode.RETURNED_BY_BANK if returned else SUPPORT_REASONS[refusal]
    return case.after(event, actor="provider", why=reason.support, evidence=support_reason(reason, code))
