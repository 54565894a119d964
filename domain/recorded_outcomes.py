"""Decides whether a person may record the outcome of a refund that Moneyback could not find out, and what that changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.errors import NotPossibleError
from domain.providers import Paid
from domain.refund_operations import IN_FLIGHT_FOR, OperationStatus, RefundOperation, last_of_case
from domain.states import Event, State
from domain.support_decisions import RecordOutcome

_RECORDABLE = frozenset({OperationStatus.SENT, OperationStatus.UNKNOWN, OperationStatus.PENDING})
"""The statuses of an operation whose refund the provider made, may still make, or dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOutcome:
    """What a recorded outcome changes."""

    operation: RefundOperation
    event: Event
    paid: Paid | None
    """The result to store with the operation; None if the refund was not made."""


def unknown_refund(state: State, operations: Sequence[RefundOperation]) -> RefundOperation | None:
    """Return the refund whose outcome a person may record, or None if there is none.

    As long as the case is not with support, Moneyback itself asks the provider.
    """
    newest = operations[-1] if operations else None
    is_recordable = newest is not None and newest.status in _RECORDABLE
    return newest if is_recordable and state is State.WITH_SUPPORT else None


def record_outcome(
    state: State,
    operations: Sequence[RefundOperation],
    decision: UUID | None,
    recorded: RecordOutcome,
    now: datetime,
) -> RecordedOutcome:
    """Return what the record changes.

    ``operations`` are those of the case, the newest last. ``decision`` is the decision of the newest evaluation; None if the
    rules evaluated the case last. Raise NotPossibleError if the outcome is known, or if the refund may still be under way.
    """
    operation = unknown_refund(state, operations)
    if operation is None:
        if operations and operations[-1].status is OperationStatus.WAITING_FOR_APPROVAL:
            raise NotPossibleError(
                f"The refund {operations[-1].key} waits for an approval at {operations[-1].provider}. Approve or reject it there."
            )
        raise NotPossibleError("This case has no refund whose outcome is unknown, so no outcome can be recorded.")
    if recorded.refund_id is not None:
        is_last = last_of_case(operation, operations, decision).is_last
        event = Event.PROVIDER_PAID if is_last else Event.PAYMENT_REFUNDED
        return RecordedOutcome(operation=operation, event=event, paid=Paid(recorded.refund_id, operation.amount))
    require_landed(operation, now)
    return RecordedOutcome(operation=operation, event=Event.PROVIDER_DECLINED, paid=None)


def require_landed(operation: RefundOperation, now: datetime) -> None:
    """Raise NotPossibleError if the refund was sent so recently that the provider may still carry it out."""
    assert operation.last_sent_at, "every operation in the database has the time of its last sending"
    certain_from = operation.last_sent_at + IN_FLIGHT_FOR
    if now <= certain_from:
        raise NotPossibleError(
            f"The refund {operation.key} was sent at {operation.last_sent_at:%Y-%m-%d %H:%M} UTC, so {operation.provider} may "
            f"still carry it out. Look there again after {certain_from:%Y-%m-%d %H:%M} UTC."
        )
