"""The texts of the case screen: states, events, clocks and e-mails in plain words for people of support."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from config.i18n import Translator
from domain.case_payments import METHOD_NAMES, OTHER_METHOD
from domain.eligibility import kept_rules
from domain.emails import EmailKind
from domain.money import Money, UnknownMoneyError
from domain.purchases import Dispute
from domain.refund_operations import OperationStatus
from domain.refund_reasons import RefundReason
from domain.states import Event, State
from domain.support_clocks import ClockName, ClockOwner
from domain.support_decisions import DecisionAction, DecisionStatus
from records.case_threads import EntryKind, ThreadEntry
from records.history import HistoryRow
from records.support_decisions import StoredDecision

STATES: Mapping[str, str] = {
    State.RECEIVED: "The rules are checking it",
    State.AWAITING_CONFIRMATION: "Waits for the customer’s confirmation",
    State.APPROVED: "Approved, the refund is about to be sent",
    State.REFUNDING: "The refund is being sent",
    State.WAITING_FOR_APPROVAL: "The refund waits for approval at the provider",
    State.REFUND_PENDING: "The provider has accepted the refund",
    State.REFUNDED: "Refunded",
    State.WITH_SUPPORT: "Waits for support",
    State.DECLINED: "Declined",
    State.CLOSED: "Closed",
    State.EXPIRED: "The customer did not confirm in time",
    State.CANCELLED: "Cancelled by the customer",
    State.UNMATCHED: "No purchase was found",
    State.DUPLICATE: "Belongs to an earlier case",
}

CHANNELS: Mapping[str, str] = {
    "web": "on the web form",
    "api": "through the API",
    "email": "by email",
    "queue": "through a queue",
}

SCOPES: Mapping[str, str] = {"full": "the full amount back", "partial": "a part back", "vat": "the tax back"}

REASONS: Mapping[str, str] = {reason.value: reason.sentence for reason in RefundReason}

ANSWERS: Mapping[str, str] = {
    "amount": "Amount wanted back",
    "items": "Items wanted back",
    "vat_id": "VAT number",
    "exemption": "Why no VAT is owed",
}

CLOCKS: Mapping[str, str] = {
    ClockName.STATUTORY_PAY_BY: "The customer must have the money",
    ClockName.SCHEME_DISPUTE_FROM: "From then on, the customer can dispute the payment at the bank",
    ClockName.PROVIDER_WINDOW: "The provider stops refunding the payment",
    ClockName.SELLER_ANSWER: "The customer should have an answer",
    ClockName.DISPUTE_RESPONSE: "The inquiry or the dispute must be answered",
}

CLOCK_OWNERS: Mapping[str, str] = {
    ClockOwner.LAW: "the law",
    ClockOwner.CARD_SCHEME: "the card scheme",
    ClockOwner.PROVIDER: "the payment provider",
    ClockOwner.SELLER: "the seller",
}

EMAILS: Mapping[str, str] = {
    EmailKind.START_REFUND: "The customer was asked to confirm the refund",
    EmailKind.ACCEPTED: "The refund is on its way",
    EmailKind.ACTION_REQUIRED: "The provider needs an answer of the customer",
    EmailKind.REFUNDED: "The refund was sent",
    EmailKind.WITH_SUPPORT: "The request is with support",
    EmailKind.RETURNED: "The refund did not go through",
    EmailKind.DECLINED: "The refund was declined",
    EmailKind.APPROVED: "The refund was approved",
    EmailKind.QUESTION: "A question to the customer",
    EmailKind.ANSWER_RECEIVED: "The customer’s message was received",
    EmailKind.REFUNDED_ELSEWHERE: "The refund was made another way",
    EmailKind.NOT_FOUND: "No purchase was found",
    EmailKind.ALREADY_REQUESTED: "The refund was requested before",
    EmailKind.WITHDRAWAL_RECEIVED: "The withdrawal was received",
}
"""What each e-mail to the customer says."""

DISPUTES: Mapping[str, str] = {
    Dispute.NONE: "no dispute",
    Dispute.INQUIRY: "an inquiry of the bank",
    Dispute.OPEN: "an open dispute",
    Dispute.LOST: "a lost dispute",
    Dispute.WON: "a won dispute",
}

REFUND_STATUSES: Mapping[str, str] = {
    OperationStatus.SENT: "being sent",
    OperationStatus.UNKNOWN: "outcome unknown",
    OperationStatus.WAITING_FOR_APPROVAL: "waits for approval at the provider",
    OperationStatus.PENDING: "accepted by the provider",
    OperationStatus.PAID: "made",
    OperationStatus.DECLINED: "declined",
    OperationStatus.FAILED: "failed",
    OperationStatus.ABSENT: "not made",
}
"""The statuses of our refunds. A refund that was made elsewhere has some of the same statuses."""

PROPOSED_SCOPES: Mapping[str, str] = {"full": "all that is left", "partial": "a part", "vat": "the tax"}

DECISIONS: Mapping[str, str] = {
    DecisionAction.APPROVE: "approve a refund",
    DecisionAction.DECLINE: "decline",
    DecisionAction.ASK: "ask the customer",
    DecisionAction.REFUNDED_ELSEWHERE: "record a refund that was made elsewhere",
    DecisionAction.RECORD_OUTCOME: "record the outcome of the unknown refund",
    DecisionAction.REMATCH: "name another purchase",
    DecisionAction.CLOSE: "close the case",
}

_EVENTS: Mapping[str, str] = {
    Event.ACCEPTED: "The request arrived.",
    Event.FOUND_ELIGIBLE: "Every rule holds. The customer was asked to confirm.",
    Event.FOUND_ELIGIBLE_AND_TRUSTED: "Every rule holds. The refund was approved by the rules.",
    Event.FOUND_NOT_ELIGIBLE: "The request breaks a rule. The case went to support.",
    Event.FOUND_NO_PURCHASE: "No purchase was found.",
    Event.FOUND_OPEN_CASE: "The purchase has an earlier open case. This request joined it.",
    Event.FOUND_SEVERAL_PURCHASES: "Several purchases match the request. The case went to support.",
    Event.PURCHASE_REPORTED: "The seller reported the purchase. The rules check again.",
    Event.SUPERSEDED: "A newer request of the customer replaced this request.",
    Event.CUSTOMER_CONFIRMED: "The customer confirmed the refund.",
    Event.CUSTOMER_CANCELLED: "The customer cancelled the request.",
    Event.CONFIRMATION_EXPIRED: "The customer did not confirm in time.",
    Event.PUT_ON_HOLD: "The refund waits, because the payment method allows no refund yet.",
    Event.REFUND_STARTED: "The refund was sent to the payment provider.",
    Event.NO_LONGER_ELIGIBLE: "A rule no longer holds. The case went to support.",
    Event.PROVIDER_PAID: "The payment provider made the refund.",
    Event.PROVIDER_PAID_DIFFERENTLY: "The payment provider refunded another amount than requested. The case went to support.",
    Event.PAYMENT_REFUNDED: "The payment provider refunded one of the payments.",
    Event.EXTERNALLY_REFUNDED: "A refund that was made at the payment provider ended the case.",
    Event.PROVIDER_AWAITS_APPROVAL: "A person must approve the refund at the payment provider.",
    Event.PROVIDER_ACCEPTED: "The payment provider accepted the refund.",
    Event.CUSTOMER_ACTION_REQUIRED: "The payment provider asked the customer where to send the money.",
    Event.PROVIDER_DECLINED: "The payment provider declined the refund.",
    Event.PAYMENT_DECLINED: "The payment provider declined the refund of one of the payments.",
    Event.REFUND_DEFERRED: "The payment provider cannot refund yet. The refund is tried again later.",
    Event.OUTCOME_UNKNOWN: "The payment provider gave no clear answer. It is asked again.",
    Event.PROVIDER_FAILED_LATE: "The refund failed after the payment provider had accepted it. The case went to support.",
    Event.POLLING_GAVE_UP: "The outcome of the refund stayed unknown. The case went to support.",
    Event.CONFIRMED_NOT_REFUNDED: "The payment provider has not made the refund. It is sent again.",
    Event.BANK_REFERENCE_RECEIVED: "The payment provider reported the bank’s reference of the refund.",
    Event.CRASHED_WORKERS: "The case crashed the program several times. The case went to support.",
    Event.DISPUTE_WON: "The seller won the dispute. The rules check again.",
    Event.SUPPORT_APPROVED: "Support approved a refund.",
    Event.SUPPORT_DECLINED: "Support declined the refund.",
    Event.SUPPORT_ASKED: "Support asked the customer a question.",
    Event.SUPPORT_REFUNDED_ELSEWHERE: "Support recorded that the refund was made elsewhere.",
    Event.SUPPORT_REMATCHED: "Support named another purchase. The rules check again.",
    Event.SUPPORT_CLOSED: "Support closed the case.",
    Event.DECISION_UNDONE: "The decision was taken back before the refund was sent.",
    Event.CUSTOMER_ANSWERED: "The customer wrote to support.",
}

_TECHNICAL = frozenset(
    {
        Event.PUT_ON_HOLD,
        Event.REFUND_STARTED,
        Event.REFUND_DEFERRED,
        Event.OUTCOME_UNKNOWN,
        Event.CONFIRMED_NOT_REFUNDED,
        Event.BANK_REFERENCE_RECEIVED,
    }
)
"""The events that matter only to a person who looks for a fault. The page shows them folded."""

_WITHOUT_EFFECT = {
    DecisionStatus.PROPOSED: "proposed to {action}. A second person must confirm.",
    DecisionStatus.REJECTED: "proposed to {action}. {confirmed_by} rejected it.",
    DecisionStatus.UNDONE: "proposed to {action}, and took the proposal back.",
}
"""The decisions that are not in the history of the case, because they changed nothing."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to a case, as a sentence."""

    at: datetime
    sentence: str
    texts: Sequence[str] = field(default=())
    """The figures, or what a person wrote."""


def sentence_of(row: HistoryRow) -> str:
    """Return the sentence about an event. An event that a later version of Moneyback stored has no sentence, only a name."""
    return _EVENTS.get(row.event, row.event)


def timeline(
    history: Sequence[HistoryRow], decisions: Sequence[StoredDecision], thread: Sequence[ThreadEntry]
) -> list[TimelineEntry]:
    """Return what happened to a case, the oldest first, without technical events and with the e-mails that were sent."""
    applied = {decision.applied_seq: decision for decision in decisions if decision.applied_seq is not None}
    entries = [_entry(row, applied.get(row.seq)) for row in history if row.event not in _TECHNICAL]
    emails = [
        TimelineEntry(entry.at, f"Email to the customer: {EMAILS.get(entry.label, entry.label)}.")
        for entry in thread
        if entry.kind is EntryKind.EMAIL and entry.is_sent
    ]
    return sorted([*entries, *_without_effect(decisions), *emails], key=lambda entry: entry.at)


def _entry(row: HistoryRow, decision: StoredDecision | None) -> TimelineEntry:
    if decision is None:
        return TimelineEntry(row.created_at, sentence_of(row), [row.why] if row.why else [])
    sentence = f"{sentence_of(row).replace('Support', decision.decided_by_name, 1)}{_confirmation(decision)}"
    return TimelineEntry(row.created_at, sentence, _texts(decision, row))


def _confirmation(decision: StoredDecision) -> str:
    return f" {decision.confirmed_by_name} confirmed it." if decision.confirmed_by_name else ""


def _without_effect(decisions: Iterable[StoredDecision]) -> Iterable[TimelineEntry]:
    for decision in decisions:
        if decision.applied_seq is None and (text := _WITHOUT_EFFECT.get(decision.status)):
            action = DECISIONS.get(decision.decision["action"], decision.decision["action"])
            sentence = text.format(action=action, confirmed_by=decision.confirmed_by_name)
            yield TimelineEntry(decision.created_at, f"{decision.decided_by_name} {sentence}", _texts(decision))


def _texts(decision: StoredDecision, row: HistoryRow | None = None) -> list[str]:
    """Return the amount, the text for the customer and the reason for colleagues, as far as the decision has them."""
    approval: Any = row.evidence.get("approval") if row else None
    amounts = [
        f"{Money(minor, currency)} of the payment {charge}"
        for _, charge, minor, currency, *_ in (approval or {}).get("refunds", ())
    ]
    labels = {"reference": "Purchase: {}", "message": "To the customer: {}", "reason": "Reason: {}"}
    return [*amounts, *(label.format(text) for name, label in labels.items() if (text := decision.decision.get(name)))]


def rules_line(history: Sequence[HistoryRow]) -> str | None:
    """Return how many rules the request keeps, from its newest evaluation. None if it was not evaluated."""
    rules: Any = next((row.evidence["rules"] for row in reversed(history) if row.evidence.get("rules")), None)
    return kept_rules(sum(result == "kept" for result in rules.values()), len(rules)) if rules else None


def kept_rule_names(history: Sequence[HistoryRow]) -> list[str]:
    """Return the names of the kept rules of the newest evaluation, as words."""
    rules: Any = next((row.evidence["rules"] for row in reversed(history) if row.evidence.get("rules")), {})
    return [name.replace("_", " ") for name, result in rules.items() if result == "kept"]


def instant_of(text: str) -> datetime:
    """Return the instant of a clock, which is stored as text."""
    return datetime.fromisoformat(text)


def method_name(method: str | None) -> str:
    """Return the name of a payment method."""
    return METHOD_NAMES.get(method or "", method or OTHER_METHOD)


def money(translator: Translator, minor: int | None, currency: str | None) -> str:
    """Return an amount in the reader's format. The seller may have reported an amount that is missing or invalid."""
    try:
        return translator.money(Money(minor, currency))  # type: ignore[arg-type]  # Money refuses a missing amount or currency
    except UnknownMoneyError:
        return "unknown amount" if minor is None else f"{minor} {currency or 'of an unknown currency'}"
