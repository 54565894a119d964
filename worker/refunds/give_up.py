"""Decides when polling for the outcome of a refund ends without a result from the provider."""

from datetime import datetime, timedelta

from domain.cases import Case, Transition
from domain.providers import ExternalRefund, LookupResult, NotFound
from domain.reason_codes import ReasonCode
from domain.refund_operations import IN_FLIGHT_FOR, OperationStatus, RefundOperation
from domain.states import Event, State
from worker.refunds.evaluation import support_reason
from worker.refunds.provider_limits import RefundLimits

MIN_EMPTY_LOOKUPS = 3
"""The minimum number of lookups without a refund, before Moneyback concludes that the provider made no refund.

``IN_FLIGHT_FOR`` must also have passed since the last sending.
"""
MAX_PROOFS = 3
"""Up to this number of operations are created for a case whose operations end with errors and without refunds.

Such an error leaves the outcome open; only the lookups show that there is no refund. After the last operation, the case goes
to support.
"""

POLLED_STATES = (State.REFUNDING, State.WAITING_FOR_APPROVAL, State.REFUND_PENDING)
"""The states in which the provider is polled for the outcome of the refund."""

_UNDECIDED = frozenset({OperationStatus.SENT, OperationStatus.UNKNOWN, OperationStatus.PENDING})
"""The statuses of an operation that the provider may have made, may still make, or may have dropped."""

Ending = tuple[Transition, OperationStatus | None]
"""The transition that ends the polling, and the operation's new status. None leaves the status unchanged."""


def give_up(
    case: Case, operation: RefundOperation, found: LookupResult, now: datetime, limits: RefundLimits
) -> Ending | None:
    """Return the ending of the polling, or None if the case is not polled or the polling continues.

    If support refunded the payment of a case with an unknown outcome, our refund ends as well, so that the case can be settled.
    """
    is_polled = case.state in POLLED_STATES
    is_external = isinstance(found, ExternalRefund)
    if (
        isinstance(found, ExternalRefund)
        and _is_final(operation, now)
        and (is_polled or (case.state is State.WITH_SUPPORT and operation.status in _UNDECIDED))
    ):
        return _hand_over_external(case, found)
    if not is_polled:
        return None
    if (
        isinstance(found, NotFound)
        and case.state is State.REFUNDING
        and (ending := _end_if_absent(case, operation, now, limits))
    ):
        return ending
    if now - first_sent_at(operation) > _max_polling(case, limits):
        return _hand_over_unknown(case, operation), OperationStatus.DECLINED if is_external else None
    return None


def _hand_over_external(case: Case, found: ExternalRefund) -> Ending:
    """Return the ending for a payment with an external refund. A refund that a person may still approve stays open."""
    if case.state is State.WAITING_FOR_APPROVAL:
        detail = f"{found.refund_id}. Our refund still waits for an approval at the payment provider."
        return _hand_over(case, Event.PROVIDER_DECLINED, ReasonCode.REFUNDED_ELSEWHERE, detail), None
    transition = _hand_over(case, Event.PROVIDER_DECLINED, ReasonCode.REFUNDED_ELSEWHERE, found.refund_id)
    return transition, OperationStatus.DECLINED


def _end_if_absent(case: Case, operation: RefundOperation, now: datetime, limits: RefundLimits) -> Ending | None:
    """Return the ending for a refund that the provider does not show, or None if the refund may still appear."""
    if _is_proven_absent(operation, now, limits):
        why = "The provider only repeats an error for this key, and several lookups showed no refund."
        transition = case.after(Event.CONFIRMED_NOT_REFUNDED, actor="resolve", why=why, evidence={"key": operation.key})
        return transition, OperationStatus.ABSENT
    if not _has_last_result(operation, now, limits):
        return None
    if operation.code is not None and limits.can_look_up:
        transition = _hand_over(case, Event.PROVIDER_DECLINED, ReasonCode.PROVIDER_DECLINED, operation.code)
        return transition, OperationStatus.DECLINED
    return _hand_over_unknown(case, operation), None


def _has_last_result(operation: RefundOperation, now: datetime, limits: RefundLimits) -> bool:
    """Return whether the provider's last result is final.

    This is so if all three conditions are true: the provider declined the refund or only repeats an error; no lookup showed
    the refund; and no sending can still be in flight.
    """
    has_final_error = operation.code is not None or operation.replayed
    is_not_shown = operation.empty_lookups >= MIN_EMPTY_LOOKUPS or not limits.can_look_up
    return has_final_error and is_not_shown and _is_late(operation, now)


def waits_for_end(case: Case, operation: RefundOperation, now: datetime) -> bool:
    """Return whether support has the case, and our refund may still be made although the payment has an external refund."""
    return case.state is State.WITH_SUPPORT and operation.status in _UNDECIDED and not _is_final(operation, now)


def _is_final(operation: RefundOperation, now: datetime) -> bool:
    """Return whether our refund will certainly not be made any more, if the payment has an external refund.

    Our refund was sent once and declined, or the last sending is too old to be in flight.
    """
    return (operation.code is not None and operation.sends == 1) or _is_late(operation, now)


def _is_late(operation: RefundOperation, now: datetime) -> bool:
    """Return True if the last sending is so long ago that it cannot be in flight any more."""
    assert operation.last_sent_at, "every operation in the database has the time of its last sending"
    return now - operation.last_sent_at > IN_FLIGHT_FOR


def _is_proven_absent(operation: RefundOperation, now: datetime, limits: RefundLimits) -> bool:
    """Return whether it is proven that no refund was made with this key, so that a new operation may follow.

    For this, the provider must repeat an error for the key, and several lookups must find no refund. If the case already
    has ``MAX_PROOFS`` operations, no new operation may follow.
    """
    return (
        limits.absence_can_be_proven
        and operation.replayed
        and operation.code is None
        and operation.empty_lookups >= MIN_EMPTY_LOOKUPS
        and operation.attempt < MAX_PROOFS
        and _is_late(operation, now)
    )


def _hand_over_unknown(case: Case, operation: RefundOperation) -> Transition:
    """Return the transition that hands a case with an unknown outcome over to support."""
    return _hand_over(case, Event.POLLING_GAVE_UP, ReasonCode.OUTCOME_UNKNOWN, describe_operation(operation))


def _hand_over(case: Case, event: Event, reason: ReasonCode, detail: str) -> Transition:
    """Return the transition that hands the case over to support."""
    return case.after(event, actor="resolve", why=reason.support, evidence=support_reason(reason, detail))


def describe_operation(operation: RefundOperation) -> str:
    """Describe the refund for support, who may have to ask the provider about it."""
    assert operation.last_sent_at, "every operation in the database has the time of its last sending"
    return (
        f"{operation.provider} {operation.charge}, {operation.amount}, key {operation.key}, sent {operation.sends} times "
        f"from {first_sent_at(operation):%Y-%m-%d %H:%M} to {operation.last_sent_at:%Y-%m-%d %H:%M} UTC, "
        f"polled {operation.polls} times; the provider's refund id is {operation.refund_id or 'not known'}."
    )


def _max_polling(case: Case, limits: RefundLimits) -> timedelta:
    """Return the maximum duration of the polling.

    The duration is much shorter if it is unknown whether the provider accepted the refund.
    """
    return limits.poll.give_up_unknown if case.state is State.REFUNDING else limits.poll.give_up


def first_sent_at(operation: RefundOperation) -> datetime:
    """Return the instant at which this refund was sent for the first time."""
    assert operation.first_sent_at, "every operation in the database has the time of its first sending"
    return operation.first_sent_at
