"""Giving up: when polling for the outcome of a refund ends without an answer from the provider."""

from datetime import datetime, timedelta

from domain.cases import Case, Transition
from domain.providers import ExternalRefund, LookupResult, NotFound
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus, RefundOperation
from domain.states import Event, State
from worker.refunds.evaluation import support_reason
from worker.refunds.limits import RefundLimits

IN_FLIGHT_FOR = timedelta(
    hours=6
)  # a request that was sent may still be carried out for so long after the last sending
ENOUGH_LOOK_UPS = 3  # empty look-ups; with IN_FLIGHT_FOR over, they show that nothing was carried out
MAX_PROOFS = 3  # operations in a row; support handles a provider whose errors and look-ups always contradict each other

Ending = tuple[Transition, OperationStatus | None]
"""The transition that ends the polling, and the operation's new status; None leaves the status as it is."""


def give_up(
    case: Case, operation: RefundOperation, found: LookupResult, now: datetime, limits: RefundLimits
) -> Ending | None:
    """Returns how the polling ends; None while the provider may still answer."""
    if case.state not in {State.REFUNDING, State.REFUND_PENDING}:
        return None
    external = isinstance(found, ExternalRefund)
    if isinstance(found, ExternalRefund) and _is_final(operation, now):
        step = _hand_over(case, Event.PROVIDER_DECLINED, ReasonCode.REFUNDED_ELSEWHERE, found.refund_id)
        return step, OperationStatus.DECLINED
    if (
        isinstance(found, NotFound)
        and case.state is State.REFUNDING
        and (ending := _absent(case, operation, now, limits))
    ):
        return ending
    if now - first_sent_at(operation) > _longest_polling(case, limits):
        return _outcome_unknown(case, operation), OperationStatus.DECLINED if external else None
    return None


def _absent(case: Case, operation: RefundOperation, now: datetime, limits: RefundLimits) -> Ending | None:
    """Ends the polling of a refund that the provider does not show, once the provider has answered for the last time."""
    if _is_proven_absent(operation, now, limits):
        why = "The provider only repeats an error for this key and showed again and again that it made no refund."
        step = case.after(Event.CONFIRMED_NOT_REFUNDED, actor="settle", why=why, evidence={"key": operation.key})
        return step, OperationStatus.ABSENT
    if not _can_change_no_more(operation, now, limits):
        return None
    if operation.code is not None and limits.can_look_up:
        step = _hand_over(case, Event.PROVIDER_DECLINED, ReasonCode.PROVIDER_DECLINED, operation.code)
        return step, OperationStatus.DECLINED
    return _outcome_unknown(case, operation), None


def _can_change_no_more(operation: RefundOperation, now: datetime, limits: RefundLimits) -> bool:
    """Whether the provider refused a repeat or only repeats an error, and shows no refund."""
    last_answer = operation.code is not None or operation.replayed
    looked = operation.empty_lookups >= ENOUGH_LOOK_UPS or not limits.can_look_up
    return last_answer and looked and _is_late(operation, now)


def _is_final(operation: RefundOperation, now: datetime) -> bool:
    """Whether an external refund ends ours: the provider refused all that was sent, or nothing is under way any more."""
    return (operation.code is not None and operation.sends == 1) or _is_late(operation, now)


def _is_late(operation: RefundOperation, now: datetime) -> bool:
    """Whether nothing that was sent can still be under way."""
    assert operation.last_sent_at, "an operation that was read back was sent"
    return now - operation.last_sent_at > IN_FLIGHT_FOR


def _is_proven_absent(operation: RefundOperation, now: datetime, limits: RefundLimits) -> bool:
    """Whether a new operation may follow: this key gets the same error for ever, and the provider made no refund."""
    return (
        limits.absence_can_be_proven
        and operation.replayed
        and operation.code is None
        and operation.empty_lookups >= ENOUGH_LOOK_UPS
        and operation.attempt < MAX_PROOFS
        and _is_late(operation, now)
    )


def _outcome_unknown(case: Case, operation: RefundOperation) -> Transition:
    return _hand_over(case, Event.POLLING_GAVE_UP, ReasonCode.OUTCOME_UNKNOWN, _all_that_is_known(operation))


def _hand_over(case: Case, event: Event, reason: ReasonCode, detail: str) -> Transition:
    """Returns the transition that hands the case over to support."""
    return case.after(event, actor="settle", why=reason.support, evidence=support_reason(reason, detail))


def _all_that_is_known(operation: RefundOperation) -> str:
    """Returns what support needs to ask the provider: the payment, the key, how often and when it was sent."""
    assert operation.last_sent_at, "an operation that was read back was sent"
    return (
        f"{operation.provider} {operation.charge}, {operation.amount}, key {operation.key}, sent {operation.sends} times "
        f"from {first_sent_at(operation):%Y-%m-%d %H:%M} to {operation.last_sent_at:%Y-%m-%d %H:%M} UTC, "
        f"asked after {operation.polls} times; the provider's refund is {operation.refund_id or 'not known'}."
    )


def _longest_polling(case: Case, limits: RefundLimits) -> timedelta:
    """Returns how long the provider is polled: much shorter while nobody knows whether it accepted the refund at all."""
    return limits.poll.give_up if case.state is State.REFUND_PENDING else limits.poll.give_up_unknown


def first_sent_at(operation: RefundOperation) -> datetime:
    """Returns when the provider was asked for this refund for the first time."""
    assert operation.first_sent_at, "an operation that was read back was sent"
    return operation.first_sent_at
