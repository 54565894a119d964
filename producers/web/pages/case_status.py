"""The case status, as the customer sees it. The status is more detailed than the state of the case.

The headline depends on the state and on the last transition. The status also contains the time when the money should arrive,
and the refresh interval of the page.
"""

from collections.abc import Mapping, Sequence

from config.i18n import Translator
from domain.case_payments import common_method, refund_ids
from domain.refund_operations import OperationStatus
from domain.refund_situations import Situation
from domain.refund_timing import expected_arrival
from domain.states import Event, State
from producers.web.pages.case_copy import HEADLINES, StatusHeadline, Tone, is_short_of_money
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
    (State.DUPLICATE, Event.SUPERSEDED): StatusHeadline(
        "There’s a newer request for this refund",
        "A newer request asks for the whole refund, so we closed this one. Please follow our emails about the newer "
        "request. Nothing is refunded twice.",
        Tone.ENDED,
    ),
}
"""The headlines for a state that a certain event caused. They are more precise than HEADLINES, which depend only on the state."""

NO_BALANCE = StatusHeadline(
    "Your refund is waiting for the seller’s funds",
    "The refund is approved, but the seller’s account with the payment provider doesn’t have enough money for it "
    "right now. We’ll try again automatically until it does. Nothing has been refunded yet, and you don’t need to "
    "do anything.",
    Tone.WAITING,
)

FORGOTTEN = StatusHeadline(
    "This page is no longer available",
    "This request has ended, and its personal data was deleted. If you have a question about it, please contact the seller.",
    Tone.ENDED,
)
"""The headline of a case whose personal data was removed."""

SITUATIONS: Mapping[Situation, StatusHeadline] = {
    Situation.CUSTOMER_MUST_ACT: StatusHeadline(
        "One more step for your refund",
        "Look for an email from {provider}. It asks where to send the money. Please follow it: the refund can’t be "
        "sent before you do.",
        Tone.WAITING,
    ),
    Situation.CUSTOMER_MUST_ANSWER: StatusHeadline(
        "We have a question about your request",
        "We’ve emailed you a question. To answer, reply to that email or use the link in it. Our support team will "
        "decide once they have your answer.",
        Tone.WAITING,
    ),
    Situation.CUSTOMER_ANSWERED: StatusHeadline(
        "We received your message",
        "Our support team will read it and email you. You don’t need to do anything.",
        Tone.WAITING,
    ),
    Situation.REFUNDED_ELSEWHERE: StatusHeadline(
        "Your refund was made another way",
        "Our support team refunded you another way. The money may not go back to your original payment method.",
        Tone.DONE,
    ),
    Situation.PARTLY_REFUNDED_ELSEWHERE: StatusHeadline(
        "Your partial refund was made another way",
        "Our support team refunded part of your payment another way. The money may not go back to your original payment method.",
        Tone.DONE,
    ),
    Situation.PARTLY_REFUNDED: StatusHeadline(
        "Part of your refund was sent",
        "We’ve refunded part of your order. The rest follows, and you don’t need to do anything.",
        Tone.WAITING,
    ),
    Situation.REST_WITH_SUPPORT: StatusHeadline(
        "Part of your refund was sent",
        "We’ve refunded part of your order. Our support team is taking care of the rest and will email you.",
        Tone.WAITING,
    ),
    Situation.APPROVAL_NOT_COMPLETED: StatusHeadline(
        "There’s a problem with your refund",
        "Our support team approved a refund, but we couldn’t complete it. We’re sorry. Our support team is taking care of it "
        "and will email you.",
        Tone.WAITING,
    ),
    Situation.AMOUNT_DIFFERS: StatusHeadline(
        "Your refund needs a check",
        "The payment provider sent a refund with a different amount than we requested. Our support team will check "
        "it and email you.",
        Tone.WAITING,
    ),
    Situation.CANCELLED_BY_SELLER: StatusHeadline(
        "Your refund was cancelled",
        "The seller cancelled the refund at the payment provider. Our support team will check this and email you.",
        Tone.WAITING,
    ),
}
"""The headlines of the situations in which the headline of the state would be wrong."""

OF_A_PART: Mapping[State, StatusHeadline] = {
    State.APPROVED: StatusHeadline(
        "Your partial refund is approved",
        "Our support team approved a refund of {amount}. We’re about to send it to the payment provider.",
        Tone.WAITING,
    ),
    State.REFUNDED: StatusHeadline(
        "Part of your payment was refunded",
        "The payment provider has sent {amount} to your original payment method.",
        Tone.DONE,
    ),
}
"""The headlines about a refund of a part, which support approved."""

_ELSEWHERE = frozenset({Situation.REFUNDED_ELSEWHERE, Situation.PARTLY_REFUNDED_ELSEWHERE})
_CAN_REQUEST_AGAIN = frozenset({State.EXPIRED, State.CANCELLED, State.UNMATCHED})

WITHDRAWAL_UNMATCHED = StatusHeadline(
    "We couldn’t match your withdrawal to a purchase",
    "We’ve received your withdrawal. It counts from the day you sent it. But no purchase matches this reference number and email "
    "address exactly, so our support team is looking for it. You don’t need to withdraw again.",
    Tone.WAITING,
)

REFRESH_INTERVALS: Mapping[State, int] = {
    State.RECEIVED: 3,
    State.AWAITING_CONFIRMATION: 10,
    State.APPROVED: 3,
    State.REFUNDING: 3,
    State.WAITING_FOR_APPROVAL: 60,
    State.REFUND_PENDING: 60,
}
"""Seconds between two refreshes of the status page. The page is refreshed only in these states.

A worker, or the customer in another tab, can change a case in these states. A pending refund takes days, so its page is
refreshed less often.
"""

DEFERRED_REFRESH_INTERVAL = 60
"""Seconds between two refreshes for a deferred refund. The refund continues after minutes or days."""


def headline(view: CaseView, history: Sequence[HistoryRow]) -> StatusHeadline:
    """Return the headline of a case."""
    transition = _last_transition(history)
    after = AFTER.get((view.state, Event(transition.event)))
    if view.situation and not (
        view.situation is Situation.APPROVAL_NOT_COMPLETED and after
    ):  # it failed after it was accepted
        return SITUATIONS[view.situation]
    if view.state in {State.APPROVED, State.REFUND_PENDING} and is_short_of_money(transition):
        return NO_BALANCE
    if _is_unmatched_withdrawal(view):
        return WITHDRAWAL_UNMATCHED
    if after:
        return after
    return OF_A_PART.get(view.state, HEADLINES[view.state]) if view.is_part else HEADLINES[view.state]


def provider_name(view: CaseView) -> str:
    """Return the name of the provider that has accepted the refund; an empty text if no refund is pending."""
    names = (payment.provider_name for payment in view.payments if payment.status is OperationStatus.PENDING)
    return next(names, "")


def refresh_interval(view: CaseView, history: Sequence[HistoryRow]) -> int | None:
    """Return the seconds until the page is refreshed, or None if the case does not change by itself."""
    transition = _last_transition(history)
    is_deferred = view.state is State.APPROVED and (view.state, Event(transition.event)) in AFTER
    return DEFERRED_REFRESH_INTERVAL if is_deferred else REFRESH_INTERVALS.get(view.state)


def can_request_again(view: CaseView) -> bool:
    """Return whether the customer can send a new request that may succeed."""
    return view.state in _CAN_REQUEST_AGAIN and not _is_unmatched_withdrawal(view)


def expected_arrival_day(view: CaseView) -> str | None:
    """Return the sentence about the arrival of the money, or None if no provider has completed the refund."""
    is_sent = view.state is State.REFUNDED and view.situation not in _ELSEWHERE
    return expected_arrival(common_method(view.payments)) if is_sent else None


def answer_time(view: CaseView, translator: Translator) -> str | None:
    """Return the sentence that says when support answers, from the clock of the seller. None if the seller promises no time."""
    if view.answer_time is None or view.answer_by is None:
        return None
    return translator.gettext(view.answer_time.sentence, day=translator.day(view.answer_by, view.zone))


def refund_id(view: CaseView, history: Sequence[HistoryRow]) -> str | None:
    """Return the provider's ids of the refunds if they are known. The customer's bank can find a refund by its id."""
    if view.state not in {State.REFUND_PENDING, State.REFUNDED} or view.situation in _ELSEWHERE:
        return None
    return refund_ids(view.payments) or _latest_evidence(history, "refund")


def bank_reference(view: CaseView, history: Sequence[HistoryRow]) -> str | None:
    """Return the card network's reference of the refund (ARN) if it is known."""
    if view.state is not State.REFUNDED:
        return None
    return _latest_evidence(history, "bank_reference")


def _latest_evidence(history: Sequence[HistoryRow], name: str) -> str | None:
    values = (row.evidence.get(name) for row in reversed(history))
    return next((str(value) for value in values if value), None)


def _is_unmatched_withdrawal(view: CaseView) -> bool:
    """Return whether the case is a statutory withdrawal that matched no purchase.

    A request that matched no purchase is closed. A withdrawal is valid without a match, so support looks for its purchase.
    """
    return view.state is State.UNMATCHED and view.declared_at is not None


def _last_transition(history: Sequence[HistoryRow]) -> HistoryRow:
    """Return the last transition that the customer should see.

    Transitions from ``with_support`` to ``with_support`` are skipped.
    """
    shown = [row for row in history if not (row.from_state == row.to_state == State.WITH_SUPPORT)]
    return shown[-1]
