"""The states of a case, the events that change the state, and the table of transitions."""

from enum import StrEnum

from domain.errors import InvalidTransitionError


class State(StrEnum):
    """The state of a case."""

    RECEIVED = "received"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    APPROVED = "approved"
    REFUNDING = "refunding"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    WITH_SUPPORT = "with_support"
    DECLINED = "declined"
    CLOSED = "closed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNMATCHED = "unmatched"
    DUPLICATE = "duplicate"


class Event(StrEnum):
    """A domain event: something that happened to a case."""

    ACCEPTED = "accepted"
    FOUND_ELIGIBLE = "found_eligible"
    FOUND_ELIGIBLE_AND_TRUSTED = "found_eligible_and_trusted"
    FOUND_NOT_ELIGIBLE = "found_not_eligible"
    FOUND_NO_PURCHASE = "found_no_purchase"
    FOUND_OPEN_CASE = "found_open_case"
    FOUND_SEVERAL_PURCHASES = "found_several_purchases"
    PURCHASE_REPORTED = "purchase_reported"
    SUPERSEDED = "superseded"
    CUSTOMER_CONFIRMED = "customer_confirmed"
    CUSTOMER_CANCELLED = "customer_cancelled"
    CONFIRMATION_EXPIRED = "confirmation_expired"
    PUT_ON_HOLD = "put_on_hold"
    REFUND_STARTED = "refund_started"
    NO_LONGER_ELIGIBLE = "no_longer_eligible"
    PROVIDER_PAID = "provider_paid"
    PROVIDER_PAID_DIFFERENTLY = "provider_paid_differently"
    PAYMENT_REFUNDED = "payment_refunded"
    EXTERNALLY_REFUNDED = "externally_refunded"
    PROVIDER_AWAITS_APPROVAL = "provider_awaits_approval"
    PROVIDER_ACCEPTED = "provider_accepted"
    CUSTOMER_ACTION_REQUIRED = "customer_action_required"
    PROVIDER_DECLINED = "provider_declined"
    PAYMENT_DECLINED = "payment_declined"
    REFUND_DEFERRED = "refund_deferred"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PROVIDER_FAILED_LATE = "provider_failed_late"
    POLLING_GAVE_UP = "polling_gave_up"
    CONFIRMED_NOT_REFUNDED = "confirmed_not_refunded"
    BANK_REFERENCE_RECEIVED = "bank_reference_received"
    CRASHED_WORKERS = "crashed_workers"
    DISPUTE_WON = "dispute_won"
    SUPPORT_APPROVED = "support_approved"
    SUPPORT_DECLINED = "support_declined"
    SUPPORT_ASKED = "support_asked"
    SUPPORT_REFUNDED_ELSEWHERE = "support_refunded_elsewhere"
    SUPPORT_REMATCHED = "support_rematched"
    SUPPORT_CLOSED = "support_closed"
    DECISION_UNDONE = "decision_undone"
    CUSTOMER_ANSWERED = "customer_answered"


S, E = State, Event

INITIAL = (E.ACCEPTED, S.RECEIVED)

ENDED_BY_SUPPORT = (S.DECLINED, S.CLOSED)
"""The states in which support ended the case without a refund."""

_WITH_LATE_RESULTS = (
    S.APPROVED,
    S.REFUNDING,
    S.WAITING_FOR_APPROVAL,
    S.REFUND_PENDING,
    S.WITH_SUPPORT,
    *ENDED_BY_SUPPORT,
)
"""The states in which the provider may report a result of a refund that was sent."""

MOVES: dict[tuple[State, Event], State] = {
    (S.RECEIVED, E.FOUND_ELIGIBLE): S.AWAITING_CONFIRMATION,
    (S.RECEIVED, E.FOUND_ELIGIBLE_AND_TRUSTED): S.APPROVED,
    (S.RECEIVED, E.FOUND_NOT_ELIGIBLE): S.WITH_SUPPORT,
    (S.RECEIVED, E.FOUND_NO_PURCHASE): S.UNMATCHED,
    (S.RECEIVED, E.FOUND_OPEN_CASE): S.DUPLICATE,
    (S.RECEIVED, E.FOUND_SEVERAL_PURCHASES): S.WITH_SUPPORT,
    (S.UNMATCHED, E.PURCHASE_REPORTED): S.RECEIVED,  # the seller reported the purchase after the request
    (S.AWAITING_CONFIRMATION, E.CUSTOMER_CONFIRMED): S.APPROVED,
    (S.AWAITING_CONFIRMATION, E.CUSTOMER_CANCELLED): S.CANCELLED,
    (S.AWAITING_CONFIRMATION, E.CONFIRMATION_EXPIRED): S.EXPIRED,
    (
        S.AWAITING_CONFIRMATION,
        E.SUPERSEDED,
    ): S.DUPLICATE,  # the customer, signed in at the seller, asks for other payments
    (S.APPROVED, E.PUT_ON_HOLD): S.APPROVED,
    (S.APPROVED, E.REFUND_STARTED): S.REFUNDING,
    (S.APPROVED, E.NO_LONGER_ELIGIBLE): S.WITH_SUPPORT,
    (S.APPROVED, E.PROVIDER_PAID): S.REFUNDED,  # a lookup found that an earlier operation was made after all
    (S.APPROVED, E.PAYMENT_REFUNDED): S.APPROVED,
    (S.APPROVED, E.PROVIDER_FAILED_LATE): S.WITH_SUPPORT,  # the refund of an earlier payment of the order failed
    (S.REFUNDING, E.PROVIDER_PAID): S.REFUNDED,
    (S.REFUNDING, E.PAYMENT_REFUNDED): S.APPROVED,  # the order has further payments to refund
    (S.REFUNDING, E.PROVIDER_DECLINED): S.WITH_SUPPORT,
    (S.REFUNDING, E.PAYMENT_DECLINED): S.APPROVED,  # the order may have further payments that can be refunded
    (S.REFUNDING, E.REFUND_DEFERRED): S.APPROVED,  # no refund was made: try a new operation later
    (S.REFUNDING, E.CONFIRMED_NOT_REFUNDED): S.APPROVED,  # lookups proved that no refund was made: try a new operation
    (S.REFUNDING, E.OUTCOME_UNKNOWN): S.REFUNDING,  # the refund may have been made: look it up again later
    (S.REFUNDING, E.POLLING_GAVE_UP): S.WITH_SUPPORT,
    (
        S.REFUNDING,
        E.PROVIDER_AWAITS_APPROVAL,
    ): S.WAITING_FOR_APPROVAL,  # a person must approve the refund at the provider
    (S.WAITING_FOR_APPROVAL, E.PROVIDER_PAID): S.REFUNDED,
    (S.WAITING_FOR_APPROVAL, E.PAYMENT_REFUNDED): S.APPROVED,
    (S.WAITING_FOR_APPROVAL, E.PROVIDER_DECLINED): S.WITH_SUPPORT,
    (
        S.WAITING_FOR_APPROVAL,
        E.REFUND_DEFERRED,
    ): S.APPROVED,  # the refund failed, so nobody can approve it any more: try a new operation later
    (S.WAITING_FOR_APPROVAL, E.POLLING_GAVE_UP): S.WITH_SUPPORT,
    (S.REFUND_PENDING, E.PROVIDER_PAID): S.REFUNDED,
    (S.REFUND_PENDING, E.PAYMENT_REFUNDED): S.APPROVED,
    (S.REFUND_PENDING, E.PROVIDER_FAILED_LATE): S.WITH_SUPPORT,
    (S.REFUND_PENDING, E.PROVIDER_DECLINED): S.WITH_SUPPORT,  # a lookup found only an external refund
    (S.REFUND_PENDING, E.REFUND_DEFERRED): S.APPROVED,  # the balance was too low: try a new operation later
    (S.REFUND_PENDING, E.POLLING_GAVE_UP): S.WITH_SUPPORT,
    (S.REFUNDED, E.PROVIDER_FAILED_LATE): S.WITH_SUPPORT,
    (S.REFUNDED, E.PAYMENT_REFUNDED): S.REFUNDED,  # our refund was made although support had refunded the payment
    (S.REFUNDED, E.BANK_REFERENCE_RECEIVED): S.REFUNDED,  # the bank reference often arrives days after the refund
    (S.WITH_SUPPORT, E.PROVIDER_PAID): S.REFUNDED,  # a later lookup found that our refund was made
    **{
        (state, event): to_state
        for state in ENDED_BY_SUPPORT
        for event, to_state in (
            (E.PAYMENT_REFUNDED, S.WITH_SUPPORT),
            (E.PROVIDER_PAID, S.REFUNDED),
            (E.PROVIDER_FAILED_LATE, S.WITH_SUPPORT),  # the refund of one of several payments failed
            (E.SUPPORT_APPROVED, S.APPROVED),
        )
    },
    (S.WITH_SUPPORT, E.PROVIDER_DECLINED): S.WITH_SUPPORT,  # our refund was not made, so support can decide
    (S.WITH_SUPPORT, E.PAYMENT_REFUNDED): S.WITH_SUPPORT,  # our refund of one of several payments was made after all
    (S.WITH_SUPPORT, E.EXTERNALLY_REFUNDED): S.REFUNDED,  # support refunded the payments at the provider
    (S.WITH_SUPPORT, E.SUPERSEDED): S.DUPLICATE,  # the customer, signed in at the seller, asks for the whole purchase
    (S.WITH_SUPPORT, E.DISPUTE_WON): S.RECEIVED,
    (S.WITH_SUPPORT, E.SUPPORT_APPROVED): S.APPROVED,
    (S.REFUNDED, E.SUPPORT_APPROVED): S.APPROVED,  # a further part of a payment
    (S.APPROVED, E.DECISION_UNDONE): S.WITH_SUPPORT,
    (S.WITH_SUPPORT, E.SUPPORT_DECLINED): S.DECLINED,
    (S.WITH_SUPPORT, E.SUPPORT_ASKED): S.WITH_SUPPORT,
    (S.WITH_SUPPORT, E.CUSTOMER_ANSWERED): S.WITH_SUPPORT,
    (S.WITH_SUPPORT, E.SUPPORT_REFUNDED_ELSEWHERE): S.REFUNDED,
    (S.WITH_SUPPORT, E.SUPPORT_REMATCHED): S.RECEIVED,  # the rules evaluate the right purchase
    (S.UNMATCHED, E.SUPPORT_REMATCHED): S.RECEIVED,
    (S.WITH_SUPPORT, E.SUPPORT_CLOSED): S.CLOSED,
    **{
        (state, event): S.REFUND_PENDING  # also if the refund is pending: the provider may ask the customer later
        for state in _WITH_LATE_RESULTS
        for event in (E.PROVIDER_ACCEPTED, E.CUSTOMER_ACTION_REQUIRED)
    },
    **{(state, E.PROVIDER_PAID_DIFFERENTLY): S.WITH_SUPPORT for state in _WITH_LATE_RESULTS},
    **{
        (state, E.CRASHED_WORKERS): S.WITH_SUPPORT
        for state in (S.RECEIVED, S.APPROVED, S.REFUNDING, S.WAITING_FOR_APPROVAL, S.REFUND_PENDING)
    },
}

OPEN_STATES = frozenset(
    {
        S.AWAITING_CONFIRMATION,
        S.APPROVED,
        S.REFUNDING,
        S.WAITING_FOR_APPROVAL,
        S.REFUND_PENDING,
        S.REFUNDED,
        S.WITH_SUPPORT,
    },
)
"""States in which a second request for the same purchase is a duplicate. "refunded" is included, to prevent a second refund."""

FINAL_STATES = frozenset({S.REFUNDED, S.DECLINED, S.CLOSED, S.EXPIRED, S.CANCELLED, S.UNMATCHED, S.DUPLICATE})
"""States in which no further action is needed."""

WAITING_STATES = frozenset({S.AWAITING_CONFIRMATION, S.WITH_SUPPORT})
"""States in which the customer must act next, or support must act next."""

WORKER_STATES = frozenset(State) - FINAL_STATES - WAITING_STATES
"""States in which a worker must act next. If a case stays too long in such a state, the sweep publishes a message."""


DECISION_EVENTS = frozenset(
    {
        E.SUPPORT_APPROVED,
        E.SUPPORT_DECLINED,
        E.SUPPORT_ASKED,
        E.SUPPORT_REFUNDED_ELSEWHERE,
        E.SUPPORT_REMATCHED,
        E.SUPPORT_CLOSED,
        E.DECISION_UNDONE,
        E.CUSTOMER_ANSWERED,
    }
)
"""The events that begin a new round between support and the customer. Each round has its own e-mails."""


def next_state(from_state: State, event: Event) -> State:
    """Return the state after ``event``. Raise InvalidTransitionError if ``event`` is not possible in ``from_state``."""
    try:
        return MOVES[from_state, event]
    except KeyError:
        raise InvalidTransitionError(f'The event "{event}" is not possible in the state "{from_state}".') from None
