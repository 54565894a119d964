"""Situations of a case that the customer must read about, although the state of the case does not show them."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from domain.case_payments import CasePayment
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus
from domain.states import State


class Situation(StrEnum):
    """A situation in which the usual text about the state would be wrong."""

    CUSTOMER_MUST_ACT = "customer_must_act"
    CUSTOMER_MUST_ANSWER = "customer_must_answer"
    AMOUNT_DIFFERS = "amount_differs"
    CANCELLED_BY_SELLER = "cancelled_by_seller"
    PARTLY_REFUNDED = "partly_refunded"
    REST_WITH_SUPPORT = "rest_with_support"


_OF_REASON: Mapping[str, Situation] = {
    ReasonCode.REFUND_DIFFERS: Situation.AMOUNT_DIFFERS,
    ReasonCode.REFUND_CANCELLED: Situation.CANCELLED_BY_SELLER,
}

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
    awaits_answer: bool,
) -> Situation | None:
    """Return the situation of a case; None if the text about the state is right. ``codes`` are the latest reason codes."""
    if customer_must_act and state is State.REFUND_PENDING:
        return Situation.CUSTOMER_MUST_ACT
    if awaits_answer and state is State.WITH_SUPPORT:
        return Situation.CUSTOMER_MUST_ANSWER
    if state is State.WITH_SUPPORT and (
        found := next((_OF_REASON[code] for code in codes if code in _OF_REASON), None)
    ):
        return found
    statuses = {payment.status for payment in payments}
    is_partly_refunded = OperationStatus.PAID in statuses and OperationStatus.FAILED not in statuses
    return _OF_STATE.get(state) if is_partly_refunded else None
