"""From a provider's answer to the step it makes of a case. One table a question; nothing here asks or writes."""

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from config.settings import Timers
from domain.cases import Case, Step
from domain.findings import Code, Trouble
from domain.providers import Answer, Declined, Failed, Found, Paid, Pending, Refusal, Unknown
from domain.states import Event, State
from records.operation import Operation
from records.tasks import Report
from worker.asking import Unsent
from worker.judging import because

MOST_ATTEMPTS = 64  # operations of one case: with pauses of up to six hours, two weeks of waiting for a balance
LONGEST_WAIT = 6 * 3_600.0  # seconds between two of them

REASONS = {
    Refusal.ALREADY_REFUNDED: Code.REFUNDED_ELSEWHERE,
    Refusal.DISPUTED: Code.DISPUTE_OPEN,
    Refusal.WINDOW_OVER: Code.PROVIDER_WINDOW_CLOSED,
    Refusal.NO_BALANCE: Code.NO_BALANCE,
    Refusal.NOT_YET: Code.NOT_YET_REFUNDABLE,
    Refusal.PERMANENT: Code.PROVIDER_DECLINED,
    Refusal.NO_ACCESS: Code.PROVIDER_OUT_OF_REACH,
    Refusal.NOT_SENT: Code.PROVIDER_OUT_OF_REACH,
}
"""What a person is told when a refusal is the end of it."""

FOR_NOW = {Refusal.NO_BALANCE, Refusal.NOT_YET, Refusal.NO_ACCESS, Refusal.NOT_SENT}
"""Refusals that time may mend. Nothing was carried out, so the next try is a new operation."""


def step_of(case: Case, operation: Operation, answer: Answer, timers: Timers) -> Step:
    """The step an answer makes of a case that is being refunded, or was thought to be."""
    match answer:
        case Paid(refund_id, _, bank_reference):
            told = {"bank_reference": bank_reference} if bank_reference else {}
            known = case.state is State.REFUNDED
            event = Event.BANK_REFERENCE_TOLD if known else Event.PROVIDER_PAID
            return replace(case.after(event, actor="provider", evidence={"refund": refund_id, **told}), quiet=known)
        case Pending(refund_id, _, short_of_balance):
            waits = {"refusal": Refusal.NO_BALANCE} if short_of_balance else {}
            return case.after(Event.PROVIDER_ACCEPTED, actor="provider", evidence={"refund": refund_id, **waits})
        case Unknown(why, again_in):
            return _unclear(case, why, max(pause(timers, operation.asks), again_in or 0.0))
        case Declined(Refusal.ALREADY_REFUNDED, code):
            return _unclear(case, WHOSE.format(code), pause(timers, operation.asks))
        case Declined(refusal, code) | Failed(_, code, refusal):
            if _mended_by_time(case, operation, refusal):
                return _not_now(case, refusal, code, wait(timers, operation.attempt))
            return _refused(case, answer, refusal, code)


WHOSE = "The provider says that this payment is refunded already ({}): whose refund that is must be looked up."


def daily_reports(answers: Iterable[tuple[Case, Operation, Found | Answer]], at: datetime) -> list[Report]:
    """One task a day for finance, for each seller whose balance at a provider is short; one for operators who must mend a key."""
    found: dict[tuple[Trouble, str, str], Case] = {}
    for case, operation, answer in answers:
        match answer:
            case Declined(Refusal.NO_BALANCE) | Failed(refusal=Refusal.NO_BALANCE) | Pending(short_of_balance=True):
                found.setdefault((Trouble.BALANCE_SHORT, case.seller or "", operation.provider), case)
            case Declined(Refusal.NO_ACCESS) | Unknown(no_access=True):
                found.setdefault((Trouble.CREDENTIALS_REFUSED, "", operation.provider), case)
    return [
        Report(
            trouble=trouble,
            subject=f"{seller or 'we'} at {provider} on {at:%Y-%m-%d}",
            seller=seller or None,
            evidence={"provider": provider, "first_case": str(case.id)},
        )
        for (trouble, seller, provider), case in found.items()
    ]


def for_certain(answer: Answer | Unsent) -> Answer:
    """What the answer to a first sending proves: without a word sent, or past a closed door, nothing was carried out."""
    match answer:
        case Unsent(why):
            return Declined(Refusal.NOT_SENT, why)
        case Unknown(why, no_access=True):
            return Declined(Refusal.NO_ACCESS, why)
        case _:
            return answer


def pause(timers: Timers, asks: int) -> float:
    """Seconds until a provider is asked again what became of a refund: they double, up to half an hour."""
    return _about(min(LONGEST_PAUSE, timers.poll_initial_seconds * 2.0 ** min(asks, 16)))


def wait(timers: Timers, attempt: int) -> float:
    """Seconds until a refund that was refused for now is asked for anew."""
    return _about(min(LONGEST_WAIT, timers.poll_initial_seconds * 2.0 ** min(attempt, 16)))


LONGEST_PAUSE = 1_800.0  # seconds: a provider that mends itself is noticed within half an hour


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311  # spreads look-ups, guards nothing


def _mended_by_time(case: Case, operation: Operation, refusal: Refusal) -> bool:
    open_there = case.state in {State.REFUNDING, State.REFUND_PENDING}
    return refusal in FOR_NOW and open_there and operation.attempt < MOST_ATTEMPTS


def _not_now(case: Case, refusal: Refusal, code: str, seconds: float) -> Step:
    evidence = {"code": code, "refusal": refusal}
    step = case.after(Event.PROVIDER_NOT_NOW, actor="provider", why=REASONS[refusal].support, evidence=evidence)
    return replace(step, due_in=seconds)


def _unclear(case: Case, why: str, seconds: float) -> Step:
    return replace(case.after(Event.PROVIDER_UNCLEAR, actor="worker", why=why), due_in=seconds)


def _refused(case: Case, answer: Declined | Failed, refusal: Refusal, code: str) -> Step:
    late = isinstance(answer, Failed) and case.state in {State.REFUND_PENDING, State.REFUNDED}
    event = Event.PROVIDER_FAILED_LATE if late else Event.PROVIDER_DECLINED
    reason = Code.RETURNED_BY_BANK if late and refusal is Refusal.PERMANENT else REASONS[refusal]
    return case.after(event, actor="provider", why=reason.support, evidence=because(reason, code))
