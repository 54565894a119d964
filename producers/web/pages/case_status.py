"""How a case stands, more finely than its state says: what its last step adds, when money may be expected, when to look again."""

from collections.abc import Mapping, Sequence

from domain.refund_timing import expected_arrival
from domain.states import Event, State
from producers.web.pages.case_copy import HEADLINES, StatusHeadline, Tone, short_of_money
from records.case_views import CaseView
from records.history import HistoryRow

AFTER: Mapping[tuple[State, Event], StatusHeadline] = {
    (State.APPROVED, Event.PUT_ON_HOLD): StatusHeadline(
        "Your refund is approved but can’t start yet",
        "Refunds for this payment method can only start a few days after payment. We’ll start yours then. Nothing "
        "has been refunded yet, and you don’t need to do anything.",
        Tone.WAITING,
    ),
    (State.APPROVED, Event.REFUND_DEFERRED): StatusHeadline(
        "Your refund is approved but can’t start yet",
        "The payment provider can’t make the refund yet. We’ll try again automatically. Nothing has been refunded "
        "yet, and you don’t need to do anything.",
        Tone.WAITING,
    ),
    (State.REFUNDING, Event.OUTCOME_UNKNOWN): StatusHeadline(
        "We’re processing your refund",
        "The payment provider hasn’t clearly told us whether it made the refund. We’ll keep asking until it does. "
        "Nothing is refunded twice, and you don’t need to do anything.",
        Tone.WAITING,
    ),
    (State.WITH_SUPPORT, Event.PROVIDER_FAILED_LATE): StatusHeadline(
        "Your refund didn’t go through",
        "The payment provider accepted the refund, but it failed later or your bank returned it. Our support team "
        "will find another way and email you.",
        Tone.WAITING,
    ),
}
"""Standings that the way into a state, or the last look from within it, tells more truly than the state."""

NO_BALANCE = StatusHeadline(
    "Your refund is waiting for the seller’s funds",
    "The refund is approved, but the seller’s account with the payment provider doesn’t have enough money for it "
    "right now. We’ll try again automatically until it does. Nothing has been refunded yet, and you don’t need to "
    "do anything.",
    Tone.WAITING,
)

_AGAIN = frozenset({State.EXPIRED, State.CANCELLED, State.UNMATCHED})

WITHDRAWAL_UNMATCHED = StatusHeadline(
    "We couldn’t match your withdrawal to a purchase",
    "We’ve received your withdrawal, and its date counts. But no purchase matches this reference number and email "
    "address exactly, so our support team is looking for it. You don’t need to withdraw again.",
    Tone.WAITING,
)

PAUSES: Mapping[State, int] = {
    State.RECEIVED: 3,
    State.AWAITING_CONFIRMATION: 10,
    State.APPROVED: 3,
    State.REFUNDING: 3,
    State.REFUND_PENDING: 60,
}
"""Seconds between two looks at a case that moves by itself, or by its customer's word in another tab. What takes days is
not asked after every moment."""

WAITS = 60
"""The same for a case that was put off: it goes on in minutes or days."""


def headline(view: CaseView, history: Sequence[HistoryRow]) -> StatusHeadline:
    """What the page says of a case."""
    last = _last(history)
    if view.state in {State.APPROVED, State.REFUND_PENDING} and short_of_money(last):
        return NO_BALANCE
    if _withdrew_in_vain(view):
        return WITHDRAWAL_UNMATCHED
    return AFTER.get((view.state, Event(last.event))) or HEADLINES[view.state]


def refresh_interval(view: CaseView, history: Sequence[HistoryRow]) -> int | None:
    """Seconds until the page looks again; None where nothing moves by itself."""
    waits = (view.state, Event(_last(history).event)) in AFTER and view.state is State.APPROVED
    return WAITS if waits else PAUSES.get(view.state)


def again(view: CaseView) -> bool:
    """Whether a new request may do what this one did not."""
    return view.state in _AGAIN and not _withdrew_in_vain(view)


def expected_arrival_day(view: CaseView) -> str | None:
    """When a refund that was made can be seen."""
    return expected_arrival(view.method) if view.state is State.REFUNDED else None


def refund_of(view: CaseView, history: Sequence[HistoryRow]) -> str | None:
    """What the payment service calls the refund, once it has said so: a bank can find it by that."""
    if view.state not in {State.REFUND_PENDING, State.REFUNDED}:
        return None
    named = (row.evidence.get("refund") for row in reversed(history))
    return next((str(name) for name in named if name), None)


def bank_reference_of(view: CaseView, history: Sequence[HistoryRow]) -> str | None:
    """By what the customer's bank finds the refund, once the card's network has said so."""
    if view.state is not State.REFUNDED:
        return None
    named = (row.evidence.get("bank_reference") for row in reversed(history))
    return next((str(name) for name in named if name), None)


def _withdrew_in_vain(view: CaseView) -> bool:
    """Whether a withdrawal by law matched no purchase: it counts all the same, and a person looks for it."""
    return view.state is State.UNMATCHED and view.declared_at is not None


def _last(history: Sequence[HistoryRow]) -> HistoryRow:
    """The last step that says how the case stands: what came to support is not changed by a look from there."""
    told = [row for row in history if not (row.from_state == row.to_state == State.WITH_SUPPORT)]
    return told[-1]
