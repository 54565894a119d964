"""The texts about a case that the customer reads: one text for each state, and one for each event."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from config.i18n import UTC, Translator
from domain.case_payments import CasePayment, RefundStage, automatic, total
from domain.providers import DeclineReason
from domain.reason_codes import ReasonCode
from domain.states import Event, State
from records.case_views import CaseView
from records.history import HistoryRow


class Tone(StrEnum):
    """The look of the page for a state."""

    WAITING = "waiting"
    DONE = "done"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StatusHeadline:
    """The heading and the sentence of the page for a state."""

    heading: str
    sentence: str
    tone: Tone


HEADLINES: Mapping[State, StatusHeadline] = {
    State.RECEIVED: StatusHeadline(
        "We’re checking your request",
        "We’ve received your request and are checking your purchase. Nothing has been refunded yet.",
        Tone.WAITING,
    ),
    State.AWAITING_CONFIRMATION: StatusHeadline(
        "Please confirm your refund",
        "You’re eligible for a refund. We’re sending an email to the address used for the purchase. Open the link "
        "in it to confirm. We won’t refund anything until you confirm.",
        Tone.WAITING,
    ),
    State.APPROVED: StatusHeadline(
        "Your refund is approved",
        "We’re about to send it to the payment provider. Nothing has been refunded yet.",
        Tone.WAITING,
    ),
    State.REFUNDING: StatusHeadline(
        "We’re processing your refund",
        "We’re asking the payment provider to return your money. It hasn’t confirmed the refund yet.",
        Tone.WAITING,
    ),
    State.WAITING_FOR_APPROVAL: StatusHeadline(
        "Your refund is waiting for approval",
        "The seller has to approve this refund at the payment provider. You don’t need to do anything.",
        Tone.WAITING,
    ),
    State.REFUND_PENDING: StatusHeadline(
        "Your refund is on its way",
        "The payment provider has accepted the refund but hasn’t completed it yet. With some payment methods, this "
        "takes a few days. You don’t need to do anything.",
        Tone.WAITING,
    ),
    State.REFUNDED: StatusHeadline(
        "Your refund was sent",
        "The payment provider has sent the refund to your original payment method.",
        Tone.DONE,
    ),
    State.WITH_SUPPORT: StatusHeadline(
        "Our support team is reviewing your request",
        "We can’t make this refund automatically. Our support team will decide and email you. You don’t need to "
        "send the form again.",
        Tone.WAITING,
    ),
    State.DECLINED: StatusHeadline(
        "Your refund was declined",
        "Our support team decided not to make this refund. If you think this is a mistake, please contact support.",
        Tone.ENDED,
    ),
    State.CLOSED: StatusHeadline(
        "This request was closed",
        "Our support team closed this request without a refund. If you still want the refund, please contact support.",
        Tone.ENDED,
    ),
    State.EXPIRED: StatusHeadline(
        "This request has expired",
        "The refund wasn’t confirmed in time, so nothing was refunded. If you still want it, please send the form "
        "again.",
        Tone.ENDED,
    ),
    State.CANCELLED: StatusHeadline(
        "You cancelled this request",
        "Nothing was refunded. If you still want the refund, please send the form again.",
        Tone.ENDED,
    ),
    State.UNMATCHED: StatusHeadline(
        "We couldn’t find this purchase",
        "No purchase matches this reference number and email address. Please check both against your order "
        "confirmation and send the form again.",
        Tone.ENDED,
    ),
    State.DUPLICATE: StatusHeadline(
        "You’ve already requested this refund",
        "There’s already a request for this purchase, so we closed this one. Please follow our emails about the "
        "first request. Nothing is refunded twice.",
        Tone.ENDED,
    ),
}

CUSTOMER_MUST_ACT = "The payment provider needs an answer from you before it can send the refund."

STEPS: Mapping[Event, str] = {
    Event.ACCEPTED: "We received your request.",
    Event.FOUND_ELIGIBLE: "You’re eligible for a refund. We emailed you a link to confirm it.",
    Event.FOUND_ELIGIBLE_AND_TRUSTED: "You’re eligible for a refund. The refund was approved.",
    Event.FOUND_NOT_ELIGIBLE: "We passed your request to our support team.",
    Event.FOUND_NO_PURCHASE: "We found no purchase with this reference number and email address.",
    Event.FOUND_OPEN_CASE: "We found an earlier request for this purchase.",
    Event.CUSTOMER_CONFIRMED: "You confirmed the refund.",
    Event.CUSTOMER_CANCELLED: "You cancelled the request.",
    Event.CONFIRMATION_EXPIRED: "The refund wasn’t confirmed in time.",
    Event.PUT_ON_HOLD: "The refund is approved. For this payment method, it can only start a few days after payment.",
    Event.REFUND_STARTED: "We started the refund with the payment provider.",
    Event.FOUND_SEVERAL_PURCHASES: (
        "We found several purchases that match your request. We passed it to our support team."
    ),
    Event.PURCHASE_REPORTED: "The seller reported your purchase. We’re checking your request again.",
    Event.SUPERSEDED: "A newer request for this purchase replaced this one.",
    Event.NO_LONGER_ELIGIBLE: "The refund can’t be made automatically. We passed your request to our support team.",
    Event.PROVIDER_PAID: "The payment provider sent the refund.",
    Event.PROVIDER_PAID_DIFFERENTLY: (
        "The payment provider sent a refund with a different amount. Our support team will check it."
    ),
    Event.PAYMENT_REFUNDED: "The payment provider sent the refund of one of your payments.",
    Event.EXTERNALLY_REFUNDED: "Our support team made the refund.",
    Event.PROVIDER_AWAITS_APPROVAL: "The refund is waiting for the seller’s approval.",
    Event.CUSTOMER_ACTION_REQUIRED: CUSTOMER_MUST_ACT,
    Event.PROVIDER_ACCEPTED: "The payment provider accepted the refund and is processing it.",
    Event.PROVIDER_DECLINED: "The payment provider couldn’t make the refund. We passed your request to our support team.",
    Event.PAYMENT_DECLINED: "The payment provider couldn’t refund one of your payments.",
    Event.REFUND_DEFERRED: "The payment provider can’t make the refund yet. We’re trying again.",
    Event.CONFIRMED_NOT_REFUNDED: "The payment provider hasn’t made the refund. We’re starting it again.",
    Event.BANK_REFERENCE_RECEIVED: "We received a reference your bank can use to find the refund.",
    Event.OUTCOME_UNKNOWN: "The payment provider hasn’t given a clear answer yet. We’re asking again.",
    Event.PROVIDER_FAILED_LATE: "The refund didn’t go through. We passed your request to our support team.",
    Event.CRASHED_WORKERS: "We passed your request to our support team.",
    Event.DISPUTE_WON: "The dispute about the payment has ended. We’re checking your request again.",
    Event.POLLING_GAVE_UP: "The payment provider gave no clear answer. We passed your request to our support team.",
    Event.SUPPORT_APPROVED: "Our support team approved a refund.",
    Event.SUPPORT_DECLINED: "Our support team declined the refund.",
    Event.SUPPORT_ASKED: "Our support team asked you a question by email.",
    Event.SUPPORT_REFUNDED_ELSEWHERE: "Our support team refunded you another way.",
    Event.SUPPORT_REMATCHED: "Our support team found your purchase. We’re checking your request again.",
    Event.SUPPORT_CLOSED: "Our support team closed the request.",
    Event.DECISION_UNDONE: "Our support team is reviewing your request again.",
    Event.CUSTOMER_ANSWERED: "You sent our support team a message.",
}

SHORT_OF_MONEY = (
    "The seller’s account with the payment provider didn’t have enough money for the refund. We’ll try again "
    "automatically."
)

_STATES_WITH_PURCHASE = frozenset(State) - {State.RECEIVED, State.UNMATCHED, State.DUPLICATE}
_CODES = {code.value: code for code in ReasonCode}
"""The reason codes by stored value. A later version of Moneyback may have stored a value that this version does not know."""
_NOT_FOR_CUSTOMERS = "This purchase needs a manual check."


def sentence_for_support(reason: Mapping[str, str]) -> str:
    """Return the sentence that support reads for a stored reason."""
    code = _CODES.get(reason["code"])
    return reason.get("sentence") or (code.support if code else reason["code"])


def sentences_for_customer(reasons: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the sentences for the customer about these stored reasons, without repetitions."""
    codes = (_CODES.get(reason["code"]) for reason in reasons)
    return list(dict.fromkeys((code.customer if code else None) or _NOT_FOR_CUSTOMERS for code in codes))


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An entry of the customer's timeline."""

    created_at: datetime
    sentence: str


def timeline(history: Sequence[HistoryRow]) -> list[TimelineEntry]:
    """Return the entries, the oldest first. If consecutive entries have the same sentence, only the first of them is returned."""
    entries = [TimelineEntry(row.created_at, _step(row)) for row in history]
    return [entry for n, entry in enumerate(entries) if n == 0 or entry.sentence != entries[n - 1].sentence]


def _step(row: HistoryRow) -> str:
    if is_short_of_money(row):
        return SHORT_OF_MONEY
    return STEPS[Event(row.event)]


def is_short_of_money(row: HistoryRow) -> bool:
    """Return whether the refund waits because the seller's balance is too low."""
    return (
        row.event in {Event.REFUND_DEFERRED, Event.PROVIDER_ACCEPTED}
        and row.evidence.get("refusal") == DeclineReason.INSUFFICIENT_BALANCE
    )


def amount_of(view: CaseView, translator: Translator) -> str | None:
    """Return the amount in the translator's language, or None if the case has no valid amount."""
    return _format(automatic(view.payments, view.state), translator)


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """One of several payments, as the customer reads it. ``amount`` is None if it is unknown."""

    method: str
    amount: str | None
    stage: RefundStage | None


def payment_lines(view: CaseView, translator: Translator) -> list[PaymentLine]:
    """Return a line for each payment. A case about one payment has no lines, because the amount says the same."""
    if len(view.payments) < 2:  # noqa: PLR2004  # several
        return []
    return [
        PaymentLine(payment.method_name, _format([payment], translator), payment.stage(view.state))
        for payment in view.payments
    ]


def paid_amount_of(view: CaseView, translator: Translator) -> str | None:
    """Return what the customer paid, if support approved a part of it. Otherwise the amount of the refund says the same."""
    return translator.money(view.paid) if view.is_part and view.paid else None


def _format(payments: Collection[CasePayment], translator: Translator) -> str | None:
    money = total(payments)
    return translator.money(money) if money else None


def zone_of(view: CaseView) -> ZoneInfo:
    """Return the time zone of the page's times: the seller's zone if the page may show the purchase, or else UTC."""
    return ZoneInfo(view.time_zone) if view.time_zone and shows_purchase(view) else UTC


def shows_purchase(view: CaseView) -> bool:
    """Return whether the page may show the purchase.

    If the case is in the state "received", "unmatched" or "duplicate", the page never shows the purchase.
    """
    return view.purchase is not None and view.state in _STATES_WITH_PURCHASE
