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
        "We are checking your request",
        "Your request has arrived. We are comparing it with the purchase. No money has moved yet.",
        Tone.WAITING,
    ),
    State.AWAITING_CONFIRMATION: Standing(
        "Please confirm the refund",
        "Your purchase can be refunded. We are sending an e-mail to the address of the purchase: open the link in it "
        "to start the refund. No money moves before you do.",
        Tone.WAITING,
    ),
    State.APPROVED: Standing(
        "Your refund is approved",
        "We are about to hand it to the payment service. No money has moved yet.",
        Tone.WAITING,
    ),
    State.REFUNDING: Standing(
        "Your refund is being made",
        "We are asking the payment service to return your money. It has not confirmed that yet.",
        Tone.WAITING,
    ),
    State.REFUND_PENDING: Standing(
        "Your refund is on its way through the payment service",
        "The payment service has accepted the refund but has not completed it. With some ways of paying this takes "
        "a few days. You need not do anything.",
        Tone.WAITING,
    ),
    State.REFUNDED: Standing(
        "Your money is refunded",
        "The payment service has made the refund, the same way as you paid.",
        Tone.DONE,
    ),
    State.WITH_SUPPORT: Standing(
        "A person is looking at your request",
        "This refund cannot be made automatically, so the support team decides about it and will write to you. "
        "You need not send the form again.",
        Tone.WAITING,
    ),
    State.DECLINED: Standing(
        "Your refund was declined",
        "The support team has decided not to make this refund. If you think that this is wrong, please write to them.",
        Tone.ENDED,
    ),
    State.EXPIRED: Standing(
        "This request has run out",
        "The refund was not confirmed in time, so no money has moved. If you still want it, please send the form again.",
        Tone.ENDED,
    ),
    State.WITHDRAWN: Standing(
        "You have withdrawn this request",
        "No money has moved. If you want the refund after all, please send the form again.",
        Tone.ENDED,
    ),
    State.UNMATCHED: Standing(
        "We could not find this purchase",
        "There is no purchase with this reference number and this e-mail address together. Please compare both with "
        "your order confirmation and send the form again.",
        Tone.ENDED,
    ),
    State.DUPLICATE: Standing(
        "You have asked for this refund before",
        "There is already a request for the same purchase. Please follow the e-mails about that one; this one is "
        "closed, and nothing is paid twice.",
        Tone.ENDED,
    ),
}

STEPS: Mapping[Event, str] = {
    Event.ACCEPTED: "We received your request.",
    Event.FOUND_ELIGIBLE: "Your purchase can be refunded. We asked you to confirm the refund by e-mail.",
    Event.FOUND_ELIGIBLE_AND_TRUSTED: "Your purchase can be refunded. The refund was approved.",
    Event.FOUND_NOT_ELIGIBLE: "The request was passed to the support team.",
    Event.FOUND_NO_PURCHASE: "We found no purchase with this reference number and e-mail address.",
    Event.FOUND_LIVE_CASE: "We found an earlier request for the same purchase.",
    Event.CUSTOMER_CONFIRMED: "You confirmed the refund.",
    Event.CUSTOMER_WITHDREW: "You withdrew the request.",
    Event.TIME_RAN_OUT: "The time to confirm ran out.",
    Event.HELD: "The refund is approved and waits until this way of paying can be refunded safely.",
    Event.PREPARED: "We started the refund with the payment service.",
    Event.NO_LONGER_ELIGIBLE: "Something about the purchase has changed. The request was passed to the support team.",
    Event.PROVIDER_PAID: "The payment service made the refund.",
    Event.PROVIDER_ACCEPTED: "The payment service accepted the refund and is working on it.",
    Event.PROVIDER_DECLINED: "The payment service could not make the refund. The request was passed to the support team.",
    Event.PROVIDER_NOT_NOW: "The payment service cannot make the refund just yet. We are trying again.",
    Event.PROVEN_ABSENT: "The payment service has not made the refund. We are starting it again.",
    Event.BANK_REFERENCE_TOLD: "We learnt the reference by which your bank finds the refund.",
    Event.PROVIDER_UNCLEAR: "The payment service has not given a clear answer yet. We are asking again.",
    Event.PROVIDER_FAILED_LATE: "The refund did not go through. The request was passed to the support team.",
    Event.ENDED_ITS_WORKERS: "The request was passed to the support team.",
    Event.DISPUTE_WON: "The dispute about the payment has ended. We are looking at the request again.",
    Event.GAVE_UP_ASKING: "The payment service gave no clear answer. The request was passed to the support team.",
    Event.SUPPORT_APPROVED: "The support team approved the refund.",
    Event.SUPPORT_DECLINED: "The support team decided not to make the refund.",
}


SHORT_OF_MONEY = (
    "The seller’s account at the payment service did not hold enough money for the refund. We try again by ourselves."
)

_OWN_PURCHASE = frozenset(State) - {State.RECEIVED, State.UNMATCHED, State.DUPLICATE}
_CODES = {code.value: code for code in Code}  # one of a later version is not among them
_NOT_FOR_CUSTOMERS = "The purchase needs a check that only a person can make."


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
