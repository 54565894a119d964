"""Every state and every step in the customer's words. Nothing here says more than the row does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from config.speech import UTC, Speech
from domain.findings import Code
from domain.money import Money, UnknownMoneyError
from domain.providers import Refusal
from domain.states import Event, State
from records.history import Row
from records.views import View


class Tone(StrEnum):
    """How a state's page looks."""

    WAITING = "waiting"
    DONE = "done"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Standing:
    """A state as its page says it."""

    heading: str
    sentence: str
    tone: Tone


STANDINGS: Mapping[State, Standing] = {
    State.RECEIVED: Standing(
        "We’re checking your request",
        "We’ve received your request and are checking your purchase. Nothing has been refunded yet.",
        Tone.WAITING,
    ),
    State.AWAITING_CONFIRMATION: Standing(
        "Please confirm your refund",
        "You’re eligible for a refund. We’re sending an email to the address used for the purchase. Open the link "
        "in it to confirm. We won’t refund anything until you confirm.",
        Tone.WAITING,
    ),
    State.APPROVED: Standing(
        "Your refund is approved",
        "We’re about to send it to the payment provider. Nothing has been refunded yet.",
        Tone.WAITING,
    ),
    State.REFUNDING: Standing(
        "We’re processing your refund",
        "We’re asking the payment provider to return your money. It hasn’t confirmed the refund yet.",
        Tone.WAITING,
    ),
    State.REFUND_PENDING: Standing(
        "Your refund is on its way",
        "The payment provider has accepted the refund but hasn’t completed it yet. With some payment methods, this "
        "takes a few days. You don’t need to do anything.",
        Tone.WAITING,
    ),
    State.REFUNDED: Standing(
        "Your refund was sent",
        "The payment provider has sent the refund to your original payment method.",
        Tone.DONE,
    ),
    State.WITH_SUPPORT: Standing(
        "Our support team is reviewing your request",
        "We can’t make this refund automatically. Our support team will decide and email you. You don’t need to "
        "send the form again.",
        Tone.WAITING,
    ),
    State.DECLINED: Standing(
        "Your refund was declined",
        "Our support team decided not to make this refund. If you think this is a mistake, please contact support.",
        Tone.ENDED,
    ),
    State.EXPIRED: Standing(
        "This request has expired",
        "The refund wasn’t confirmed in time, so nothing was refunded. If you still want it, please send the form "
        "again.",
        Tone.ENDED,
    ),
    State.WITHDRAWN: Standing(
        "You cancelled this request",
        "Nothing was refunded. If you still want the refund, please send the form again.",
        Tone.ENDED,
    ),
    State.UNMATCHED: Standing(
        "We couldn’t find this purchase",
        "No purchase matches this reference number and email address. Please check both against your order "
        "confirmation and send the form again.",
        Tone.ENDED,
    ),
    State.DUPLICATE: Standing(
        "You’ve already requested this refund",
        "There’s already a request for this purchase, so we closed this one. Please follow our emails about the "
        "first request. Nothing is refunded twice.",
        Tone.ENDED,
    ),
}

STEPS: Mapping[Event, str] = {
    Event.ACCEPTED: "We received your request.",
    Event.FOUND_ELIGIBLE: "You’re eligible for a refund. We emailed you a link to confirm it.",
    Event.FOUND_ELIGIBLE_AND_TRUSTED: "You’re eligible for a refund. The refund was approved.",
    Event.FOUND_NOT_ELIGIBLE: "We passed your request to our support team.",
    Event.FOUND_NO_PURCHASE: "We found no purchase with this reference number and email address.",
    Event.FOUND_LIVE_CASE: "We found an earlier request for this purchase.",
    Event.CUSTOMER_CONFIRMED: "You confirmed the refund.",
    Event.CUSTOMER_WITHDREW: "You cancelled the request.",
    Event.TIME_RAN_OUT: "The refund wasn’t confirmed in time.",
    Event.HELD: "The refund is approved. For this payment method, it can only start a few days after payment.",
    Event.PREPARED: "We started the refund with the payment provider.",
    Event.NO_LONGER_ELIGIBLE: "Something about the purchase has changed. We passed your request to our support team.",
    Event.PROVIDER_PAID: "The payment provider sent the refund.",
    Event.PROVIDER_ACCEPTED: "The payment provider accepted the refund and is processing it.",
    Event.PROVIDER_DECLINED: "The payment provider couldn’t make the refund. We passed your request to our support team.",
    Event.PROVIDER_NOT_NOW: "The payment provider can’t make the refund yet. We’re trying again.",
    Event.PROVEN_ABSENT: "The payment provider hasn’t made the refund. We’re starting it again.",
    Event.BANK_REFERENCE_TOLD: "We received a reference your bank can use to find the refund.",
    Event.PROVIDER_UNCLEAR: "The payment provider hasn’t given a clear answer yet. We’re asking again.",
    Event.PROVIDER_FAILED_LATE: "The refund didn’t go through. We passed your request to our support team.",
    Event.ENDED_ITS_WORKERS: "We passed your request to our support team.",
    Event.DISPUTE_WON: "The dispute about the payment has ended. We’re checking your request again.",
    Event.GAVE_UP_ASKING: "The payment provider gave no clear answer. We passed your request to our support team.",
    Event.SUPPORT_APPROVED: "Our support team approved the refund.",
    Event.SUPPORT_DECLINED: "Our support team declined the refund.",
}


SHORT_OF_MONEY = (
    "The seller’s account with the payment provider didn’t have enough money for the refund. We’ll try again "
    "automatically."
)

_OWN_PURCHASE = frozenset(State) - {State.RECEIVED, State.UNMATCHED, State.DUPLICATE}
_CODES = {code.value: code for code in Code}  # one of a later version is not among them
_NOT_FOR_CUSTOMERS = "This purchase needs a manual check."


def sentence_for_support(reason: Mapping[str, str]) -> str:
    """A stored reason as support reads it."""
    code = _CODES.get(reason["code"])
    return reason.get("sentence") or (code.support if code else reason["code"])


def sentences_for_customer(reasons: Iterable[Mapping[str, str]]) -> list[str]:
    """Stored reasons as the customer may know them, each once."""
    codes = (_CODES.get(reason["code"]) for reason in reasons)
    return list(dict.fromkeys((code.customer if code else None) or _NOT_FOR_CUSTOMERS for code in codes))


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a customer's timeline."""

    at: datetime
    sentence: str


def timeline(history: Sequence[Row]) -> list[Happening]:
    """What happened, oldest first; a step that came several times in a row is told once."""
    told = [Happening(row.at, SHORT_OF_MONEY if short_of_money(row) else STEPS[Event(row.event)]) for row in history]
    return [one for n, one in enumerate(told) if n == 0 or one.sentence != told[n - 1].sentence]


def short_of_money(row: Row) -> bool:
    """Whether this step says that the seller's balance does not suffice."""
    waits = {Event.PROVIDER_NOT_NOW, Event.PROVIDER_ACCEPTED}
    return row.event in waits and row.evidence.get("refusal") == Refusal.NO_BALANCE


def amount_of(view: View, spoken: Speech) -> str | None:
    """The amount as it is written in this language; None where it is not sound."""
    if view.amount is None or view.currency is None:
        return None
    try:
        return spoken.money(Money(view.amount, view.currency))
    except UnknownMoneyError:
        return None


def zone_of(view: View) -> ZoneInfo:
    """Where a page's times are told: at the seller's, where the page may name it."""
    return ZoneInfo(view.time_zone) if view.time_zone and shows_purchase(view) else UTC


def shows_purchase(view: View) -> bool:
    """Whether the purchase may stand on the page: only where this case holds it."""
    return view.purchase is not None and view.state in _OWN_PURCHASE
