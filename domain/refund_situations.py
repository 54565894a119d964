"""Situations of a case that the customer must read about, although the state of the case does not show them."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from domain.case_payments import CasePayment
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus
from domain.states import Event, State


class Situation(StrEnum):
    """A situation in which the usual text about the state would be wrong."""

    CUSTOMER_MUST_ACT = "customer_must_act"
    CUSTOMER_MUST_ANSWER = "customer_must_answer"
    CUSTOMER_ANSWERED = "customer_answered"
    REFUNDED_ELSEWHERE = "refunded_elsewhere"
    PARTLY_REFUNDED_ELSEWHERE = "partly_refunded_elsewhere"
    AMOUNT_DIFFERS = "amount_differs"
    CANCELLED_BY_SELLER = "cancelled_by_seller"
    PARTLY_REFUNDED = "partly_refunded"
    REST_WITH_SUPPORT = "rest_with_support"
    APPROVAL_NOT_COMPLETED = "approval_not_completed"


_OF_REASON: Mapping[str, Situation] = {
    ReasonCode.REFUND_DIFFERS: Situation.AMOUNT_DIFFERS,
    ReasonCode.REFUND_CANCELLED: Situation.CANCELLED_BY_SELLER,
}

_OF_DECISION: Mapping[tuple[State, str | None], Situation] = {
    (State.WITH_SUPPORT, Event.SUPPORT_ASKED): Situation.CUSTOMER_MUST_ANSWER,
    (State.WITH_SUPPORT, Event.CUSTOMER_ANSWERED): Situation.CUSTOMER_ANSWERED,
    (State.REFUNDED, Event.SUPPORT_REFUNDED_ELSEWHERE): Situation.REFUNDED_ELSEWHERE,
}
"""The situation in a state after the newest event by which support decided or the customer answered."""

_OF_STATE: Mapping[State, Situation] = {
    State.APPROVED: Situation.PARTLY_REFUNDED,
    State.REFUNDING: Situation.PARTLY_REFUNDED,
    State.REFUND_PENDING: Situation.PARTLY_REFUNDED,
    State.WITH_SUPPORT: Situation.REST_WITH_SUPPORT,
}
"""The situation in each state if one of several payments has been refunded, and no refund has come back."""


def situation_of(
    state: State,
    payments: Collection[CasePayment],
    codes: Collection[str],
    *,
    customer_must_act: bool,
    decided_event: str | None,
) -> Situation | None:
    """Return the situation of a case; None if the text about the state is right.

    ``codes`` are the latest reason codes, and ``decided_event`` is the newest event by which support decided or the customer
    answered.
    """
    if customer_must_act and state is State.REFUND_PENDING:
        return Situation.CUSTOMER_MUST_ACT
    if decided := _OF_DECISION.get((state, decided_event)):
        return decided
    if state is State.WITH_SUPPORT and (
        found := next((_OF_REASON[code] for code in codes if code in _OF_REASON), None)
    ):
        return found
    statuses = {payment.status for payment in payments}
    is_partly_refunded = OperationStatus.PAID in statuses and OperationStatus.FAILED not in statuses
    if is_partly_refunded and state in _OF_STATE:
        return _OF_STATE[state]
    is_fallen_back = state is State.WITH_SUPPORT and decided_event == Event.SUPPORT_APPROVED
    return Situation.APPROVAL_NOT_COMPLETED if is_fallen_back else None
