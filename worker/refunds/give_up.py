"""Giving up: when polling for the outcome of a refund ends without an answer from the provider."""

from datetime import datetime, timedelta

from domain.cases import Case, Step
from domain.findings import Code
from domain.providers import Absent, Elsewhere, Found
from domain.refund_operations import Operation, OperationStatus
from domain.states import Event, State
from worker.judging import because
from worker.refunds.limits import Limits

IN_FLIGHT_FOR = timedelta(
    hours=6
)  # a request that was sent may still be carried out for so long after the last sending
ENOUGH_LOOK_UPS = 3  # empty look-ups; with IN_FLIGHT_FOR over, they show that nothing was carried out
MAX_PROOFS = 3  # operations in a row; support handles a provider whose errors and look-ups always contradict each other

Ending = tuple[Step, OperationStatus | None]
"""The transition that ends the polling, and the operation's new status; None leaves the status as it is."""


def give_up(case: Case, operation: Operation, found: Found, now: datetime, limits: Limits) -> Ending | None:
    """Returns how the polling ends; None while the provider may still answer."""
    if case.state not in {State.REFUNDING, State.REFUND_PENDING}:
        return None
    external = isinstance(found, Elsewhere)
    if isinstance(found, Elsewhere) and _is_final(operation, now):
        step = _hand_over(case, Event.PROVIDER_DECLINED, Code.REFUNDED_ELSEWHERE, found.refund_id)
        return step, OperationStatus.DECLINED
    if (
        isinstance(found, Absent)
        and case.state is State.REFUNDING
        and (ending := _absent(case, operation, now, limits))
    ):
        return ending
    if now - first_sent_at(operation) > _longest_polling(case, limits):
        return _outcome_unknown(case, operation), OperationStatus.DECLINED if external else None
    return None


def _absent(case: Case, operation: Operation, now: datetime, limits: Limits) -> Ending | None:
    """Ends the polling of a refund that the provider does not show, once the provider has answered for the last time."""
    if _is_proven_absent(operation, now, limits):
        why = "The provider only repeats an error for this key and showed again and again that it made no refund."
        step = case.after(Event.PROVEN_ABSENT, actor="settle", why=why, evidence={"key": operation.key})
        return step, OperationStatus.ABSENT
    if not _can_change_no_more(operation, now, limits):
        return None
    if operation.code is not None and limits.can_look_up:
        step = _hand_over(case, Event.PROVIDER_DECLINED, Code.PROVIDER_DECLINED, operation.code)
        return step, OperationStatus.DECLINED
    return _outcome_unknown(case, operation), None


def _can_change_no_more(operation: Operation, now: datetime, limits: Limits) -> bool:
    """Whether the provider refused a repeat or only repeats an error, and shows no refund."""
    last_answer = operation.code is not None or operation.replayed
    looked = operation.empty_look_ups >= ENOUGH_LOOK_UPS or not limits.can_look_up
    return last_answer and looked and _is_late(operation, now)


def _is_final(operation: Operation, now: datetime) -> bool:
    """Whether an external refund ends ours: the provider refused all that was sent, or nothing is under way any more."""
    return (operation.code is not None and operation.sends == 1) or _is_late(operation, now)


def _is_late(operation: Operation, now: datetime) -> bool:
    """Whether nothing that was sent can still be under way."""
    assert operation.last_sent_at, "an operation that was read back was sent"
    return now - operation.last_sent_at > IN_FLIGHT_FOR


def _is_proven_absent(operation: Operation, now: datetime, limits: Limits) -> bool:
    """Whether a new operation may follow: this key gets the same error for ever, and the provider made no refund."""
    return (
        limits.absence_can_be_proven
        and operation.replayed
        and operation.code is None
        and operation.empty_look_ups >= ENOUGH_LOOK_UPS
        and operation.attempt < MAX_PROOFS
        and _is_late(operation, now)
    )


def _outcome_unknown(case: Case, operation: Operation) -> Step:
    return _hand_over(case, Event.GAVE_UP_ASKING, Code.OUTCOME_UNKNOWN, _all_that_is_known(operation))


def _hand_over(case: Case, event: Event, reason: Code, detail: str) -> Step:
    """Returns the transition that hands the case over to support."""
    return case.after(event, actor="settle", why=reason.support, evidence=because(reason, detail))


def _all_that_is_known(operation: Operation) -> str:
    """Returns what support needs to ask the provider: the payment, the key, how often and when it was sent."""
    assert operation.last_sent_at, "an operation that was read back was sent"
    return (
        f"{operation.provider} {operation.charge}, {operation.amount}, key {operation.key}, sent {operation.sends} times "
        f"from {first_sent_at(operation):%Y-%m-%d %H:%M} to {operation.last_sent_at:%Y-%m-%d %H:%M} UTC, "
        f"asked after {operation.asks} times; the provider's refund is {operation.refund_id or 'not known'}."
    )


def _longest_polling(case: Case, limits: Limits) -> timedelta:
    """Returns how long the provider is polled: much shorter while nobody knows whether it accepted the refund at all."""
    return limits.poll.give_up if case.state is State.REFUND_PENDING else limits.poll.unknown


def first_sent_at(operation: Operation) -> datetime:
    """Returns when the provider was asked for this refund for the first time."""
    assert operation.first_sent_at, "an operation that was read back was sent"
    return operation.first_sent_at
